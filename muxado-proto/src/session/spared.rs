//! Streams that this side has ended behind an answer and does not read any more (PROTOCOL.md §4.6).
//!
//! Whatever the peer sends then is answered by an RST, and credit lets a blocked peer send. But some
//! peers give their reader the RST instead of what is left of the answer. So for a while nothing is
//! said, and what comes is thrown away.

use core::time::Duration;

use super::{Session, Unread};
use crate::error::ErrorCode;
use crate::stream::key::Key;
use crate::stream::schedule::Queue;
use crate::stream::state::SendState;
use crate::timers::Timer;

/// How long the peer has for reading the end of an answer before it can be told that nobody reads
/// what it sends. It counts from our FIN, which is ahead of what is said later on the same
/// connection: how far the peer is away does not matter, only how soon its reader gets a turn.
const ANSWER_TIME: Duration = Duration::from_millis(100);

impl Session {
    /// Says nothing on a stream for a while, if the peer may be reading an answer, or will as soon as
    /// the transport has it: a writer that gets credit ahead of the answer would go on.
    pub(super) fn spare(&mut self, key: Key) {
        let now = self.now;
        let Some(stream) = self.store.live_mut(key) else { return };
        let sent = stream.send == SendState::Finished || stream.can_send();
        // Whoever has opened a stream, asked, and drops it wants no answer: it is to end soon.
        if !stream.may_spoil_an_answer() || !sent || self.ids.is_own(stream.id) {
            return;
        }
        stream.waits_since = now;
        for queue in [Queue::Owed, Queue::Control, Queue::Spared] {
            self.store.unlink(queue, key);
        }
        self.store.push(Queue::Spared, key);
        self.arm_spared();
    }

    fn arm_spared(&mut self) {
        if self.farewell.is_over() {
            return;
        }
        let first = self.store.front(Queue::Spared).and_then(|key| self.store.get(key));
        let due = first.map(|stream| stream.waits_since + ANSWER_TIME);
        self.timers.set_by_command(Timer::Spared, due);
    }

    /// The peers of some streams have had their time: they are told now what there is to tell.
    pub(super) fn end_spared(&mut self) {
        while let Some(key) = self.store.front(Queue::Spared) {
            let Some(stream) = self.store.get(key) else { break };
            if stream.waits_since + ANSWER_TIME > self.now {
                break;
            }
            let (provoked, owed) = (stream.provoked, stream.recv_window.owed());
            self.store.unlink(Queue::Spared, key);
            if provoked {
                self.reset_stream(key, ErrorCode::STREAM_CLOSED, Unread::Drop);
            } else if owed > 0 {
                // Its writer may be out of credit: it has to go on to learn that nobody reads.
                self.grant_now(key);
            }
        }
        self.arm_spared();
    }

    /// DATA for a stream that this side has ended and does not read: the peer could not know. It is
    /// answered by an RST, when that spoils no answer.
    pub(super) fn refuse_unread(&mut self, key: Key, length: u32, fin: bool) {
        let spared = self.store.is_in(Queue::Spared, key);
        let Some(stream) = self.store.live_mut(key) else { return };
        let within_credit = self.credit.receive(stream, length);
        if spared && within_credit {
            stream.recv_window.consume(length);
            stream.provoked = true;
            if fin {
                // It is complete at both ends, so there is nothing to tell any more.
                self.on_fin(key);
            }
            return;
        }
        if fin {
            stream.recv = stream.recv.fin();
        }
        // With its FIN the peer's writer waits for nothing; the RST is due all the same.
        let unread = if fin { Unread::Keep } else { Unread::Drop };
        self.reset_stream(key, ErrorCode::STREAM_CLOSED, unread);
    }
}
