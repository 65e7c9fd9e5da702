//! Tokio's byte streams and time, in the form that the driver uses.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use muxado_proto::Timestamp;
use muxado_proto::task::{Clock, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Any byte stream of Tokio.
pub(crate) struct Io<T>(pub(crate) T);

impl<T> fmt::Debug for Io<T> {
    /// Shows nothing of the transport: it may contain payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").finish_non_exhaustive()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Transport for Io<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        Pin::new(&mut self.0).poll_read(cx, &mut buf).map_ok(|()| buf.filled().len())
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.0);
        match bufs {
            [single] => io.poll_write(cx, single),
            _ => io.poll_write_vectored(cx, bufs),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Tokio's clock, which tests can pause. It owns a timer only while it waits.
#[derive(Debug)]
pub(crate) struct TokioClock {
    origin: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl TokioClock {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), sleep: None }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_duration(self.origin.elapsed())
    }

    fn poll_sleep(&mut self, cx: &mut Context<'_>, deadline: Timestamp) -> Poll<()> {
        // A time that the clock cannot represent never comes.
        let Some(at) = self.origin.checked_add(deadline.as_duration()) else {
            self.sleep = None;
            return Poll::Pending;
        };
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                if sleep.deadline() != at {
                    sleep.as_mut().reset(at);
                }
                sleep
            }
            none => none.insert(Box::pin(sleep_until(at))),
        };
        // Without budget a timer would not be set, and the driver polls it only once.
        let fired = pin!(tokio::task::unconstrained(sleep.as_mut())).poll(cx);
        if fired.is_ready() {
            self.sleep = None;
        }
        fired
    }

    fn yield_now(&mut self, cx: &mut Context<'_>) {
        // A task that wakes itself keeps the runtime from its sources of input for 61 polls.
        let first = pin!(tokio::task::yield_now()).poll(cx);
        debug_assert!(first.is_pending(), "the runtime wakes the task later");
    }
}
