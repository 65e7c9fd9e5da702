//! Compares every counter of a session with its streams.

use alloc::format;
use alloc::string::String;
use core::fmt;

use super::Session;
use super::counts::Counts;
use crate::stream::buffer::Size;
use crate::stream::schedule::{Link, Queue};
use crate::stream::state::RecvState;
use crate::stream::{Mark, Owner, Stream};
use crate::timers::Timer;

/// A counter of a session disagrees with its streams: see [`Session::audit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditError(String);

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for AuditError {}

pub(super) type Finding = Result<(), String>;

pub(super) fn same<T: PartialEq + fmt::Debug>(what: &str, kept: T, counted: T) -> Finding {
    if kept == counted {
        Ok(())
    } else {
        Err(format!("{what}: {kept:?} is kept, the streams say {counted:?}"))
    }
}

/// Whether credit will be sent as soon as it may.
fn is_granting(stream: &Stream) -> bool {
    stream.links.is_in(Queue::Control) || stream.links.is_in(Queue::Spared)
}

fn check(ok: bool, what: &str) -> Finding {
    if ok { Ok(()) } else { Err(what.into()) }
}

/// What the streams say.
#[derive(Debug, Default)]
struct Census {
    counts: Counts,
    /// Records of streams of the peer, and of this side.
    records: [u32; 2],
    responders: u32,
    unsent: Size,
    unread: Size,
    ended: u64,
    window_growth: u64,
}

impl Session {
    /// Recomputes every counter of the session from its streams, and compares: streams by opener,
    /// unanswered and incomplete ones, bytes buffered, credit, window growth, what is reserved in a
    /// [`MemoryBudget`](crate::MemoryBudget), tombstones, queues, and the timers that have to be
    /// armed. For tests; takes time in proportion to the number of
    /// streams.
    ///
    /// ```
    /// use muxado_proto::{Config, Role, Session, SessionKey, Timestamp};
    ///
    /// let key = SessionKey::new([7; 16]);
    /// let mut session = Session::new(Role::Client, Config::default().into(), Timestamp::ZERO, key);
    /// session.open()?;
    /// assert_eq!(session.audit(), Ok(()));
    /// # Ok::<(), muxado_proto::OpenError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`AuditError`] names the wrong counter. It is always a bug in this crate, never a fault of
    /// the caller or the peer.
    pub fn audit(&self) -> Result<(), AuditError> {
        self.find_fault().map_err(AuditError)
    }

    fn find_fault(&self) -> Finding {
        self.store.audit(!self.closing.is_over())?;
        let mut census = Census::default();
        for (_, stream) in self.store.streams() {
            self.count(stream, &mut census);
            self.audit_stream(stream).map_err(|what| format!("{what}: {stream:?}"))?;
        }
        self.counts.audit(&census.counts)?;
        self.beats.audit(census.responders)?;
        let unsent = Size { bytes: self.budget.unsent(), held: self.budget.held() };
        same("written and not sent", unsent, census.unsent)?;
        let unread = Size { bytes: self.credit.unread(), held: self.credit.held() };
        same("received and not read", unread, census.unread)?;
        same("unread on streams that are over", self.credit.ended(), census.ended)?;
        same("window growth", self.credit.growth(), census.window_growth)?;
        if let Some(share) = &self.share {
            share.audit(census.records, census.window_growth, &self.budget, &self.config)?;
        }
        if !self.closing.is_over() {
            self.audit_timers()?;
        }
        self.audit_phase()
    }

    fn count(&self, stream: &Stream, census: &mut Census) {
        let one = |condition: bool| u32::from(condition);
        let own = self.ids.is_own(stream.id);
        census.counts.count(stream, own);
        let [inbound, outbound] = &mut census.records;
        let records = if own { outbound } else { inbound };
        *records = records.saturating_add(1);
        census.responders = census.responders.saturating_add(one(stream.owner == Owner::Echo));
        let add = |sum: &mut Size, size: Size| {
            sum.bytes = sum.bytes.saturating_add(size.bytes);
            sum.held = sum.held.saturating_add(size.held);
        };
        add(&mut census.unsent, stream.outgoing.size());
        add(&mut census.unread, stream.incoming.size());
        let ended = if stream.is(Mark::Complete) { stream.incoming.len() as u64 } else { 0 };
        census.ended = census.ended.saturating_add(ended);
        let growth = stream.recv_window.size().saturating_sub(self.config.receive_window);
        census.window_growth = census.window_growth.saturating_add(u64::from(growth));
    }

    fn audit_stream(&self, stream: &Stream) -> Finding {
        let over = self.closing.is_over();
        check(self.ids.was_used(stream.id), "a stream with an id that was not used")?;
        let ended = stream.send.is_over() && !stream.recv.is_open();
        check(
            stream.is(Mark::Complete) == ended,
            "complete, and not over in both directions, or the reverse",
        )?;
        let nobody = !matches!(stream.owner, Owner::Application | Owner::Backlog);
        check(!(nobody && ended), "a record that nobody needs")?;
        let accepted = stream.owner == Owner::Application && !self.ids.is_own(stream.id);
        let is_done = stream.is_finished_and_read() && accepted;
        check(!is_done || stream.is(Mark::TakesNoSlot), "a finished stream that takes a slot")?;
        let silent = over || !stream.send.is_sending();
        check(!silent || stream.outgoing.is_empty(), "data that will never be sent")?;
        let unread = matches!(stream.recv, RecvState::Stopped | RecvState::Ignored);
        check(!unread || stream.incoming.is_empty(), "data that nobody will read")?;
        let asked = stream.asks_for_progress();
        let taking = stream.links.queue(Queue::Taking.link()) == Some(Queue::Taking);
        check(asked || !taking, "waits for the transport, and nobody has asked")?;
        let handed = stream.outgoing.is_empty() && !self.handover.has_taken(stream.batch);
        check(!asked || !handed || taking || over, "nobody will tell when the transport has it")?;
        if stream.recv.is_open() && !stream.is_given_up() && !over {
            self.audit_credit(stream)?;
        }
        Ok(())
    }

    fn audit_credit(&self, stream: &Stream) -> Finding {
        let window = &stream.recv_window;
        let under_way = self.inlet.under_way(stream.id);
        let held = (stream.incoming.len() as u64).saturating_add(under_way as u64);
        let parts = u64::from(window.credit()).saturating_add(u64::from(window.owed()));
        same("the receive window", u64::from(window.size()), parts.saturating_add(held))?;
        check(!window.is_due() || is_granting(stream), "a grant that is due and not queued")?;
        let waits = window.owed() > 0 && stream.incoming.is_empty() && under_way == 0;
        check(
            !waits || stream.links.is_linked(Link::Control),
            "credit that is owed for an empty buffer, and no time for it",
        )
    }

    fn audit_timers(&self) -> Finding {
        let set = |timer: Timer| self.timers.get(timer).is_some();
        let waits = |queue: Queue| !self.store.is_empty(queue);
        same("timer of the untyped", set(Timer::Untyped), waits(Queue::Untyped))?;
        let spared = self.timers.get(Timer::Spared).is_some();
        check(spared || !waits(Queue::Spared), "no timer for spared streams")?;
        same("timer of the given up", set(Timer::GivenUp), waits(Queue::GivenUp))?;
        check(set(Timer::Stalled) || !waits(Queue::Stalled), "no timer for stalled streams")?;
        check(
            set(Timer::Update) || self.credit.is_unarmed() || !waits(Queue::Owed),
            "no timer for owed credit",
        )?;
        check(self.unanswered.is_sound(self), "the first unanswered stream was answered")?;
        let limited = self.unanswered.has_any();
        same("timer of the unanswered", set(Timer::Unanswered), limited)?;
        same("timer of the drain", set(Timer::Drain), self.closing.is_draining())?;
        same("timer of the frame", set(Timer::Frame), self.inlet.is_mid_frame())?;
        same("timer of the beat", set(Timer::Tolerance), self.beats.is_waiting())?;
        same("timer of silence", set(Timer::Idle), self.config.idle_timeout.is_some())?;
        let beats = self.config.heartbeat.is_some() && self.closing.is_open();
        same("timer of the next beat", set(Timer::Beat), beats)
    }

    fn audit_phase(&self) -> Finding {
        let over = self.closing.is_over();
        check(!over || self.orphans.is_empty(), "RSTs of a session that is over")?;
        check(!over || self.timers.has_only(Timer::Linger), "a timer of a session that is over")?;
        let blocked = self.counts.has_waiting_opener() && self.closing.is_open();
        check(!blocked || self.is_open_blocked(), "an opener that was not told of room")?;
        let drained = self.closing.refuses_streams() && self.is_idle();
        check(
            !drained || self.closing.is_announced(),
            "a session that has drained and does not say so",
        )
    }
}
