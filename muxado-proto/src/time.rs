//! Time in the core: always passed in, never read.

use core::fmt;
use core::num::NonZeroU64;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A point in time, as a distance from an origin that the caller picks.
///
/// The core has no clock. The driver of a [`Session`](crate::Session) passes the current time to
/// every call that needs it; a simulator passes virtual time. Resolution is one nanosecond, range
/// 584 years; arithmetic saturates.
///
/// The time comes from a monotonic clock, such as `std::time::Instant`. If the clock steps back,
/// the session's time stands still until the clock has caught up, and no time limit expires early.
///
/// ```
/// use core::time::Duration;
/// use muxado_proto::Timestamp;
///
/// let start = Timestamp::from_millis(10);
/// let later = start + Duration::from_millis(5);
/// assert_eq!(later - start, Duration::from_millis(5));
/// assert_eq!(start - later, Duration::ZERO);
/// assert_eq!(Timestamp::from_nanos(later.as_nanos()), later);
/// assert_eq!(later.as_duration(), Duration::from_millis(15));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(
    /// Nanoseconds since the moment before the origin, so that a deadline that may be missing takes
    /// no more memory than one.
    NonZeroU64,
);

impl Timestamp {
    /// The origin itself.
    pub const ZERO: Self = Self(NonZeroU64::MIN);

    /// The end of time, in 584 years: a deadline at this point never expires.
    pub(crate) const NEVER: Self = Self(NonZeroU64::MAX);

    /// The latest time that a session accepts as now.
    pub(crate) const LATEST: Self = Self::from_nanos(u64::MAX - 2);

    /// A point `nanos` nanoseconds after the origin; saturates at the end of time.
    #[must_use]
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }

    /// A point `millis` milliseconds after the origin.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self::from_nanos(millis.saturating_mul(1_000_000))
    }

    /// A point `elapsed` after the origin; saturates after 584 years.
    #[must_use]
    #[inline]
    pub const fn from_duration(elapsed: Duration) -> Self {
        Self::from_nanos(nanos(elapsed))
    }

    /// Nanoseconds since the origin.
    #[must_use]
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0.get().wrapping_sub(1)
    }

    /// The distance from the origin.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_nanos(self.as_nanos())
    }

    /// Whether at least `time` has passed since `before`. Cheaper than a difference, which is split
    /// into seconds and the rest.
    #[inline]
    pub(crate) const fn is_after(self, before: Self, time: Duration) -> bool {
        self.0.get().saturating_sub(before.0.get()) >= nanos(time)
    }
}

/// A duration in nanoseconds; saturates after 584 years.
#[inline]
const fn nanos(time: Duration) -> u64 {
    let seconds = time.as_secs().saturating_mul(1_000_000_000);
    seconds.saturating_add(time.subsec_nanos() as u64)
}

impl Default for Timestamp {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timestamp").field(&self.as_nanos()).finish()
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    #[inline]
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(nanos(rhs)))
    }
}

impl Sub for Timestamp {
    type Output = Duration;

    /// The time from `rhs` to `self`, zero if `rhs` is later.
    #[inline]
    fn sub(self, rhs: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(rhs.0.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_may_be_missing_takes_a_word() {
        assert_eq!(size_of::<Option<Timestamp>>(), 8);
        for nanos in [0, 1, u64::MAX - 2, u64::MAX - 1] {
            assert_eq!(Timestamp::from_nanos(nanos).as_nanos(), nanos);
        }
        assert_eq!(Timestamp::from_nanos(u64::MAX), Timestamp::NEVER);
        assert!(Timestamp::LATEST < Timestamp::NEVER && Timestamp::ZERO < Timestamp::LATEST);
        assert_eq!(Timestamp::LATEST + Duration::MAX, Timestamp::NEVER);
        assert_eq!(alloc::format!("{:?}", Timestamp::from_nanos(7)), "Timestamp(7)");
    }
}
