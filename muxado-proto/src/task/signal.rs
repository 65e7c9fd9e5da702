//! The waker the transport gets: it tells the driver that the transport, and nothing else, is the
//! reason for a wake-up, so that other wake-ups do not cost a system call to find out.

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
    /// A signal that is set: the transport has never been asked.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { ready: AtomicBool::new(true), driver: Mutex::new(None) })
    }

    /// Takes the signal, and the waker to wake when it comes again.
    pub(super) fn take(&self, driver: &Waker) -> bool {
        let mut stale = None;
        let mut slot = self.driver.lock();
        if !slot.as_ref().is_some_and(|current| current.will_wake(driver)) {
            stale = slot.replace(driver.clone());
        }
        drop(slot);
        drop(stale);
        self.ready.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Not a store: loom orders that with the driver's swaps only if they happen one before the
        // other.
        let _was_ready = self.ready.swap(true, Ordering::AcqRel);
        let driver = self.driver.lock().clone();
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}
