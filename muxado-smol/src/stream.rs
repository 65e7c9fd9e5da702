//! Streams with futures-io's read and write traits.

use std::convert::identity;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use muxado_proto::task;

use crate::session::Session;

/// One stream, both directions. Dropping it sends what was written, then the end of the stream.
///
/// Reading and writing are those of futures-io: [`AsyncRead`] and [`AsyncWrite`], where `close` is
/// the half-close.
///
/// Writes go to the stream's send buffer and are sent in the background. `flush` waits until the
/// transport has taken them, and also the end of the stream after `close`; `close` itself does not
/// wait. Both fail if the stream was reset or the session is over.
///
/// A stream that is dropped before `close` may be incomplete, but looks complete to the peer. So it
/// is reset with [`ErrorCode::INTERNAL`](crate::ErrorCode::INTERNAL) when a panic drops it. For
/// other early returns, such as a time limit around a write, choose
/// [`set_reset_on_drop`](Self::set_reset_on_drop).
///
/// # Examples
///
/// ```
/// use muxado_smol::{Config, ErrorCode, Priority, Session, error_code};
/// use smol::io::{AsyncReadExt, AsyncWriteExt};
///
/// # fn main() -> Result<(), muxado_smol::Error> {
/// # smol::block_on(async {
/// # let (near, far) = smol::net::unix::UnixStream::pair().unwrap();
/// # let client = Session::client(near, Config::default());
/// # let server = Session::server(far, Config::default());
/// let mut stream = client.open().await?;
/// stream.set_priority(Priority::HIGHEST);
/// stream.write_all(b"copied, ").await?;
/// stream.write_chunk("or not".into()).await?;
/// stream.finish()?; // or `close().await`
///
/// let mut far = server.accept().await?;
/// assert_eq!(far.id(), stream.id());
/// let mut text = Vec::new();
/// while let Some(chunk) = far.read_chunk(usize::MAX).await? {
///     text.extend_from_slice(&chunk);
/// }
/// assert_eq!(text, b"copied, or not");
///
/// // A reset ends both directions, with a code.
/// far.reset(ErrorCode(99));
/// let error = stream.read(&mut [0]).await.unwrap_err();
/// assert_eq!(error_code(&error), Some(ErrorCode(99)));
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug)]
pub struct Stream(task::Stream);

impl Stream {
    /// Splits into halves that can live in different tasks.
    ///
    /// ```
    /// # use muxado_smol::{Config, Session};
    /// # fn main() -> Result<(), muxado_smol::Error> {
    /// # smol::block_on(async {
    /// # let (near, far) = smol::net::unix::UnixStream::pair().unwrap();
    /// # let client = Session::client(near, Config::default());
    /// # let server = Session::server(far, Config::default());
    /// let (mut recv, mut send) = client.open().await?.into_split();
    /// let reader = smol::spawn(async move { recv.read_chunk(100).await });
    /// send.write_chunk("ping".into()).await?;
    /// server.accept().await?.write_chunk("pong".into()).await?;
    /// assert_eq!(reader.await?, Some("pong".into()));
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    #[must_use]
    pub fn into_split(self) -> (RecvHalf, SendHalf) {
        let (recv, send) = self.0.into_split();
        (RecvHalf(recv), SendHalf(send))
    }

    muxado_proto::task_stream_methods!(Session, identity);
    muxado_proto::task_receiving_methods!(unmetered);
    muxado_proto::task_sending_methods!(unmetered);
}

impl From<Stream> for task::Stream {
    fn from(stream: Stream) -> Self {
        stream.0
    }
}

impl From<task::Stream> for Stream {
    fn from(stream: task::Stream) -> Self {
        Self(stream)
    }
}

/// The receiving half of a stream; dropping it alone stops reading. See [`Stream::into_split`].
///
/// ```
/// # use std::future::poll_fn;
/// # use muxado_smol::{Config, Session};
/// # fn main() -> Result<(), muxado_smol::Error> {
/// # smol::block_on(async {
/// # let (near, far) = smol::net::unix::UnixStream::pair().unwrap();
/// # let client = Session::client(near, Config::default());
/// # let server = Session::server(far, Config::default());
/// let mut stream = client.open().await?;
/// stream.write_chunk("head and body".into()).await?;
///
/// let (mut recv, send) = server.accept().await?.into_split();
/// let head = poll_fn(|cx| recv.poll_read_chunk(cx, 4)).await?;
/// assert_eq!(head, Some("head".into()));
/// // The next bytes, without taking them.
/// let mut next = [0; 4];
/// assert_eq!((recv.peek(&mut next), &next), (4, b" and"));
/// // The rest is not wanted. The other half is still there.
/// recv.stop();
/// drop(recv);
/// drop(send);
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug)]
pub struct RecvHalf(task::RecvHalf);

impl RecvHalf {
    muxado_proto::task_stream_methods!(Session, identity);
    muxado_proto::task_receiving_methods!(unmetered);
}

/// The sending half of a stream; dropping it alone finishes the stream. See
/// [`Stream::into_split`].
///
/// ```
/// # use std::future::poll_fn;
/// # use muxado_smol::{Config, Session};
/// use muxado_smol::{ErrorCode, StreamEnd};
///
/// # fn main() -> Result<(), muxado_smol::Error> {
/// # smol::block_on(async {
/// # let (near, far) = smol::net::unix::UnixStream::pair().unwrap();
/// # let client = Session::client(near, Config::default());
/// # let server = Session::server(far, Config::default());
/// let (_recv, mut send) = client.open().await?.into_split();
/// // If this is dropped in the middle, the peer does not take it for the whole.
/// send.set_reset_on_drop(true);
/// let mut chunk = bytes::Bytes::from("an upload");
/// poll_fn(|cx| send.poll_write_chunk(cx, &mut chunk)).await?;
/// assert!(chunk.is_empty());
///
/// // The peer gives up, and the writer learns of it.
/// server.accept().await?.reset(ErrorCode(99));
/// assert_eq!(send.stopped().await?, Some(ErrorCode(99)));
/// assert_eq!(send.ended().await, StreamEnd::Reset(ErrorCode(99)));
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug)]
pub struct SendHalf(task::SendHalf);

impl SendHalf {
    muxado_proto::task_stream_methods!(Session, identity);
    muxado_proto::task_sending_methods!(unmetered);
}

/// A call that moves bytes. Tasks of smol have no scheduling budget.
fn unmetered<T>(
    cx: &mut Context<'_>,
    call: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    _moved: impl FnOnce(&T) -> usize,
) -> Poll<T> {
    call(cx)
}

macro_rules! read {
    ($($name:ident),*) => {$(
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
    ($($name:ident),*) => {$(
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

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.0.poll_flush(cx).map_err(io::Error::from)
            }

            fn poll_close(
                mut self: Pin<&mut Self>,
                _cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Poll::Ready(self.0.finish().map_err(io::Error::from))
            }
        }
    )*};
}

read!(Stream, RecvHalf);
write!(Stream, SendHalf);
