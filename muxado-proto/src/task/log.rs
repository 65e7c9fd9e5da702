//! What a session logs: `tracing` events with the session's number, and the peer's name and address
//! if they are known.
//!
//! * `warn`: the peer broke the protocol or a limit, the transport failed, streams were refused;
//! * `info`: a session ended in any other way that is not clean;
//! * `debug`: a session has started, the peer goes away, a clean end;
//! * `trace`, target `muxado_proto::frames`: every frame, for sessions that start while it is
//!   enabled.
//!
//! Nothing is logged while the lock is held, because a subscriber may do anything.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::time::Duration;
use std::io;

use tracing::field::{DisplayValue, display};
use tracing::{Level, debug, info, trace, warn};

use super::observe::GoAway;
use super::shared::{Shared, State};
use crate::decode::{Decoder, Item};
use crate::{CloseReason, ErrorCode, Role, SessionStats, Timestamp, Warning};

/// The target of the lines about frames.
const FRAMES: &str = "muxado_proto::frames";

/// How much of a GOAWAY's text the log of frames keeps.
const TEXT: usize = 256;

/// Time between two lines about refused streams, so that a hostile peer cannot fill the log.
const QUIET: Duration = Duration::from_secs(1);

/// An event with the fields that every line has.
macro_rules! say {
    ($level:ident, $shared:expr, $($rest:tt)+) => {{
        let name = $shared.peer_name();
        $level!(
            session = $shared.number,
            peer = name.as_deref(),
            address = address($shared),
            $($rest)+
        );
    }};
}

fn address(shared: &Shared) -> Option<DisplayValue<core::net::SocketAddr>> {
    shared.addresses.peer().map(display)
}

/// What was logged about one session: in most there is nothing to say before the end, and a log takes
/// a word.
#[derive(Debug, Default)]
pub(super) struct Log(Option<Box<Said>>);

#[derive(Debug, Default)]
struct Said {
    told: Told,
    /// Set if frames are logged.
    frames: Option<Frames>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Told {
    /// Streams whose refusal was reported.
    refused: u64,
    /// When the next refusals may be reported.
    quiet_until: Timestamp,
    going_away: bool,
    /// The warning that was reported last.
    warned: Option<Warning>,
}

/// Something to be logged once the lock is released.
#[derive(Debug)]
pub(super) enum News {
    Refused(u64),
    GoingAway(GoAway),
    Warned(Warning),
}

impl Log {
    pub(super) fn start(shared: &Shared, role: Role) -> Self {
        if tracing::enabled!(Level::DEBUG) {
            say!(debug, shared, ?role, "session started");
        }
        let frames = tracing::enabled!(target: FRAMES, Level::TRACE);
        let said = || Box::new(Said { frames: Some(Frames::default()), ..Said::default() });
        Self(frames.then(said))
    }

    /// Collects what to log after some input.
    pub(super) fn look(&mut self, now: Timestamp, state: &State) -> Option<News> {
        if !tracing::enabled!(Level::WARN) {
            return None;
        }
        let told = self.0.as_ref().map_or_else(Told::default, |said| said.told);
        if let Some(news) = state.going_away.as_ref().filter(|_| !told.going_away) {
            self.told().going_away = true;
            return Some(News::GoingAway(GoAway::clone(news)));
        }
        if let Some(warning) = state.warning.filter(|_| told.warned != state.warning) {
            self.told().warned = Some(warning);
            return Some(News::Warned(warning));
        }
        let refused = state.session.stats().streams_refused;
        if refused == told.refused || now < told.quiet_until {
            return None;
        }
        *self.told() = Told { refused, quiet_until: now + QUIET, ..told };
        Some(News::Refused(refused.saturating_sub(told.refused)))
    }

    fn told(&mut self) -> &mut Told {
        &mut self.0.get_or_insert_default().told
    }

    fn frames(&mut self) -> Option<&mut Frames> {
        self.0.as_mut()?.frames.as_mut()
    }

    /// Logs the frames in the bytes read.
    pub(super) fn read(&mut self, shared: &Shared, bytes: &[u8]) {
        if let Some(frames) = self.frames() {
            show(shared, "received", &mut frames.read, bytes);
        }
    }

    /// Logs the frames in the first `count` bytes of the output.
    pub(super) fn written(&mut self, shared: &Shared, slices: &[io::IoSlice<'_>], count: usize) {
        let Some(frames) = self.frames() else { return };
        let mut left = count;
        for slice in slices {
            let taken = slice.get(..left).unwrap_or(slice);
            show(shared, "sent", &mut frames.written, taken);
            left = left.saturating_sub(taken.len());
        }
    }
}

impl News {
    pub(super) fn tell(self, shared: &Shared) {
        match self {
            Self::Refused(streams) => say!(warn, shared, streams, "streams of the peer refused"),
            Self::Warned(warning) => {
                say!(warn, shared, %warning, "something is odd about the peer")
            }
            Self::GoingAway(GoAway { code, text }) => {
                let text = alloc::string::String::from_utf8_lossy(&text);
                say!(debug, shared, %code, %text, "peer is going away");
            }
        }
    }
}

/// The end of a session.
pub(super) fn ended(
    shared: &Shared,
    reason: &CloseReason,
    transport: Option<&Arc<io::Error>>,
    stats: &SessionStats,
) {
    let SessionStats { streams_opened, streams_accepted, bytes_sent, bytes_received, .. } = *stats;
    if let Some(error) = transport {
        say!(warn, shared, %error, %reason, "transport failed");
    } else if reason.is_clean() {
        say!(
            debug,
            shared,
            %reason,
            streams_opened,
            streams_accepted,
            bytes_sent,
            bytes_received,
            "session ended"
        );
    } else if is_fault(reason) {
        say!(warn, shared, %reason, "session ended");
    } else {
        say!(info, shared, %reason, "session ended");
    }
}

/// Whether a rule or a limit ended the session, and not a decision of either side.
const fn is_fault(reason: &CloseReason) -> bool {
    !matches!(
        reason,
        CloseReason::Local { .. }
            | CloseReason::Remote { .. }
            | CloseReason::TransportEof
            | CloseReason::Abandoned
    )
}

/// The decoders of both directions.
#[derive(Debug)]
struct Frames {
    read: Decoder,
    written: Decoder,
}

impl Default for Frames {
    fn default() -> Self {
        Self { read: Decoder::new(TEXT), written: Decoder::new(TEXT) }
    }
}

fn show(shared: &Shared, way: &'static str, decoder: &mut Decoder, mut bytes: &[u8]) {
    let say = |kind: &'static str, id: u32, length: Option<u32>, code: Option<ErrorCode>| {
        let code = code.map(display);
        trace!(target: FRAMES, session = shared.number, way, kind, stream = id, length, code);
    };
    while let Some(item) = decoder.decode(&mut bytes) {
        match item {
            Item::Data { id, flags, length } => {
                let flags = tracing::field::debug(flags);
                let (session, stream) = (shared.number, id.get());
                trace!(target: FRAMES, session, way, kind = "DATA", stream, length, flags);
            }
            Item::Rst { id, code } => say("RST", id.get(), None, Some(code)),
            Item::WndInc { id, increment } => say("WNDINC", id.get(), Some(increment), None),
            Item::GoAway { last, code, .. } => say("GOAWAY", last.get(), None, Some(code)),
            Item::Malformed { header, code } => {
                say("malformed", header.id.get(), Some(header.length), Some(code));
            }
            Item::Unknown { header } => say("unknown", header.id.get(), Some(header.length), None),
            Item::Payload { .. } | Item::Skipped(_) => {}
        }
    }
}
