//! What a session has to tell.

use bytes::Bytes;
use core::fmt;
use core::time::Duration;

use crate::error::{CloseReason, ErrorCode};
use crate::frame::StreamId;

/// Something the application may want to react to; see
/// [`Session::poll_event`](crate::Session::poll_event).
///
/// Readiness is edge-triggered: an event says that something has become possible that a call had
/// answered with "blocked" (or that was never tried). It is reported once, until the next call is
/// blocked again. There is at most one event of a kind for each stream, so unread events take no
/// memory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A stream waits to be accepted. Accept until there is none.
    Acceptable,
    /// A stream can be opened again.
    OpenReady,
    /// A stream has data, or its end or an error, to read.
    Readable(StreamId),
    /// A stream takes data again, or has an error to report.
    Writable(StreamId),
    /// Everything that was written to a stream, and its end if it was finished, has been taken by
    /// the transport, or will never be: [`flushed`](crate::StreamMut::flushed) tells. Reported to
    /// those who have asked that.
    Flushed(StreamId),
    /// A stream has ended in both directions: both sides have finished it, one has reset it, or the
    /// session is over. [`ended`](crate::StreamMut::ended) tells how. Reported to those who have
    /// asked that.
    Ended(StreamId),
    /// A heartbeat came back.
    Pong {
        /// From its sending to its return.
        rtt: Duration,
    },
    /// A heartbeat did not come back in time, or its stream was ended by the peer.
    HeartbeatMissed,
    /// The peer has announced the end of the session: no more streams can be opened, those open
    /// run on. A stream kept for later is best ended now: the peer waits for it.
    GoAway {
        /// Why.
        code: ErrorCode,
        /// Its debug text.
        text: Bytes,
    },
    /// This side has used up its ids. Open a new session.
    StreamsExhausted,
    /// Something looks as if the two ends were not made for each other. The session goes on.
    Warning(Warning),
    /// The session is over. Always the last event of the session itself; what the streams have
    /// received can still be read.
    Closed(CloseReason),
}

/// What looks as if the two ends were not made for each other: see [`Event::Warning`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Warning {
    /// The session is not typed, and the peer has opened a stream that begins like a heartbeat: it
    /// seems to be typed.
    TypedPeer,
    /// The first frame of the session was of an unknown type: the peer may speak another protocol.
    UnknownGreeting,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TypedPeer => "the peer sends heartbeats, so it is typed, and this end is not",
            Self::UnknownGreeting => "the first frame is of an unknown type: is the peer muxado?",
        })
    }
}

/// The events of the session itself, one bit each, in the order in which they are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Acceptable = 1,
    OpenReady = 1 << 1,
    Pong = 1 << 2,
    HeartbeatMissed = 1 << 3,
    GoAway = 1 << 4,
    StreamsExhausted = 1 << 5,
    Closed = 1 << 6,
    Warning = 1 << 7,
}

/// The pending signals.
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(feature = "audit", derive(Hash))]
pub(crate) struct Signals(u8);

impl Signals {
    pub(crate) const fn raise(&mut self, signal: Signal) {
        self.0 |= signal as u8;
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Takes one signal, if it is pending.
    pub(crate) const fn take(&mut self, signal: Signal) -> bool {
        let pending = self.0 & signal as u8 != 0;
        self.0 &= !(signal as u8);
        pending
    }
}
