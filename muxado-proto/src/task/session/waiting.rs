//! What the calls of a session's handles wait for.

use alloc::sync::Arc;
use core::future::poll_fn;
use core::task::{Context, Poll};
use core::time::Duration;

use super::super::error::{CallError, OpenError, PingError};
use super::super::observe::GoAway;
use super::super::shared::{Shared, State};
use super::super::stream::Stream;
use super::super::waiters::{Ticket, Waiters};
use super::super::wake::Wakes;
use crate::{CloseReason, StreamId};

/// A waiter in one of the queues; dropping it removes it from the queue.
pub(super) struct Waiting<'a> {
    shared: &'a Shared,
    queue: fn(&mut State) -> &mut Waiters,
    pub(super) ticket: Ticket,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(shared: &'a Shared, queue: fn(&mut State) -> &mut Waiters) -> Self {
        Self { shared, queue, ticket: Ticket::default() }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        leave(self.shared, self.queue, &mut self.ticket);
    }
}

pub(in crate::task) fn leave(
    shared: &Shared,
    queue: fn(&mut State) -> &mut Waiters,
    ticket: &mut Ticket,
) {
    if !ticket.waits() {
        return;
    }
    let mut wakes = Wakes::default();
    let mut state = shared.state.lock();
    let own = queue(&mut state).leave(ticket, &mut wakes);
    drop(state);
    drop(own);
    wakes.wake();
}

pub(super) fn poll_open(
    shared: &Arc<Shared>,
    ticket: &mut Ticket,
    cx: &Context<'_>,
    open: impl Fn(&mut crate::Session) -> Result<StreamId, crate::OpenError>,
) -> Poll<Result<Stream, OpenError>> {
    let mut stale = None;
    let result = shared.command(|state, wakes| {
        // Earlier waiters go first.
        let waits = !ticket.waits() && !state.opening.is_empty();
        let opened = if waits { Poll::Pending } else { OpenError::poll(open(&mut state.session)) };
        let Poll::Ready(opened) = opened else {
            stale = state.opening.wait(ticket, cx.waker());
            return Poll::Pending;
        };
        stale = state.opening.done(ticket);
        // The last opener re-arms OpenReady.
        if !state.opening.is_empty() && (state.session.notify_when_open() || opened.is_err()) {
            state.opening.wake_one(wakes);
        }
        Poll::Ready(opened.map(|id| Stream::new(shared, state, id)))
    });
    drop(stale);
    result
}

pub(super) fn poll_accept(
    shared: &Arc<Shared>,
    ticket: &mut Ticket,
    cx: &Context<'_>,
) -> Poll<Result<Stream, CloseReason>> {
    let mut next = Wakes::default();
    let mut stale = None;
    let mut state = shared.state.lock();
    let result = if let Some(id) = state.session.accept() {
        stale = state.accepting.done(ticket);
        if state.session.backlog() > 0 {
            state.accepting.wake_one(&mut next);
        }
        Poll::Ready(Ok(Stream::new(shared, &mut state, id)))
    } else if let Some(reason) = state.close_reason() {
        Poll::Ready(Err(reason.clone()))
    } else {
        stale = state.accepting.wait(ticket, cx.waker());
        Poll::Pending
    };
    drop(state);
    drop(stale);
    next.wake();
    result
}

pub(super) fn poll_ping(
    shared: &Shared,
    ticket: &mut Ticket,
    cx: &Context<'_>,
    returned: u64,
    missed: u64,
) -> Poll<Result<Duration, PingError>> {
    let mut state = shared.state.lock();
    let closed = state.close_reason().cloned();
    let pings = state.pings();
    if pings.returned != returned {
        return Poll::Ready(Ok(pings.rtt));
    }
    if let Some(reason) = closed {
        return Poll::Ready(Err(PingError::SessionClosed(reason)));
    }
    if let Some(error) = &pings.refused {
        return Poll::Ready(Err(error.clone()));
    }
    if pings.missed != missed {
        return Poll::Ready(Err(PingError::Missed));
    }
    let stale = pings.waiting.wait(ticket, cx.waker());
    drop(state);
    drop(stale);
    Poll::Pending
}

pub(super) fn poll_going_away(
    shared: &Shared,
    ticket: &mut Ticket,
    cx: &Context<'_>,
) -> Poll<Result<GoAway, CloseReason>> {
    let mut state = shared.state.lock();
    if let Some(said) = &state.going_away {
        return Poll::Ready(Ok(GoAway::clone(said)));
    }
    if let Some(reason) = state.close_reason() {
        return Poll::Ready(Err(reason.clone()));
    }
    let stale = state.leaving.wait(ticket, cx.waker());
    drop(state);
    drop(stale);
    Poll::Pending
}

/// Waits for the end of a session.
pub(in crate::task) async fn closed(shared: &Shared) -> CloseReason {
    let mut waiting = Waiting::new(shared, |state| &mut state.closing);
    let done = |state: &State| state.close_reason().is_some();
    poll_fn(|cx| poll_closed(shared, &mut waiting.ticket, cx, done)).await
}

pub(super) fn poll_closed(
    shared: &Shared,
    ticket: &mut Ticket,
    cx: &Context<'_>,
    done: impl Fn(&State) -> bool,
) -> Poll<CloseReason> {
    let mut state = shared.state.lock();
    if done(&state) {
        return Poll::Ready(state.close_reason().cloned().unwrap_or(CloseReason::Abandoned));
    }
    let stale = state.closing.wait(ticket, cx.waker());
    drop(state);
    drop(stale);
    Poll::Pending
}
