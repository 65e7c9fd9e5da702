//! What is below TLS. It limits what a stranger sends. TLS asks for one record at a time; of a known
//! peer, the system is asked for many.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read from a known peer at once.
const READ: usize = 256 << 10;

/// A connection that has a buffer to read into only when its peer is known. Until then it delivers a
/// limited number of bytes.
pub struct Reader<T> {
    io: T,
    known: Arc<AtomicBool>,
    /// Bytes that a stranger may still send.
    left: usize,
    buffer: Vec<u8>,
    /// The part of the buffer that TLS has not asked for yet.
    unread: Range<usize>,
}

impl<T> Reader<T> {
    /// A connection with a known peer.
    pub fn new(io: T) -> Self {
        Self { io, known: Arc::new(true.into()), left: 0, buffer: Vec::new(), unread: 0..0 }
    }

    /// A connection with a stranger, until the flag says that the peer is known.
    pub fn of_stranger(io: T, limit: usize) -> (Self, Arc<AtomicBool>) {
        let known = Arc::new(AtomicBool::new(false));
        (Self { known: Arc::clone(&known), left: limit, ..Self::new(io) }, known)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Reader<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.unread.is_empty() {
            if !this.known.load(Ordering::Relaxed) {
                let before = buf.filled().len();
                ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
                let count = buf.filled().len() - before;
                this.left = this.left.checked_sub(count).ok_or_else(|| {
                    io::Error::new(io::ErrorKind::QuotaExceeded, "too much before authentication")
                })?;
                return Poll::Ready(Ok(()));
            }
            this.buffer.resize(READ, 0);
            let mut all = ReadBuf::new(&mut this.buffer);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut all))?;
            this.unread = 0..all.filled().len();
        }
        let count = this.unread.len().min(buf.remaining());
        buf.put_slice(&this.buffer[this.unread.start..][..count]);
        this.unread.start += count;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Reader<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
