//! The ranges of the settings.

use core::fmt;
use core::time::Duration;

use super::{Config, ConfigBuilder};
use crate::frame::{MAX_PAYLOAD, MAX_U31};

/// The longest [`Config::update_delay`].
const MAX_UPDATE_DELAY: Duration = Duration::from_secs(1);

impl ConfigBuilder {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first setting that is out of its range.
    pub fn build(self) -> Result<Config, ConfigError> {
        let c = self.filled_in();
        let check = |ok: bool, setting, rule| {
            if ok { Ok(()) } else { Err(ConfigError { setting, rule }) }
        };
        let u31 = 1..=MAX_U31;
        check(u31.contains(&c.receive_window), "receive_window", "must be 1 to 2^31-1")?;
        check(u31.contains(&c.send_window), "send_window", "must be 1 to 2^31-1")?;
        for (window, name) in [(c.send_window, "send_window"), (c.receive_window, "receive_window")]
        {
            check(!c.typed || window >= 4, name, "must be at least 4 in a typed session")?;
        }
        check(c.max_receive_window <= MAX_U31, "max_receive_window", "must be at most 2^31-1")?;
        check(
            (1024..=MAX_PAYLOAD).contains(&c.max_frame_size),
            "max_frame_size",
            "must be 1024 to 0xFFFFFF",
        )?;
        check(u31.contains(&c.send_buffer), "send_buffer", "must be 1 to 2^31-1")?;
        check(u31.contains(&c.session_send_buffer), "session_send_buffer", "must be 1 to 2^31-1")?;
        let first = if c.overcommit { u64::from(c.receive_window) } else { c.first_windows() };
        check(
            c.session_receive_buffer >= first,
            "session_receive_buffer",
            "must hold one `receive_window` for each stream of `max_inbound_streams` and \
             `max_outbound_streams`, for each heartbeat of `max_heartbeat_responders` and for one \
             more, or `overcommit` must be set and it must hold one",
        )?;
        check(
            c.accept_backlog >= 1 || c.max_inbound_streams == 0,
            "accept_backlog",
            "must be at least 1, unless `max_inbound_streams` is 0",
        )?;
        check(
            c.id_gaps >= c.max_inbound_streams,
            "id_gaps",
            "must be at least `max_inbound_streams`, because that many ids may be skipped and opened later",
        )?;
        check(c.max_outbound_streams >= 1, "max_outbound_streams", "must be at least 1")?;
        check(c.max_open_streams != Some(0), "max_open_streams", "must be at least 1")?;
        check(c.max_unanswered_streams != Some(0), "max_unanswered_streams", "must be at least 1")?;
        check(c.pending_resets >= 1, "pending_resets", "must be at least 1")?;
        for (limit, name) in [
            (c.stray_data_limit, "stray_data_limit"),
            (c.reset_limit, "reset_limit"),
            (c.empty_data_limit, "empty_data_limit"),
            (c.unknown_bytes_limit, "unknown_bytes_limit"),
        ] {
            check(limit.burst >= 1, name, "must have a burst of at least 1")?;
        }
        for (limit, name) in [
            (Some(c.write_stall_timeout), "write_stall_timeout"),
            (Some(c.frame_stall_timeout), "frame_stall_timeout"),
            (c.stream_stall_timeout, "stream_stall_timeout"),
            (c.idle_timeout, "idle_timeout"),
            (Some(c.typed_timeout), "typed_timeout"),
        ] {
            check(limit != Some(Duration::ZERO), name, "must be above zero")?;
        }
        check(c.update_delay <= MAX_UPDATE_DELAY, "update_delay", "must be at most 1 s")?;
        check(
            c.heartbeat.is_none_or(|h| !h.interval.is_zero() && !h.tolerance.is_zero()),
            "heartbeat",
            "must have an interval and a tolerance above zero",
        )?;
        check(c.heartbeat.is_none() || c.typed, "heartbeat", "needs a typed session")?;
        Ok(c)
    }
}

/// A setting is out of its range.
///
/// ```
/// use muxado_proto::Config;
///
/// let error = Config::builder().max_frame_size(100).build().unwrap_err();
/// assert_eq!(error.setting(), "max_frame_size");
/// assert_eq!(error.to_string(), "invalid setting `max_frame_size`: it must be 1024 to 0xFFFFFF");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    setting: &'static str,
    /// What the setting must be or needs: the predicate of a sentence.
    rule: &'static str,
}

impl ConfigError {
    /// The name of the setting.
    #[must_use]
    pub const fn setting(&self) -> &'static str {
        self.setting
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid setting `{}`: it {}", self.setting, self.rule)
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::super::Heartbeat;
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn t15_errors_name_the_setting_in_a_sentence() {
        let error = Config::builder().max_frame_size(1 << 24).build().unwrap_err();
        assert_eq!(error.setting(), "max_frame_size");
        assert_eq!(
            error.to_string(),
            "invalid setting `max_frame_size`: it must be 1024 to 0xFFFFFF"
        );
        let small = Config::builder().receive_window(3);
        assert_eq!(small.clone().build().unwrap().receive_window(), 3);
        assert_eq!(small.typed(true).build().unwrap_err().setting(), "receive_window");
        let beat = Config::builder().heartbeat(Some(Heartbeat::default())).build().unwrap_err();
        assert_eq!(beat.setting(), "heartbeat");
        assert_eq!(beat.to_string(), "invalid setting `heartbeat`: it needs a typed session");
        for (interval, tolerance) in [(0, 1), (1, 0), (0, 0)] {
            let (interval, tolerance) =
                (Duration::from_secs(interval), Duration::from_secs(tolerance));
            let heartbeat = Heartbeat { interval, tolerance, close_on_timeout: true };
            let beat = Config::builder().typed(true).heartbeat(Some(heartbeat)).build();
            assert_eq!(beat.unwrap_err().setting(), "heartbeat");
        }
    }

    #[test]
    fn l6_fewer_gaps_than_streams_contradict_them() {
        let error = Config::builder().id_gaps(1023).build().unwrap_err();
        assert_eq!(error.setting(), "id_gaps");
        assert!(error.to_string().contains("`max_inbound_streams`"), "{error}");
    }
}
