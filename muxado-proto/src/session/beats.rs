//! Heartbeats on their streams: the requester and the responder.
//!
//! The application sees neither, and neither waits for the application.

use alloc::boxed::Box;
use core::time::Duration;

use bytes::Bytes;

use super::inlet::Newcomer;
use super::lifecycle::Goodbye;
use super::outlet::Outlet;
use super::tally::{fewer, more};
use super::{Session, Unread};
use crate::error::{CloseReason, ErrorCode, OpenError, PingError};
use crate::event::Signal;
use crate::frame::StreamId;
use crate::heartbeat::{BEAT_LEN, ECHO_LIMIT, Requester, Signs, Verdict};
use crate::secret::SessionKey;
use crate::stream::key::Key;
use crate::stream::state::{RecvState, SendState};
use crate::stream::{Owner, Stream, StreamType, TYPE_LEN};
use crate::time::Timestamp;
use crate::timers::Timer;

/// The heartbeats of this side.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
struct Own {
    /// The stream that the beats are sent on.
    stream: Option<StreamId>,
    requester: Requester,
    outlet: Outlet,
    /// When DATA other than heartbeats last arrived.
    data: Timestamp,
}

/// The heartbeats of both sides.
///
/// Invariants: the stream of the requester is live and belongs to it; `responders` is the number of
/// streams that answer; an outstanding beat has a time at which it is judged.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct Beats {
    /// Only typed sessions have heartbeats.
    own: Option<Box<Own>>,
    /// When input last arrived that restarts the time limit on frames.
    sign: Timestamp,
    responders: u32,
}

impl Beats {
    pub(super) fn new(key: &SessionKey, now: Timestamp, typed: bool) -> Self {
        let own = || {
            let requester = Requester::new(key.beats());
            Box::new(Own { stream: None, requester, outlet: Outlet::default(), data: now })
        };
        Self { own: typed.then(own), sign: now, responders: 0 }
    }

    /// The round-trip time of the latest beat that came back.
    pub(super) const fn rtt(&self) -> Option<Duration> {
        match &self.own {
            Some(own) => own.requester.rtt(),
            None => None,
        }
    }

    /// DATA other than heartbeats has arrived: the peer has answered what it has read.
    #[inline]
    pub(super) fn on_data(&mut self, now: Timestamp) {
        if let Some(own) = &mut self.own {
            own.data = now;
            own.outlet.arrived_all();
        }
    }

    /// The peer's reader has consumed this many more bytes.
    #[inline]
    pub(super) fn arrived(&mut self, bytes: u32) {
        if let Some(own) = &mut self.own {
            own.outlet.arrived(bytes);
        }
    }

    /// The peer gives a sign of life.
    pub(super) const fn on_sign(&mut self, now: Timestamp) {
        self.sign = now;
    }

    /// When the peer last gave a sign of life.
    pub(super) const fn last_sign(&self) -> Timestamp {
        self.sign
    }

    /// A frame with so much payload was cut, not for a heartbeat.
    #[inline]
    pub(super) fn cut_data(&mut self, payload: u32) {
        if let Some(own) = &mut self.own {
            own.outlet.cut(payload);
        }
    }

    /// The beat was cut.
    pub(super) fn cut_beat(&mut self) {
        if let Some(own) = &mut self.own {
            own.requester.cut(own.outlet.position());
        }
    }

    /// The transport has taken the batch that was handed out at the time `since`.
    #[inline]
    pub(super) fn all_taken(&mut self, now: Timestamp, since: Option<Timestamp>) {
        if let Some(own) = &mut self.own {
            own.outlet.all_taken(now, since);
            own.requester.taken(now);
        }
    }

    /// The transport has taken some of that batch.
    #[inline]
    pub(super) fn some_taken(&mut self, now: Timestamp, since: Option<Timestamp>) {
        if let Some(own) = &mut self.own {
            own.outlet.some_taken(now, since);
        }
    }

    /// There is no next batch.
    #[inline]
    pub(super) fn nothing_to_send(&mut self) {
        if let Some(own) = &mut self.own {
            own.outlet.nothing_to_send();
        }
    }

    /// A stream that answered has lost its record.
    pub(super) const fn responder_removed(&mut self) {
        fewer(&mut self.responders);
    }

    /// Whether a beat is under way.
    #[cfg(feature = "audit")]
    pub(super) fn is_waiting(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.requester.is_waiting())
    }

    /// Compares with the number of streams that answer.
    #[cfg(feature = "audit")]
    pub(super) fn audit(&self, responders: u32) -> super::audit::Finding {
        super::audit::same("heartbeat responders", self.responders, responders)
    }
}

#[cfg(feature = "audit")]
impl Beats {
    pub(super) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        let Self { own, sign, responders } = self;
        digest.value(responders);
        if let Some(own) = own {
            let Own { stream, requester, outlet, data } = &**own;
            digest.value(stream);
            requester.digest(digest);
            outlet.digest(requester.place(), digest);
            if digest.config.heartbeat.is_some() {
                digest.since(*data);
            }
        }
        if digest.config.typed || digest.config.idle_timeout.is_some() {
            digest.since(*sign);
        }
    }
}

impl Session {
    /// Sends a heartbeat now. [`Event::Pong`](crate::Event::Pong) reports its return. If a beat is
    /// outstanding, none is sent, and that beat counts.
    ///
    /// # Errors
    ///
    /// [`PingError`], if the session is not typed or opens no more streams.
    pub fn ping(&mut self, now: Timestamp) -> Result<(), PingError> {
        if self.beats.own.is_none() {
            return Err(PingError::NotTyped);
        }
        self.advance_clock(now);
        if let Some(reason) = self.closing.reason() {
            return Err(PingError::Open(OpenError::SessionClosed(reason.clone())));
        }
        self.beat().map_err(PingError::Open)
    }

    fn beat(&mut self) -> Result<(), OpenError> {
        let Some(own) = self.beats.own.as_ref().filter(|own| !own.requester.is_waiting()) else {
            return Ok(());
        };
        let current = own.stream.and_then(|id| self.store.key(id));
        let key = match current {
            Some(key) => key,
            None => {
                let id = self.open_stream(Owner::Beats)?;
                self.send_type(id, StreamType::HEARTBEAT);
                self.store.key(id).ok_or(OpenError::StreamsExhausted)?
            }
        };
        let (Some(own), Some(stream)) = (&mut self.beats.own, self.store.live(key)) else {
            return Ok(());
        };
        own.stream = Some(stream.id);
        let value = own.requester.beat(self.now);
        self.write_own(key, &value);
        self.schedule(key);
        self.stats.beats_sent = self.stats.beats_sent.saturating_add(1);
        let settings = self.config.heartbeat.unwrap_or_default();
        self.timers.set(Timer::Tolerance, Some(self.now + settings.tolerance));
        Ok(())
    }

    /// The interval has passed: sends a beat, unless DATA has arrived in the meantime, which proves
    /// that the peer is alive. Then the beat is due one interval after that DATA.
    pub(super) fn on_beat_due(&mut self) {
        let (Some(settings), Some(own)) = (self.config.heartbeat, &self.beats.own) else { return };
        if !self.closing.is_open() {
            return;
        }
        let mut next = own.data + settings.interval;
        if next <= self.now || own.requester.rtt().is_none() {
            // Without ids there is no heartbeat; the session is about to be replaced anyway.
            let _exhausted = self.beat();
            next = self.now + settings.interval;
        }
        self.timers.set(Timer::Beat, Some(next));
    }

    /// The time of the outstanding beat is over: judges it by all signs of life (PROTOCOL.md §9.4).
    pub(super) fn on_tolerance(&mut self) {
        let settings = self.config.heartbeat.unwrap_or_default();
        let Some(own) = &self.beats.own else { return };
        let signs = Signs {
            last: self.beats.sign.max(own.outlet.moved()),
            queue: own.outlet.time_to(own.requester.place()),
            blocked: self.pace.waits_since().is_some(),
        };
        let verdict = own.requester.judge(settings.tolerance, signs, self.now);
        if let Verdict::Wait(until) = verdict {
            return self.timers.set(Timer::Tolerance, Some(until));
        }
        let stuck = own.requester.is_uncut();
        self.give_up_beat();
        if stuck {
            self.abandon_beats();
        }
        let closes = self.config.heartbeat.is_some_and(|beat| beat.close_on_timeout);
        if closes && verdict == Verdict::Silent && self.closing.is_open() {
            let text = b"no heartbeat within the tolerance: are both ends typed?";
            let goodbye = Goodbye::With(ErrorCode::WRITE_TIMEOUT, Bytes::from_static(text));
            self.end(CloseReason::HeartbeatTimeout, goodbye);
        }
    }

    /// The outstanding beat, if any, will not come back.
    fn give_up_beat(&mut self) {
        if self.beats.own.as_mut().is_some_and(|own| own.requester.give_up()) {
            self.timers.set(Timer::Tolerance, None);
            self.stats.beats_missed = self.stats.beats_missed.saturating_add(1);
            self.signals.raise(Signal::HeartbeatMissed);
        }
    }

    /// The stream of the requester has no credit left: the next beat is sent on a new one.
    fn abandon_beats(&mut self) {
        let stream = self.beats.own.as_mut().and_then(|own| own.stream.take());
        if let Some(key) = stream.and_then(|id| self.store.key(id)) {
            self.reset_stream(key, ErrorCode::STREAM_CANCELLED, Unread::Drop);
        }
    }

    /// Beats have come back on the stream of the requester.
    pub(super) fn on_echo(&mut self, key: Key) {
        while let Some(value) = self.take_beat(key) {
            let Some(own) = &mut self.beats.own else { return };
            if let Some(echo) = own.requester.echo(value, self.now) {
                if let Some(place) = echo.place {
                    own.outlet.arrived_to(place);
                }
                self.timers.set(Timer::Tolerance, None);
                self.stats.beats_returned = self.stats.beats_returned.saturating_add(1);
                self.signals.raise(Signal::Pong);
            } else {
                // Not the value that was sent: the tolerance decides.
                self.stats.oddities = self.stats.oddities.saturating_add(1);
            }
        }
    }

    /// The peer has ended the stream of the requester. Only a live peer can do that; the next beat
    /// is sent on a new stream.
    pub(super) fn on_beats_ended(&mut self, key: Key) {
        self.leave_beats();
        // Not by a FIN: ngrok's responder answers that with a flood of zero beats.
        self.reset_stream(key, ErrorCode::STREAM_CANCELLED, Unread::Drop);
    }

    /// The next beat is sent on a new stream; the beat under way is lost.
    pub(super) fn leave_beats(&mut self) {
        if let Some(own) = &mut self.beats.own {
            own.stream = None;
        }
        self.give_up_beat();
    }

    /// The type of a peer's stream is that of heartbeats; `false` if so many are answered already.
    pub(super) fn adopt_echo(&mut self, key: Key) -> bool {
        if self.beats.responders >= self.config.max_heartbeat_responders {
            self.reset_stream(key, ErrorCode::STREAM_REFUSED, Unread::Drop);
            self.count_reset();
            return false;
        }
        if let Some(stream) = self.store.live_mut(key) {
            stream.owner = Owner::Echo;
            more(&mut self.beats.responders);
            self.counts.is_heartbeat();
        }
        self.echo(key);
        self.finish_draining();
        true
    }

    /// Whether a SYN that is to be refused may belong to a heartbeat. Heartbeats are answered in
    /// spite of the limits on streams (PROTOCOL.md §9.3), if the whole type comes with the SYN.
    pub(super) fn may_be_heartbeat(&self, length: u32) -> bool {
        self.config.typed
            && (TYPE_LEN..=self.config.receive_window).contains(&length)
            && self.beats.responders < self.config.max_heartbeat_responders
    }

    /// Payload of a stream that is refused unless it is a heartbeat.
    pub(super) fn on_newcomer(
        &mut self,
        mut newcomer: Newcomer,
        mut bytes: &[u8],
        end: bool,
        owner: Option<&Bytes>,
    ) {
        match newcomer.take_type(&mut bytes) {
            None => self.inlet.hold(newcomer),
            Some(StreamType::HEARTBEAT) => self.let_in_heartbeat(newcomer, bytes, end, owner),
            Some(_) => {
                self.inlet.discard();
                self.refuse_newcomer(newcomer);
            }
        }
    }

    fn let_in_heartbeat(
        &mut self,
        newcomer: Newcomer,
        bytes: &[u8],
        end: bool,
        owner: Option<&Bytes>,
    ) {
        if !self.reserve_stream(false) {
            self.inlet.discard();
            return self.refuse_newcomer(newcomer);
        }
        let Newcomer { id, fin, length, .. } = newcomer;
        let mut stream = Stream::new(id, Owner::Echo, SendState::Open, &self.config);
        stream.stream_type = Some(StreamType::HEARTBEAT);
        self.credit.on_data(self.now);
        // Longer frames were refused by their header.
        let _within_window = self.credit.receive(&mut stream, length);
        let key = self.store.insert(stream);
        more(&mut self.beats.responders);
        self.stats.streams_accepted = self.stats.streams_accepted.saturating_add(1);
        let taken = u64::from(TYPE_LEN);
        self.stats.payload_received = self.stats.payload_received.wrapping_add(taken);
        self.inlet.deliver_to(key, id, fin);
        self.consumed(key, BEAT_LEN);
        if !bytes.is_empty() {
            self.on_payload(bytes, end, owner);
        } else if end && fin {
            self.on_fin(key);
        }
    }

    /// Sends back the complete beats that have arrived, as long as few echoes are waiting: a peer
    /// that does not read them runs out of credit. If the peer has finished its heartbeat stream,
    /// FIN follows the last echo.
    pub(super) fn echo(&mut self, key: Key) {
        while self.store.get(key).is_some_and(|stream| stream.outgoing.len() < ECHO_LIMIT) {
            let Some(value) = self.take_beat(key) else { break };
            self.write_own(key, &value);
            self.stats.beats_answered = self.stats.beats_answered.saturating_add(1);
        }
        if let Some(stream) = self.store.get_mut(key) {
            if stream.recv == RecvState::Finished && stream.incoming.len() < BEAT_LEN {
                stream.send = stream.send.finish();
            }
        }
        self.schedule(key);
    }

    fn take_beat(&mut self, key: Key) -> Option<[u8; BEAT_LEN]> {
        let stream = self.store.get_mut(key)?;
        if stream.incoming.len() < BEAT_LEN {
            return None;
        }
        let mut value = [0; BEAT_LEN];
        let before = stream.incoming.size();
        stream.incoming.read(&mut value, &mut self.pool);
        self.credit.resize(before, stream.incoming.size());
        self.consumed(key, BEAT_LEN);
        Some(value)
    }
}
