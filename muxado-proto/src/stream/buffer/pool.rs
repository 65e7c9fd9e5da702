//! Spare queues of a session.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::chunks::{Chunks, SMALL_TAIL};

/// Queues with small tails that the pool keeps.
const POOLED: usize = 64;

/// Spare queues of a session, so that a stream in steady state allocates nothing.
#[derive(Debug, Default)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(crate) struct Pool {
    #[allow(clippy::vec_box, reason = "the boxes move to buffers")]
    small: Vec<Box<Chunks>>,
    /// A queue with a large tail. If parts of the tail are still in a batch, its memory is not
    /// reused.
    large: Option<Box<Chunks>>,
    /// The minimum length of `small` since [`Self::shrink_to_use`]: that many were not needed.
    unused: u32,
    /// Whether `large` was not needed since then.
    large_unused: bool,
}

impl Pool {
    /// A queue that will be given `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Box<Chunks> {
        if count > SMALL_TAIL {
            if let Some(large) = self.large.take() {
                return large;
            }
        }
        let spare = self.small.pop().unwrap_or_default();
        self.unused = self.unused.min(self.kept());
        spare
    }

    pub(super) fn give(&mut self, mut chunks: Box<Chunks>) {
        chunks.clear();
        if chunks.is_large() {
            if self.large.is_none() {
                self.large = Some(chunks);
                self.large_unused = false;
                return;
            }
            chunks.drop_tail();
        }
        if self.small.len() < POOLED {
            self.small.push(chunks);
        }
    }

    /// The length of `small`, at most [`POOLED`].
    fn kept(&self) -> u32 {
        u32::try_from(self.small.len()).unwrap_or(u32::MAX)
    }

    /// Whether it keeps anything: an idle session should not.
    pub(crate) fn keeps_any(&self) -> bool {
        self.large.is_some() || !self.small.is_empty()
    }

    /// Frees what was not needed since the last call.
    pub(crate) fn shrink_to_use(&mut self) {
        let unused = usize::try_from(self.unused).unwrap_or(usize::MAX);
        self.small.truncate(self.small.len().saturating_sub(unused));
        if core::mem::replace(&mut self.large_unused, true) {
            self.large = None;
        }
        self.unused = self.kept();
        if self.small.is_empty() {
            self.small.shrink_to_fit();
        }
    }

    #[cfg(feature = "audit")]
    pub(crate) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        let Self { small, large, unused, large_unused } = self;
        digest.value(&[small.len()]);
        digest.value(&[*unused]);
        digest.value(&[large.is_some(), *large_unused]);
    }

    /// How many small queues it keeps, and whether a large one.
    #[cfg(test)]
    pub(super) fn spare(&self) -> (usize, bool) {
        (self.small.len(), self.large.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_leaves_no_more_than_is_kept() {
        let mut pool = Pool::default();
        (0..2 * POOLED).for_each(|_| pool.give(Box::default()));
        assert_eq!(pool.spare(), (POOLED, false));
    }
}
