//! Credit, in both directions (PROTOCOL.md §5).

use core::time::Duration;

use crate::frame::MAX_U31;
use crate::time::Timestamp;

/// Credit must be given back at the latest after this many bytes, whatever the window: ngrok's
/// sender caps its credit at 256 KiB and would wait for ever for the half of a larger window.
pub(crate) const UPDATE_THRESHOLD: u32 = 128 << 10;

/// A peer that stops where its credit ends, and takes at least so long to go on when it has been
/// granted more, has waited for the grant to travel. Below that a larger window gains nothing: it
/// only spreads the data over more memory than the caches hold.
const PAUSE: Duration = Duration::from_micros(500);

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
        self.credit = self.credit.saturating_sub(bytes);
    }
}

/// What the peer may send. Always `credit + held + owed == size`, where `held` are the bytes that
/// have arrived and were not consumed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReceiveWindow {
    /// The window: how much may be on its way or unread.
    size: u32,
    /// What the peer may still send.
    credit: u32,
    /// Consumed and not yet granted again.
    owed: u32,
    /// What is left to send before the limit of some former grant. If a frame ends exactly there,
    /// the peer may have run out of credit, if it did not know of the grants since.
    before_update: u32,
    /// The peer has stopped at a limit: since when it has not gone on, or since when it could.
    stopped: Option<Timestamp>,
    /// The peer has waited for credit since the window last grew.
    waited: bool,
    /// This side has reset the stream before the peer had finished writing.
    abandoned: bool,
}

impl ReceiveWindow {
    pub(crate) const fn new(size: u32) -> Self {
        Self {
            size,
            credit: size,
            owed: 0,
            before_update: size,
            stopped: None,
            waited: false,
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

    /// Accounts for a frame of `length` bytes; `false` if it exceeds the credit.
    #[must_use]
    pub(crate) fn receive(&mut self, length: u32, now: Timestamp) -> bool {
        let Some(credit) = self.credit.checked_sub(length) else { return false };
        self.credit = credit;
        if length > 0 {
            if let Some(since) = self.stopped.take() {
                self.waited |= now - since >= PAUSE;
            }
            if self.before_update == length || credit == 0 {
                self.stopped = Some(now);
            }
        }
        self.before_update = self.before_update.saturating_sub(length);
        true
    }

    /// The application, or nobody, has taken `bytes`.
    pub(crate) fn consume(&mut self, bytes: u32) {
        self.owed = self.owed.saturating_add(bytes);
    }

    /// Whether so much is owed that an update is due at once.
    pub(crate) fn is_due(&self) -> bool {
        self.owed >= (self.size / 2).clamp(1, UPDATE_THRESHOLD)
    }

    /// Whether the window should grow, now that its reader has emptied the buffer.
    pub(crate) const fn wants_growth(&self) -> bool {
        self.waited
    }

    /// The stream is reset by this side while the peer may still be writing.
    pub(crate) const fn abandon(&mut self) {
        self.abandoned = true;
    }

    /// Whether the peer's writer may wait for credit on a stream that is reset. Its own window may
    /// be smaller than ours, so any credit it has not got back counts.
    pub(crate) const fn may_have_a_waiting_writer(&self) -> bool {
        self.abandoned && self.credit < self.size
    }

    /// Makes the window larger by `bytes`.
    pub(crate) fn grow(&mut self, bytes: u32) {
        self.size = self.size.saturating_add(bytes);
        self.owed = self.owed.saturating_add(bytes);
        self.waited = false;
    }

    /// Grants what is owed: the increment for a WNDINC, `None` if it would be zero.
    pub(crate) fn update(&mut self, now: Timestamp) -> Option<u32> {
        let room = MAX_U31.saturating_sub(self.credit);
        let increment = self.owed.min(room);
        if increment == 0 {
            return None;
        }
        if self.before_update == 0 {
            // The peer has passed the limit that was watched, so this one is next.
            self.before_update = self.credit;
        }
        // Until here it was our reader that it waited for.
        self.stopped = self.stopped.map(|_| now);
        self.credit = self.credit.saturating_add(increment);
        self.owed = self.owed.saturating_sub(increment);
        Some(increment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT_WINDOW;
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
        assert!(window.receive(DEFAULT_WINDOW, START));
        assert!(!window.receive(1, START));
        assert_eq!(window.credit(), 0);
    }

    #[test]
    fn an_update_is_due_at_128_kib_whatever_the_window() {
        for size in [DEFAULT_WINDOW, 1 << 20, 16 << 20] {
            let mut window = ReceiveWindow::new(size);
            assert!(window.receive(UPDATE_THRESHOLD, START));
            window.consume(UPDATE_THRESHOLD - 1);
            assert!(!window.is_due());
            window.consume(1);
            assert!(window.is_due());
            assert_eq!(window.update(START), Some(UPDATE_THRESHOLD));
            assert_eq!(window.update(START), None);
        }
    }

    #[test]
    fn a_peer_that_stops_at_a_former_limit_and_then_pauses_has_waited() {
        let at = |micros| START + Duration::from_micros(micros);
        let mut window = ReceiveWindow::new(1000);
        assert!(window.receive(500, START));
        window.consume(500);
        assert_eq!(window.update(START), Some(500));
        // 500 bytes were left of the first grant: a peer that sends across them had more credit.
        let mut across = window;
        assert!(across.receive(499, START) && across.receive(2, START));
        assert!(across.receive(1, at(9000)) && !across.wants_growth());
        // One that ends a frame there and goes on at once had more as well.
        assert!(window.receive(499, START) && window.receive(1, START));
        let mut flowing = window;
        assert!(flowing.receive(1, at(499)) && flowing.receive(1, at(9000)));
        assert!(!flowing.wants_growth());
        assert!(window.receive(1, at(500)) && window.wants_growth());
    }

    #[test]
    fn waiting_for_our_reader_is_not_waiting_for_credit() {
        let late = START + Duration::from_secs(9);
        let mut window = ReceiveWindow::new(1000);
        assert!(window.receive(1000, START));
        window.consume(1000);
        assert_eq!(window.update(late), Some(1000));
        assert!(window.receive(1, late) && !window.wants_growth());
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
                        prop_assert_eq!(window.receive(amount, START), fits);
                        if fits { held += amount; }
                    }
                    1 => {
                        let amount = amount.min(held);
                        window.consume(amount);
                        held -= amount;
                        if window.wants_growth() { window.grow(1000); size += 1000; }
                    }
                    _ => { prop_assert_ne!(window.update(START), Some(0)); }
                }
                prop_assert_eq!(window.credit() + held + window.owed(), size);
                prop_assert_eq!(window.size(), size);
            }
        }
    }
}
