//! Places for records, in pages whose memory is freed when they are empty.

use alloc::vec::Vec;

/// Places on a page.
const PAGE: usize = 32;

/// Entries for pages that a slab keeps after many values were removed.
const KEPT_PAGES: usize = 4;

/// Some places, and which of them are taken.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
struct Page<T> {
    /// As many as were ever needed at once.
    places: Vec<Option<T>>,
    /// One bit for each place.
    taken: u32,
    /// It is on the stack of pages with room.
    has_room: bool,
    /// The page below it there.
    below: Option<u32>,
}

impl<T> Page<T> {
    const EMPTY: Self = Self { places: Vec::new(), taken: 0, has_room: false, below: None };

    /// Puts a value into its first free place. `first`: it is the first page of all.
    fn insert(&mut self, value: T, first: bool) -> usize {
        let at = self.taken.trailing_ones();
        self.taken |= 1u32.checked_shl(at).unwrap_or_default();
        let at = at as usize;
        if self.places.len() <= at {
            if self.places.capacity() <= at {
                // One stream needs one place, and most sessions have few; many streams need whole
                // pages.
                let more = if first { (at / 2).max(1) } else { PAGE };
                self.places.reserve_exact(more.min(PAGE.saturating_sub(at)));
            }
            self.places.resize_with(at.saturating_add(1), || None);
        }
        if let Some(place) = self.places.get_mut(at) {
            *place = Some(value);
        }
        at
    }

    /// Empties a place; `false` if it is empty.
    fn remove(&mut self, at: usize) -> bool {
        let Some(place) = self.places.get_mut(at).filter(|place| place.is_some()) else {
            return false;
        };
        *place = None;
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        self.taken &= !1u32.checked_shl(at).unwrap_or_default();
        true
    }
}

/// Values by number. A number is reused when its value was removed. A remaining value keeps the
/// memory of one page alive, however many values there were before.
///
/// Invariant: exactly the pages with room are on the stack.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct Slab<T> {
    pages: Vec<Page<T>>,
    /// The top of the stack of pages with room; it is used first.
    roomy: Option<u32>,
    len: u32,
    /// An empty page that keeps its memory for reuse.
    spare: Option<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), roomy: None, len: 0, spare: None }
    }
}

impl<T> Slab<T> {
    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        let (page, at) = split(number);
        self.pages.get(page)?.places.get(at)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let (page, at) = split(number);
        self.pages.get_mut(page)?.places.get_mut(at)?.as_mut()
    }

    /// How many values there are.
    #[cfg(any(feature = "audit", test))]
    pub(super) const fn len(&self) -> usize {
        self.len as usize
    }

    /// The pages with room, in the order in which they are used.
    #[cfg(any(feature = "audit", test))]
    pub(super) fn pages_with_room(&self) -> impl Iterator<Item = u32> {
        let below = |&index: &u32| self.pages.get(index as usize)?.below;
        core::iter::successors(self.roomy, below).take(self.pages.len())
    }

    /// Whether exactly the pages with room are on the stack.
    #[cfg(any(feature = "audit", test))]
    pub(super) fn is_sound(&self) -> bool {
        let has_room = |page: &Page<T>| page.taken != u32::MAX;
        let listed = |index: u32| self.pages.get(index as usize).is_some_and(has_room);
        self.pages.iter().all(|page| page.has_room == has_room(page))
            && self.pages_with_room().all(listed)
            && self.pages_with_room().count() == self.pages.iter().filter(|p| has_room(p)).count()
    }

    /// The numbers that may be taken: those below this one.
    pub(super) fn end(&self) -> u32 {
        u32::try_from(self.pages.len().saturating_mul(PAGE)).unwrap_or(u32::MAX)
    }

    pub(super) fn insert(&mut self, value: T) -> u32 {
        let index = self.roomy.unwrap_or_else(|| self.add_page());
        let mut at = 0;
        if let Some(page) = self.pages.get_mut(index as usize) {
            at = page.insert(value, index == 0);
            if page.taken == u32::MAX {
                page.has_room = false;
                self.roomy = page.below.take();
            }
        }
        if self.spare == Some(index) {
            self.spare = None;
        }
        self.len = self.len.saturating_add(1);
        let first = index.saturating_mul(u32::try_from(PAGE).unwrap_or(u32::MAX));
        first.saturating_add(u32::try_from(at).unwrap_or(u32::MAX))
    }

    fn add_page(&mut self) -> u32 {
        let index = u32::try_from(self.pages.len()).unwrap_or(u32::MAX);
        self.pages.reserve_exact((self.pages.len() / 8).max(1));
        self.pages.push(Page { has_room: true, below: self.roomy, ..Page::EMPTY });
        self.roomy = Some(index);
        index
    }

    /// Removes a value; `false` if there is none.
    pub(super) fn remove(&mut self, number: u32) -> bool {
        let (index, at) = split(number);
        let Some(page) = self.pages.get_mut(index) else { return false };
        if !page.remove(at) {
            return false;
        }
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        if !page.has_room {
            page.has_room = true;
            page.below = self.roomy.replace(number);
        }
        debug_assert!(self.len > 0, "what is removed was counted");
        self.len = self.len.saturating_sub(1);
        if page.taken > 0 {
            return true;
        }
        if self.spare.is_some() {
            page.places = Vec::new();
        } else {
            self.spare = Some(number);
        }
        if self.len == 0 && self.pages.len() > 1 {
            self.keep_first_page();
        }
        true
    }

    /// Many values were removed: later ones begin with a page that has memory.
    fn keep_first_page(&mut self) {
        self.pages.truncate(1);
        self.pages.shrink_to(KEPT_PAGES);
        self.roomy = None;
        self.spare = None;
        if let Some(first) = self.pages.first_mut() {
            first.has_room = true;
            first.below = None;
            self.roomy = Some(0);
            self.spare = Some(0).filter(|_| first.places.capacity() > 0);
        }
    }

    /// Frees all memory if it is empty.
    pub(super) fn shrink(&mut self) {
        if self.len == 0 {
            *self = Self::default();
        }
    }
}

/// The page of a place, and its index in the page.
#[inline]
const fn split(number: u32) -> (usize, usize) {
    let number = number as usize;
    (number / PAGE, number % PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    impl<T> Slab<T> {
        /// Places that have memory.
        fn capacity(&self) -> usize {
            self.pages.iter().map(|page| page.places.capacity()).sum()
        }
    }

    #[test]
    fn w10_one_that_stays_keeps_one_page_of_a_crowd() {
        for stays in [0, 1000, 1999] {
            let mut slab = Slab::default();
            let numbers: Vec<u32> = (0..2000).map(|value| slab.insert(value)).collect();
            for (index, number) in numbers.into_iter().enumerate() {
                if index != stays {
                    assert_eq!(slab.get(number), Some(&index));
                    assert!(slab.remove(number));
                }
            }
            assert!(slab.capacity() <= 2 * PAGE, "{}", slab.capacity());
            assert!((0..slab.end()).any(|number| slab.get(number) == Some(&stays)));
        }
    }

    #[test]
    fn a_crowd_that_has_gone_keeps_one_page_until_it_is_shrunk() {
        let mut slab = Slab::default();
        for _ in 0..2 {
            let numbers: Vec<u32> = (0..2000).map(|value| slab.insert(value)).collect();
            assert_eq!(numbers.first(), Some(&0));
            assert!(numbers.iter().rev().all(|&number| slab.remove(number)));
            assert!(slab.is_sound() && slab.pages.capacity() <= KEPT_PAGES);
            assert!(slab.capacity() <= PAGE, "{}", slab.capacity());
        }
        let stays = slab.insert(1);
        slab.shrink();
        assert_eq!(slab.get(stays), Some(&1));
        slab.remove(stays);
        slab.shrink();
        assert_eq!((slab.capacity(), slab.pages.capacity()), (0, 0));
    }

    #[test]
    fn few_need_little() {
        let mut slab = Slab::default();
        let first = slab.insert(1);
        assert_eq!(slab.capacity(), 1);
        assert_eq!((slab.remove(first), slab.remove(first), slab.insert(2)), (true, false, first));
        assert_eq!(slab.capacity(), 1);
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
