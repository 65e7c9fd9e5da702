//! The primitives the layer is built on, exchangeable for those of a model checker.

#[cfg(not(loom))]
pub(super) use core::sync::atomic::{AtomicBool, Ordering};
#[cfg(not(loom))]
use std::sync::{Mutex as Inner, MutexGuard, PoisonError, TryLockError};

#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicBool, Ordering};
#[cfg(loom)]
use loom::sync::{Mutex as Inner, MutexGuard};
#[cfg(loom)]
use std::sync::PoisonError;

/// How often a thread tries to get a lock before it goes to sleep over it. Locks of this layer are
/// held for less than a microsecond, and to be woken takes ten.
#[cfg(not(loom))]
const TRIES: u32 = 60;

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
        #[cfg(not(loom))]
        for _ in 0..TRIES {
            match self.0.try_lock() {
                Ok(guard) => return guard,
                Err(TryLockError::Poisoned(guard)) => return guard.into_inner(),
                Err(TryLockError::WouldBlock) => core::hint::spin_loop(),
            }
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
