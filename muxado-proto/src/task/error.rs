//! The errors of the async calls, and their form as [`std::io::Error`].
//!
//! The core's errors have a variant `Blocked`; an async call waits instead. The errors here are the
//! same without that variant.

mod io;

use crate::{CloseReason, ConfigError, ErrorCode, StreamId};
use core::fmt;
use core::task::Poll;

pub use io::error_code;

/// Why a stream could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
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

/// Why nothing could be read from a stream. Bytes that have arrived are always read first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// The peer reset the stream.
    Reset(ErrorCode),
    /// This side reset the stream. The code is the one sent.
    ResetLocally(ErrorCode),
    /// This side has stopped reading the stream.
    Stopped,
    /// The session ended before the peer finished the stream.
    SessionClosed(CloseReason),
    /// No such stream: it was released.
    UnknownStream(StreamId),
}

/// Why nothing could be written to a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
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

/// Why a heartbeat returned no round-trip time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PingError {
    /// The heartbeat did not come back within the tolerance.
    Missed,
    /// Only typed sessions have heartbeats.
    NotTyped,
    /// No stream could be opened for the heartbeat, because the session is going away or has used
    /// up its ids.
    NoStream,
    /// The session is over.
    SessionClosed(CloseReason),
}

/// Every error of this crate in one type, for functions that use `?` on all of them.
///
/// An [`std::io::Error`] that comes from a stream becomes the variant of its cause; any other is
/// [`Io`](Self::Io).
///
/// ```
/// use muxado_proto::task::{Error, OpenError, PingError, ReadError, WriteError};
///
/// fn advice(error: &Error) -> &'static str {
///     match error {
///         // The error of an open, a read, a write or a ping, or of `accept` (`Closed`).
///         _ if error.close_reason().is_some() => "connect again",
///         Error::Open(OpenError::GoingAway | OpenError::StreamsExhausted) => "connect again",
///         Error::Ping(PingError::Missed | PingError::NoStream) => "connect again",
///         Error::Read(ReadError::Reset(_)) | Error::Write(WriteError::Reset(_)) => "the peer gave up",
///         Error::Read(ReadError::ResetLocally(_)) => "this side gave up",
///         Error::Write(WriteError::ResetLocally(_)) => "this side gave up",
///         Error::Open(OpenError::WrongType) => "is the session typed?",
///         Error::Ping(PingError::NotTyped) => "is the session typed?",
///         Error::Config(_) => "correct the settings",
///         Error::Io(_) => "look at the file or the connection",
///         _ => "correct the program",
///     }
/// }
///
/// let error = Error::from(std::io::Error::from(ReadError::Reset(6.into())));
/// assert_eq!(advice(&error), "the peer gave up");
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A stream could not be opened.
    Open(OpenError),
    /// Nothing could be read from a stream.
    Read(ReadError),
    /// Nothing could be written to a stream.
    Write(WriteError),
    /// A heartbeat returned no round-trip time.
    Ping(PingError),
    /// The session is over.
    Closed(CloseReason),
    /// A setting is out of its range.
    Config(ConfigError),
    /// An error of something else.
    Io(std::io::Error),
}

/// An error of an async call, made of the core's error of the same call.
pub(super) trait CallError: Sized {
    type Core;

    /// `None` if the call was blocked.
    fn from_core(error: Self::Core) -> Option<Self>;

    /// Converts the result of a core call: [`Poll::Pending`] if it was blocked.
    fn poll<T>(result: Result<T, Self::Core>) -> Poll<Result<T, Self>> {
        match result {
            Ok(value) => Poll::Ready(Ok(value)),
            Err(error) => Self::from_core(error).map_or(Poll::Pending, |it| Poll::Ready(Err(it))),
        }
    }
}

impl OpenError {
    /// The code of the error; `None` for a mistake of the caller.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::StreamsExhausted => Some(ErrorCode::STREAMS_EXHAUSTED),
            Self::GoingAway => Some(ErrorCode::REMOTE_GONE_AWAY),
            Self::SessionClosed(reason) => Some(reason.code()),
            Self::WrongType => None,
        }
    }
}

impl CallError for OpenError {
    type Core = crate::OpenError;

    fn from_core(error: crate::OpenError) -> Option<Self> {
        Some(match error {
            crate::OpenError::Blocked => return None,
            crate::OpenError::StreamsExhausted => Self::StreamsExhausted,
            crate::OpenError::WrongType => Self::WrongType,
            crate::OpenError::GoingAway => Self::GoingAway,
            crate::OpenError::SessionClosed(reason) => Self::SessionClosed(reason),
        })
    }
}

impl ReadError {
    /// The code of the reset, or of the end of the session.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Reset(code) | Self::ResetLocally(code) => Some(*code),
            Self::SessionClosed(reason) => Some(reason.code()),
            Self::Stopped | Self::UnknownStream(_) => None,
        }
    }
}

impl CallError for ReadError {
    type Core = crate::ReadError;

    fn from_core(error: crate::ReadError) -> Option<Self> {
        Some(match error {
            crate::ReadError::Blocked => return None,
            crate::ReadError::Reset(code) => Self::Reset(code),
            crate::ReadError::ResetLocally(code) => Self::ResetLocally(code),
            crate::ReadError::Stopped => Self::Stopped,
            crate::ReadError::SessionClosed(reason) => Self::SessionClosed(reason),
            crate::ReadError::UnknownStream(id) => Self::UnknownStream(id),
        })
    }
}

impl WriteError {
    /// The code of the reset, or of the end of the session.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Reset(code) | Self::ResetLocally(code) => Some(*code),
            Self::SessionClosed(reason) => Some(reason.code()),
            Self::Finished | Self::UnknownStream(_) => None,
        }
    }
}

impl CallError for WriteError {
    type Core = crate::WriteError;

    fn from_core(error: crate::WriteError) -> Option<Self> {
        Some(match error {
            crate::WriteError::Blocked => return None,
            crate::WriteError::Finished => Self::Finished,
            crate::WriteError::Reset(code) => Self::Reset(code),
            crate::WriteError::ResetLocally(code) => Self::ResetLocally(code),
            crate::WriteError::SessionClosed(reason) => Self::SessionClosed(reason),
            crate::WriteError::UnknownStream(id) => Self::UnknownStream(id),
        })
    }
}

impl PingError {
    /// The code of the error; `None` if the session continues.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::SessionClosed(reason) => Some(reason.code()),
            Self::Missed | Self::NotTyped | Self::NoStream => None,
        }
    }

    pub(super) fn from_core(error: crate::PingError) -> Self {
        match error {
            crate::PingError::NotTyped => Self::NotTyped,
            crate::PingError::Open(crate::OpenError::SessionClosed(reason)) => {
                Self::SessionClosed(reason)
            }
            crate::PingError::Open(_) => Self::NoStream,
        }
    }
}

impl Error {
    /// The code of the error, if there is one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Open(error) => error.code(),
            Self::Read(error) => error.code(),
            Self::Write(error) => error.code(),
            Self::Ping(error) => error.code(),
            Self::Closed(reason) => Some(reason.code()),
            Self::Config(_) => None,
            Self::Io(error) => error_code(error),
        }
    }

    /// The reason of the session's end, if that is the cause.
    #[must_use]
    pub const fn close_reason(&self) -> Option<&CloseReason> {
        match self {
            Self::Open(OpenError::SessionClosed(reason))
            | Self::Read(ReadError::SessionClosed(reason))
            | Self::Write(WriteError::SessionClosed(reason))
            | Self::Ping(PingError::SessionClosed(reason))
            | Self::Closed(reason) => Some(reason),
            _ => None,
        }
    }
}

impl From<OpenError> for crate::OpenError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::StreamsExhausted => Self::StreamsExhausted,
            OpenError::WrongType => Self::WrongType,
            OpenError::GoingAway => Self::GoingAway,
            OpenError::SessionClosed(reason) => Self::SessionClosed(reason),
        }
    }
}

impl From<ReadError> for crate::ReadError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reset(code) => Self::Reset(code),
            ReadError::ResetLocally(code) => Self::ResetLocally(code),
            ReadError::Stopped => Self::Stopped,
            ReadError::SessionClosed(reason) => Self::SessionClosed(reason),
            ReadError::UnknownStream(id) => Self::UnknownStream(id),
        }
    }
}

impl From<WriteError> for crate::WriteError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Finished => Self::Finished,
            WriteError::Reset(code) => Self::Reset(code),
            WriteError::ResetLocally(code) => Self::ResetLocally(code),
            WriteError::SessionClosed(reason) => Self::SessionClosed(reason),
            WriteError::UnknownStream(id) => Self::UnknownStream(id),
        }
    }
}

// The texts are those of the core's errors.

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&crate::OpenError::from(self.clone()), f)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&crate::ReadError::from(self.clone()), f)
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&crate::WriteError::from(self.clone()), f)
    }
}

impl fmt::Display for PingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missed => f.write_str("heartbeat did not come back"),
            Self::NotTyped => fmt::Display::fmt(&crate::PingError::NotTyped, f),
            Self::NoStream => f.write_str("session opens no more streams, so no heartbeat"),
            Self::SessionClosed(reason) => write!(f, "session is over: {reason}"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => fmt::Display::fmt(error, f),
            Self::Read(error) => fmt::Display::fmt(error, f),
            Self::Write(error) => fmt::Display::fmt(error, f),
            Self::Ping(error) => fmt::Display::fmt(error, f),
            Self::Closed(reason) => write!(f, "session is over: {reason}"),
            Self::Config(error) => fmt::Display::fmt(error, f),
            Self::Io(error) => fmt::Display::fmt(error, f),
        }
    }
}

macro_rules! source_is_the_close_reason {
    ($($name:ident),*) => {$(
        impl core::error::Error for $name {
            fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
                match self {
                    Self::SessionClosed(reason) => Some(reason),
                    _ => None,
                }
            }
        }
    )*};
}

source_is_the_close_reason!(OpenError, ReadError, WriteError, PingError);

impl core::error::Error for Error {
    /// The source of the wrapped error, because the text is that of the wrapped error.
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Open(error) => error.source(),
            Self::Read(error) => error.source(),
            Self::Write(error) => error.source(),
            Self::Ping(error) => error.source(),
            Self::Closed(reason) => Some(reason),
            Self::Config(error) => error.source(),
            Self::Io(error) => error.source(),
        }
    }
}

macro_rules! wrap {
    ($($variant:ident: $inner:ty;)*) => {$(
        impl From<$inner> for Error {
            fn from(error: $inner) -> Self {
                Self::$variant(error)
            }
        }
    )*};
}

wrap! {
    Open: OpenError;
    Read: ReadError;
    Write: WriteError;
    Ping: PingError;
    Closed: CloseReason;
    Config: ConfigError;
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use core::error::Error as _;

    use super::*;

    const CODE: ErrorCode = ErrorCode(77);

    #[test]
    fn a_blocked_call_is_not_an_error() {
        assert!(OpenError::poll::<()>(Err(crate::OpenError::Blocked)).is_pending());
        assert!(ReadError::poll::<()>(Err(crate::ReadError::Blocked)).is_pending());
        assert!(WriteError::poll::<()>(Err(crate::WriteError::Blocked)).is_pending());
        assert_eq!(ReadError::poll(Ok(5)), Poll::Ready(Ok(5)));
    }

    #[test]
    fn there_and_back_is_the_same_error() {
        let id = StreamId::new(7);
        let over = || CloseReason::TransportEof;
        for error in [
            OpenError::StreamsExhausted,
            OpenError::WrongType,
            OpenError::GoingAway,
            OpenError::SessionClosed(over()),
        ] {
            let core = crate::OpenError::from(error.clone());
            assert_eq!(error.to_string(), core.to_string());
            assert_eq!(OpenError::poll::<()>(Err(core)), Poll::Ready(Err(error)));
        }
        for error in [
            ReadError::Reset(CODE),
            ReadError::ResetLocally(CODE),
            ReadError::Stopped,
            ReadError::SessionClosed(over()),
            ReadError::UnknownStream(id),
        ] {
            let core = crate::ReadError::from(error.clone());
            assert_eq!(error.to_string(), core.to_string());
            assert_eq!(ReadError::poll::<()>(Err(core)), Poll::Ready(Err(error)));
        }
        for error in [
            WriteError::Finished,
            WriteError::Reset(CODE),
            WriteError::ResetLocally(CODE),
            WriteError::SessionClosed(over()),
            WriteError::UnknownStream(id),
        ] {
            let core = crate::WriteError::from(error.clone());
            assert_eq!(error.to_string(), core.to_string());
            assert_eq!(WriteError::poll::<()>(Err(core)), Poll::Ready(Err(error)));
        }
    }

    #[test]
    fn question_marks_find_one_type() {
        fn all(step: usize) -> Result<(), Error> {
            let results: [Result<(), Error>; 2] = [
                Err(std::io::Error::from(ReadError::Reset(CODE)).into()),
                Err(std::io::Error::from(std::io::ErrorKind::NotFound).into()),
            ];
            if step == 0 {
                Err(OpenError::SessionClosed(CloseReason::TransportEof))?;
            }
            if step == 1 {
                Err(PingError::Missed)?;
            }
            if step == 2 {
                Err(crate::Config::builder().accept_backlog(0).build().unwrap_err())?;
            }
            results.into_iter().nth(step.saturating_sub(3)).unwrap()
        }
        let open = all(0).unwrap_err();
        assert_eq!(open.close_reason(), Some(&CloseReason::TransportEof));
        assert!(open.source().is_some());
        assert!(matches!(all(1).unwrap_err(), Error::Ping(PingError::Missed)));
        assert!(matches!(all(2).unwrap_err(), Error::Config(_)));
        assert!(matches!(all(3).unwrap_err(), Error::Read(ReadError::Reset(CODE))));
        assert!(matches!(all(4).unwrap_err(), Error::Io(_)));
        let back = std::io::Error::from(all(3).unwrap_err());
        assert_eq!(back.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(std::io::Error::from(all(4).unwrap_err()).kind(), std::io::ErrorKind::NotFound);
    }
}
