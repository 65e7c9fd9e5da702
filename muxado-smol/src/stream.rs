//! Streams with futures-io's read and write traits.

use std::io::{self, IoSlice};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use muxado_proto::task;

/// One stream, both directions. Dropping it sends what was written, then the end of the stream.
///
/// Reading and writing are those of futures-io: [`AsyncRead`] and [`AsyncWrite`], where `close` is
/// the half-close. The rest is documented at [`task::Stream`], to which this type dereferences:
/// [`read_chunk`](task::Stream::read_chunk), [`reset`](task::Stream::reset),
/// [`set_priority`](task::Stream::set_priority) and so on.
///
/// Writes go to the stream's send buffer and leave on their own: `flush` has nothing to do.
#[derive(Debug)]
pub struct Stream(task::Stream);

impl Stream {
    /// Splits into halves that can live in different tasks.
    #[must_use]
    pub fn into_split(self) -> (RecvHalf, SendHalf) {
        let (recv, send) = self.0.into_split();
        (RecvHalf(recv), SendHalf(send))
    }
}

impl From<task::Stream> for Stream {
    fn from(stream: task::Stream) -> Self {
        Self(stream)
    }
}

/// The receiving half of a stream; dropping it alone stops reading.
#[derive(Debug)]
pub struct RecvHalf(task::RecvHalf);

/// The sending half of a stream; dropping it alone finishes the stream.
#[derive(Debug)]
pub struct SendHalf(task::SendHalf);

macro_rules! read {
    ($($name:ident: $inner:ty),*) => {$(
        impl AsyncRead for $name {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.0.poll_read(cx, buf).map_err(io::Error::from)
            }
        }
    )*};
}

macro_rules! write {
    ($($name:ident: $inner:ty),*) => {$(
        impl AsyncWrite for $name {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.0.poll_write(cx, buf).map_err(io::Error::from)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let bufs = bufs.iter().map(|buf| &**buf);
                self.0.poll_write_vectored(cx, bufs).map_err(io::Error::from)
            }

            fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(
                mut self: Pin<&mut Self>,
                _cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                self.0.finish();
                Poll::Ready(Ok(()))
            }
        }
    )*};
}

macro_rules! deref {
    ($($name:ident: $inner:ty),*) => {$(
        impl Deref for $name {
            type Target = $inner;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl DerefMut for $name {
            fn deref_mut(&mut self) -> &mut Self::Target {
                &mut self.0
            }
        }
    )*};
}

read!(Stream: task::Stream, RecvHalf: task::RecvHalf);
write!(Stream: task::Stream, SendHalf: task::SendHalf);
deref!(Stream: task::Stream, RecvHalf: task::RecvHalf, SendHalf: task::SendHalf);
