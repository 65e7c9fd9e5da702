//! Settings that have several values.

use core::time::Duration;

/// A rate limit: a bucket that holds `burst` tokens and gains `per_second` of them every second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimit {
    /// Events allowed at once.
    pub burst: u32,
    /// Events allowed per second on average.
    pub per_second: u32,
}

/// How a session sends heartbeats (PROTOCOL.md §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Heartbeat {
    /// Time from one beat to the next. Default 10 s.
    pub interval: Duration,
    /// How long the peer may give no sign of life after the transport has taken a beat. Default
    /// 15 s. Input is a sign of life, and so is output that had to wait until the transport took
    /// it. If earlier output may still be in transit before the beat, the time for it at the lowest
    /// rate seen is added, but at most four tolerances. A beat that has not come back after five
    /// tolerances is missed, even if the peer gives signs of life.
    pub tolerance: Duration,
    /// Whether the session closes when the tolerance is exceeded. Default `true`; if `false`, there
    /// is only [`Event::HeartbeatMissed`](crate::Event::HeartbeatMissed).
    pub close_on_timeout: bool,
}

impl RateLimit {
    /// A limit of `burst` events at once, at least 1, and `per_second` of them on average. With 0 per
    /// second, a session may have `burst` of them in all.
    ///
    /// ```
    /// use muxado_proto::{Config, RateLimit};
    ///
    /// let config = Config::builder().reset_limit(RateLimit::new(5000, 100)).build()?;
    /// assert_eq!(config.reset_limit().per_second, 100);
    /// # Ok::<(), muxado_proto::ConfigError>(())
    /// ```
    #[must_use]
    pub const fn new(burst: u32, per_second: u32) -> Self {
        Self { burst, per_second }
    }
}

impl Heartbeat {
    /// The defaults: a beat every 10 s, a tolerance of 15 s, and the session closes when that is
    /// exceeded.
    ///
    /// ```
    /// use core::time::Duration;
    /// use muxado_proto::{Config, Heartbeat};
    ///
    /// let beats = Heartbeat::new().with_interval(Duration::from_secs(5));
    /// assert_eq!(beats.tolerance, Duration::from_secs(15));
    /// // For a slow link: more time, and a report instead of an end.
    /// let beats = beats.with_tolerance(Duration::from_secs(60)).with_close_on_timeout(false);
    /// let config = Config::builder().typed(true).heartbeat(Some(beats)).build()?;
    /// assert_eq!(config.heartbeat(), Some(beats));
    /// # Ok::<(), muxado_proto::ConfigError>(())
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {
            interval: Duration::from_secs(10),
            tolerance: Duration::from_secs(15),
            close_on_timeout: true,
        }
    }

    /// Sets [`interval`](Self::interval), which must not be zero.
    #[must_use]
    pub const fn with_interval(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// Sets [`tolerance`](Self::tolerance), which must not be zero.
    #[must_use]
    pub const fn with_tolerance(self, tolerance: Duration) -> Self {
        Self { tolerance, ..self }
    }

    /// Sets [`close_on_timeout`](Self::close_on_timeout).
    #[must_use]
    pub const fn with_close_on_timeout(self, close_on_timeout: bool) -> Self {
        Self { close_on_timeout, ..self }
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_is_what_was_set() {
        let (interval, tolerance) = (Duration::from_secs(3), Duration::from_secs(7));
        let beats = Heartbeat::default();
        assert_eq!(beats, Heartbeat::new());
        assert_eq!(beats.with_interval(interval), Heartbeat { interval, ..beats });
        assert_eq!(beats.with_tolerance(tolerance), Heartbeat { tolerance, ..beats });
        let close_on_timeout = false;
        assert_eq!(beats.with_close_on_timeout(false), Heartbeat { close_on_timeout, ..beats });
        assert_eq!(RateLimit::new(5, 9), RateLimit { burst: 5, per_second: 9 });
    }
}
