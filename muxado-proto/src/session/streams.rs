//! The life of a stream, from its first frame to the removal of its record: readiness, resets,
//! release, and tombstones.

use super::{Orphan, Session, Unread};
use crate::error::ErrorCode;
use crate::event::Signal;
use crate::limits::Excess;
use crate::stream::buffer::Size;
use crate::stream::key::Key;
use crate::stream::schedule::{Link, Queue};
use crate::stream::state::{RecvState, SendState};
use crate::stream::{Edge, Edges, Mark, Owner};
use crate::timers::Timer;

/// Bytes that a stream has to send to restart the time limit on its stall.
const STALL_PROGRESS: u16 = 4096;

/// A stream was idle if so many batches were cut without it: others had a turn meanwhile.
const IDLE: u32 = 4;

impl Session {
    /// Puts a stream that can send into its ready queue. With a stall limit, so does a stream with
    /// data but no credit: when its turn comes, the start of its wait is recorded.
    pub(super) fn schedule(&mut self, key: Key) {
        let batch = self.handover.current();
        let Some(stream) = self.store.live_mut(key) else { return };
        let spoke = stream.sent_since_idle > 0;
        if spoke && batch.wrapping_sub(stream.batch) >= IDLE && !stream.is_ready() {
            stream.sent_since_idle = 0;
        }
        let queue = stream.ready_queue();
        if stream.can_send() {
            self.store.unlink(Queue::Stalled, key);
            self.store.push(queue, key);
        } else if stream.is_stalled() && self.config.stream_stall_timeout.is_some() {
            self.store.push(queue, key);
        }
    }

    /// Starts the time limit of a stream that has data and no credit. It does not restart if little
    /// was sent since then: tiny grants do not keep a stream alive.
    pub(super) fn stall(&mut self, key: Key) {
        let now = self.now;
        if let Some(stream) = self.store.get_mut(key).filter(|stream| stream.is_stalled()) {
            if stream.sent_since_stall >= STALL_PROGRESS {
                stream.waits_since = now;
                stream.sent_since_stall = 0;
            }
            let since = stream.waits_since;
            let due = self.config.stream_stall_timeout.map(|limit| since + limit);
            if due.is_some_and(|due| due <= now) {
                return self.reset_stream(key, ErrorCode::WRITE_TIMEOUT, Unread::Keep);
            }
            self.store.stall(key);
            let armed = self.timers.get(Timer::Stalled);
            let first = due.map(|due| armed.map_or(due, |armed| armed.min(due)));
            self.timers.set(Timer::Stalled, first);
            // It may have been the last stream with data to send, and writers wait for that.
            self.wake_writers(false);
        }
    }

    /// Appends bytes of the session itself, a type or a beat, to the output of a stream.
    pub(super) fn write_own(&mut self, key: Key, bytes: &[u8]) {
        let Some(stream) = self.store.live_mut(key) else { return };
        let before = stream.outgoing.size();
        stream.outgoing.push_copy(bytes, &mut self.pool);
        self.budget.resize(before, stream.outgoing.size());
    }

    /// Reports an edge if the application waits for it.
    pub(super) fn notify(&mut self, key: Key, edge: Edge) {
        let Some(stream) = self.store.live_mut(key) else { return };
        // The application does not know streams in the backlog: their events are reported after
        // `accept`.
        if stream.owner == Owner::Application && stream.edges.raise(edge) {
            self.store.push(Queue::Event, key);
        }
    }

    /// The application has to wait for an edge. A pending report of it is obsolete.
    pub(super) fn wait_for(&mut self, key: Key, edge: Edge) {
        let Some(stream) = self.store.live_mut(key) else { return };
        stream.edges.watch(edge);
        if !stream.edges.are_raised() {
            self.store.unlink(Queue::Event, key);
        }
    }

    /// Drops what was written to a stream and not sent.
    pub(super) fn drop_outgoing(&mut self, key: Key) {
        let Some(stream) = self.store.live_mut(key) else { return };
        let before = stream.outgoing.size();
        stream.outgoing.clear(&mut self.pool);
        if let Some(queue) = stream.links.queue(Link::Data) {
            self.store.unlink(queue, key);
        }
        self.budget.resize(before, Size::default());
        self.wake_writers(false);
    }

    /// Wakes writers that wait for space in the session's send buffer, if there is enough.
    /// `cutting`: a stream that is in no queue has more to send.
    #[inline]
    pub(super) fn wake_writers(&mut self, cutting: bool) {
        if !self.store.is_empty(Queue::Budget) {
            self.wake_waiting_writers(cutting);
        }
    }

    fn wake_waiting_writers(&mut self, cutting: bool) {
        let nothing_ready = !cutting && self.store.most_urgent().is_none();
        if self.budget.wakes_writers(nothing_ready, &self.config) {
            self.budget.woken();
            while let Some(key) = self.store.pop(Queue::Budget) {
                self.notify(key, Edge::Writable);
            }
        }
    }

    /// Ends a stream from this side: unsent data is discarded, and an RST is sent if the stream was
    /// announced.
    pub(super) fn reset_stream(&mut self, key: Key, code: ErrorCode, unread: Unread) {
        let Some(stream) = self.store.live_mut(key) else { return };
        // An RST means an error, so it never carries "no error".
        let code = if code == ErrorCode::NO_ERROR { ErrorCode::STREAM_RESET } else { code };
        // A complete stream needs no RST, unless the peer has sent more.
        if !stream.send.is_over() || stream.recv.is_open() || unread == Unread::Keep {
            stream.send = stream.send.reset(code);
        }
        if stream.recv.is_open() {
            stream.recv_window.abandon();
        }
        let resetting = matches!(stream.send, SendState::Resetting(_));
        match unread {
            Unread::Drop => {
                stream.recv = stream.recv.reset(code);
                self.drop_incoming(key);
            }
            Unread::Keep if stream.recv.is_open() => stream.recv = stream.recv.reset(code),
            Unread::Keep => {}
        }
        self.drop_outgoing(key);
        self.store.unlink_any(Link::Control, key);
        self.store.unlink(Queue::Budget, key);
        if self.store.is_in(Queue::GivenUp, key) {
            self.store.unlink(Queue::GivenUp, key);
            self.arm_given_up();
        }
        if resetting {
            // RSTs overtake the grants in the same queue.
            self.store.push_front(Queue::Control, key);
        }
        self.notify_all(key);
        self.leave_backlog(key);
        self.free_if_done(key);
    }

    /// A stream that ended before it was accepted leaves the backlog.
    pub(super) fn leave_backlog(&mut self, key: Key) {
        let Some(stream) = self.store.live_mut(key) else { return };
        let queue = match stream.owner {
            Owner::Backlog => Queue::Accept,
            Owner::Untyped => Queue::Untyped,
            _ => return,
        };
        stream.owner = Owner::Released;
        stream.edges = Edges::NONE;
        self.store.unlink(queue, key);
        self.store.unlink(Queue::Event, key);
        self.drop_incoming(key);
        self.arm_untyped();
    }

    /// The peer broke a rule of one stream. Bytes received before stay readable.
    pub(super) fn reset_for_violation(&mut self, key: Key, code: ErrorCode) {
        self.stats.oddities = self.stats.oddities.saturating_add(1);
        let Some(stream) = self.store.get_mut(key) else { return };
        let (id, inbound) = (stream.id, stream.id.is_opened_by(self.role.peer()));
        if stream.owner == Owner::Beats {
            self.leave_beats();
            return self.reset_stream(key, code, Unread::Drop);
        }
        if stream.is(Mark::Complete) {
            // It is over and stays so, and what was received stays readable. The RST is sent as if
            // the record had gone, once.
            if stream.is(Mark::Provoked) {
                return;
            }
            stream.mark(Mark::Provoked);
            let _dropped_if_too_many = self.queue_reset(Orphan::new(id, code));
        } else {
            self.reset_stream(key, code, Unread::Keep);
        }
        if inbound {
            self.count_reset();
        }
    }

    /// Counts a reset that the peer has caused on a stream it opened.
    pub(super) fn count_reset(&mut self) {
        if !self.limits.take(Excess::Resets, 1, self.config.reset_limit, self.now) {
            self.end_for_violation(ErrorCode::ENHANCE_YOUR_CALM, "too many resets");
        }
    }

    /// Answers a frame for a stream without a record with an RST, once.
    pub(super) fn answer_by_rst(&mut self, orphan: Orphan) {
        // In this order, so that a draining session is not over before the RST is sent.
        if self.queue_reset(orphan) {
            self.store.bury(orphan.id);
        }
    }

    /// Queues an RST for a stream without a record, unless too many are queued.
    pub(super) fn queue_reset(&mut self, orphan: Orphan) -> bool {
        let queued = self.orphans.push(orphan, self.config.pending_resets);
        if !queued {
            self.stats.resets_dropped = self.stats.resets_dropped.saturating_add(1);
        }
        queued
    }

    /// The reader is gone: unread bytes are discarded.
    pub(super) fn stop(&mut self, key: Key) {
        let Some(stream) = self.store.get(key) else { return };
        let stops = stream.recv == RecvState::Open;
        self.stop_reading(key);
        if stops {
            self.spare(key);
        }
        self.free_slot_if_done(key);
    }

    fn stop_reading(&mut self, key: Key) {
        let Some(stream) = self.store.live_mut(key) else { return };
        stream.recv = stream.recv.stop();
        stream.unmark(Mark::Awaited);
        if !stream.incoming.is_empty() {
            let dropped = self.drop_incoming(key);
            self.consumed(key, dropped);
        }
    }

    /// The application releases a stream: what was written is sent, then FIN.
    pub(super) fn release(&mut self, key: Key) {
        if self.store.get(key).is_some_and(|stream| stream.is(Mark::ResetOnDrop)) {
            self.reset_unfinished(key, ErrorCode::STREAM_CANCELLED);
        }
        self.stop_reading(key);
        let Some(stream) = self.store.live_mut(key) else { return };
        let own = self.ids.is_own(stream.id);
        let answers = !own && (stream.is(Mark::Spoke) || !stream.outgoing.is_empty());
        let owes = stream.recv.is_open() && stream.recv_window.owed() > 0;
        let linked = !stream.links.is_free();
        self.counts.released(stream, own);
        stream.owner = Owner::Released;
        stream.edges = Edges::NONE;
        if stream.send.is_silent() && stream.outgoing.is_empty() {
            stream.send = stream.send.reset(ErrorCode::STREAM_CANCELLED);
            stream.recv = stream.recv.reset(ErrorCode::STREAM_CANCELLED);
        } else {
            stream.send = stream.send.finish();
        }
        if linked {
            self.store.unlink(Queue::Event, key);
            self.store.unlink_any(Link::Wait, key);
        }
        if owes && !answers {
            // The peer's writer may be out of credit: it has to continue to learn that nobody
            // reads.
            self.grant_now(key);
        }
        self.schedule(key);
        self.spare(key);
        self.free_if_done(key);
        self.report_room();
    }

    /// The writer of a stream is released, and its reader stays.
    pub(super) fn release_send(&mut self, key: Key) {
        let Some(stream) = self.store.live_mut(key) else { return };
        if stream.is(Mark::ResetOnDrop) {
            return self.reset_unfinished(key, ErrorCode::STREAM_CANCELLED);
        }
        stream.send =
            if stream.outgoing.is_empty() { stream.send.leave() } else { stream.send.finish() };
        self.schedule(key);
    }

    /// Resets a stream that this side has not finished.
    pub(super) fn reset_unfinished(&mut self, key: Key, code: ErrorCode) {
        if self.store.get(key).is_some_and(|stream| stream.send.is_unfinished()) {
            self.reset_stream(key, code, Unread::Drop);
        }
    }

    /// Notes that a stream is over, if it is, and removes the record if it is no longer needed. A
    /// stream that was given up here keeps its record, and counts as open, until the peer has ended
    /// it or was sent an RST.
    #[inline]
    pub(super) fn free_if_done(&mut self, key: Key) {
        let Some(stream) = self.store.live(key) else { return };
        if !stream.recv.is_open() || !stream.is_needed() {
            self.end_if_done(key);
        }
    }

    fn end_if_done(&mut self, key: Key) {
        let Some(stream) = self.store.live_mut(key) else { return };
        let (open, needed) = (stream.recv.is_open(), stream.is_needed());
        let complete = stream.is(Mark::Complete);
        if self.credit.growth() > 0 {
            let growth = self.credit.close_if_done(stream, &self.config);
            if let Some(share) = &mut self.share {
                share.release_growth(growth);
            }
        }
        let ends = !complete && !open && stream.send.is_over();
        if ends {
            stream.mark(Mark::Complete);
        }
        let takes_no_slot = stream.is_finished_and_read() && !stream.is(Mark::TakesNoSlot);
        let given_up = stream.is_given_up() && !stream.links.is_linked(Link::Wait);
        if ends {
            self.completed(key);
        }
        if takes_no_slot {
            self.free_slot(key);
        }
        if !needed && (complete || ends || self.closing.is_over()) {
            return self.forget(key);
        }
        if given_up {
            self.give_up(key);
        }
        if ends {
            self.room_changed();
        }
    }

    /// A stream is over in both directions: the peer knows it, or was sent the frame that says so.
    fn completed(&mut self, key: Key) {
        let Some(stream) = self.store.live(key) else { return };
        self.credit.completed(stream.incoming.len());
        if !stream.is_counted() {
            return;
        }
        let own = self.ids.is_own(stream.id);
        let in_hand = stream.owner == Owner::Application;
        let is_taken = match stream.send {
            // The peer needs no more of it.
            SendState::ResetByPeer(_) => true,
            // No record says which batch the RST is in.
            SendState::ResetLocally(_) => false,
            _ => self.handover.has_taken(stream.batch),
        };
        let confirmed = is_taken || self.timers.get(Timer::Write).is_none();
        self.counts.completed(own, in_hand, confirmed);
        self.closing.moved(self.now);
        let was_reset_here = matches!(stream.send, SendState::ResetLocally(_));
        if !own && stream.is(Mark::Spoke) && !was_reset_here {
            self.limits.give_back(Excess::Resets);
        }
    }

    /// An accepted stream that both sides have finished takes no slot once it is read to the end.
    #[inline]
    pub(super) fn free_slot_if_done(&mut self, key: Key) {
        if self.store.get(key).is_some_and(|stream| stream.is_finished_and_read()) {
            self.free_slot(key);
        }
    }

    fn free_slot(&mut self, key: Key) {
        let Some(stream) = self.store.live_mut(key) else { return };
        let accepted = stream.owner == Owner::Application && !self.ids.is_own(stream.id);
        if accepted && !stream.is(Mark::TakesNoSlot) {
            stream.mark(Mark::TakesNoSlot);
            self.counts.finished();
            self.report_acceptable();
        }
    }

    /// From here only the peer uses the stream. It gets the owed credit, because its writer has to
    /// continue to learn that nobody reads, and some time to end the stream.
    fn give_up(&mut self, key: Key) {
        if self.store.is_in(Queue::Owed, key) {
            self.grant_now(key);
        }
        if let Some(stream) = self.store.get_mut(key) {
            stream.waits_since = self.now;
            let growth = self.credit.close(stream, &self.config);
            if let Some(share) = &mut self.share {
                share.release_growth(growth);
            }
        }
        self.store.push(Queue::GivenUp, key);
        self.arm_given_up();
    }

    fn forget(&mut self, key: Key) {
        let Some(stream) = self.store.live(key) else { return };
        debug_assert!(stream.outgoing.is_empty(), "it was sent or dropped at the end");
        if !stream.incoming.is_empty() {
            self.drop_incoming(key);
        }
        let Some(stream) = self.store.get_mut(key) else { return };
        let (id, own, echo) = (stream.id, self.ids.is_own(stream.id), stream.owner == Owner::Echo);
        // It was never announced.
        let silent = own && !stream.is(Mark::Announced) && !stream.is(Mark::Answered);
        let given_up = stream.links.is_in(Queue::GivenUp);
        let remembered = stream.send != SendState::Finished && !silent;
        let growth = self.credit.close(stream, &self.config);
        self.counts.removed(stream, own);
        self.store.remove(key, remembered);
        self.inlet.leave(key);
        if silent {
            self.ids.give_back(id);
        }
        self.release_stream(id, growth);
        if echo {
            self.beats.responder_removed();
        }
        if own {
            self.arm_unanswered();
        }
        if given_up {
            self.arm_given_up();
        }
        self.room_changed();
    }

    /// The peer has sent something on one of our streams.
    #[inline]
    pub(super) fn answered(&mut self, key: Key) {
        if self.store.get(key).is_some_and(|stream| !stream.is(Mark::Answered)) {
            self.first_answer(key);
        }
    }

    fn first_answer(&mut self, key: Key) {
        let Some(stream) = self.store.live_mut(key) else { return };
        if !stream.is(Mark::Answered) && stream.is_counted() && stream.id.is_opened_by(self.role) {
            stream.mark(Mark::Answered);
            self.counts.answered();
            self.arm_unanswered();
            self.report_room();
        }
    }

    /// The number of open streams may have decreased.
    fn room_changed(&mut self) {
        self.report_room();
        self.finish_draining();
    }

    fn report_room(&mut self) {
        if self.counts.has_waiting_opener() && !self.is_open_blocked() && self.closing.is_open() {
            self.counts.take_waiting_opener();
            self.signals.raise(Signal::OpenReady);
        }
        self.report_acceptable();
    }

    fn report_acceptable(&mut self) {
        if self.counts.take_waiting_acceptor(&self.config) {
            self.signals.raise(Signal::Acceptable);
        }
    }
}
