//! RSTs for streams without a record.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use crate::error::ErrorCode;
use crate::frame::StreamId;

/// The capacity that the queue keeps when it is empty.
const KEPT: usize = 16;

/// An RST for a stream without a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "audit", derive(Hash))]
pub(super) struct Orphan {
    pub(super) id: StreamId,
    pub(super) code: ErrorCode,
    /// The peer's writer may wait for credit: some writers wake for credit and not for an RST.
    pub(super) wakes: bool,
}

impl Orphan {
    pub(super) const fn new(id: StreamId, code: ErrorCode) -> Self {
        Self { id, code, wakes: false }
    }

    pub(super) const fn waking_if(self, wakes: bool) -> Self {
        Self { wakes, ..self }
    }
}

/// The RSTs that wait to be sent for streams without a record.
///
/// Invariant: none wait once the session is over.
#[derive(Debug, Default)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct Orphans {
    #[allow(
        clippy::box_collection,
        reason = "most sessions have none, and every session this field"
    )]
    waiting: Option<Box<VecDeque<Orphan>>>,
}

impl Orphans {
    /// Queues an RST; `false` if `max` are already queued.
    #[must_use]
    pub(super) fn push(&mut self, orphan: Orphan, max: u32) -> bool {
        let waiting = self.waiting.get_or_insert_default();
        let room = waiting.len() < usize::try_from(max).unwrap_or(usize::MAX);
        if room {
            waiting.push_back(orphan);
        }
        room
    }

    /// The RST that has waited longest.
    pub(super) fn pop(&mut self) -> Option<Orphan> {
        let waiting = self.waiting.as_mut()?;
        let first = waiting.pop_front();
        if waiting.is_empty() && waiting.capacity() > KEPT {
            self.waiting = None;
        }
        first
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.as_ref().is_none_or(|waiting| waiting.is_empty())
    }

    /// Nothing more will be sent.
    pub(super) fn clear(&mut self) {
        self.waiting = None;
    }
}

#[cfg(feature = "audit")]
impl Orphans {
    pub(super) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        digest.count(self.waiting.as_ref().map_or(0, |waiting| waiting.len()));
        for orphan in self.waiting.iter().flat_map(|waiting| waiting.iter()) {
            digest.value(orphan);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OF_A_RESET;

    #[test]
    fn the_queue_holds_what_the_settings_count() {
        for max in [1, 4, 5, 1024, 1025, 2049] {
            let mut orphans = Orphans::default();
            let orphan = Orphan::new(StreamId::new(3), ErrorCode::STREAM_CLOSED);
            while orphans.push(orphan, max) {}
            let waiting = orphans.waiting.as_ref().map_or(0, |waiting| waiting.capacity());
            let held = waiting * size_of::<Orphan>();
            // The first allocation is for four.
            assert!(held as u64 <= OF_A_RESET * u64::from(max.max(4)), "{held} for {max}");
        }
    }

    #[test]
    fn the_memory_of_many_is_freed_with_the_last() {
        for (count, kept) in [(KEPT, true), (KEPT + 1, false), (1000, false)] {
            let mut orphans = Orphans::default();
            let orphan = Orphan::new(StreamId::new(3), ErrorCode::STREAM_CLOSED);
            (0..count).for_each(|_| assert!(orphans.push(orphan, 1000)));
            (0..count).for_each(|_| assert_eq!(orphans.pop(), Some(orphan)));
            assert_eq!(orphans.waiting.is_some(), kept, "after {count}");
            assert!(orphans.is_empty());
        }
    }

    #[test]
    fn they_are_bounded_and_leave_in_order() {
        let mut orphans = Orphans::default();
        let orphan = |id| Orphan::new(StreamId::new(id), ErrorCode::STREAM_CLOSED);
        assert!(orphans.push(orphan(3), 2));
        assert!(orphans.push(orphan(5), 2));
        assert!(!orphans.push(orphan(7), 2));
        assert_eq!(orphans.pop(), Some(orphan(3)));
        assert!(orphans.push(orphan(7), 2));
        assert_eq!(
            [orphans.pop(), orphans.pop(), orphans.pop()],
            [Some(orphan(5)), Some(orphan(7)), None]
        );
    }
}
