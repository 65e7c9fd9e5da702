//! The states of a stream's two halves and every transition between them.
//!
//! ```text
//!  sending half                                     receiving half
//!
//!  Fresh ──first frame──▶ Open                      Open ──FIN──▶ Finished
//!    │                     │                         │ │ └─RST──▶ Reset(code)
//!    └──finish──┐ ┌─finish─┘                         │ └──stop──▶ Stopped ──FIN, RST──▶ Ignored
//!               ▼ ▼                                  └───reset──▶ ResetLocally(code)
//!            Finishing ──FIN sent──▶ Finished
//!  any of these:
//!    ──reset──▶ Resetting(code) ──RST sent──▶ ResetLocally(code)
//!    ──RST from the peer──▶ ResetByPeer(code)
//! ```
//!
//! A FIN of the peer that was received stands: an RST behind it ends the sending half alone.
//! A fresh stream that is reset or given up has left no trace on the wire and leaves none.

use crate::error::ErrorCode;

/// The half that sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendState {
    /// Opened by this side; the first frame will carry SYN.
    Fresh,
    /// DATA may be sent.
    Open,
    /// FIN is sent as soon as the buffer is; `fresh` if the SYN has to go before.
    Finishing { fresh: bool },
    /// FIN was sent.
    Finished,
    /// RST is to be sent.
    Resetting(ErrorCode),
    /// RST was sent, or the stream had never appeared on the wire.
    ResetLocally(ErrorCode),
    /// RST was received.
    ResetByPeer(ErrorCode),
}

impl SendState {
    /// Whether DATA frames may still leave.
    pub(crate) const fn is_sending(self) -> bool {
        matches!(self, Self::Fresh | Self::Open | Self::Finishing { .. })
    }

    /// Whether the SYN has not been sent yet.
    pub(crate) const fn owes_syn(self) -> bool {
        matches!(self, Self::Fresh | Self::Finishing { fresh: true })
    }

    /// Whether nothing more will leave this half.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::ResetLocally(_) | Self::ResetByPeer(_))
    }

    /// Whether either side has reset the stream.
    pub(crate) const fn is_reset(self) -> bool {
        matches!(self, Self::Resetting(_) | Self::ResetLocally(_) | Self::ResetByPeer(_))
    }

    /// The application finishes the stream.
    pub(crate) const fn finish(self) -> Self {
        match self {
            Self::Fresh => Self::Finishing { fresh: true },
            Self::Open => Self::Finishing { fresh: false },
            other => other,
        }
    }

    /// The SYN has been sent.
    pub(crate) const fn syn_sent(self) -> Self {
        match self {
            Self::Fresh => Self::Open,
            Self::Finishing { fresh: true } => Self::Finishing { fresh: false },
            other => other,
        }
    }

    /// The FIN has been sent.
    pub(crate) const fn fin_sent(self) -> Self {
        match self {
            Self::Finishing { .. } => Self::Finished,
            other => other,
        }
    }

    /// This side resets the stream, for the application or because the peer broke a rule.
    pub(crate) const fn reset(self, code: ErrorCode) -> Self {
        match self {
            Self::Fresh | Self::Finishing { fresh: true } => Self::ResetLocally(code),
            Self::Open | Self::Finishing { fresh: false } | Self::Finished => Self::Resetting(code),
            Self::Resetting(_) | Self::ResetLocally(_) | Self::ResetByPeer(_) => self,
        }
    }

    /// The RST has been sent.
    pub(crate) const fn rst_sent(self) -> Self {
        match self {
            Self::Resetting(code) => Self::ResetLocally(code),
            other => other,
        }
    }

    /// The peer resets the stream. What is complete stays so.
    pub(crate) const fn peer_reset(self, code: ErrorCode) -> Self {
        match self {
            Self::Fresh | Self::Open | Self::Finishing { .. } => Self::ResetByPeer(code),
            // Neither side answers an RST with an RST.
            Self::Resetting(own) => Self::ResetLocally(own),
            Self::Finished | Self::ResetLocally(_) | Self::ResetByPeer(_) => self,
        }
    }
}

/// The half that receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecvState {
    /// DATA may arrive.
    Open,
    /// FIN was received; the buffer may hold unread data.
    Finished,
    /// Nobody will read what still arrives.
    Stopped,
    /// Nobody has read to the end, which has come.
    Ignored,
    /// RST was received; the buffer may hold unread data.
    Reset(ErrorCode),
    /// This side has reset the stream.
    ResetLocally(ErrorCode),
}

impl RecvState {
    /// Whether the peer may still send.
    pub(crate) const fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::Stopped)
    }

    /// FIN arrives. Late and repeated ones change nothing.
    pub(crate) const fn fin(self) -> Self {
        match self {
            Self::Open => Self::Finished,
            Self::Stopped => Self::Ignored,
            other => other,
        }
    }

    /// The reader goes away.
    pub(crate) const fn stop(self) -> Self {
        match self {
            Self::Open => Self::Stopped,
            other => other,
        }
    }

    /// This side resets the stream.
    pub(crate) const fn reset(self, code: ErrorCode) -> Self {
        match self {
            Self::Open | Self::Stopped | Self::Finished | Self::Ignored => Self::ResetLocally(code),
            other => other,
        }
    }

    /// The peer resets the stream.
    pub(crate) const fn peer_reset(self, code: ErrorCode) -> Self {
        match self {
            Self::Open => Self::Reset(code),
            Self::Stopped => Self::Ignored,
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CODE: ErrorCode = ErrorCode::STREAM_CANCELLED;

    #[test]
    fn syn_goes_before_fin() {
        let state = SendState::Fresh.finish();
        assert!(state.owes_syn());
        assert_eq!(state.syn_sent().fin_sent(), SendState::Finished);
    }

    #[test]
    fn a_fresh_stream_leaves_no_trace() {
        assert_eq!(SendState::Fresh.reset(CODE), SendState::ResetLocally(CODE));
    }

    #[test]
    fn a_reader_that_has_stopped_stays_so() {
        assert_eq!(RecvState::Open.stop().fin(), RecvState::Ignored);
        assert_eq!(RecvState::Open.stop().peer_reset(CODE), RecvState::Ignored);
    }

    #[test]
    fn a_received_fin_stands() {
        assert_eq!(RecvState::Open.fin().peer_reset(CODE), RecvState::Finished);
    }

    #[test]
    fn an_rst_is_not_answered() {
        let state = SendState::Open.reset(CODE).peer_reset(ErrorCode::PROTOCOL);
        assert_eq!(state, SendState::ResetLocally(CODE));
    }

    proptest! {
        /// Whatever happens, in whatever order: a half that is over stays over, and once the
        /// peer's end of a direction is known it is not reopened.
        #[test]
        fn over_is_over(ops in proptest::collection::vec(0u8..8, 0..40)) {
            let (mut send, mut recv) = (SendState::Fresh, RecvState::Open);
            for op in ops {
                let (was_over, was_open) = (send.is_over(), recv.is_open());
                match op {
                    0 => send = send.finish(),
                    1 => send = send.syn_sent(),
                    2 if !send.owes_syn() => send = send.fin_sent(),
                    3 => { send = send.reset(CODE); recv = recv.reset(CODE); }
                    4 => send = send.rst_sent(),
                    5 => { send = send.peer_reset(CODE); recv = recv.peer_reset(CODE); }
                    6 => recv = recv.fin(),
                    _ => recv = recv.stop(),
                }
                // The one way back: an RST for a peer that goes on sending after our FIN.
                if was_over && op != 3 { prop_assert!(send.is_over()); }
                if !was_open { prop_assert!(!recv.is_open()); }
                prop_assert!(!(send.is_over() && send.owes_syn()));
            }
        }
    }
}
