//! The handles on a stream.

use alloc::sync::Arc;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};

use bytes::Bytes;

use super::endings::{Ending, ended};
use super::error::{ReadError, WriteError};
use super::session::Session;
use super::shared::{Shared, State};
use super::target::Target;
use crate::{CloseReason, ErrorCode, Priority, StreamEnd, StreamId, StreamStats, StreamType};

macro_rules! common {
    () => {
        /// The stream's name in the session.
        #[must_use]
        pub const fn id(&self) -> StreamId {
            self.target.id
        }

        /// The type, in a typed session.
        #[must_use]
        pub const fn stream_type(&self) -> Option<StreamType> {
            self.target.stream_type()
        }

        /// A new handle to the session of the stream.
        #[must_use]
        pub fn session(&self) -> Session {
            Session::attach(&self.target.shared)
        }

        /// The address of this end of the session, if its transport has one.
        #[must_use]
        pub fn local_addr(&self) -> Option<SocketAddr> {
            self.target.shared.addresses.local()
        }

        /// The address of the peer, if the transport has one.
        #[must_use]
        pub fn peer_addr(&self) -> Option<SocketAddr> {
            self.target.shared.addresses.peer()
        }

        /// The name that the application has given the peer.
        #[must_use]
        pub fn peer_name(&self) -> Option<Arc<str>> {
            self.target.shared.peer_name()
        }

        /// What the stream holds now.
        #[must_use]
        pub fn stats(&self) -> StreamStats {
            self.target.with(|stream| stream.stats()).unwrap_or_default()
        }

        /// Ends both directions at once: unsent and unread bytes are discarded, the peer gets
        /// `code`.
        pub fn reset(&self, code: ErrorCode) {
            self.target.with(|stream| stream.reset(code));
        }

        /// Waits until the stream has ended in both directions: both sides have finished it and the
        /// transport has taken the end of this one, one side has reset it, or the session is over.
        /// Bytes received before can still be read.
        ///
        /// # Cancel safety
        ///
        /// Cancel-safe.
        pub async fn ended(&self) -> StreamEnd {
            ended(&self.target.shared, self.target.id).await
        }

        /// Waits until the peer has reset the stream, and returns its code. A handler uses it to
        /// learn that the answer is no longer wanted. `None` if the peer can no longer reset it,
        /// because both sides have finished the stream, or this side has reset it.
        ///
        /// A peer that only drops the stream sends nothing until it receives data, which it answers
        /// with [`STREAM_CLOSED`](ErrorCode::STREAM_CLOSED): the protocol has no other signal. A
        /// client that wants its server to notice calls [`reset`](Self::reset).
        ///
        /// # Errors
        ///
        /// The cause, if the session ended.
        ///
        /// # Cancel safety
        ///
        /// Cancel-safe.
        pub async fn stopped(&self) -> Result<Option<ErrorCode>, CloseReason> {
            match self.ended().await {
                StreamEnd::Reset(code) => Ok(Some(code)),
                StreamEnd::SessionClosed(reason) => Err(reason),
                _ => Ok(None),
            }
        }
    };
}

macro_rules! receiving {
    () => {
        /// Reads into `buf`; 0 at the end of the stream.
        ///
        /// # Errors
        ///
        /// [`ReadError`], after everything received was read.
        pub fn poll_read(
            &mut self,
            cx: &Context<'_>,
            buf: &mut [u8],
        ) -> Poll<Result<usize, ReadError>> {
            self.target.poll_read(cx, buf)
        }

        /// Reads into `buf`; 0 at the end of the stream.
        ///
        /// # Errors
        ///
        /// [`ReadError`], after everything received was read.
        ///
        /// # Cancel safety
        ///
        /// Cancel-safe: nothing has been taken if the future is dropped.
        pub async fn read_some(&mut self, buf: &mut [u8]) -> Result<usize, ReadError> {
            self.target.recv(|cx| self.target.poll_read(cx, buf)).await
        }

        /// Passes at most `max` received bytes to `put`, piece by piece; returns how many, 0 at the
        /// end of the stream. This is for uninitialised memory. Large pieces are passed without the
        /// lock of the session.
        ///
        /// # Errors
        ///
        /// [`ReadError`], after everything received was read.
        ///
        /// # Deadlocks
        ///
        /// Small pieces are passed under the lock: `put` must not use handles to the session.
        pub fn poll_read_to(
            &mut self,
            cx: &Context<'_>,
            max: usize,
            put: impl FnMut(&[u8]),
        ) -> Poll<Result<usize, ReadError>> {
            self.target.poll_read_to(cx, max, put)
        }

        /// Takes the contiguous bytes at the front, at most `max`, without a copy; `None` at the
        /// end of the stream.
        ///
        /// # Errors
        ///
        /// [`ReadError`], after everything received was read.
        ///
        /// # Cancel safety
        ///
        /// Cancel-safe: nothing has been taken if the future is dropped.
        pub async fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, ReadError> {
            let read =
                |cx: &Context<'_>| self.target.poll_recv(cx, |stream| stream.read_chunk(max));
            self.target.recv(read).await
        }

        /// [`read_chunk`](Self::read_chunk) as a poll.
        ///
        /// # Errors
        ///
        /// [`ReadError`], after everything received was read.
        pub fn poll_read_chunk(
            &mut self,
            cx: &Context<'_>,
            max: usize,
        ) -> Poll<Result<Option<Bytes>, ReadError>> {
            self.target.poll_recv(cx, |stream| stream.read_chunk(max))
        }

        /// Copies received bytes into `buf` without consuming them. It does not wait: 0 if there
        /// are none now.
        pub fn peek(&self, buf: &mut [u8]) -> usize {
            self.target.with(|stream| stream.peek(buf)).unwrap_or(0)
        }

        /// Stops reading: received bytes and later ones are discarded, and the peer still gets
        /// credit.
        pub fn stop(&self) {
            self.target.with(|stream| stream.stop());
        }
    };
}

macro_rules! sending {
    () => {
        /// Takes bytes to send; returns how many.
        ///
        /// # Errors
        ///
        /// [`WriteError`].
        pub fn poll_write(
            &mut self,
            cx: &Context<'_>,
            data: &[u8],
        ) -> Poll<Result<usize, WriteError>> {
            self.target.poll_write(cx, data)
        }

        /// Takes bytes of several buffers to send, in order; returns how many.
        ///
        /// # Errors
        ///
        /// [`WriteError`].
        pub fn poll_write_vectored<'b>(
            &mut self,
            cx: &Context<'_>,
            buffers: impl Iterator<Item = &'b [u8]> + Clone,
        ) -> Poll<Result<usize, WriteError>> {
            self.target.poll_write_vectored(cx, buffers)
        }

        /// Takes bytes to send; returns how many, at least one unless `data` is empty.
        ///
        /// # Errors
        ///
        /// [`WriteError`].
        ///
        /// # Cancel safety
        ///
        /// Cancel-safe: nothing has been written if the future is dropped.
        pub async fn write_some(&mut self, data: &[u8]) -> Result<usize, WriteError> {
            poll_fn(|cx| self.target.poll_write(cx, data)).await
        }

        /// Takes all of `chunk` to send, without a copy.
        ///
        /// # Errors
        ///
        /// [`WriteError`].
        ///
        /// # Cancel safety
        ///
        /// If the future is dropped, a part of the chunk from its front may have been taken. To
        /// know how much, use [`poll_write_chunk`](Self::poll_write_chunk), which leaves the rest.
        ///
        /// # Deadlocks
        ///
        /// The session may be locked while the chunk is dropped, now or when it has been sent: the
        /// owner of its memory ([`Bytes::from_owner`]) must not use or own handles to the session.
        pub async fn write_chunk(&mut self, mut chunk: Bytes) -> Result<(), WriteError> {
            poll_fn(|cx| self.target.poll_write_chunk(cx, &mut chunk)).await
        }

        /// Takes bytes to send from the front of `chunk`, without a copy, until it is empty. As
        /// with [`write_chunk`](Self::write_chunk), the owner of its memory must not use the
        /// session.
        ///
        /// # Errors
        ///
        /// [`WriteError`].
        pub fn poll_write_chunk(
            &mut self,
            cx: &Context<'_>,
            chunk: &mut Bytes,
        ) -> Poll<Result<(), WriteError>> {
            self.target.poll_write_chunk(cx, chunk)
        }

        /// Waits until the transport has taken everything that was written, and the end of the
        /// stream if it was finished. This needs credit from the peer. This side cannot know more:
        /// the protocol has no acknowledgement.
        ///
        /// # Errors
        ///
        /// [`WriteError`], never `Finished`, if the transport will not take it.
        pub fn poll_flush(&mut self, cx: &Context<'_>) -> Poll<Result<(), WriteError>> {
            self.target.poll_send(cx, |stream| stream.flushed())
        }

        /// Half-closes: what was written is sent, then the end of the stream. Reading continues.
        /// This does not wait until everything is sent; [`poll_flush`](Self::poll_flush) does.
        ///
        /// # Errors
        ///
        /// [`WriteError`], never `Finished`, if the stream was reset or the session is over: then
        /// what was written may not arrive.
        pub fn finish(&mut self) -> Result<(), WriteError> {
            self.target.advance(|stream| stream.finish())
        }

        /// Announces a stream that was never written to, without data. Not needed before reading: a
        /// waiting reader announces its stream.
        ///
        /// # Errors
        ///
        /// As [`finish`](Self::finish).
        pub fn announce(&mut self) -> Result<(), WriteError> {
            self.target.advance(|stream| stream.announce())
        }

        /// Chooses what happens if this is dropped before the stream was finished: the stream is
        /// reset with [`STREAM_CANCELLED`](ErrorCode::STREAM_CANCELLED), or finished. A new stream
        /// has [`Config::reset_on_drop`](crate::Config::reset_on_drop).
        pub fn set_reset_on_drop(&self, reset: bool) {
            self.target.with(|stream| stream.set_reset_on_drop(reset));
        }

        /// Changes the priority of written data, from the next frame on.
        pub fn set_priority(&self, priority: Priority) {
            self.target.with(|stream| stream.set_priority(priority));
        }
    };
}

/// One stream, both directions. Dropping it sends what was written, then the end of the stream; if
/// the peer keeps sending, it learns that nobody reads.
///
/// A stream that is dropped before it was [finished](Self::finish) may be incomplete, but looks
/// complete to the peer. So it is reset with [`ErrorCode::INTERNAL`] when a panic drops it. For
/// other early returns, such as a time limit around a write, choose
/// [`set_reset_on_drop`](Self::set_reset_on_drop).
#[derive(Debug)]
pub struct Stream {
    target: Target,
}

impl Stream {
    /// Waits for its end without borrowing it.
    pub(super) fn ending(&self) -> Ending {
        Ending::new(&self.target.shared, self.target.id)
    }

    pub(super) fn new(shared: &Arc<Shared>, state: &mut State, id: StreamId) -> Self {
        state.adopt(id);
        let stream_type = state.stream(id).and_then(|stream| stream.stream_type());
        Self { target: Target::new(Arc::clone(shared), id, stream_type) }
    }

    /// Splits into halves that can live in different tasks.
    #[must_use]
    pub fn into_split(self) -> (RecvHalf, SendHalf) {
        let mut state = self.target.shared.state.lock();
        if let Some(slot) = state.slot(self.target.id) {
            state.streams.split(slot);
        }
        drop(state);
        (RecvHalf { target: self.target.clone() }, SendHalf { target: self.target.clone() })
    }

    common!();
    receiving!();
    sending!();
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.target.release(|_| {});
    }
}

/// The receiving half of a stream. Dropping it alone is [`stop`](Self::stop).
#[derive(Debug)]
pub struct RecvHalf {
    target: Target,
}

impl RecvHalf {
    common!();
    receiving!();
}

impl Drop for RecvHalf {
    fn drop(&mut self) {
        self.target.release(|stream| stream.stop());
    }
}

/// The sending half of a stream. Dropping it alone is [`finish`](Self::finish), with the exceptions
/// of [`Stream`]; that does not announce a stream that was never written to.
#[derive(Debug)]
pub struct SendHalf {
    target: Target,
}

impl SendHalf {
    common!();
    sending!();
}

impl Drop for SendHalf {
    fn drop(&mut self) {
        self.target.release(Target::release_send);
    }
}
