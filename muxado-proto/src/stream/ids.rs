//! Which ids have been used, and a map from ids to what is known of them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::frame::StreamId;
use crate::secret::IdKey;

/// What is known of an id of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Not used before.
    Fresh,
    /// Its range was forgotten, so it may have been used or skipped.
    Forgotten,
    /// Used before.
    Used,
}

/// The ids that the peer has opened: the highest one and, because SYNs arrive in any order, the
/// ranges below it that are still unused. The number of ranges is bounded; the lowest is forgotten
/// first, and its ids then count as used.
#[derive(Debug, Default)]
#[cfg_attr(feature = "audit", derive(Clone, Hash))]
pub(crate) struct SeenIds {
    /// The highest id seen, 0 if none.
    highest: u32,
    /// Unused ids below it as inclusive ranges of one parity, from the last id to the first.
    gaps: BTreeMap<u32, u32>,
    /// The highest id of a range that was forgotten, 0 if none was.
    forgotten: u32,
}

impl SeenIds {
    pub(crate) const fn highest(&self) -> StreamId {
        StreamId::new(self.highest)
    }

    /// Marks `id` as used; returns its previous state.
    #[must_use]
    pub(crate) fn insert(&mut self, id: StreamId, max_gaps: usize) -> Seen {
        let id = id.get();
        if id > self.highest {
            // The first id of this parity is 1 or 2; a first SYN of 7 leaves 1..=5 open.
            let first = if self.highest == 0 {
                if id % 2 == 0 { 2 } else { 1 }
            } else {
                self.highest.saturating_add(2)
            };
            if first < id {
                self.add_gap(first, id.saturating_sub(2), max_gaps);
            }
            self.highest = id;
            return Seen::Fresh;
        }
        let Some((first, last)) = self.gap(id) else {
            return if id <= self.forgotten { Seen::Forgotten } else { Seen::Used };
        };
        self.gaps.remove(&last);
        if first < id {
            self.add_gap(first, id.saturating_sub(2), max_gaps);
        }
        if id < last {
            self.add_gap(id.saturating_add(2), last, max_gaps);
        }
        Seen::Fresh
    }

    /// Whether `id` has been used, or may have been.
    pub(crate) fn contains(&self, id: StreamId) -> bool {
        id.get() <= self.highest && self.gap(id.get()).is_none()
    }

    /// The range of unused ids that `id` is in.
    fn gap(&self, id: u32) -> Option<(u32, u32)> {
        let (&last, &first) = self.gaps.range(id..).next()?;
        (first <= id).then_some((first, last))
    }

    fn add_gap(&mut self, first: u32, last: u32, max_gaps: usize) {
        self.gaps.insert(last, first);
        while self.gaps.len() > max_gaps {
            let Some((lowest, _)) = self.gaps.pop_first() else { break };
            self.forgotten = self.forgotten.max(lowest);
        }
    }
}

/// Places of a map that are kept, so that it need not grow again for each few dozen streams.
const KEPT_PLACES: usize = 128;

/// A hash map from stream ids to small numbers: open addressing, linear probing, deletion by
/// shifting back.
///
/// The hash depends on a secret, so a peer cannot pick ids that share a bucket. The map is never
/// iterated, so its order does not affect behaviour.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(crate) struct IdMap {
    /// `(id, value)`; id 0 marks a free place.
    places: Vec<(u32, u32)>,
    len: usize,
    key: IdKey,
}

impl IdMap {
    pub(crate) const fn new(key: IdKey) -> Self {
        Self { places: Vec::new(), len: 0, key }
    }

    /// The place where `id` is or would be, and whether it is there. The table is never full.
    #[inline]
    fn find(&self, id: u32) -> Option<(usize, bool)> {
        let mask = self.places.len().checked_sub(1)?;
        let mut at = self.home(id, mask);
        loop {
            match self.places.get(at)?.0 {
                0 => return Some((at, false)),
                key if key == id => return Some((at, true)),
                _ => at = at.wrapping_add(1) & mask,
            }
        }
    }

    #[inline]
    fn home(&self, id: u32, mask: usize) -> usize {
        usize::try_from(self.key.hash(id)).unwrap_or_default() & mask
    }

    /// How many ids it holds.
    #[cfg(feature = "audit")]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whether every id is found where it is, and the places are as many as they should be.
    #[cfg(any(feature = "audit", test))]
    pub(crate) fn is_sound(&self) -> bool {
        let taken = || self.places.iter().enumerate().filter(|(_, place)| place.0 != 0);
        // Where too many places are taken, a search need not end.
        let roomy = self.len.saturating_mul(4) <= self.places.len().saturating_mul(3);
        roomy
            && taken().count() == self.len
            && taken().all(|(at, &(id, _))| self.find(id) == Some((at, true)))
    }

    #[inline]
    pub(crate) fn get(&self, id: StreamId) -> Option<u32> {
        let mask = self.places.len().checked_sub(1)?;
        let mut at = self.home(id.get(), mask);
        loop {
            let &(key, value) = self.places.get(at)?;
            if key == id.get() {
                return Some(value);
            }
            if key == 0 {
                return None;
            }
            at = at.wrapping_add(1) & mask;
        }
    }

    /// Inserts or replaces; returns the previous value. `id` must not be 0, which no stream has.
    pub(crate) fn insert(&mut self, id: StreamId, value: u32) -> Option<u32> {
        if self.len.saturating_mul(4) >= self.places.len().saturating_mul(3) {
            self.resize(self.places.len().saturating_mul(2).max(4));
        }
        let (at, found) = self.find(id.get())?;
        let place = self.places.get_mut(at)?;
        let (_, before) = core::mem::replace(place, (id.get(), value));
        if found {
            return Some(before);
        }
        self.len = self.len.saturating_add(1);
        None
    }

    /// Removes an id if its value passes the check; returns whether it was removed.
    pub(crate) fn remove_if(&mut self, id: StreamId, passes: impl FnOnce(u32) -> bool) -> bool {
        let Some((at, true)) = self.find(id.get()) else { return false };
        let removed = self.places.get(at).is_some_and(|&(_, value)| passes(value));
        if removed {
            self.close_hole(at);
        }
        removed
    }

    fn close_hole(&mut self, mut hole: usize) {
        let mask = self.places.len().wrapping_sub(1);
        let mut at = hole;
        loop {
            at = at.wrapping_add(1) & mask;
            let Some(&place) = self.places.get(at) else { return };
            if place.0 == 0 {
                break;
            }
            // Move it back unless that would put it before its home.
            let home = self.home(place.0, mask);
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                if let Some(to) = self.places.get_mut(hole) {
                    *to = place;
                }
                hole = at;
            }
        }
        if let Some(place) = self.places.get_mut(hole) {
            *place = (0, 0);
        }
        debug_assert!(self.len > 0, "what is removed was counted");
        self.len = self.len.saturating_sub(1);
        if self.places.len() > KEPT_PLACES && self.len.saturating_mul(8) < self.places.len() {
            self.resize(self.places.len() / 2);
        }
    }

    fn resize(&mut self, places: usize) {
        let mut bigger = Vec::new();
        bigger.resize(places, (0, 0));
        for (id, value) in core::mem::replace(&mut self.places, bigger) {
            if id != 0 {
                if let Some((at, _)) = self.find(id) {
                    if let Some(place) = self.places.get_mut(at) {
                        *place = (id, value);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::MAX_U31;
    use crate::secret::SessionKey;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    #[test]
    fn out_of_order_ids_are_new_once() {
        let mut seen = SeenIds::default();
        for id in [9, 5, 3, 7, 1] {
            assert_eq!(seen.insert(StreamId::new(id), 256), Seen::Fresh, "{id}");
            assert_eq!(seen.insert(StreamId::new(id), 256), Seen::Used, "{id} again");
        }
        assert_eq!(seen.highest(), StreamId::new(9));
        assert!(seen.gaps.is_empty());
        let mut seen = SeenIds::default();
        for id in [8, 4, 2, 6] {
            assert_eq!(seen.insert(StreamId::new(id), 256), Seen::Fresh, "{id}");
        }
        assert!(seen.gaps.is_empty());
    }

    #[test]
    fn gap_bomb_is_bounded() {
        // Miri takes minutes for all of them.
        const END: u32 = if cfg!(miri) { 4_000 } else { 100_000 };
        let mut seen = SeenIds::default();
        for id in (3..END).step_by(4) {
            assert_eq!(seen.insert(StreamId::new(id), 256), Seen::Fresh);
            assert!(seen.gaps.len() <= 256);
        }
        assert_eq!(seen.gaps.len(), 256);
        // The oldest gap was forgotten: its ids may have been used. The newest is open.
        assert_eq!(seen.insert(StreamId::new(5), 256), Seen::Forgotten);
        assert_eq!(seen.insert(StreamId::new(END - 3), 256), Seen::Fresh);
        assert_eq!(seen.insert(StreamId::new(END - 1), 256), Seen::Used);
    }

    fn id_key(key: u128) -> IdKey {
        SessionKey::new(key.to_be_bytes()).id_map()
    }

    /// Ids that collide under one key, which a peer could compute if it knew the key, do not
    /// collide more than others under any other key.
    #[test]
    #[cfg_attr(miri, ignore = "an interpreter takes hours for the search")]
    fn s1_a_set_that_collides_under_one_key_is_harmless_under_others() {
        const COUNT: usize = 768;
        let mask = 1023;
        let known = IdMap::new(id_key(u128::MAX));
        let colliding = (3..MAX_U31).step_by(2).filter(|&id| known.home(id, mask) == 0);
        let ids: Vec<u32> = colliding.take(COUNT).collect();
        let (mean, most) = probes(u128::MAX, &ids);
        assert!(mean > 300 && most == COUNT, "{mean}, {most}: they do collide");
        for key in 0..500 {
            let (mean, most) = probes(key, &ids);
            assert!(mean <= 6 && most <= 400, "{mean}, {most}: {key}");
        }
    }

    /// How many places a look-up of each of `ids` examines, on average and at most.
    fn probes(key: u128, ids: &[u32]) -> (usize, usize) {
        let mut map = IdMap::new(id_key(key));
        for &id in ids {
            map.insert(StreamId::new(id), id);
        }
        let mask = map.places.len() - 1;
        let lengths = ids.iter().map(|&id| {
            let (at, found) = map.find(id).unwrap();
            assert!(found);
            (at.wrapping_sub(map.home(id, mask)) & mask) + 1
        });
        (lengths.clone().sum::<usize>() / ids.len(), lengths.max().unwrap())
    }

    /// Linear probing in a table that is three quarters full examines 2.5 places on average if the
    /// hash is as good as random.
    #[test]
    #[cfg_attr(
        miri,
        ignore = "a measurement of a million look-ups; other tests show the map to Miri"
    )]
    fn no_secret_and_no_choice_of_ids_makes_a_look_up_slow() {
        const COUNT: u32 = 768;
        for secret in 0..500 {
            // The ids a client and a server use, early and late in a session.
            for first in [2, 3, 0x0100_0001, 0x7fff_0000] {
                let ids: Vec<u32> = (0..COUNT).map(|n| first + 2 * n).collect();
                let (mean, most) = probes(secret, &ids);
                assert!(mean <= 6 && most <= 400, "{mean}, {most}: {secret:#x}, from {first}");
            }
            // The ids that a peer would choose.
            for stride in (1..22).map(|bits| 1 << bits).chain([6, 10, 1022, 1026, 65_534, 131_074])
            {
                let ids: Vec<u32> = (0..COUNT).map(|n| (3 + stride * n) & MAX_U31).collect();
                let (mean, most) = probes(secret, &ids);
                assert!(mean <= 6 && most <= 400, "{mean}, {most}: {secret:#x}, by {stride}");
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "an interpreter takes minutes for a crowd")]
    fn a_map_that_was_large_gives_its_memory_back() {
        let mut map = IdMap::new(id_key(7));
        let ids = || (1..=1000).map(StreamId::new);
        ids().for_each(|id| assert_eq!(map.insert(id, 0), None));
        assert!(map.is_sound() && map.places.len() == 2048);
        for id in ids() {
            // The places are halved when less than an eighth of them is taken.
            let before = map.places.len();
            assert!(map.remove_if(id, |_| true) && map.is_sound());
            let halves = before > KEPT_PLACES && map.len < before / 8;
            assert_eq!(map.places.len(), if halves { before / 2 } else { before });
        }
        assert_eq!((map.len, map.places.len()), (0, KEPT_PLACES));
    }

    proptest! {
        #[test]
        fn seen_ids_match_a_set(ids in proptest::collection::vec(0u32..120, 0..100), odd: bool) {
            let mut seen = SeenIds::default();
            let mut model = BTreeSet::new();
            for id in ids {
                let id = id * 2 + if odd { 1 } else { 2 };
                prop_assert_eq!(seen.contains(StreamId::new(id)), model.contains(&id));
                let fresh = seen.insert(StreamId::new(id), 256) == Seen::Fresh;
                prop_assert_eq!(fresh, model.insert(id));
            }
        }

        #[test]
        fn id_map_matches_a_map(
            seed: u128,
            ops in proptest::collection::vec((any::<bool>(), 1u32..200, any::<u32>()), 0..400),
        ) {
            let mut map = IdMap::new(id_key(seed));
            let mut model = BTreeMap::new();
            for (insert, id, value) in ops {
                if insert {
                    let before = map.insert(StreamId::new(id), value);
                    prop_assert_eq!(before, model.insert(id, value));
                } else {
                    prop_assert!(!map.remove_if(StreamId::new(id), |_| false));
                    let removed = map.remove_if(StreamId::new(id), |_| true);
                    prop_assert_eq!(removed, model.remove(&id).is_some());
                }
                prop_assert_eq!(map.len, model.len());
                prop_assert!(map.is_sound());
            }
            for id in 1..200 {
                prop_assert_eq!(map.get(StreamId::new(id)), model.get(&id).copied());
            }
        }
    }
}
