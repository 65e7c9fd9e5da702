//! The states of a stream's two halves and every transition between them, as two tables.
//!
//! [`SendState::on`] and [`RecvState::on`] are the tables: they cover every pair of a state and an
//! event, and every change of a state is one of their entries. A test generates the text below from
//! them and compares. A dot means that the event changes nothing.
//!
//! ```text
//! sending half      announce          leave             finish            SYN sent   FIN sent  reset         RST sent      RST received
//! Fresh             Announcing        Left              Finishing, fresh  Open       .         ResetLocally  .             ResetByPeer
//! Left              Finishing, fresh  .                 Finishing, fresh  Finishing  .         ResetLocally  .             ResetByPeer
//! Announcing        .                 Finishing, fresh  Finishing, fresh  Open       .         ResetLocally  .             ResetByPeer
//! Open              .                 Finishing         Finishing         .          .         Resetting     .             ResetByPeer
//! Finishing, fresh  .                 .                 .                 Finishing  .         ResetLocally  .             ResetByPeer
//! Finishing         .                 .                 .                 .          Finished  Resetting     .             ResetByPeer
//! Finished          .                 .                 .                 .          .         Resetting     .             .
//! Resetting         .                 .                 .                 .          .         .             ResetLocally  ResetLocally
//! ResetLocally      .                 .                 .                 .          .         .             .             .
//! ResetByPeer       .                 .                 .                 .          .         .             .             .
//!
//! receiving half  FIN received  stop     reset         RST received
//! Open            Finished      Stopped  ResetLocally  Reset
//! Finished        .             .        ResetLocally  .
//! Stopped         Ignored       .        ResetLocally  Ignored
//! Ignored         .             .        ResetLocally  .
//! Reset           .             .        .             .
//! ResetLocally    .             .        .             .
//! ```
//!
//! The sending half begins as `Fresh` on an outbound stream and as `Open` on an inbound one. The
//! receiving half begins as `Open`.
//!
//! A received FIN stays valid: a later RST ends only the sending half. A stream whose SYN was not
//! sent is unknown to the peer: a reset of it sends nothing.

use crate::error::ErrorCode;

/// The half that sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "audit", derive(Hash))]
pub(crate) enum SendState {
    /// Opened by this side; the first frame will carry SYN.
    Fresh,
    /// As `Fresh`, but the writer was dropped: if the stream is announced, FIN follows the SYN.
    Left,
    /// SYN is to be sent, with data or without.
    Announcing,
    /// DATA may be sent.
    Open,
    /// FIN follows the buffered data; `fresh` if the SYN has to be sent first.
    Finishing { fresh: bool },
    /// FIN was sent.
    Finished,
    /// RST is to be sent.
    Resetting(ErrorCode),
    /// RST was sent, or the stream was never announced.
    ResetLocally(ErrorCode),
    /// RST was received.
    ResetByPeer(ErrorCode),
}

impl SendState {
    /// Whether DATA frames may still leave.
    pub(crate) const fn is_sending(self) -> bool {
        matches!(
            self,
            Self::Fresh | Self::Left | Self::Announcing | Self::Open | Self::Finishing { .. }
        )
    }

    /// Whether the SYN has not been sent yet.
    pub(crate) const fn owes_syn(self) -> bool {
        matches!(
            self,
            Self::Fresh | Self::Left | Self::Announcing | Self::Finishing { fresh: true }
        )
    }

    /// Whether nothing was sent about the stream, and nothing is to be sent.
    pub(crate) const fn is_silent(self) -> bool {
        matches!(self, Self::Fresh | Self::Left)
    }

    /// Whether the application may write or finish.
    pub(crate) const fn is_unfinished(self) -> bool {
        matches!(self, Self::Fresh | Self::Left | Self::Announcing | Self::Open)
    }

    /// Whether nothing more will leave this half.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::ResetLocally(_) | Self::ResetByPeer(_))
    }

    /// Whether either side has reset the stream.
    pub(crate) const fn is_reset(self) -> bool {
        matches!(self, Self::Resetting(_) | Self::ResetLocally(_) | Self::ResetByPeer(_))
    }

    /// The state after `event`: the table.
    #[inline]
    pub(crate) const fn on(self, event: SendEvent) -> Self {
        use SendEvent as E;
        use SendState as S;
        match (self, event) {
            (S::Fresh, E::Announce) => S::Announcing,
            (S::Fresh, E::Leave) => S::Left,
            (S::Fresh | S::Announcing, E::Finish) => S::Finishing { fresh: true },
            (S::Fresh | S::Announcing, E::SynSent) => S::Open,
            (S::Announcing, E::Announce) => self,
            (S::Announcing, E::Leave) => S::Finishing { fresh: true },
            (S::Left, E::Announce | E::Finish) => S::Finishing { fresh: true },
            (S::Left, E::SynSent) => S::Finishing { fresh: false },
            (S::Left, E::Leave) => self,
            (S::Fresh | S::Left | S::Announcing, E::FinSent | E::RstSent) => self,
            (S::Fresh | S::Left | S::Announcing, E::Reset(code)) => S::ResetLocally(code),
            (S::Fresh | S::Left | S::Announcing, E::PeerReset(code)) => S::ResetByPeer(code),

            (S::Open, E::Finish | E::Leave) => S::Finishing { fresh: false },
            (S::Open, E::Announce | E::SynSent | E::FinSent | E::RstSent) => self,
            (S::Open, E::Reset(code)) => S::Resetting(code),
            (S::Open, E::PeerReset(code)) => S::ResetByPeer(code),

            (S::Finishing { fresh: true }, E::SynSent) => S::Finishing { fresh: false },
            (
                S::Finishing { fresh: true },
                E::Announce | E::Leave | E::Finish | E::FinSent | E::RstSent,
            ) => self,
            (S::Finishing { fresh: true }, E::Reset(code)) => S::ResetLocally(code),
            (S::Finishing { fresh: true }, E::PeerReset(code)) => S::ResetByPeer(code),

            (S::Finishing { fresh: false }, E::FinSent) => S::Finished,
            (
                S::Finishing { fresh: false },
                E::Announce | E::Leave | E::Finish | E::SynSent | E::RstSent,
            ) => self,
            (S::Finishing { fresh: false }, E::Reset(code)) => S::Resetting(code),
            (S::Finishing { fresh: false }, E::PeerReset(code)) => S::ResetByPeer(code),

            // The peer has sent something that an RST must answer, although everything of ours was
            // sent.
            (S::Finished, E::Reset(code)) => S::Resetting(code),
            (
                S::Finished,
                E::Announce | E::Leave | E::Finish | E::SynSent | E::FinSent | E::RstSent,
            ) => self,
            // What is complete stays complete.
            (S::Finished, E::PeerReset(_)) => self,

            (S::Resetting(code), E::RstSent) => S::ResetLocally(code),
            // Neither side answers an RST with an RST.
            (S::Resetting(code), E::PeerReset(_)) => S::ResetLocally(code),
            (
                S::Resetting(_),
                E::Announce | E::Leave | E::Finish | E::SynSent | E::FinSent | E::Reset(_),
            ) => self,

            (S::ResetLocally(_) | S::ResetByPeer(_), _) => self,
        }
    }

    /// Whether an RST waits to be sent.
    #[cfg(feature = "audit")]
    pub(crate) const fn owes_rst(self) -> bool {
        matches!(self, Self::Resetting(_))
    }

    /// The stream has to be announced.
    pub(crate) const fn announce(self) -> Self {
        self.on(SendEvent::Announce)
    }

    /// The writer is dropped and has no unsent data.
    pub(crate) const fn leave(self) -> Self {
        self.on(SendEvent::Leave)
    }

    /// The application finishes the stream.
    pub(crate) const fn finish(self) -> Self {
        self.on(SendEvent::Finish)
    }

    /// The SYN has been sent.
    pub(crate) const fn syn_sent(self) -> Self {
        self.on(SendEvent::SynSent)
    }

    /// The FIN has been sent.
    pub(crate) const fn fin_sent(self) -> Self {
        self.on(SendEvent::FinSent)
    }

    /// This side resets the stream, for the application or because the peer broke a rule.
    pub(crate) const fn reset(self, code: ErrorCode) -> Self {
        self.on(SendEvent::Reset(code))
    }

    /// The RST has been sent.
    pub(crate) const fn rst_sent(self) -> Self {
        self.on(SendEvent::RstSent)
    }

    /// The peer resets the stream.
    pub(crate) const fn peer_reset(self, code: ErrorCode) -> Self {
        self.on(SendEvent::PeerReset(code))
    }
}

/// What can happen to the half that sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendEvent {
    /// The stream has to be announced: the application asks for it, or waits for data from the
    /// peer.
    Announce,
    /// The writer is dropped and has no unsent data.
    Leave,
    /// The application finishes the stream.
    Finish,
    /// The SYN has been sent.
    SynSent,
    /// The FIN has been sent.
    FinSent,
    /// This side resets the stream, for the application or because the peer broke a rule.
    Reset(ErrorCode),
    /// The RST has been sent.
    RstSent,
    /// The peer resets the stream, or its GOAWAY says that it never had it.
    PeerReset(ErrorCode),
}

/// The half that receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "audit", derive(Hash))]
pub(crate) enum RecvState {
    /// DATA may arrive.
    Open,
    /// FIN was received; the buffer may hold unread data.
    Finished,
    /// The reader has stopped: arriving data is discarded.
    Stopped,
    /// Stopped, and the peer's end has arrived.
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

    /// The state after `event`: the table.
    #[inline]
    pub(crate) const fn on(self, event: RecvEvent) -> Self {
        use RecvEvent as E;
        use RecvState as S;
        match (self, event) {
            (S::Open, E::Fin) => S::Finished,
            (S::Open, E::Stop) => S::Stopped,
            (S::Open, E::Reset(code)) => S::ResetLocally(code),
            (S::Open, E::PeerReset(code)) => S::Reset(code),

            // What is complete stays complete.
            (S::Finished, E::Fin | E::Stop | E::PeerReset(_)) => self,
            (S::Finished, E::Reset(code)) => S::ResetLocally(code),

            (S::Stopped, E::Fin | E::PeerReset(_)) => S::Ignored,
            (S::Stopped, E::Stop) => self,
            (S::Stopped, E::Reset(code)) => S::ResetLocally(code),

            (S::Ignored, E::Fin | E::Stop | E::PeerReset(_)) => self,
            (S::Ignored, E::Reset(code)) => S::ResetLocally(code),

            (S::Reset(_) | S::ResetLocally(_), _) => self,
        }
    }

    /// FIN arrives. Late and repeated ones change nothing.
    pub(crate) const fn fin(self) -> Self {
        self.on(RecvEvent::Fin)
    }

    /// The reader goes away.
    pub(crate) const fn stop(self) -> Self {
        self.on(RecvEvent::Stop)
    }

    /// This side resets the stream.
    pub(crate) const fn reset(self, code: ErrorCode) -> Self {
        self.on(RecvEvent::Reset(code))
    }

    /// The peer resets the stream.
    pub(crate) const fn peer_reset(self, code: ErrorCode) -> Self {
        self.on(RecvEvent::PeerReset(code))
    }
}

/// What can happen to the half that receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecvEvent {
    /// FIN arrives.
    Fin,
    /// The reader goes away.
    Stop,
    /// This side resets the stream, for the application or because the peer broke a rule.
    Reset(ErrorCode),
    /// The peer resets the stream, or its GOAWAY says that it never had it.
    PeerReset(ErrorCode),
}

#[cfg(test)]
mod tests;
