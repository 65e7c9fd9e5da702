//! Credit for the peer: when a WNDINC is due, whether a window may grow, and what is held
//! (PROTOCOL.md §5).
//!
//! `stream::window` has the arithmetic of one window; this module has what the windows of a session
//! share.

use super::Session;
use super::share::Share;
use super::tally::{add, change, take_off};
use crate::config::{BLOCK, Config};
use crate::stream::buffer::Size;
use crate::stream::key::Key;
use crate::stream::schedule::{Link, Queue};
use crate::stream::state::RecvState;
use crate::stream::window::{Arrivals, Wait};
use crate::stream::{Mark, Stream};
use crate::time::Timestamp;

/// The size up to which a window grows for a peer that has waited briefly. With a small window the
/// two ends take turns and wait for each other; a larger one than this would only use more of their
/// caches.
const EASY_WINDOW: u32 = 1 << 20;

/// When the credit that a stream owes is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grant {
    /// Not yet: the reader has not emptied the buffer.
    Never,
    /// With the next output.
    Now,
    /// After the update delay.
    Soon,
}

/// What the receive windows of a session share.
///
/// Invariants: `unread` and `held` are the sums of the sizes of the streams' incoming buffers;
/// `growth` is the sum of the growth of their windows; for each stream on which the peer may still
/// send, credit, held and owed bytes add up to the window.
#[derive(Debug, Default)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct Credit {
    /// Bytes received and not read.
    unread: u64,
    /// The memory that they keep alive.
    held: u64,
    /// Of the unread bytes, those of streams that are over.
    ended: u64,
    /// The number of the record that is examined next when memory is short.
    hand: u32,
    growth: u64,
    arrivals: Arrivals,
    /// Credit has become owed since the timer was last checked.
    unarmed: bool,
}

impl Credit {
    /// Bytes received and not read.
    pub(super) const fn unread(&self) -> u64 {
        self.unread
    }

    /// The memory that they keep alive.
    #[cfg(feature = "audit")]
    pub(super) const fn held(&self) -> u64 {
        self.held
    }

    /// Whether the memory held exceeds what was promised by more than a block. Then buffers have to
    /// be compacted, and input is copied.
    pub(super) const fn is_short(&self, promises: u64) -> bool {
        self.held > promises.saturating_add(BLOCK as u64)
    }

    /// Whether [`is_short`](Self::is_short) has to be checked. Sessions that hold little need no
    /// check.
    #[inline]
    pub(super) const fn may_be_short(&self) -> bool {
        self.is_short(0)
    }

    /// The record to examine next.
    pub(super) const fn hand(&self) -> u32 {
        self.hand
    }

    /// The next one, of `end`, in a circle.
    pub(super) const fn move_hand(&mut self, end: u32) {
        let next = self.hand.saturating_add(1);
        self.hand = if next < end { next } else { 0 };
    }

    /// Bytes by which windows have grown.
    pub(super) const fn growth(&self) -> u64 {
        self.growth
    }

    /// DATA has arrived on some stream.
    pub(super) fn on_data(&mut self, now: Timestamp) {
        self.arrivals.on_data(now);
    }

    /// Accounts for a frame of `length` bytes; `false` if it exceeds the stream's credit.
    #[must_use]
    pub(super) fn receive(&self, stream: &mut Stream, length: u32) -> bool {
        stream.recv_window.receive(length, &self.arrivals)
    }

    /// A stream with so much unread is over.
    pub(super) const fn completed(&mut self, unread: usize) {
        add(&mut self.ended, unread as u64);
    }

    /// Bytes of a stream that is over were read or dropped.
    pub(super) const fn taken_of_completed(&mut self, bytes: usize) {
        take_off(&mut self.ended, bytes as u64);
    }

    /// Bytes that are unread on streams that are over.
    #[cfg(feature = "audit")]
    pub(super) const fn ended(&self) -> u64 {
        self.ended
    }

    /// Whether the initial window of one more stream fits beside those of `open` streams and the
    /// unread bytes of streams that are over.
    pub(super) fn fits(&self, open: u32, config: &Config) -> bool {
        let windows = u64::from(open).saturating_add(1);
        let windows = windows.saturating_mul(u64::from(config.receive_window));
        config.overcommit || windows.saturating_add(self.ended) <= config.first_windows()
    }

    /// The size of a stream's incoming buffer has changed.
    pub(super) const fn resize(&mut self, before: Size, after: Size) {
        change(&mut self.unread, before.bytes, after.bytes);
        change(&mut self.held, before.held, after.held);
    }

    /// `bytes` were read or discarded on a stream on which the peer may still send. `streams` rely
    /// on their initial windows.
    fn consumed(
        &mut self,
        stream: &mut Stream,
        bytes: usize,
        streams: u32,
        config: &Config,
        share: Option<&mut Share>,
    ) -> Grant {
        let drained = stream.incoming.is_empty();
        stream.recv_window.consume(u32::try_from(bytes).unwrap_or(u32::MAX));
        // Most windows have not grown, and their peers do not wait.
        if self.growth > 0 || stream.recv_window.waited() != Wait::None {
            self.resize_window(stream, drained, streams, config, share);
        }
        if stream.recv_window.is_due() {
            Grant::Now
        } else if drained {
            Grant::Soon
        } else {
            Grant::Never
        }
    }

    /// Takes back growth beyond the budget, or grows this window.
    fn resize_window(
        &mut self,
        stream: &mut Stream,
        drained: bool,
        streams: u32,
        config: &Config,
        mut share: Option<&mut Share>,
    ) {
        let tight = share.as_ref().is_some_and(|share| share.is_tight());
        let budget = if tight { 0 } else { growth_budget(streams, config) };
        let excess = u32::try_from(self.growth.saturating_sub(budget)).unwrap_or(u32::MAX);
        let taken_back = stream.recv_window.shrink(excess, config.receive_window);
        take_off(&mut self.growth, u64::from(taken_back));
        if let Some(share) = &mut share {
            share.release_growth(taken_back);
        }
        if drained && excess == 0 {
            self.grow(stream, budget, config, share);
        }
    }

    /// Grows the window of a stream whose reader keeps up, if its peer has waited for credit, as
    /// far as the budget allows.
    fn grow(
        &mut self,
        stream: &mut Stream,
        budget: u64,
        config: &Config,
        share: Option<&mut Share>,
    ) {
        let max = config.max_receive_window;
        let (max, budget) = match stream.recv_window.waited() {
            Wait::None => return,
            Wait::Brief => (max.min(EASY_WINDOW), budget.min(easy_budget(config))),
            Wait::Long => (max, budget),
        };
        if stream.recv != RecvState::Open || !stream.is_counted() || !config.auto_tune {
            return;
        }
        let left = u32::try_from(budget.saturating_sub(self.growth)).unwrap_or(u32::MAX);
        let size = stream.recv_window.size();
        let step = size.min(max.saturating_sub(size)).min(left);
        if share.is_some_and(|share| !share.reserve_growth(step)) {
            return;
        }
        stream.recv_window.grow(step);
        add(&mut self.growth, u64::from(step));
    }

    /// Takes back the growth of a window that is no longer needed: nothing more will arrive, and
    /// all bytes were consumed. Returns how much that was.
    pub(super) fn close_if_done(&mut self, stream: &mut Stream, config: &Config) -> u32 {
        let done = !stream.recv.is_open() && stream.incoming.is_empty();
        if done { self.close(stream, config) } else { 0 }
    }

    /// Takes back the growth of a window; returns how much that was.
    pub(super) const fn close(&mut self, stream: &mut Stream, config: &Config) -> u32 {
        let growth = stream.recv_window.close(config.receive_window);
        take_off(&mut self.growth, growth as u64);
        growth
    }

    /// Whether there is owed credit for which no timer is set.
    pub(super) const fn is_unarmed(&self) -> bool {
        self.unarmed
    }

    /// As [`is_unarmed`](Self::is_unarmed); the caller sets the timer.
    pub(super) const fn take_unarmed(&mut self) -> bool {
        core::mem::replace(&mut self.unarmed, false)
    }
}

/// By how much all windows together may grow for peers that have waited briefly: at most a small
/// part of the receive buffer, because streams that are opened later rely on it, too.
fn easy_budget(config: &Config) -> u64 {
    let first = u64::from(config.receive_window);
    first.saturating_mul(3).min(config.session_receive_buffer / 64)
}

/// By how much all windows together may grow, beside the initial windows of `streams`.
fn growth_budget(streams: u32, config: &Config) -> u64 {
    if !config.overcommit {
        return config.growth();
    }
    let buffer = config.session_receive_buffer;
    let relied_on = u64::from(streams).saturating_mul(u64::from(config.receive_window));
    buffer.saturating_sub(relied_on).min(buffer / 2).min(u64::from(config.window_budget))
}

impl Session {
    /// `bytes` of a stream were read or discarded: grants credit when the rules say so
    /// (PROTOCOL.md §5.4).
    pub(super) fn consumed(&mut self, key: Key, bytes: usize) {
        let Some(stream) = self.store.live_mut(key) else { return };
        if bytes == 0 || self.closing.is_over() {
            return;
        }
        if !stream.recv.is_open() {
            let growth = self.credit.close_if_done(stream, &self.config);
            if let Some(share) = &mut self.share {
                share.release_growth(growth);
            }
            return;
        }
        let streams = self.counts.open();
        let share = self.share.as_deref_mut();
        let grant = self.credit.consumed(stream, bytes, streams, &self.config, share);
        let waits = stream.links.is_linked(Link::Control);
        match grant {
            Grant::Now => self.grant_now(key),
            Grant::Soon if !waits => {
                self.credit.unarmed |= self.store.is_empty(Queue::Owed);
                self.store.push(Queue::Owed, key);
            }
            Grant::Soon | Grant::Never => {}
        }
    }

    /// The application has read `bytes` of a stream; the size of its buffer was `before`, and is `after`
    /// now.
    #[inline]
    pub(super) fn has_read(&mut self, key: Key, before: Size, after: Size, bytes: usize) {
        self.credit.resize(before, after);
        self.reads();
        self.took(key, bytes);
    }

    /// The application has taken `bytes` of a stream.
    pub(super) fn took(&mut self, key: Key, bytes: usize) {
        let Some(stream) = self.store.get(key) else { return };
        let open = stream.recv.is_open();
        if stream.is(Mark::Complete) {
            self.credit.taken_of_completed(bytes);
        }
        self.consumed(key, bytes);
        if !open {
            self.free_slot_if_done(key);
        }
    }

    /// Sends what is owed to a stream with the next output. One that is spared waits: it stays in its
    /// queue, which excludes others.
    pub(super) fn grant_now(&mut self, key: Key) {
        self.store.unlink(Queue::Owed, key);
        self.store.push(Queue::Control, key);
    }

    /// Drops the unread bytes of a stream; returns how many.
    pub(super) fn drop_incoming(&mut self, key: Key) -> usize {
        let Some(stream) = self.store.live_mut(key) else { return 0 };
        let before = stream.incoming.size();
        let dropped = stream.incoming.clear(&mut self.pool);
        if stream.is(Mark::Complete) {
            self.credit.taken_of_completed(dropped);
        }
        self.credit.resize(before, Size::default());
        dropped
    }
}

#[cfg(feature = "audit")]
impl Credit {
    pub(super) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        let Self { unread, held, ended, hand, growth, arrivals, unarmed } = self;
        digest.value(&[unread, ended, growth]);
        if self.is_short(digest.config.promises()) {
            digest.value(&(held, hand));
        }
        digest.flag(*unarmed);
        if digest.config.auto_tune || digest.config.heartbeat.is_some() {
            arrivals.digest(digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::StreamId;
    use crate::stream::Owner;
    use crate::stream::state::SendState;

    fn stream(config: &Config) -> Stream {
        Stream::new(StreamId::new(3), Owner::Application, SendState::Open, config)
    }

    #[test]
    fn a_grant_waits_for_half_a_window_or_an_empty_buffer() {
        let config = Config::default();
        let (mut credit, mut stream) = (Credit::default(), stream(&config));
        let mut pool = crate::stream::buffer::Pool::default();
        assert!(credit.receive(&mut stream, 200_000));
        stream.incoming.push_copy(&[0; 10], &mut pool);
        assert_eq!(credit.consumed(&mut stream, 1000, 1, &config, None), Grant::Never);
        assert_eq!(credit.consumed(&mut stream, 130_072, 1, &config, None), Grant::Now);
        let _update = stream.recv_window.update(Timestamp::ZERO);
        stream.incoming.clear(&mut pool);
        assert_eq!(credit.consumed(&mut stream, 10, 1, &config, None), Grant::Soon);
    }

    #[test]
    fn a_block_more_than_promised_may_be_held() {
        let mut credit = Credit::default();
        let (promises, block) = (1000, BLOCK as u64);
        for (held, is_short) in [(0, false), (1000 + block, false), (1001 + block, true)] {
            credit.resize(Size { bytes: 0, held: credit.held }, Size { bytes: 0, held });
            assert_eq!(credit.is_short(promises), is_short, "{held} bytes");
        }
    }

    #[test]
    fn unread_bytes_of_streams_that_are_over_take_the_room_of_new_ones() {
        let config = Config::builder().max_inbound_streams(1).max_outbound_streams(1);
        let window = u64::from(crate::DEFAULT_WINDOW);
        let tight = config.clone().build().unwrap();
        // One for each stream that may be open, for four heartbeats, and one more.
        let most = u32::try_from(tight.first_windows() / window).unwrap();
        assert_eq!(most, 7);
        let mut credit = Credit::default();
        assert!(credit.fits(most - 1, &tight) && !credit.fits(most, &tight));
        credit.completed(1);
        assert!(credit.fits(most - 2, &tight) && !credit.fits(most - 1, &tight));
        let loose = config.overcommit(true).build().unwrap();
        assert!(credit.fits(most, &loose) && credit.fits(u32::MAX, &loose));
    }

    #[test]
    fn the_hand_goes_round() {
        let mut credit = Credit::default();
        let hands: [u32; 5] = core::array::from_fn(|_| {
            credit.move_hand(3);
            credit.hand()
        });
        assert_eq!(hands, [1, 2, 0, 1, 2]);
        // Records have gone in the meantime.
        credit.move_hand(1);
        assert_eq!(credit.hand(), 0);
    }

    #[test]
    fn the_first_windows_of_all_streams_come_before_growth() {
        let config = Config::default();
        assert_eq!(growth_budget(u32::MAX, &config), u64::from(config.window_budget));
        let window = u64::from(config.receive_window);
        assert!(easy_budget(&config) <= 3 * window);
        let config = Config::builder().overcommit(true).session_receive_buffer(64 << 20);
        let config = config.build().unwrap();
        assert_eq!(growth_budget(256, &config), 0);
        assert_eq!(growth_budget(254, &config), 2 * window);
        assert_eq!(growth_budget(0, &config), u64::from(config.window_budget));
    }
}
