//! How the errors of sessions and streams look as [`io::Error`].

use core::fmt;
use std::io;

use crate::{CloseReason, OpenError, PingError, ReadError, WriteError};

/// Why a session can not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionError {
    /// The session is over.
    Closed(CloseReason),
    /// The heartbeat did not come back.
    HeartbeatMissed,
    /// There can be no heartbeat.
    Ping(PingError),
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(reason) => write!(f, "session is over: {reason}"),
            Self::HeartbeatMissed => f.write_str("heartbeat did not come back"),
            Self::Ping(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl core::error::Error for SessionError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Closed(reason) => Some(reason),
            Self::Ping(error) => Some(error),
            Self::HeartbeatMissed => None,
        }
    }
}

/// The kind for an operation that the end of the session ended.
const fn closed_kind(reason: &CloseReason) -> io::ErrorKind {
    match reason {
        CloseReason::Local { .. } => io::ErrorKind::BrokenPipe,
        CloseReason::HeartbeatTimeout | CloseReason::WriteStalled | CloseReason::FrameStalled => {
            io::ErrorKind::TimedOut
        }
        _ => io::ErrorKind::ConnectionAborted,
    }
}

impl From<CloseReason> for io::Error {
    fn from(reason: CloseReason) -> Self {
        Self::new(closed_kind(&reason), reason)
    }
}

impl From<SessionError> for io::Error {
    fn from(error: SessionError) -> Self {
        let kind = match &error {
            SessionError::Closed(reason) => closed_kind(reason),
            SessionError::HeartbeatMissed => io::ErrorKind::TimedOut,
            SessionError::Ping(_) => io::ErrorKind::Unsupported,
        };
        Self::new(kind, error)
    }
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        let kind = match &error {
            OpenError::Blocked => io::ErrorKind::WouldBlock,
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
            ReadError::Blocked => io::ErrorKind::WouldBlock,
            ReadError::Reset(_) => io::ErrorKind::ConnectionReset,
            ReadError::ResetLocally(_) => io::ErrorKind::BrokenPipe,
            ReadError::SessionClosed(CloseReason::TransportEof) => io::ErrorKind::UnexpectedEof,
            ReadError::SessionClosed(reason) => closed_kind(reason),
            ReadError::UnknownStream(_) => io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}

impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> Self {
        let kind = match &error {
            WriteError::Blocked => io::ErrorKind::WouldBlock,
            WriteError::Reset(_) => io::ErrorKind::ConnectionReset,
            WriteError::Finished | WriteError::ResetLocally(_) => io::ErrorKind::BrokenPipe,
            WriteError::SessionClosed(reason) => closed_kind(reason),
            WriteError::UnknownStream(_) => io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    #[test]
    fn io_errors_keep_their_source() {
        let error = io::Error::from(ReadError::Reset(ErrorCode(77)));
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ReadError>());
        assert_eq!(inner, Some(&ReadError::Reset(ErrorCode(77))));
    }

    #[test]
    fn kinds() {
        let eof = ReadError::SessionClosed(CloseReason::TransportEof);
        assert_eq!(io::Error::from(eof).kind(), io::ErrorKind::UnexpectedEof);
        let own = CloseReason::Local { code: ErrorCode::NO_ERROR };
        let own = WriteError::SessionClosed(own);
        assert_eq!(io::Error::from(own).kind(), io::ErrorKind::BrokenPipe);
        let gone = WriteError::SessionClosed(CloseReason::TransportError);
        assert_eq!(io::Error::from(gone).kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(io::Error::from(WriteError::Finished).kind(), io::ErrorKind::BrokenPipe);
    }
}
