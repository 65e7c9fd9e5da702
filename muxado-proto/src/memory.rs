//! Memory that sessions share.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

/// A budget serves at most one session for each this many bytes.
const BYTES_A_SEAT: usize = 128 << 10;

/// Seats of the largest budget.
const SEATS: usize = 1 << 16;

/// One part in this many is for sessions that have less than half of their share, and for new ones.
const SPARE: usize = 8;

/// A bound on the memory of all sessions that share it, for any behaviour of their peers.
///
/// A session reserves memory before it promises credit to its peer: a minimum when it is created
/// ([`Config::min_memory`](crate::Config::min_memory)), the initial window of each stream before
/// the stream is admitted or opened, growth of a window before it is granted, and buffer space
/// before a write. What does not fit is not promised: a stream of the peer is refused with
/// `STREAM_REFUSED`, opening waits, a window does not grow, writing waits. So the sum of what the
/// sessions hold never exceeds [`limit`](Self::limit).
///
/// No session can take it all. The last eighth is for new sessions, and for sessions that have less
/// than half of an equal share. When only that is left, windows give back their growth. Then, of
/// the sessions whose application has read nothing for a second, the one with most unread bytes
/// resets the stream that holds most of them with `ENHANCE_YOUR_CALM`.
///
/// If the minimum of a new session does not fit, the session is over at once, with
/// [`CloseReason::NoMemory`](crate::CloseReason::NoMemory); its peer gets a GOAWAY. To refuse a
/// connection before that, check [`has_room`](Self::has_room).
///
/// A budget is a handle: clones share the same memory. Two budgets are equal if they share it.
///
/// ```
/// use muxado_proto::{Config, MemoryBudget};
///
/// let budget = MemoryBudget::new(1 << 30);
/// let config = Config::builder().memory_budget(budget.clone()).build()?;
/// assert!(budget.has_room(&config));
/// assert_eq!(budget.reserved(), 0);
/// # Ok::<(), muxado_proto::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct MemoryBudget(Arc<Inner>);

struct Inner {
    limit: usize,
    reserved: AtomicUsize,
    sessions: AtomicUsize,
    /// One for each session; see [`Seat`].
    seats: Box<[AtomicUsize]>,
}

/// Flags of a seat, in the lowest bits. The bits above them are the KiB that its application does
/// not read.
const TAKEN: usize = 1;
/// The session is to reset the stream that holds most.
const YIELD: usize = 2;
const KIB_SHIFT: u32 = 2;

impl MemoryBudget {
    /// A budget of `bytes`, at most the size of the address space.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let limit = usize::try_from(bytes).unwrap_or(usize::MAX);
        let seats = (limit / BYTES_A_SEAT).clamp(1, SEATS);
        let seats = (0..seats).map(|_| AtomicUsize::new(0)).collect();
        let (reserved, sessions) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self(Arc::new(Inner { limit, reserved, sessions, seats }))
    }

    /// The bytes that sessions may reserve together.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.0.limit as u64
    }

    /// The bytes that sessions have reserved now.
    #[must_use]
    pub fn reserved(&self) -> u64 {
        self.0.reserved.load(Ordering::Relaxed) as u64
    }

    /// How many sessions share it now.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.0.sessions.load(Ordering::Relaxed)
    }

    /// Whether the minimum of a session with these settings would fit now. Other sessions may take
    /// the space before the session is created.
    #[must_use]
    pub fn has_room(&self, config: &crate::Config) -> bool {
        let room = self.limit().saturating_sub(self.reserved());
        config.min_memory() <= room && self.sessions() < self.0.seats.len()
    }

    /// Reserves `bytes` unless that would leave less than `spare`.
    fn take(&self, bytes: usize, spare: usize) -> bool {
        let most = self.0.limit.saturating_sub(spare);
        let more = |reserved: usize| reserved.checked_add(bytes).filter(|&sum| sum <= most);
        self.0.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give(&self, bytes: usize) {
        let less = |reserved: usize| Some(reserved.saturating_sub(bytes));
        let _always = self.0.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Whether only the spare part is left.
    fn is_tight(&self) -> bool {
        let left = self.0.limit.saturating_sub(self.0.reserved.load(Ordering::Relaxed));
        left < self.0.limit / SPARE
    }

    /// Asks the session with most unread bytes to give up a stream.
    fn press(&self) {
        let seats = self.0.seats.iter();
        let largest = seats
            .map(|seat| (seat.load(Ordering::Relaxed), seat))
            .filter(|&(state, _)| state & YIELD == 0)
            .max_by_key(|&(state, _)| state >> KIB_SHIFT);
        if let Some((state, seat)) = largest.filter(|&(state, _)| state >> KIB_SHIFT > 0) {
            // If it has changed in the meantime, somebody else has asked or the session reads:
            // either is enough.
            let (now, order) = (state | YIELD, Ordering::Relaxed);
            let _changed = seat.compare_exchange(state, now, order, order);
        }
    }
}

impl PartialEq for MemoryBudget {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for MemoryBudget {}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudget")
            .field("limit", &self.limit())
            .field("reserved", &self.reserved())
            .field("sessions", &self.sessions())
            .finish()
    }
}

/// The place of one session in a budget. Dropping it returns what it has reserved.
///
/// Invariant: the budget's `reserved` is the sum over all seats.
#[derive(Debug)]
pub(crate) struct Seat {
    budget: MemoryBudget,
    index: usize,
    reserved: usize,
}

impl Seat {
    /// Reserves the minimum of a session; `None` if it does not fit.
    pub(crate) fn take(budget: &MemoryBudget, minimum: u64) -> Option<Self> {
        let reserved = usize::try_from(minimum).ok()?;
        if !budget.take(reserved, 0) {
            budget.press();
            return None;
        }
        let order = Ordering::Relaxed;
        let free = |seat: &AtomicUsize| seat.compare_exchange(0, TAKEN, order, order).is_ok();
        let Some(index) = budget.0.seats.iter().position(free) else {
            budget.give(reserved);
            return None;
        };
        budget.0.sessions.fetch_add(1, order);
        let seat = Self { budget: budget.clone(), index, reserved };
        if budget.is_tight() {
            budget.press();
        }
        Some(seat)
    }

    /// Reserves `bytes` more; `false` if they do not fit.
    #[must_use]
    pub(crate) fn reserve(&mut self, bytes: u64) -> bool {
        let Ok(bytes) = usize::try_from(bytes) else { return false };
        let halves = self.budget.sessions().saturating_mul(2);
        let half_a_share = self.budget.0.limit.checked_div(halves).unwrap_or(0);
        let modest = self.reserved.saturating_add(bytes) <= half_a_share;
        let spare = if modest { 0 } else { self.budget.0.limit / SPARE };
        let fits = self.budget.take(bytes, spare);
        if fits {
            self.reserved = self.reserved.saturating_add(bytes);
        }
        if !fits || self.budget.is_tight() {
            self.budget.press();
        }
        fits
    }

    /// Gives `bytes` back.
    pub(crate) fn release(&mut self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        debug_assert!(bytes <= self.reserved, "what goes back was reserved");
        let bytes = bytes.min(self.reserved);
        self.reserved = self.reserved.saturating_sub(bytes);
        self.budget.give(bytes);
    }

    /// What the session has reserved.
    #[cfg(feature = "audit")]
    pub(crate) const fn reserved(&self) -> u64 {
        self.reserved as u64
    }

    /// Whether growth has to be given back.
    pub(crate) fn is_tight(&self) -> bool {
        self.budget.is_tight()
    }

    fn state(&self) -> Option<&AtomicUsize> {
        self.budget.0.seats.get(self.index)
    }

    /// Reports how many bytes the application leaves unread; 0 if it reads. That also answers a
    /// request to give up a stream.
    pub(crate) fn report(&self, unread: u64) {
        let kib = usize::try_from(unread >> 10).unwrap_or(usize::MAX >> KIB_SHIFT);
        if let Some(state) = self.state() {
            state.store(TAKEN | kib.checked_shl(KIB_SHIFT).unwrap_or(0), Ordering::Relaxed);
        }
    }

    /// Whether the session is asked to give up a stream.
    pub(crate) fn must_yield(&self) -> bool {
        self.state().is_some_and(|state| state.load(Ordering::Relaxed) & YIELD != 0)
    }
}

#[cfg(feature = "audit")]
impl Clone for Seat {
    /// For tests: the copy reserves the same amount, even if it does not fit, and has no seat.
    fn clone(&self) -> Self {
        self.budget.0.reserved.fetch_add(self.reserved, Ordering::Relaxed);
        self.budget.0.sessions.fetch_add(1, Ordering::Relaxed);
        Self { budget: self.budget.clone(), index: usize::MAX, reserved: self.reserved }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.budget.give(self.reserved);
        if let Some(state) = self.state() {
            state.store(0, Ordering::Relaxed);
        }
        self.budget.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_is_reserved_adds_up_and_goes_back() {
        let budget = MemoryBudget::new(16 * MIB);
        let mut seats: [_; 2] = core::array::from_fn(|_| Seat::take(&budget, MIB).unwrap());
        assert!(seats[0].reserve(3 * MIB));
        assert_eq!((budget.reserved(), budget.sessions()), (5 * MIB, 2));
        seats[0].release(2 * MIB);
        assert_eq!(budget.reserved(), 3 * MIB);
        drop(seats);
        assert_eq!((budget.reserved(), budget.sessions()), (0, 0));
        assert_eq!(Seat::take(&budget, 17 * MIB).map(|_| ()), None);
        assert_eq!(budget.reserved(), 0);
    }

    #[test]
    fn the_last_eighth_is_for_those_who_have_little() {
        let budget = MemoryBudget::new(16 * MIB);
        let mut greedy = Seat::take(&budget, MIB).unwrap();
        let mut modest = Seat::take(&budget, MIB).unwrap();
        assert!(greedy.reserve(12 * MIB));
        assert!(!greedy.reserve(MIB));
        assert!(modest.reserve(MIB));
        let new = Seat::take(&budget, MIB).unwrap();
        assert_eq!(budget.reserved(), 16 * MIB);
        assert!(!modest.reserve(1));
        drop(new);
        assert!(!greedy.reserve(1));
    }

    #[test]
    fn a_budget_is_tight_when_only_the_spare_part_is_left() {
        let budget = MemoryBudget::new(16 * MIB);
        let seat = Seat::take(&budget, 14 * MIB).unwrap();
        assert!(!seat.is_tight());
        let other = Seat::take(&budget, 1).unwrap();
        assert!(seat.is_tight() && other.is_tight());
        drop(other);
        assert!(!seat.is_tight());
    }

    #[test]
    fn who_holds_most_without_reading_is_asked_first() {
        let budget = MemoryBudget::new(16 * MIB);
        let mut seats: [_; 3] = core::array::from_fn(|_| Seat::take(&budget, MIB).unwrap());
        seats[0].report(MIB);
        seats[1].report(2 * MIB);
        assert!(!seats[2].reserve(12 * MIB));
        let asked = |seats: &[Seat; 3]| seats.each_ref().map(Seat::must_yield);
        assert_eq!(asked(&seats), [false, true, false]);
        assert!(!seats[2].reserve(12 * MIB));
        assert_eq!(asked(&seats), [true, true, false]);
        seats[1].report(0);
        assert_eq!(asked(&seats), [true, false, false]);
        assert!(!seats[2].reserve(12 * MIB));
        assert_eq!(asked(&seats), [true, false, false]);
    }

    #[test]
    fn there_is_room_as_long_as_the_least_fits_and_a_seat_is_free() {
        let config = crate::Config::default();
        let least = config.min_memory();
        let budget = MemoryBudget::new(2 * least);
        assert!(budget.has_room(&config));
        let first = Seat::take(&budget, least).unwrap();
        assert!(budget.has_room(&config));
        let second = Seat::take(&budget, 1).unwrap();
        assert!(!budget.has_room(&config));
        drop((first, second));
        let seats = (budget.limit() / BYTES_A_SEAT as u64) as usize;
        let taken: alloc::vec::Vec<_> = (0..seats).map_while(|_| Seat::take(&budget, 0)).collect();
        assert_eq!((taken.len(), budget.reserved()), (seats, 0));
        assert!(!budget.has_room(&config) && Seat::take(&budget, 0).is_none());
        drop(taken);
        assert!(budget.has_room(&config));
    }

    #[test]
    fn nobody_is_asked_who_holds_nothing() {
        let budget = MemoryBudget::new(3 * BYTES_A_SEAT as u64);
        let mut seats: [_; 3] = core::array::from_fn(|_| Seat::take(&budget, 0).unwrap());
        seats[1].report(1023);
        assert!(!seats[0].reserve(budget.limit() + 1));
        assert!(seats.iter().all(|seat| !seat.must_yield()));
        seats[1].report(1024);
        assert!(!seats[0].reserve(budget.limit() + 1));
        assert!(seats[1].must_yield());
    }

    #[test]
    fn budgets_are_equal_if_they_share_memory() {
        let budget = MemoryBudget::new(MIB);
        assert_eq!(budget, budget.clone());
        assert_ne!(budget, MemoryBudget::new(MIB));
        assert_eq!(
            alloc::format!("{budget:?}"),
            "MemoryBudget { limit: 1048576, reserved: 0, sessions: 0 }"
        );
    }

    #[test]
    fn there_are_seats_for_all_that_fit() {
        let budget = MemoryBudget::new(MIB);
        let seats: alloc::vec::Vec<_> =
            core::iter::from_fn(|| Seat::take(&budget, BYTES_A_SEAT as u64)).collect();
        assert_eq!(seats.len(), 8);
    }
}
