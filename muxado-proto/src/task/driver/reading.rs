//! The input of a session.

use core::task::{Context, Poll};
use std::io;

use super::{CALL, Driver, TURN, wake};
use crate::Timestamp;
use crate::task::loans::BUFFER;
use crate::task::scratch::Scratch;
use crate::task::{Clock, Transport};

/// A read that wakes this many tasks or more wakes them in two halves. A model has fewer tasks.
const HALVES_FROM: usize = if cfg!(loom) { 2 } else { 16 };

/// Reads that fill at least this much of the buffer are passed on without a copy, as slices of it.
const SHARE_MIN: usize = BUFFER / 2;

impl<T: Transport, C: Clock> Driver<T, C> {
    /// Reads what the transport has, up to the bounds of a turn.
    pub(super) fn read(&mut self, now: Timestamp, scratch: &mut Scratch) -> io::Result<()> {
        let mut moved = 0usize;
        while self.readable && moved < TURN {
            let mut cx = Context::from_waker(&self.transport_waker);
            match self.transport.poll_read(&mut cx, scratch.buffer()) {
                Poll::Pending => self.readable = false,
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                    moved = moved.saturating_add(CALL);
                }
                Poll::Ready(result) => {
                    let count = result?;
                    moved = moved.saturating_add(count.max(CALL));
                    if self.input(now, count, scratch) {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Passes the first `count` bytes of the read buffer to the session; 0 means the end. Returns
    /// whether so many streams wait that the accepting tasks should run before more input is read.
    fn input(&mut self, now: Timestamp, count: usize, scratch: &mut Scratch) -> bool {
        self.log.read(&self.shared, scratch.filled(count));
        let lent = (count >= SHARE_MIN).then(|| scratch.lend(count));
        let mut state = self.shared.state.lock();
        if count == 0 {
            self.ended = true;
            self.readable = false;
            state.session.handle_eof(now);
        } else if let Some(data) = lent {
            state.session.handle_input(now, data);
        } else {
            state.session.handle_slice(now, scratch.filled(count));
        }
        if !state.session.wants_input() {
            self.ended = true;
            self.readable = false;
        }
        state.deliver(&mut scratch.wakes);
        let backlog = state.session.backlog();
        let limit = usize::try_from(state.session.config().accept_backlog()).unwrap_or(usize::MAX);
        let news = self.log.look(now, &state);
        drop(state);
        if let Some(news) = news {
            news.tell(&self.shared);
        }
        if !scratch.wakes.is_empty() {
            let count = scratch.wakes.len();
            self.crowd = count.max(backlog) > 1;
            if count >= HALVES_FROM {
                self.withheld.extend(scratch.wakes.drain(count / 2..));
            }
            wake(scratch);
        }
        backlog > limit / 2
    }
}
