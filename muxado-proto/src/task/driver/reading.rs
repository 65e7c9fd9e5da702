//! The input of a session.

use core::task::{Context, Poll};
use std::io;

use super::super::loans::BUFFER;
use super::super::scratch::Scratch;
use super::super::shared::State;
use super::super::{Clock, Transport};
use super::{Driver, bound};
use crate::Timestamp;

/// A read that wakes this many tasks or more wakes them in two halves. A model has fewer tasks.
const HALVES_FROM: usize = if cfg!(loom) { 2 } else { 16 };

/// Reads that fill at least this much of the buffer are passed on without a copy, as slices of it.
const SHARE_MIN: usize = BUFFER / 2;

/// What the driver knows of the input of the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// There may be some.
    Ready,
    /// None until the transport wakes the driver.
    Awaited,
    /// None from now on.
    Ended,
}

impl Input {
    /// The transport may have woken the driver.
    pub(super) fn may_be_ready(&mut self) {
        if *self == Self::Awaited {
            *self = Self::Ready;
        }
    }
}

/// What some input has left to do.
#[derive(Debug, Clone, Copy)]
pub(super) enum After {
    /// Possibly something.
    Work,
    /// So many streams wait that the accepting tasks should run before more input is read.
    Crowd,
    /// Nothing until this time: the driver is still registered to be woken by handles.
    SleepOn(Option<Timestamp>),
}

impl<T: Transport, C: Clock> Driver<T, C> {
    /// Reads what the transport has, up to the bounds of a turn.
    pub(super) fn read(
        &mut self,
        cx: &Context<'_>,
        now: Timestamp,
        scratch: &mut Scratch,
    ) -> io::Result<After> {
        let (mut moved, mut after) = (0usize, After::Work);
        while self.input == Input::Ready && moved < self.bound() {
            let mut transport_cx = Context::from_waker(&self.transport_waker);
            match self.transport.poll_read(&mut transport_cx, scratch.buffer()) {
                Poll::Pending => self.input = Input::Awaited,
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                    moved = moved.saturating_add(self.charge(0));
                }
                Poll::Ready(result) => {
                    let count = result?;
                    moved = moved.saturating_add(self.charge(count));
                    after = self.take(cx, now, count, scratch);
                    if matches!(after, After::Crowd) {
                        break;
                    }
                }
            }
        }
        Ok(after)
    }

    /// Passes the first `count` bytes of the read buffer to the session; 0 means the end.
    fn take(
        &mut self,
        cx: &Context<'_>,
        now: Timestamp,
        count: usize,
        scratch: &mut Scratch,
    ) -> After {
        self.log.read(&self.shared, scratch.filled(count));
        let lent = (count >= SHARE_MIN).then(|| scratch.lend(count));
        let mut state = self.shared.state.lock();
        self.written.report_deferred(&mut state.session);
        if count == 0 {
            self.input = Input::Ended;
            state.session.handle_eof(now);
        } else if let Some(data) = lent {
            state.session.handle_input(now, data);
        } else {
            state.session.handle_slice(now, scratch.filled(count));
        }
        if !state.session.wants_input() {
            self.input = Input::Ended;
        }
        self.bound = bound(&state.session);
        state.deliver(&mut scratch.wakes);
        let backlog = state.session.backlog();
        let limit = usize::try_from(state.session.config().accept_backlog()).unwrap_or(usize::MAX);
        let after = if backlog > limit / 2 { After::Crowd } else { Self::after(cx, now, &state) };
        let news = self.log.look(now, &state);
        drop(state);
        if let Some(news) = news {
            news.tell(&self.shared);
        }
        let count = scratch.wakes.len();
        if count > 0 {
            self.crowd.woken(count.max(backlog) > 1);
            if count >= HALVES_FROM {
                scratch.wakes.withhold(self.withheld.get_or_insert_default());
            }
            scratch.wakes.wake();
        }
        after
    }

    /// A driver that slept, and got input which it need not answer, sleeps on.
    fn after(cx: &Context<'_>, now: Timestamp, state: &State) -> After {
        let deadline = state.session.poll_timeout();
        let is_due = deadline.is_some_and(|deadline| deadline <= now);
        if is_due || !state.lets_sleep(cx.waker()) { After::Work } else { After::SleepOn(deadline) }
    }
}
