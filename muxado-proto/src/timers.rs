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
    /// The oldest stream without credit.
    Stalled,
    /// The batch of output handed out last.
    Write,
    /// The frame that has begun to arrive.
    Frame,
    /// The streams of a session that goes away.
    Drain,
    /// The end of the transport.
    Linger,
}

const COUNT: usize = Timer::Linger as usize + 1;

/// The deadlines, one for each timer; [`Timestamp::NEVER`] for those that are not set.
#[derive(Debug)]
pub(crate) struct Timers([Timestamp; COUNT]);

impl Default for Timers {
    fn default() -> Self {
        Self([Timestamp::NEVER; COUNT])
    }
}

impl Timers {
    #[allow(clippy::indexing_slicing, reason = "every timer is below the count")]
    pub(crate) const fn set(&mut self, timer: Timer, at: Option<Timestamp>) {
        self.0[timer as usize] = match at {
            Some(at) => at,
            None => Timestamp::NEVER,
        };
    }

    #[allow(clippy::indexing_slicing, reason = "every timer is below the count")]
    pub(crate) const fn get(&self, timer: Timer) -> Option<Timestamp> {
        match self.0[timer as usize] {
            Timestamp::NEVER => None,
            at => Some(at),
        }
    }

    /// Takes a deadline that has passed.
    pub(crate) fn expire(&mut self, timer: Timer, now: Timestamp) -> bool {
        let expired = self.get(timer).is_some_and(|at| at <= now);
        if expired {
            self.set(timer, None);
        }
        expired
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.0.iter().min().copied().filter(|&at| at != Timestamp::NEVER)
    }

    /// Forgets every deadline.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
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
}
