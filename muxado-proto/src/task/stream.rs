//! The handles on a stream.

use alloc::sync::Arc;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::error::{ReadError, WriteError};
use super::loans::{BUFFER, Loan};
use super::session::Session;
use super::shared::{Shared, State, StreamWakers};
use super::taken::{LARGE_READ, Taken};
use super::wake::wake;
use crate::{ErrorCode, Priority, StreamId, StreamMut, StreamStats, StreamType};

/// Writes at least this large are copied before the lock is taken, a buffer at a time, so that the
/// driver can send one while the next is copied.
const LARGE_WRITE: usize = 16 << 10;

/// What all handles on a stream have: which one it is.
#[derive(Debug, Clone)]
struct Target {
    shared: Arc<Shared>,
    id: StreamId,
    stream_type: Option<StreamType>,
}

impl Target {
    /// Runs something on the stream, and wakes the driver if that left it something to do.
    fn with<R>(&self, run: impl FnOnce(&mut StreamMut<'_>) -> R) -> Option<R> {
        self.shared.command(|state, _| state.stream(self.id).map(|mut stream| run(&mut stream)))
    }

    /// Tries something that may be blocked, under the lock; if it is, `place` of the stream's
    /// wakers gets ours. `None` if the stream is not there.
    fn attempt<R>(
        &self,
        cx: &Context<'_>,
        try_it: impl FnOnce(&mut StreamMut<'_>) -> Poll<R>,
        place: impl FnOnce(&mut StreamWakers) -> &mut Option<Waker>,
    ) -> Poll<Option<R>> {
        let mut state = self.shared.state.lock();
        let Some(mut stream) = state.stream(self.id) else { return Poll::Ready(None) };
        let slot = stream.slot();
        if let Poll::Ready(result) = try_it(&mut stream) {
            let driver = state.kick();
            drop(state);
            driver.into_iter().for_each(wake);
            return Poll::Ready(Some(result));
        }
        let mut stale = None;
        if let Some(wakers) = state.streams.get_mut(slot) {
            let place = place(wakers);
            if !place.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                stale = place.replace(cx.waker().clone());
            }
        }
        drop(state);
        drop(stale);
        Poll::Pending
    }

    fn poll_read(&self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<Result<usize, ReadError>> {
        let (max, mut rest) = (buf.len(), buf);
        self.poll_read_to(cx, max, |piece| {
            let room = core::mem::take(&mut rest);
            if let Some((here, more)) = room.split_at_mut_checked(piece.len()) {
                here.copy_from_slice(piece);
                rest = more;
            }
        })
    }

    fn poll_read_to(
        &self,
        cx: &Context<'_>,
        max: usize,
        mut put: impl FnMut(&[u8]),
    ) -> Poll<Result<usize, ReadError>> {
        if max <= LARGE_READ {
            return self.poll_recv(cx, |stream| stream.read_to(max, put));
        }
        let mut taken = Taken::default();
        let few = u32::try_from(LARGE_READ).unwrap_or(u32::MAX);
        let first = self.poll_recv(cx, |stream| {
            if stream.stats().receive_buffered <= few {
                return stream.read_to(max, &mut put);
            }
            taken.fill(stream, max);
            Ok(0)
        });
        let mut count = match first {
            Poll::Ready(Ok(count)) => count,
            other => return other,
        };
        loop {
            let more = taken.put(&mut put);
            count = count.saturating_add(more);
            if more == 0 || count >= max {
                return Poll::Ready(Ok(count));
            }
            self.with(|stream| taken.fill(stream, max.saturating_sub(count)));
        }
    }

    fn poll_recv<R>(
        &self,
        cx: &Context<'_>,
        read: impl FnOnce(&mut StreamMut<'_>) -> Result<R, crate::ReadError>,
    ) -> Poll<Result<R, ReadError>> {
        self.attempt(cx, |stream| ReadError::poll(read(stream)), |wakers| &mut wakers.reader)
            .map(|result| result.unwrap_or(Err(ReadError::UnknownStream(self.id))))
    }

    fn poll_send<R>(
        &self,
        cx: &Context<'_>,
        write: impl FnOnce(&mut StreamMut<'_>) -> Result<R, crate::WriteError>,
    ) -> Poll<Result<R, WriteError>> {
        self.attempt(cx, |stream| WriteError::poll(write(stream)), |wakers| &mut wakers.writer)
            .map(|result| result.unwrap_or(Err(WriteError::UnknownStream(self.id))))
    }

    fn poll_write(&self, cx: &Context<'_>, data: &[u8]) -> Poll<Result<usize, WriteError>> {
        if data.len() < LARGE_WRITE {
            return self.poll_send(cx, |stream| stream.write(data));
        }
        let mut written = 0usize;
        let mut room = match self.poll_send(cx, |stream| stream.room()) {
            Poll::Ready(Ok(room)) => room,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        };
        while let Some(rest) = data.get(written..).filter(|rest| !rest.is_empty() && room > 0) {
            let piece = rest.get(..room).unwrap_or(rest);
            // A piece keeps little more than itself alive (`Config::max_memory`).
            let small = piece.len() < BUFFER - BUFFER / 8;
            let mut chunk = if small { Bytes::copy_from_slice(piece) } else { Loan::copy(piece) };
            let sent = self.with(|stream| {
                let taken = stream.write_chunk(&mut chunk)?;
                Ok::<_, crate::WriteError>((taken, stream.room()))
            });
            match sent {
                Some(Ok((taken, more))) => {
                    written = written.saturating_add(taken);
                    // Errors will be there again at the next call; these bytes are in.
                    room = more.unwrap_or(0);
                }
                _ => break,
            }
        }
        if written > 0 {
            Poll::Ready(Ok(written))
        } else {
            // The room was taken by another stream, or the stream ended meanwhile.
            self.poll_send(cx, |stream| stream.write(data))
        }
    }

    fn poll_write_vectored<'b>(
        &self,
        cx: &Context<'_>,
        buffers: impl Iterator<Item = &'b [u8]> + Clone,
    ) -> Poll<Result<usize, WriteError>> {
        let total = buffers.clone().fold(0usize, |sum, buf| sum.saturating_add(buf.len()));
        if total < LARGE_WRITE {
            return self.poll_send(cx, |stream| stream.write_vectored(buffers));
        }
        let mut written = 0usize;
        for buffer in buffers.filter(|buffer| !buffer.is_empty()) {
            match self.poll_write(cx, buffer) {
                Poll::Ready(Ok(count)) => {
                    written = written.saturating_add(count);
                    if count < buffer.len() {
                        break;
                    }
                }
                _ if written > 0 => break,
                other => return other,
            }
        }
        Poll::Ready(Ok(written))
    }

    fn poll_write_chunk(
        &self,
        cx: &Context<'_>,
        chunk: &mut Bytes,
    ) -> Poll<Result<(), WriteError>> {
        loop {
            match self.poll_send(cx, |stream| stream.write_chunk(chunk)) {
                Poll::Ready(Ok(_)) if chunk.is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// One handle on the stream goes away; `half` is what that means if another one is left.
    fn release(&self, half: impl FnOnce(&mut StreamMut<'_>)) {
        let stale = self.shared.command(|state, _| {
            let slot = state.slot(self.id)?;
            let stale = state.streams.release(slot);
            if let Some(mut stream) = state.stream(self.id) {
                if stale.is_some() { stream.release() } else { half(&mut stream) }
            }
            state.close_if_unused();
            stale
        });
        drop(stale);
    }
}

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
            self.target.stream_type
        }

        /// The session the stream belongs to: one more handle on it.
        #[must_use]
        pub fn session(&self) -> Session {
            Session::attach(&self.target.shared)
        }

        /// The address of this end of the session, if its transport has one.
        #[must_use]
        pub fn local_addr(&self) -> Option<SocketAddr> {
            self.target.shared.local_addr
        }

        /// The address of the peer, if the transport has one.
        #[must_use]
        pub fn peer_addr(&self) -> Option<SocketAddr> {
            self.target.shared.peer_addr
        }

        /// The name the application has given the peer.
        #[must_use]
        pub fn peer_name(&self) -> Option<Arc<str>> {
            self.target.shared.peer_name()
        }

        /// What the stream holds now.
        #[must_use]
        pub fn stats(&self) -> StreamStats {
            self.target.with(|stream| stream.stats()).unwrap_or_default()
        }

        /// Ends both directions at once: what was not sent and not read is dropped, the peer gets
        /// `code`.
        pub fn reset(&self, code: ErrorCode) {
            self.target.with(|stream| stream.reset(code));
        }
    };
}

macro_rules! receiving {
    () => {
        /// Reads into `buf`; 0 at the end of the stream.
        ///
        /// # Errors
        ///
        /// [`ReadError`], after everything that had arrived.
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
        /// [`ReadError`], after everything that had arrived.
        ///
        /// # Cancel safety
        ///
        /// Cancel-safe: nothing has been taken if the future is dropped.
        pub async fn read_some(&mut self, buf: &mut [u8]) -> Result<usize, ReadError> {
            poll_fn(|cx| self.target.poll_read(cx, buf)).await
        }

        /// Hands what has arrived to `put`, piece by piece, at most `max` bytes; returns how many,
        /// 0 at the end of the stream. For memory that is not initialised. Large pieces are handed
        /// on without the lock of the session.
        ///
        /// # Errors
        ///
        /// [`ReadError`], after everything that had arrived.
        ///
        /// # Deadlocks
        ///
        /// Small pieces are handed on under the lock: `put` must not use handles on the session.
        pub fn poll_read_to(
            &mut self,
            cx: &Context<'_>,
            max: usize,
            put: impl FnMut(&[u8]),
        ) -> Poll<Result<usize, ReadError>> {
            self.target.poll_read_to(cx, max, put)
        }

        /// Takes what lies together at the front, at most `max` bytes, without a copy; `None` at
        /// the end of the stream.
        ///
        /// # Errors
        ///
        /// [`ReadError`], after everything that had arrived.
        ///
        /// # Cancel safety
        ///
        /// Cancel-safe: nothing has been taken if the future is dropped.
        pub async fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, ReadError> {
            poll_fn(|cx| self.poll_read_chunk(cx, max)).await
        }

        /// [`read_chunk`](Self::read_chunk) as a poll.
        ///
        /// # Errors
        ///
        /// [`ReadError`], after everything that had arrived.
        pub fn poll_read_chunk(
            &mut self,
            cx: &Context<'_>,
            max: usize,
        ) -> Poll<Result<Option<Bytes>, ReadError>> {
            self.target.poll_recv(cx, |stream| stream.read_chunk(max))
        }

        /// Copies what has arrived to the front of `buf` without taking it, and does not wait: 0
        /// if there is nothing now.
        pub fn peek(&self, buf: &mut [u8]) -> usize {
            self.target.with(|stream| stream.peek(buf)).unwrap_or(0)
        }

        /// Stops reading: what has arrived and what still arrives is dropped, and the peer is not
        /// held up.
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
        /// A front part of the chunk may have been taken if the future is dropped. To know how
        /// much, use [`poll_write_chunk`](Self::poll_write_chunk), which leaves the rest.
        ///
        /// # Deadlocks
        ///
        /// The session may be locked while the chunk is dropped, now or when it has been sent: the
        /// owner of its memory ([`Bytes::from_owner`]) must not use handles on the session, nor
        /// own any.
        pub async fn write_chunk(&mut self, mut chunk: Bytes) -> Result<(), WriteError> {
            poll_fn(|cx| self.target.poll_write_chunk(cx, &mut chunk)).await
        }

        /// Takes bytes off the front of `chunk` to send, without a copy, until it is empty. As with
        /// [`write_chunk`](Self::write_chunk), the owner of its memory must not use the session.
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

        /// Half-closes: what was written is sent, then the end of the stream. Reading goes on.
        pub fn finish(&mut self) {
            self.target.with(|stream| stream.finish());
        }

        /// Changes how urgent what is written is, from the next frame on.
        pub fn set_priority(&self, priority: Priority) {
            self.target.with(|stream| stream.set_priority(priority));
        }
    };
}

/// One stream, both directions. Dropping it sends what was written, then the end of the stream;
/// the peer learns, if it goes on sending, that nobody reads.
#[derive(Debug)]
pub struct Stream {
    target: Target,
}

impl Stream {
    pub(super) fn new(shared: &Arc<Shared>, state: &mut State, id: StreamId) -> Self {
        state.adopt(id);
        let stream_type = state.stream(id).and_then(|stream| stream.stream_type());
        Self { target: Target { shared: Arc::clone(shared), id, stream_type } }
    }

    /// Splits into halves that can live in different tasks.
    #[must_use]
    pub fn into_split(self) -> (RecvHalf, SendHalf) {
        let mut state = self.target.shared.state.lock();
        if let Some(slot) = state.slot(self.target.id) {
            if let Some(wakers) = state.streams.get_mut(slot) {
                wakers.handles = 3;
            }
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

/// The sending half of a stream. Dropping it alone is [`finish`](Self::finish).
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
        self.target.release(|stream| stream.finish());
    }
}
