//! A session on a microcontroller with 64 KiB of RAM, over its serial line.
//!
//! ```sh
//! .ci/embedded    # builds it, runs it in QEMU and talks to it with muxado-tokio
//! ```
//!
//! The device echoes every stream in capital letters, except two commands. To `m` it answers how
//! much memory it uses. On `c` it sends requests to the host, on streams that the device opens, and
//! answers how many the host answered.

#![no_std]
#![no_main]

extern crate alloc;

mod application;
mod board;
mod memory;

use alloc::sync::Arc;
use core::panic::PanicInfo;

use bytes::Buf as _;
use cortex_m_semihosting::{debug, heprintln};
use muxado_proto::{Config, Role, Session, SessionKey, Transmit};

use application::Application;

/// The first byte to the host.
const READY: u8 = b'!';

#[cortex_m_rt::entry]
fn main() -> ! {
    memory::init();
    let device = cortex_m::Peripherals::take().expect("they are taken once");
    board::start_line();
    board::start_clock(device.SYST);
    // Starting the line has dropped what had arrived, so the host waits for this byte.
    while !board::write(READY) {}

    // The host sends the settings to measure. It also sends the key; a real device has a random
    // source for it.
    let [window, send_buffer, streams, frame] = [(); 4].map(|()| u32::from_le_bytes(receive()));
    let key = SessionKey::new(receive());
    let empty = memory::used();
    let config = Config::builder()
        .receive_window(window)
        .send_window(window)
        .auto_tune(false)
        .max_frame_size(frame)
        .send_buffer(send_buffer)
        .session_send_buffer(send_buffer * 2)
        .session_receive_buffer(u64::from(window) * u64::from(2 * streams + 1))
        .max_inbound_streams(streams)
        .max_outbound_streams(streams)
        .max_heartbeat_responders(0)
        .tombstones(32)
        .pending_resets(16)
        .goaway_text(64);
    let config = Arc::new(config.build().expect("the host sends what is allowed"));
    let mut session = Session::new(Role::Client, config, board::now(), key);
    let mut application = Application::new(streams, empty);

    let mut out = Transmit::new();
    let mut input = [0; 64];
    while !session.is_finished() {
        let mut came = 0;
        while let Some(byte) = input.get_mut(came) {
            let Some(next) = board::read() else { break };
            *byte = next;
            came += 1;
        }
        if came > 0 {
            session.handle_slice(board::now(), &input[..came]);
        }
        session.handle_timeout(board::now());
        while session.poll_event().is_some() {} // the application looks for itself
        application.go_on(&mut session);
        session.poll_transmit(board::now(), &mut out, 256);
        let mut left = 0;
        while out.has_remaining() && board::write(out.chunk()[0]) {
            out.advance(1);
            left += 1;
        }
        session.transmitted(board::now(), left);
    }
    debug::exit(debug::EXIT_SUCCESS);
    loop {
        cortex_m::asm::wfi();
    }
}

/// So many bytes from the line.
fn receive<const N: usize>() -> [u8; N] {
    [(); N].map(|()| {
        loop {
            if let Some(byte) = board::read() {
                return byte;
            }
        }
    })
}

#[panic_handler]
fn panic(panic: &PanicInfo<'_>) -> ! {
    heprintln!("{}", panic);
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::wfi();
    }
}
