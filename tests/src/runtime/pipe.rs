//! A transport in memory with small buffers, which does not depend on a runtime.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

/// A transport that is not tied to the traits of a runtime.
pub trait Wire: Send {
    /// Reads into `buf`; 0 at the end.
    ///
    /// # Errors
    ///
    /// If the transport fails.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes from the front of `data`; returns how much.
    ///
    /// # Errors
    ///
    /// If the transport fails, or the peer no longer reads.
    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>>;

    /// Ends the write side.
    ///
    /// # Errors
    ///
    /// If the transport fails.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Any [`Wire`], with the traits of every runtime.
pub struct Io {
    wire: Box<dyn Wire>,
    token: Arc<()>,
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").finish_non_exhaustive()
    }
}

impl Io {
    /// A transport.
    pub fn new(wire: impl Wire + 'static) -> Self {
        Self { wire: Box::new(wire), token: Arc::new(()) }
    }

    /// Lives as long as the transport does.
    pub fn token(&self) -> Weak<()> {
        Arc::downgrade(&self.token)
    }

    /// Reads into `buf`; 0 at the end.
    ///
    /// # Errors
    ///
    /// If the transport fails.
    pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.wire.poll_read(cx, buf)).await
    }

    /// Writes all of `data`.
    ///
    /// # Errors
    ///
    /// If the transport fails, or the peer no longer reads.
    pub async fn write_all(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let count = poll_fn(|cx| self.wire.poll_write(cx, data)).await?;
            data = &data[count..];
        }
        Ok(())
    }
}

impl Wire for Io {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.wire.poll_read(cx, buf)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.wire.poll_write(cx, data)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_close(cx)
    }
}

impl tokio::io::AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = self.wire.poll_read(cx, buf.initialize_unfilled());
        result.map_ok(|count| buf.advance(count))
    }
}

impl tokio::io::AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wire.poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_close(cx)
    }
}

impl futures_util::io::AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.wire.poll_read(cx, buf)
    }
}

impl futures_util::io::AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wire.poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.poll_close(cx)
    }
}

/// Two ends of a transport that holds `capacity` bytes each way.
pub fn pipe(capacity: usize) -> (Io, Io) {
    let there = Arc::new(Direction::new(capacity));
    let back = Arc::new(Direction::new(capacity));
    let near = End { inward: Arc::clone(&back), outward: Arc::clone(&there) };
    (Io::new(near), Io::new(End { inward: there, outward: back }))
}

struct End {
    inward: Arc<Direction>,
    outward: Arc<Direction>,
}

impl Wire for End {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.inward.poll_read(cx, buf)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.outward.poll_write(cx, data)
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outward.end(|flow| flow.ended = true);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.outward.end(|flow| flow.ended = true);
        self.inward.end(|flow| flow.broken = true);
    }
}

struct Direction {
    capacity: usize,
    flow: Mutex<Flow>,
}

#[derive(Default)]
struct Flow {
    bytes: VecDeque<u8>,
    /// The writer has finished.
    ended: bool,
    /// The reader has gone.
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Direction {
    fn new(capacity: usize) -> Self {
        Self { capacity, flow: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_read(&self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut flow = self.lock();
        if flow.bytes.is_empty() {
            if flow.ended {
                return Poll::Ready(Ok(0));
            }
            flow.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = io::Read::read(&mut flow.bytes, buf)?;
        let writer = flow.writer.take();
        drop(flow);
        writer.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn poll_write(&self, cx: &Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut flow = self.lock();
        if flow.broken || flow.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = data.len().min(self.capacity - flow.bytes.len());
        if count == 0 && !data.is_empty() {
            flow.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        flow.bytes.extend(&data[..count]);
        let reader = flow.reader.take();
        drop(flow);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn end(&self, how: impl FnOnce(&mut Flow)) {
        let mut flow = self.lock();
        how(&mut flow);
        let wakers = [flow.reader.take(), flow.writer.take()];
        drop(flow);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}
