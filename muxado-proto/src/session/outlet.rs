//! What a beat may have to wait for: what the transport has taken, how fast, and what the peer is
//! known to have received. Only sessions with heartbeats keep this.

use core::time::Duration;

use crate::time::Timestamp;

/// Output that was taken sooner went into free buffer space, which shows nothing about the peer.
const WAITED: Duration = Duration::from_millis(10);

/// The minimum number of bytes to measure a rate.
const SPAN: u64 = 16 << 10;

/// The assumed rate of a transport that has not made output wait yet, in bytes per second.
const SLOWEST: u64 = 4 << 10;

/// Outgoing payload without heartbeats: what a beat may have to wait for.
///
/// Bytes are counted from the start of the session. Invariant: `arrived <= taken <= cut`.
#[derive(Debug, Default)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct Outlet {
    /// Bytes that were cut into frames.
    cut: u64,
    /// The transport has taken so many.
    taken: u64,
    /// How many bytes the peer is known to have received.
    arrived: u64,
    /// When output that had waited was last taken, which shows that the other end reads.
    moved: Timestamp,
    /// Since when, and since which byte, the transport has been continuously full.
    span: Option<(Timestamp, u64)>,
    /// The lowest rate seen, in bytes per second.
    slowest: Option<u64>,
}

impl Outlet {
    /// The transport has taken all that was handed out at the time `since`.
    pub(super) fn all_taken(&mut self, now: Timestamp, since: Option<Timestamp>) {
        self.some_taken(now, since);
        self.taken = self.cut;
        self.measure(now);
        if has_waited(now, since) {
            // It was full. From here on it takes bytes at its own rate; before, a part went into
            // free buffer space.
            self.span = self.span.or(Some((now, self.taken)));
        }
    }

    /// The transport has taken some of what was handed out at the time `since`.
    pub(super) fn some_taken(&mut self, now: Timestamp, since: Option<Timestamp>) {
        if has_waited(now, since) {
            self.moved = now;
        }
    }

    /// A frame with so much payload was cut.
    pub(super) const fn cut(&mut self, payload: u32) {
        self.cut = self.cut.saturating_add(payload as u64);
    }

    /// There is no next batch.
    pub(super) const fn nothing_to_send(&mut self) {
        self.span = None;
    }

    fn measure(&mut self, now: Timestamp) {
        let Some((since, from)) = self.span else { return };
        debug_assert!(from <= self.taken, "a span begins where the transport had got to");
        let (elapsed, bytes) = (now - since, self.taken.saturating_sub(from));
        if elapsed < WAITED || bytes < SPAN {
            return;
        }
        let second = u128::from(bytes).saturating_mul(1_000_000_000);
        let rate = second.checked_div(elapsed.as_nanos()).unwrap_or(u128::MAX);
        let rate = u64::try_from(rate).unwrap_or(u64::MAX).max(1);
        self.slowest = Some(self.slowest.map_or(rate, |slowest| slowest.min(rate)));
        self.span = Some((now, self.taken));
    }

    /// The position after everything that has been cut.
    pub(super) const fn position(&self) -> u64 {
        self.cut
    }

    /// When output that had waited was last taken.
    pub(super) const fn moved(&self) -> Timestamp {
        self.moved
    }

    /// The peer has received the bytes before this position.
    pub(super) fn arrived_to(&mut self, position: u64) {
        self.arrived = self.arrived.max(position.min(self.taken));
    }

    /// The peer's reader has consumed this many more bytes.
    pub(super) fn arrived(&mut self, bytes: u32) {
        self.arrived_to(self.arrived.saturating_add(u64::from(bytes)));
    }

    /// The peer has answered, so it has received everything.
    pub(super) const fn arrived_all(&mut self) {
        self.arrived = self.taken;
    }

    /// How long the bytes before this position may be in flight, without those that the peer is
    /// known to have: their time at the lowest rate seen.
    pub(super) fn time_to(&self, position: u64) -> Duration {
        let ahead = u128::from(position.saturating_sub(self.arrived));
        let rate = u128::from(self.slowest.unwrap_or(SLOWEST).max(1));
        let nanos = ahead.saturating_mul(1_000_000_000).checked_div(rate).unwrap_or_default();
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

fn has_waited(now: Timestamp, since: Option<Timestamp>) -> bool {
    since.is_some_and(|since| now.is_after(since, WAITED))
}

#[cfg(feature = "audit")]
impl Outlet {
    /// Only the differences between positions count; `beat` is the position of the outstanding
    /// beat.
    pub(super) fn digest(&self, beat: u64, digest: &mut crate::digest::Digest<'_>) {
        let Self { cut, taken, arrived, moved, span, slowest } = self;
        digest.number(cut.saturating_sub(*taken));
        digest.number(cut.saturating_sub(*arrived));
        digest.number(beat.saturating_sub(*arrived));
        digest.since(*moved);
        digest.value(slowest);
        let (since, from) = span.unwrap_or_default();
        digest.since(since);
        digest.number(cut.saturating_sub(from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// An outlet, and when its batch was handed out.
    #[derive(Default)]
    struct Driven {
        outlet: Outlet,
        since: Option<Timestamp>,
    }

    impl Driven {
        /// Hands out a batch with this much payload, if any.
        fn hand_out(&mut self, payload: u32, now: Timestamp) {
            self.outlet.all_taken(now, self.since);
            self.outlet.cut(payload);
            self.since = Some(now).filter(|_| payload > 0);
            if payload == 0 {
                self.outlet.nothing_to_send();
            }
        }
    }

    #[test]
    fn output_that_has_waited_is_a_sign_of_a_reader() {
        let mut driven = Driven::default();
        driven.hand_out(10, at(5));
        driven.hand_out(10, at(6));
        assert_eq!(driven.outlet.moved(), Timestamp::ZERO, "there was room");
        driven.outlet.some_taken(at(16), driven.since);
        assert_eq!(driven.outlet.moved(), at(16));
        driven.hand_out(0, at(17));
        assert_eq!(driven.outlet.moved(), at(17));
        driven.hand_out(0, at(100));
        assert_eq!(driven.outlet.moved(), at(17), "nothing was there to take");
    }

    #[test]
    fn the_lowest_rate_of_a_full_transport_counts() {
        let mut driven = Driven::default();
        // Nothing has waited so far: 4 KiB a second.
        driven.hand_out(8192, at(0));
        driven.hand_out(0, at(0));
        assert_eq!(driven.outlet.time_to(8192), Duration::from_secs(2));
        // Almost all of the first megabyte goes into free buffer space.
        driven.hand_out(1 << 20, at(100));
        driven.hand_out(100_000, at(120));
        driven.outlet.arrived_all();
        assert_eq!(
            driven.outlet.time_to(driven.outlet.position() - 100_000 + 4096),
            Duration::from_secs(1)
        );
        // Then 100 000 bytes take a second, and later two.
        driven.hand_out(100_000, at(1120));
        driven.hand_out(100_000, at(3120));
        driven.outlet.arrived_all();
        let place = driven.outlet.position() - 100_000 + 50_000;
        assert_eq!(driven.outlet.time_to(place), Duration::from_secs(1));
        // Time in which there was nothing to take does not count.
        driven.hand_out(0, at(4000));
        driven.hand_out(100_000, at(90_000));
        driven.hand_out(0, at(99_000));
        driven.outlet.arrived_all();
        assert_eq!(
            driven.outlet.time_to(driven.outlet.position() + 50_000),
            Duration::from_secs(1)
        );
    }

    #[test]
    fn a_rate_is_measured_over_some_time_and_some_bytes() {
        // From the first batch that waits, so many bytes in so many milliseconds.
        let measured = |bytes: u64, millis: u64| {
            let mut outlet = Outlet::default();
            outlet.all_taken(at(10), Some(at(0)));
            outlet.cut(u32::try_from(bytes).unwrap());
            outlet.all_taken(at(10 + millis), Some(at(10)));
            outlet.slowest
        };
        assert_eq!(measured(SPAN, 10), Some(SPAN * 100));
        assert_eq!(measured(SPAN + 1, 20), Some((SPAN + 1) * 50));
        for (bytes, millis) in [(SPAN - 1, 10), (SPAN, 9), (SPAN - 1, 9), (100, 1000), (1 << 20, 1)]
        {
            assert_eq!(measured(bytes, millis), None, "{bytes} bytes in {millis} ms");
        }
    }

    #[test]
    fn the_peer_has_no_more_than_was_taken() {
        let mut driven = Driven::default();
        driven.hand_out(4096, at(0));
        driven.outlet.arrived(u32::MAX);
        assert_eq!(driven.outlet.time_to(4096), Duration::from_secs(1));
        driven.hand_out(0, at(0));
        driven.outlet.arrived(2048);
        assert_eq!(driven.outlet.time_to(4096), Duration::from_millis(500));
        driven.outlet.arrived(u32::MAX);
        assert_eq!(driven.outlet.time_to(4096), Duration::ZERO);
    }
}
