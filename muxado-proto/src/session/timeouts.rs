//! Reactions to the passage of time.

use bytes::Bytes;

use super::inlet::GRACE;
use super::lifecycle::Goodbye;
use super::{Session, Unread};
use crate::error::{CloseReason, CutBy, ErrorCode};
use crate::stream::schedule::Queue;
use crate::time::Timestamp;
use crate::timers::Timer;

impl Session {
    /// Handles expired deadlines. Call it at the time of [`poll_timeout`](Self::poll_timeout); an
    /// earlier or later call is harmless.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance_clock(now);
        let now = self.now;
        if self.timers.expire(Timer::Write, now) {
            // The current batch is stuck, and the transport takes nothing more.
            let reason = self.reason_after(CloseReason::WriteStalled, CutBy::WriteStalled, true);
            self.end(reason, Goodbye::None);
            self.give_up_transport();
        }
        if self.timers.expire(Timer::Linger, now) {
            self.give_up_transport();
        }
        if self.timers.expire(Timer::Frame, now) {
            self.on_frame_stalled();
        }
        if self.timers.expire(Timer::Drain, now) {
            self.on_drain_due();
        }
        if self.timers.expire(Timer::Tolerance, now) {
            self.on_tolerance();
        }
        if self.timers.expire(Timer::Beat, now) {
            self.on_beat_due();
        }
        if self.timers.expire(Timer::Idle, now) {
            self.on_idle();
        }
        if self.timers.expire(Timer::Untyped, now) {
            self.end_untyped();
        }
        if self.timers.expire(Timer::Unanswered, now) {
            self.end_unanswered();
        }
        if self.timers.expire(Timer::GivenUp, now) {
            self.end_given_up();
        }
        if self.timers.expire(Timer::Spared, now) {
            self.end_spared();
        }
        if self.timers.expire(Timer::Stalled, now) {
            self.end_stalled();
        }
        if self.timers.expire(Timer::Share, now) {
            self.look_at_share();
        }
        if self.timers.expire(Timer::Update, now) {
            while let Some(key) = self.store.pop(Queue::Owed) {
                self.store.push(Queue::Control, key);
            }
            self.pool.shrink_to_use();
            self.store.shrink();
        }
    }

    /// The idle limit has passed since the latest input, or since the timer was set.
    fn on_idle(&mut self) {
        let Some(limit) = self.config.idle_timeout else { return };
        let due = self.beats.last_sign() + limit;
        if due > self.now {
            return self.timers.set(Timer::Idle, Some(due));
        }
        // If no stream was open, nothing is lost for a peer that still receives.
        let complete = self.counts.all_complete();
        let code = if complete { ErrorCode::NO_ERROR } else { ErrorCode::WRITE_TIMEOUT };
        let text = Bytes::from_static(b"nothing arrived for too long");
        let reason = self.reason_after(CloseReason::IdleTimeout, CutBy::Time, true);
        self.end(reason, Goodbye::With(code, text));
    }

    fn on_frame_stalled(&mut self) {
        if self.inlet.takes_grace() {
            let grace = GRACE.min(self.config.frame_stall_timeout);
            return self.timers.set(Timer::Frame, Some(self.now + grace));
        }
        let quiet = self.closing.received().is_some();
        let reason = self.reason_after(CloseReason::FrameStalled, CutBy::FrameStalled, quiet);
        let goodbye = if quiet {
            self.closing.announce();
            Goodbye::Orderly
        } else {
            let text = Bytes::from_static(b"frame not completed in time");
            Goodbye::With(ErrorCode::ENHANCE_YOUR_CALM, text)
        };
        self.end(reason, goodbye);
    }

    /// Sets the timer for the stream that has waited longest for its type.
    pub(super) fn arm_untyped(&mut self) {
        let first = self.store.front(Queue::Untyped).and_then(|key| self.store.get(key));
        let due = first.map(|stream| stream.waits_since + self.config.typed_timeout);
        self.timers.set(Timer::Untyped, due);
    }

    fn end_untyped(&mut self) {
        while let Some(key) = self.store.front(Queue::Untyped) {
            let limit = self.config.typed_timeout;
            let first = self.store.get(key);
            if first.is_none_or(|stream| stream.waits_since + limit > self.now) {
                break;
            }
            // A violation takes the stream out of the queue.
            self.reset_for_violation(key, ErrorCode::STREAM_CANCELLED);
        }
        self.arm_untyped();
    }

    /// Sets the timer for the stream that only the peer has used for longest.
    pub(super) fn arm_given_up(&mut self) {
        if self.closing.is_over() {
            return;
        }
        let first = self.store.front(Queue::GivenUp).and_then(|key| self.store.get(key));
        let due = first.map(|stream| stream.waits_since + self.config.given_up_timeout);
        self.timers.set_by_command(Timer::GivenUp, due);
    }

    fn end_given_up(&mut self) {
        let limit = self.config.given_up_timeout;
        while let Some(key) = self.store.front(Queue::GivenUp) {
            if self.store.get(key).is_none_or(|stream| stream.waits_since + limit > self.now) {
                break;
            }
            self.store.unlink(Queue::GivenUp, key);
            self.reset_stream(key, ErrorCode::STREAM_CLOSED, Unread::Drop);
        }
        self.arm_given_up();
    }

    fn end_stalled(&mut self) {
        let Some(limit) = self.config.stream_stall_timeout else { return };
        let mut next = None;
        while let Some((since, key)) = self.store.first_stalled() {
            if since + limit > self.now {
                next = Some(since + limit);
                break;
            }
            self.store.unlink(Queue::Stalled, key);
            self.reset_stream(key, ErrorCode::WRITE_TIMEOUT, Unread::Keep);
        }
        if !self.closing.is_over() {
            self.timers.set(Timer::Stalled, next);
        }
    }
}
