//! Streams with Tokio's read and write traits.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use muxado_proto::task;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::{cooperative, poll_proceed};

use crate::session::Session;

/// Maximum bytes that a small call moves.
const SMALL: usize = 2048;

/// Small calls that use one unit of a task's scheduling budget.
const SMALL_PER_UNIT: u8 = 8;

thread_local! {
    /// Calls on this thread until the next one that uses a unit.
    static PAID: Cell<u8> = const { Cell::new(0) };
}

/// One stream, both directions. Dropping it sends what was written, then the end of the stream.
///
/// Reading and writing are those of Tokio: [`AsyncRead`] and [`AsyncWrite`], where `shutdown` is
/// the half-close.
///
/// Writes go to the stream's send buffer and are sent in the background. `flush` waits until the
/// transport has taken them, and also the end of the stream after `shutdown`; `shutdown` itself
/// does not wait. Both fail if the stream was reset or the session is over.
///
/// A stream that is dropped before `shutdown` may be incomplete, but looks complete to the peer. So
/// it is reset with [`ErrorCode::INTERNAL`](crate::ErrorCode::INTERNAL) when a panic drops it. For
/// other early returns, such as a time limit around a write, choose
/// [`set_reset_on_drop`](Self::set_reset_on_drop).
///
/// # Examples
///
/// ```
/// use muxado_tokio::{Config, ErrorCode, Priority, Session, error_code};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), muxado_tokio::Error> {
/// # let (near, far) = tokio::io::duplex(4096);
/// # let client = Session::client(near, Config::default());
/// # let server = Session::server(far, Config::default());
/// let mut stream = client.open().await?;
/// stream.set_priority(Priority::HIGHEST);
/// stream.write_all(b"copied, ").await?;
/// stream.write_chunk("or not".into()).await?;
/// stream.finish()?; // or `shutdown().await`
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
/// let error = stream.read_u8().await.unwrap_err();
/// assert_eq!(error_code(&error), Some(ErrorCode(99)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Stream(task::Stream);

impl Stream {
    /// Splits into halves that can live in different tasks.
    ///
    /// ```
    /// # use muxado_tokio::{Config, Session};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), muxado_tokio::Error> {
    /// # let (near, far) = tokio::io::duplex(4096);
    /// # let client = Session::client(near, Config::default());
    /// # let server = Session::server(far, Config::default());
    /// let (mut recv, mut send) = client.open().await?.into_split();
    /// let reader = tokio::spawn(async move { recv.read_chunk(100).await });
    /// send.write_chunk("ping".into()).await?;
    /// server.accept().await?.write_chunk("pong".into()).await?;
    /// assert_eq!(reader.await.unwrap()?, Some("pong".into()));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn into_split(self) -> (RecvHalf, SendHalf) {
        let (recv, send) = self.0.into_split();
        (RecvHalf(recv), SendHalf(send))
    }

    muxado_proto::task_stream_methods!(Session, cooperative);
    muxado_proto::task_receiving_methods!(metered);
    muxado_proto::task_sending_methods!(metered);
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
/// # use muxado_tokio::{Config, Session};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), muxado_tokio::Error> {
/// # let (near, far) = tokio::io::duplex(4096);
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
/// # }
/// ```
#[derive(Debug)]
pub struct RecvHalf(task::RecvHalf);

impl RecvHalf {
    muxado_proto::task_stream_methods!(Session, cooperative);
    muxado_proto::task_receiving_methods!(metered);
}

/// The sending half of a stream; dropping it alone finishes the stream. See
/// [`Stream::into_split`].
///
/// ```
/// # use std::future::poll_fn;
/// # use muxado_tokio::{Config, Session};
/// use muxado_tokio::{ErrorCode, StreamEnd};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), muxado_tokio::Error> {
/// # let (near, far) = tokio::io::duplex(4096);
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
/// # }
/// ```
#[derive(Debug)]
pub struct SendHalf(task::SendHalf);

impl SendHalf {
    muxado_proto::task_stream_methods!(Session, cooperative);
    muxado_proto::task_sending_methods!(metered);
}

/// A call that uses the task's scheduling budget, so that a task that never has to wait cannot
/// block a worker. One that moves little takes about an eighth of the time of a system call on a
/// socket, for which the budget is made, so it uses an eighth of a unit.
fn metered<T>(
    cx: &mut Context<'_>,
    call: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    moved: impl FnOnce(&T) -> usize,
) -> Poll<T> {
    let paid = PAID.get();
    let result = if paid > 0 {
        ready!(call(cx))
    } else {
        let unit = ready!(poll_proceed(cx));
        let result = ready!(call(cx));
        unit.made_progress();
        result
    };
    let left = paid.checked_sub(1).unwrap_or(SMALL_PER_UNIT - 1);
    // After a call that has moved much, the next one uses a unit.
    PAID.set(if moved(&result) > SMALL { 0 } else { left });
    Poll::Ready(result)
}

/// How many bytes a call has moved.
fn count<E>(result: &Result<usize, E>) -> usize {
    *result.as_ref().unwrap_or(&0)
}

macro_rules! read {
    ($($name:ident),*) => {$(
        impl $name {
            /// Reads into memory of which `put` is the owner, at most `max` bytes.
            pub(crate) fn poll_read_to(
                &mut self,
                cx: &mut Context<'_>,
                max: usize,
                put: impl FnMut(&[u8]),
            ) -> Poll<io::Result<()>> {
                let read = |cx: &mut Context<'_>| self.0.poll_read_to(cx, max, put).map_err(io::Error::from);
                metered(cx, read, count).map_ok(|_| ())
            }
        }

        impl AsyncRead for $name {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                // Only the bytes that were read are initialised.
                self.poll_read_to(cx, buf.remaining(), |piece| buf.put_slice(piece))
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
                metered(cx, |cx| self.0.poll_write(cx, buf).map_err(io::Error::from), count)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let bufs = bufs.iter().map(|buf| &**buf);
                let write =
                    |cx: &mut Context<'_>| self.0.poll_write_vectored(cx, bufs).map_err(io::Error::from);
                metered(cx, write, count)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                metered(cx, |cx| self.0.poll_flush(cx), |_| 0).map_err(io::Error::from)
            }

            fn poll_shutdown(
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
