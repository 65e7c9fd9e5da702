//! Handles that observe a session without keeping it open.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::fmt;
use core::task::{Context, Poll};
use core::time::Duration;

use bytes::Bytes;

use super::session::Session;
use super::session::waiting::{closed, leave};
use super::shared::Shared;
use super::waiters::Ticket;
use crate::{CloseReason, ErrorCode, SessionStats};

/// Heartbeats that are kept for slow observers.
const KEPT: usize = 64;

/// The peer has announced that it is going away.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GoAway {
    /// Why.
    pub code: ErrorCode,
    /// The peer's text, cut to [`Config::goaway_text`](crate::Config::goaway_text).
    pub text: Bytes,
}

impl GoAway {
    pub(super) const fn new(code: ErrorCode, text: Bytes) -> Self {
        Self { code, text }
    }
}

/// A handle that does not keep a session open: a session closes when the last handle and the last
/// stream are dropped; weak handles do not count.
///
/// It keeps the memory of the session, which is small once the session is over.
#[derive(Clone)]
pub struct WeakSession {
    shared: Arc<Shared>,
}

impl fmt::Debug for WeakSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakSession").field("number", &self.number()).finish_non_exhaustive()
    }
}

impl WeakSession {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }

    /// A full handle; `None` if all handles and streams were dropped.
    #[must_use]
    pub fn upgrade(&self) -> Option<Session> {
        let mut state = self.shared.state.lock();
        if state.is_unused() {
            return None;
        }
        // Counted before the lock is released, so that the session cannot begin to close in
        // between.
        state.add_handle();
        drop(state);
        Some(Session::attached(&self.shared))
    }

    /// Waits for the end of the session; returns its cause.
    pub async fn closed(&self) -> CloseReason {
        closed(&self.shared).await
    }

    /// Why the session is over, once it is.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.shared.state.lock().close_reason().cloned()
    }

    /// Counters, and what the session holds now.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        self.shared.state.lock().session.stats()
    }

    /// Checks every counter of the session: see [`Session::audit`](crate::Session::audit).
    ///
    /// # Errors
    ///
    /// [`AuditError`](crate::AuditError), which is a bug in this crate.
    #[cfg(feature = "audit")]
    pub fn audit(&self) -> Result<(), crate::AuditError> {
        self.shared.state.lock().session.audit()
    }

    /// The number of the session in this process, as in the log.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.shared.number
    }

    /// The name that the application has given the peer.
    #[must_use]
    pub fn peer_name(&self) -> Option<Arc<str>> {
        self.shared.peer_name()
    }
}

/// The result of one heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Beat {
    /// It came back.
    Returned {
        /// From its sending to its return.
        rtt: Duration,
    },
    /// It did not come back in time, or the peer ended its stream.
    Missed,
}

/// The latest heartbeats.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The number of the first one that is kept.
    first: u64,
    kept: VecDeque<Beat>,
}

impl History {
    pub(super) fn record(&mut self, beat: Beat) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        self.kept.push_back(beat);
    }

    /// The number of the next one.
    fn next(&self) -> u64 {
        self.first.wrapping_add(u64::try_from(self.kept.len()).unwrap_or(u64::MAX))
    }

    /// The first kept beat from number `next` on, and how many were dropped before it.
    fn from(&self, next: u64) -> Option<(Beat, u64)> {
        let dropped = self.first.saturating_sub(next);
        let index = usize::try_from(next.saturating_sub(self.first)).ok()?;
        self.kept.get(index).map(|beat| (*beat, dropped))
    }
}

/// The heartbeats of a session, one after the other: see [`Session::heartbeats`]. It does not keep
/// the session open.
///
/// The latest 64 are kept for a slow reader; when there are more, the oldest are dropped.
pub struct Heartbeats {
    shared: Arc<Shared>,
    next: u64,
    dropped: u64,
    ticket: Ticket,
}

impl fmt::Debug for Heartbeats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeats").field("dropped", &self.dropped).finish_non_exhaustive()
    }
}

impl Heartbeats {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let next = shared.state.lock().pings().history.next();
        Self { shared: Arc::clone(shared), next, dropped: 0, ticket: Ticket::lasting() }
    }

    /// The result of the next heartbeat; `None` when the session is over.
    pub fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<Beat>> {
        let mut state = self.shared.state.lock();
        let over = state.close_reason().is_some();
        let pings = state.pings();
        let (stale, result) = if let Some((beat, dropped)) = pings.history.from(self.next) {
            self.dropped = self.dropped.saturating_add(dropped);
            self.next = self.next.wrapping_add(dropped).wrapping_add(1);
            (pings.waiting.done(&mut self.ticket), Poll::Ready(Some(beat)))
        } else if over {
            (pings.waiting.done(&mut self.ticket), Poll::Ready(None))
        } else {
            (pings.waiting.wait(&mut self.ticket, cx.waker()), Poll::Pending)
        };
        drop(state);
        drop(stale);
        result
    }

    /// How many were dropped because this was not polled in time.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Drop for Heartbeats {
    fn drop(&mut self) {
        leave(&self.shared, |state| &mut state.pings().waiting, &mut self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_beats_are_dropped_and_counted() {
        let mut history = History::default();
        let start = history.next();
        assert_eq!(history.from(start), None);
        for number in 0..100 {
            history.record(Beat::Returned { rtt: Duration::from_millis(number) });
        }
        history.record(Beat::Missed);
        assert_eq!(history.kept.len(), KEPT);
        let first = Beat::Returned { rtt: Duration::from_millis(37) };
        assert_eq!(history.from(start), Some((first, 37)));
        assert_eq!(history.from(100), Some((Beat::Missed, 0)));
        assert_eq!(history.from(history.next()), None);
    }
}
