//! Waiters for the end of a stream.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};

use super::shared::Shared;
use super::waiters::{Ticket, Waiters};
use super::wake::Wakes;
use crate::{StreamEnd, StreamId};

/// The waiters of each stream; allocated when there is one.
#[derive(Debug, Default)]
#[allow(clippy::box_collection, reason = "a session without waiters has one word less")]
pub(super) struct Endings(Option<Box<BTreeMap<StreamId, Waiters>>>);

impl Endings {
    /// Registers a waker. Returns the previous one, to be dropped after the lock.
    #[must_use = "wakers are dropped without the lock"]
    fn wait(&mut self, id: StreamId, ticket: &mut Ticket, waker: &Waker) -> Option<Waker> {
        self.0.get_or_insert_default().entry(id).or_default().wait(ticket, waker)
    }

    /// The stream has ended.
    pub(super) fn wake(&mut self, id: StreamId, wakes: &mut Wakes) {
        if let Some(mut waiters) = self.remove(id) {
            waiters.wake_all(wakes);
        }
    }

    /// Removes a waiter. Returns its waker, to be dropped after the lock.
    #[must_use = "wakers are dropped without the lock"]
    fn leave(&mut self, id: StreamId, ticket: &mut Ticket) -> Option<Waker> {
        let waiters = self.0.as_mut()?.get_mut(&id)?;
        let own = waiters.done(ticket);
        if waiters.is_empty() {
            self.remove(id);
        }
        own
    }

    fn remove(&mut self, id: StreamId) -> Option<Waiters> {
        let all = self.0.as_mut()?;
        let waiters = all.remove(&id);
        if all.is_empty() {
            self.0 = None;
        }
        waiters
    }
}

/// Waits until a stream has ended in both directions.
pub(super) async fn ended(shared: &Arc<Shared>, id: StreamId) -> StreamEnd {
    let mut waiting = Ending::new(shared, id);
    poll_fn(|cx| waiting.poll(cx)).await
}

/// A waiter for the end of a stream; dropping it unregisters it.
#[derive(Debug)]
pub(super) struct Ending {
    shared: Arc<Shared>,
    id: StreamId,
    ticket: Ticket,
}

impl Ending {
    pub(super) fn new(shared: &Arc<Shared>, id: StreamId) -> Self {
        Self { shared: Arc::clone(shared), id, ticket: Ticket::default() }
    }

    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<StreamEnd> {
        let mut state = self.shared.state.lock();
        let Some(mut stream) = state.stream(self.id) else {
            return Poll::Ready(StreamEnd::UnknownStream(self.id));
        };
        if let Some(end) = stream.ended() {
            return Poll::Ready(end);
        }
        let stale = state.endings.wait(self.id, &mut self.ticket, cx.waker());
        drop(state);
        drop(stale);
        Poll::Pending
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let own = self.shared.state.lock().endings.leave(self.id, &mut self.ticket);
        drop(own);
    }
}
