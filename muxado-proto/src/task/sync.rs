//! The primitives the layer is built on, exchangeable for those of a model checker.

#[cfg(not(loom))]
pub(super) use core::sync::atomic::{AtomicBool, Ordering};
#[cfg(not(loom))]
use std::sync::{Mutex as Inner, MutexGuard, PoisonError};

#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicBool, Ordering};
#[cfg(loom)]
use loom::sync::{Mutex as Inner, MutexGuard};
#[cfg(loom)]
use std::sync::PoisonError;

/// A mutex that a panic elsewhere does not poison: what it guards is kept consistent by calls that
/// do not panic.
#[derive(Debug)]
pub(super) struct Mutex<T>(Inner<T>);

impl<T> Mutex<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Inner::new(value))
    }

    // Out of line where calls of it are counted.
    #[cfg_attr(muxado_counted, inline(never))]
    pub(super) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
