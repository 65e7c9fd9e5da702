//! The synchronisation primitives of the layer, replaceable by those of a model checker.

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

/// How often a thread tries to get a lock before it sleeps. Locks of this layer are held for less
/// than a microsecond, and a wake-up takes ten.
#[cfg(not(loom))]
const TRIES: u32 = 60;

/// A mutex without poisoning: calls that do not panic keep its contents consistent.
#[derive(Debug)]
pub(super) struct Mutex<T>(Inner<T>);

impl<T> Mutex<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Inner::new(value))
    }

    // Not inlined when its calls are counted.
    #[cfg_attr(not(muxado_counted), inline)]
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
