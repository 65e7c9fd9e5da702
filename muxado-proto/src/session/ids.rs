//! Which ids are used: those that this side opens, and those that the peer has opened.

use crate::frame::{MAX_U31, Role, StreamId};
use crate::stream::ids::SeenIds;

/// The ids of both sides.
///
/// Invariant: every stream of this side has an id below the next one, every stream of the peer has
/// an id that was seen.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone, Hash))]
pub(super) struct Ids {
    role: Role,
    /// The next id to open, `None` when all are used.
    next: Option<u32>,
    seen: SeenIds,
}

impl Ids {
    pub(super) fn new(role: Role) -> Self {
        Self { role, next: Some(role.first_id()), seen: SeenIds::default() }
    }

    /// The next id of this side, `None` when all are used.
    pub(super) fn open(&mut self) -> Option<StreamId> {
        let id = self.next?;
        self.next = id.checked_add(2).filter(|&next| next <= MAX_U31);
        Some(StreamId::new(id))
    }

    /// Whether every id of this side has been used.
    pub(super) const fn is_exhausted(&self) -> bool {
        self.next.is_none()
    }

    /// Whether this side opens streams with such ids.
    pub(super) const fn is_own(&self, id: StreamId) -> bool {
        id.is_opened_by(self.role)
    }

    /// Marks an id of the peer's as used; `false` if it was already, or may have been.
    #[must_use]
    pub(super) fn mark_used(&mut self, id: StreamId, max_gaps: u32) -> bool {
        self.seen.insert(id, usize::try_from(max_gaps).unwrap_or(usize::MAX))
    }

    /// Whether there has been a stream with this id.
    pub(super) fn was_used(&self, id: StreamId) -> bool {
        if self.is_own(id) {
            self.next.is_none_or(|next| id.get() < next)
        } else {
            self.seen.contains(id)
        }
    }

    /// The highest id of the peer's: what a GOAWAY names.
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
    fn ids_of_the_peer_are_used_once_in_any_order() {
        let mut ids = Ids::new(Role::Client);
        assert!(ids.mark_used(StreamId::new(8), 16));
        assert!(ids.mark_used(StreamId::new(4), 16));
        assert!(!ids.mark_used(StreamId::new(4), 16));
        assert!(!ids.was_used(StreamId::new(6)));
        assert_eq!(ids.highest_seen(), StreamId::new(8));
    }
}
