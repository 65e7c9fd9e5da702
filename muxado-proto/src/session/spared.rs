//! Streams with a complete answer that this side no longer reads (PROTOCOL.md §4.6).
//!
//! Data that the peer sends then is answered with an RST, and credit lets a blocked peer send. But
//! some peers give their reader the RST instead of the rest of the answer. So for a while nothing
//! is sent, and arriving data is discarded.

use core::time::Duration;

use super::{Session, Unread};
use crate::error::ErrorCode;
use crate::stream::Mark;
use crate::stream::key::Key;
use crate::stream::schedule::{Link, Queue};
use crate::stream::state::{RecvState, SendState};
use crate::timers::Timer;

/// How long the peer has to read the end of an answer before it learns that nobody reads its data.
/// The time starts with our FIN, and later frames follow on the same connection: so latency does
/// not matter, only how soon the peer's reader runs.
const ANSWER_TIME: Duration = Duration::from_millis(100);

impl Session {
    /// Sends nothing on a stream for a while, if the peer may be reading an answer, or will read it
    /// when the transport has taken it: a writer that gets credit before the answer would continue.
    #[inline]
    pub(super) fn spare(&mut self, key: Key) {
        if self.store.live(key).is_some_and(|stream| stream.recv == RecvState::Stopped) {
            self.spare_unread(key);
        }
    }

    fn spare_unread(&mut self, key: Key) {
        let now = self.now;
        let Some(stream) = self.store.live_mut(key) else { return };
        let sent = stream.send == SendState::Finished || stream.can_send();
        // A side that opened a stream, sent a request and drops the stream wants no answer: the
        // stream should end soon.
        if !stream.may_spoil_an_answer() || !sent || self.ids.is_own(stream.id) {
            return;
        }
        stream.waits_since = now;
        self.store.unlink_any(Link::Control, key);
        self.store.push(Queue::Spared, key);
        self.arm_spared();
    }

    fn arm_spared(&mut self) {
        if self.closing.is_over() {
            return;
        }
        let first = self.store.front(Queue::Spared).and_then(|key| self.store.get(key));
        let due = first.map(|stream| stream.waits_since + ANSWER_TIME);
        self.timers.set_by_command(Timer::Spared, due);
    }

    /// The time of some streams is over: now their peers get what is due.
    pub(super) fn end_spared(&mut self) {
        while let Some(key) = self.store.front(Queue::Spared) {
            let Some(stream) = self.store.get(key) else { break };
            if stream.waits_since + ANSWER_TIME > self.now {
                break;
            }
            let (provoked, owed) = (stream.is(Mark::Provoked), stream.recv_window.owed());
            self.store.unlink(Queue::Spared, key);
            if provoked {
                self.reset_stream(key, ErrorCode::STREAM_CLOSED, Unread::Drop);
            } else if owed > 0 {
                // The peer's writer may be out of credit: it has to continue to learn that nobody
                // reads.
                self.grant_now(key);
            }
        }
        self.arm_spared();
    }

    /// DATA for a stream that this side has ended and does not read: the peer could not know. It is
    /// answered with an RST, when that destroys no answer.
    pub(super) fn refuse_unread(&mut self, key: Key, length: u32, fin: bool) {
        let spared = self.store.is_in(Queue::Spared, key);
        let Some(stream) = self.store.live_mut(key) else { return };
        let within_credit = self.credit.receive(stream, length);
        if spared && within_credit {
            stream.recv_window.consume(length);
            stream.mark(Mark::Provoked);
            if fin {
                // It is complete at both ends, so nothing has to be sent.
                self.on_fin(key);
            }
            return;
        }
        if fin {
            stream.recv = stream.recv.fin();
        }
        // After its FIN the peer's writer waits for nothing, but the RST is still due.
        let unread = if fin { Unread::Keep } else { Unread::Drop };
        self.reset_stream(key, ErrorCode::STREAM_CLOSED, unread);
    }

    /// The same for a part of a frame that had begun before the reader went: of `count` bytes, and the
    /// last one of its frame if `end`.
    pub(super) fn refuse_rest(&mut self, key: Key, count: usize, fin: bool, end: bool) {
        if !self.store.is_in(Queue::Spared, key) {
            return self.refuse_unread(key, 0, fin);
        }
        let Some(stream) = self.store.live_mut(key) else { return };
        stream.recv_window.consume(u32::try_from(count).unwrap_or(u32::MAX));
        stream.mark(Mark::Provoked);
        if end && fin {
            self.on_fin(key);
        }
    }
}
