//! Which ids are used: those that this side opens, and those that the peer has opened.

use alloc::collections::BTreeSet;

use crate::frame::{MAX_U31, Role, StreamId};
use crate::stream::ids::{Seen, SeenIds};

/// The ids of both sides.
///
/// Invariants: the id of every stream of this side is below `next` and not free; the id of every
/// stream of the peer was seen. Free ids belonged to streams that were open and unannounced at the
/// same time, so there are at most as many as streams may be open.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone, Hash))]
pub(super) struct Ids {
    role: Role,
    /// The next id to open, `None` when all are used.
    next: Option<u32>,
    /// Ids below `next` of removed streams that were never announced.
    free: BTreeSet<u32>,
    seen: SeenIds,
}

impl Ids {
    pub(super) fn new(role: Role) -> Self {
        Self { role, next: Some(role.first_id()), free: BTreeSet::new(), seen: SeenIds::default() }
    }

    /// The next id of this side, `None` when all are used. Returned ids are used first, so that the
    /// peer sees at most as many gaps as this side has unannounced streams.
    pub(super) fn open(&mut self) -> Option<StreamId> {
        if let Some(id) = self.free.pop_first() {
            return Some(StreamId::new(id));
        }
        let id = self.next?;
        self.next = id.checked_add(2).filter(|&next| next <= MAX_U31);
        Some(StreamId::new(id))
    }

    /// Whether every id of this side has been used.
    pub(super) fn is_exhausted(&self) -> bool {
        self.next.is_none() && self.free.is_empty()
    }

    /// A stream of this side was removed without being announced.
    pub(super) fn give_back(&mut self, id: StreamId) {
        self.free.insert(id.get());
    }

    /// Whether this side opens streams with ids of this parity.
    pub(super) const fn is_own(&self, id: StreamId) -> bool {
        id.is_opened_by(self.role)
    }

    /// Marks an id of the peer as used; returns its previous state.
    #[must_use]
    pub(super) fn mark_used(&mut self, id: StreamId, max_gaps: u32) -> Seen {
        self.seen.insert(id, usize::try_from(max_gaps).unwrap_or(usize::MAX))
    }

    /// Whether there has been a stream with this id.
    pub(super) fn was_used(&self, id: StreamId) -> bool {
        if self.is_own(id) {
            self.next.is_none_or(|next| id.get() < next) && !self.free.contains(&id.get())
        } else {
            self.seen.contains(id)
        }
    }

    /// The highest id of the peer, for `last` of a GOAWAY.
    pub(super) const fn highest_seen(&self) -> StreamId {
        self.seen.highest()
    }

    /// Starts near the end of the ids.
    #[cfg(test)]
    pub(super) const fn set_next(&mut self, next: Option<u32>) {
        self.next = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_ids_are_used_in_order_and_run_out() {
        let mut ids = Ids::new(Role::Client);
        assert_eq!(ids.open(), Some(StreamId::new(3)));
        assert!(ids.was_used(StreamId::new(3)));
        assert!(!ids.was_used(StreamId::new(5)));
        ids.set_next(Some(MAX_U31));
        assert_eq!(ids.open(), Some(StreamId::new(MAX_U31)));
        assert!(ids.is_exhausted());
        assert_eq!(ids.open(), None);
        assert!(ids.was_used(StreamId::new(MAX_U31)));
    }

    #[test]
    fn ids_that_are_given_back_go_first_and_the_lowest_of_them() {
        let mut ids = Ids::new(Role::Server);
        for _ in 0..4 {
            let _opened = ids.open();
        }
        ids.give_back(StreamId::new(6));
        ids.give_back(StreamId::new(4));
        assert!(!ids.was_used(StreamId::new(4)));
        let opened = [ids.open(), ids.open(), ids.open()];
        assert_eq!(opened, [4, 6, 10].map(|id| Some(StreamId::new(id))));
        ids.set_next(None);
        ids.give_back(StreamId::new(2));
        assert!(!ids.is_exhausted());
        assert_eq!(ids.open(), Some(StreamId::new(2)));
        assert!(ids.is_exhausted());
    }

    #[test]
    fn ids_of_the_peer_are_used_once_in_any_order() {
        let mut ids = Ids::new(Role::Client);
        assert_eq!(ids.mark_used(StreamId::new(8), 16), Seen::Fresh);
        assert_eq!(ids.mark_used(StreamId::new(4), 16), Seen::Fresh);
        assert_eq!(ids.mark_used(StreamId::new(4), 16), Seen::Used);
        assert!(!ids.was_used(StreamId::new(6)));
        assert_eq!(ids.highest_seen(), StreamId::new(8));
    }
}
