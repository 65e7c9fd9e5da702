//! Events that a session reports.

use bytes::Bytes;
use core::fmt;
use core::time::Duration;

use crate::error::{CloseReason, ErrorCode};
use crate::frame::StreamId;

/// Something the application may want to react to; see
/// [`Session::poll_event`](crate::Session::poll_event).
///
/// Readiness is edge-triggered: an event says that an operation is now possible that returned
/// "blocked" before (or was never tried). It is reported once, until a call is blocked again. There
/// is at most one event of a kind for each stream, so pending events take no memory.
///
/// ```
/// use muxado_proto::{Event, Session};
///
/// fn react(session: &mut Session) {
///     while let Some(event) = session.poll_event() {
///         match event {
///             Event::Acceptable => while session.accept().is_some() {},
///             Event::OpenReady => println!("open the streams that had to wait"),
///             Event::Readable(id) => println!("read from stream {id}"),
///             Event::Writable(id) => println!("write to stream {id}"),
///             Event::Flushed(id) => println!("the transport has stream {id}: {:?}",
///                 session.stream(id).map(|mut stream| stream.flushed())),
///             Event::Ended(id) => println!("stream {id} has ended: {:?}",
///                 session.stream(id).map(|mut stream| stream.ended())),
///             Event::Pong { rtt } => println!("round trip: {rtt:?}"),
///             Event::HeartbeatMissed => println!("the peer may be dead"),
///             Event::GoAway { code, .. } => println!("open no more streams: {code}"),
///             Event::StreamsExhausted => println!("open a new session"),
///             Event::Warning(warning) => println!("is the peer configured alike? {warning}"),
///             Event::Closed(reason) => println!("over: {reason}"),
///             _ => {}
///         }
///     }
/// }
/// # let key = [1; 16].into();
/// # let config = std::sync::Arc::new(muxado_proto::Config::default());
/// # react(&mut Session::new(muxado_proto::Role::Client, config, Default::default(), key));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A stream waits to be accepted. Call `accept` until it returns `None`.
    Acceptable,
    /// A stream can be opened again.
    OpenReady,
    /// A stream has data, or its end or an error, to read.
    Readable(StreamId),
    /// A stream takes data again, or has an error to report.
    Writable(StreamId),
    /// The transport has taken everything that was written to a stream, and its end if it was
    /// finished, or will never take it: [`flushed`](crate::StreamMut::flushed) says which. Reported
    /// only after a call of `flushed` was blocked.
    Flushed(StreamId),
    /// A stream has ended in both directions: both sides have finished it, one has reset it, or the
    /// session is over. [`ended`](crate::StreamMut::ended) says how. Reported only after a call of
    /// `ended` returned `None`.
    Ended(StreamId),
    /// A heartbeat came back.
    Pong {
        /// From its sending to its return.
        rtt: Duration,
    },
    /// A heartbeat did not come back in time, or its stream was ended by the peer.
    HeartbeatMissed,
    /// The peer has announced the end of the session: no more streams can be opened, open streams
    /// continue. End streams that you keep for later use: the peer waits for them.
    GoAway {
        /// Why.
        code: ErrorCode,
        /// Its debug text.
        text: Bytes,
    },
    /// This side has used up its ids. Open a new session.
    StreamsExhausted,
    /// The configuration of the two ends seems not to match. The session continues.
    Warning(Warning),
    /// The session is over. Always the last event of the session itself; received bytes can still
    /// be read from the streams.
    Closed(CloseReason),
}

/// A sign that the configuration of the two ends does not match: see [`Event::Warning`].
///
/// ```
/// use muxado_proto::{Config, Event, Role, Session, Timestamp, Warning};
///
/// let config = Config::default().into();
/// let mut server = Session::new(Role::Server, config, Timestamp::ZERO, [1; 16].into());
/// // A heartbeat: the type of its stream, then a beat.
/// server.handle_slice(Timestamp::ZERO, b"\0\0\x04\x12\0\0\0\x03\xff\xff\xff\xff");
/// server.handle_slice(Timestamp::ZERO, b"\0\0\x04\x10\0\0\0\x03beat");
/// let events = std::iter::from_fn(|| server.poll_event());
/// assert!(events.into_iter().any(|event| event == Event::Warning(Warning::TypedPeer)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Warning {
    /// The session is not typed, and the peer has opened a stream that begins like a heartbeat: its
    /// session seems to be typed.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_apart() {
        let all = [
            Signal::Acceptable,
            Signal::OpenReady,
            Signal::Pong,
            Signal::HeartbeatMissed,
            Signal::GoAway,
            Signal::StreamsExhausted,
            Signal::Closed,
            Signal::Warning,
        ];
        for raised in all {
            let mut signals = Signals::default();
            assert!(signals.is_empty());
            signals.raise(raised);
            assert!(!signals.is_empty());
            for other in all {
                assert_eq!(signals.take(other), other == raised);
            }
            assert!(signals.is_empty());
        }
    }
}
