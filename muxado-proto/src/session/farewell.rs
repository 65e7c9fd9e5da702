//! How far a session has come: its phase, the GOAWAYs of both sides, and the end of the transport.

use alloc::boxed::Box;

use bytes::Bytes;

use crate::error::{CloseReason, ErrorCode, OpenError};

/// GOAWAYs a peer may send: one to go away, one to close, and some more. Each costs a look at every
/// stream.
const MAX_GO_AWAYS: u32 = 16;

/// How far the session has come.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone, Hash))]
enum Phase {
    /// Streams can be opened.
    Open,
    /// No new streams from here. `refuse`: the peer's new ones are refused too, because this side
    /// has begun; then the session is over when the streams that are open have ended.
    Draining { reason: CloseReason, refuse: bool },
    /// Over, for this reason.
    Over(CloseReason),
}

/// The code and text of a GOAWAY.
type GoAway = (ErrorCode, Bytes);

/// The texts of the GOAWAYs of both sides.
#[derive(Debug, Default)]
#[cfg_attr(feature = "audit", derive(Clone, Hash))]
struct Texts {
    /// To be sent.
    to_send: Option<GoAway>,
    /// What this side says when it closes, unless it has sent a GOAWAY by then.
    closing: Bytes,
    received: Option<GoAway>,
}

/// The phase of a session and what both sides have said about its end.
///
/// Invariant: nothing is said or changed after the reason of the end is fixed, but for the GOAWAY
/// that tells it.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone, Hash))]
pub(super) struct Farewell {
    phase: Phase,
    /// Without memory until there is a text.
    texts: Option<Box<Texts>>,
    /// A GOAWAY was sent, or waits to be.
    announced: bool,
    /// GOAWAYs of the peer.
    count: u32,
    /// Nothing more to send, so the transport's write side may be shut.
    flushed: bool,
    /// The peer's side of the transport has ended, or was given up.
    ended: bool,
}

impl Farewell {
    pub(super) const fn new() -> Self {
        Self {
            phase: Phase::Open,
            texts: None,
            announced: false,
            count: 0,
            flushed: false,
            ended: false,
        }
    }

    /// Whether streams can be opened.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether the session is over.
    #[inline]
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    /// Whether new streams of the peer are refused.
    #[inline]
    pub(super) const fn refuses_streams(&self) -> bool {
        matches!(self.phase, Phase::Draining { refuse: true, .. })
    }

    /// Whether streams that are open run on towards an end of the session.
    #[cfg(feature = "audit")]
    pub(super) const fn is_draining(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. })
    }

    /// Why the session is over, once it is.
    pub(super) const fn reason(&self) -> Option<&CloseReason> {
        match &self.phase {
            Phase::Over(reason) => Some(reason),
            _ => None,
        }
    }

    /// Why no stream can be opened.
    pub(super) fn may_open(&self) -> Result<(), OpenError> {
        match &self.phase {
            Phase::Over(reason) => Err(OpenError::SessionClosed(reason.clone())),
            Phase::Draining { .. } => Err(OpenError::GoingAway),
            Phase::Open => Ok(()),
        }
    }

    /// The reason that draining will end with.
    pub(super) const fn draining_reason(&self) -> Option<&CloseReason> {
        match &self.phase {
            Phase::Draining { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// The reason a session ends for that was going away already, or else `reason`.
    pub(super) fn reason_or(&self, reason: CloseReason) -> CloseReason {
        match (&self.phase, self.received()) {
            (Phase::Draining { reason, .. }, _) => reason.clone(),
            (_, Some((code, text))) => CloseReason::Remote { code: *code, text: text.clone() },
            _ => reason,
        }
    }

    /// This side starts to drain; `false` if it does so already, or if the session is over. Its
    /// reason replaces that of the peer's GOAWAY.
    pub(super) fn drain(&mut self, code: ErrorCode, text: Bytes) -> bool {
        match self.phase {
            Phase::Over(_) | Phase::Draining { refuse: true, .. } => return false,
            Phase::Open | Phase::Draining { refuse: false, .. } => {}
        }
        self.phase = Phase::Draining { reason: CloseReason::Local { code }, refuse: true };
        self.set_text(text);
        true
    }

    /// The peer has sent a GOAWAY; `false` if it has sent too many.
    #[must_use]
    pub(super) fn on_go_away(&mut self, code: ErrorCode, text: Bytes) -> bool {
        self.count = self.count.saturating_add(1);
        if self.count > MAX_GO_AWAYS {
            return false;
        }
        self.texts().received = Some((code, text));
        true
    }

    /// The peer's GOAWAY starts the drain; `false` if the session does not wait for that.
    pub(super) fn drain_for_peer(&mut self) -> bool {
        if !self.is_open() {
            return false;
        }
        let reason = self.reason_or(CloseReason::TransportEof);
        self.phase = Phase::Draining { reason, refuse: false };
        true
    }

    /// Fixes the reason of the end; `false` if it was fixed before.
    pub(super) fn end(&mut self, reason: CloseReason) -> bool {
        if self.is_over() {
            return false;
        }
        self.phase = Phase::Over(reason);
        true
    }

    /// What this side says when it closes.
    pub(super) fn set_text(&mut self, text: Bytes) {
        self.texts().closing = text;
    }

    /// The next GOAWAY is sent even behind one that has announced an orderly end.
    pub(super) const fn announce_again(&mut self) {
        self.announced = false;
    }

    /// Queues the GOAWAY, unless one was sent or waits.
    pub(super) fn announce(&mut self, code: ErrorCode) {
        if !core::mem::replace(&mut self.announced, true) {
            let texts = self.texts();
            texts.to_send = Some((code, core::mem::take(&mut texts.closing)));
        }
    }

    /// The GOAWAY the peer has sent last.
    pub(super) fn received(&self) -> Option<&GoAway> {
        self.texts.as_ref()?.received.as_ref()
    }

    /// Whether a GOAWAY is to be sent.
    pub(super) fn is_due(&self) -> bool {
        self.texts.as_ref().is_some_and(|texts| texts.to_send.is_some())
    }

    /// The GOAWAY to send.
    pub(super) fn take_due(&mut self) -> Option<GoAway> {
        self.texts.as_mut()?.to_send.take()
    }

    /// Nothing more will be sent; `false` if that was known.
    pub(super) const fn flush(&mut self) -> bool {
        !core::mem::replace(&mut self.flushed, true)
    }

    /// Whether the transport's write side may be shut.
    pub(super) const fn is_flushed(&self) -> bool {
        self.flushed
    }

    /// The peer's side of the transport has ended.
    pub(super) const fn transport_ended(&mut self) {
        self.ended = true;
    }

    /// Nobody will write or read the transport any more.
    pub(super) fn give_up_transport(&mut self) {
        let _never_sent = self.take_due();
        self.flushed = true;
        self.ended = true;
    }

    /// Whether nothing can be sent or received any more.
    pub(super) const fn is_finished(&self) -> bool {
        self.flushed && self.ended
    }

    fn texts(&mut self) -> &mut Texts {
        self.texts.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: ErrorCode = ErrorCode::INTERNAL;

    #[test]
    fn the_first_reason_of_the_end_stands() {
        let mut farewell = Farewell::new();
        assert!(farewell.end(CloseReason::HeartbeatTimeout));
        assert!(!farewell.end(CloseReason::TransportEof));
        assert_eq!(farewell.reason(), Some(&CloseReason::HeartbeatTimeout));
        assert!(!farewell.drain(CODE, Bytes::new()));
        assert!(!farewell.drain_for_peer());
    }

    #[test]
    fn a_reason_of_this_side_replaces_that_of_the_peer() {
        let mut farewell = Farewell::new();
        assert!(farewell.on_go_away(ErrorCode::NO_ERROR, "bye".into()));
        assert!(farewell.drain_for_peer());
        assert!(!farewell.refuses_streams());
        assert!(farewell.drain(CODE, Bytes::new()));
        assert!(farewell.refuses_streams());
        assert_eq!(farewell.draining_reason(), Some(&CloseReason::Local { code: CODE }));
    }

    #[test]
    fn a_go_away_is_sent_once() {
        let mut farewell = Farewell::new();
        farewell.set_text("first".into());
        farewell.announce(CODE);
        farewell.announce(ErrorCode::NO_ERROR);
        assert_eq!(farewell.take_due(), Some((CODE, "first".into())));
        farewell.announce(CODE);
        assert!(!farewell.is_due());
        farewell.announce_again();
        farewell.announce(CODE);
        assert!(farewell.is_due());
    }

    #[test]
    fn a_peer_may_say_goodbye_a_few_times() {
        let mut farewell = Farewell::new();
        for _ in 0..MAX_GO_AWAYS {
            assert!(farewell.on_go_away(CODE, Bytes::new()));
        }
        assert!(!farewell.on_go_away(CODE, Bytes::new()));
    }
}
