//! One stream: its record, its halves, buffers, windows and place in the session's queues.

pub(crate) mod buffer;
pub(crate) mod ids;
pub(crate) mod key;
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
use schedule::{Links, Priority};
use state::{RecvState, SendState};
use window::{ReceiveWindow, SendWindow};

/// Bytes of a stream's type.
pub(crate) const TYPE_LEN: u32 = 4;

/// The 32-bit type of a stream in a typed session: it names the stream's protocol.
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
    /// Edges the application waits for: a call returned "blocked", or there was no call yet.
    pub(crate) interest: u8,
    /// Edges to report.
    pub(crate) edges: u8,
    /// A read returned "blocked", and the reader waits.
    pub(crate) awaited: bool,
    /// The stream is reset if it is released unfinished.
    pub(crate) reset_on_drop: bool,
    /// The batch of output that contains the latest DATA frame.
    pub(crate) batch: u32,
    /// The peer has sent something on it, or has had the time to.
    pub(crate) answered: bool,
    /// Its SYN was sent, or received.
    pub(crate) announced: bool,
    /// Payload was sent on it.
    pub(crate) spoke: bool,
    /// It is over in both directions, and everything that had to be sent was sent.
    pub(crate) complete: bool,
    /// Accepted, finished by both sides and read to the end.
    pub(crate) takes_no_slot: bool,
    /// DATA has arrived that is answered after the peer had the time to read the answer, or, behind
    /// the end of the stream, was answered.
    pub(crate) provoked: bool,
    pub(crate) links: Links,
    /// Since when it has waited for its type, has had data to send but no credit, has been used only by
    /// the peer, or has been ended by this side without a reader.
    pub(crate) waits_since: Timestamp,
    /// Bytes sent since the time limit on its stall began.
    pub(crate) sent_since_stall: u32,
}

impl Stream {
    pub(crate) fn new(id: StreamId, owner: Owner, send: SendState, config: &Config) -> Self {
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
            interest: Edge::Readable as u8 | Edge::Writable as u8,
            edges: 0,
            awaited: false,
            reset_on_drop: config.reset_on_drop,
            batch: 0,
            answered: false,
            announced: !matches!(send, SendState::Fresh),
            spoke: false,
            complete: false,
            takes_no_slot: false,
            provoked: false,
            links: Links::NONE,
            waits_since: Timestamp::ZERO,
            sent_since_stall: u32::MAX,
        }
    }

    /// Whether the application waits for something.
    pub(crate) const fn is_watched(&self, edge: Edge) -> bool {
        self.interest & edge as u8 != 0
    }

    /// Whether its record is needed after its end. What waits in the backlog when the session ends can
    /// still be accepted, and read.
    pub(crate) const fn is_needed(&self) -> bool {
        matches!(self.owner, Owner::Application | Owner::Backlog)
    }

    /// Whether the application waits for what the transport takes, or for the end.
    pub(crate) const fn asks_for_progress(&self) -> bool {
        self.interest & (Edge::Flushed as u8 | Edge::Ended as u8) != 0
    }

    /// Whether DATA, SYN or FIN could leave now.
    pub(crate) fn can_send(&self) -> bool {
        if self.outgoing.is_empty() {
            match self.send {
                SendState::Announcing | SendState::Finishing { .. } => true,
                // The reader waits for data from the peer, so the peer has to learn of the stream.
                SendState::Fresh | SendState::Left => self.awaited,
                _ => false,
            }
        } else {
            self.send.is_sending() && self.send_window.credit() > 0
        }
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
        let answers = self.spoke || !self.outgoing.is_empty();
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
            interest,
            edges,
            awaited,
            reset_on_drop,
            batch,
            answered,
            announced,
            spoke,
            complete,
            takes_no_slot,
            provoked,
            links,
            waits_since,
            sent_since_stall,
        } = self;
        digest.value(&(id, owner, send, recv, stream_type, priority));
        digest.value(&[*interest, *edges]);
        digest.value(&[awaited, reset_on_drop]);
        digest.flag(digest.batch == Some(*batch));
        digest.value(&[answered, announced, spoke, complete, takes_no_slot, provoked]);
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
        if *owner == Owner::Untyped || *sent_since_stall != u32::MAX || unread {
            digest.since(*waits_since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_stream_is_small() {
        assert!(size_of::<Stream>() <= 160, "{}", size_of::<Stream>());
    }
}
