//! A table beside the session's streams, by [`slot`](crate::StreamMut::slot).

use alloc::vec::Vec;

use super::shared::StreamWakers;

/// Places on a page.
const PAGE: usize = 16;

/// The waiters of each stream. Pages without a handle are freed by [`shrink`](Self::shrink), so
/// that one crowd after another needs no new memory.
#[derive(Debug, Default)]
pub(super) struct Places {
    pages: Vec<Page>,
    streams: usize,
}

#[derive(Debug, Default)]
struct Page {
    places: Vec<StreamWakers>,
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

    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut StreamWakers> {
        let (page, at) = locate(slot);
        self.pages.get_mut(page)?.places.get_mut(at)
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
            places.resize_with(at.saturating_add(1), StreamWakers::default);
        }
        if let Some(place) = places.get_mut(at) {
            *place = StreamWakers::default();
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
    pub(super) fn release(&mut self, slot: u32) -> Option<StreamWakers> {
        let (page, at) = locate(slot);
        let Page { places, handles } = self.pages.get_mut(page)?;
        let place = places.get_mut(at)?;
        let left = handles.get(at).saturating_sub(1);
        handles.set(at, left);
        if left > 0 {
            return None;
        }
        self.streams = self.streams.saturating_sub(1);
        Some(core::mem::take(place))
    }

    /// Frees the pages without a handle.
    pub(super) fn shrink(&mut self) {
        for page in self.pages.iter_mut().filter(|page| page.handles.are_none()) {
            page.places = Vec::new();
        }
        if self.streams == 0 {
            self.pages = Vec::new();
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
            assert!(places.get_mut(stays).is_some());
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
    fn what_each_stream_needs_is_small() {
        assert_eq!(size_of::<StreamWakers>(), 4 * size_of::<usize>());
        assert_eq!(size_of::<super::super::target::Target>(), 2 * size_of::<usize>());
    }
}
