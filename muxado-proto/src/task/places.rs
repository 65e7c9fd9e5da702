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
    handles: usize,
}

#[derive(Debug, Default)]
struct Page {
    places: Vec<StreamWakers>,
    /// How many of its streams have a handle.
    live: usize,
}

impl Places {
    /// How many streams have a handle.
    pub(super) const fn handles(&self) -> usize {
        self.handles
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut StreamWakers> {
        let slot = usize::try_from(slot).ok()?;
        self.pages.get_mut(slot / PAGE)?.places.get_mut(slot % PAGE)
    }

    /// Creates a place for a stream that gets a handle.
    pub(super) fn adopt(&mut self, slot: u32) {
        let slot = usize::try_from(slot).unwrap_or(usize::MAX);
        let (page, at) = (slot / PAGE, slot % PAGE);
        if self.pages.len() <= page {
            let more = page.saturating_add(1).saturating_sub(self.pages.len());
            self.pages.reserve_exact(more.max(self.pages.len() / 8));
            self.pages.resize_with(page.saturating_add(1), Page::default);
        }
        let Some(Page { places, live }) = self.pages.get_mut(page) else { return };
        if places.len() <= at {
            // One stream needs one place; most sessions have few.
            let more = at.saturating_add(1).saturating_sub(places.len());
            places.reserve_exact(more.max((at / 2).min(PAGE.saturating_sub(places.len()))));
            places.resize_with(at.saturating_add(1), StreamWakers::default);
        }
        if let Some(place) = places.get_mut(at) {
            *place = StreamWakers { handles: 1, ..StreamWakers::default() };
            *live = live.saturating_add(1);
            self.handles = self.handles.saturating_add(1);
        }
    }

    /// A handle is dropped. Returns the wakers if it was the last one on its stream, to be dropped
    /// after the lock.
    #[must_use = "wakers are dropped without the lock"]
    pub(super) fn release(&mut self, slot: u32) -> Option<StreamWakers> {
        let slot = usize::try_from(slot).ok()?;
        let Page { places, live } = self.pages.get_mut(slot / PAGE)?;
        let place = places.get_mut(slot % PAGE)?;
        place.handles = place.handles.saturating_sub(1);
        if place.handles > 0 {
            return None;
        }
        *live = live.saturating_sub(1);
        self.handles = self.handles.saturating_sub(1);
        Some(core::mem::take(place))
    }

    /// Frees the pages without a handle.
    pub(super) fn shrink(&mut self) {
        for page in self.pages.iter_mut().filter(|page| page.live == 0) {
            page.places = Vec::new();
        }
        if self.handles == 0 {
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
            assert_eq!(places.get_mut(stays).map(|place| place.handles), Some(1));
            assert_eq!(places.handles(), 1);
            assert!(places.release(stays).is_some());
            places.shrink();
            assert_eq!(places.pages.capacity(), 0);
        }
    }

    #[test]
    fn a_stream_in_two_halves_is_released_by_the_second_one() {
        let mut places = Places::default();
        places.adopt(3);
        places.get_mut(3).unwrap().handles = 2;
        assert!(places.release(3).is_none());
        assert!(places.release(3).is_some());
        assert_eq!(places.handles(), 0);
    }
}
