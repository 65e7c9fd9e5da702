//! A heap of fixed size that records its maximum use, and the same for the stack.

use core::alloc::{GlobalAlloc, Layout};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use embedded_alloc::LlffHeap;

/// Of 64 KiB of RAM. The stack has the rest.
pub const HEAP: usize = 48 << 10;

/// The pattern on the part of the stack that was never used.
const PAINT: u32 = 0xC0DE_F00D;

struct Counted(LlffHeap, AtomicUsize);

#[global_allocator]
static ALLOCATOR: Counted = Counted(LlffHeap::empty(), AtomicUsize::new(0));

// SAFETY: all calls go to the allocator below.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the same contract.
        let memory = unsafe { self.0.alloc(layout) };
        self.1.fetch_max(self.0.used(), Relaxed);
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.0.dealloc(memory, layout) }
    }
}

/// Gives the heap its memory and paints the stack. Must be called once, before anything else.
pub fn init() {
    static mut MEMORY: [MaybeUninit<u8>; HEAP] = [MaybeUninit::uninit(); HEAP];
    // SAFETY: nobody else knows this memory, and this is called once.
    unsafe { ALLOCATOR.0.init((&raw mut MEMORY).addr(), HEAP) };
    let mut at = cortex_m_rt::heap_start();
    let end = cortex_m::register::msp::read() as usize - 64;
    while at.addr() < end {
        // SAFETY: nothing uses the memory between the statics and the stack pointer.
        unsafe { at.write_volatile(PAINT) };
        // SAFETY: it stays in the RAM.
        at = unsafe { at.add(1) };
    }
}

/// Bytes of the heap in use.
pub fn used() -> usize {
    ALLOCATOR.0.used()
}

/// The maximum in use since the last call of [`forget`].
pub fn peak() -> usize {
    ALLOCATOR.1.load(Relaxed)
}

/// Begins to measure the peak anew.
pub fn forget() {
    ALLOCATOR.1.store(used(), Relaxed);
}

/// The maximum size of the stack so far.
pub fn stack() -> usize {
    unsafe extern "C" {
        static _stack_start: u32;
    }
    let mut at = cortex_m_rt::heap_start().cast_const();
    let end = ptr::addr_of!(_stack_start);
    // SAFETY: it reads what `init` has painted, or the stack.
    while at < end && unsafe { at.read_volatile() } == PAINT {
        // SAFETY: it stays in the RAM.
        at = unsafe { at.add(1) };
    }
    end.addr() - at.addr()
}
