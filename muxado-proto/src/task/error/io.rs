//! Converts the errors to [`io::Error`], and finds them in one.

use std::io;

use super::{CallError, Error, OpenError, PingError, ReadError, WriteError};
use crate::{CloseReason, ConfigError, CutBy, ErrorCode};

/// The muxado code in an [`io::Error`]: that of the reset or of the session's end that caused it.
///
/// Searches the whole chain of causes, so it also works on errors that other libraries have
/// wrapped. `None` if the chain has no error of a stream or a session, or if that error has no
/// code.
///
/// ```
/// use muxado_proto::ErrorCode;
/// use muxado_proto::task::{ReadError, error_code};
/// use std::io;
///
/// let error = io::Error::other(ReadError::Reset(ErrorCode::STREAM_CANCELLED));
/// assert_eq!(error_code(&error), Some(ErrorCode::STREAM_CANCELLED));
/// assert_eq!(error_code(&io::Error::other("disk full")), None);
/// ```
#[must_use]
pub fn error_code(error: &io::Error) -> Option<ErrorCode> {
    let mut next = error.get_ref().map(|inner| inner as &(dyn core::error::Error + 'static));
    while let Some(error) = next {
        if let Some(code) = code_of(error) {
            return Some(code);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // `io::Error::source` skips the error that it wraps.
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The code of one error, without its causes.
fn code_of(error: &(dyn core::error::Error + 'static)) -> Option<ErrorCode> {
    if let Some(error) = error.downcast_ref::<ReadError>() {
        return error.code();
    }
    if let Some(error) = error.downcast_ref::<WriteError>() {
        return error.code();
    }
    if let Some(error) = error.downcast_ref::<OpenError>() {
        return error.code();
    }
    if let Some(error) = error.downcast_ref::<PingError>() {
        return error.code();
    }
    if let Some(reason) = error.downcast_ref::<CloseReason>() {
        return Some(reason.code());
    }
    error.downcast_ref::<Error>().and_then(Error::code)
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        let error = match error.downcast::<ReadError>() {
            Ok(error) => return Self::Read(error),
            Err(error) => error,
        };
        let error = match error.downcast::<WriteError>() {
            Ok(error) => return Self::Write(error),
            Err(error) => error,
        };
        let error = match error.downcast::<OpenError>() {
            Ok(error) => return Self::Open(error),
            Err(error) => error,
        };
        let error = match error.downcast::<PingError>() {
            Ok(error) => return Self::Ping(error),
            Err(error) => error,
        };
        let error = match error.downcast::<CloseReason>() {
            Ok(reason) => return Self::Closed(reason),
            Err(error) => error,
        };
        let error = match error.downcast::<ConfigError>() {
            Ok(error) => return Self::Config(error),
            Err(error) => error,
        };
        error.downcast::<Self>().unwrap_or_else(Self::Io)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Open(error) => error.into(),
            Error::Read(error) => error.into(),
            Error::Write(error) => error.into(),
            Error::Ping(error) => error.into(),
            Error::Closed(reason) => reason.into(),
            Error::Config(error) => Self::new(io::ErrorKind::InvalidInput, error),
            Error::Io(error) => error,
        }
    }
}

/// The kind of error for an operation that fails because the session has ended.
const fn closed_kind(reason: &CloseReason) -> io::ErrorKind {
    match reason {
        CloseReason::Local { .. } | CloseReason::Cut { by: CutBy::Abort, .. } => {
            io::ErrorKind::BrokenPipe
        }
        CloseReason::HeartbeatTimeout
        | CloseReason::IdleTimeout
        | CloseReason::WriteStalled
        | CloseReason::FrameStalled
        | CloseReason::Cut {
            by: CutBy::Time | CutBy::WriteStalled | CutBy::FrameStalled, ..
        } => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::ConnectionAborted,
    }
}

impl From<CloseReason> for io::Error {
    fn from(reason: CloseReason) -> Self {
        Self::new(closed_kind(&reason), reason)
    }
}

impl From<PingError> for io::Error {
    fn from(error: PingError) -> Self {
        let kind = match &error {
            PingError::SessionClosed(reason) => closed_kind(reason),
            PingError::Missed => io::ErrorKind::TimedOut,
            PingError::NotTyped => io::ErrorKind::Unsupported,
            PingError::NoStream => io::ErrorKind::ConnectionAborted,
        };
        Self::new(kind, error)
    }
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        let kind = match &error {
            OpenError::WrongType => io::ErrorKind::InvalidInput,
            OpenError::SessionClosed(reason) => closed_kind(reason),
            OpenError::StreamsExhausted | OpenError::GoingAway => io::ErrorKind::ConnectionAborted,
        };
        Self::new(kind, error)
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        let kind = match &error {
            ReadError::Reset(_) => io::ErrorKind::ConnectionReset,
            ReadError::ResetLocally(_) | ReadError::Stopped => io::ErrorKind::BrokenPipe,
            ReadError::SessionClosed(
                CloseReason::TransportEof | CloseReason::Cut { by: CutBy::TransportEof, .. },
            ) => io::ErrorKind::UnexpectedEof,
            ReadError::SessionClosed(reason) => closed_kind(reason),
            ReadError::UnknownStream(_) => io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        let kind = match &error {
            WriteError::Reset(_) => io::ErrorKind::ConnectionReset,
            WriteError::Finished | WriteError::ResetLocally(_) => io::ErrorKind::BrokenPipe,
            WriteError::SessionClosed(reason) => closed_kind(reason),
            WriteError::UnknownStream(_) => io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}

macro_rules! from_the_core {
    ($($name:ident),*) => {$(
        impl From<crate::$name> for io::Error {
            /// A blocked call is [`WouldBlock`](io::ErrorKind::WouldBlock); any other variant
            /// converts like the error of the async call.
            fn from(error: crate::$name) -> Self {
                match $name::from_core(error) {
                    Some(error) => error.into(),
                    None => Self::new(io::ErrorKind::WouldBlock, crate::$name::Blocked),
                }
            }
        }
    )*};
}

from_the_core!(OpenError, ReadError, WriteError);

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: ErrorCode = ErrorCode(77);

    #[test]
    fn io_errors_keep_their_source() {
        let error = io::Error::from(ReadError::Reset(CODE));
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ReadError>());
        assert_eq!(inner, Some(&ReadError::Reset(CODE)));
    }

    #[test]
    fn a_blocked_call_of_the_core_would_block() {
        let blocked = io::Error::from(crate::ReadError::Blocked);
        assert_eq!(blocked.kind(), io::ErrorKind::WouldBlock);
        let reset = io::Error::from(crate::ReadError::Reset(CODE));
        assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(error_code(&reset), Some(CODE));
    }

    #[test]
    fn kinds() {
        let eof = ReadError::SessionClosed(CloseReason::TransportEof);
        assert_eq!(io::Error::from(eof).kind(), io::ErrorKind::UnexpectedEof);
        let own = CloseReason::Local { code: ErrorCode::NO_ERROR };
        let own = WriteError::SessionClosed(own);
        assert_eq!(io::Error::from(own).kind(), io::ErrorKind::BrokenPipe);
        let error = crate::TransportError::new(io::Error::other("cable cut"));
        let gone = WriteError::SessionClosed(CloseReason::TransportError(error));
        assert_eq!(io::Error::from(gone).kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(io::Error::from(WriteError::Finished).kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn the_code_is_found_however_deep_it_is() {
        let code = |error: io::Error| error_code(&error);
        assert_eq!(code(ReadError::Reset(CODE).into()), Some(CODE));
        assert_eq!(code(WriteError::ResetLocally(CODE).into()), Some(CODE));
        assert_eq!(code(OpenError::GoingAway.into()), Some(ErrorCode::REMOTE_GONE_AWAY));
        assert_eq!(code(CloseReason::TransportEof.into()), Some(ErrorCode::PEER_EOF));
        assert_eq!(code(io::Error::other(Error::Read(ReadError::Reset(CODE)))), Some(CODE));
        let wrapped = io::Error::other(io::Error::from(WriteError::Reset(CODE)));
        assert_eq!(code(io::Error::other(wrapped)), Some(CODE));
        assert_eq!(code(WriteError::Finished.into()), None);
        assert_eq!(code(io::ErrorKind::ConnectionReset.into()), None);
        assert_eq!(code(io::Error::other("no error of ours")), None);
    }
}
