//! The waker of the transport. It tells the driver that a wake-up came from the transport, so that
//! other wake-ups cost no system call.

use alloc::sync::Arc;
use alloc::task::Wake;
use core::task::Waker;

use super::sync::{AtomicBool, Ordering};

/// Remembers that the transport may be ready, and wakes the driver.
///
/// A signal wakes one waker, so it needs no lock. A driver that is polled with another waker makes
/// another signal.
#[derive(Debug)]
pub(super) struct Signal {
    ready: AtomicBool,
    driver: Waker,
}

impl Signal {
    /// A set signal, because the transport was never polled with it.
    pub(super) fn new(driver: &Waker) -> Arc<Self> {
        Arc::new(Self { ready: AtomicBool::new(true), driver: driver.clone() })
    }

    /// Whether it wakes this waker.
    pub(super) fn wakes(&self, driver: &Waker) -> bool {
        self.driver.will_wake(driver)
    }

    /// Takes the signal.
    pub(super) fn take(&self) -> bool {
        self.ready.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Not a store: loom orders a store with the driver's swaps only if one happens before the
        // other.
        let _was_ready = self.ready.swap(true, Ordering::AcqRel);
        self.driver.wake_by_ref();
    }
}
