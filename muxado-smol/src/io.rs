//! Byte streams of futures-io and smol's time, in the form that the driver uses.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
use muxado_proto::Timestamp;
use muxado_proto::task::{Clock, Transport};
use smol::Timer;

/// Any byte stream of futures-io.
pub(crate) struct Io<T>(pub(crate) T);

impl<T> fmt::Debug for Io<T> {
    /// Shows nothing of the transport: it may contain payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").finish_non_exhaustive()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Transport for Io<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
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
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// The system's monotonic clock with smol's timers. It owns a timer only while it waits.
#[derive(Debug)]
pub(crate) struct SmolClock {
    origin: Instant,
    timer: Option<(Timestamp, Timer)>,
}

impl SmolClock {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), timer: None }
    }
}

impl Clock for SmolClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_duration(self.origin.elapsed())
    }

    fn poll_sleep(&mut self, cx: &mut Context<'_>, deadline: Timestamp) -> Poll<()> {
        // A time that the clock cannot represent never comes.
        let Some(at) = self.origin.checked_add(deadline.as_duration()) else {
            self.timer = None;
            return Poll::Pending;
        };
        let (current, timer) = self.timer.get_or_insert_with(|| (deadline, Timer::at(at)));
        if *current != deadline {
            *current = deadline;
            timer.set_at(at);
        }
        let fired = Pin::new(timer).poll(cx).map(drop);
        if fired.is_ready() {
            self.timer = None;
        }
        fired
    }
}
