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

use alloc::boxed::Box;

use bytes::Bytes;

use super::{Session, Unread};
use crate::error::{CloseReason, ErrorCode};
use crate::event::Signal;
use crate::frame::StreamId;
use crate::stream::key::Key;
use crate::stream::schedule::Queue;
use crate::stream::{Edge, Owner};
use crate::time::Timestamp;
use crate::timers::{Timer, Timers};

/// GOAWAYs a peer may send: one to go away, one to close, and then some. Each costs a look at every
/// stream.
const MAX_GO_AWAYS: u32 = 16;

/// How far the session has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// Streams can be opened.
    Open,
    /// No new streams from here. `refuse`: the peer's new ones are refused too, because this side
    /// has begun; then the session is over when the streams that are open have ended.
    Draining { reason: CloseReason, refuse: bool },
    /// Over, for this reason.
    Over(CloseReason),
}

/// The words of the GOAWAYs of both sides.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// To be sent.
    to_send: Option<(ErrorCode, Bytes)>,
    /// What this side says when it closes, if it has not said it by then.
    text: Bytes,
    received: Option<(ErrorCode, Bytes)>,
}

/// The GOAWAYs of both sides, and the end of the transport.
#[derive(Debug, Default)]
pub(super) struct Farewell {
    /// Without memory until somebody has something to say.
    words: Option<Box<Words>>,
    /// One was sent, or waits to be.
    said: bool,
    /// How many GOAWAYs have come.
    count: u32,
    /// Nothing more to send, so the transport's write side may be shut.
    flushed: bool,
    /// The peer's side of the transport has ended, or was given up.
    ended: bool,
}

impl Farewell {
    fn words(&mut self) -> &mut Words {
        self.words.get_or_insert_default()
    }

    /// The GOAWAY the peer has sent last.
    pub(super) fn received(&self) -> Option<&(ErrorCode, Bytes)> {
        self.words.as_ref()?.received.as_ref()
    }

    /// Whether a GOAWAY is to be sent.
    pub(super) fn is_due(&self) -> bool {
        self.words.as_ref().is_some_and(|words| words.to_send.is_some())
    }

    /// The GOAWAY to send.
    pub(super) fn take_due(&mut self) -> Option<(ErrorCode, Bytes)> {
        self.words.as_mut()?.to_send.take()
    }
}

impl Session {
    /// Announces the end: the peer is told to open no more streams, and its new ones are refused.
    /// Those open run on; when they have ended, or after
    /// [`drain_timeout`](crate::Config::drain_timeout), the session is over. Has no effect on a
    /// session that is going away or over.
    pub fn go_away(&mut self, now: Timestamp, code: ErrorCode, text: impl Into<Bytes>) {
        self.advance_clock(now);
        if self.drain(code, text.into()) {
            self.say_goodbye(code);
        }
        self.finish_draining();
    }

    /// Closes in order: streams nobody has accepted are refused, those open run on until both
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
        self.farewell.words().text = text.into();
        // It stands even behind a GOAWAY that had announced an orderly end.
        self.farewell.said = false;
        self.end(CloseReason::Local { code }, Some(code));
    }

    /// The transport has ended, in the direction of this side.
    pub fn handle_eof(&mut self, now: Timestamp) {
        self.advance_clock(now);
        self.farewell.ended = true;
        self.farewell.words().text = Bytes::from_static(b"transport ended");
        let reason = self.reason_or(CloseReason::TransportEof);
        self.end(reason, Some(ErrorCode::PEER_EOF));
    }

    /// The transport has failed: nothing can be sent or received any more.
    pub fn handle_transport_error(&mut self, now: Timestamp) {
        self.advance_clock(now);
        let reason = self.reason_or(CloseReason::TransportError);
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
        self.farewell.flushed
    }

    /// Whether the transport can be dropped: all is sent, and the peer has ended its side or was
    /// given the time to.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.farewell.flushed && self.farewell.ended
    }

    /// Starts to drain; `false` if the session does so already. A reason of this side replaces
    /// that of the peer's GOAWAY.
    fn drain(&mut self, code: ErrorCode, text: Bytes) -> bool {
        match self.phase {
            Phase::Over(_) | Phase::Draining { refuse: true, .. } => return false,
            Phase::Open | Phase::Draining { refuse: false, .. } => {}
        }
        self.phase = Phase::Draining { reason: CloseReason::Local { code }, refuse: true };
        self.farewell.words().text = text;
        self.arm_drain();
        true
    }

    fn arm_drain(&mut self) {
        self.timers.set(Timer::Beat, None);
        let end = self.now + self.config.drain_timeout;
        self.timers.set(Timer::Drain, Some(end));
        // Those who wait to open a stream learn that there will be none.
        if core::mem::take(&mut self.open_blocked) {
            self.signals.raise(Signal::OpenReady);
        }
    }

    fn say_goodbye(&mut self, code: ErrorCode) {
        if !core::mem::replace(&mut self.farewell.said, true) {
            let words = self.farewell.words();
            words.to_send = Some((code, core::mem::take(&mut words.text)));
        }
    }

    /// Whether new streams of the peer are refused.
    pub(super) const fn refuses_streams(&self) -> bool {
        matches!(self.phase, Phase::Draining { refuse: true, .. })
    }

    pub(super) fn on_go_away(&mut self, last: StreamId, code: ErrorCode, text: Bytes) {
        self.farewell.count = self.farewell.count.saturating_add(1);
        if self.farewell.count > MAX_GO_AWAYS {
            return self.violate(ErrorCode::ENHANCE_YOUR_CALM, "too many GOAWAYs");
        }
        self.farewell.words().received = Some((code, text.clone()));
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
        let role = self.role;
        self.store.unbury_closed(|id| id.is_opened_by(role) && id > last);
        if matches!(self.phase, Phase::Open) {
            let reason = CloseReason::Remote { code, text };
            self.phase = Phase::Draining { reason, refuse: false };
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
        if self.refuses_streams()
            && self.incomplete == 0
            && self.refusals.is_empty()
            && !self.store.has_closed()
        {
            self.end_draining();
        }
    }

    /// Ends a draining session whatever its streams do.
    pub(super) fn end_draining(&mut self) {
        if let Phase::Draining { reason, .. } = &self.phase {
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
    pub(super) fn violate(&mut self, code: ErrorCode, what: &'static str) {
        if self.farewell.received().is_some() {
            let reason = self.reason_or(CloseReason::Violation { code, what });
            return self.end(reason, Some(ErrorCode::NO_ERROR));
        }
        self.stats.oddities = self.stats.oddities.saturating_add(1);
        self.farewell.words().text = Bytes::from_static(what.as_bytes());
        self.farewell.said = false;
        self.end(CloseReason::Violation { code, what }, Some(code));
    }

    /// The reason a session ends for that was going away already, or else `reason`.
    pub(super) fn reason_or(&self, reason: CloseReason) -> CloseReason {
        match (&self.phase, self.farewell.received()) {
            (Phase::Draining { reason, .. }, _) => reason.clone(),
            (_, Some((code, text))) => CloseReason::Remote { code: *code, text: text.clone() },
            _ => reason,
        }
    }

    /// Ends the session; with `goodbye` the peer is told. Everybody who waits is woken.
    pub(super) fn end(&mut self, reason: CloseReason, goodbye: Option<ErrorCode>) {
        if matches!(self.phase, Phase::Over(_)) {
            return;
        }
        self.phase = Phase::Over(reason);
        // What was handed out and not written can still get stuck.
        let write = self.timers.get(Timer::Write);
        self.timers.clear();
        self.timers.set(Timer::Write, write);
        self.refusals.clear();
        if let Some(code) = goodbye {
            self.say_goodbye(code);
        }
        for signal in [Signal::Acceptable, Signal::OpenReady, Signal::Closed] {
            self.signals.raise(signal);
        }
        for key in self.store.keys() {
            self.drop_outgoing(key);
            self.notify(key, Edge::Readable);
            self.notify(key, Edge::Writable);
            self.free_if_done(key);
        }
    }

    /// Nothing more to send: from here the peer has the linger timeout to end its side.
    pub(super) fn start_lingering(&mut self) {
        if !core::mem::replace(&mut self.farewell.flushed, true) {
            self.timers.set(Timer::Linger, Some(self.now + self.config.linger_timeout));
        }
    }

    /// Nobody will write or read the transport any more.
    pub(super) fn give_up_transport(&mut self) {
        let _unsaid = self.farewell.take_due();
        self.farewell.flushed = true;
        self.farewell.ended = true;
        self.timers = Timers::default();
    }
}
