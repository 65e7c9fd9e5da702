//! The wakers of the tasks that wait for a stream.

use alloc::vec::Vec;
use core::num::NonZeroU32;
use core::task::Waker;

/// The number of a waker, from 1.
pub(super) type Number = NonZeroU32;

#[derive(Debug)]
enum Place {
    Waiting(Waker),
    /// Free, and which place was freed before.
    Free(Option<Number>),
}

/// Wakers by number: a stream for which nobody waits takes no memory here.
///
/// Invariants: the free places are a list that begins at `free`; `waiting` is the number of others.
#[derive(Debug, Default)]
pub(super) struct Parked {
    places: Vec<Place>,
    free: Option<Number>,
    waiting: u32,
}

impl Parked {
    fn place(&mut self, number: Number) -> Option<&mut Place> {
        self.places.get_mut(usize::try_from(number.get()).ok()?.checked_sub(1)?)
    }

    /// The waker of this number.
    #[inline]
    pub(super) fn get_mut(&mut self, number: Number) -> Option<&mut Waker> {
        match self.place(number)? {
            Place::Waiting(waker) => Some(waker),
            Place::Free(_) => None,
        }
    }

    /// `None` if there are four billions already.
    #[inline]
    pub(super) fn insert(&mut self, waker: Waker) -> Option<Number> {
        let number = match self.free {
            Some(number) => number,
            None => self.add_place()?,
        };
        let place = self.place(number)?;
        let freed = core::mem::replace(place, Place::Waiting(waker));
        self.free = if let Place::Free(before) = freed { before } else { None };
        self.waiting = self.waiting.saturating_add(1);
        Some(number)
    }

    #[cold]
    fn add_place(&mut self) -> Option<Number> {
        let before = u32::try_from(self.places.len()).ok()?;
        let number = Number::MIN.checked_add(before)?;
        if self.places.len() == self.places.capacity() {
            // An eighth, as for the streams themselves.
            self.places.reserve_exact((self.places.len() / 8).max(1));
        }
        self.places.push(Place::Free(None));
        Some(number)
    }

    #[inline]
    pub(super) fn remove(&mut self, number: Number) -> Option<Waker> {
        let before = self.free;
        let place = self.place(number)?;
        match core::mem::replace(place, Place::Free(before)) {
            Place::Waiting(waker) => {
                self.free = Some(number);
                self.waiting = self.waiting.saturating_sub(1);
                Some(waker)
            }
            free @ Place::Free(_) => {
                *place = free;
                None
            }
        }
    }

    /// Whether most of its memory is not needed.
    pub(super) fn is_sparse(&self) -> bool {
        let waiting = usize::try_from(self.waiting).unwrap_or(usize::MAX);
        self.places.capacity() > waiting.saturating_mul(2).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_used_again_and_known_by_its_number() {
        let mut parked = Parked::default();
        let waker = || Waker::noop().clone();
        let numbers: Vec<Number> = (0..20).map(|_| parked.insert(waker()).unwrap()).collect();
        assert!(parked.places.capacity() < 24 && !parked.is_sparse());
        for &number in &numbers[3..] {
            assert!(parked.get_mut(number).is_some() && parked.remove(number).is_some());
            assert!(parked.get_mut(number).is_none() && parked.remove(number).is_none());
        }
        assert!(parked.is_sparse());
        // The place that was freed last is the first.
        let again: Vec<Number> = (3..20).map(|_| parked.insert(waker()).unwrap()).collect();
        assert!(again.iter().eq(numbers[3..].iter().rev()));
        assert_eq!((parked.places.len(), parked.waiting), (20, 20));
        assert_eq!(size_of::<Place>(), size_of::<Waker>());
    }
}
