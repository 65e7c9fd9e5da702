//! The future that owns the transport.

mod reading;
mod writing;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io;

use reading::{After, Input};
use writing::{Output, Written};

use super::log::{self, Log};
use super::scratch::Scratch;
use super::shared::Shared;
use super::signal::Signal;
use super::wake::wake;
use super::{Clock, Transport};
use crate::{CloseReason, Session, Timestamp, Transmit, TransportError};

/// Maximum calls of the transport in one turn, each way: a call is charged at least this part of what
/// the turn moves.
const CALLS: usize = 256;

/// The turn beside small messages, as [`Session::turn_size`] tells it.
const SHORT_TURN: u32 = 65_440;

/// Turns until the runtime is let look for input; one beside small messages counts twice. Fewer cost
/// bulk up to a tenth, where several threads run the tasks.
const LOOK_AFTER: u8 = 8;

/// In place of a deadline for which the clock has woken the driver: should the clock go back behind it,
/// it has no timer any more.
const FIRED: Timestamp = Timestamp::ZERO;

/// Turns spent draining input after a write error: 128 MiB.
const LAST_TURNS: u32 = 2048;

/// Time limit for draining input after a write error.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Drives one session: a future that has to be polled for the session to make progress. It returns
/// the reason when the session has ended and the transport is closed; dropping it before that
/// abandons the session.
#[must_use = "a session does nothing unless its driver is polled"]
pub struct Driver<T, C> {
    shared: Arc<Shared>,
    transport: T,
    clock: C,
    log: Log,
    /// Of the transport, for the waker that the driver was polled with last.
    signal: Option<Arc<Signal>>,
    /// Sets the signal. The transport and the clock are polled with it.
    transport_waker: Waker,
    /// Output the transport has not taken.
    out: Option<Box<Transmit>>,
    /// The latest deadline passed to the clock.
    armed: Option<Timestamp>,
    written: Written,
    /// Maximum bytes that a turn moves each way.
    bound: u32,
    /// Turns since the runtime was last let look for input, as [`LOOK_AFTER`] counts them.
    unseen: u8,
    input: Input,
    output: Output,
    /// The transport has failed to write.
    broken: Option<Box<Broken>>,
    crowd: Crowd,
    /// The second half of the tasks that the latest reads have woken. They are woken when the
    /// output of the first half was written, so that the peer works at the same time. They wait at
    /// most until the turn after the driver has stepped back.
    #[allow(
        clippy::box_collection,
        reason = "most drivers never withhold any, and an idle session takes the less memory"
    )]
    withheld: Option<Box<Vec<Waker>>>,
}

/// Several tasks that may answer together, so that one batch takes all answers.
#[derive(Debug, Clone, Copy)]
enum Crowd {
    /// One task at most was woken last.
    None,
    /// Several were.
    Woken,
    /// This turn's output has waited for them.
    WaitedFor,
}

impl Crowd {
    /// The driver has woken tasks: several or not.
    fn woken(&mut self, several: bool) {
        if !several {
            *self = Self::None;
        } else if matches!(self, Self::None) {
            *self = Self::Woken;
        }
    }
}

/// A write error of the transport, before which input may have arrived.
#[derive(Debug)]
struct Broken {
    error: io::Error,
    /// Turns that are left to drain the input.
    turns: u32,
    until: Timestamp,
}

impl<T: Transport, C: Clock> fmt::Debug for Driver<T, C> {
    /// Shows the progress, and nothing of the transport, which may contain payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("out", &self.out)
            .field("input", &self.input)
            .field("output", &self.output)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

/// The result of a turn.
enum Turn {
    /// Waits for the transport, the time or a handle.
    Sleep,
    /// Has more to do, after others.
    Yield,
    /// Has something to write, but lets the woken tasks run first.
    StepBack,
    Finished(CloseReason),
}

impl<T: Transport + Unpin, C: Clock + Unpin> Future for Driver<T, C> {
    type Output = CloseReason;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let driver = self.get_mut();
        let mut scratch = Scratch::borrow();
        let left = driver.out.take();
        let mut out = left.or_else(|| scratch.out.take()).unwrap_or_default();
        let turn = driver.turn(cx, &mut scratch, &mut out);
        if out.is_empty() {
            scratch.out = Some(out);
        } else {
            driver.out = Some(out);
        }
        scratch.give_back();
        if !matches!(turn, Turn::StepBack) {
            driver.release();
        }
        match turn {
            Turn::Sleep => Poll::Pending,
            Turn::Yield => {
                driver.give_way(cx);
                Poll::Pending
            }
            Turn::StepBack => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Turn::Finished(reason) => Poll::Ready(reason),
        }
    }
}

impl<T, C> Driver<T, C> {
    pub(super) fn new(shared: Arc<Shared>, transport: T, clock: C, log: Log) -> Self {
        let bound = bound(&shared.state.lock().session);
        Self {
            shared,
            transport,
            clock,
            log,
            signal: None,
            transport_waker: Waker::noop().clone(),
            out: None,
            armed: None,
            written: Written::default(),
            bound,
            unseen: 0,
            input: Input::Ready,
            output: Output::Idle,
            broken: None,
            crowd: Crowd::None,
            withheld: None,
        }
    }

    /// Wakes all remaining waiters at the end.
    fn finish(&mut self, scratch: &mut Scratch) {
        let mut state = self.shared.state.lock();
        let ended_before = core::mem::replace(&mut state.driver_gone, true);
        let stale = (state.driver.take(), state.requests.take());
        state.session.abandon();
        state.deliver(&mut scratch.wakes);
        state.wake_everybody(&mut scratch.wakes);
        let reason = state.close_reason().cloned().unwrap_or(CloseReason::Abandoned);
        let (error, stats) = (state.transport_error.clone(), state.session.stats());
        drop(state);
        drop(stale);
        scratch.wakes.wake();
        self.release();
        if !ended_before {
            log::ended(&self.shared, &reason, error.as_ref(), &stats);
        }
    }

    /// Wakes the tasks that were held back.
    #[inline]
    fn release(&mut self) {
        if let Some(withheld) = self.withheld.take() {
            withheld.into_iter().for_each(wake);
        }
    }
}

impl<T: Transport, C: Clock> Driver<T, C> {
    /// Whether the transport may be ready.
    fn take_signal(&mut self, driver: &Waker) -> bool {
        match &self.signal {
            Some(signal) if signal.wakes(driver) => signal.take(),
            _ => {
                let signal = Signal::new(driver);
                self.transport_waker = Waker::from(Arc::clone(&signal));
                self.signal = Some(signal);
                // The clock knows the previous waker, too.
                self.armed = None;
                true
            }
        }
    }

    /// Lets others run before the next turn.
    fn give_way(&mut self, cx: &mut Context<'_>) {
        let counts = if self.bound <= SHORT_TURN { 2 } else { 1 };
        self.unseen = self.unseen.saturating_add(counts);
        if self.unseen < LOOK_AFTER {
            cx.waker().wake_by_ref();
        } else {
            self.unseen = 0;
            self.clock.yield_now(cx);
        }
    }

    /// What a call that moved so many bytes counts in a turn.
    fn charge(&self, count: usize) -> usize {
        count.max(self.bound() / CALLS)
    }

    fn bound(&self) -> usize {
        usize::try_from(self.bound).unwrap_or(usize::MAX)
    }

    fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch, out: &mut Transmit) -> Turn {
        if self.take_signal(cx.waker()) {
            self.input.may_be_ready();
            if self.output == Output::Blocked {
                self.output = Output::Unflushed;
            }
        }
        // For the session, time stands still while the clock goes back.
        let now = self.clock.now();
        if self.armed.is_some_and(|armed| armed <= now) {
            self.armed = Some(FIRED);
        }
        let after = match self.read(cx, now, scratch) {
            Ok(after) => after,
            Err(error) => return self.fail(now, error, scratch),
        };
        if let Some(mut broken) = self.broken.take() {
            let until = broken.until;
            if self.input == Input::Ended || broken.turns == 0 || until <= now {
                return self.fail(now, broken.error, scratch);
            }
            // It may report the write error before it reports readable data.
            broken.turns = broken.turns.saturating_sub(1);
            self.broken = Some(broken);
            return self.rest(Some(until));
        }
        match self.crowd {
            Crowd::None => {}
            Crowd::Woken => {
                self.crowd = Crowd::WaitedFor;
                return Turn::StepBack;
            }
            Crowd::WaitedFor => self.crowd = Crowd::Woken,
        }
        if let After::SleepOn(deadline) = after {
            return self.rest(deadline);
        }
        match self.write(cx, now, scratch, out) {
            // More has arrived than one turn takes; the rest waits for the next turn.
            Ok(Turn::Sleep) if self.input == Input::Ready => Turn::Yield,
            Ok(turn) => turn,
            Err(error) => {
                // Input that arrived before the error is still read.
                let (turns, until) = (LAST_TURNS, now + LAST_WORDS);
                self.broken = Some(Box::new(Broken { error, turns, until }));
                Turn::Yield
            }
        }
    }

    /// Ends a turn that has nothing to write, unless the transport may have more input.
    fn rest(&mut self, deadline: Option<Timestamp>) -> Turn {
        let asleep = self.input != Input::Ready && self.sleep_until(deadline);
        if asleep { Turn::Sleep } else { Turn::Yield }
    }

    /// Arranges to be woken at `deadline`; `false` if it has passed.
    fn sleep_until(&mut self, deadline: Option<Timestamp>) -> bool {
        let mut cx = Context::from_waker(&self.transport_waker);
        let Some(deadline) = deadline else {
            // The clock of an idle session keeps no timer that has fired.
            if self.armed == Some(FIRED) && self.clock.poll_sleep(&mut cx, FIRED).is_ready() {
                self.armed = None;
            }
            return true;
        };
        // An early wake-up costs less than setting a timer at every turn.
        if self.armed.is_some_and(|armed| armed != FIRED && armed <= deadline) {
            return true;
        }
        let fired = self.clock.poll_sleep(&mut cx, deadline).is_ready();
        self.armed = Some(deadline).filter(|_| !fired);
        !fired
    }

    /// The transport has failed.
    fn fail(&mut self, now: Timestamp, error: io::Error, scratch: &mut Scratch) -> Turn {
        let mut state = self.shared.state.lock();
        let error = Arc::new(error);
        state.transport_error = Some(Arc::clone(&error));
        let error = TransportError::shared(error);
        state.session.handle_transport_error(now, error.clone());
        state.deliver(&mut scratch.wakes);
        let reason = state.close_reason().cloned().unwrap_or(CloseReason::TransportError(error));
        drop(state);
        scratch.wakes.wake();
        self.finish(scratch);
        Turn::Finished(reason)
    }
}

/// Maximum bytes that a turn of this session moves each way.
fn bound(session: &Session) -> u32 {
    u32::try_from(session.turn_size()).unwrap_or(u32::MAX)
}

impl<T, C> Drop for Driver<T, C> {
    fn drop(&mut self) {
        if !self.shared.state.lock().driver_gone {
            let mut scratch = Scratch::borrow();
            self.finish(&mut scratch);
            scratch.give_back();
        }
    }
}
