//! How much to cut ahead of the transport.
//!
//! Urgent frames cannot overtake bytes that were cut, so at most as much is cut as the transport
//! takes in ten milliseconds; on a fast transport at most four segments of loopback, or one while small
//! messages are sent beside the rest.

use core::time::Duration;

use crate::config::DEFAULT_FRAME as FRAME;
use crate::stream::schedule::TURN;
use crate::time::Timestamp;

/// The maximum payload cut at once beside small messages: four frames of [`FRAME`] and their headers
/// fill one segment of loopback, and one read of the peer. So the peer handles one segment while the
/// next is cut, and neither end waits for the other.
const SHORT: u32 = TURN;

/// The same without small messages: fewer turns move the same bytes.
const LONG: u32 = 4 * TURN;

/// Small messages are expected for this long after each.
const EXPECTED: Duration = Duration::from_millis(10);

/// The minimum cut at once: below it, the overhead of headers is too large.
const FLOOR: u32 = 512;

/// The target duration of a batch.
const AIM: Duration = Duration::from_millis(10);

/// A batch that was taken sooner did not wait: it went into a queue, or the transport is fast.
const WAIT: Duration = Duration::from_millis(1);

/// At most a fourth of what the transport took without a wait is cut ahead. If the transport has a
/// queue, that amount is its size, and the queue delays four times as much as the batch does.
const OF_QUEUE: u32 = 4;

/// The batch that the transport has not taken, and the pace of the transport, measured by what it
/// takes. Only full batches count: small ones may have waited for something else.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct Pace {
    /// Bytes to cut at once while there are no small messages.
    batch: u32,
    /// Bytes of full batches taken since the last wait.
    run: u32,
    /// Bytes of the current batch if it is full, and how many of them are not taken yet.
    handed_out: u32,
    left: u32,
    /// When the current batch was handed out.
    since: Option<Timestamp>,
    /// Until when small messages are expected.
    small: Timestamp,
}

impl Pace {
    /// A transport without a measurement: it gets one frame at a time.
    pub(super) const fn new() -> Self {
        Self { batch: FRAME, run: 0, handed_out: 0, left: 0, since: None, small: Timestamp::ZERO }
    }

    /// A message was cut that is small, and that was all its stream had to send.
    #[inline]
    pub(super) fn small_message(&mut self, now: Timestamp) {
        self.small = now + EXPECTED;
    }

    /// Whether small messages are expected.
    #[inline]
    pub(super) fn has_small_messages(&self, now: Timestamp) -> bool {
        now < self.small
    }

    /// The maximum number of bytes to move each way in one turn, beside small messages or without.
    pub(super) const fn turn(small: bool) -> u32 {
        if small { SHORT } else { LONG }
    }

    /// Bytes to cut at once, beside small messages or without.
    #[inline]
    pub(super) fn batch(&self, small: bool) -> u32 {
        self.batch.min(Self::turn(small))
    }

    /// Payload of a frame, `max` at most.
    pub(super) fn frame(&self, max: u32) -> u32 {
        if self.batch < FRAME { self.batch.min(max) } else { max }
    }

    /// A batch of this many bytes is handed out; `full` if there was more to cut. The transport has
    /// taken the one before.
    pub(super) fn hand_out(&mut self, now: Timestamp, bytes: usize, full: bool) {
        debug_assert!(self.since.is_none(), "one batch at a time");
        self.since = Some(now);
        if full {
            self.left = u32::try_from(bytes).unwrap_or(u32::MAX);
            self.handed_out = self.left;
        }
    }

    /// When the batch was handed out that the transport has not taken.
    #[inline]
    pub(super) const fn waits_since(&self) -> Option<Timestamp> {
        self.since
    }

    /// The transport has taken the whole batch.
    pub(super) fn all_taken(&mut self, now: Timestamp) {
        self.taken(now, usize::MAX);
        self.since = None;
    }

    /// The transport has taken this many bytes of it.
    pub(super) fn taken(&mut self, now: Timestamp, bytes: usize) {
        if self.left == 0 {
            return;
        }
        self.left = self.left.saturating_sub(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.left > 0 {
            return;
        }
        let took = now - self.since.unwrap_or(now);
        if took < WAIT {
            self.run = self.run.saturating_add(self.handed_out);
            self.batch = self.batch.max((self.run / OF_QUEUE).min(LONG));
        } else {
            self.run = 0;
            let rate = u128::from(self.handed_out).saturating_mul(AIM.as_nanos());
            let batch = rate.checked_div(took.as_nanos()).unwrap_or(u128::MAX);
            self.batch = u32::try_from(batch).unwrap_or(u32::MAX).clamp(FLOOR, LONG);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out full batches for `time` to a transport that takes `rate` bytes per second, after a
    /// queue of `queue` bytes. Returns the size of the last batch, and the longest time in seconds
    /// that a byte was in flight that was cut in the second half of the time.
    fn run(rate: f64, queue: f64, time: f64) -> (u32, f64) {
        let mut pace = Pace::new();
        let (mut now, mut clear) = (0.0_f64, 0.0_f64);
        let mut longest = 0.0_f64;
        while now < time {
            let stamp = Timestamp::from_duration(Duration::from_secs_f64(now));
            let batch = pace.batch(true);
            pace.all_taken(stamp);
            pace.hand_out(stamp, batch as usize, true);
            // The queue takes the batch when it has at most `queue` bytes afterwards.
            clear = clear.max(now) + f64::from(batch) / rate;
            if now > time / 2.0 {
                longest = longest.max(clear - now);
            }
            now = now.max(clear - queue / rate);
        }
        (pace.batch(true), longest)
    }

    #[test]
    fn a_slow_transport_is_given_ten_milliseconds() {
        for (rate, queue, expected) in [
            (12_500.0, 16_384.0, 512),
            (125_000.0, 16_384.0, 1250),
            (1_250_000.0, 65_536.0, 12_500),
        ] {
            let (batch, longest) = run(rate, queue, 100.0);
            let off = f64::from(batch) / f64::from(expected);
            assert!((0.9..1.1).contains(&off), "{batch} bytes at {rate}");
            let floor = f64::from(FLOOR) / rate;
            assert!(longest <= queue / rate + floor.max(0.0101) + 1e-6, "{longest} s at {rate}");
        }
    }

    #[test]
    fn a_fast_transport_gets_a_segment() {
        assert_eq!(run(125e6, 4e6, 1.0).0, SHORT);
        assert_eq!(run(125e6, 64e3, 1.0).0, SHORT);
        let mut pace = Pace::new();
        for _ in 0..20 {
            pace.hand_out(Timestamp::ZERO, pace.batch(true) as usize, true);
            pace.all_taken(Timestamp::ZERO);
        }
        assert_eq!((pace.batch(true), pace.frame(FRAME)), (SHORT, FRAME));
    }

    #[test]
    fn without_small_messages_four_segments_are_cut_and_still_ten_milliseconds_at_most() {
        let mut pace = Pace::new();
        let mut now = Timestamp::ZERO;
        for _ in 0..40 {
            pace.hand_out(now, pace.batch(false) as usize, true);
            pace.all_taken(now);
        }
        assert_eq!((pace.batch(false), pace.batch(true)), (LONG, SHORT));
        // A hundred kilobytes in ten milliseconds.
        pace.hand_out(now, LONG as usize, true);
        now = now + Duration::from_nanos(u64::from(LONG) * 100);
        pace.all_taken(now);
        assert_eq!((pace.batch(false), pace.batch(true)), (100_000, SHORT));
    }

    #[test]
    fn a_batch_that_is_taken_within_a_millisecond_did_not_wait() {
        for micros in [0, 1, 500, 999] {
            let mut pace = Pace::new();
            // A fourth of what was taken is no more than a frame.
            pace.hand_out(Timestamp::ZERO, 1000, true);
            pace.all_taken(Timestamp::ZERO + Duration::from_micros(micros));
            assert_eq!(pace.batch(true), FRAME, "{micros} µs");
        }
        let mut pace = Pace::new();
        for count in 1..=8 {
            pace.hand_out(Timestamp::ZERO, FRAME as usize, true);
            pace.all_taken(Timestamp::ZERO);
            assert_eq!(
                pace.batch(true),
                FRAME * (count / 4).max(1) + FRAME / 4 * (count % 4) * (count / 4).min(1)
            );
        }
        let mut pace = Pace::new();
        pace.hand_out(Timestamp::ZERO, 1000, true);
        pace.all_taken(Timestamp::from_millis(1));
        assert_eq!(pace.batch(true), 10_000);
    }

    #[test]
    fn small_batches_say_nothing() {
        let mut pace = Pace::new();
        pace.hand_out(Timestamp::ZERO, 20, false);
        pace.taken(Timestamp::from_millis(500), 20);
        assert_eq!(pace.batch(true), FRAME);
    }

    #[test]
    fn one_that_gets_faster_is_believed_when_it_has_taken_more() {
        let mut pace = Pace::new();
        pace.hand_out(Timestamp::ZERO, 10_000, true);
        pace.taken(Timestamp::from_millis(50), 9999);
        assert_eq!(pace.batch(true), FRAME);
        pace.taken(Timestamp::from_millis(100), 1);
        assert_eq!((pace.batch(true), pace.frame(FRAME), pace.frame(900)), (1000, 1000, 900));
        let now = Timestamp::from_millis(100);
        let batches = (0..).find(|_| {
            pace.all_taken(now);
            pace.hand_out(now, pace.batch(true) as usize, true);
            pace.batch(true) == SHORT
        });
        assert!(batches.is_some_and(|batches| batches < 40), "{batches:?}");
    }

    #[test]
    fn a_frame_is_as_large_as_it_may_be_where_the_transport_is_fast() {
        let pace = Pace::new();
        assert_eq!((pace.frame(1024), pace.frame(0xff_ffff)), (1024, 0xff_ffff));
    }
}
