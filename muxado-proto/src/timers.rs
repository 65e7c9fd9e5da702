//! When the session wants to be called again.

use crate::time::Timestamp;

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Credit owed to streams whose buffers are empty, and spare memory.
    Update,
    /// The next heartbeat.
    Beat,
    /// The end of the tolerance for the outstanding heartbeat.
    Tolerance,
    /// The oldest stream without its type.
    Untyped,
    /// The first stream that was announced and not answered.
    Unanswered,
    /// The oldest stream that only the peer still uses.
    GivenUp,
    /// The oldest stream without credit.
    Stalled,
    /// The batch of output handed out last.
    Write,
    /// The frame that has begun to arrive.
    Frame,
    /// The streams of a session that goes away.
    Drain,
    /// The next check of when anything last arrived.
    Idle,
    /// The end of the transport.
    Linger,
    /// The check of the shared memory budget.
    Share,
    /// The oldest stream on which nothing is said behind an answer.
    Spared,
}

const COUNT: usize = Timer::Spared as usize + 1;

/// The deadlines, one for each timer.
///
/// A timer that is set to the end of time counts as set, but never expires.
#[derive(Debug, Default)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(crate) struct Timers {
    /// Of the timers that are set.
    at: [Timestamp; COUNT],
    /// Which are set, one bit each.
    set: u16,
    /// A command has set one. A caller that waits for the earliest has to ask for it again.
    changed: bool,
}

const _EVERY_TIMER_HAS_A_BIT: () = assert!(COUNT <= u16::BITS as usize, "a wider mask is needed");

impl Timers {
    #[allow(clippy::indexing_slicing, reason = "every timer is below the count")]
    pub(crate) const fn set(&mut self, timer: Timer, at: Option<Timestamp>) {
        let bit = 1 << timer as u16;
        match at {
            Some(at) => {
                self.at[timer as usize] = at;
                self.set |= bit;
            }
            None => self.set &= !bit,
        }
    }

    #[allow(clippy::indexing_slicing, reason = "every timer is below the count")]
    pub(crate) const fn get(&self, timer: Timer) -> Option<Timestamp> {
        if self.set & 1 << timer as u16 == 0 { None } else { Some(self.at[timer as usize]) }
    }

    /// Takes a deadline that has passed.
    pub(crate) fn expire(&mut self, timer: Timer, now: Timestamp) -> bool {
        let expired = self.get(timer).is_some_and(|at| at <= now && at < Timestamp::NEVER);
        if expired {
            self.set(timer, None);
        }
        expired
    }

    /// Sets a timer within a command that is not told the time, and after which nobody asks for the
    /// earliest deadline.
    pub(crate) fn set_by_command(&mut self, timer: Timer, at: Option<Timestamp>) {
        let before = self.get(timer).unwrap_or(Timestamp::NEVER);
        self.changed |= at.is_some_and(|at| at < before);
        self.set(timer, at);
    }

    /// Whether a command has set a timer to an earlier time since [`asked`](Self::asked).
    pub(crate) const fn is_changed(&self) -> bool {
        self.changed
    }

    /// The earliest deadline is asked for from here on.
    pub(crate) const fn asked(&mut self) {
        self.changed = false;
    }

    /// The earliest deadline that will come.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        let (mut first, mut left) = (Timestamp::NEVER, self.set);
        while left != 0 {
            let at = self.at.get(left.trailing_zeros() as usize);
            first = at.map_or(first, |&at| first.min(at));
            left &= left.wrapping_sub(1);
        }
        (first < Timestamp::NEVER).then_some(first)
    }

    /// Forgets every deadline.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(feature = "audit")]
impl Timers {
    /// Whether no other timer is set.
    pub(crate) const fn has_only(&self, timer: Timer) -> bool {
        self.set & !(1 << timer as u16) == 0
    }

    pub(crate) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        let Self { at, set, changed } = self;
        digest.flag(*changed);
        for (index, &at) in at.iter().enumerate() {
            digest.deadline((set & 1 << index != 0).then_some(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_is_next() {
        let mut timers = Timers::default();
        assert_eq!(timers.next(), None);
        timers.set(Timer::Update, Some(Timestamp::from_millis(100)));
        timers.set(Timer::Linger, Some(Timestamp::from_millis(92)));
        timers.set(Timer::Drain, Some(Timestamp::from_millis(93)));
        assert_eq!(timers.next(), Some(Timestamp::from_millis(92)));
        assert!(!timers.expire(Timer::Linger, Timestamp::from_millis(91)));
        assert!(timers.expire(Timer::Linger, Timestamp::from_millis(92)));
        assert!(!timers.expire(Timer::Linger, Timestamp::from_millis(92)));
    }

    #[test]
    fn a_caller_that_waits_asks_again_only_for_an_earlier_deadline() {
        let mut timers = Timers::default();
        for (at, asks) in [(Some(92), true), (Some(92), false), (Some(93), false), (None, false)] {
            timers.set_by_command(Timer::Share, at.map(Timestamp::from_millis));
            assert_eq!(timers.is_changed(), asks, "{at:?}");
            timers.asked();
        }
    }

    #[test]
    fn the_end_of_time_does_not_come() {
        let mut timers = Timers::default();
        timers.set(Timer::Update, Some(Timestamp::NEVER));
        assert_eq!(timers.get(Timer::Update), Some(Timestamp::NEVER));
        assert_eq!(timers.next(), None);
        assert!(!timers.expire(Timer::Update, Timestamp::NEVER));
        timers.set(Timer::Linger, Some(Timestamp::ZERO));
        assert_eq!(timers.next(), Some(Timestamp::ZERO));
    }
}
