//! One stream: its record, its halves, buffers, windows and place in the session's queues.

pub(crate) mod buffer;
pub(crate) mod entries;
pub(crate) mod ids;
pub(crate) mod key;
mod ready;
pub(crate) mod schedule;
mod slab;
pub(crate) mod state;
pub(crate) mod store;
pub(crate) mod window;

use core::fmt;

use crate::config::Config;
use crate::frame::StreamId;
use crate::time::Timestamp;
use buffer::Buffer;
use schedule::{Link, Links, Priority};
use state::{RecvState, SendState};
use window::{ReceiveWindow, SendWindow};

/// Bytes of a stream's type.
pub(crate) const TYPE_LEN: u32 = 4;

/// The 32-bit type of a stream in a typed session: it names the stream's protocol.
///
/// ```
/// use muxado_proto::{Config, OpenError, Role, Session, StreamType, Timestamp};
///
/// const LOG: StreamType = StreamType(7);
/// let config = Config::builder().typed(true).build()?;
/// let mut session = Session::new(Role::Client, config.into(), Timestamp::ZERO, [1; 16].into());
/// let id = session.open_typed(LOG).unwrap();
/// assert_eq!(session.stream(id).unwrap().stream_type(), Some(LOG));
/// // One type is reserved.
/// assert_eq!(session.open_typed(StreamType::HEARTBEAT), Err(OpenError::WrongType));
/// # Ok::<(), muxado_proto::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamType(pub u32);

impl StreamType {
    /// The type of heartbeat streams, which the session answers itself: applications cannot use it.
    pub const HEARTBEAT: Self = Self(u32::MAX);
}

impl fmt::Display for StreamType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

impl From<u32> for StreamType {
    fn from(number: u32) -> Self {
        Self(number)
    }
}

impl From<StreamType> for u32 {
    fn from(stream_type: StreamType) -> Self {
        stream_type.0
    }
}

/// Who uses a stream. This decides what happens to received bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "audit", derive(Hash))]
pub(crate) enum Owner {
    /// Nobody yet: the four bytes of its type are being collected.
    Untyped,
    /// Nobody yet: it waits to be accepted.
    Backlog,
    /// The application.
    Application,
    /// Nobody; what was written is still sent.
    Released,
    /// The heartbeat this side sends.
    Beats,
    /// The heartbeat of the peer.
    Echo,
}

/// One bit for each kind of event of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    Readable = 0b0001,
    Writable = 0b0010,
    Flushed = 0b0100,
    Ended = 0b1000,
}

impl Edge {
    pub(crate) const ALL: [Self; 4] = [Self::Readable, Self::Writable, Self::Flushed, Self::Ended];
}

/// Edges the application waits for, because a call returned "blocked" or there was no call yet, and
/// edges to report to it. An edge is never both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "audit", derive(Hash))]
pub(crate) struct Edges {
    /// The watched ones in the lower half, the raised ones in the upper.
    bits: u8,
}

impl Edges {
    const RAISED: u8 = 0b1111_0000;

    pub(crate) const NONE: Self = Self { bits: 0 };

    /// Of a new stream: its reader and its writer have not called yet.
    const NEW: Self = Self { bits: Edge::Readable as u8 | Edge::Writable as u8 };

    const fn raised(edge: Edge) -> u8 {
        (edge as u8) << 4
    }

    /// Whether the application waits for an edge.
    pub(crate) const fn are_watched(self, edge: Edge) -> bool {
        self.bits & edge as u8 != 0
    }

    /// Whether there is something to report.
    pub(crate) const fn are_raised(self) -> bool {
        self.bits & Self::RAISED != 0
    }

    /// The application waits for an edge. A pending report of it is obsolete.
    pub(crate) const fn watch(&mut self, edge: Edge) {
        self.bits = (self.bits | edge as u8) & !Self::raised(edge);
    }

    /// Reports an edge, if the application waits for it; returns whether it does.
    pub(crate) const fn raise(&mut self, edge: Edge) -> bool {
        let watched = self.are_watched(edge);
        if watched {
            self.bits = (self.bits & !(edge as u8)) | Self::raised(edge);
        }
        watched
    }

    /// Takes an edge to report.
    pub(crate) fn take(&mut self) -> Option<Edge> {
        let edge = Edge::ALL.into_iter().find(|&edge| self.bits & Self::raised(edge) != 0)?;
        self.bits &= !Self::raised(edge);
        Some(edge)
    }

    /// Whether no edge is both watched and raised.
    #[cfg(feature = "audit")]
    pub(crate) const fn are_sound(self) -> bool {
        self.bits & (self.bits >> 4) == 0
    }
}

/// What is known of a stream beside its states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A read returned "blocked", and the reader waits.
    Awaited = 1,
    /// The stream is reset if it is released unfinished.
    ResetOnDrop = 1 << 1,
    /// The peer has sent something on it, or has had the time to.
    Answered = 1 << 2,
    /// Its SYN was sent, or received.
    Announced = 1 << 3,
    /// Payload was sent on it.
    Spoke = 1 << 4,
    /// It is over in both directions, and everything that had to be sent was sent.
    Complete = 1 << 5,
    /// Accepted, finished by both sides and read to the end.
    TakesNoSlot = 1 << 6,
    /// DATA has arrived that is answered after the peer had the time to read the answer, or, behind
    /// the end of the stream, was answered.
    Provoked = 1 << 7,
}

/// One stream.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) owner: Owner,
    pub(crate) send: SendState,
    pub(crate) recv: RecvState,
    /// Written and not sent.
    pub(crate) outgoing: Buffer,
    /// Received and not read.
    pub(crate) incoming: Buffer,
    pub(crate) send_window: SendWindow,
    pub(crate) recv_window: ReceiveWindow,
    pub(crate) stream_type: Option<StreamType>,
    pub(crate) priority: Priority,
    pub(crate) edges: Edges,
    /// A bit for each [`Mark`].
    marks: u8,
    /// The batch of output that contains the latest DATA frame.
    pub(crate) batch: u32,
    pub(crate) links: Links,
    /// Since when it has waited for its type, has had data to send but no credit, has been used only by
    /// the peer, or has been ended by this side without a reader.
    pub(crate) waits_since: Timestamp,
    /// Bytes sent since the time limit on its stall began, up to 64 KiB.
    pub(crate) sent_since_stall: u16,
    /// Bytes sent since it last had nothing to send for a while, up to 64 KiB: it goes first until it
    /// has had a turn.
    pub(crate) sent_since_idle: u16,
}

impl Stream {
    pub(crate) fn new(id: StreamId, owner: Owner, send: SendState, config: &Config) -> Self {
        let announced = if matches!(send, SendState::Fresh) { 0 } else { Mark::Announced as u8 };
        let resets = if config.reset_on_drop { Mark::ResetOnDrop as u8 } else { 0 };
        Self {
            id,
            owner,
            send,
            recv: RecvState::Open,
            outgoing: Buffer::default(),
            incoming: Buffer::default(),
            send_window: SendWindow::new(config.send_window),
            recv_window: ReceiveWindow::new(config.receive_window),
            stream_type: None,
            priority: Priority::DEFAULT,
            edges: Edges::NEW,
            marks: announced | resets,
            batch: 0,
            links: Links::NONE,
            waits_since: Timestamp::ZERO,
            sent_since_stall: u16::MAX,
            sent_since_idle: 0,
        }
    }

    /// Whether something is known of it.
    pub(crate) const fn is(&self, mark: Mark) -> bool {
        self.marks & mark as u8 != 0
    }

    pub(crate) const fn mark(&mut self, mark: Mark) {
        self.marks |= mark as u8;
    }

    pub(crate) const fn unmark(&mut self, mark: Mark) {
        self.marks &= !(mark as u8);
    }

    /// Marks it, or takes the mark away.
    pub(crate) const fn put(&mut self, mark: Mark, is: bool) {
        if is { self.mark(mark) } else { self.unmark(mark) }
    }

    /// Whether its record is needed after its end. What waits in the backlog when the session ends can
    /// still be accepted, and read.
    pub(crate) const fn is_needed(&self) -> bool {
        matches!(self.owner, Owner::Application | Owner::Backlog)
    }

    /// Whether the application waits for what the transport takes, or for the end.
    pub(crate) const fn asks_for_progress(&self) -> bool {
        self.edges.are_watched(Edge::Flushed) || self.edges.are_watched(Edge::Ended)
    }

    /// Whether DATA, SYN or FIN could leave now.
    pub(crate) fn can_send(&self) -> bool {
        if self.outgoing.is_empty() {
            match self.send {
                SendState::Announcing | SendState::Finishing { .. } => true,
                // The reader waits for data from the peer, so the peer has to learn of the stream.
                SendState::Fresh | SendState::Left => self.is(Mark::Awaited),
                _ => false,
            }
        } else {
            self.send.is_sending() && self.send_window.credit() > 0
        }
    }

    /// Whether it is in a ready queue.
    pub(crate) fn is_ready(&self) -> bool {
        self.links.queue(Link::Data).is_some_and(|queue| queue.urgency().is_some())
    }

    /// Whether there is data that waits for credit.
    pub(crate) fn is_stalled(&self) -> bool {
        !self.outgoing.is_empty() && self.send.is_sending() && self.send_window.credit() == 0
    }

    /// Whether both sides have finished it, and everything received was read.
    pub(crate) fn is_finished_and_read(&self) -> bool {
        self.send == SendState::Finished
            && matches!(self.recv, RecvState::Finished | RecvState::Ignored)
            && self.incoming.is_empty()
    }

    /// Whether only the peer still uses it: the application has released it, and everything it
    /// wrote was sent.
    pub(crate) fn is_given_up(&self) -> bool {
        self.owner == Owner::Released
            && self.send == SendState::Finished
            && self.recv == RecvState::Stopped
    }

    /// Whether an answer is complete and the peer may be reading it, or will soon, while this side
    /// has no reader.
    pub(crate) fn may_spoil_an_answer(&self) -> bool {
        let complete = matches!(self.send, SendState::Finishing { .. } | SendState::Finished);
        let answers = self.is(Mark::Spoke) || !self.outgoing.is_empty();
        complete && answers && self.recv == RecvState::Stopped
    }

    /// Whether it counts against the limits on streams: heartbeats do not.
    pub(crate) const fn is_counted(&self) -> bool {
        !matches!(self.owner, Owner::Beats | Owner::Echo)
    }
}

#[cfg(feature = "audit")]
impl Stream {
    pub(crate) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        let Self {
            id,
            owner,
            send,
            recv,
            outgoing,
            incoming,
            send_window,
            recv_window,
            stream_type,
            priority,
            edges,
            marks,
            batch,
            links,
            waits_since,
            sent_since_stall,
            // It decides from 16 KiB on, and no small world sends that much.
            sent_since_idle: _,
        } = self;
        digest.value(&(id, owner, send, recv, stream_type, priority));
        digest.value(&(edges, marks));
        digest.flag(digest.batch == Some(*batch));
        for buffer in [outgoing, incoming] {
            let mut bytes = alloc::vec![0; buffer.len()];
            buffer.peek(&mut bytes);
            digest.value(&bytes[..]);
        }
        if send.is_sending() {
            digest.number(send_window.credit().into());
        }
        if recv.is_open() || matches!(send, SendState::Resetting(_)) {
            recv_window.digest(digest);
        }
        links.digest(digest);
        digest.number((*sent_since_stall).into());
        let unread = self.may_spoil_an_answer() || self.is_given_up();
        if *owner == Owner::Untyped || *sent_since_stall != u16::MAX || unread {
            digest.since(*waits_since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream of this side with so many bytes to send, and so much credit.
    fn stream(bytes: usize, credit: u32) -> Stream {
        let config = Config::builder().send_window(1).build().unwrap();
        let mut stream =
            Stream::new(StreamId::new(3), Owner::Application, SendState::Open, &config);
        stream.send_window.spend(1);
        stream.send_window.grant(credit);
        stream.outgoing.push_copy(&alloc::vec![0; bytes], &mut buffer::Pool::default());
        stream
    }

    #[test]
    fn data_is_sent_with_credit_and_stalls_without() {
        for (bytes, credit, sends, stalls) in [
            (0, 0, false, false),
            (0, 9, false, false),
            (9, 0, false, true),
            (9, 1, true, false),
            (9, 9, true, false),
        ] {
            let mut stream = stream(bytes, credit);
            let found = (stream.can_send(), stream.is_stalled());
            assert_eq!(found, (sends, stalls), "{bytes} bytes, credit for {credit}");
            stream.send = SendState::Finished;
            assert!(!stream.is_stalled());
        }
    }

    #[test]
    fn marks_are_apart() {
        let marks = [
            Mark::Awaited,
            Mark::ResetOnDrop,
            Mark::Answered,
            Mark::Announced,
            Mark::Spoke,
            Mark::Complete,
            Mark::TakesNoSlot,
            Mark::Provoked,
        ];
        for mark in marks {
            let mut stream = stream(0, 0);
            stream.marks = 0;
            stream.put(mark, true);
            assert!(marks.into_iter().all(|other| stream.is(other) == (other == mark)));
            stream.marks = u8::MAX;
            stream.put(mark, false);
            assert!(marks.into_iter().all(|other| stream.is(other) == (other != mark)));
        }
    }

    #[test]
    fn an_idle_stream_is_small() {
        assert!(size_of::<Stream>() <= 136, "{}", size_of::<Stream>());
    }
}
