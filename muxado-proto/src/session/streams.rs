//! What happens to a stream between its first frame and the end of its record: readiness, resets,
//! release, and what is remembered.

use super::{Refusal, Session, Unread};
use crate::error::ErrorCode;
use crate::event::Signal;
use crate::frame::StreamId;
use crate::limits::Excess;
use crate::stream::buffer::Size;
use crate::stream::key::Key;
use crate::stream::schedule::{Link, Queue};
use crate::stream::state::SendState;
use crate::stream::store::{Entry, Opener};
use crate::stream::{Edge, Owner};
use crate::timers::Timer;

/// Bytes a stream has to be let send for the time limit on its stall to start anew.
const STALL_PROGRESS: u32 = 4096;

impl Session {
    /// Puts a stream that can send into its ready queue. With a stall limit, so does a stream with
    /// data but no credit: it is found to wait when its turn comes, at a time that is known.
    pub(super) fn schedule(&mut self, key: Key) {
        let Some(stream) = self.store.get(key) else { return };
        let queue = stream.ready_queue();
        if stream.can_send() {
            self.store.unlink(Queue::Stalled, key);
            self.store.push(queue, key);
        } else if stream.is_stalled() && self.config.stream_stall_timeout.is_some() {
            self.store.push(queue, key);
        }
    }

    /// Starts the time limit of a stream that has data and no credit. It goes on if little was
    /// sent since it last started: credit in drops does not keep a stream alive.
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
            self.store.push(Queue::Stalled, key);
            let armed = self.timers.get(Timer::Stalled);
            let first = due.map(|due| armed.map_or(due, |armed| armed.min(due)));
            self.timers.set(Timer::Stalled, first);
            // It may have stood last where writers wait for all that can leave.
            self.wake_writers();
        }
    }

    /// Puts bytes of the session's own, a type or a beat, behind what a stream has to send.
    pub(super) fn write_own(&mut self, key: Key, bytes: &[u8]) {
        let Some(stream) = self.store.get_mut(key) else { return };
        let before = stream.outgoing.size();
        stream.outgoing.push_copy(bytes, &mut self.pool);
        self.budget.resize(before, stream.outgoing.size());
    }

    /// Reports an edge if the application waits for it.
    pub(super) fn notify(&mut self, key: Key, edge: Edge) {
        let Some(stream) = self.store.get_mut(key) else { return };
        let bit = edge as u8;
        if stream.interest & bit == 0
            || !matches!(stream.owner, Owner::Application | Owner::Backlog)
        {
            return;
        }
        stream.interest &= !bit;
        stream.edges |= bit;
        self.store.push(Queue::Event, key);
    }

    /// Drops what was written to a stream and not sent.
    pub(super) fn drop_outgoing(&mut self, key: Key) {
        let Some(stream) = self.store.get_mut(key) else { return };
        let before = stream.outgoing.size();
        stream.outgoing.clear(&mut self.pool);
        if let Some(queue) = stream.links.queue(Link::Data) {
            self.store.unlink(queue, key);
        }
        self.budget.resize(before, Size::default());
        self.wake_writers();
    }

    /// Wakes those who wait for room in the session's send buffer, if there is enough of it.
    pub(super) fn wake_writers(&mut self) {
        if self.store.list(Queue::Budget).is_empty() {
            return;
        }
        let nothing_ready = self.store.most_urgent().is_none();
        if self.budget.wakes_writers(nothing_ready, &self.config) {
            while let Some(key) = self.store.pop(Queue::Budget) {
                self.notify(key, Edge::Writable);
            }
        }
    }

    /// Ends a stream from this side: what was written and not sent is dropped, an RST is sent if
    /// the stream ever was on the wire.
    pub(super) fn reset_stream(&mut self, key: Key, code: ErrorCode, unread: Unread) {
        let Some(stream) = self.store.get_mut(key) else { return };
        // An RST says that something is wrong, so it never carries "no error".
        let code = if code == ErrorCode::NO_ERROR { ErrorCode::STREAM_RESET } else { code };
        // A stream that was complete needs no RST, unless the peer did not leave it at that.
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
        self.store.unlink(Queue::Owed, key);
        self.store.unlink(Queue::Control, key);
        self.store.unlink(Queue::Budget, key);
        if resetting {
            // RSTs overtake the grants in the same queue.
            self.store.push_front(Queue::Control, key);
        }
        self.notify(key, Edge::Readable);
        self.notify(key, Edge::Writable);
        self.leave_backlog(key);
        self.free_if_done(key);
    }

    /// A stream that ended before the application knew of it is none of its business any more.
    pub(super) fn leave_backlog(&mut self, key: Key) {
        let Some(stream) = self.store.get_mut(key) else { return };
        let queue = match stream.owner {
            Owner::Backlog => Queue::Accept,
            Owner::Untyped => Queue::Untyped,
            _ => return,
        };
        stream.owner = Owner::Released;
        stream.edges = 0;
        self.store.unlink(queue, key);
        self.store.unlink(Queue::Event, key);
        self.drop_incoming(key);
        self.arm_untyped();
    }

    /// The peer broke a rule of one stream. What it had sent before stays readable.
    pub(super) fn reset_for_violation(&mut self, key: Key, code: ErrorCode) {
        self.stats.oddities = self.stats.oddities.saturating_add(1);
        let inbound =
            self.store.get(key).is_some_and(|stream| stream.id.is_opened_by(self.role.peer()));
        let beats = self.store.get(key).is_some_and(|stream| stream.owner == Owner::Beats);
        self.reset_stream(key, code, Unread::Keep);
        if beats {
            self.on_beats_ended(key);
        }
        if inbound {
            self.count_reset();
        }
    }

    /// Counts a reset the peer has caused on a stream it opened.
    pub(super) fn count_reset(&mut self) {
        if !self.limits.take(Excess::Resets, 1, self.config.reset_limit, self.now) {
            self.end_for_violation(ErrorCode::ENHANCE_YOUR_CALM, "too many resets");
        }
    }

    /// Answers a frame for a stream without a record by an RST, once.
    pub(super) fn answer_by_rst(&mut self, refusal: Refusal) {
        // In this order: a session that drains is not over before the RST is sent.
        if self.queue_reset(refusal) {
            self.remember(refusal.id, Entry::Reset);
        }
    }

    /// Sends an RST that no record stands for, if not too many of them wait already.
    pub(super) fn queue_reset(&mut self, refusal: Refusal) -> bool {
        let queued = self.orphans.push(refusal, self.config.pending_resets);
        if !queued {
            self.stats.resets_dropped = self.stats.resets_dropped.saturating_add(1);
        }
        queued
    }

    /// Nobody reads any more: what has arrived is dropped; returns how much that was.
    pub(super) fn stop(&mut self, key: Key) -> usize {
        if let Some(stream) = self.store.get_mut(key) {
            stream.recv = stream.recv.stop();
        }
        let dropped = self.drop_incoming(key);
        self.consumed(key, dropped);
        dropped
    }

    /// The application has no more use for a stream: what was written is sent, then FIN.
    pub(super) fn release(&mut self, key: Key) {
        let dropped = self.stop(key);
        let Some(stream) = self.store.get_mut(key) else { return };
        let open = stream.recv.is_open();
        if open && dropped > 0 && stream.send == SendState::Finished {
            // What the reader left behind is DATA on a closed stream, as if it came now.
            self.reset_stream(key, ErrorCode::STREAM_CLOSED, Unread::Drop);
        } else if open && stream.recv_window.owed() > 0 {
            // Its writer may be out of credit: it has to go on to learn that nobody reads.
            self.grant_now(key);
        }
        let Some(stream) = self.store.get_mut(key) else { return };
        stream.owner = Owner::Released;
        stream.edges = 0;
        stream.send = if stream.send == SendState::Fresh && stream.outgoing.is_empty() {
            SendState::ResetLocally(ErrorCode::STREAM_CANCELLED)
        } else {
            stream.send.finish()
        };
        self.store.unlink(Queue::Event, key);
        self.store.unlink(Queue::Budget, key);
        self.schedule(key);
        self.free_if_done(key);
    }

    /// Removes the record of a stream that nobody uses and that has nothing more to send.
    pub(super) fn free_if_done(&mut self, key: Key) {
        let Some(stream) = self.store.get_mut(key) else { return };
        self.credit.close_if_done(stream, &self.config);
        if !stream.complete && stream.send.is_over() && !stream.recv.is_open() {
            stream.complete = true;
            if stream.is_counted() {
                self.counts.completed();
                self.finish_draining();
            }
        }
        let Some(stream) = self.store.get(key) else { return };
        let over = stream.send.is_over() || self.farewell.is_over();
        // What waits in the backlog when the session ends can still be accepted, and read.
        if matches!(stream.owner, Owner::Application | Owner::Backlog) || !over {
            return;
        }
        let ended = self.farewell.is_over() || !stream.recv.is_open();
        if !ended && self.store.is_linked(Link::Owed, key) {
            return self.grant_now(key);
        }
        if !ended && self.store.is_linked(Link::Control, key) {
            // The credit that is owed goes first.
            return;
        }
        let tombstone = match (stream.send, stream.recv) {
            (SendState::Finished, recv) if recv.is_open() => {
                let own = stream.id.is_opened_by(self.role);
                Some(Entry::Closed(match (own, stream.answered) {
                    (false, _) => Opener::Peer,
                    (true, true) => Opener::Answered,
                    (true, false) => Opener::Unanswered,
                }))
            }
            (SendState::Finished, _) => None,
            _ => Some(Entry::Reset),
        };
        self.forget(key, tombstone);
    }

    fn forget(&mut self, key: Key, tombstone: Option<Entry>) {
        self.drop_incoming(key);
        self.drop_outgoing(key);
        let Some(mut stream) = self.store.remove(key, tombstone) else { return };
        self.credit.close(&mut stream, &self.config);
        if stream.owner == Owner::Echo {
            self.beats.responder_removed();
        }
        self.counts.removed(&stream, self.ids.is_own(stream.id));
        self.closed_changed();
    }

    /// The peer has sent something on one of our streams.
    pub(super) fn answered(&mut self, key: Key) {
        let Some(stream) = self.store.get_mut(key) else { return };
        if !stream.answered && stream.is_counted() && stream.id.is_opened_by(self.role) {
            stream.answered = true;
            self.counts.answered();
            self.report_open_ready();
        }
    }

    /// The peer has come to the end of a stream that only it still had.
    pub(super) fn settle(&mut self, id: StreamId) {
        self.store.unbury(id);
        self.closed_changed();
    }

    /// Remembers something of an id without a stream.
    pub(super) fn remember(&mut self, id: StreamId, entry: Entry) {
        self.store.bury(id, entry);
        self.closed_changed();
    }

    /// Fewer streams may be left that only the peer still has.
    fn closed_changed(&mut self) {
        self.report_open_ready();
        self.finish_draining();
    }

    fn report_open_ready(&mut self) {
        if self.counts.has_waiting_opener() && !self.is_open_blocked() && self.farewell.is_open() {
            self.counts.take_waiting_opener();
            self.signals.raise(Signal::OpenReady);
        }
    }
}
