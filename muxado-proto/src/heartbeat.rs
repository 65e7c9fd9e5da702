//! The requester's side of a heartbeat: values, times, verdicts. Streams and timers belong to the
//! session (PROTOCOL.md §9).

use core::fmt;
use core::time::Duration;

use crate::frame::StreamId;
use crate::secret::BeatKey;
use crate::time::Timestamp;

/// Bytes of one beat.
pub(crate) const BEAT_LEN: usize = 4;

/// Bytes of unsent echoes at which the responder stops reading beats.
pub(crate) const ECHO_LIMIT: usize = 64;

/// A beat on its way.
#[derive(Clone, Copy)]
struct Beat {
    value: [u8; BEAT_LEN],
    sent: Timestamp,
}

/// The side that asks.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(crate) struct Requester {
    /// The stream the beats go out on.
    pub(crate) stream: Option<StreamId>,
    outstanding: Option<Beat>,
    rtt: Option<Duration>,
    key: BeatKey,
    /// Beats sent.
    count: u64,
}

impl fmt::Debug for Beat {
    /// Shows nothing of the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beat").field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl Requester {
    pub(crate) const fn new(key: BeatKey) -> Self {
        Self { stream: None, outstanding: None, rtt: None, key, count: 0 }
    }

    /// The round-trip time of the latest beat that came back.
    pub(crate) const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    pub(crate) const fn is_waiting(&self) -> bool {
        self.outstanding.is_some()
    }

    /// A new beat: the value to send.
    pub(crate) fn beat(&mut self, now: Timestamp) -> [u8; BEAT_LEN] {
        let value = self.key.value(self.count);
        self.count = self.count.wrapping_add(1);
        self.outstanding = Some(Beat { value, sent: now });
        value
    }

    /// A value came back; the round-trip time if it is the one that was sent.
    pub(crate) fn echo(&mut self, value: [u8; BEAT_LEN], now: Timestamp) -> Option<Duration> {
        let beat = self.outstanding.filter(|beat| beat.value == value)?;
        self.outstanding = None;
        let rtt = now - beat.sent;
        self.rtt = Some(rtt);
        Some(rtt)
    }

    /// The outstanding beat will not come back: when it was sent.
    pub(crate) fn give_up(&mut self) -> Option<Timestamp> {
        self.outstanding.take().map(|beat| beat.sent)
    }
}

#[cfg(feature = "audit")]
impl Requester {
    pub(crate) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        // The values of beats are arbitrary, so what makes them is left out.
        let Self { stream, outstanding, rtt, key: _, count: _ } = self;
        digest.value(stream);
        digest.value(rtt);
        digest.flag(outstanding.is_some());
        if let Some(Beat { value, sent }) = outstanding {
            digest.value(value);
            digest.since(*sent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SessionKey;

    #[test]
    fn only_the_value_sent_counts() {
        let mut requester = Requester::new(SessionKey::new([1; 16]).beats());
        let value = requester.beat(Timestamp::from_millis(10));
        let wrong = value.map(|byte| !byte);
        assert_eq!(requester.echo(wrong, Timestamp::from_millis(11)), None);
        assert!(requester.is_waiting());
        let rtt = requester.echo(value, Timestamp::from_millis(12));
        assert_eq!(rtt, Some(Duration::from_millis(2)));
        assert_eq!(requester.rtt(), rtt);
        assert_eq!(requester.echo(value, Timestamp::from_millis(13)), None);
    }
}
