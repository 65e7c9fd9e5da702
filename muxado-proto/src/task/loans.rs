//! Large buffers, lent to the holders of read or written bytes, and reused when the last part is
//! dropped.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Bytes of one buffer: the maximum of one read, and the largest piece of a write that is copied at
/// once.
pub(super) const BUFFER: usize = 64 << 10;

/// Free buffers that a process keeps: 8 MiB.
const KEPT: usize = 128;

/// The buffers of the process. It has its own lock, not that of the layer, which a model checker
/// replaces: no decision depends on it, and it is held only for a push or a pop.
static LENDER: Lender = Lender::new(KEPT);

/// Free buffers. The latest returned one is on top, because it is most likely still in a cache.
struct Lender {
    free: Mutex<Vec<Box<[u8]>>>,
    kept: usize,
}

impl Lender {
    const fn new(kept: usize) -> Self {
        Self { free: Mutex::new(Vec::new()), kept }
    }

    fn take(&'static self) -> Loan {
        let used_before = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = used_before.unwrap_or_else(|| vec![0; BUFFER].into_boxed_slice());
        Loan { bytes, lender: self }
    }

    /// Takes a buffer back; returns it if there are enough.
    fn put(&self, bytes: Box<[u8]>) -> Option<Box<[u8]>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.kept {
            free.push(bytes);
            None
        } else {
            Some(bytes)
        }
    }
}

/// [`BUFFER`] initialised bytes with arbitrary contents.
pub(super) struct Loan {
    bytes: Box<[u8]>,
    lender: &'static Lender,
}

impl Loan {
    /// A free buffer, or a new one.
    pub(super) fn new() -> Self {
        LENDER.take()
    }

    /// A buffer with the front of `data`, as much as fits.
    pub(super) fn copy(data: &[u8]) -> Bytes {
        let mut loan = Self::new();
        let count = data.len().min(BUFFER);
        if let (Some(to), Some(from)) = (loan.bytes.get_mut(..count), data.get(..count)) {
            to.copy_from_slice(from);
        }
        loan.share(count)
    }

    /// The first `count` bytes, to be shared in parts. The buffer returns to the pool when all
    /// parts are dropped.
    pub(super) fn share(self, count: usize) -> Bytes {
        let mut bytes = Bytes::from_owner(self);
        bytes.truncate(count);
        bytes
    }

    pub(super) const fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) const fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl fmt::Debug for Loan {
    /// Shows nothing: it contains what sessions have read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loan").finish_non_exhaustive()
    }
}

impl AsRef<[u8]> for Loan {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // A surplus buffer is freed here, without the lock.
        drop(self.lender.put(core::mem::take(&mut self.bytes)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_its_last_part() {
        static LENDER: Lender = Lender::new(8);
        let loan = LENDER.take();
        let place = loan.bytes.as_ptr();
        let first = loan.share(100);
        let part = first.slice(10..20);
        drop(first);
        let other = LENDER.take();
        assert_ne!(other.bytes.as_ptr(), place);
        drop(part);
        assert_eq!(LENDER.take().bytes.as_ptr(), place);
    }

    #[test]
    fn no_more_than_enough_are_kept() {
        static LENDER: Lender = Lender::new(8);
        let held: Vec<Loan> = (0..20).map(|_| LENDER.take()).collect();
        drop(held);
        assert_eq!(LENDER.free.lock().unwrap().len(), 8);
    }

    #[test]
    fn a_copy_is_as_long_as_fits() {
        assert_eq!(Loan::copy(b"three"), "three");
        let copied = Loan::copy(&vec![7; BUFFER + 1]);
        assert_eq!(copied, vec![7; BUFFER]);
    }
}
