//! Error codes on the wire and errors of the API.

mod reason;

use core::fmt;

use crate::frame::StreamId;

pub use reason::{CloseReason, CutBy, TransportError};

/// A code in an RST or GOAWAY frame (PROTOCOL.md §10.1).
///
/// Any `u32` is a code. Codes without a name here are passed on unchanged, and applications may
/// define their own.
///
/// ```
/// use muxado_proto::ErrorCode;
///
/// const OUT_OF_DISK: ErrorCode = ErrorCode(1000);
/// assert_eq!(OUT_OF_DISK.to_string(), "code 1000");
/// // Codes of the protocol have a name.
/// assert_eq!(ErrorCode::FLOW_CONTROL.to_string(), "flow control error (3)");
/// assert_eq!(ErrorCode::from(9), ErrorCode::ACCEPT_QUEUE_FULL);
/// assert_eq!(u32::from(ErrorCode::ENHANCE_YOUR_CALM), 10);
/// assert_eq!(ErrorCode::STREAM_REFUSED.name(), Some("stream refused"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub u32);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The name the protocol gives this code, if it has one.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// Nothing went wrong. Valid in a GOAWAY; never sent in an RST.
    NO_ERROR = 0, "no error";
    /// The peer broke the protocol.
    PROTOCOL = 1, "protocol error";
    /// This end failed.
    INTERNAL = 2, "internal error";
    /// More data than credit.
    FLOW_CONTROL = 3, "flow control error";
    /// A frame for a stream that is over.
    STREAM_CLOSED = 4, "stream closed";
    /// The stream was not processed at all.
    STREAM_REFUSED = 5, "stream refused";
    /// The application no longer needs the stream.
    STREAM_CANCELLED = 6, "stream cancelled";
    /// The stream was ended by its user.
    STREAM_RESET = 7, "stream reset";
    /// A frame of an impossible length.
    FRAME_SIZE = 8, "frame size error";
    /// More streams than the acceptor's backlog holds.
    ACCEPT_QUEUE_FULL = 9, "accept queue full";
    /// The peer asks for too much.
    ENHANCE_YOUR_CALM = 10, "enhance your calm";
    /// The peer has sent a GOAWAY.
    REMOTE_GONE_AWAY = 11, "remote gone away";
    /// Every stream id has been used.
    STREAMS_EXHAUSTED = 12, "streams exhausted";
    /// The peer did not take or answer something in time.
    WRITE_TIMEOUT = 13, "write timeout";
    /// The session is over.
    SESSION_CLOSED = 14, "session closed";
    /// The transport ended.
    PEER_EOF = 15, "peer EOF";
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "ErrorCode({}, {name})", self.0),
            None => write!(f, "ErrorCode({})", self.0),
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "code {}", self.0),
        }
    }
}

impl From<u32> for ErrorCode {
    fn from(code: u32) -> Self {
        Self(code)
    }
}

impl From<ErrorCode> for u32 {
    fn from(code: ErrorCode) -> Self {
        code.0
    }
}

/// Why a stream could not be opened.
///
/// ```
/// use muxado_proto::{OpenError, Session, StreamId};
///
/// /// `None`: try again at `Event::OpenReady`.
/// fn open(session: &mut Session) -> Option<StreamId> {
///     match session.open() {
///         Ok(id) => Some(id),
///         Err(OpenError::Blocked) => None,
///         // The requests go to a new session.
///         Err(OpenError::GoingAway | OpenError::StreamsExhausted) => None,
///         Err(OpenError::SessionClosed(reason)) => {
///             println!("the session is over: {reason}");
///             None
///         }
///         Err(error @ OpenError::WrongType) => panic!("{error}"), // call `open_typed`
///         Err(_) => None,
///     }
/// }
/// # let key = [1; 16].into();
/// # let config = std::sync::Arc::new(muxado_proto::Config::default());
/// # let mut session = Session::new(muxado_proto::Role::Client, config, Default::default(), key);
/// # assert!(open(&mut session).is_some());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// As many streams are open as the configuration allows. [`Event::OpenReady`] says when to try
    /// again.
    ///
    /// [`Event::OpenReady`]: crate::Event::OpenReady
    Blocked,
    /// Every id has been used: start a new session.
    StreamsExhausted,
    /// A typed stream was requested from an untyped session, or the reverse, or the type is
    /// reserved for heartbeats.
    WrongType,
    /// The session is going away: one side has sent a GOAWAY or is closing.
    GoingAway,
    /// The session is over.
    SessionClosed(CloseReason),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocked => f.write_str("as many streams are open as the configuration allows"),
            Self::StreamsExhausted => f.write_str("every stream id of this session has been used"),
            Self::WrongType => {
                f.write_str("stream type does not match the session: typed sessions need a type, untyped ones take none, and type 0xffffffff is reserved")
            }
            Self::GoingAway => f.write_str("session is going away and opens no more streams"),
            Self::SessionClosed(reason) => write!(f, "session is over: {reason}"),
        }
    }
}

impl core::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::SessionClosed(reason) => Some(reason),
            _ => None,
        }
    }
}

/// Why nothing could be read from a stream. Bytes that have arrived are always read first.
///
/// ```
/// use muxado_proto::{ReadError, StreamMut};
///
/// /// Whether the reader waits for `Event::Readable`.
/// fn read_on(stream: &mut StreamMut<'_>, text: &mut Vec<u8>) -> bool {
///     loop {
///         match stream.read_chunk(usize::MAX) {
///             Ok(Some(chunk)) => text.extend_from_slice(&chunk),
///             Ok(None) => return false, // complete
///             Err(ReadError::Blocked) => return true,
///             // Incomplete: by the peer, by this side, or with the session.
///             Err(ReadError::Reset(code) | ReadError::ResetLocally(code)) => {
///                 println!("reset: {code}");
///                 return false;
///             }
///             Err(ReadError::SessionClosed(reason)) => {
///                 println!("lost with the session: {reason}");
///                 return false;
///             }
///             // `stop` was called.
///             Err(ReadError::Stopped) => return false,
///             Err(error) => panic!("{error}"),
///         }
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// Nothing has arrived yet. [`Event::Readable`] says when to try again.
    ///
    /// [`Event::Readable`]: crate::Event::Readable
    Blocked,
    /// The peer reset the stream.
    Reset(ErrorCode),
    /// This side reset the stream. The code is the one sent.
    ResetLocally(ErrorCode),
    /// This side has stopped reading the stream ([`StreamMut::stop`](crate::StreamMut::stop)).
    Stopped,
    /// The session ended before the peer finished the stream.
    SessionClosed(CloseReason),
    /// No such stream: it was released.
    UnknownStream(StreamId),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocked => f.write_str("nothing to read yet"),
            Self::Reset(code) => write!(f, "stream was reset by the peer: {code}"),
            Self::ResetLocally(code) => write!(f, "stream was reset by this side: {code}"),
            Self::Stopped => f.write_str("this side has stopped reading the stream"),
            Self::SessionClosed(reason) => write!(f, "session is over: {reason}"),
            Self::UnknownStream(id) => write!(f, "no stream {id}"),
        }
    }
}

impl core::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::SessionClosed(reason) => Some(reason),
            _ => None,
        }
    }
}

/// Why nothing could be written to a stream.
///
/// ```
/// use muxado_proto::{StreamMut, WriteError};
///
/// /// Sends as much of `rest` as possible; whether the writer waits for `Event::Writable`.
/// fn write_on(stream: &mut StreamMut<'_>, rest: &mut &[u8]) -> bool {
///     while !rest.is_empty() {
///         match stream.write(rest) {
///             Ok(count) => *rest = &rest[count..],
///             Err(WriteError::Blocked) => return true,
///             // Nobody reads it: by the peer, by this side, or because the session is over.
///             Err(WriteError::Reset(_) | WriteError::ResetLocally(_)) => return false,
///             Err(WriteError::SessionClosed(_)) => return false,
///             // `finish` was called before.
///             Err(error @ WriteError::Finished) => panic!("{error}"),
///             Err(error) => panic!("{error}"),
///         }
///     }
///     false
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// The send buffer is full. [`Event::Writable`] says when to try again.
    ///
    /// [`Event::Writable`]: crate::Event::Writable
    Blocked,
    /// This side has finished the stream already.
    Finished,
    /// The peer reset the stream.
    Reset(ErrorCode),
    /// This side reset the stream. The code is the one sent.
    ResetLocally(ErrorCode),
    /// The session is over.
    SessionClosed(CloseReason),
    /// No such stream: it was released.
    UnknownStream(StreamId),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocked => f.write_str("send buffer is full"),
            Self::Finished => f.write_str("stream was finished by this side"),
            Self::Reset(code) => write!(f, "stream was reset by the peer: {code}"),
            Self::ResetLocally(code) => write!(f, "stream was reset by this side: {code}"),
            Self::SessionClosed(reason) => write!(f, "session is over: {reason}"),
            Self::UnknownStream(id) => write!(f, "no stream {id}"),
        }
    }
}

impl core::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::SessionClosed(reason) => Some(reason),
            _ => None,
        }
    }
}

/// How a stream ended in both directions: see [`StreamMut::ended`](crate::StreamMut::ended).
///
/// ```
/// use muxado_proto::{StreamEnd, StreamMut};
///
/// /// A handler that works on an answer asks whether it is still wanted.
/// fn is_wanted(stream: &mut StreamMut<'_>) -> bool {
///     match stream.ended() {
///         None | Some(StreamEnd::Finished) => true,
///         Some(StreamEnd::Reset(_)) => false, // the client has given up
///         Some(StreamEnd::ResetLocally(_) | StreamEnd::SessionClosed(_)) => false,
///         Some(_) => false,
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamEnd {
    /// Both sides have finished it, and the transport has taken the end of this one.
    Finished,
    /// The peer has reset it.
    Reset(ErrorCode),
    /// This side has reset it. The code is the one sent.
    ResetLocally(ErrorCode),
    /// The session ended first.
    SessionClosed(CloseReason),
    /// No such stream: it was released.
    UnknownStream(StreamId),
}

impl fmt::Display for StreamEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("stream was finished by both sides"),
            Self::Reset(code) => write!(f, "stream was reset by the peer: {code}"),
            Self::ResetLocally(code) => write!(f, "stream was reset by this side: {code}"),
            Self::SessionClosed(reason) => write!(f, "session is over: {reason}"),
            Self::UnknownStream(id) => write!(f, "no stream {id}"),
        }
    }
}

/// Why a ping cannot be sent.
///
/// ```
/// use muxado_proto::{Config, PingError, Role, Session, Timestamp};
///
/// let config = Config::default().into();
/// let mut session = Session::new(Role::Client, config, Timestamp::ZERO, [1; 16].into());
/// assert_eq!(session.ping(Timestamp::ZERO), Err(PingError::NotTyped));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PingError {
    /// Only typed sessions have heartbeats.
    NotTyped,
    /// No stream can be opened for the heartbeat.
    Open(OpenError),
}

impl fmt::Display for PingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTyped => f.write_str("heartbeats need a typed session"),
            Self::Open(error) => write!(f, "no heartbeat stream: {error}"),
        }
    }
}

impl core::error::Error for PingError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Open(error) => Some(error),
            Self::NotTyped => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn names() {
        assert_eq!(ErrorCode::PEER_EOF.to_string(), "peer EOF (15)");
        assert_eq!(ErrorCode(0xFFFF_FFFF).to_string(), "code 4294967295");
    }

    #[test]
    fn debug_gives_number_and_name() {
        assert_eq!(alloc::format!("{:?}", ErrorCode::INTERNAL), "ErrorCode(2, internal error)");
        assert_eq!(alloc::format!("{:?}", ErrorCode(99)), "ErrorCode(99)");
    }

    #[test]
    fn errors_read_well_and_name_their_cause() {
        let over = || CloseReason::TransportEof;
        let cause = "session is over: transport ended without a GOAWAY";
        let code = ErrorCode(9000);
        let errors: [(&dyn core::error::Error, &str, bool); 16] = [
            (&OpenError::Blocked, "as many streams are open as the configuration allows", false),
            (&OpenError::GoingAway, "session is going away and opens no more streams", false),
            (&OpenError::SessionClosed(over()), cause, true),
            (&ReadError::Blocked, "nothing to read yet", false),
            (&ReadError::Reset(code), "stream was reset by the peer: code 9000", false),
            (&ReadError::ResetLocally(code), "stream was reset by this side: code 9000", false),
            (&ReadError::UnknownStream(StreamId::new(7)), "no stream 7", false),
            (&ReadError::Stopped, "this side has stopped reading the stream", false),
            (&ReadError::SessionClosed(over()), cause, true),
            (&WriteError::Blocked, "send buffer is full", false),
            (&WriteError::Finished, "stream was finished by this side", false),
            (&WriteError::Reset(code), "stream was reset by the peer: code 9000", false),
            (&WriteError::ResetLocally(code), "stream was reset by this side: code 9000", false),
            (&WriteError::SessionClosed(over()), cause, true),
            (&PingError::NotTyped, "heartbeats need a typed session", false),
            (
                &PingError::Open(OpenError::StreamsExhausted),
                "no heartbeat stream: every stream id of this session has been used",
                true,
            ),
        ];
        for (error, text, has_cause) in errors {
            assert_eq!(error.to_string(), text);
            assert_eq!(error.source().is_some(), has_cause, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_code_survives(code: u32) {
            prop_assert_eq!(u32::from(ErrorCode::from(code)), code);
        }
    }
}
