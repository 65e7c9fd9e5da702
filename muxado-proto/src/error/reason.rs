//! Why a session ended.

use alloc::string::String;
use alloc::sync::Arc;
use core::error::Error;
use core::fmt;

use bytes::Bytes;

use super::ErrorCode;

/// Why a session ended. All waiters on the session and its streams get the same reason.
///
/// [`is_clean`](Self::is_clean) says whether the session ended as intended. Only `Local` and
/// `Remote` with [`ErrorCode::NO_ERROR`] are clean: the transport has taken every byte, and both
/// sides have ended every stream. Bytes can still be lost in the transport: the protocol has no
/// acknowledgement.
///
/// ```
/// use muxado_proto::{CloseReason, CutBy, ErrorCode};
///
/// /// Whether a client connects again after its session has ended.
/// fn connects_again(reason: &CloseReason) -> bool {
///     match reason {
///         // This side wanted the end, or its driver was dropped.
///         CloseReason::Local { .. } | CloseReason::Abandoned => false,
///         CloseReason::Cut { by: CutBy::Time | CutBy::Abort, .. } => false,
///         // The peer has closed: it restarts, for example.
///         CloseReason::Remote { code, .. } => *code == ErrorCode::NO_ERROR,
///         // The peer is faulty, or it speaks another protocol.
///         CloseReason::Violation { .. } => false,
///         CloseReason::Cut { by: CutBy::Violation { .. }, .. } => false,
///         // The connection is lost, or the peer is slow or dead.
///         CloseReason::TransportEof | CloseReason::TransportError(_) => true,
///         CloseReason::HeartbeatTimeout | CloseReason::IdleTimeout => true,
///         CloseReason::WriteStalled | CloseReason::FrameStalled => true,
///         CloseReason::Cut { by: CutBy::TransportEof | CutBy::TransportError(_), .. } => true,
///         CloseReason::Cut { by: CutBy::WriteStalled | CutBy::FrameStalled, .. } => true,
///         // Other sessions have used up the memory: not now.
///         CloseReason::NoMemory => false,
///         _ => false,
///     }
/// }
///
/// let restarts = CloseReason::Remote { code: ErrorCode::NO_ERROR, text: "restart".into() };
/// assert!(restarts.is_clean() && connects_again(&restarts));
/// assert_eq!(restarts.to_string(), "closed by the peer: no error (0): restart");
/// assert_eq!(CloseReason::TransportEof.code(), ErrorCode::PEER_EOF);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "audit", derive(Hash))]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed it, with this code.
    Local {
        /// The code sent in the GOAWAY.
        code: ErrorCode,
    },
    /// The peer sent a GOAWAY.
    Remote {
        /// The code of the GOAWAY.
        code: ErrorCode,
        /// Its debug text, cut to the configured limit.
        text: Bytes,
    },
    /// One side had started a graceful close, and the session ended before its streams did: bytes
    /// may be lost.
    Cut {
        /// How many streams were cut: not ended by both sides, or ended, but the transport may not
        /// have taken the end.
        streams: u32,
        /// What cut them.
        by: CutBy,
    },
    /// The peer broke the protocol or a limit; a GOAWAY with this code was sent.
    Violation {
        /// The code sent in the GOAWAY.
        code: ErrorCode,
        /// What the peer did.
        what: &'static str,
    },
    /// The transport ended without a GOAWAY.
    TransportEof,
    /// The transport failed.
    TransportError(TransportError),
    /// No heartbeat came back within the tolerance.
    HeartbeatTimeout,
    /// Nothing arrived for the configured time.
    IdleTimeout,
    /// The transport took no output for the configured time.
    WriteStalled,
    /// A frame was begun and not completed within the configured time.
    FrameStalled,
    /// The driver of the session was dropped before the session ended.
    Abandoned,
    /// The memory budget had no room for the session's minimum; a GOAWAY with `ENHANCE_YOUR_CALM`
    /// was sent. See [`MemoryBudget`](crate::MemoryBudget).
    NoMemory,
}

/// What ended a graceful close early: see [`CloseReason::Cut`] and the example of [`CloseReason`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "audit", derive(Hash))]
#[non_exhaustive]
pub enum CutBy {
    /// Nothing moved for [`drain_timeout`](crate::Config::drain_timeout), or the streams took
    /// longer than [`drain_limit`](crate::Config::drain_limit).
    Time,
    /// This side aborted, with [`ErrorCode::NO_ERROR`].
    Abort,
    /// The transport ended.
    TransportEof,
    /// The transport failed.
    TransportError(TransportError),
    /// The transport took no output for the configured time.
    WriteStalled,
    /// A frame was begun and not completed within the configured time.
    FrameStalled,
    /// What the peer sent after its GOAWAY was unparseable, or broke a rule.
    Violation {
        /// The code of the fault.
        code: ErrorCode,
        /// What the peer did.
        what: &'static str,
    },
}

/// The error of a transport. Two are equal only if one is a clone of the other.
///
/// ```
/// use muxado_proto::{CloseReason, Config, Role, Session, Timestamp, TransportError};
/// use std::io;
/// use std::sync::Arc;
///
/// let config = Config::default().into();
/// let mut session = Session::new(Role::Client, config, Timestamp::ZERO, [1; 16].into());
/// // `new` takes the error, `shared` leaves the caller a reference.
/// let error = Arc::new(io::Error::from(io::ErrorKind::ConnectionReset));
/// session.handle_transport_error(Timestamp::ZERO, TransportError::shared(error.clone()));
/// let Some(CloseReason::TransportError(cause)) = session.close_reason() else { unreachable!() };
/// let cause = cause.get_ref().downcast_ref::<io::Error>().map(io::Error::kind);
/// assert_eq!(cause, Some(error.kind()));
/// ```
#[derive(Clone)]
pub struct TransportError(Arc<dyn Error + Send + Sync>);

impl TransportError {
    /// The error that the transport reported.
    pub fn new(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }

    /// The error that the transport reported, shared with the caller.
    #[must_use]
    pub fn shared<E: Error + Send + Sync + 'static>(error: Arc<E>) -> Self {
        Self(error)
    }

    /// The error that the transport reported, for example an `io::Error`.
    #[must_use]
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Debug for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&*self.0, f)
    }
}

impl PartialEq for TransportError {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for TransportError {}

#[cfg(feature = "audit")]
impl core::hash::Hash for TransportError {
    /// The error does not influence later behaviour.
    fn hash<H: core::hash::Hasher>(&self, _: &mut H) {}
}

impl CloseReason {
    /// The error code for this reason, as an application would report it.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Local { code } | Self::Remote { code, .. } | Self::Violation { code, .. } => {
                *code
            }
            Self::Cut { by, .. } => by.code(),
            Self::TransportEof | Self::TransportError(_) => ErrorCode::PEER_EOF,
            Self::HeartbeatTimeout
            | Self::IdleTimeout
            | Self::WriteStalled
            | Self::FrameStalled => ErrorCode::WRITE_TIMEOUT,
            Self::Abandoned => ErrorCode::SESSION_CLOSED,
            Self::NoMemory => ErrorCode::ENHANCE_YOUR_CALM,
        }
    }

    /// Whether the session ended as intended and nothing was cut: closed with
    /// [`ErrorCode::NO_ERROR`] by either side, every byte taken by the transport, and every stream
    /// ended by FIN or RST at both ends.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        matches!(self, Self::Local { code } | Self::Remote { code, .. } if *code == ErrorCode::NO_ERROR)
    }
}

impl CutBy {
    const fn code(&self) -> ErrorCode {
        match self {
            Self::Time | Self::WriteStalled | Self::FrameStalled => ErrorCode::WRITE_TIMEOUT,
            Self::Abort => ErrorCode::SESSION_CLOSED,
            Self::TransportEof | Self::TransportError(_) => ErrorCode::PEER_EOF,
            Self::Violation { code, .. } => *code,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { code } => write!(f, "closed by this side: {code}"),
            Self::Remote { code, text } if text.is_empty() => {
                write!(f, "closed by the peer: {code}")
            }
            Self::Remote { code, text } => {
                write!(f, "closed by the peer: {code}: {}", String::from_utf8_lossy(text))
            }
            Self::Cut { streams: 1, by } => write!(f, "1 stream was cut at the end: {by}"),
            Self::Cut { streams, by } => write!(f, "{streams} streams were cut at the end: {by}"),
            Self::Violation { code, what } => {
                write!(f, "peer violated the protocol: {what} ({code})")
            }
            Self::TransportEof => f.write_str("transport ended without a GOAWAY"),
            Self::TransportError(error) => write!(f, "transport failed: {error}"),
            Self::HeartbeatTimeout => f.write_str("no heartbeat within the tolerance"),
            Self::IdleTimeout => f.write_str("nothing arrived for too long"),
            Self::WriteStalled => f.write_str("transport took no output for too long"),
            Self::FrameStalled => f.write_str("frame not completed in time"),
            Self::Abandoned => f.write_str("session driver was dropped"),
            Self::NoMemory => f.write_str("no memory left in the budget of the sessions"),
        }
    }
}

impl fmt::Display for CutBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time => f.write_str("not finished in time"),
            Self::Abort => f.write_str("this side aborted"),
            Self::TransportEof => f.write_str("transport ended"),
            Self::TransportError(error) => write!(f, "transport failed: {error}"),
            Self::WriteStalled => f.write_str("transport took no output for too long"),
            Self::FrameStalled => f.write_str("frame not completed in time"),
            Self::Violation { code, what } => write!(f, "{what} ({code})"),
        }
    }
}

impl Error for CloseReason {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::TransportError(error) | Self::Cut { by: CutBy::TransportError(error), .. } => {
                Some(error.get_ref())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// The error of a test's transport.
    #[derive(Debug)]
    struct Refused;

    impl fmt::Display for Refused {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("connection refused")
        }
    }

    impl Error for Refused {}

    #[test]
    fn only_a_close_without_an_error_is_clean() {
        let text = Bytes::new();
        let (good, bad) = (ErrorCode::NO_ERROR, ErrorCode::PROTOCOL);
        assert!(CloseReason::Local { code: good }.is_clean());
        assert!(CloseReason::Remote { code: good, text: text.clone() }.is_clean());
        assert!(!CloseReason::Local { code: bad }.is_clean());
        assert!(!CloseReason::Remote { code: bad, text }.is_clean());
        assert!(!CloseReason::Violation { code: good, what: "?" }.is_clean());
        assert!(!CloseReason::TransportEof.is_clean());
        for by in [CutBy::Time, CutBy::Abort, CutBy::TransportEof] {
            assert!(!CloseReason::Cut { streams: 0, by }.is_clean());
        }
    }

    #[test]
    fn reasons_read_well() {
        let code = ErrorCode::INTERNAL;
        let remote = |text: &'static str| CloseReason::Remote { code, text: text.into() };
        let cut = |streams, by| CloseReason::Cut { streams, by };
        let texts = [
            (CloseReason::Local { code }, "closed by this side: internal error (2)"),
            (remote(""), "closed by the peer: internal error (2)"),
            (remote("out of disk"), "closed by the peer: internal error (2): out of disk"),
            (
                CloseReason::Violation { code: ErrorCode::PROTOCOL, what: "SYN twice" },
                "peer violated the protocol: SYN twice (protocol error (1))",
            ),
            (cut(1, CutBy::Time), "1 stream was cut at the end: not finished in time"),
            (cut(3, CutBy::TransportEof), "3 streams were cut at the end: transport ended"),
        ];
        for (reason, text) in texts {
            assert_eq!(reason.to_string(), text);
        }
    }

    #[test]
    fn t8_the_error_of_the_transport_is_shown_and_is_the_source() {
        let error = TransportError::new(Refused);
        let failed = CloseReason::TransportError(error.clone());
        let cut = CloseReason::Cut { streams: 2, by: CutBy::TransportError(error.clone()) };
        assert_eq!(failed.to_string(), "transport failed: connection refused");
        assert_eq!(
            cut.to_string(),
            "2 streams were cut at the end: transport failed: connection refused"
        );
        for reason in [failed, cut] {
            assert!(reason.source().is_some_and(|source| source.is::<Refused>()));
            assert_eq!(reason, reason.clone());
        }
        assert_ne!(error, TransportError::new(Refused));
    }
}
