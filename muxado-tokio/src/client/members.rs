//! The sessions of a client that take streams.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use super::ClientError;
use crate::session::{Session, WeakSession};

/// The sessions of a client. Waiters watch it for changes.
#[derive(Debug)]
pub(super) struct Members(watch::Sender<State>);

#[derive(Debug)]
pub(super) struct State {
    /// The sessions that take streams.
    ready: Vec<Session>,
    /// Sessions that take no streams, and may still have open ones.
    leaving: Vec<WeakSession>,
    last_error: Option<Arc<io::Error>>,
    is_shut_down: bool,
}

impl State {
    /// The sessions that take streams, the one with the fewest open first.
    pub(super) fn by_load(&self) -> Result<Vec<Session>, ClientError> {
        if self.is_shut_down {
            return Err(ClientError::ShutDown);
        }
        let mut sessions = self.ready.clone();
        sessions.sort_by_cached_key(|session| session.stats().open_streams);
        Ok(sessions)
    }

    pub(super) fn has(&self, number: u64) -> bool {
        self.ready.iter().any(|session| session.number() == number)
    }
}

impl Members {
    pub(super) fn new() -> Self {
        let (sender, _) = watch::channel(State {
            ready: Vec::new(),
            leaving: Vec::new(),
            last_error: None,
            is_shut_down: false,
        });
        Self(sender)
    }

    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }

    /// A session from now on takes streams.
    pub(super) fn join(&self, session: Session) {
        self.0.send_modify(|state| {
            if !state.is_shut_down {
                state.last_error = None;
                state.ready.push(session);
            }
        });
    }

    /// A session takes no more streams.
    pub(super) fn retire(&self, session: &Session) {
        self.0.send_if_modified(|state| {
            state.leaving.retain(|leaving| leaving.close_reason().is_none());
            let before = state.ready.len();
            state.ready.retain(|ready| ready.number() != session.number());
            let changed = state.ready.len() < before;
            if changed {
                state.leaving.push(session.downgrade());
            }
            changed
        });
    }

    /// An attempt has failed, or a session has ended.
    pub(super) fn failed(&self, error: io::Error) {
        let error = Arc::new(error);
        // This does not wake those that wait for a session.
        self.0.send_if_modified(|state| {
            state.last_error = Some(error);
            false
        });
    }

    pub(super) fn last_error(&self) -> Option<Arc<io::Error>> {
        self.0.borrow().last_error.clone()
    }

    /// From now on there are none: returns the sessions that took streams, and those that took no
    /// more.
    pub(super) fn shut_down(&self) -> (Vec<Session>, Vec<WeakSession>) {
        let mut sessions = Default::default();
        self.0.send_modify(|state| {
            state.is_shut_down = true;
            sessions = (std::mem::take(&mut state.ready), std::mem::take(&mut state.leaving));
        });
        sessions
    }
}
