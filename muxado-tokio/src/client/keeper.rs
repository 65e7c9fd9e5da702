//! Keeps one session of a client alive.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout};

use super::builder::Settings;
use super::members::Members;
use crate::ErrorCode;
use crate::session::Session;

/// The error of an attempt that reached its time limit.
const SLOW: &str = "the server has not answered within the time limit of an attempt";

/// Connects repeatedly until it is aborted.
pub(super) async fn keep<C, F, T>(members: Arc<Members>, connect: Arc<C>, settings: Arc<Settings>)
where
    C: Fn() -> F,
    F: Future<Output = io::Result<T>>,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut delays = settings.delays();
    loop {
        let attempt = timeout(settings.time_limit, establish(&*connect, &settings)).await;
        match attempt.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, SLOW))) {
            Ok(session) => {
                let since = Instant::now();
                members.join(session.clone());
                if let Err(error) = leave(&members, &session).await {
                    tracing::debug!(%error, session = session.number(), "a session was lost");
                    members.failed(error);
                }
                members.retire(&session);
                // After a session that ends at once, the next attempt must wait.
                if since.elapsed() >= settings.longest {
                    delays = settings.delays();
                }
            }
            Err(error) => {
                tracing::debug!(%error, "an attempt to connect failed");
                members.failed(error);
            }
        }
        sleep(delays.next().unwrap_or(settings.longest)).await;
    }
}

/// A session whose server has answered.
async fn establish<F, T>(connect: impl Fn() -> F, settings: &Settings) -> io::Result<Session>
where
    F: Future<Output = io::Result<T>>,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let session = Session::client(connect().await?, settings.config.clone());
    let mut unchecked = Unchecked(Some(session.clone()));
    if settings.config.typed() {
        session.ping().await?;
    }
    if let Some(greeting) = &settings.greeting {
        greeting(session.clone()).await?;
    }
    unchecked.0 = None;
    Ok(session)
}

/// Ends a session that has not passed its check: closing it gracefully would wait for a peer that
/// does not answer.
struct Unchecked(Option<Session>);

impl Drop for Unchecked {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            session.abort(ErrorCode::STREAM_CANCELLED, "the check of the session failed");
        }
    }
}

/// Waits until the session takes no more streams; `Err` if it is over.
async fn leave(members: &Members, session: &Session) -> io::Result<()> {
    let mut state = members.watch();
    let mut going = pin!(session.going_away());
    loop {
        // Another task may have noticed it before.
        if !state.borrow_and_update().has(session.number()) {
            return Ok(());
        }
        let mut changed = pin!(state.changed());
        let ended = poll_fn(|cx| {
            if let Poll::Ready(gone) = going.as_mut().poll(cx) {
                return Poll::Ready(Some(gone));
            }
            changed.as_mut().poll(cx).map(|_| None)
        });
        match ended.await {
            None => {}
            Some(Ok(_announcement)) => return Ok(()),
            Some(Err(reason)) => return Err(reason.into()),
        }
    }
}
