//! The requester's side of a heartbeat: values, times, verdicts. Streams and timers belong to the
//! session (PROTOCOL.md §9).

use core::fmt;
use core::time::Duration;

use crate::secret::BeatKey;
use crate::time::Timestamp;

/// Bytes of one beat.
pub(crate) const BEAT_LEN: usize = 4;

/// The responder stops reading beats when this many bytes of echoes are unsent.
pub(crate) const ECHO_LIMIT: usize = 64;

/// At most this many tolerances are added for an echo that waits behind data in a slow transport.
const QUEUE_TOLERANCES: u32 = 4;

/// A beat on its way.
#[derive(Clone, Copy)]
#[cfg_attr(test, derive(PartialEq))]
struct Beat {
    value: [u8; BEAT_LEN],
    /// When it was written.
    written: Timestamp,
    /// How much payload was cut before it, once it has been cut.
    place: Option<u64>,
    /// When the transport took it.
    taken: Option<Timestamp>,
}

impl fmt::Debug for Beat {
    /// Shows nothing of the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beat")
            .field("written", &self.written)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

/// A beat that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Echo {
    pub(crate) rtt: Duration,
    /// The payload before this place has arrived.
    pub(crate) place: Option<u64>,
}

/// What is known about the peer's signs of life, and about the transport.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signs {
    /// When the peer last gave a sign of life.
    pub(crate) last: Timestamp,
    /// How long the payload before the beat may take.
    pub(crate) queue: Duration,
    /// Output waits for the transport.
    pub(crate) blocked: bool,
}

/// The verdict on a beat that has not come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Wait until this time.
    Wait(Timestamp),
    /// The peer lives, and will not answer.
    Late,
    /// Nothing shows that the peer is alive.
    Silent,
}

/// The side that asks.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(crate) struct Requester {
    outstanding: Option<Beat>,
    rtt: Option<Duration>,
    key: BeatKey,
    /// Beats sent.
    count: u64,
}

impl Requester {
    pub(crate) const fn new(key: BeatKey) -> Self {
        Self { outstanding: None, rtt: None, key, count: 0 }
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
        self.outstanding = Some(Beat { value, written: now, place: None, taken: None });
        value
    }

    /// The beat was cut behind the payload before this place.
    pub(crate) const fn cut(&mut self, place: u64) {
        if let Some(beat) = &mut self.outstanding {
            beat.place = Some(place);
        }
    }

    /// The transport has taken all that was cut.
    pub(crate) fn taken(&mut self, now: Timestamp) {
        if let Some(beat) = &mut self.outstanding {
            if beat.place.is_some() && beat.taken.is_none() {
                beat.taken = Some(now);
            }
        }
    }

    /// The beat waits for the payload before this place.
    pub(crate) fn place(&self) -> u64 {
        self.outstanding.and_then(|beat| beat.place).unwrap_or_default()
    }

    /// A value came back; returns the result if it is the value that was sent.
    pub(crate) fn echo(&mut self, value: [u8; BEAT_LEN], now: Timestamp) -> Option<Echo> {
        let beat = self.outstanding.filter(|beat| beat.value == value)?;
        self.outstanding = None;
        let rtt = now - beat.written;
        self.rtt = Some(rtt);
        Some(Echo { rtt, place: beat.place })
    }

    /// Whether the outstanding beat has never left the session.
    pub(crate) fn is_uncut(&self) -> bool {
        self.outstanding.is_some_and(|beat| beat.place.is_none())
    }

    /// The outstanding beat will not come back; `false` if there is none.
    pub(crate) fn give_up(&mut self) -> bool {
        self.outstanding.take().is_some()
    }

    /// The verdict on the outstanding beat (PROTOCOL.md §9.4).
    pub(crate) fn judge(&self, tolerance: Duration, signs: Signs, now: Timestamp) -> Verdict {
        let Some(beat) = self.outstanding else { return Verdict::Wait(Timestamp::NEVER) };
        let since = match beat.taken {
            Some(taken) => taken,
            // Until the transport takes the beat, the time limit on the transport applies.
            None if signs.blocked => return Verdict::Wait(now + tolerance),
            None => beat.written,
        };
        let longest = tolerance.saturating_mul(QUEUE_TOLERANCES);
        let silent = since.max(signs.last) + tolerance.saturating_add(signs.queue.min(longest));
        let late = since + tolerance.saturating_add(longest);
        if silent <= now {
            Verdict::Silent
        } else if late <= now {
            Verdict::Late
        } else {
            Verdict::Wait(silent.min(late))
        }
    }
}

#[cfg(feature = "audit")]
impl Requester {
    pub(crate) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        // The values of beats are arbitrary, so their key and count are left out.
        let Self { outstanding, rtt, key: _, count: _ } = self;
        digest.value(rtt);
        digest.flag(outstanding.is_some());
        if let Some(Beat { value, written, place: _, taken }) = outstanding {
            digest.value(value);
            digest.since(*written);
            digest.flag(taken.is_some());
            digest.since(taken.unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SessionKey;

    const TOLERANCE: Duration = Duration::from_secs(15);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn requester() -> Requester {
        Requester::new(SessionKey::new([1; 16]).beats())
    }

    fn signs(last: u64) -> Signs {
        Signs { last: at(last), queue: Duration::ZERO, blocked: false }
    }

    #[test]
    fn only_the_value_sent_counts() {
        let mut requester = requester();
        let value = requester.beat(Timestamp::from_millis(10));
        let wrong = value.map(|byte| !byte);
        assert_eq!(requester.echo(wrong, Timestamp::from_millis(11)), None);
        assert!(requester.is_waiting());
        let echo = requester.echo(value, Timestamp::from_millis(12));
        assert_eq!(echo.map(|echo| echo.rtt), Some(Duration::from_millis(2)));
        assert_eq!(requester.rtt(), Some(Duration::from_millis(2)));
        assert_eq!(requester.echo(value, Timestamp::from_millis(13)), None);
    }

    #[test]
    fn the_tolerance_counts_from_when_the_transport_has_the_beat() {
        let mut requester = requester();
        let _value = requester.beat(at(0));
        let blocked = Signs { blocked: true, ..signs(0) };
        assert_eq!(requester.judge(TOLERANCE, blocked, at(15)), Verdict::Wait(at(30)));
        requester.taken(at(20));
        assert_eq!(requester.judge(TOLERANCE, signs(0), at(20)), Verdict::Silent, "never cut");
        requester.cut(100);
        assert_eq!(requester.place(), 100);
        requester.taken(at(20));
        requester.taken(at(30));
        assert_eq!(requester.judge(TOLERANCE, signs(0), at(34)), Verdict::Wait(at(35)));
        assert_eq!(requester.judge(TOLERANCE, signs(0), at(35)), Verdict::Silent);
    }

    #[test]
    fn a_sign_of_life_and_a_full_queue_give_it_time() {
        let mut requester = requester();
        let _value = requester.beat(at(0));
        assert_eq!(requester.judge(TOLERANCE, signs(10), at(15)), Verdict::Wait(at(25)));
        let queue = Signs { queue: Duration::from_secs(20), ..signs(10) };
        assert_eq!(requester.judge(TOLERANCE, queue, at(15)), Verdict::Wait(at(45)));
        let endless = Signs { queue: Duration::MAX, ..signs(0) };
        assert_eq!(requester.judge(TOLERANCE, endless, at(74)), Verdict::Wait(at(75)));
        assert_eq!(requester.judge(TOLERANCE, endless, at(75)), Verdict::Silent);
        assert_eq!(requester.judge(TOLERANCE, signs(74), at(75)), Verdict::Late);
    }
}
