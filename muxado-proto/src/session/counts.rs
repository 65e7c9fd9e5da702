//! The numbers of streams that the limits need: whether a stream may be opened, admitted or
//! accepted, and whether a drain is done (docs/adr/0016-what-takes-a-slot.md).

use super::tally::{fewer, more};
use crate::config::Config;
use crate::stream::{Mark, Stream};

/// The streams of one opener.
#[derive(Debug, Default)]
#[cfg_attr(feature = "audit", derive(Clone))]
struct Side {
    /// Not over in both directions, as far as was sent and received. The peer can count the same.
    open: u32,
    /// Over, and the application has not released them.
    over: u32,
}

/// The streams that have a record, heartbeats left out.
///
/// Invariant: each counter is the number of streams in the store that fit its description.
#[derive(Debug, Default)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct Counts {
    inbound: Side,
    outbound: Side,
    /// Of the peer, accepted and not released.
    accepted: u32,
    /// Of these, finished by both sides and read to the end: they take no slot.
    finished: u32,
    /// Opened by this side, announced recently or not yet, and the peer has sent nothing on them.
    unanswered: u32,
    /// Streams that have ended in both directions since the start of the current batch: their end
    /// may be in it.
    unconfirmed: u32,
    /// Nobody accepts streams of the peer.
    closed_to_peer: bool,
    /// The application got "blocked" from an open.
    opener_waits: bool,
    /// The application was refused a stream that waits to be accepted.
    acceptor_waits: bool,
    /// The backlog was full when the current input began. Streams of one input are not refused
    /// because of each other, as the application cannot accept any of them in between.
    backlog_full: bool,
}

impl Counts {
    const fn side(&mut self, own: bool) -> &mut Side {
        if own { &mut self.outbound } else { &mut self.inbound }
    }

    /// This side has opened a stream.
    pub(super) const fn opened(&mut self) {
        more(&mut self.outbound.open);
        more(&mut self.unanswered);
    }

    /// A stream of the peer was let in.
    pub(super) const fn let_in(&mut self) {
        more(&mut self.inbound.open);
    }

    /// An admitted stream is a heartbeat, which does not count.
    pub(super) const fn is_heartbeat(&mut self) {
        fewer(&mut self.inbound.open);
    }

    /// The application was given a stream of the peer.
    pub(super) const fn accepted(&mut self, stream: &Stream) {
        more(&mut self.accepted);
        if stream.is(Mark::Complete) {
            more(&mut self.inbound.over);
        }
    }

    /// The peer has sent something on a stream of this side, or has had time to do so.
    pub(super) const fn answered(&mut self) {
        fewer(&mut self.unanswered);
    }

    /// A stream is over in both directions. `in_hand`: the application holds it. `confirmed`: the
    /// transport has taken all output.
    pub(super) const fn completed(&mut self, own: bool, in_hand: bool, confirmed: bool) {
        if !confirmed {
            more(&mut self.unconfirmed);
        }
        let side = self.side(own);
        fewer(&mut side.open);
        if in_hand {
            more(&mut side.over);
        }
    }

    /// An accepted stream was finished by both sides and read to the end.
    pub(super) const fn finished(&mut self) {
        more(&mut self.finished);
    }

    /// The application has released a stream.
    pub(super) const fn released(&mut self, stream: &Stream, own: bool) {
        if stream.is(Mark::Complete) {
            fewer(&mut self.side(own).over);
        }
        if !own {
            fewer(&mut self.accepted);
            if stream.is(Mark::TakesNoSlot) {
                fewer(&mut self.finished);
            }
        }
    }

    /// The transport has taken all that was handed out.
    pub(super) const fn confirmed(&mut self) {
        self.unconfirmed = 0;
    }

    /// Streams that have not ended in both directions, or whose end the transport may not have
    /// taken.
    pub(super) const fn unfinished(&self) -> u32 {
        self.open().saturating_add(self.unconfirmed)
    }

    /// Whether somebody accepts streams of the peer.
    pub(super) const fn set_accepting(&mut self, accepts: bool) {
        self.closed_to_peer = !accepts;
    }

    /// Whether nobody accepts streams of the peer.
    pub(super) const fn is_closed_to_peer(&self) -> bool {
        self.closed_to_peer
    }

    /// A stream has lost its record.
    pub(super) const fn removed(&mut self, stream: &Stream, own: bool) {
        if !stream.is_counted() {
            return;
        }
        if !stream.is(Mark::Complete) {
            fewer(&mut self.side(own).open);
        }
        if own && !stream.is(Mark::Answered) {
            fewer(&mut self.unanswered);
        }
    }

    /// Streams of both sides that are not over.
    pub(super) const fn open(&self) -> u32 {
        self.inbound.open.saturating_add(self.outbound.open)
    }

    /// Streams of both sides that are over and that the application has not released.
    pub(super) const fn over(&self) -> u32 {
        self.inbound.over.saturating_add(self.outbound.over)
    }

    /// Whether all streams are over in both directions.
    pub(super) const fn all_complete(&self) -> bool {
        self.open() == 0
    }

    /// Whether the limits leave no room for another stream of this side. Streams that were given up
    /// here and that the peer has not ended still count.
    pub(super) fn is_open_blocked(&self, config: &Config) -> bool {
        let max = config.max_outbound_streams;
        let held = self.outbound.open.saturating_add(self.outbound.over);
        self.outbound.open >= max
            || held >= max.saturating_mul(2)
            || config.max_open_streams.is_some_and(|max| self.open() >= max)
            || config.max_unanswered_streams.is_some_and(|max| self.unanswered >= max)
    }

    /// Whether the application may accept a waiting stream. An accepted stream takes a slot until
    /// it is released, or finished by both sides; finished ones have their own bound.
    pub(super) const fn may_accept(&self, config: &Config) -> bool {
        let max = config.max_inbound_streams;
        debug_assert!(self.finished <= self.accepted, "the finished are among the accepted");
        let working = self.accepted.saturating_sub(self.finished);
        working < max && self.accepted < max.saturating_mul(2)
    }

    /// The application was refused a stream, and gets an event when it can accept it.
    pub(super) const fn acceptor_waits(&mut self) {
        self.acceptor_waits = true;
    }

    /// Whether to report that the application can accept again.
    pub(super) const fn take_waiting_acceptor(&mut self, config: &Config) -> bool {
        let told = self.acceptor_waits && self.may_accept(config);
        if told {
            self.acceptor_waits = false;
        }
        told
    }

    /// The application got "blocked" from an open, and waits.
    pub(super) const fn opener_waits(&mut self) {
        self.opener_waits = true;
    }

    /// Whether somebody waits to open a stream.
    pub(super) const fn has_waiting_opener(&self) -> bool {
        self.opener_waits
    }

    /// Nobody waits to open a stream from now on; returns whether somebody did.
    pub(super) const fn take_waiting_opener(&mut self) -> bool {
        core::mem::replace(&mut self.opener_waits, false)
    }

    /// Input begins while `waiting` streams wait to be accepted.
    pub(super) const fn input_begins(&mut self, waiting: u32, config: &Config) {
        self.backlog_full = waiting >= config.accept_backlog;
    }

    /// Whether the backlog is full for a stream that arrives while `waiting` streams wait.
    pub(super) const fn is_backlog_full(&self, waiting: u32, config: &Config) -> bool {
        self.backlog_full && waiting >= config.accept_backlog
    }

    /// Whether the peer has as many streams open as it may. The peer can count the same, so a peer
    /// that knows the limit is never refused because of it.
    pub(super) const fn is_inbound_full(&self, config: &Config) -> bool {
        self.inbound.open >= config.max_inbound_streams
    }

    /// Compares with the numbers computed from the streams.
    #[cfg(feature = "audit")]
    pub(super) fn audit(&self, counted: &Self) -> super::audit::Finding {
        let figures = |counts: &Self| {
            let Self { inbound, outbound, .. } = counts;
            [
                inbound.open,
                inbound.over,
                outbound.open,
                outbound.over,
                counts.accepted,
                counts.finished,
                counts.unanswered,
            ]
        };
        let what = "streams in open and over, out open and over, accepted, finished, unanswered";
        super::audit::same(what, figures(self), figures(counted))
    }

    /// Counts a stream, for an audit.
    #[cfg(feature = "audit")]
    pub(super) const fn count(&mut self, stream: &Stream, own: bool) {
        if !stream.is_counted() {
            return;
        }
        let in_hand = matches!(stream.owner, crate::stream::Owner::Application);
        let side = self.side(own);
        if !stream.is(Mark::Complete) {
            more(&mut side.open);
        } else if in_hand {
            more(&mut side.over);
        }
        if !own && in_hand {
            more(&mut self.accepted);
        }
        if !own && in_hand && stream.is(Mark::TakesNoSlot) {
            more(&mut self.finished);
        }
        if own && !stream.is(Mark::Answered) {
            more(&mut self.unanswered);
        }
    }
}

#[cfg(feature = "audit")]
impl Counts {
    pub(super) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        // The next input sets `backlog_full` again.
        let Self {
            inbound,
            outbound,
            accepted,
            finished,
            unanswered,
            unconfirmed,
            closed_to_peer,
            opener_waits,
            acceptor_waits,
            backlog_full: _,
        } = self;
        digest.value(&[inbound.open, inbound.over, outbound.open, outbound.over]);
        digest.value(&[accepted, finished, unanswered, unconfirmed]);
        digest.flag(*closed_to_peer);
        digest.flag(*opener_waits);
        digest.flag(*acceptor_waits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::StreamId;
    use crate::stream::Owner;
    use crate::stream::state::SendState;

    fn stream(config: &Config, complete: bool, takes_no_slot: bool) -> Stream {
        let id = StreamId::new(3);
        let mut stream = Stream::new(id, Owner::Application, SendState::Open, config);
        stream.put(Mark::Complete, complete);
        stream.put(Mark::TakesNoSlot, takes_no_slot);
        stream
    }

    #[test]
    fn a_reset_frees_no_slot_while_the_application_holds_the_stream() {
        let config = Config::builder().max_inbound_streams(2).build().unwrap();
        let (mut counts, open) = (Counts::default(), stream(&config, false, false));
        for _ in 0..2 {
            counts.let_in();
            counts.accepted(&open);
        }
        assert!(counts.is_inbound_full(&config) && !counts.may_accept(&config));
        counts.acceptor_waits();
        counts.completed(false, true, true);
        assert!(!counts.is_inbound_full(&config), "the peer knows that it may open another one");
        assert!(!counts.take_waiting_acceptor(&config));
        counts.released(&stream(&config, true, false), false);
        assert!(counts.take_waiting_acceptor(&config));
        assert_eq!((counts.open(), counts.over()), (1, 0));
    }

    #[test]
    fn finished_streams_take_no_slot_and_are_bounded() {
        let config = Config::builder().max_inbound_streams(2).build().unwrap();
        let mut counts = Counts::default();
        for _ in 0..4 {
            assert!(counts.may_accept(&config));
            counts.let_in();
            counts.accepted(&stream(&config, false, false));
            counts.completed(false, true, true);
            counts.finished();
        }
        assert!(!counts.may_accept(&config));
        counts.released(&stream(&config, true, true), false);
        assert!(counts.may_accept(&config));
    }
}
