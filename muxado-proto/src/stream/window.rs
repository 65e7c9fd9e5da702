//! Credit, in both directions (PROTOCOL.md §5).

use core::time::Duration;

use crate::config::DEFAULT_WINDOW;
use crate::frame::MAX_U31;
use crate::time::Timestamp;

/// Credit must be granted after at most this many bytes, for any window: ngrok's sender caps its
/// credit at 256 KiB and would wait forever for half of a larger window.
pub(crate) const UPDATE_THRESHOLD: u32 = 128 << 10;

/// If the transport is silent this long after a grant to a stopped peer, the peer was waiting for
/// that grant. For shorter waits a larger window gains nothing: it only spreads the data over more
/// memory than the caches hold.
const PAUSE: Duration = Duration::from_micros(500);

/// When DATA last arrived on any stream of a session, and the latest pause.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Arrivals {
    last: Timestamp,
    /// The latest pause: from one arrival to the next.
    pause: (Timestamp, Timestamp),
}

impl Arrivals {
    #[inline]
    pub(crate) fn on_data(&mut self, now: Timestamp) {
        if now.is_after(self.last, PAUSE) {
            self.pause = (self.last, now);
        }
        self.last = now;
    }

    /// Whether the latest pause was long, measured from `since`, when the peer could continue.
    fn had_paused(&self, since: Timestamp) -> bool {
        self.pause.1.is_after(self.pause.0.max(since), PAUSE)
    }
}

/// How long the peer has waited for credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wait {
    /// Not at all, as far as is known.
    None,
    /// It had used up all its credit, and our reader was not late.
    Brief,
    /// For about the time a grant is in flight.
    Long,
}

/// What we may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SendWindow {
    credit: u32,
}

impl SendWindow {
    pub(crate) const fn new(initial: u32) -> Self {
        Self { credit: initial }
    }

    pub(crate) const fn credit(self) -> u32 {
        self.credit
    }

    /// Takes a grant; credit saturates at 2^31-1.
    pub(crate) fn grant(&mut self, increment: u32) {
        self.credit = self.credit.saturating_add(increment).min(MAX_U31);
    }

    pub(crate) fn spend(&mut self, bytes: u32) {
        debug_assert!(bytes <= self.credit, "a frame is cut within its credit");
        self.credit = self.credit.saturating_sub(bytes);
    }
}

/// What the peer may send. Always `credit + held + owed == size`, where `held` counts received
/// bytes that were not consumed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReceiveWindow {
    /// The window: how much may be in flight or unread.
    size: u32,
    /// What the peer may still send.
    credit: u32,
    /// Consumed and not yet granted again.
    owed: u32,
    /// What a peer needs to get back to its initial window if it discards credit above it, as
    /// ngrok's sender does.
    missing: u32,
    /// Bytes until the peer reaches an earlier grant's limit. If a frame ends exactly there, the
    /// peer may have run out of credit, if it had not received the later grants.
    before_update: u32,
    /// Since when the peer has been stopped at a limit, or since when it could continue.
    /// [`Timestamp::NEVER`] if it is not stopped.
    stopped: Timestamp,
    /// The longest wait of the peer since the window last grew.
    waited: Wait,
    /// This side has reset the stream before the peer had finished writing.
    abandoned: bool,
}

impl ReceiveWindow {
    pub(crate) const fn new(size: u32) -> Self {
        Self {
            size,
            credit: size,
            owed: 0,
            missing: 0,
            before_update: size,
            stopped: Timestamp::NEVER,
            waited: Wait::None,
            abandoned: false,
        }
    }

    pub(crate) const fn size(&self) -> u32 {
        self.size
    }

    pub(crate) const fn credit(&self) -> u32 {
        self.credit
    }

    /// Consumed and not yet granted again.
    pub(crate) const fn owed(&self) -> u32 {
        self.owed
    }

    /// Accounts for a frame of `length` bytes, the latest arrival; `false` if it exceeds the credit.
    #[must_use]
    pub(crate) fn receive(&mut self, length: u32, arrivals: &Arrivals) -> bool {
        let Some(credit) = self.credit.checked_sub(length) else { return false };
        self.credit = credit;
        self.missing = self.missing.saturating_add(length).min(DEFAULT_WINDOW);
        if length > 0 {
            if self.stopped != Timestamp::NEVER && arrivals.had_paused(self.stopped) {
                self.waited = Wait::Long;
            }
            let at_a_limit = self.before_update == length || credit == 0;
            self.stopped = if at_a_limit { arrivals.last } else { Timestamp::NEVER };
        }
        // At zero the limit has been passed, and none is watched until the next update.
        self.before_update = self.before_update.saturating_sub(length);
        true
    }

    /// `bytes` were read or discarded.
    pub(crate) fn consume(&mut self, bytes: u32) {
        self.owed = self.owed.saturating_add(bytes);
    }

    /// Whether so much is owed that an update is due at once.
    pub(crate) fn is_due(&self) -> bool {
        self.owed >= (self.size / 2).clamp(1, UPDATE_THRESHOLD)
    }

    /// The longest wait of the peer since the window last grew. It decides whether the window grows
    /// when its reader has emptied the buffer.
    pub(crate) const fn waited(&self) -> Wait {
        self.waited
    }

    /// The stream is reset by this side while the peer may still be writing.
    pub(crate) const fn abandon(&mut self) {
        self.abandoned = true;
    }

    /// Whether the peer's writer may wait for credit on a reset stream. Its window may be smaller
    /// than ours, so any credit that it has not got back counts.
    pub(crate) const fn may_have_a_waiting_writer(&self) -> bool {
        self.abandoned && self.credit < self.size
    }

    /// Makes the window larger by `bytes`.
    pub(crate) fn grow(&mut self, bytes: u32) {
        self.size = self.size.saturating_add(bytes);
        self.owed = self.owed.saturating_add(bytes);
        self.waited = Wait::None;
    }

    /// Shrinks a grown window, by as much of `excess` as is owed and not below `first`; returns by
    /// how much. The peer only gets credit later: a peer that never had more than its initial
    /// window gets all of that back.
    pub(crate) fn shrink(&mut self, excess: u32, first: u32) -> u32 {
        let back = self.size.saturating_sub(self.credit);
        let spare = back.saturating_sub(self.missing.min(first));
        let step = excess.min(self.owed).min(self.size.saturating_sub(first)).min(spare);
        self.size = self.size.saturating_sub(step);
        self.owed = self.owed.saturating_sub(step);
        step
    }

    /// Nothing more will arrive, and nothing is held: takes back the growth above `first`.
    pub(crate) const fn close(&mut self, first: u32) -> u32 {
        let growth = self.size.saturating_sub(first);
        self.size = self.size.saturating_sub(growth);
        growth
    }

    /// Grants what is owed: the increment for a WNDINC, `None` if it would be zero.
    pub(crate) fn update(&mut self, now: Timestamp) -> Option<u32> {
        let room = MAX_U31.saturating_sub(self.credit);
        let increment = self.owed.min(room);
        if increment == 0 {
            return None;
        }
        if self.before_update == 0 {
            // The peer has passed the watched limit, so this one is watched next.
            self.before_update = self.credit;
        }
        // Until now the peer waited for our reader.
        if self.stopped != Timestamp::NEVER {
            if self.credit == 0 && !now.is_after(self.stopped, PAUSE) {
                self.waited = self.waited.max(Wait::Brief);
            }
            self.stopped = now;
        }
        self.credit = self.credit.saturating_add(increment);
        // What is missing is capped, so more than that may be granted.
        self.missing = self.missing.saturating_sub(increment);
        self.owed = self.owed.saturating_sub(increment);
        Some(increment)
    }
}

#[cfg(feature = "audit")]
impl Arrivals {
    pub(crate) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        let Self { last, pause: (from, to) } = *self;
        for at in [last, from, to] {
            digest.since(at);
        }
    }
}

#[cfg(feature = "audit")]
impl ReceiveWindow {
    pub(crate) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        let Self { size, credit, owed, missing, before_update, stopped, waited, abandoned } = *self;
        digest.value(&[size, credit, owed]);
        digest.flag(abandoned);
        if digest.config.auto_tune {
            // Nothing else reads these.
            digest.value(&[missing, before_update, waited as u32]);
            digest.flag(stopped != Timestamp::NEVER);
            digest.since(stopped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Timestamp = Timestamp::ZERO;

    #[test]
    fn send_credit_saturates() {
        let mut window = SendWindow::new(DEFAULT_WINDOW);
        for _ in 0..3 {
            window.grant(MAX_U31);
        }
        assert_eq!(window.credit(), MAX_U31);
        window.spend(1);
        assert_eq!(window.credit(), MAX_U31 - 1);
    }

    #[test]
    fn the_window_is_exact() {
        let mut window = ReceiveWindow::new(DEFAULT_WINDOW);
        assert!(window.receive(DEFAULT_WINDOW, &Arrivals::default()));
        assert!(!window.receive(1, &Arrivals::default()));
        assert_eq!(window.credit(), 0);
    }

    #[test]
    fn a_window_shrinks_by_what_is_owed_and_not_below_the_first() {
        let mut window = ReceiveWindow::new(1000);
        window.grow(3000);
        assert_eq!(window.update(START), Some(3000));
        assert!(window.receive(4000, &Arrivals::default()));
        assert_eq!(window.shrink(u32::MAX, 1000), 0);
        window.consume(500);
        assert_eq!((window.shrink(200, 1000), window.size(), window.owed()), (200, 3800, 300));
        window.consume(3500);
        assert_eq!((window.shrink(9000, 1000), window.size()), (2800, 1000));
        assert_eq!(window.update(START), Some(1000));
        assert_eq!(window.credit(), window.size());
    }

    #[test]
    fn an_update_is_due_at_128_kib_whatever_the_window() {
        for size in [DEFAULT_WINDOW, 1 << 20, 16 << 20] {
            let mut window = ReceiveWindow::new(size);
            assert!(window.receive(UPDATE_THRESHOLD, &Arrivals::default()));
            window.consume(UPDATE_THRESHOLD - 1);
            assert!(!window.is_due());
            window.consume(1);
            assert!(window.is_due());
            assert_eq!(window.update(START), Some(UPDATE_THRESHOLD));
            assert_eq!(window.update(START), None);
        }
    }

    /// A window of one stream, and frames that arrive at times in microseconds.
    struct Link(ReceiveWindow, Arrivals);

    impl Link {
        fn at(micros: u64) -> Timestamp {
            START + Duration::from_micros(micros)
        }

        fn frame(&mut self, length: u32, at: u64) {
            self.1.on_data(Self::at(at));
            assert!(self.0.receive(length, &self.1));
        }

        /// Consumes half of a window of 1000 and grants it again.
        fn grant(&mut self, at: u64) {
            self.0.consume(500);
            assert_eq!(self.0.update(Self::at(at)), Some(500));
        }
    }

    #[test]
    fn a_peer_that_stops_at_a_former_limit_and_then_pauses_has_waited() {
        let start = || {
            let mut link = Link(ReceiveWindow::new(1000), Arrivals::default());
            link.frame(500, 1000);
            link.grant(1000);
            link
        };
        // 500 bytes are left of the first grant. A peer that sends a frame across that limit had
        // more credit.
        let mut across = start();
        across.frame(499, 1000);
        across.frame(2, 1000);
        across.frame(1, 9000);
        assert_ne!(across.0.waited, Wait::Long);
        // A peer that ends a frame there and continues at once had more as well.
        let mut flowing = start();
        flowing.frame(500, 1000);
        flowing.frame(1, 1499);
        flowing.frame(1, 9000);
        assert_ne!(flowing.0.waited, Wait::Long);
        let mut waiting = start();
        waiting.frame(500, 1000);
        waiting.frame(1, 1500);
        assert_eq!(waiting.0.waited, Wait::Long);
        // The limit of the first grant is watched, even if more grants follow.
        let mut twice = start();
        twice.frame(100, 1000);
        twice.grant(1000);
        twice.frame(400, 1100);
        twice.frame(1, 1700);
        assert_eq!(twice.0.waited, Wait::Long);
    }

    #[test]
    fn a_peer_without_credit_has_waited_briefly_if_our_reader_was_not_late() {
        let granted_after = |first: u32, micros: u64| {
            let mut link = Link(ReceiveWindow::new(1000), Arrivals::default());
            link.frame(first, 1000);
            link.grant(1000 + micros);
            link.0.waited
        };
        assert_eq!(granted_after(1000, 499), Wait::Brief);
        assert_eq!(granted_after(1000, 500), Wait::None);
        assert_eq!(granted_after(500, 0), Wait::None);
        let mut link = Link(ReceiveWindow::new(1000), Arrivals::default());
        link.frame(1000, 1000);
        link.grant(1000);
        link.0.grow(0);
        assert_eq!(link.0.waited, Wait::None);
        // Reaching an earlier limit does not alone prove that the credit was used up.
        link.frame(1, 1000);
        link.grant(1000);
        link.frame(499, 1000);
        link.grant(1000);
        assert_eq!(link.0.waited, Wait::None);
    }

    #[test]
    fn an_empty_frame_uses_no_credit_and_shows_nothing() {
        let mut link = Link(ReceiveWindow::new(1000), Arrivals::default());
        link.frame(1000, 1000);
        link.grant(1000);
        // The peer has waited if its next byte comes late, and not if an empty frame does.
        link.frame(0, 9000);
        assert_ne!(link.0.waited, Wait::Long);
        link.frame(1, 9000);
        assert_eq!(link.0.waited, Wait::Long);
        let mut link = Link(ReceiveWindow::new(1000), Arrivals::default());
        link.frame(1000, 1000);
        // It does not stop again.
        link.frame(0, 1400);
        link.grant(1600);
        assert_eq!(link.0.waited, Wait::None);
    }

    #[test]
    fn a_window_that_is_closed_gives_its_growth_back() {
        let mut window = ReceiveWindow::new(1000);
        window.grow(300);
        assert_eq!((window.close(1000), window.size()), (300, 1000));
        assert_eq!(window.close(1000), 0);
        assert_eq!(ReceiveWindow::new(10).close(1000), 0);
    }

    #[test]
    fn waiting_for_our_reader_is_not_waiting_for_credit() {
        let mut link = Link(ReceiveWindow::new(500), Arrivals::default());
        link.frame(500, 1000);
        link.grant(900_000);
        link.frame(1, 900_100);
        assert_ne!(link.0.waited, Wait::Long);
    }

    #[test]
    fn waiting_for_other_streams_is_not_waiting_for_credit() {
        let mut link = Link(ReceiveWindow::new(500), Arrivals::default());
        link.frame(500, 1000);
        link.grant(1000);
        for at in (1400..5000).step_by(400) {
            link.1.on_data(Link::at(at));
        }
        link.frame(1, 5000);
        assert_ne!(link.0.waited, Wait::Long);
        // Several streams may have waited during one pause, not only the first to continue.
        link.frame(499, 5000);
        link.grant(5000);
        link.1.on_data(Link::at(50_000));
        link.frame(1, 50_400);
        assert_eq!(link.0.waited, Wait::Long);
    }

    proptest! {
        #[test]
        fn credit_is_conserved(
            size in 1u32..1_000_000,
            ops in proptest::collection::vec((0u8..3, 0u32..400_000), 0..100),
        ) {
            let mut window = ReceiveWindow::new(size);
            let (mut held, mut size) = (0u32, size);
            for (op, amount) in ops {
                match op {
                    0 => {
                        let fits = amount <= window.credit();
                        prop_assert_eq!(window.receive(amount, &Arrivals::default()), fits);
                        if fits { held += amount; }
                    }
                    1 => {
                        let amount = amount.min(held);
                        window.consume(amount);
                        held -= amount;
                        if window.waited() != Wait::None {
                            window.grow(1000);
                            size += 1000;
                        }
                    }
                    _ => { prop_assert_ne!(window.update(START), Some(0)); }
                }
                prop_assert_eq!(window.credit() + held + window.owed(), size);
                prop_assert_eq!(window.size(), size);
            }
        }
    }
}
