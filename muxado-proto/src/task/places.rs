//! A table beside the session's streams, by [`slot`](crate::StreamMut::slot).

use alloc::vec::Vec;
use core::task::Waker;

use super::parked::{Number, Parked};

/// Places on a page.
const PAGE: usize = 16;

/// Which of the two tasks that can wait for a stream.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Reader,
    Writer,
}

/// The waiters of each stream. Pages without a handle are freed by [`shrink`](Self::shrink), so
/// that one crowd after another needs no new memory.
#[derive(Debug, Default)]
pub(super) struct Places {
    pages: Vec<Page>,
    parked: Parked,
    streams: usize,
}

/// The wakers of one stream, if its tasks wait.
#[derive(Debug, Default)]
struct Place {
    reader: Option<Number>,
    writer: Option<Number>,
}

impl Place {
    #[inline]
    const fn side(&mut self, side: Side) -> &mut Option<Number> {
        match side {
            Side::Reader => &mut self.reader,
            Side::Writer => &mut self.writer,
        }
    }
}

#[derive(Debug, Default)]
struct Page {
    places: Vec<Place>,
    handles: Handles,
}

/// How many handles each stream of a page has, in two bits: 1 for a whole stream or the last half, 2
/// for two halves, 3 while the halves are made of the whole, 0 for a free place.
#[derive(Debug, Default)]
struct Handles(u32);

impl Handles {
    const MASK: u32 = 0b11;

    fn shift(at: usize) -> u32 {
        u32::try_from(at).unwrap_or_default().saturating_mul(2)
    }

    fn get(&self, at: usize) -> u32 {
        self.0.wrapping_shr(Self::shift(at)) & Self::MASK
    }

    fn set(&mut self, at: usize, count: u32) {
        let shift = Self::shift(at);
        self.0 = self.0 & !Self::MASK.wrapping_shl(shift) | count.wrapping_shl(shift);
    }

    /// Whether no stream of the page has a handle.
    const fn are_none(&self) -> bool {
        self.0 == 0
    }
}

/// The page of a slot, and the place on it.
fn locate(slot: u32) -> (usize, usize) {
    let slot = usize::try_from(slot).unwrap_or(usize::MAX);
    (slot / PAGE, slot % PAGE)
}

impl Places {
    /// How many streams have a handle.
    pub(super) const fn streams(&self) -> usize {
        self.streams
    }

    /// Registers the waker of a task that waits for a stream. Returns the previous one, to be dropped
    /// after the lock.
    #[must_use = "wakers are dropped without the lock"]
    pub(super) fn wait(&mut self, slot: u32, side: Side, waker: &Waker) -> Option<Waker> {
        let (page, at) = locate(slot);
        let place = self.pages.get_mut(page)?.places.get_mut(at)?.side(side);
        match place.and_then(|number| self.parked.get_mut(number)) {
            Some(known) if known.will_wake(waker) => None,
            Some(known) => Some(core::mem::replace(known, waker.clone())),
            None => {
                *place = self.parked.insert(waker.clone());
                None
            }
        }
    }

    /// Takes the waker of a task that waits for a stream.
    #[inline]
    pub(super) fn take(&mut self, slot: u32, side: Side) -> Option<Waker> {
        let (page, at) = locate(slot);
        let number = self.pages.get_mut(page)?.places.get_mut(at)?.side(side).take()?;
        self.parked.remove(number)
    }

    /// Creates a place for a stream that gets a handle.
    pub(super) fn adopt(&mut self, slot: u32) {
        let (page, at) = locate(slot);
        if self.pages.len() <= page {
            let more = page.saturating_add(1).saturating_sub(self.pages.len());
            self.pages.reserve_exact(more.max(self.pages.len() / 8));
            self.pages.resize_with(page.saturating_add(1), Page::default);
        }
        let Some(Page { places, handles }) = self.pages.get_mut(page) else { return };
        if places.len() <= at {
            // One stream needs one place; most sessions have few.
            let more = at.saturating_add(1).saturating_sub(places.len());
            places.reserve_exact(more.max((at / 2).min(PAGE.saturating_sub(places.len()))));
            places.resize_with(at.saturating_add(1), Place::default);
        }
        if at < places.len() {
            handles.set(at, 1);
            self.streams = self.streams.saturating_add(1);
        }
    }

    /// Counts the two halves of a stream, whose whole is about to be dropped.
    pub(super) fn split(&mut self, slot: u32) {
        let (page, at) = locate(slot);
        if let Some(page) = self.pages.get_mut(page) {
            page.handles.set(at, 3);
        }
    }

    /// A handle is dropped. Returns the wakers if it was the last one on its stream, to be dropped
    /// after the lock.
    #[must_use = "wakers are dropped without the lock"]
    pub(super) fn release(&mut self, slot: u32) -> Option<[Option<Waker>; 2]> {
        let (page, at) = locate(slot);
        let Page { places, handles } = self.pages.get_mut(page)?;
        let place = places.get_mut(at)?;
        let left = handles.get(at).saturating_sub(1);
        handles.set(at, left);
        if left > 0 {
            return None;
        }
        self.streams = self.streams.saturating_sub(1);
        let Place { reader, writer } = core::mem::take(place);
        Some([reader, writer].map(|number| number.and_then(|number| self.parked.remove(number))))
    }

    /// Frees the pages without a handle, and memory for wakers that are gone.
    pub(super) fn shrink(&mut self) {
        for page in self.pages.iter_mut().filter(|page| page.handles.are_none()) {
            page.places = Vec::new();
        }
        if self.streams == 0 {
            self.pages = Vec::new();
        }
        if self.parked.is_sparse() {
            self.gather();
        }
    }

    /// Gives all wakers new numbers.
    fn gather(&mut self) {
        let mut former = core::mem::take(&mut self.parked);
        for place in self.pages.iter_mut().flat_map(|page| &mut page.places) {
            for number in [&mut place.reader, &mut place.writer] {
                let waker = number.and_then(|number| former.remove(number));
                *number = waker.and_then(|waker| self.parked.insert(waker));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "an interpreter takes minutes for a crowd")]
    fn w10_one_that_stays_keeps_one_page_of_a_crowd() {
        for stays in [0, 1000, 1999] {
            let mut places = Places::default();
            (0..2000).for_each(|slot| places.adopt(slot));
            for slot in (0..2000).filter(|&slot| slot != stays) {
                assert!(places.release(slot).is_some());
            }
            places.shrink();
            let kept: usize = places.pages.iter().map(|page| page.places.capacity()).sum();
            assert!(kept <= PAGE, "{kept}");
            assert!(places.wait(stays, Side::Reader, Waker::noop()).is_none());
            assert!(places.take(stays, Side::Reader).is_some());
            assert_eq!(places.streams(), 1);
            assert!(places.release(stays).is_some());
            places.shrink();
            assert_eq!(places.pages.capacity(), 0);
        }
    }

    #[test]
    fn a_stream_in_two_halves_is_released_by_the_second_one() {
        let mut places = Places::default();
        (0..20).for_each(|slot| places.adopt(slot));
        places.split(3);
        // The whole, then one half.
        assert!(places.release(3).is_none() && places.release(3).is_none());
        assert!(places.release(3).is_some());
        // The others have one handle each.
        let mut others = (0..20).filter(|&slot| slot != 3);
        assert!(others.all(|slot| places.release(slot).is_some()));
        assert_eq!(places.streams(), 0);
    }

    #[test]
    #[cfg_attr(miri, ignore = "an interpreter takes minutes for a crowd")]
    fn w10_one_that_waits_keeps_nothing_of_a_crowd() {
        let mut places = Places::default();
        (0..2000).for_each(|slot| places.adopt(slot));
        for (slot, side) in (0..2000).flat_map(|slot| [(slot, Side::Reader), (slot, Side::Writer)])
        {
            assert!(places.wait(slot, side, Waker::noop()).is_none());
            // Another poll of the same task takes no second place. Whether it keeps the waker or replaces
            // it is left to `will_wake`, which may not know a waker again.
            drop(places.wait(slot, side, Waker::noop()));
        }
        for slot in (0..2000).filter(|&slot| slot != 1500) {
            assert!(places.take(slot, Side::Reader).is_some());
            assert!(matches!(places.release(slot), Some([None, Some(_)])));
        }
        assert!(places.parked.is_sparse());
        places.shrink();
        assert!(!places.parked.is_sparse());
        for side in [Side::Reader, Side::Writer] {
            assert!(places.take(1500, side).is_some() && places.take(1500, side).is_none());
        }
    }

    #[test]
    fn what_each_stream_needs_is_small() {
        assert_eq!(size_of::<Place>(), 8);
        assert_eq!(size_of::<super::super::target::Target>(), 2 * size_of::<usize>());
    }
}
