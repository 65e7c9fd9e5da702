//! The end of a session: going away, closing, over.
//!
//! ```text
//!   Open ──go_away, close──▶ Draining ──no streams, all taken──▶ Over(clean) ──▶ linger
//!    ├──GOAWAY received────▶ Draining ──cut: time, EOF, failure─▶ Over(reason)      │
//!    └──abort, violation, EOF, time limits──────────────────────▶ Over(reason)      │
//!                                                  send the GOAWAY, shut, read on   │
//!                                                                 ▼                 ▼
//!                                            is_finished: the peer's pad, its end, bytes or time
//! ```
//!
//! A drain ends gracefully when nothing is open and the transport has taken everything
//! ([`finish_draining`](Session::finish_draining) queues the GOAWAY, and the session is over when
//! that is taken). Any other end counts the streams that it cuts.

use alloc::format;

use bytes::Bytes;

use super::closing::DrainStep;
use super::{Session, Unread};
use crate::error::{CloseReason, CutBy, ErrorCode, TransportError};
use crate::event::Signal;
use crate::frame::StreamId;
use crate::stream::key::Key;
use crate::stream::schedule::Queue;
use crate::stream::state::SendState;
use crate::stream::{Owner, Stream};
use crate::time::Timestamp;
use crate::timers::{Timer, Timers};

/// The GOAWAY at an end that is not graceful.
pub(super) enum Goodbye {
    /// None: the peer cannot be reached.
    None,
    /// The GOAWAY of the graceful end, if it has not been sent.
    Orderly,
    /// A GOAWAY with this, after any that was sent.
    With(ErrorCode, Bytes),
}

impl Session {
    /// Announces the end: GOAWAY is sent after the SYNs of all streams that have been written to,
    /// and new streams of the peer are refused. Open streams continue; when they have ended, the
    /// session is over. They are cut as by [`close`](Self::close). A stream that was opened and not
    /// written to is reset, without a frame. Has no effect on a session that this side is already
    /// ending, or that is over.
    pub fn go_away(&mut self, now: Timestamp, code: ErrorCode, text: impl Into<Bytes>) {
        self.advance_clock(now);
        if self.drain(code, text.into()) {
            self.closing.announce();
            self.arm_drain();
        }
        self.finish_draining();
    }

    /// Closes gracefully: streams that were not accepted are refused, open streams continue until
    /// both sides have finished them. No new streams are possible on either side, and a stream that
    /// was opened and not written to is reset. The peer gets a GOAWAY as soon as nothing moves
    /// ([`announce_close`](crate::Config::announce_close)), or at the end.
    ///
    /// Streams are cut if nothing moves for [`drain_timeout`](crate::Config::drain_timeout), or if
    /// they take longer than [`drain_limit`](crate::Config::drain_limit) in all. Then the peer gets
    /// another GOAWAY, `WRITE_TIMEOUT`, and the reason is [`CloseReason::Cut`] at this end.
    pub fn close(&mut self, now: Timestamp, code: ErrorCode, text: impl Into<Bytes>) {
        self.advance_clock(now);
        self.drain(code, text.into());
        self.refuse_backlog();
        self.finish_draining();
    }

    /// Sets whether the application accepts streams of the peer; initially it does. With `false`,
    /// new streams are refused, and so are those that wait to be accepted. Open streams continue,
    /// without a time limit, and heartbeats are answered.
    pub fn set_accepting(&mut self, accepts: bool) {
        self.counts.set_accepting(accepts);
        if !accepts {
            self.refuse_backlog();
        }
    }

    fn refuse_backlog(&mut self) {
        for queue in [Queue::Accept, Queue::Untyped] {
            // Heartbeats are answered even if nobody accepts.
            if queue == Queue::Untyped && !self.closing.is_draining() {
                continue;
            }
            while let Some(key) = self.store.pop(queue) {
                if let Some(stream) = self.store.live_mut(key) {
                    stream.owner = Owner::Released;
                }
                self.reset_stream(key, ErrorCode::STREAM_REFUSED, Unread::Drop);
            }
        }
        self.arm_untyped();
    }

    /// Closes at once: unsent data is discarded, and only a GOAWAY with `code` and `text` is sent.
    /// Further input is not interpreted. The session is finished when the GOAWAY was taken and the
    /// peer has ended its side or sent more than an initial window, or after
    /// [`linger_timeout`](crate::Config::linger_timeout).
    pub fn abort(&mut self, now: Timestamp, code: ErrorCode, text: impl Into<Bytes>) {
        self.advance_clock(now);
        if self.closing.is_over() {
            return;
        }
        let mut reason = CloseReason::Local { code };
        if code == ErrorCode::NO_ERROR {
            let streams = self.streams_to_cut();
            reason = self.closing.reason_after(reason, CutBy::Abort, streams);
            if reason.is_clean() && streams > 0 {
                reason = CloseReason::Cut { streams, by: CutBy::Abort };
            }
        }
        self.closing.withdraw();
        self.end(reason, Goodbye::With(code, text.into()));
    }

    /// The peer's direction of the transport has ended.
    pub fn handle_eof(&mut self, now: Timestamp) {
        self.advance_clock(now);
        self.closing.transport_ended();
        if self.closing.is_over() {
            return;
        }
        // An end within a frame has cut something, except for the bytes that one peer sends after
        // its GOAWAY.
        let whole = !self.inlet.is_mid_frame() || self.closing.received().is_some();
        if self.closing.is_draining() && self.is_idle() && whole {
            // Nothing is missing; the transport still has to take the rest.
            self.closing.refuse_streams();
            return self.finish_draining();
        }
        if let Some(what) = self.inlet.greeting() {
            return self.end_for_violation(ErrorCode::PROTOCOL, what);
        }
        let reason = self.reason_after(CloseReason::TransportEof, CutBy::TransportEof, whole);
        let goodbye = if self.closing.is_announced() {
            Goodbye::Orderly
        } else {
            Goodbye::With(ErrorCode::PEER_EOF, Bytes::from_static(b"transport ended"))
        };
        self.end(reason, goodbye);
    }

    /// The transport has failed: nothing more can be sent or received. The error becomes the source
    /// of the [`CloseReason`]. If a write failed, first pass in what can still be read: the peer may
    /// have finished, or have sent the reason for its end.
    pub fn handle_transport_error(&mut self, now: Timestamp, error: TransportError) {
        self.advance_clock(now);
        let by = CutBy::TransportError(error.clone());
        let reason = self.reason_after(CloseReason::TransportError(error), by, true);
        self.end(reason, Goodbye::None);
        self.give_up_transport();
    }

    /// The driver of the session goes away: as [`handle_transport_error`], for a reason of this
    /// side.
    ///
    /// [`handle_transport_error`]: Self::handle_transport_error
    pub fn abandon(&mut self) {
        self.end(CloseReason::Abandoned, Goodbye::None);
        self.give_up_transport();
    }

    /// Whether the session is over and the caller has all of its output: when that is written, shut
    /// the transport's write side.
    #[must_use]
    pub const fn wants_shutdown(&self) -> bool {
        self.closing.is_flushed()
    }

    /// Whether input can still have an effect. If not, the transport need not be read: the peer has
    /// ended its side, or keeps sending to a session that is over.
    #[must_use]
    pub const fn wants_input(&self) -> bool {
        self.closing.wants_input()
    }

    /// Whether the transport can be dropped: everything was sent, and the peer has ended its side,
    /// has announced that it sends nothing more, or has had the time to do so.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.closing.is_finished()
    }

    /// This side starts to drain; `false` if it already drains.
    fn drain(&mut self, code: ErrorCode, text: Bytes) -> bool {
        let starts = self.closing.drain(code, text, self.now);
        if starts {
            self.stop_opening();
            self.reset_unwritten();
            self.arm_drain();
        }
        starts
    }

    fn stop_opening(&mut self) {
        self.timers.set(Timer::Beat, None);
        // Waiting openers learn that no stream can be opened.
        if self.counts.take_waiting_opener() {
            self.signals.raise(Signal::OpenReady);
        }
    }

    /// Streams that were opened and not written to are not announced after a GOAWAY.
    fn reset_unwritten(&mut self) {
        for key in self.store.keys() {
            let unwritten =
                |stream: &Stream| stream.send == SendState::Fresh && stream.outgoing.is_empty();
            if self.store.get(key).is_some_and(unwritten) {
                self.reset_stream(key, ErrorCode::SESSION_CLOSED, Unread::Drop);
            }
        }
    }

    pub(super) fn arm_drain(&mut self) {
        let due = self.closing.drain_due(&self.config, self.is_idle());
        self.timers.set(Timer::Drain, due);
    }

    /// The drain's timer has expired.
    pub(super) fn on_drain_due(&mut self) {
        match self.closing.drain_step(self.now, &self.config, self.is_idle()) {
            DrainStep::Wait(due) => return self.timers.set(Timer::Drain, Some(due)),
            DrainStep::Announce => self.closing.announce(),
            DrainStep::Finish => {
                self.closing.refuse_streams();
                self.closing.moved(self.now);
                self.finish_draining();
            }
            DrainStep::Cut => return self.cut_drain(),
        }
        self.arm_drain();
    }

    /// Ends a draining session and cuts its streams; the peer gets a GOAWAY.
    fn cut_drain(&mut self) {
        let streams = self.streams_to_cut();
        let reason = self.closing.reason_after(CloseReason::Abandoned, CutBy::Time, streams);
        let goodbye = if streams > 0 {
            let plural = if streams == 1 { " was" } else { "s were" };
            let text = format!("{streams} stream{plural} cut: {}", CutBy::Time);
            Goodbye::With(ErrorCode::WRITE_TIMEOUT, text.into())
        } else {
            Goodbye::Orderly
        };
        self.closing.announce();
        self.end(reason, goodbye);
    }

    pub(super) fn on_go_away(&mut self, last: StreamId, code: ErrorCode, text: Bytes) {
        if !self.closing.on_go_away(code, text) {
            return self.end_for_violation(ErrorCode::ENHANCE_YOUR_CALM, "too many GOAWAYs");
        }
        self.signals.raise(Signal::GoAway);
        self.lose(|stream| stream.id > last || stream.send.owes_syn());
        if self.closing.drain_for_peer(self.now) {
            self.stop_opening();
            self.arm_drain();
        }
        self.finish_draining();
    }

    /// Ends the streams of this side that the peer has never seen and will not see.
    fn lose(&mut self, is_unseen: impl Fn(&Stream) -> bool) {
        let unseen = |stream: &Stream| stream.id.is_opened_by(self.role) && is_unseen(stream);
        let unseen: alloc::vec::Vec<Key> =
            self.store.keys().filter(|&key| self.store.get(key).is_some_and(unseen)).collect();
        for key in unseen {
            let _ended = self.peer_reset(key, ErrorCode::REMOTE_GONE_AWAY);
        }
    }

    /// The pad frame: if it follows a GOAWAY, no SYN of the peer follows. After the last pad the
    /// peer has nothing open, so it has never seen a stream that it has not ended: its SYN is in
    /// flight, although a higher id was seen.
    pub(super) fn on_pad(&mut self) {
        self.closing.on_pad();
        if self.closing.peer_has_said_all() {
            self.lose(|stream| stream.recv.is_open());
        }
        self.finish_draining();
    }

    /// Whether every stream has ended at both ends, as far as this side knows, and every due RST
    /// has been output. Released streams count until the peer has finished them: Go loses streams
    /// that it has not accepted when GOAWAY and the end arrive in one burst.
    pub(super) fn is_idle(&self) -> bool {
        self.counts.all_complete() && self.orphans.is_empty()
    }

    /// Queues the last GOAWAY of a draining session whose streams have all ended. Not while a SYN
    /// of the peer may be in flight after its GOAWAY.
    pub(super) fn finish_draining(&mut self) {
        // The phase first, because this runs whenever a stream ends.
        if !self.closing.is_draining() || !self.is_idle() {
            return;
        }
        if self.closing.refuses_streams() {
            self.closing.announce();
        }
        self.arm_drain();
    }

    /// Whether a draining session has nothing more to send or to wait for, once the transport has
    /// taken all output.
    pub(super) fn is_drained(&self) -> bool {
        self.closing.refuses_streams()
            && self.closing.is_announced()
            && !self.closing.is_due()
            && self.is_idle()
    }

    /// The transport has taken everything, and there is no more: a drained session is over.
    pub(super) fn end_drained(&mut self) {
        let reason = self.closing.reason_after(CloseReason::Abandoned, CutBy::Time, 0);
        self.end(reason, Goodbye::Orderly);
    }

    /// Streams that an end cuts now: not ended by both sides, or the transport may not have taken
    /// their end.
    fn streams_to_cut(&self) -> u32 {
        self.counts.unfinished()
    }

    /// The reason of a session that ends now. `quiet`: if it was going away and cuts nothing, there
    /// is no error.
    pub(super) fn reason_after(
        &self,
        otherwise: CloseReason,
        by: CutBy,
        quiet: bool,
    ) -> CloseReason {
        let streams = self.streams_to_cut();
        let reason = self.closing.reason_after(otherwise.clone(), by, streams);
        if quiet || !reason.is_clean() { reason } else { otherwise }
    }

    /// The peer has broken a rule of the session. After its GOAWAY this only means that it is gone:
    /// ngrok's crate sends eight bytes after its GOAWAY that are no frame.
    pub(super) fn end_for_violation(&mut self, code: ErrorCode, what: &'static str) {
        if self.closing.received().is_some() {
            let by = CutBy::Violation { code, what };
            let reason = self.reason_after(CloseReason::Violation { code, what }, by, true);
            self.closing.announce();
            return self.end(reason, Goodbye::Orderly);
        }
        self.stats.oddities = self.stats.oddities.saturating_add(1);
        self.closing.withdraw();
        let text = Bytes::from_static(what.as_bytes());
        self.end(CloseReason::Violation { code, what }, Goodbye::With(code, text));
    }

    /// Ends the session and wakes all waiters. From now on the linger timeout runs for the
    /// transport to take the rest, and for the peer to end its side.
    pub(super) fn end(&mut self, reason: CloseReason, goodbye: Goodbye) {
        let cut = if reason.is_clean() { 0 } else { self.streams_to_cut() };
        if !self.closing.end(reason) {
            return;
        }
        self.stats.streams_cut = cut;
        self.timers.clear();
        self.timers.set(Timer::Linger, Some(self.now + self.config.linger_timeout));
        self.orphans.clear();
        if let Goodbye::With(code, text) = goodbye {
            self.closing.insist(code, text);
        } else if matches!(goodbye, Goodbye::None) {
            self.closing.withdraw();
        }
        for signal in [Signal::Acceptable, Signal::OpenReady, Signal::Closed] {
            self.signals.raise(signal);
        }
        for key in self.store.keys() {
            // Not every number below the highest has a record.
            if self.store.get(key).is_none() {
                continue;
            }
            self.drop_outgoing(key);
            self.notify_all(key);
            self.free_if_done(key);
        }
    }

    /// The transport will not be written or read again.
    pub(super) fn give_up_transport(&mut self) {
        self.closing.give_up_transport();
        self.handover.lose();
        self.timers = Timers::default();
    }
}
