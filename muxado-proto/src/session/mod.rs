//! The state machine of one end of a session.
//!
//! The work is split by direction: `input` takes frames apart, `output` cuts them, `view` is what
//! the application does with a stream, `records` keeps the streams' books, `lifecycle` ends the
//! session, `beats` keeps it alive, `timeouts` reacts to time.

#[cfg(feature = "audit")]
mod audit;
mod beats;
mod input;
mod lifecycle;
mod output;
mod records;
mod timeouts;
mod view;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::time::Duration;

use bytes::Bytes;

use crate::config::Config;
use crate::decode::Decoder;
use crate::error::{CloseReason, ErrorCode, OpenError};
use crate::event::{Event, Signal, Signals};
use crate::frame::{MAX_U31, Role, StreamId};
use crate::heartbeat::{Requester, splitmix};
use crate::limits::Limits;
use crate::stats::SessionStats;
use crate::stream::buffer::Pool;
use crate::stream::ids::SeenIds;
use crate::stream::schedule::Queue;
use crate::stream::state::SendState;
use crate::stream::store::{Opener, Store};
use crate::stream::window::Arrivals;
use crate::stream::{Edge, Owner, Stream, StreamType};
use crate::time::Timestamp;
use crate::timers::{Timer, Timers};

#[cfg(feature = "audit")]
pub use audit::AuditError;
use input::Sink;
use lifecycle::{Farewell, Phase};
pub use view::StreamMut;

/// What happens to the bytes that have arrived on a stream when this side resets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    /// The application resets the stream: nobody wants them.
    Drop,
    /// The peer broke a rule: they arrived in order before that.
    Keep,
}

/// An RST for a stream without a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refusal {
    id: StreamId,
    code: ErrorCode,
    /// The peer's writer may wait for credit: some wake for that and not for an RST.
    wakes: bool,
}

impl Refusal {
    const fn new(id: StreamId, code: ErrorCode) -> Self {
        Self { id, code, wakes: false }
    }

    const fn waking_if(self, wakes: bool) -> Self {
        Self { wakes, ..self }
    }
}

/// One end of a session: bytes in, bytes and events out.
///
/// See the [crate documentation](crate) for how to drive one. Any order of calls is valid, and no
/// call panics.
#[derive(Debug)]
pub struct Session {
    role: Role,
    config: Arc<Config>,
    /// The latest time anyone told.
    now: Timestamp,
    phase: Phase,
    farewell: Farewell,
    decoder: Decoder,
    /// Where the payload of the current DATA frame goes.
    sink: Sink,
    /// The frame that was current when its time limit was last set, and the bytes since.
    frame_progress: (u64, usize),
    store: Store,
    pool: Pool,
    /// The next id to open, `None` when all are used.
    next_id: Option<u32>,
    seen: SeenIds,
    /// RSTs for streams without a record.
    refusals: VecDeque<Refusal>,
    limits: Limits,
    requester: Requester,
    arrivals: Arrivals,
    /// DATA other than heartbeats has arrived since the last beat was due.
    heard: bool,
    responders: u32,
    timers: Timers,
    /// Credit has become owed since the timer was last looked at.
    owed_unarmed: bool,
    /// The backlog was full when the current input began: what came with it was not refused, as
    /// the application had no chance to accept any of it.
    backlog_full: bool,
    signals: Signals,
    /// The application was told that opening is blocked.
    open_blocked: bool,
    /// Open streams that count against the limits, by who opened them.
    inbound: u32,
    outbound: u32,
    /// Own streams on which the peer has sent nothing.
    unanswered: u32,
    /// Streams that are not finished or reset in both directions.
    incomplete: u32,
    stats: SessionStats,
}

impl Session {
    /// A new session. `now` is the start of its time; `seed` varies what is arbitrary (heartbeat
    /// values, the order of hash buckets) and should not be known to the peer.
    #[must_use]
    pub fn new(role: Role, config: Arc<Config>, now: Timestamp, seed: u64) -> Self {
        let mut seed = seed;
        let tombstones = usize::try_from(config.tombstones).unwrap_or(usize::MAX);
        let text = usize::try_from(config.goaway_text).unwrap_or(usize::MAX);
        let mut session = Self {
            role,
            now,
            phase: Phase::Open,
            farewell: Farewell::default(),
            decoder: Decoder::new(text),
            sink: Sink::Discard,
            frame_progress: (0, 0),
            store: Store::new(splitmix(&mut seed), tombstones),
            pool: Pool::default(),
            next_id: Some(role.first_id()),
            seen: SeenIds::default(),
            refusals: VecDeque::new(),
            limits: Limits::default(),
            requester: Requester::new(splitmix(&mut seed)),
            arrivals: Arrivals::default(),
            heard: false,
            responders: 0,
            timers: Timers::default(),
            owed_unarmed: false,
            backlog_full: false,
            signals: Signals::default(),
            open_blocked: false,
            inbound: 0,
            outbound: 0,
            unanswered: 0,
            incomplete: 0,
            stats: SessionStats::default(),
            config,
        };
        if session.config.heartbeat.is_some() {
            session.timers.set(Timer::Beat, Some(now));
        }
        session
    }

    /// Which end this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Opens a stream. Nothing is sent before the first write or [`finish`](StreamMut::finish).
    ///
    /// # Errors
    ///
    /// [`OpenError`]; after `Blocked`, [`Event::OpenReady`] tells when to try again.
    pub fn open(&mut self) -> Result<StreamId, OpenError> {
        if self.config.typed {
            return Err(OpenError::WrongType);
        }
        self.open_stream(Owner::Application)
    }

    /// Opens a stream of a type in a typed session. The type is sent at once, in the SYN frame.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; after `Blocked`, [`Event::OpenReady`] tells when to try again.
    pub fn open_typed(&mut self, stream_type: StreamType) -> Result<StreamId, OpenError> {
        if !self.config.typed || stream_type == StreamType::HEARTBEAT {
            return Err(OpenError::WrongType);
        }
        let id = self.open_stream(Owner::Application)?;
        self.send_type(id, stream_type);
        Ok(id)
    }

    fn open_stream(&mut self, owner: Owner) -> Result<StreamId, OpenError> {
        match &self.phase {
            Phase::Over(reason) => return Err(OpenError::SessionClosed(reason.clone())),
            Phase::Draining { .. } => return Err(OpenError::GoingAway),
            Phase::Open => {}
        }
        let counted = owner == Owner::Application;
        if counted && self.is_open_blocked() {
            self.open_blocked = true;
            return Err(OpenError::Blocked);
        }
        let id = StreamId::new(self.next_id.ok_or(OpenError::StreamsExhausted)?);
        self.next_id = id.get().checked_add(2).filter(|&next| next <= MAX_U31);
        if self.next_id.is_none() {
            self.signals.raise(Signal::StreamsExhausted);
        }
        self.store.insert(Stream::new(id, owner, SendState::Fresh, &self.config));
        if counted {
            self.outbound = self.outbound.saturating_add(1);
            self.unanswered = self.unanswered.saturating_add(1);
            self.incomplete = self.incomplete.saturating_add(1);
        }
        self.stats.streams_opened = self.stats.streams_opened.saturating_add(1);
        Ok(id)
    }

    /// Whether the peer has as many streams of this side as it may. It still has those that were
    /// given up here and that it has not finished, as far as they are remembered.
    fn is_open_blocked(&self) -> bool {
        let answered = self.store.closed(Opener::Answered);
        let unanswered = self.store.closed(Opener::Unanswered);
        let open = self.outbound.saturating_add(answered).saturating_add(unanswered);
        let unanswered = self.unanswered.saturating_add(unanswered);
        open >= self.config.max_outbound_streams
            || self.config.max_unanswered_streams.is_some_and(|max| unanswered >= max)
    }

    fn send_type(&mut self, id: StreamId, stream_type: StreamType) {
        let Some(key) = self.store.key(id) else { return };
        if let Some(stream) = self.store.get_mut(key) {
            stream.stream_type = Some(stream_type);
        }
        self.write_own(key, &stream_type.0.to_be_bytes());
        self.schedule(key);
    }

    /// Accepts the stream of the peer that has waited longest, `None` if there is none. In a typed
    /// session only streams whose type has arrived are accepted;
    /// [`stream_type`](StreamMut::stream_type) gives it.
    ///
    /// Streams that arrived before the session ended can be accepted afterwards.
    pub fn accept(&mut self) -> Option<StreamId> {
        let key = self.store.pop(Queue::Accept)?;
        let stream = self.store.get_mut(key)?;
        stream.owner = Owner::Application;
        Some(stream.id)
    }

    /// A view of a stream the application has opened or accepted; `None` if it has released it.
    pub fn stream(&mut self, id: StreamId) -> Option<StreamMut<'_>> {
        let key = self.store.key(id)?;
        let owned = self.store.get(key)?.owner == Owner::Application;
        owned.then(|| StreamMut::new(self, key))
    }

    /// The next event. Call until `None`, after every input, output and command; what is not
    /// fetched stays pending and takes no memory.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        if !self.signals.is_empty() {
            if let Some(event) = self.next_signal() {
                return Some(event);
            }
        }
        if let Some(key) = self.store.front(Queue::Event) {
            let stream = self.store.get_mut(key)?;
            let id = stream.id;
            let edge = if stream.edges & Edge::Readable as u8 != 0 {
                Edge::Readable
            } else {
                Edge::Writable
            };
            stream.edges &= !(edge as u8);
            if stream.edges == 0 {
                self.store.unlink(Queue::Event, key);
            }
            return Some(match edge {
                Edge::Readable => Event::Readable(id),
                Edge::Writable => Event::Writable(id),
            });
        }
        if self.signals.take(Signal::Closed) {
            return self.close_reason().cloned().map(Event::Closed);
        }
        None
    }

    fn next_signal(&mut self) -> Option<Event> {
        if self.signals.take(Signal::Acceptable) {
            return Some(Event::Acceptable);
        }
        if self.signals.take(Signal::OpenReady) {
            return Some(Event::OpenReady);
        }
        if self.signals.take(Signal::Pong) {
            return Some(Event::Pong { rtt: self.requester.rtt().unwrap_or_default() });
        }
        if self.signals.take(Signal::HeartbeatMissed) {
            return Some(Event::HeartbeatMissed);
        }
        if self.signals.take(Signal::GoAway) {
            if let Some((code, text)) = self.farewell.received() {
                return Some(Event::GoAway { code: *code, text: text.clone() });
            }
        }
        self.signals.take(Signal::StreamsExhausted).then_some(Event::StreamsExhausted)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest; `None` if time changes
    /// nothing. Takes constant time. May change with every other call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Why the session is over, once it is.
    #[must_use]
    pub const fn close_reason(&self) -> Option<&CloseReason> {
        match &self.phase {
            Phase::Over(reason) => Some(reason),
            _ => None,
        }
    }

    /// The round-trip time of the latest heartbeat that came back.
    #[must_use]
    pub const fn rtt(&self) -> Option<Duration> {
        self.requester.rtt()
    }

    /// How many streams wait to be accepted.
    #[must_use]
    pub fn backlog(&self) -> usize {
        usize::try_from(self.store.len(Queue::Accept)).unwrap_or(usize::MAX)
    }

    /// Whether the limits on this side's streams leave room to open one. If not,
    /// [`Event::OpenReady`] tells when they do.
    #[must_use]
    pub fn can_open(&mut self) -> bool {
        if self.is_open_blocked() {
            self.open_blocked = true;
            return false;
        }
        matches!(self.phase, Phase::Open) && self.next_id.is_some()
    }

    /// Counters, and what the session holds now.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        SessionStats {
            open_streams: self.inbound.saturating_add(self.outbound),
            backlog: self.store.len(Queue::Accept),
            rtt: self.requester.rtt(),
            ..self.stats
        }
    }

    /// The code and text of the GOAWAY the peer has sent, if it has.
    #[must_use]
    pub fn received_go_away(&self) -> Option<(ErrorCode, Bytes)> {
        self.farewell.received().cloned()
    }

    fn advance_clock(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transmit::Transmit;
    use bytes::Buf;

    #[test]
    fn an_idle_session_is_small() {
        assert!(size_of::<Session>() <= 984, "{}", size_of::<Session>());
    }

    /// A session that has used up all of its ids but the last two.
    fn near_the_end(role: Role) -> Session {
        let mut session = Session::new(role, Config::default().into(), Timestamp::ZERO, 1);
        session.next_id = Some(MAX_U31 - 3 + role.first_id() % 2);
        session
    }

    #[test]
    fn ids_run_out() {
        for (role, last) in [(Role::Client, 0x7fff_ffff), (Role::Server, 0x7fff_fffe)] {
            let mut session = near_the_end(role);
            assert_eq!(session.open().map(StreamId::get), Ok(last - 2));
            assert_eq!(session.poll_event(), None);
            assert_eq!(session.open().map(StreamId::get), Ok(last));
            assert_eq!(session.poll_event(), Some(Event::StreamsExhausted));
            for _ in 0..3 {
                assert_eq!(session.open(), Err(OpenError::StreamsExhausted));
            }
            assert_eq!(session.poll_event(), None);
            assert!(!session.can_open());
            // The last streams work like any other.
            let id = StreamId::new(last);
            assert_eq!(session.stream(id).unwrap().write(b"x"), Ok(1));
            let mut out = Transmit::new();
            session.poll_transmit(Timestamp::ZERO, &mut out, usize::MAX);
            let [a, b, c, d] = last.to_be_bytes();
            assert_eq!(out.chunk(), [0, 0, 1, 0x12, a, b, c, d, b'x']);
            session.handle_slice(Timestamp::ZERO, &[0, 0, 1, 0x11, a, b, c, d, b'y']);
            assert_eq!(session.stream(id).unwrap().read_chunk(9), Ok(Some(Bytes::from("y"))));
        }
    }

    #[test]
    fn a_session_without_ids_goes_on_without_a_new_heartbeat() {
        let config = Config::builder().typed(true).build().unwrap();
        let mut session = Session::new(Role::Client, config.into(), Timestamp::ZERO, 1);
        session.next_id = None;
        let refused = Err(crate::PingError::Open(OpenError::StreamsExhausted));
        assert_eq!(session.ping(Timestamp::ZERO), refused);
        assert_eq!(session.close_reason(), None);
    }
}
