//! The requester's side of a heartbeat: values, times, verdicts. Streams and timers belong to the
//! session (PROTOCOL.md §9).

use core::fmt;
use core::time::Duration;

use crate::frame::StreamId;
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
#[cfg_attr(feature = "audit", derive(Clone))]
pub(crate) struct Requester {
    /// The stream the beats go out on.
    pub(crate) stream: Option<StreamId>,
    outstanding: Option<Beat>,
    rtt: Option<Duration>,
    random: u64,
}

impl fmt::Debug for Requester {
    /// Shows neither the secret nor the beat that is under way.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requester")
            .field("stream", &self.stream)
            .field("sent", &self.outstanding.map(|beat| beat.sent))
            .field("rtt", &self.rtt)
            .finish_non_exhaustive()
    }
}

impl Requester {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { stream: None, outstanding: None, rtt: None, random: seed }
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
        let [a, b, c, d, ..] = splitmix(&mut self.random).to_be_bytes();
        let value = [a, b, c, d];
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

/// A step of the SplitMix64 generator: good enough to tell beats apart and to spread hashes.
pub(crate) const fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_value_sent_counts() {
        let mut requester = Requester::new(1);
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
