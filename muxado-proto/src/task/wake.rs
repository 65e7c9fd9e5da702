//! Wakes tasks without holding a lock.

#[cfg(not(loom))]
use core::panic::AssertUnwindSafe;
use core::task::Waker;
#[cfg(not(loom))]
use std::panic::catch_unwind;

/// Wakes one task. If a waker panics, the panic hook reports it, and all other tasks are still
/// woken.
#[cfg(not(loom))]
pub(super) fn wake(waker: Waker) {
    // The payload of a panic can panic again when it is dropped.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        core::mem::forget(payload);
    }
}

/// The model checker ends its threads with panics.
#[cfg(loom)]
pub(super) fn wake(waker: Waker) {
    waker.wake();
}

/// Wakes all of them.
pub(super) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(wake);
}
