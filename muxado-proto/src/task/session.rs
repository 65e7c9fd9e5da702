//! The handle on a session.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::marker::PhantomData;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io;

use bytes::Bytes;

use super::SessionError;
use super::shared::{Request, Shared, State};
use super::stream::Stream;
use super::waiters::{Ticket, Waiters};
use crate::{CloseReason, Config, ErrorCode, OpenError, Role, SessionStats, StreamType};

/// A handle on a session: opens and accepts streams of type `S`. Clones are handles on the same
/// session.
///
/// When the last handle and the last stream of a session are gone, the session closes in order.
/// All async methods are cancel-safe: a future that is dropped has done nothing, or, for
/// [`close`](Self::close), has begun to close.
pub struct Session<S> {
    shared: Arc<Shared>,
    /// Handles make streams, they do not own any.
    streams: PhantomData<fn() -> S>,
}

impl<S> fmt::Debug for Session<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl<S> Clone for Session<S> {
    fn clone(&self) -> Self {
        let mut state = self.shared.state.lock();
        state.session_handles = state.session_handles.saturating_add(1);
        drop(state);
        Self { shared: Arc::clone(&self.shared), streams: PhantomData }
    }
}

impl<S> Drop for Session<S> {
    fn drop(&mut self) {
        self.shared.command(|state, _| {
            state.session_handles = state.session_handles.saturating_sub(1);
            state.close_if_unused();
        });
    }
}

impl<S: From<Stream>> Session<S> {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        shared.state.lock().session_handles = 1;
        Self { shared, streams: PhantomData }
    }

    /// Opens a stream; waits while as many are open as the configuration allows. Nothing is sent
    /// before the first write.
    ///
    /// # Errors
    ///
    /// [`OpenError`], never `Blocked`.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: no stream is open if the future is dropped.
    pub async fn open(&self) -> Result<S, OpenError> {
        let mut waiting = Waiting::new(&self.shared, |state| &mut state.opening);
        poll_fn(|cx| waiting.open(cx, crate::Session::open)).await.map(S::from)
    }

    /// Opens a stream of a type, in a typed session. The type is sent at once.
    ///
    /// # Errors
    ///
    /// [`OpenError`], never `Blocked`.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: no stream is open if the future is dropped.
    pub async fn open_typed(&self, stream_type: StreamType) -> Result<S, OpenError> {
        let mut waiting = Waiting::new(&self.shared, |state| &mut state.opening);
        let open = |session: &mut crate::Session| session.open_typed(stream_type);
        poll_fn(|cx| waiting.open(cx, open)).await.map(S::from)
    }

    /// Accepts the stream of the peer that has waited longest, or waits for one. In a typed
    /// session its type has arrived; silent streams hold nobody up.
    ///
    /// # Errors
    ///
    /// [`SessionError::Closed`], after all streams that arrived before the end.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: no stream is lost if the future is dropped.
    pub async fn accept(&self) -> Result<S, SessionError> {
        let mut waiting = Waiting::new(&self.shared, |state| &mut state.accepting);
        poll_fn(|cx| waiting.accept(cx)).await.map(S::from)
    }

    /// The peer's streams as a sequence that ends when the session does.
    #[must_use]
    pub fn incoming(&self) -> Incoming<S> {
        Incoming { session: self.clone(), ticket: Ticket::lasting() }
    }

    /// Sends a heartbeat and waits for it to come back; gives the round-trip time. Beats under way
    /// are shared.
    ///
    /// # Errors
    ///
    /// [`SessionError`], if the session is not typed, over, or the beat did not come back within
    /// the tolerance.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn ping(&self) -> Result<Duration, SessionError> {
        let mut waiting = Waiting::new(&self.shared, |state| &mut state.pings().waiting);
        let (returned, missed) = self.shared.command(|state, _| {
            state.request(Request::Ping);
            let pings = state.pings();
            (pings.returned, pings.missed)
        });
        poll_fn(|cx| waiting.ping(cx, returned, missed)).await
    }

    /// Waits for the end of the session; gives its cause, once and always the same.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn closed(&self) -> CloseReason {
        let mut waiting = Waiting::new(&self.shared, |state| &mut state.closing);
        poll_fn(|cx| waiting.closed(cx, |state| state.close_reason().is_some())).await
    }

    /// Closes in order: streams not yet accepted are refused, those open run on until both sides
    /// have finished them, for at most [`Config::drain_timeout`]; then the peer is told, and
    /// everything is handed to the transport. Returns when the peer has ended its side of the
    /// transport as well, or after [`Config::linger_timeout`], with the cause of the end.
    ///
    /// # Cancel safety
    ///
    /// The session closes even if the future is dropped.
    pub async fn close(&self) -> CloseReason {
        self.close_with(ErrorCode::NO_ERROR, Bytes::new()).await
    }

    /// [`close`](Self::close) with a code and a text for the peer.
    ///
    /// # Cancel safety
    ///
    /// The session closes once the future has been polled.
    pub async fn close_with(&self, code: ErrorCode, text: impl Into<Bytes>) -> CloseReason {
        let text = text.into();
        self.shared.command(|state, _| state.request(Request::Close { code, text }));
        let mut waiting = Waiting::new(&self.shared, |state| &mut state.closing);
        poll_fn(|cx| waiting.closed(cx, |state| state.driver_gone)).await
    }

    /// Tells the peer to open no more streams and refuses new ones. Those open run on, for at most
    /// [`Config::drain_timeout`]; then the session is over.
    pub fn go_away(&self, code: ErrorCode, text: impl Into<Bytes>) {
        let text = text.into();
        self.shared.command(|state, _| state.request(Request::GoAway { code, text }));
    }

    /// Closes at once: what was written and not sent is dropped, the peer is told `code` and
    /// `text`.
    pub fn abort(&self, code: ErrorCode, text: impl Into<Bytes>) {
        let text = text.into();
        self.shared.command(|state, _| state.request(Request::Abort { code, text }));
    }

    /// Why the session is over, once it is.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.shared.state.lock().close_reason().cloned()
    }

    /// What the transport failed with, if it did.
    #[must_use]
    pub fn transport_error(&self) -> Option<Arc<io::Error>> {
        self.shared.state.lock().transport_error.clone()
    }

    /// The round-trip time of the latest heartbeat that came back.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.shared.state.lock().session.rtt()
    }

    /// Counters, and what the session holds now.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        self.shared.state.lock().session.stats()
    }

    /// Which end this is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.shared.state.lock().session.role()
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(self.shared.state.lock().session.config())
    }
}

/// One that waits in one of the queues, and leaves it when it is dropped.
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    queue: fn(&mut State) -> &mut Waiters,
    ticket: Ticket,
}

impl<'a> Waiting<'a> {
    fn new(shared: &'a Arc<Shared>, queue: fn(&mut State) -> &mut Waiters) -> Self {
        Self { shared, queue, ticket: Ticket::default() }
    }

    fn open(
        &mut self,
        cx: &Context<'_>,
        open: impl Fn(&mut crate::Session) -> Result<crate::StreamId, OpenError>,
    ) -> Poll<Result<Stream, OpenError>> {
        let ticket = &mut self.ticket;
        let mut stale = None;
        let result = self.shared.command(|state, wakes| {
            // Those who wait already go first.
            let waits = ticket.is_new() && !state.opening.is_empty();
            let result = if waits { Err(OpenError::Blocked) } else { open(&mut state.session) };
            if result == Err(OpenError::Blocked) {
                stale = state.opening.wait(ticket, cx.waker());
                Poll::Pending
            } else {
                stale = state.opening.done(ticket);
                // The last opener re-arms OpenReady.
                if !state.opening.is_empty()
                    && (state.session.notify_when_open() || result.is_err())
                {
                    state.opening.wake_one(wakes);
                }
                Poll::Ready(result.map(|id| Stream::new(self.shared, state, id)))
            }
        });
        drop(stale);
        result
    }

    fn accept(&mut self, cx: &Context<'_>) -> Poll<Result<Stream, SessionError>> {
        poll_accept(self.shared, &mut self.ticket, cx)
    }

    fn ping(
        &mut self,
        cx: &Context<'_>,
        returned: u64,
        missed: u64,
    ) -> Poll<Result<Duration, SessionError>> {
        let mut state = self.shared.state.lock();
        let closed = state.close_reason().cloned();
        let pings = state.pings();
        if pings.returned != returned {
            return Poll::Ready(Ok(pings.rtt));
        }
        if let Some(reason) = closed {
            return Poll::Ready(Err(SessionError::Closed(reason)));
        }
        if let Some(error) = &pings.refused {
            return Poll::Ready(Err(SessionError::Ping(error.clone())));
        }
        if pings.missed != missed {
            return Poll::Ready(Err(SessionError::HeartbeatMissed));
        }
        let stale = pings.waiting.wait(&mut self.ticket, cx.waker());
        drop(state);
        drop(stale);
        Poll::Pending
    }

    fn closed(&mut self, cx: &Context<'_>, done: impl Fn(&State) -> bool) -> Poll<CloseReason> {
        let mut state = self.shared.state.lock();
        if done(&state) {
            return Poll::Ready(state.close_reason().cloned().unwrap_or(CloseReason::Abandoned));
        }
        let stale = state.closing.wait(&mut self.ticket, cx.waker());
        drop(state);
        drop(stale);
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        leave(self.shared, self.queue, &mut self.ticket);
    }
}

fn leave(shared: &Shared, queue: fn(&mut State) -> &mut Waiters, ticket: &mut Ticket) {
    let mut wakes = Vec::new();
    let mut state = shared.state.lock();
    let own = queue(&mut state).leave(ticket, &mut wakes);
    drop(state);
    drop(own);
    wakes.into_iter().for_each(Waker::wake);
}

fn poll_accept(
    shared: &Arc<Shared>,
    ticket: &mut Ticket,
    cx: &Context<'_>,
) -> Poll<Result<Stream, SessionError>> {
    let mut next = Vec::new();
    let mut stale = None;
    let mut state = shared.state.lock();
    let result = if let Some(id) = state.session.accept() {
        stale = state.accepting.done(ticket);
        if state.session.backlog() > 0 {
            state.accepting.wake_one(&mut next);
        }
        Poll::Ready(Ok(Stream::new(shared, &mut state, id)))
    } else if let Some(reason) = state.close_reason() {
        Poll::Ready(Err(SessionError::Closed(reason.clone())))
    } else {
        stale = state.accepting.wait(ticket, cx.waker());
        Poll::Pending
    };
    drop(state);
    drop(stale);
    next.into_iter().for_each(Waker::wake);
    result
}

/// The peer's streams, one after the other: see [`Session::incoming`]. Counts as a handle on the
/// session.
#[derive(Debug)]
pub struct Incoming<S> {
    session: Session<S>,
    ticket: Ticket,
}

impl<S: From<Stream>> Incoming<S> {
    /// The next stream; `None` when the session is over and all that had arrived were taken.
    pub fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<S>> {
        poll_accept(&self.session.shared, &mut self.ticket, cx)
            .map(|result| result.ok().map(S::from))
    }

    /// Waits for the next stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: no stream is lost if the future is dropped.
    pub async fn next_stream(&mut self) -> Option<S> {
        // In a place of its own, which is left when the future is dropped.
        self.session.accept().await.ok()
    }
}

impl<S> Drop for Incoming<S> {
    fn drop(&mut self) {
        leave(&self.session.shared, |state| &mut state.accepting, &mut self.ticket);
    }
}
