//! The state machine of one end of a session.
//!
//! A session is made of parts, each a struct with private fields in its own file:
//!
//! | part | owns | answers |
//! |---|---|---|
//! | `Inlet` | the decoder, where payload goes, the watched frame | what comes next; is a frame stalled |
//! | `Ids` | the ids of both sides | may this id be opened; was it used |
//! | `Counts` | streams by who opened them, unanswered, incomplete | may a stream be opened or admitted; is a drain done |
//! | `Credit` | window growth, bytes held, what is owed | when is a WNDINC due; may a window grow |
//! | `SendBudget` | bytes written and not sent | who may write |
//! | `Unanswered` | when own streams were announced | which ones no longer count as unanswered |
//! | `Orphans` | RSTs without a record | what is still to be answered |
//! | `Pace` | the current batch, and what the transport recently took | how much to cut at once |
//! | `Beats` | the heartbeats of both sides, and the payload that a beat may wait for | is the peer alive; the round-trip time |
//! | `Handover` | the latest batch of output | has the transport taken it |
//! | `Closing` | the phase, the GOAWAYs, the end of the transport | is it over, and why |
//! | `Store` | the records and their queues | where is a stream; is there a tombstone for an id |
//!
//! The other files are the operations of a session on these parts: `input` handles received frames,
//! `output` produces frames, `view` has the application's operations on a stream, `streams` manages
//! the life of a stream, `lifecycle` ends the session, `timeouts` reacts to time.

#[cfg(feature = "audit")]
mod audit;
mod beats;
mod closing;
mod counts;
mod credit;
#[cfg(feature = "audit")]
mod fingerprint;
mod handover;
mod ids;
mod inlet;
mod input;
mod lifecycle;
mod memory;
mod orphans;
mod outlet;
mod output;
mod pace;
mod progress;
mod send_budget;
mod share;
mod spared;
mod streams;
mod tally;
#[cfg(test)]
mod tests;
mod timeouts;
mod unanswered;
mod view;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::time::Duration;

use bytes::Bytes;

use crate::config::Config;
use crate::error::{CloseReason, ErrorCode, OpenError};
use crate::event::{Event, Signal, Signals};
use crate::frame::{Role, StreamId};
use crate::limits::Limits;
use crate::secret::SessionKey;
use crate::stats::{Counters, SessionStats};
use crate::stream::buffer::Pool;
use crate::stream::schedule::Queue;
use crate::stream::state::SendState;
use crate::stream::store::Store;
use crate::stream::{Edge, Owner, Stream, StreamType};
use crate::time::Timestamp;
use crate::timers::{Timer, Timers};

#[cfg(feature = "audit")]
pub use audit::AuditError;
use beats::Beats;
use closing::Closing;
use counts::Counts;
use credit::Credit;
use handover::Handover;
use ids::Ids;
use inlet::Inlet;
use orphans::{Orphan, Orphans};
use pace::Pace;
use send_budget::SendBudget;
use share::Share;
use unanswered::Unanswered;
pub use view::StreamMut;

/// What happens to the unread bytes of a stream when this side resets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unread {
    /// The application resets the stream and does not want them.
    Drop,
    /// The peer broke a rule; the bytes arrived in order before that.
    Keep,
}

/// One end of a session: bytes in, bytes and events out.
///
/// See the [crate documentation](crate) for how to drive one. Any order of calls is valid, and no
/// call panics.
///
/// ```
/// use muxado_proto::{Config, ErrorCode, OpenError, Role, Session, Timestamp, Transmit};
/// use bytes::Buf;
///
/// let (now, config) = (Timestamp::ZERO, std::sync::Arc::new(Config::default()));
/// let mut client = Session::new(Role::Client, config.clone(), now, [1; 16].into());
/// let mut server = Session::new(Role::Server, config, now, [2; 16].into());
///
/// // `notify_when_open` also registers interest in `Event::OpenReady` if it returns `false`.
/// assert!(client.can_open() && client.notify_when_open());
/// let id = client.open()?;
/// client.stream(id).unwrap().write(b"hi").unwrap();
/// let mut out = Transmit::new();
/// client.poll_transmit(now, &mut out, usize::MAX);
/// server.handle_input(now, out.copy_to_bytes(out.remaining()));
/// assert_eq!(server.backlog(), 1);
///
/// // The server takes no more streams; the client learns why.
/// server.set_accepting(false);
/// server.go_away(now, ErrorCode::NO_ERROR, "maintenance");
/// server.poll_transmit(now, &mut out, usize::MAX);
/// client.handle_input(now, out.copy_to_bytes(out.remaining()));
/// assert_eq!(client.received_go_away(), Some((ErrorCode::NO_ERROR, "maintenance".into())));
/// assert_eq!(client.open(), Err(OpenError::GoingAway));
///
/// // A driver that goes away says so: every waiter gets the reason.
/// client.abandon();
/// assert!(client.is_finished() && !client.close_reason().unwrap().is_clean());
/// # Ok::<(), OpenError>(())
/// ```
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub struct Session {
    role: Role,
    config: Arc<Config>,
    /// The latest `now` passed by the caller.
    now: Timestamp,
    closing: Closing,
    handover: Handover,
    inlet: Inlet,
    ids: Ids,
    counts: Counts,
    credit: Credit,
    budget: SendBudget,
    /// Set if sessions share a memory budget.
    share: Option<Box<Share>>,
    orphans: Orphans,
    pace: Pace,
    beats: Beats,
    unanswered: Unanswered,
    store: Store,
    pool: Pool,
    limits: Limits,
    timers: Timers,
    signals: Signals,
    /// Counters for observation only: no decision depends on them.
    stats: Counters,
}

impl Session {
    /// A new session. `now` is the current time of a monotonic clock (see [`Timestamp`]); `key` is
    /// its secret, which the peer must not know.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "a key serves one session")]
    pub fn new(role: Role, config: Arc<Config>, now: Timestamp, key: SessionKey) -> Self {
        let text = usize::try_from(config.goaway_text).unwrap_or(usize::MAX);
        let mut session = Self {
            role,
            now,
            closing: Closing::new(),
            handover: Handover::default(),
            inlet: Inlet::new(text),
            ids: Ids::new(role),
            counts: Counts::default(),
            credit: Credit::default(),
            budget: SendBudget::new(&config),
            share: Share::new(&config),
            orphans: Orphans::default(),
            unanswered: Unanswered::default(),
            pace: Pace::new(),
            store: Store::new(key.id_map(), config.tombstones),
            beats: Beats::new(&key, now, config.typed),
            pool: Pool::default(),
            limits: Limits::default(),
            timers: Timers::default(),
            signals: Signals::default(),
            stats: Counters::default(),
            config,
        };
        if session.config.memory_budget().is_some() && session.share.is_none() {
            let text = Bytes::from_static(b"no memory");
            let goodbye = lifecycle::Goodbye::With(ErrorCode::ENHANCE_YOUR_CALM, text);
            session.end(CloseReason::NoMemory, goodbye);
            return session;
        }
        if session.config.heartbeat.is_some() {
            session.timers.set(Timer::Beat, Some(now));
        }
        if let Some(limit) = session.config.idle_timeout {
            session.timers.set(Timer::Idle, Some(now + limit));
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
        self.closing.may_open()?;
        let counted = owner == Owner::Application;
        if counted && !self.notify_when_open() {
            return Err(OpenError::Blocked);
        }
        if self.ids.is_exhausted() {
            return Err(OpenError::StreamsExhausted);
        }
        if !self.reserve_stream(true) {
            self.counts.opener_waits();
            return Err(OpenError::Blocked);
        }
        let id = self.ids.open().ok_or(OpenError::StreamsExhausted)?;
        if self.ids.is_exhausted() {
            self.signals.raise(Signal::StreamsExhausted);
        }
        self.store.insert(Stream::new(id, owner, SendState::Fresh, &self.config));
        if counted {
            self.counts.opened();
        }
        self.stats.streams_opened = self.stats.streams_opened.saturating_add(1);
        Ok(id)
    }

    fn is_open_blocked(&self) -> bool {
        self.wants_memory() || self.counts.is_open_blocked(&self.config)
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
    /// Also `None` while the application holds as many streams of the peer as may be open
    /// ([`max_inbound_streams`](Config::max_inbound_streams)). Streams that both sides have
    /// finished and that were read to the end do not count for this, but all together may be at
    /// most twice as many. [`Event::Acceptable`] says when to try again.
    ///
    /// Streams that arrived before the session ended can be accepted afterwards.
    pub fn accept(&mut self) -> Option<StreamId> {
        if !self.counts.may_accept(&self.config) && !self.closing.is_over() {
            self.counts.acceptor_waits();
            return None;
        }
        let key = self.store.pop(Queue::Accept)?;
        let stream = self.store.get_mut(key)?;
        stream.owner = Owner::Application;
        let id = stream.id;
        self.counts.accepted(stream);
        if !stream.incoming.is_empty() || !stream.recv.is_open() {
            self.notify(key, Edge::Readable);
        }
        self.free_slot_if_done(key);
        Some(id)
    }

    /// The number of streams that are not over in both directions, opened by either end. It is
    /// [`SessionStats::open_streams`], without the cost of the other figures.
    ///
    /// ```
    /// use muxado_proto::{Config, Role, Session};
    ///
    /// # use muxado_proto::Timestamp;
    /// let config = Config::default().into();
    /// let mut session = Session::new(Role::Client, config, Timestamp::ZERO, [1; 16].into());
    /// assert_eq!(session.open_streams(), 0);
    /// session.open()?;
    /// assert_eq!(session.open_streams(), 1);
    /// # Ok::<(), muxado_proto::OpenError>(())
    /// ```
    #[inline]
    pub const fn open_streams(&self) -> u32 {
        self.counts.open()
    }

    /// The streams that the application has opened or accepted and not released, in no particular
    /// order.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.store.keys().filter_map(|key| {
            let stream = self.store.get(key)?;
            (stream.owner == Owner::Application).then_some(stream.id)
        })
    }

    /// A view of a stream that the application has opened or accepted; `None` if it has released
    /// it.
    #[inline]
    pub fn stream(&mut self, id: StreamId) -> Option<StreamMut<'_>> {
        let key = self.store.key(id)?;
        let owned = self.store.get(key)?.owner == Owner::Application;
        owned.then(|| StreamMut::new(self, key, id))
    }

    /// The next event. Call until `None`, after every input, output and command; pending events
    /// take no memory.
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
            let edge = stream.edges.take()?;
            if !stream.edges.are_raised() {
                self.store.unlink(Queue::Event, key);
            }
            return Some(match edge {
                Edge::Readable => Event::Readable(id),
                Edge::Writable => Event::Writable(id),
                Edge::Flushed => Event::Flushed(id),
                Edge::Ended => Event::Ended(id),
            });
        }
        if self.signals.take(Signal::Closed) {
            return self.close_reason().cloned().map(Event::Closed);
        }
        None
    }

    /// Whether [`poll_event`](Self::poll_event) may return an event. When this is `false` it returns
    /// `None`. This is cheaper than the call.
    ///
    /// ```
    /// # use muxado_proto::{Config, Role, Session, Timestamp};
    /// # let mut server = Session::new(Role::Server, Config::default().into(), Timestamp::ZERO, [1; 16].into());
    /// assert!(!server.has_events());
    /// server.handle_slice(Timestamp::ZERO, b"\0\0\x02\x12\0\0\0\x03hi");
    /// assert!(server.has_events());
    /// ```
    #[inline]
    pub fn has_events(&self) -> bool {
        !self.signals.is_empty() || self.store.front(Queue::Event).is_some()
    }

    fn next_signal(&mut self) -> Option<Event> {
        if self.signals.take(Signal::Acceptable) {
            return Some(Event::Acceptable);
        }
        if self.signals.take(Signal::OpenReady) {
            return Some(Event::OpenReady);
        }
        if self.signals.take(Signal::Pong) {
            return Some(Event::Pong { rtt: self.beats.rtt().unwrap_or_default() });
        }
        if self.signals.take(Signal::HeartbeatMissed) {
            return Some(Event::HeartbeatMissed);
        }
        if self.signals.take(Signal::GoAway) {
            if let Some((code, text)) = self.closing.received() {
                return Some(Event::GoAway { code: *code, text: text.clone() });
            }
        }
        if self.signals.take(Signal::Warning) {
            return self.inlet.warning().map(Event::Warning);
        }
        self.signals.take(Signal::StreamsExhausted).then_some(Event::StreamsExhausted)
    }

    /// The latest time to call [`handle_timeout`](Self::handle_timeout); `None` if there is no
    /// deadline. Takes constant time. The result may change with every other call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Why the session is over, once it is.
    #[must_use]
    pub const fn close_reason(&self) -> Option<&CloseReason> {
        self.closing.reason()
    }

    /// The round-trip time of the latest heartbeat that came back.
    #[must_use]
    pub const fn rtt(&self) -> Option<Duration> {
        self.beats.rtt()
    }

    /// How many streams wait to be accepted.
    #[must_use]
    pub fn backlog(&self) -> usize {
        usize::try_from(self.store.len(Queue::Accept)).unwrap_or(usize::MAX)
    }

    /// Whether a stream can be opened now: the limits on this side's streams leave room, there are
    /// ids, and the session is not going away.
    #[must_use]
    pub fn can_open(&self) -> bool {
        !self.is_open_blocked() && self.closing.is_open() && !self.ids.is_exhausted()
    }

    /// Whether the limits on this side's streams leave room to open one. If not, the session
    /// reports [`Event::OpenReady`] when they do, as after a blocked [`open`](Self::open).
    pub fn notify_when_open(&mut self) -> bool {
        let blocked = self.is_open_blocked();
        if blocked {
            self.counts.opener_waits();
        }
        !blocked
    }

    /// Counters, and what the session holds now.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        SessionStats {
            open_streams: self.open_streams(),
            backlog: self.store.len(Queue::Accept),
            ended_streams: self.counts.over(),
            given_up_streams: self.store.len(Queue::GivenUp),
            send_buffered: self.budget.unsent(),
            receive_buffered: self.credit.unread(),
            window_growth: self.credit.growth(),
            rtt: self.beats.rtt(),
            ..self.stats.stats()
        }
    }

    /// The code and text of the GOAWAY that the peer has sent, if any.
    #[must_use]
    pub fn received_go_away(&self) -> Option<(ErrorCode, Bytes)> {
        self.closing.received().cloned()
    }

    fn advance_clock(&mut self, now: Timestamp) {
        let now = now.min(Timestamp::LATEST);
        if now > self.now {
            self.now = now;
            self.inlet.time_passes();
        }
    }
}
