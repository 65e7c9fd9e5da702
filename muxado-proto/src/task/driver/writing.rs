//! The output of a session.

use core::task::{Context, Poll};
use std::io::{self, IoSlice};

use bytes::Buf;

use super::super::scratch::Scratch;
use super::super::{Clock, Transport};
use super::{Driver, Turn, bound};
use crate::{CloseReason, Session, Timestamp, Transmit};

/// Maximum number of slices of one vectored write.
const SLICES: usize = 128;

/// Slices that are filled first: enough for most writes, and faster than filling [`SLICES`].
const FEW_SLICES: usize = 12;

/// Output that the transport has to take to restart the time limit on a batch.
const PROGRESS: usize = 4096;

/// The progress of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// Everything has been written and flushed.
    Idle,
    /// Something was written and has to be flushed.
    Unflushed,
    /// The transport takes no more for now.
    Blocked,
    /// The transport's write side is being ended.
    ShuttingDown,
    /// It has ended.
    Shut,
}

/// What the transport has taken and the session has not been told of.
#[derive(Debug, Default)]
pub(super) struct Written {
    bytes: usize,
    /// When the previous turn has written its last batch. It left the report to this one, which
    /// takes the lock anyway.
    deferred: Option<Timestamp>,
}

impl Written {
    /// Leaves the report of the last batch of a turn to the next turn.
    fn defer(&mut self, now: Timestamp) {
        self.deferred = Some(now);
    }

    /// Makes the report that the previous turn has left to this one, if it has.
    #[inline]
    pub(super) fn report_deferred(&mut self, session: &mut Session) {
        if let Some(then) = self.deferred.take() {
            session.transmitted(then, core::mem::take(&mut self.bytes));
        }
    }
}

impl<T: Transport, C: Clock> Driver<T, C> {
    /// Writes the output of the session, up to the bounds of a turn, and finds out what to wait
    /// for.
    pub(super) fn write(
        &mut self,
        cx: &Context<'_>,
        now: Timestamp,
        scratch: &mut Scratch,
        out: &mut Transmit,
    ) -> io::Result<Turn> {
        let mut moved = 0usize;
        loop {
            while !out.is_empty() && self.output != Output::Blocked {
                if moved >= self.bound() {
                    return Ok(Turn::Yield);
                }
                let count = self.write_some(out)?;
                moved = moved.saturating_add(self.charge(count));
            }
            // A batch counts as written only when the transport has flushed it: time limits depend
            // on that.
            if out.is_empty() {
                self.flush()?;
                if moved >= self.bound() && self.output != Output::Blocked {
                    self.written.defer(now);
                    return Ok(Turn::Yield);
                }
            }
            let Some(wait) = self.refill(cx, now, scratch, out) else {
                if out.is_empty() {
                    return Ok(Turn::Yield);
                } else {
                    continue;
                };
            };
            if out.is_empty() && wait.shutdown {
                self.shut_down();
            }
            // After the end only the transport can be waited for, with a time limit.
            let gone = self.output == Output::Shut || wait.deadline.is_none();
            if let Some(reason) = wait.finished.filter(|_| gone) {
                self.finish(scratch);
                return Ok(Turn::Finished(reason));
            }
            // A deadline that has passed in the meantime is handled in the next turn, which reads
            // the clock.
            let asleep = self.sleep_until(wait.deadline);
            return Ok(if asleep { Turn::Sleep } else { Turn::Yield });
        }
    }

    /// Gets the next batch when the previous one was written; `None` if there is more to do at
    /// once. Otherwise the driver is registered to be woken by handles, and gets what else to wait
    /// for.
    fn refill(
        &mut self,
        cx: &Context<'_>,
        now: Timestamp,
        scratch: &mut Scratch,
        out: &mut Transmit,
    ) -> Option<Wait> {
        let mut state = self.shared.state.lock();
        self.written.report_deferred(&mut state.session);
        state.carry_out(now, &mut scratch.wakes);
        let blocked = self.output == Output::Blocked;
        let mut grown = 0;
        if !blocked {
            // This reports that everything before was taken.
            self.written.bytes = 0;
            let batch = state.session.batch_size();
            grown = state.session.poll_transmit(now, out, batch);
        } else if self.written.bytes >= PROGRESS {
            state.session.transmitted(now, core::mem::take(&mut self.written.bytes));
        }
        self.bound = bound(&state.session);
        let deadline = state.session.poll_timeout();
        let due = deadline.is_some_and(|deadline| deadline <= now);
        if due {
            state.session.handle_timeout(now);
            state.streams.shrink();
        }
        state.deliver(&mut scratch.wakes);
        let awake = due || grown > 0;
        let (stale, wait) = if awake {
            (state.driver.take(), None)
        } else {
            state.output_blocked = blocked;
            let wait = Wait::new(&state.session, deadline);
            (state.register_driver(cx.waker()), Some(wait))
        };
        drop(state);
        drop(stale);
        if scratch.wakes.len() > 1 {
            self.crowd.woken(true);
        }
        scratch.wakes.wake();
        wait
    }

    fn write_some(&mut self, out: &mut Transmit) -> io::Result<usize> {
        let (mut few, mut many);
        few = [IoSlice::new(&[]); FEW_SLICES];
        let mut slices = &mut few[..];
        let mut count = out.io_slices(slices);
        if count == FEW_SLICES {
            many = [IoSlice::new(&[]); SLICES];
            slices = &mut many[..];
            count = out.io_slices(slices);
        }
        let filled = slices.get(..count).unwrap_or_default();
        let mut cx = Context::from_waker(&self.transport_waker);
        match self.transport.poll_write(&mut cx, filled) {
            Poll::Pending => {
                self.output = Output::Blocked;
                Ok(0)
            }
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Poll::Ready(Ok(0)) => Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(result) => {
                let count = result?;
                self.log.written(&self.shared, filled, count);
                out.advance(count);
                self.written.bytes = self.written.bytes.saturating_add(count);
                self.output = Output::Unflushed;
                Ok(count)
            }
        }
    }

    /// Everything was written: flushes it.
    fn flush(&mut self) -> io::Result<()> {
        if self.output == Output::Unflushed {
            let mut cx = Context::from_waker(&self.transport_waker);
            self.output = match self.transport.poll_flush(&mut cx) {
                Poll::Ready(result) => result.map(|()| Output::Idle)?,
                Poll::Pending => Output::Blocked,
            };
        }
        Ok(())
    }

    /// Ends the write side, when everything was flushed.
    fn shut_down(&mut self) {
        let mut cx = Context::from_waker(&self.transport_waker);
        if self.output == Output::Idle {
            self.output = Output::ShuttingDown;
        }
        if self.output == Output::ShuttingDown {
            // A transport that fails to shut down counts as shut down.
            if self.transport.poll_shutdown(&mut cx).is_ready() {
                self.output = Output::Shut;
            }
        }
    }
}

/// What the session waits for.
#[derive(Debug)]
struct Wait {
    deadline: Option<Timestamp>,
    /// It is over and has sent everything.
    shutdown: bool,
    /// The peer has ended its side, too.
    finished: Option<CloseReason>,
}

impl Wait {
    fn new(session: &Session, deadline: Option<Timestamp>) -> Self {
        let shutdown = session.wants_shutdown();
        let finished = shutdown && session.is_finished();
        let finished = finished.then(|| session.close_reason().cloned()).flatten();
        Self { deadline, shutdown, finished }
    }
}
