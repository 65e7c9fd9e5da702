//! The heartbeat on its streams: both the side that asks and the side that answers.
//!
//! Neither is seen by the application, and neither waits for it.

use core::time::Duration;

use super::tally::{fewer, more};
use super::{Session, Unread};
use crate::error::{ErrorCode, OpenError, PingError};
use crate::event::Signal;
use crate::heartbeat::{BEAT_LEN, ECHO_LIMIT, Requester};
use crate::secret::BeatKey;
use crate::stream::key::Key;
use crate::stream::state::RecvState;
use crate::stream::{Owner, StreamType};
use crate::time::Timestamp;
use crate::timers::Timer;

/// The heartbeats of both sides.
///
/// Invariants: the stream of the requester is live and belongs to it; `responders` is the number of
/// streams that answer.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct Beats {
    requester: Requester,
    /// DATA other than heartbeats has arrived since the last beat was due.
    heard: bool,
    responders: u32,
}

impl Beats {
    pub(super) const fn new(key: BeatKey) -> Self {
        Self { requester: Requester::new(key), heard: false, responders: 0 }
    }

    /// The round-trip time of the latest beat that came back.
    pub(super) const fn rtt(&self) -> Option<Duration> {
        self.requester.rtt()
    }

    /// DATA other than heartbeats has arrived.
    pub(super) const fn heard(&mut self) {
        self.heard = true;
    }

    /// The beat under way will not come back: when it was sent.
    pub(super) fn give_up(&mut self) -> Option<Timestamp> {
        self.requester.give_up()
    }

    /// A stream that answered has lost its record.
    pub(super) const fn responder_removed(&mut self) {
        fewer(&mut self.responders);
    }

    /// Whether a beat is under way.
    #[cfg(feature = "audit")]
    pub(super) const fn is_waiting(&self) -> bool {
        self.requester.is_waiting()
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
        let Self { requester, heard, responders } = self;
        requester.digest(digest);
        digest.flag(*heard && digest.config.heartbeat.is_some());
        digest.value(responders);
    }
}

impl Session {
    /// Sends a heartbeat now. [`Event::Pong`](crate::Event::Pong) tells when it is back; while one
    /// is under way, that one serves.
    ///
    /// # Errors
    ///
    /// [`PingError`], if the session is not typed or opens no more streams.
    pub fn ping(&mut self, now: Timestamp) -> Result<(), PingError> {
        if !self.config.typed {
            return Err(PingError::NotTyped);
        }
        self.advance_clock(now);
        if let Some(reason) = self.farewell.reason() {
            return Err(PingError::Open(OpenError::SessionClosed(reason.clone())));
        }
        self.beat().map_err(PingError::Open)
    }

    fn beat(&mut self) -> Result<(), OpenError> {
        if self.beats.requester.is_waiting() {
            return Ok(());
        }
        let current = self.beats.requester.stream.and_then(|id| self.store.key(id));
        let key = match current {
            Some(key) => key,
            None => {
                let id = self.open_stream(Owner::Beats)?;
                self.beats.requester.stream = Some(id);
                self.send_type(id, StreamType::HEARTBEAT);
                self.store.key(id).ok_or(OpenError::StreamsExhausted)?
            }
        };
        let value = self.beats.requester.beat(self.now);
        self.write_own(key, &value);
        self.schedule(key);
        let settings = self.config.heartbeat.unwrap_or_default();
        self.timers.set(Timer::Tolerance, Some(self.now + settings.tolerance));
        Ok(())
    }

    /// The interval has passed: beats, unless what the peer has sent meanwhile says that it lives.
    pub(super) fn on_beat_due(&mut self) {
        let Some(settings) = self.config.heartbeat else { return };
        if !self.farewell.is_open() {
            return;
        }
        let alive = core::mem::take(&mut self.beats.heard);
        if !alive || self.beats.requester.rtt().is_none() {
            // Without ids there is no heartbeat; the session is about to be replaced anyway.
            let _exhausted = self.beat();
        }
        self.timers.set(Timer::Beat, Some(self.now + settings.interval));
    }

    /// Beats have come back on the stream of the requester.
    pub(super) fn on_echo(&mut self, key: Key) {
        while let Some(value) = self.take_beat(key) {
            if self.beats.requester.echo(value, self.now).is_some() {
                self.timers.set(Timer::Tolerance, None);
                self.signals.raise(Signal::Pong);
            } else {
                // Not what was sent: the tolerance decides.
                self.stats.oddities = self.stats.oddities.saturating_add(1);
            }
        }
    }

    /// The peer has ended the stream of the requester. That took a living peer; the next beat goes
    /// out on a new stream.
    pub(super) fn on_beats_ended(&mut self, key: Key) {
        self.beats.requester.stream = None;
        if self.beats.requester.is_waiting() {
            let _unanswered = self.beats.requester.give_up();
            self.timers.set(Timer::Tolerance, None);
            self.signals.raise(Signal::HeartbeatMissed);
        }
        // Not by a FIN: ngrok's responder answers that with a flood of zero beats.
        self.reset_stream(key, ErrorCode::STREAM_CANCELLED, Unread::Drop);
    }

    /// A stream of the peer turns out to carry its heartbeats.
    pub(super) fn adopt_echo(&mut self, key: Key) {
        if self.beats.responders >= self.config.max_heartbeat_responders {
            self.reset_stream(key, ErrorCode::STREAM_REFUSED, Unread::Drop);
            return self.count_reset();
        }
        if let Some(stream) = self.store.get_mut(key) {
            stream.owner = Owner::Echo;
            more(&mut self.beats.responders);
            self.counts.is_heartbeat();
        }
        self.echo(key);
        self.finish_draining();
    }

    /// Sends back the whole beats that have arrived, as long as few echoes are waiting: a peer
    /// that does not read them runs out of credit. After the last one of a peer that has ended its
    /// heartbeat comes FIN.
    pub(super) fn echo(&mut self, key: Key) {
        while self.store.get(key).is_some_and(|stream| stream.outgoing.len() < ECHO_LIMIT) {
            let Some(value) = self.take_beat(key) else { break };
            self.write_own(key, &value);
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
