//! The end of a session: going away, closing, over.
//!
//! ```text
//!   Open ──go_away, close──▶ Draining ──no streams, EOF or time──▶ Over(reason)
//!    ├──GOAWAY received────▶ Draining ──EOF or time──────────────▶   │
//!    └──abort, violation, EOF, time limits───────────────────────▶   │
//!                                             flush, shut the write side, read to EOF or time
//!                                                                                 ▼
//!                                                                            is_finished
//! ```

use bytes::Bytes;

use super::{Session, Unread};
use crate::error::{CloseReason, ErrorCode};
use crate::event::Signal;
use crate::frame::StreamId;
use crate::stream::Owner;
use crate::stream::key::Key;
use crate::stream::schedule::Queue;
use crate::time::Timestamp;
use crate::timers::{Timer, Timers};

impl Session {
    /// Announces the end: the peer is told to open no more streams, and its new ones are refused.
    /// Those open run on; when they have ended, or after
    /// [`drain_timeout`](crate::Config::drain_timeout), the session is over. Has no effect on a
    /// session that is going away or over.
    pub fn go_away(&mut self, now: Timestamp, code: ErrorCode, text: impl Into<Bytes>) {
        self.advance_clock(now);
        if self.drain(code, text.into()) {
            self.farewell.announce(code);
        }
        self.finish_draining();
    }

    /// Closes gracefully: streams nobody has accepted are refused, those open run on until both
    /// sides have finished them, or for [`drain_timeout`](crate::Config::drain_timeout); then
    /// comes the GOAWAY. New streams are refused on both sides meanwhile.
    pub fn close(&mut self, now: Timestamp, code: ErrorCode, text: impl Into<Bytes>) {
        self.advance_clock(now);
        self.drain(code, text.into());
        for queue in [Queue::Accept, Queue::Untyped] {
            while let Some(key) = self.store.pop(queue) {
                if let Some(stream) = self.store.get_mut(key) {
                    stream.owner = Owner::Released;
                }
                self.reset_stream(key, ErrorCode::STREAM_REFUSED, Unread::Drop);
            }
        }
        self.arm_untyped();
        self.finish_draining();
    }

    /// Closes at once: what was not sent is dropped, a GOAWAY with `code` and `text` is all that
    /// goes out.
    pub fn abort(&mut self, now: Timestamp, code: ErrorCode, text: impl Into<Bytes>) {
        self.advance_clock(now);
        self.farewell.set_text(text.into());
        // It stands even behind a GOAWAY that had announced an orderly end.
        self.farewell.announce_again();
        self.end(CloseReason::Local { code }, Some(code));
    }

    /// The transport has ended, in the direction of this side.
    pub fn handle_eof(&mut self, now: Timestamp) {
        self.advance_clock(now);
        self.farewell.transport_ended();
        self.farewell.set_text(Bytes::from_static(b"transport ended"));
        let reason = self.farewell.reason_or(CloseReason::TransportEof);
        self.end(reason, Some(ErrorCode::PEER_EOF));
    }

    /// The transport has failed: nothing can be sent or received any more.
    pub fn handle_transport_error(&mut self, now: Timestamp) {
        self.advance_clock(now);
        let reason = self.farewell.reason_or(CloseReason::TransportError);
        self.end(reason, None);
        self.give_up_transport();
    }

    /// Whoever drives the session goes away: as [`handle_transport_error`], for a reason of this
    /// side.
    ///
    /// [`handle_transport_error`]: Self::handle_transport_error
    pub fn abandon(&mut self) {
        self.end(CloseReason::Abandoned, None);
        self.give_up_transport();
    }

    /// Whether the session is over and everything it had to say is in the caller's hands: when
    /// that is written, shut the transport's write side.
    #[must_use]
    pub const fn wants_shutdown(&self) -> bool {
        self.farewell.is_flushed()
    }

    /// Whether the transport can be dropped: all is sent, and the peer has ended its side or was
    /// given the time to.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.farewell.is_finished()
    }

    /// Starts to drain; `false` if the session does so already. A reason of this side replaces
    /// that of the peer's GOAWAY.
    fn drain(&mut self, code: ErrorCode, text: Bytes) -> bool {
        let starts = self.farewell.drain(code, text);
        if starts {
            self.arm_drain();
        }
        starts
    }

    fn arm_drain(&mut self) {
        self.timers.set(Timer::Beat, None);
        let end = self.now + self.config.drain_timeout;
        self.timers.set(Timer::Drain, Some(end));
        // Those who wait to open a stream learn that there will be none.
        if self.counts.take_waiting_opener() {
            self.signals.raise(Signal::OpenReady);
        }
    }

    pub(super) fn on_go_away(&mut self, last: StreamId, code: ErrorCode, text: Bytes) {
        if !self.farewell.on_go_away(code, text) {
            return self.end_for_violation(ErrorCode::ENHANCE_YOUR_CALM, "too many GOAWAYs");
        }
        self.signals.raise(Signal::GoAway);
        let lost: alloc::vec::Vec<Key> = self
            .store
            .keys()
            .filter(|&key| {
                self.store
                    .get(key)
                    .is_some_and(|stream| stream.id.is_opened_by(self.role) && stream.id > last)
            })
            .collect();
        for key in lost {
            let _ended_before = !self.peer_reset(key, ErrorCode::REMOTE_GONE_AWAY);
        }
        if self.farewell.drain_for_peer() {
            self.arm_drain();
        }
        self.finish_draining();
    }

    /// Ends a draining session whose streams have all ended on both sides, if draining was this
    /// side's idea: the SYN of a stream that the peer opened before its GOAWAY may still be under
    /// way behind it. Streams that nobody here has any more count until the peer has finished
    /// them: Go loses what it has not accepted when GOAWAY and the end come in one burst.
    pub(super) fn finish_draining(&mut self) {
        // The phase first: this is asked whenever a stream ends.
        if self.farewell.refuses_streams() && self.counts.all_complete() && self.orphans.is_empty()
        {
            self.end_draining();
        }
    }

    /// Ends a draining session whatever its streams do.
    pub(super) fn end_draining(&mut self) {
        if let Some(reason) = self.farewell.draining_reason() {
            let reason = reason.clone();
            let code = match reason {
                CloseReason::Local { code } => code,
                _ => ErrorCode::NO_ERROR,
            };
            self.end(reason, Some(code));
        }
    }

    /// The peer has broken a rule of the session. After its GOAWAY that only means that it is
    /// gone: ngrok's crate sends eight bytes that are no frame behind its own.
    pub(super) fn end_for_violation(&mut self, code: ErrorCode, what: &'static str) {
        if self.farewell.received().is_some() {
            let reason = self.farewell.reason_or(CloseReason::Violation { code, what });
            return self.end(reason, Some(ErrorCode::NO_ERROR));
        }
        self.stats.oddities = self.stats.oddities.saturating_add(1);
        self.farewell.set_text(Bytes::from_static(what.as_bytes()));
        self.farewell.announce_again();
        self.end(CloseReason::Violation { code, what }, Some(code));
    }

    /// Ends the session; with `goodbye` the peer is told. Everybody who waits is woken.
    pub(super) fn end(&mut self, reason: CloseReason, goodbye: Option<ErrorCode>) {
        if !self.farewell.end(reason) {
            return;
        }
        // What was handed out and not written can still get stuck.
        let write = self.timers.get(Timer::Write);
        self.timers.clear();
        self.timers.set(Timer::Write, write);
        self.orphans.clear();
        if let Some(code) = goodbye {
            self.farewell.announce(code);
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

    /// Nothing more to send: from here the peer has the linger timeout to end its side.
    pub(super) fn start_lingering(&mut self) {
        if self.farewell.flush() {
            self.timers.set(Timer::Linger, Some(self.now + self.config.linger_timeout));
        }
    }

    /// Nobody will write or read the transport any more.
    pub(super) fn give_up_transport(&mut self) {
        self.farewell.give_up_transport();
        self.handover.lose();
        self.timers = Timers::default();
    }
}
