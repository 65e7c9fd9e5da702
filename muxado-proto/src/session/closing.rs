//! The end of a session: its phase, the GOAWAYs of both sides, and the end of the transport.

use alloc::boxed::Box;
use core::time::Duration;

use bytes::Bytes;

use crate::config::Config;
use crate::error::{CloseReason, CutBy, ErrorCode, OpenError};
use crate::time::Timestamp;

/// GOAWAYs that a peer may send: one to go away, one to close, and some more. Each costs a pass
/// over all streams.
const MAX_GO_AWAYS: u8 = 16;

/// A close is announced while streams are open only if nothing has moved for this long: one known
/// peer reads nothing after a GOAWAY, not even credit, so running transfers come first.
const QUIET: Duration = Duration::from_millis(100);

/// How long a drain of this side may take in all.
fn limit(config: &Config) -> Duration {
    config.drain_limit.max(config.drain_timeout)
}

/// The phase of the session.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
enum Phase {
    /// Streams can be opened.
    Open,
    /// This side opens no new streams; open streams continue until the session ends.
    Draining(Box<Drain>),
    /// Over, for this reason.
    Over(Box<CloseReason>),
}

/// A session that ends gracefully.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
struct Drain {
    /// The reason of the end if no stream is cut.
    reason: CloseReason,
    by: Side,
    newcomers: Newcomers,
    began: Timestamp,
    /// When payload, or the end of a stream, was last sent or received.
    moved: Timestamp,
}

/// Who has begun to drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "audit", derive(Hash))]
enum Side {
    /// This side: it may cut the streams.
    Own,
    /// The peer: it knows how long it is willing to wait, and then ends the transport.
    Peer,
}

/// What happens to streams that the peer opens during the drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "audit", derive(Hash))]
enum Newcomers {
    /// Admitted: a SYN that was sent before the peer's GOAWAY may still be in flight.
    Welcome,
    /// Refused, or none will come: the session ends with its open streams.
    Refused,
}

/// The pad frames that the peer has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "audit", derive(Hash))]
enum Pad {
    /// There was no GOAWAY.
    None,
    /// A GOAWAY was read, and no pad after it.
    Missing,
    /// The pad was read: the peer keeps to PROTOCOL.md §7.1, so no SYN follows.
    Read,
    /// Another pad was read, not after a GOAWAY: nothing follows.
    Last,
}

/// What to do when the drain's timer expires.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DrainStep {
    /// Something has moved since it was set.
    Wait(Timestamp),
    /// The close is to be announced.
    Announce,
    /// The peer has gone away, nothing is open, and the peer does not end the transport.
    Finish,
    /// Open streams are cut.
    Cut,
}

/// The code and text of a GOAWAY.
type GoAway = (ErrorCode, Bytes);

/// The texts of the GOAWAYs of both sides.
#[derive(Debug, Default)]
#[cfg_attr(feature = "audit", derive(Clone, Hash))]
struct Texts {
    /// To be sent: announces a graceful end.
    orderly: Option<GoAway>,
    /// To be sent after that one: reports an end that is not graceful.
    last: Option<GoAway>,
    /// The text of this side's announcement.
    announcement: Bytes,
    received: Option<GoAway>,
    /// Bytes that were discarded after the end.
    discarded: u32,
}

/// The phase of a session, and the GOAWAYs of both sides.
///
/// Invariants: after the reason of the end is fixed, nothing changes, and only the GOAWAY with that
/// reason is sent; the reason of a drain can change to an error, never back.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct Closing {
    phase: Phase,
    /// Allocated when there is a text.
    texts: Option<Box<Texts>>,
    /// A GOAWAY was sent, or waits to be.
    announced: bool,
    pad: Pad,
    /// GOAWAYs of the peer.
    count: u8,
    /// The last pad, which says that nothing follows, was sent.
    said_all: bool,
    /// There is nothing more to send, so the transport's write side may be shut.
    flushed: bool,
    /// The peer's side of the transport has ended, or was given up.
    ended: bool,
}

impl Closing {
    pub(super) const fn new() -> Self {
        Self {
            phase: Phase::Open,
            texts: None,
            announced: false,
            pad: Pad::None,
            count: 0,
            said_all: false,
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

    /// Whether the session ends when the streams that are open have ended; new ones of the peer
    /// are refused.
    #[inline]
    pub(super) const fn refuses_streams(&self) -> bool {
        match &self.phase {
            Phase::Draining(drain) => matches!(drain.newcomers, Newcomers::Refused),
            Phase::Open | Phase::Over(_) => false,
        }
    }

    /// Whether open streams continue until the session ends.
    pub(super) const fn is_draining(&self) -> bool {
        matches!(self.phase, Phase::Draining(_))
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
            Phase::Over(reason) => Err(OpenError::SessionClosed((**reason).clone())),
            Phase::Draining(_) => Err(OpenError::GoingAway),
            Phase::Open => Ok(()),
        }
    }

    /// The reason of a session that ends now: `otherwise`, unless it was going away. Then it is the
    /// reason of the drain, unless streams are cut.
    pub(super) fn reason_after(
        &self,
        otherwise: CloseReason,
        by: CutBy,
        streams: u32,
    ) -> CloseReason {
        match &self.phase {
            Phase::Draining(drain) if streams > 0 && drain.reason.is_clean() => {
                CloseReason::Cut { streams, by }
            }
            Phase::Draining(drain) => drain.reason.clone(),
            Phase::Over(reason) => (**reason).clone(),
            Phase::Open => otherwise,
        }
    }

    /// This side starts to drain; `false` if it already drains, or if the session is over. The
    /// reason replaces that of the peer's GOAWAY if that was no error.
    pub(super) fn drain(&mut self, code: ErrorCode, text: Bytes, now: Timestamp) -> bool {
        let own = CloseReason::Local { code };
        let reason = match &self.phase {
            Phase::Over(_) => return false,
            Phase::Draining(drain) if drain.by == Side::Own => return false,
            Phase::Draining(drain) if !drain.reason.is_clean() => drain.reason.clone(),
            Phase::Draining(_) | Phase::Open => own,
        };
        let newcomers = Newcomers::Refused;
        let drain = Drain { reason, by: Side::Own, newcomers, began: now, moved: now };
        self.phase = Phase::Draining(Box::new(drain));
        self.texts().announcement = text;
        true
    }

    /// The peer has sent a GOAWAY; `false` if it has sent too many.
    #[must_use]
    pub(super) fn on_go_away(&mut self, code: ErrorCode, text: Bytes) -> bool {
        self.count = self.count.saturating_add(1);
        if self.count > MAX_GO_AWAYS {
            return false;
        }
        self.pad = Pad::Missing;
        if let Phase::Draining(drain) = &mut self.phase {
            // A later one can change the reason to an error, never back. An error of this side
            // stays.
            let own_error =
                matches!(drain.reason, CloseReason::Local { .. } if !drain.reason.is_clean());
            if code != ErrorCode::NO_ERROR && !own_error {
                drain.reason = CloseReason::Remote { code, text: text.clone() };
            }
        }
        self.texts().received = Some((code, text));
        true
    }

    /// The peer's GOAWAY starts the drain; `false` if the session cannot start to drain.
    pub(super) fn drain_for_peer(&mut self, now: Timestamp) -> bool {
        let Some((code, text)) = self.received().cloned().filter(|_| self.is_open()) else {
            return false;
        };
        self.phase = Phase::Draining(Box::new(Drain {
            reason: CloseReason::Remote { code, text },
            by: Side::Peer,
            newcomers: Newcomers::Welcome,
            began: now,
            moved: now,
        }));
        self.texts().announcement = Bytes::from_static(b"closed by the peer");
        true
    }

    /// The pad frame has arrived.
    pub(super) const fn on_pad(&mut self) {
        self.pad = match self.pad {
            Pad::None => Pad::None,
            Pad::Missing => Pad::Read,
            Pad::Read | Pad::Last => Pad::Last,
        };
        if !matches!(self.pad, Pad::None) {
            self.refuse_streams();
        }
    }

    /// Whether the peer has sent its last pad: nothing follows.
    pub(super) const fn peer_has_said_all(&self) -> bool {
        matches!(self.pad, Pad::Last)
    }

    /// Whether the last pad was sent.
    pub(super) const fn has_said_all(&self) -> bool {
        self.said_all
    }

    /// The last pad is sent.
    pub(super) const fn say_all(&mut self) {
        self.said_all = true;
    }

    /// No more streams of the peer will come, or they are refused: the drain ends with the open
    /// streams.
    pub(super) const fn refuse_streams(&mut self) {
        if let Phase::Draining(drain) = &mut self.phase {
            drain.newcomers = Newcomers::Refused;
        }
    }

    /// Payload, or the end of a stream, was sent or received.
    #[inline]
    pub(super) const fn moved(&mut self, now: Timestamp) {
        if let Phase::Draining(drain) = &mut self.phase {
            drain.moved = now;
        }
    }

    /// When to check the drain again if nothing moves until then; `idle`: nothing is open.
    pub(super) fn drain_due(&self, config: &Config, idle: bool) -> Option<Timestamp> {
        let Phase::Draining(drain) = &self.phase else { return None };
        Some(match drain.by {
            Side::Own => {
                let pause = config.drain_timeout;
                let pause = if self.wants_quiet(config) { pause.min(QUIET) } else { pause };
                (drain.moved + pause).min(drain.began + limit(config))
            }
            Side::Peer if idle => drain.moved + config.drain_timeout,
            Side::Peer => drain.moved + limit(config),
        })
    }

    /// Whether the close is announced as soon as nothing moves.
    fn wants_quiet(&self, config: &Config) -> bool {
        config.announce_close && !self.announced
    }

    /// What to do now that the drain's timer has expired.
    pub(super) fn drain_step(&self, now: Timestamp, config: &Config, idle: bool) -> DrainStep {
        let Phase::Draining(drain) = &self.phase else { return DrainStep::Cut };
        match self.drain_due(config, idle) {
            Some(due) if due > now => DrainStep::Wait(due),
            _ if drain.by == Side::Own && drain.began + limit(config) <= now => DrainStep::Cut,
            _ if drain.by == Side::Own && self.wants_quiet(config) => DrainStep::Announce,
            _ if drain.newcomers == Newcomers::Welcome && idle => DrainStep::Finish,
            _ => DrainStep::Cut,
        }
    }

    /// Fixes the reason of the end; `false` if it was fixed before.
    pub(super) fn end(&mut self, reason: CloseReason) -> bool {
        if self.is_over() {
            return false;
        }
        self.phase = Phase::Over(Box::new(reason));
        true
    }

    /// Queues the GOAWAY of a graceful end, unless one was sent or is queued.
    pub(super) fn announce(&mut self) {
        if core::mem::replace(&mut self.announced, true) {
            return;
        }
        let code = match &self.phase {
            Phase::Draining(drain) => match drain.reason {
                CloseReason::Local { code } => code,
                _ => ErrorCode::NO_ERROR,
            },
            Phase::Open | Phase::Over(_) => ErrorCode::NO_ERROR,
        };
        let texts = self.texts();
        texts.orderly = Some((code, core::mem::take(&mut texts.announcement)));
    }

    /// Queues a GOAWAY that reports an end that is not graceful, after any other.
    pub(super) fn insist(&mut self, code: ErrorCode, text: Bytes) {
        self.announced = true;
        self.texts().last = Some((code, text));
    }

    /// Cancels the announcement of a graceful end.
    pub(super) fn withdraw(&mut self) {
        if let Some(texts) = &mut self.texts {
            texts.orderly = None;
        }
    }

    /// Whether a GOAWAY was sent or is queued.
    pub(super) const fn is_announced(&self) -> bool {
        self.announced
    }

    /// The GOAWAY the peer has sent last.
    pub(super) fn received(&self) -> Option<&GoAway> {
        self.texts.as_ref()?.received.as_ref()
    }

    /// The cause for streams that the peer's GOAWAY ends, if its code is an error.
    pub(super) fn error_received(&self, code: ErrorCode) -> Option<CloseReason> {
        let (error, text) = self.received()?;
        let tells = code == ErrorCode::REMOTE_GONE_AWAY && *error != ErrorCode::NO_ERROR;
        tells.then(|| CloseReason::Remote { code: *error, text: text.clone() })
    }

    /// Whether a GOAWAY is to be sent.
    pub(super) fn is_due(&self) -> bool {
        self.texts.as_ref().is_some_and(|texts| texts.orderly.is_some() || texts.last.is_some())
    }

    /// The next GOAWAY to send.
    pub(super) fn take_due(&mut self) -> Option<GoAway> {
        let texts = self.texts.as_mut()?;
        texts.orderly.take().or_else(|| texts.last.take())
    }

    /// Nothing more will be sent.
    pub(super) const fn flush(&mut self) {
        self.flushed = true;
    }

    /// Whether the transport's write side may be shut.
    pub(super) const fn is_flushed(&self) -> bool {
        self.flushed
    }

    /// The peer's side of the transport has ended.
    pub(super) const fn transport_ended(&mut self) {
        self.ended = true;
    }

    /// Whether frames are still read after the end: only the peer's GOAWAY and its pads, and only
    /// if nothing was cut. When they arrive, the transport need not linger.
    pub(super) fn awaits_pad(&self) -> bool {
        self.reason().is_some_and(CloseReason::is_clean) && self.pad != Pad::Last
    }

    /// A GOAWAY has arrived after the end: it changes nothing except that a pad may follow.
    pub(super) const fn on_late_go_away(&mut self) {
        self.pad = Pad::Missing;
    }

    /// Bytes were discarded after the end. If they are more than `max` in all, the peer will not
    /// end its side, and the session acts as if it had.
    pub(super) fn discard(&mut self, bytes: usize, max: u32) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let texts = self.texts();
        texts.discarded = texts.discarded.saturating_add(bytes);
        let too_many = texts.discarded > max;
        self.ended |= too_many;
    }

    /// Whether input can still have an effect.
    pub(super) const fn wants_input(&self) -> bool {
        !self.ended
    }

    /// The transport will not be written or read again.
    pub(super) fn give_up_transport(&mut self) {
        while self.take_due().is_some() {}
        self.flushed = true;
        self.ended = true;
    }

    /// Whether nothing more has to be sent or received: the peer has ended its side, or has sent
    /// its last pad in a graceful end.
    pub(super) fn is_finished(&self) -> bool {
        let heard_all =
            self.peer_has_said_all() && self.reason().is_some_and(CloseReason::is_clean);
        self.flushed && (self.ended || heard_all)
    }

    fn texts(&mut self) -> &mut Texts {
        self.texts.get_or_insert_default()
    }
}

#[cfg(feature = "audit")]
impl Closing {
    pub(super) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        let Self { phase, texts, announced, pad, count, said_all, flushed, ended } = self;
        match phase {
            Phase::Open => digest.number(0),
            Phase::Draining(drain) => {
                let Drain { reason, by, newcomers, began, moved } = &**drain;
                digest.number(1);
                digest.value(&(reason, by, newcomers));
                digest.since(*moved);
                digest.deadline(Some(*began + limit(digest.config)));
            }
            Phase::Over(reason) => {
                digest.number(2);
                digest.value(reason);
            }
        }
        digest.value(&(texts, announced, pad, count, said_all, flushed, ended));
    }
}

#[cfg(test)]
mod tests;
