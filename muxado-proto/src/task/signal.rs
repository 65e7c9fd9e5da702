//! The waker of the transport. It tells the driver that a wake-up came from the transport, so that
//! other wake-ups cost no system call.

use alloc::sync::Arc;
use alloc::task::Wake;
use core::task::Waker;

use super::sync::{AtomicBool, Mutex, Ordering};

/// Remembers that the transport may be ready, and wakes the driver.
#[derive(Debug)]
pub(super) struct Signal {
    ready: AtomicBool,
    driver: Mutex<Option<Waker>>,
}

impl Signal {
    /// A set signal, because the transport was never polled.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { ready: AtomicBool::new(true), driver: Mutex::new(None) })
    }

    /// Takes the signal, and the waker to wake when it comes again. `known` is the one that was
    /// taken last: only the driver calls this, so it need not look behind the lock.
    pub(super) fn take(&self, driver: &Waker, known: &mut Option<Waker>) -> bool {
        if !known.as_ref().is_some_and(|current| current.will_wake(driver)) {
            *known = Some(driver.clone());
            let stale = self.driver.lock().replace(driver.clone());
            drop(stale);
        }
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
        let driver = self.driver.lock().clone();
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}
