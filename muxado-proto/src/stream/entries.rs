//! What is known of the ids in use: a live stream each, or a tombstone.

use alloc::collections::VecDeque;

use super::ids::IdMap;
use super::key::Key;
use crate::frame::StreamId;
use crate::secret::IdKey;

/// What is known of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "audit", derive(Hash))]
pub(crate) enum Entry {
    /// A stream.
    Live(Key),
    /// A finished stream; one side has sent an RST.
    Reset,
}

/// What the map holds for [`Entry::Reset`]; no key is so large.
const RESET: u32 = u32::MAX;

impl Entry {
    const fn from_value(value: u32) -> Self {
        match value {
            RESET => Self::Reset,
            key => Self::Live(Key::new(key)),
        }
    }
}

/// The entries by id. Tombstones are limited: the oldest is removed to make room.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct Entries {
    map: IdMap,
    /// The ids in `map` whose stream was removed, oldest first. An id that has a stream after all
    /// leaves a stale entry.
    tombstones: VecDeque<StreamId>,
    max_tombstones: u32,
    /// How many of `tombstones` are stale entries that await compaction.
    stale: u32,
}

impl Entries {
    pub(super) const fn new(key: IdKey, max_tombstones: u32) -> Self {
        Self { map: IdMap::new(key), tombstones: VecDeque::new(), max_tombstones, stale: 0 }
    }

    #[inline]
    pub(super) fn get(&self, id: StreamId) -> Option<Entry> {
        self.map.get(id).map(Entry::from_value)
    }

    /// The id has a stream now.
    pub(super) fn insert(&mut self, id: StreamId, key: Key) {
        // The peer may have sent DATA on the id before it was opened.
        if self.map.insert(id, key.number()) == Some(RESET) {
            self.stale = self.stale.saturating_add(1);
        }
    }

    /// Nothing is known of the id from now on.
    pub(super) fn forget(&mut self, id: StreamId) {
        self.map.remove_if(id, |_| true);
    }

    /// Records a tombstone for an id that has none, in place of its stream if it has one.
    pub(super) fn bury(&mut self, id: StreamId) {
        let before = self.map.insert(id, RESET);
        debug_assert!(before != Some(RESET), "{id} has a tombstone");
        self.tombstones.push_back(id);
        if self.stale > self.max_tombstones {
            // Compacted from time to time, so that stale entries take little memory.
            let map = &self.map;
            self.tombstones.retain(|&id| map.get(id) == Some(RESET));
            self.stale = 0;
        }
        let max = self.max_tombstones as usize;
        while self.tombstones.len().saturating_sub(self.stale as usize) > max {
            let Some(oldest) = self.tombstones.pop_front() else { break };
            // A stale entry only leaves the queue.
            if !self.map.remove_if(oldest, |value| value == RESET) {
                self.stale = self.stale.saturating_sub(1);
            }
        }
    }
}

#[cfg(feature = "audit")]
impl Entries {
    /// Finds the first wrong counter, if so many streams are live.
    pub(super) fn audit(&self, live: usize) -> Result<(), alloc::string::String> {
        // An id can be in it twice, once as a stale entry.
        let mut ids: alloc::vec::Vec<_> = self.tombstones.iter().copied().collect();
        ids.sort_unstable();
        ids.dedup();
        let dead = ids.iter().filter(|&&id| self.get(id) == Some(Entry::Reset)).count();
        let mapped = self.map.len().saturating_sub(live);
        let current = self.tombstones.len().checked_sub(self.stale as usize);
        let wrong = if !self.map.is_sound() {
            "the map of ids does not find what is in it".into()
        } else if mapped != dead {
            alloc::format!("{mapped} ids without a stream, {dead} tombstones")
        } else if current != Some(dead) {
            alloc::format!("{current:?} current tombstones counted, there are {dead}")
        } else if dead > self.max_tombstones as usize {
            alloc::format!("{dead} tombstones are too many")
        } else {
            return Ok(());
        };
        Err(wrong)
    }

    pub(super) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        // The tombstones and the streams determine the map and the count of stale entries.
        let Self { map: _, tombstones, max_tombstones: _, stale: _ } = self;
        digest.count(tombstones.len());
        for &id in tombstones {
            digest.value(&(id, self.get(id)));
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::secret::SessionKey;

    const MAX: u32 = 4;

    fn entries() -> Entries {
        Entries::new(SessionKey::new([7; 16]).id_map(), MAX)
    }

    fn id(number: u32) -> StreamId {
        StreamId::new(2 * number + 1)
    }

    /// Which of these ids have a tombstone.
    fn buried(entries: &Entries) -> Vec<u32> {
        (1..200).filter(|&number| entries.get(id(number)) == Some(Entry::Reset)).collect()
    }

    #[test]
    fn the_latest_tombstones_are_kept() {
        let mut entries = entries();
        for number in 1..=20 {
            entries.bury(id(number));
            let oldest = number.saturating_sub(MAX - 1).max(1);
            assert_eq!(buried(&entries), (oldest..=number).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_id_that_is_used_after_all_leaves_no_tombstone() {
        let mut entries = entries();
        for round in 0..100 {
            for number in [1, 2] {
                entries.bury(id(number));
                entries.insert(id(number), Key::new(9));
                assert_eq!(entries.get(id(number)), Some(Entry::Live(Key::new(9))));
                entries.forget(id(number));
                assert_eq!(entries.get(id(number)), None);
            }
            assert_eq!(buried(&entries), [], "{round}");
            // Stale entries take little memory.
            let kept = entries.tombstones.len();
            assert!(kept <= 2 * MAX as usize + 2, "{kept}");
        }
        (3..=6).for_each(|number| entries.bury(id(number)));
        assert_eq!(buried(&entries), [3, 4, 5, 6]);
    }

    #[test]
    fn stale_entries_go_and_tombstones_stay() {
        let mut entries = entries();
        (1..=MAX).for_each(|number| entries.bury(id(number)));
        entries.insert(id(1), Key::new(1));
        entries.bury(id(5));
        (2..=5).for_each(|number| entries.insert(id(number), Key::new(number)));
        // All are stale now. The next tombstone drops them, whether just as many or more may be.
        for number in 6..=100 {
            entries.bury(id(number));
            assert_eq!(buried(&entries), [number]);
            let kept = entries.tombstones.len();
            assert!(kept <= 2 * MAX as usize, "{kept}");
            entries.insert(id(number), Key::new(number));
        }
        (101..=105).for_each(|number| entries.bury(id(number)));
        assert_eq!(buried(&entries), [102, 103, 104, 105]);
    }
}
