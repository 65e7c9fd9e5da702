//! Time in the core: always passed in, never read.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The origin itself.
    pub const ZERO: Self = Self(0);

    /// The end of time, in 584 years: a deadline at this point never expires.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// The latest time that a session accepts as now.
    pub(crate) const LATEST: Self = Self(u64::MAX - 1);

    /// A point `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// A point `millis` milliseconds after the origin.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// A point `elapsed` after the origin; saturates after 584 years.
    #[must_use]
    #[inline]
    pub const fn from_duration(elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs().saturating_mul(1_000_000_000);
        Self(seconds.saturating_add(elapsed.subsec_nanos() as u64))
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The distance from the origin.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Whether at least `time` has passed since `before`. Cheaper than a difference, which is split
    /// into seconds and the rest.
    #[inline]
    pub(crate) const fn is_after(self, before: Self, time: Duration) -> bool {
        self.0.saturating_sub(before.0) >= Self::from_duration(time).0
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    #[inline]
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(Self::from_duration(rhs).0))
    }
}

impl Sub for Timestamp {
    type Output = Duration;

    /// The time from `rhs` to `self`, zero if `rhs` is later.
    #[inline]
    fn sub(self, rhs: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(rhs.0))
    }
}
