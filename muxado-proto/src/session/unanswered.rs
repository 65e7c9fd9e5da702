//! Streams of this side that were announced recently and count as unanswered.

use alloc::boxed::Box;
use alloc::collections::VecDeque;

use super::Session;
use crate::frame::StreamId;
use crate::stream::Mark;
use crate::stream::key::Key;
use crate::time::Timestamp;
use crate::timers::Timer;

/// Announced streams with their times, in order; used if unanswered streams are limited.
///
/// Invariant: the first one is unanswered, and the timer is set for it.
#[derive(Debug, Default)]
#[cfg_attr(feature = "audit", derive(Clone, Hash))]
pub(super) struct Unanswered {
    /// Allocated only if unanswered streams are limited.
    #[allow(
        clippy::box_collection,
        reason = "most sessions have none, and every session this field"
    )]
    announced: Option<Box<VecDeque<(Timestamp, StreamId)>>>,
}

impl Unanswered {
    fn first(&self) -> Option<(Timestamp, StreamId)> {
        self.announced.as_ref()?.front().copied()
    }

    fn forget_first(&mut self) {
        if let Some(announced) = &mut self.announced {
            announced.pop_front();
        }
    }
}

#[cfg(feature = "audit")]
impl Unanswered {
    /// Whether there are announced streams.
    pub(super) fn has_any(&self) -> bool {
        self.first().is_some()
    }

    /// Whether the first one is unanswered.
    pub(super) fn is_sound(&self, session: &Session) -> bool {
        self.first().is_none_or(|(_, id)| {
            let stream = session.store.key(id).and_then(|key| session.store.get(key));
            stream.is_some_and(|stream| stream.is_counted() && !stream.is(Mark::Answered))
        })
    }
}

impl Session {
    /// The SYN of a stream of this side was sent: the time to answer starts.
    pub(super) fn announced(&mut self, id: StreamId) {
        if self.config.max_unanswered_streams.is_some() {
            self.unanswered.announced.get_or_insert_default().push_back((self.now, id));
            self.arm_unanswered();
        }
    }

    fn unanswered_key(&self, id: StreamId) -> Option<Key> {
        let key = self.store.key(id)?;
        let stream = self.store.get(key)?;
        (stream.is_counted() && !stream.is(Mark::Answered)).then_some(key)
    }

    /// Removes answered and ended streams from the front, and sets the timer for the first
    /// unanswered one.
    #[inline]
    pub(super) fn arm_unanswered(&mut self) {
        if self.unanswered.announced.is_some() {
            self.arm_first_unanswered();
        }
    }

    fn arm_first_unanswered(&mut self) {
        while let Some((_, id)) = self.unanswered.first() {
            if self.unanswered_key(id).is_some() {
                break;
            }
            self.unanswered.forget_first();
        }
        let first = self.unanswered.first().filter(|_| !self.closing.is_over());
        let due = first.map(|(at, _)| at + self.config.unanswered_timeout);
        self.timers.set(Timer::Unanswered, due);
    }

    /// The peer has had the time to answer these streams: it has accepted them, or will refuse
    /// them.
    pub(super) fn end_unanswered(&mut self) {
        let limit = self.config.unanswered_timeout;
        while let Some((at, id)) = self.unanswered.first() {
            if at + limit > self.now {
                break;
            }
            self.unanswered.forget_first();
            if let Some(key) = self.unanswered_key(id) {
                self.answered(key);
            }
        }
        self.arm_unanswered();
    }
}
