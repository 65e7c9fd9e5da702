//! Places for records, each in memory of its own, so one that stays keeps nothing of others.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Values whose memory is kept for later ones.
const SPARE: usize = 64;

/// Bits of a word.
const WORD: u32 = u64::BITS;

/// Empty places that are kept when everything was removed.
const KEPT_PLACES: usize = 64;

/// Values by number. The lowest free number is used first.
///
/// Invariants: a place has a bit in `taken`, which is set if it has a value; `len` is the number of
/// values.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct Slab<T> {
    places: Vec<Option<Box<T>>>,
    taken: Vec<u64>,
    /// All words of `taken` before this one are full.
    roomy: u32,
    len: u32,
    /// The memory of removed values, which are still in it.
    spare: Vec<Box<T>>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), taken: Vec::new(), roomy: 0, len: 0, spare: Vec::new() }
    }
}

impl<T> Slab<T> {
    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.places.get(number as usize)?.as_deref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.places.get_mut(number as usize)?.as_deref_mut()
    }

    /// How many values there are.
    #[cfg(any(feature = "audit", test))]
    pub(super) const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether `taken` and `len` agree with the places.
    #[cfg(any(feature = "audit", test))]
    pub(super) fn is_sound(&self) -> bool {
        let bit = |number: u32| {
            let word = self.taken.get((number / WORD) as usize).copied().unwrap_or_default();
            word >> (number % WORD) & 1 == 1
        };
        let bits: u32 = self.taken.iter().map(|word| word.count_ones()).sum();
        let full = self.taken.iter().take(self.roomy as usize).all(|&word| word == u64::MAX);
        let agrees = (0..self.end()).all(|number| bit(number) == self.get(number).is_some());
        agrees && full && bits == self.len
    }

    /// The numbers that may be taken: those below this one.
    pub(super) fn end(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn insert(&mut self, value: T) -> u32 {
        let value = match self.spare.pop() {
            Some(mut spare) => {
                *spare = value;
                spare
            }
            None => Box::new(value),
        };
        let number = self.take_number();
        match self.places.get_mut(number as usize) {
            Some(place) => *place = Some(value),
            None => self.add_place(value),
        }
        self.len = self.len.saturating_add(1);
        number
    }

    fn take_number(&mut self) -> u32 {
        loop {
            match self.taken.get_mut(self.roomy as usize) {
                Some(&mut u64::MAX) => self.roomy = self.roomy.saturating_add(1),
                Some(word) => {
                    let bit = word.trailing_ones();
                    // Sets the lowest bit that is not set.
                    *word |= word.wrapping_add(1);
                    return self.roomy.saturating_mul(WORD).saturating_add(bit);
                }
                None => self.taken.push(0),
            }
        }
    }

    #[cold]
    fn add_place(&mut self, value: Box<T>) {
        if self.places.len() == self.places.capacity() {
            // An eighth: ten thousand idle streams should not pay for twenty.
            self.places.reserve_exact((self.places.len() / 8).max(4));
        }
        self.places.push(Some(value));
    }

    /// Removes a value; `false` if there is none.
    pub(super) fn remove(&mut self, number: u32) -> bool {
        let place = self.places.get_mut(number as usize);
        let Some(value) = place.and_then(Option::take) else { return false };
        if self.spare.len() < SPARE {
            self.spare.push(value);
        }
        let index = number / WORD;
        if let Some(word) = self.taken.get_mut(index as usize) {
            *word &= !1u64.wrapping_shl(number);
        }
        self.roomy = self.roomy.min(index);
        debug_assert!(self.len > 0, "what is removed was counted");
        self.len = self.len.saturating_sub(1);
        if self.len == 0 && self.places.len() > KEPT_PLACES {
            self.places = Vec::new();
            self.taken = Vec::new();
        }
        true
    }

    /// Whether it keeps memory for values that are not there.
    #[inline]
    pub(super) fn keeps_spare(&self) -> bool {
        !self.spare.is_empty()
    }

    /// Frees memory that no value needs, except for empty places below the last value.
    pub(super) fn shrink(&mut self) {
        self.spare = Vec::new();
        while self.places.last().is_some_and(Option::is_none) {
            self.places.pop();
        }
        if self.places.len() <= self.places.capacity() / 2 {
            self.places.shrink_to_fit();
            self.taken.truncate(self.places.len().div_ceil(WORD as usize));
            self.taken.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    impl<T> Slab<T> {
        /// Values that have memory.
        fn kept(&self) -> usize {
            self.len() + self.spare.len()
        }
    }

    #[test]
    fn w10_one_that_stays_keeps_nothing_of_a_crowd() {
        for stays in [0, 1000, 1999] {
            let mut slab = Slab::default();
            let numbers: Vec<u32> = (0..2000).map(|value| slab.insert(value)).collect();
            for (index, number) in numbers.into_iter().enumerate() {
                if index != stays {
                    assert_eq!(slab.get(number), Some(&index));
                    assert!(slab.remove(number));
                }
            }
            assert!(slab.kept() <= 1 + SPARE, "{}", slab.kept());
            slab.shrink();
            assert_eq!(slab.kept(), 1);
            assert!(slab.is_sound() && slab.places.capacity() <= 2 * (stays + 1).max(4));
            assert!((0..slab.end()).any(|number| slab.get(number) == Some(&stays)));
        }
    }

    #[test]
    fn a_crowd_that_has_gone_keeps_little_until_it_is_shrunk() {
        let mut slab = Slab::default();
        for _ in 0..2 {
            let numbers: Vec<u32> = (0..2000).map(|value| slab.insert(value)).collect();
            assert_eq!(numbers.first(), Some(&0));
            assert!(numbers.iter().rev().all(|&number| slab.remove(number)));
            assert!(slab.is_sound() && slab.places.capacity() == 0);
            assert_eq!(slab.kept(), SPARE);
        }
        let stays = slab.insert(1);
        slab.shrink();
        assert_eq!(slab.get(stays), Some(&1));
        slab.remove(stays);
        assert!(slab.keeps_spare());
        slab.shrink();
        assert_eq!((slab.kept(), slab.places.capacity(), slab.taken.capacity()), (0, 0, 0));
    }

    #[test]
    fn a_few_more_places_than_values_are_kept() {
        let mut slab = Slab::default();
        let (mut before, mut steps) = (0, 0);
        for value in 0..2000 {
            slab.insert(value);
            let (len, places) = (slab.len(), slab.places.capacity());
            assert!(places <= (len + len / 8).max(len + 4), "{places} places for {len} values");
            steps += usize::from(places > before);
            before = places;
        }
        // 4 at a time up to 40 or so, then an eighth more.
        assert!((40..50).contains(&steps), "the memory has grown {steps} times");
    }

    #[test]
    fn places_are_kept_while_more_than_half_are_in_use() {
        let mut slab = Slab::default();
        let numbers: Vec<u32> = (0..1000).map(|value| slab.insert(value)).collect();
        let all = slab.places.capacity();
        for (left, kept) in [(all / 2 + 1, all), (all / 2, all / 2)] {
            numbers.iter().skip(left).for_each(|&number| _ = slab.remove(number));
            slab.shrink();
            assert_eq!((slab.len(), slab.places.capacity()), (left, kept));
        }
    }

    #[test]
    fn a_few_empty_places_are_kept() {
        for (count, kept) in [(1, 1), (KEPT_PLACES, KEPT_PLACES), (KEPT_PLACES + 1, 0)] {
            let mut slab = Slab::default();
            let numbers: Vec<u32> = (0..count).map(|value| slab.insert(value)).collect();
            assert!(numbers.into_iter().all(|number| slab.remove(number)));
            assert_eq!(slab.places.len(), kept);
        }
    }

    #[test]
    fn a_removed_value_leaves_its_memory_to_the_next_one() {
        let mut slab = Slab::default();
        let first = slab.insert(1);
        assert_eq!((slab.remove(first), slab.remove(first), slab.kept()), (true, false, 1));
        assert_eq!((slab.insert(2), slab.kept(), slab.get(first)), (first, 1, Some(&2)));
    }

    proptest! {
        #[test]
        fn is_a_map(ops in proptest::collection::vec((any::<bool>(), 0usize..200), 0..if cfg!(miri) { 40 } else { 600 })) {
            let (mut slab, mut model) = (Slab::default(), BTreeMap::new());
            for (value, (insert, pick)) in ops.into_iter().enumerate() {
                if insert {
                    prop_assert_eq!(model.insert(slab.insert(value), value), None);
                } else if let Some(&number) = model.keys().nth(pick) {
                    prop_assert_eq!(slab.remove(number), model.remove(&number).is_some());
                }
                for number in 0..slab.end() + 40 {
                    prop_assert_eq!(slab.get(number), model.get(&number));
                }
                prop_assert!(slab.is_sound());
                prop_assert_eq!(slab.len(), model.len());
            }
        }
    }
}
