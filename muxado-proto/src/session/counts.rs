//! How many streams there are, by what the limits ask: may a stream be opened or let in, and is a
//! drain done.

use super::tally::{fewer, more};
use crate::config::Config;
use crate::stream::Stream;
use crate::stream::store::{Opener, Store};

/// The streams that have a record, heartbeats left out.
///
/// Invariant: each figure is the number of streams in the store that fit its description.
#[derive(Debug, Default)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct Counts {
    /// Opened by the peer.
    inbound: u32,
    /// Opened by this side.
    outbound: u32,
    /// Opened by this side, and the peer has sent nothing on them.
    unanswered: u32,
    /// Not finished or reset in both directions.
    incomplete: u32,
    /// The application was told that opening is blocked.
    opener_waits: bool,
    /// The backlog was full when the current input began: what came with it was not refused, as
    /// the application had no chance to accept any of it.
    backlog_full: bool,
}

impl Counts {
    /// This side has opened a stream.
    pub(super) const fn opened(&mut self) {
        more(&mut self.outbound);
        more(&mut self.unanswered);
        more(&mut self.incomplete);
    }

    /// A stream of the peer was let in.
    pub(super) const fn let_in(&mut self) {
        more(&mut self.inbound);
        more(&mut self.incomplete);
    }

    /// A stream that was let in turns out to be a heartbeat, which does not count.
    pub(super) const fn is_heartbeat(&mut self) {
        fewer(&mut self.inbound);
        fewer(&mut self.incomplete);
    }

    /// The peer has sent something on a stream of this side.
    pub(super) const fn answered(&mut self) {
        fewer(&mut self.unanswered);
    }

    /// A stream has ended in both directions.
    pub(super) const fn completed(&mut self) {
        fewer(&mut self.incomplete);
    }

    /// A stream has lost its record.
    pub(super) const fn removed(&mut self, stream: &Stream, own: bool) {
        if !stream.is_counted() {
            return;
        }
        if !stream.complete {
            fewer(&mut self.incomplete);
        }
        if !own {
            fewer(&mut self.inbound);
        } else {
            fewer(&mut self.outbound);
            if !stream.answered {
                fewer(&mut self.unanswered);
            }
        }
    }

    /// Streams of both sides.
    pub(super) const fn open(&self) -> u32 {
        self.inbound.saturating_add(self.outbound)
    }

    /// Whether all streams have ended in both directions.
    pub(super) const fn all_complete(&self) -> bool {
        self.incomplete == 0
    }

    /// Whether the peer has as many streams of this side as it may. It still has those that were
    /// given up here and that it has not finished, as far as they are remembered.
    pub(super) fn is_open_blocked(&self, store: &Store, config: &Config) -> bool {
        let unanswered = store.closed(Opener::Unanswered);
        let given_up = store.closed(Opener::Answered).saturating_add(unanswered);
        let open = self.outbound.saturating_add(given_up);
        let unanswered = self.unanswered.saturating_add(unanswered);
        open >= config.max_outbound_streams
            || config.max_unanswered_streams.is_some_and(|max| unanswered >= max)
    }

    /// The application was told that opening is blocked, and waits.
    pub(super) const fn opener_waits(&mut self) {
        self.opener_waits = true;
    }

    /// Whether somebody waits to open a stream.
    pub(super) const fn has_waiting_opener(&self) -> bool {
        self.opener_waits
    }

    /// Nobody waits to open a stream any more; whether somebody did.
    pub(super) const fn take_waiting_opener(&mut self) -> bool {
        core::mem::replace(&mut self.opener_waits, false)
    }

    /// Input begins while so many streams wait to be accepted.
    pub(super) const fn input_begins(&mut self, waiting: u32, config: &Config) {
        self.backlog_full = waiting >= config.accept_backlog;
    }

    /// Whether the backlog leaves no room for a stream that arrives now.
    pub(super) const fn is_backlog_full(&self) -> bool {
        self.backlog_full
    }

    /// Whether the peer has as many streams open as it may.
    pub(super) const fn is_inbound_full(&self, config: &Config) -> bool {
        self.inbound >= config.max_inbound_streams
    }

    /// Compares with the figures that the streams give, in the order of the fields.
    #[cfg(feature = "audit")]
    pub(super) fn audit(&self, counted: [u32; 4]) -> super::audit::Finding {
        let kept = [self.inbound, self.outbound, self.unanswered, self.incomplete];
        super::audit::same("streams in, out, unanswered, incomplete", kept, counted)
    }
}

#[cfg(feature = "audit")]
impl Counts {
    pub(super) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        // Whether the backlog is full is looked up anew with the next input.
        let Self { inbound, outbound, unanswered, incomplete, opener_waits, backlog_full: _ } =
            self;
        digest.value(&[inbound, outbound, unanswered, incomplete]);
        digest.flag(*opener_waits);
    }
}
