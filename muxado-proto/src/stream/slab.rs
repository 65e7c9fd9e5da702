//! Places for records, each in memory of its own, so one that stays keeps nothing of others.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Values whose memory is kept for later ones.
const SPARE: usize = 64;

/// Empty places that are kept when everything was removed.
const KEPT_PLACES: usize = 64;

/// Values by number. A number is reused when its value was removed.
///
/// Invariant: `free` has the number of each empty place once.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct Slab<T> {
    places: Vec<Option<Box<T>>>,
    /// The empty places; the one that was emptied last is used first.
    free: Vec<u32>,
    /// The memory of removed values, which are still in it.
    spare: Vec<Box<T>>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new(), spare: Vec::new() }
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
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.places.len().saturating_sub(self.free.len())
    }

    /// The empty places, the next one to use last.
    #[cfg(any(feature = "audit", test))]
    pub(super) fn free(&self) -> &[u32] {
        &self.free
    }

    /// Whether exactly the empty places are listed as such.
    #[cfg(any(feature = "audit", test))]
    pub(super) fn is_sound(&self) -> bool {
        let mut free = self.free.clone();
        free.sort_unstable();
        let empty = (0..self.end()).filter(|&number| self.get(number).is_none());
        empty.eq(free)
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
        let number = self.free.pop().unwrap_or_else(|| self.add_place());
        if let Some(place) = self.places.get_mut(number as usize) {
            *place = Some(value);
        }
        number
    }

    #[cold]
    fn add_place(&mut self) -> u32 {
        let number = self.end();
        if self.places.len() == self.places.capacity() {
            // An eighth: ten thousand idle streams should not pay for twenty.
            self.places.reserve_exact((self.places.len() / 8).max(4));
        }
        self.places.push(None);
        number
    }

    /// Removes a value; `false` if there is none.
    pub(super) fn remove(&mut self, number: u32) -> bool {
        let place = self.places.get_mut(number as usize);
        let Some(value) = place.and_then(Option::take) else { return false };
        if self.spare.len() < SPARE {
            self.spare.push(value);
        }
        self.free.push(number);
        if self.free.len() == self.places.len() && self.free.len() > KEPT_PLACES {
            self.places = Vec::new();
            self.free = Vec::new();
        }
        true
    }

    /// Whether it keeps memory for values that are not there.
    #[inline]
    pub(super) fn keeps_spare(&self) -> bool {
        !self.spare.is_empty()
    }

    /// Frees memory that no value needs.
    pub(super) fn shrink(&mut self) {
        self.spare = Vec::new();
        if self.len() == 0 {
            *self = Self::default();
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
            assert!(slab.is_sound() && slab.places.capacity() + slab.free.capacity() == 0);
            assert_eq!(slab.kept(), SPARE);
        }
        let stays = slab.insert(1);
        slab.shrink();
        assert_eq!(slab.get(stays), Some(&1));
        slab.remove(stays);
        assert!(slab.keeps_spare());
        slab.shrink();
        assert_eq!((slab.kept(), slab.places.capacity(), slab.free.capacity()), (0, 0, 0));
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
