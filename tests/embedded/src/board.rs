//! The serial line and the clock of the board.

use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use core::time::Duration;

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use muxado_proto::Timestamp;

/// A PL011: the data register and the flags.
const DATA: *mut u32 = 0x4000_C000 as *mut u32;
const FLAGS: *const u32 = 0x4000_C018 as *const u32;
const NOTHING_TO_READ: u32 = 1 << 4;
const NO_ROOM_TO_WRITE: u32 = 1 << 5;

/// A byte from the line, if one has come.
pub fn read() -> Option<u8> {
    // SAFETY: the registers of the first UART, which nobody else uses.
    unsafe {
        let empty = ptr::read_volatile(FLAGS) & NOTHING_TO_READ != 0;
        (!empty).then(|| ptr::read_volatile(DATA) as u8)
    }
}

/// Puts a byte on the line, if there is room; returns whether it did.
pub fn write(byte: u8) -> bool {
    // SAFETY: the registers of the first UART, which nobody else uses.
    unsafe {
        let room = ptr::read_volatile(FLAGS) & NO_ROOM_TO_WRITE == 0;
        if room {
            ptr::write_volatile(DATA, byte.into());
        }
        room
    }
}

/// Starts the line: 8 bits, queues of 16 bytes each way.
pub fn start_line() {
    const LINE_CONTROL: *mut u32 = 0x4000_C02C as *mut u32;
    const CONTROL: *mut u32 = 0x4000_C030 as *mut u32;
    // SAFETY: the registers of the first UART, which nobody else uses.
    unsafe {
        ptr::write_volatile(LINE_CONTROL, 0x70);
        ptr::write_volatile(CONTROL, 0x301);
    }
}

static MILLISECONDS: AtomicU32 = AtomicU32::new(0);

/// Starts the clock, at 12 MHz.
pub fn start_clock(mut timer: SYST) {
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(12_000 - 1);
    timer.clear_current();
    timer.enable_counter();
    timer.enable_interrupt();
}

#[cortex_m_rt::exception]
fn SysTick() {
    MILLISECONDS.fetch_add(1, Relaxed);
}

/// The time since the start.
pub fn now() -> Timestamp {
    Timestamp::from_duration(Duration::from_millis(MILLISECONDS.load(Relaxed).into()))
}
