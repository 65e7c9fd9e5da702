//! Wakes tasks without holding a lock.

use alloc::vec::Vec;
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

/// Wakers that are collected under the lock, to be woken after it. The first one needs no memory of
/// its own: most commands wake one task or none.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl Wakes {
    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()).saturating_add(self.more.len())
    }

    #[inline]
    pub(super) fn push(&mut self, waker: Waker) {
        if self.first.is_none() {
            self.first = Some(waker);
        } else {
            self.more.push(waker);
        }
    }

    /// Moves the later half to `withheld`.
    pub(super) fn withhold(&mut self, withheld: &mut Vec<Waker>) {
        let earlier = (self.len() / 2).saturating_sub(1);
        withheld.extend(self.more.drain(earlier..));
    }

    /// Wakes all of them, and keeps the memory for later ones.
    #[inline]
    pub(super) fn wake(&mut self) {
        if let Some(first) = self.first.take() {
            wake(first);
            self.more.drain(..).for_each(wake);
        }
    }
}

impl Extend<Waker> for Wakes {
    fn extend<I: IntoIterator<Item = Waker>>(&mut self, wakers: I) {
        wakers.into_iter().for_each(|waker| self.push(waker));
    }
}
