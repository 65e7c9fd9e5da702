//! The handle on a session.

pub(super) mod waiting;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use bytes::Bytes;

use waiting::{
    Waiting, closed, leave, poll_accept, poll_closed, poll_going_away, poll_open, poll_ping,
};

use super::error::{OpenError, PingError};
use super::observe::{GoAway, Heartbeats, WeakSession};
use super::shared::{Request, Shared, State};
use super::stream::Stream;
use super::waiters::Ticket;
use crate::{CloseReason, Config, ErrorCode, Role, SessionStats, StreamType, Warning};

/// A handle to a session: opens and accepts streams. Clones are handles to the same session.
///
/// When the last handle and the last stream of a session are dropped, the session closes
/// gracefully. All async methods are cancel-safe: a dropped future has done nothing, or, for
/// [`close`](Self::close), has begun to close.
///
/// An async method can be called from many tasks at once. Its poll form needs `&mut self`, because
/// the handle stores the place of its waiter: only one task can wait, and the waker of the latest
/// call is woken. Clone the handle to wait in another task.
pub struct Session {
    clones: Arc<Clones>,
    /// The places of the poll forms; allocated when one of them is used.
    tickets: Option<Box<Tickets>>,
}

/// A handle and all its clones, which count as one: only the last of them takes the lock of the
/// session when it is dropped.
struct Clones {
    shared: Arc<Shared>,
}

impl Drop for Clones {
    fn drop(&mut self) {
        self.shared.command(|state, _| state.remove_handle());
    }
}

/// The places in which the poll forms of one handle wait.
#[derive(Debug)]
struct Tickets {
    opening: Ticket,
    accepting: Ticket,
    closing: Ticket,
    leaving: Ticket,
    /// `poll_close` has begun to close.
    close_asked: bool,
}

impl Default for Tickets {
    fn default() -> Self {
        let [opening, accepting, closing, leaving] = [(); 4].map(|()| Ticket::lasting());
        Self { opening, accepting, closing, leaving, close_asked: false }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("number", &self.number()).finish_non_exhaustive()
    }
}

impl Clone for Session {
    fn clone(&self) -> Self {
        Self { clones: Arc::clone(&self.clones), tickets: None }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(mut tickets) = self.tickets.take() {
            let shared = self.shared();
            leave(shared, |state| &mut state.opening, &mut tickets.opening);
            leave(shared, |state| &mut state.accepting, &mut tickets.accepting);
            leave(shared, |state| &mut state.closing, &mut tickets.closing);
            leave(shared, |state| &mut state.leaving, &mut tickets.leaving);
        }
    }
}

impl Session {
    /// A new handle to a session.
    pub(super) fn attach(shared: &Arc<Shared>) -> Self {
        shared.state.lock().add_handle();
        Self::attached(shared)
    }

    /// A handle that is counted already.
    pub(super) fn attached(shared: &Arc<Shared>) -> Self {
        Self { clones: Arc::new(Clones { shared: Arc::clone(shared) }), tickets: None }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.clones.shared
    }

    /// Opens a stream; waits while as many are open as the configuration allows.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn open(&self) -> Result<Stream, OpenError> {
        let mut waiting = Waiting::new(self.shared(), |state| &mut state.opening);
        poll_fn(|cx| poll_open(self.shared(), &mut waiting.ticket, cx, crate::Session::open)).await
    }

    /// [`open`](Self::open) as a poll.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn poll_open(&mut self, cx: &Context<'_>) -> Poll<Result<Stream, OpenError>> {
        let ticket = &mut self.tickets.get_or_insert_default().opening;
        poll_open(&self.clones.shared, ticket, cx, crate::Session::open)
    }

    /// Opens a stream of a type, in a typed session.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn open_typed(&self, stream_type: StreamType) -> Result<Stream, OpenError> {
        let mut waiting = Waiting::new(self.shared(), |state| &mut state.opening);
        let open = |session: &mut crate::Session| session.open_typed(stream_type);
        poll_fn(|cx| poll_open(self.shared(), &mut waiting.ticket, cx, open)).await
    }

    /// [`open_typed`](Self::open_typed) as a poll. Waits in the same place as
    /// [`poll_open`](Self::poll_open).
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn poll_open_typed(
        &mut self,
        cx: &Context<'_>,
        stream_type: StreamType,
    ) -> Poll<Result<Stream, OpenError>> {
        let ticket = &mut self.tickets.get_or_insert_default().opening;
        poll_open(&self.clones.shared, ticket, cx, |session| session.open_typed(stream_type))
    }

    /// Accepts the stream of the peer that has waited longest, or waits for one.
    ///
    /// # Errors
    ///
    /// The reason of the session's end, after all streams that arrived before it.
    pub async fn accept(&self) -> Result<Stream, CloseReason> {
        let mut waiting = Waiting::new(self.shared(), |state| &mut state.accepting);
        poll_fn(|cx| poll_accept(self.shared(), &mut waiting.ticket, cx)).await
    }

    /// [`accept`](Self::accept) as a poll.
    ///
    /// # Errors
    ///
    /// The reason of the session's end, after all streams that arrived before it.
    pub fn poll_accept(&mut self, cx: &Context<'_>) -> Poll<Result<Stream, CloseReason>> {
        let ticket = &mut self.tickets.get_or_insert_default().accepting;
        poll_accept(&self.clones.shared, ticket, cx)
    }

    /// The peer's streams as a sequence.
    #[must_use]
    pub fn incoming(&self) -> Incoming {
        Incoming { session: self.clone(), ended: false }
    }

    /// Sends a heartbeat and waits for it to come back; returns the round-trip time.
    ///
    /// # Errors
    ///
    /// [`PingError`].
    pub async fn ping(&self) -> Result<Duration, PingError> {
        let mut waiting = Waiting::new(self.shared(), |state| &mut state.pings().waiting);
        let (returned, missed) = self.shared().command(|state, _| {
            state.request(Request::Ping);
            let pings = state.pings();
            (pings.returned, pings.missed)
        });
        poll_fn(|cx| poll_ping(self.shared(), &mut waiting.ticket, cx, returned, missed)).await
    }

    /// The heartbeats of this session from now on, both returned and missed ones.
    #[must_use]
    pub fn heartbeats(&self) -> Heartbeats {
        Heartbeats::new(self.shared())
    }

    /// Waits for the end of the session; returns its cause, always the same.
    pub async fn closed(&self) -> CloseReason {
        closed(self.shared()).await
    }

    /// [`closed`](Self::closed) as a poll.
    pub fn poll_closed(&mut self, cx: &Context<'_>) -> Poll<CloseReason> {
        let ticket = &mut self.tickets.get_or_insert_default().closing;
        poll_closed(&self.clones.shared, ticket, cx, |state| state.close_reason().is_some())
    }

    /// Waits until the peer announces that it is going away.
    ///
    /// # Errors
    ///
    /// The reason of the session's end, if the peer announced nothing before.
    pub async fn going_away(&self) -> Result<GoAway, CloseReason> {
        let mut waiting = Waiting::new(self.shared(), |state| &mut state.leaving);
        poll_fn(|cx| poll_going_away(self.shared(), &mut waiting.ticket, cx)).await
    }

    /// [`going_away`](Self::going_away) as a poll.
    ///
    /// # Errors
    ///
    /// The reason of the session's end, if the peer announced nothing before.
    pub fn poll_going_away(&mut self, cx: &Context<'_>) -> Poll<Result<GoAway, CloseReason>> {
        let ticket = &mut self.tickets.get_or_insert_default().leaving;
        poll_going_away(&self.clones.shared, ticket, cx)
    }

    /// Closes gracefully; returns when the driver has ended, with the cause of the end.
    pub async fn close(&self) -> CloseReason {
        self.close_with(ErrorCode::NO_ERROR, Bytes::new()).await
    }

    /// [`close`](Self::close) with a code and a text for the peer.
    pub async fn close_with(&self, code: ErrorCode, text: impl Into<Bytes>) -> CloseReason {
        let text = text.into();
        self.shared().command(|state, _| state.request(Request::Close { code, text }));
        let mut waiting = Waiting::new(self.shared(), |state| &mut state.closing);
        let done = |state: &State| state.driver_gone;
        poll_fn(|cx| poll_closed(self.shared(), &mut waiting.ticket, cx, done)).await
    }

    /// [`close`](Self::close) as a poll: the first call begins to close.
    pub fn poll_close(&mut self, cx: &Context<'_>) -> Poll<CloseReason> {
        let tickets = self.tickets.get_or_insert_default();
        if !core::mem::replace(&mut tickets.close_asked, true) {
            let (code, text) = (ErrorCode::NO_ERROR, Bytes::new());
            self.clones.shared.command(|state, _| state.request(Request::Close { code, text }));
        }
        poll_closed(&self.clones.shared, &mut tickets.closing, cx, |state| state.driver_gone)
    }

    /// Tells the peer to open no more streams and refuses new ones.
    pub fn go_away(&self, code: ErrorCode, text: impl Into<Bytes>) {
        let text = text.into();
        self.shared().command(|state, _| state.request(Request::GoAway { code, text }));
    }

    /// Closes at once: unsent data is discarded.
    pub fn abort(&self, code: ErrorCode, text: impl Into<Bytes>) {
        let text = text.into();
        self.shared().command(|state, _| state.request(Request::Abort { code, text }));
    }

    /// Why the session is over, once it is.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.shared().state.lock().close_reason().cloned()
    }

    /// A sign that the configuration of the two ends does not match, if there is one.
    #[must_use]
    pub fn warning(&self) -> Option<Warning> {
        self.shared().state.lock().warning
    }

    /// The error of the transport, if it failed.
    #[must_use]
    pub fn transport_error(&self) -> Option<Arc<io::Error>> {
        self.shared().state.lock().transport_error.clone()
    }

    /// The round-trip time of the latest heartbeat that came back.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.shared().state.lock().session.rtt()
    }

    /// Counters, and what the session holds now.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        self.shared().state.lock().session.stats()
    }

    /// Which end this is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.shared().state.lock().session.role()
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(self.shared().state.lock().session.config())
    }

    /// The number of the session in this process, as in the log.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.shared().number
    }

    /// The address of this end, if the transport has one.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.shared().addresses.local()
    }

    /// The address of the peer, if the transport has one.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.shared().addresses.peer()
    }

    /// The name that the application has given the peer.
    #[must_use]
    pub fn peer_name(&self) -> Option<Arc<str>> {
        self.shared().peer_name()
    }

    /// Names the peer.
    pub fn set_peer_name(&self, name: impl Into<Arc<str>>) {
        let name = Some(name.into());
        let former = core::mem::replace(&mut self.shared().state.lock().peer_name, name);
        drop(former);
    }

    /// A handle that does not keep the session open.
    #[must_use]
    pub fn downgrade(&self) -> WeakSession {
        WeakSession::new(self.shared())
    }
}

/// The peer's streams, one after the other: see [`Session::incoming`]. Counts as a handle to the
/// session.
#[derive(Debug)]
pub struct Incoming {
    session: Session,
    ended: bool,
}

impl Incoming {
    /// The next stream. When the session is over and all arrived streams were taken, the reason,
    /// once, and then `None`.
    pub fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Stream, CloseReason>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = self.session.poll_accept(cx);
        self.ended = matches!(next, Poll::Ready(Err(_)));
        next.map(Some)
    }
}
