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
//! A drain ends in order when nothing is open and the transport has taken all that was sent
//! ([`finish_draining`](Session::finish_draining) queues the GOAWAY, and the session is over when
//! that is taken). Whatever else ends it counts the streams that it cuts.

use alloc::format;

use bytes::Bytes;

use super::farewell::DrainStep;
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

/// What the peer is told at an end that is not orderly.
pub(super) enum Goodbye {
    /// Nothing: it cannot be reached.
    None,
    /// The GOAWAY of the orderly end, if it has not been sent.
    Orderly,
    /// A GOAWAY with this, behind any that was sent.
    With(ErrorCode, Bytes),
}

impl Session {
    /// Announces the end: the peer is told, behind all streams that have been written to, to open
    /// no more, and its new ones are refused. Those open run on; when they have ended, the session
    /// is over. They are cut as by [`close`](Self::close). A stream that was opened and not
    /// written to is reset: the peer never hears of it. Has no effect on a session that this side
    /// ends already, or that is over.
    pub fn go_away(&mut self, now: Timestamp, code: ErrorCode, text: impl Into<Bytes>) {
        self.advance_clock(now);
        if self.drain(code, text.into()) {
            self.farewell.announce();
            self.arm_drain();
        }
        self.finish_draining();
    }

    /// Closes gracefully: streams nobody has accepted are refused, those open run on until both
    /// sides have finished them. New streams are refused on both sides meanwhile, and a stream that
    /// was opened and not written to is reset. The peer is told by a GOAWAY: when nothing moves any
    /// more ([`announce_close`](crate::Config::announce_close)), or at the end.
    ///
    /// What stands still for [`drain_timeout`](crate::Config::drain_timeout), or takes longer than
    /// [`drain_limit`](crate::Config::drain_limit) in all, is cut: the peer is told so by another
    /// GOAWAY, `WRITE_TIMEOUT`, and the reason is [`CloseReason::Cut`] at this end.
    pub fn close(&mut self, now: Timestamp, code: ErrorCode, text: impl Into<Bytes>) {
        self.advance_clock(now);
        self.drain(code, text.into());
        self.refuse_backlog();
        self.finish_draining();
    }

    /// Whether somebody accepts the peer's streams; it is so at the start. While nobody does, new
    /// streams are refused, and with the call those that wait to be accepted. Those open run on,
    /// without a time limit, and heartbeats are answered.
    pub fn set_accepting(&mut self, accepts: bool) {
        self.counts.set_accepting(accepts);
        if !accepts {
            self.refuse_backlog();
        }
    }

    fn refuse_backlog(&mut self) {
        for queue in [Queue::Accept, Queue::Untyped] {
            // Heartbeats are answered whether or not anybody accepts.
            if queue == Queue::Untyped && !self.farewell.is_draining() {
                continue;
            }
            while let Some(key) = self.store.pop(queue) {
                if let Some(stream) = self.store.get_mut(key) {
                    stream.owner = Owner::Released;
                }
                self.reset_stream(key, ErrorCode::STREAM_REFUSED, Unread::Drop);
            }
        }
        self.arm_untyped();
    }

    /// Closes at once: what was not sent is dropped, a GOAWAY with `code` and `text` is all that
    /// goes out. Nothing that arrives is interpreted any more. The session is finished when the
    /// GOAWAY was taken and the peer has ended its side or sent more than a first window, or after
    /// [`linger_timeout`](crate::Config::linger_timeout).
    pub fn abort(&mut self, now: Timestamp, code: ErrorCode, text: impl Into<Bytes>) {
        self.advance_clock(now);
        if self.farewell.is_over() {
            return;
        }
        let mut reason = CloseReason::Local { code };
        if code == ErrorCode::NO_ERROR {
            let streams = self.streams_to_cut();
            reason = self.farewell.reason_after(reason, CutBy::Abort, streams);
            if reason.is_clean() && streams > 0 {
                reason = CloseReason::Cut { streams, by: CutBy::Abort };
            }
        }
        self.farewell.withdraw();
        self.end(reason, Goodbye::With(code, text.into()));
    }

    /// The transport has ended, in the direction of this side.
    pub fn handle_eof(&mut self, now: Timestamp) {
        self.advance_clock(now);
        self.farewell.transport_ended();
        if self.farewell.is_over() {
            return;
        }
        // An end within a frame has cut something, but for what one peer leaves behind its GOAWAY.
        let whole = !self.inlet.is_mid_frame() || self.farewell.received().is_some();
        if self.farewell.is_draining() && self.is_idle() && whole {
            // Nothing is missing: it remains to be seen whether the transport takes the rest.
            self.farewell.refuse_newcomers();
            return self.finish_draining();
        }
        if let Some(what) = self.inlet.greeting() {
            return self.end_for_violation(ErrorCode::PROTOCOL, what);
        }
        let reason = self.reason_after(CloseReason::TransportEof, CutBy::TransportEof, whole);
        let goodbye = if self.farewell.is_announced() {
            Goodbye::Orderly
        } else {
            Goodbye::With(ErrorCode::PEER_EOF, Bytes::from_static(b"transport ended"))
        };
        self.end(reason, goodbye);
    }

    /// The transport has failed: nothing can be sent or received any more. The error becomes the
    /// source of the [`CloseReason`].
    pub fn handle_transport_error(&mut self, now: Timestamp, error: TransportError) {
        self.advance_clock(now);
        let by = CutBy::TransportError(error.clone());
        let reason = self.reason_after(CloseReason::TransportError(error), by, true);
        self.end(reason, Goodbye::None);
        self.give_up_transport();
    }

    /// Whoever drives the session goes away: as [`handle_transport_error`], for a reason of this
    /// side.
    ///
    /// [`handle_transport_error`]: Self::handle_transport_error
    pub fn abandon(&mut self) {
        self.end(CloseReason::Abandoned, Goodbye::None);
        self.give_up_transport();
    }

    /// Whether the session is over and everything it had to say is in the caller's hands: when
    /// that is written, shut the transport's write side.
    #[must_use]
    pub const fn wants_shutdown(&self) -> bool {
        self.farewell.is_flushed()
    }

    /// Whether input can still be of use. Once it is not, there is no need to read the transport any
    /// more: the peer has ended its side, or goes on sending to a session that is over.
    #[must_use]
    pub const fn wants_input(&self) -> bool {
        self.farewell.wants_input()
    }

    /// Whether the transport can be dropped: all is sent, and the peer has ended its side or said
    /// that it sends nothing more, or was given the time to.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.farewell.is_finished()
    }

    /// This side starts to drain; `false` if it does so already.
    fn drain(&mut self, code: ErrorCode, text: Bytes) -> bool {
        let starts = self.farewell.drain(code, text, self.now);
        if starts {
            self.stop_opening();
            self.reset_unwritten();
            self.arm_drain();
        }
        starts
    }

    fn stop_opening(&mut self) {
        self.timers.set(Timer::Beat, None);
        // Those who wait to open a stream learn that there will be none.
        if self.counts.take_waiting_opener() {
            self.signals.raise(Signal::OpenReady);
        }
    }

    /// Streams that were opened and not written to are not announced behind a GOAWAY.
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
        let due = self.farewell.drain_due(&self.config, self.is_idle());
        self.timers.set(Timer::Drain, due);
    }

    /// The drain's timer has gone off.
    pub(super) fn on_drain_due(&mut self) {
        match self.farewell.drain_step(self.now, &self.config, self.is_idle()) {
            DrainStep::Wait(due) => return self.timers.set(Timer::Drain, Some(due)),
            DrainStep::Announce => self.farewell.announce(),
            DrainStep::Finish => {
                self.farewell.refuse_newcomers();
                self.farewell.moved(self.now);
                self.finish_draining();
            }
            DrainStep::Cut => return self.cut_drain(),
        }
        self.arm_drain();
    }

    /// Ends a draining session whatever its streams do, and says so.
    fn cut_drain(&mut self) {
        let streams = self.streams_to_cut();
        let reason = self.farewell.reason_after(CloseReason::Abandoned, CutBy::Time, streams);
        let goodbye = if streams > 0 {
            let plural = if streams == 1 { " was" } else { "s were" };
            let text = format!("{streams} stream{plural} cut: {}", CutBy::Time);
            Goodbye::With(ErrorCode::WRITE_TIMEOUT, text.into())
        } else {
            Goodbye::Orderly
        };
        self.farewell.announce();
        self.end(reason, goodbye);
    }

    pub(super) fn on_go_away(&mut self, last: StreamId, code: ErrorCode, text: Bytes) {
        if !self.farewell.on_go_away(code, text) {
            return self.end_for_violation(ErrorCode::ENHANCE_YOUR_CALM, "too many GOAWAYs");
        }
        self.signals.raise(Signal::GoAway);
        // Its streams above `last`, and those it has not been told of.
        let lost = |stream: &Stream| {
            stream.id.is_opened_by(self.role) && (stream.id > last || stream.send.owes_syn())
        };
        let lost: alloc::vec::Vec<Key> =
            self.store.keys().filter(|&key| self.store.get(key).is_some_and(lost)).collect();
        for key in lost {
            let _ended_before = !self.peer_reset(key, ErrorCode::REMOTE_GONE_AWAY);
        }
        if self.farewell.drain_for_peer(self.now) {
            self.stop_opening();
            self.arm_drain();
        }
        self.finish_draining();
    }

    /// The pad frame: if it is behind a GOAWAY, no SYN of the peer follows.
    pub(super) fn on_pad(&mut self) {
        self.farewell.on_pad();
        self.finish_draining();
    }

    /// Whether every stream has ended at both ends, as far as this side knows, and every RST that
    /// is due has been handed out. Streams that nobody here has any more count until the peer has
    /// finished them: Go loses what it has not accepted when GOAWAY and the end come in one burst.
    pub(super) fn is_idle(&self) -> bool {
        self.counts.all_complete() && self.orphans.is_empty()
    }

    /// Queues the last GOAWAY of a draining session whose streams have all ended. Not while a SYN
    /// of the peer may be under way behind its GOAWAY.
    pub(super) fn finish_draining(&mut self) {
        // The phase first: this is asked whenever a stream ends.
        if !self.farewell.is_draining() || !self.is_idle() {
            return;
        }
        if self.farewell.refuses_streams() {
            self.farewell.announce();
        }
        self.arm_drain();
    }

    /// Whether a draining session has nothing more to say or to wait for, once what was handed out
    /// is taken.
    pub(super) fn is_drained(&self) -> bool {
        self.farewell.refuses_streams()
            && self.farewell.is_announced()
            && !self.farewell.is_due()
            && self.is_idle()
    }

    /// The transport has taken everything, and there is no more: a session that has drained is
    /// over.
    pub(super) fn end_drained(&mut self) {
        let reason = self.farewell.reason_after(CloseReason::Abandoned, CutBy::Time, 0);
        self.end(reason, Goodbye::Orderly);
    }

    /// Streams that an end cuts now: that the two sides have not both ended, or whose end the
    /// transport may not have taken.
    fn streams_to_cut(&self) -> u32 {
        self.counts.unfinished()
    }

    /// The reason of a session that ends now. `quiet`: if it was going away and cuts nothing, all
    /// is well.
    pub(super) fn reason_after(
        &self,
        otherwise: CloseReason,
        by: CutBy,
        quiet: bool,
    ) -> CloseReason {
        let streams = self.streams_to_cut();
        let reason = self.farewell.reason_after(otherwise.clone(), by, streams);
        if quiet || !reason.is_clean() { reason } else { otherwise }
    }

    /// The peer has broken a rule of the session. After its GOAWAY that only means that it is
    /// gone: ngrok's crate sends eight bytes that are no frame behind its own.
    pub(super) fn end_for_violation(&mut self, code: ErrorCode, what: &'static str) {
        if self.farewell.received().is_some() {
            let by = CutBy::Violation { code, what };
            let reason = self.reason_after(CloseReason::Violation { code, what }, by, true);
            self.farewell.announce();
            return self.end(reason, Goodbye::Orderly);
        }
        self.stats.oddities = self.stats.oddities.saturating_add(1);
        self.farewell.withdraw();
        let text = Bytes::from_static(what.as_bytes());
        self.end(CloseReason::Violation { code, what }, Goodbye::With(code, text));
    }

    /// Ends the session. Everybody who waits is woken. From here the transport has the linger
    /// timeout for what is still to be sent, and the peer for its end.
    pub(super) fn end(&mut self, reason: CloseReason, goodbye: Goodbye) {
        let cut = if reason.is_clean() { 0 } else { self.streams_to_cut() };
        if !self.farewell.end(reason) {
            return;
        }
        self.stats.streams_cut = u64::from(cut);
        self.timers.clear();
        self.timers.set(Timer::Linger, Some(self.now + self.config.linger_timeout));
        self.orphans.clear();
        if let Goodbye::With(code, text) = goodbye {
            self.farewell.insist(code, text);
        } else if matches!(goodbye, Goodbye::None) {
            self.farewell.withdraw();
        }
        for signal in [Signal::Acceptable, Signal::OpenReady, Signal::Closed] {
            self.signals.raise(signal);
        }
        for key in self.store.keys() {
            self.drop_outgoing(key);
            self.notify_all(key);
            self.free_if_done(key);
        }
    }

    /// Nobody will write or read the transport any more.
    pub(super) fn give_up_transport(&mut self) {
        self.farewell.give_up_transport();
        self.handover.lose();
        self.timers = Timers::default();
    }
}
