//! The operations of stream handles.

use alloc::sync::Arc;
use core::future::poll_fn;
use core::task::{Context, Poll};
use std::thread::panicking;

use bytes::Bytes;

use super::error::{CallError, ReadError, WriteError};
use super::loans::{BUFFER, Loan};
use super::places::Side;
use super::shared::Shared;
use super::taken::{LARGE_READ, Taken};
use super::wake::wake;
use crate::{ErrorCode, StreamId, StreamMut, StreamType};

/// Writes at least this large are copied before the lock is taken, a buffer at a time, so that the
/// driver can send one while the next is copied.
const LARGE_WRITE: usize = 16 << 10;

/// The common part of all handles to a stream: its identity.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) shared: Arc<Shared>,
    pub(super) id: StreamId,
    /// No application has the type of heartbeats, so it stands for none here: a handle has two words.
    known_type: StreamType,
}

impl Target {
    pub(super) fn new(shared: Arc<Shared>, id: StreamId, stream_type: Option<StreamType>) -> Self {
        Self { shared, id, known_type: stream_type.unwrap_or(StreamType::HEARTBEAT) }
    }

    pub(super) const fn stream_type(&self) -> Option<StreamType> {
        if self.known_type.0 == StreamType::HEARTBEAT.0 { None } else { Some(self.known_type) }
    }

    /// Runs an operation on the stream, and wakes the driver if it has work to do.
    pub(super) fn with<R>(&self, run: impl FnOnce(&mut StreamMut<'_>) -> R) -> Option<R> {
        self.shared.command(|state, _| state.stream(self.id).map(|mut stream| run(&mut stream)))
    }

    /// Tries an operation under the lock; if it is blocked, registers our waker. `unknown` is the
    /// error if there is no such stream.
    #[inline]
    fn attempt<R, E: CallError>(
        &self,
        cx: &Context<'_>,
        try_it: impl FnOnce(&mut StreamMut<'_>) -> Result<R, E::Core>,
        side: Side,
        unknown: impl FnOnce(StreamId) -> E,
    ) -> Poll<Result<R, E>> {
        let mut state = self.shared.state.lock();
        let Some(mut stream) = state.stream(self.id) else {
            return Poll::Ready(Err(unknown(self.id)));
        };
        // A success is returned at once: a result that goes through more hands is copied each time.
        let error = match try_it(&mut stream) {
            Ok(value) => {
                let driver = state.kick();
                drop(state);
                driver.into_iter().for_each(wake);
                return Poll::Ready(Ok(value));
            }
            Err(error) => E::from_core(error),
        };
        let slot = stream.slot();
        let stale = if error.is_none() { state.streams.wait(slot, side, cx.waker()) } else { None };
        // A waiting reader may have to announce its stream.
        let driver = state.kick();
        drop(state);
        drop(stale);
        driver.into_iter().for_each(wake);
        error.map_or(Poll::Pending, |error| Poll::Ready(Err(error)))
    }

    pub(super) fn poll_read(
        &self,
        cx: &Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize, ReadError>> {
        let (max, mut rest) = (buf.len(), buf);
        self.poll_read_to(cx, max, |piece| {
            let room = core::mem::take(&mut rest);
            if let Some((here, more)) = room.split_at_mut_checked(piece.len()) {
                here.copy_from_slice(piece);
                rest = more;
            }
        })
    }

    pub(super) fn poll_read_to(
        &self,
        cx: &Context<'_>,
        max: usize,
        mut put: impl FnMut(&[u8]),
    ) -> Poll<Result<usize, ReadError>> {
        if max <= LARGE_READ {
            return self.poll_recv(cx, |stream| stream.read_to(max, put));
        }
        let mut large = None;
        let few = u32::try_from(LARGE_READ).unwrap_or(u32::MAX);
        let first = self.poll_recv(cx, |stream| {
            if stream.stats().receive_buffered <= few {
                return stream.read_to(max, &mut put);
            }
            large.insert(Taken::default()).fill(stream, max);
            Ok(0)
        });
        let Some(mut taken) = large else { return first };
        let mut count = 0usize;
        loop {
            let more = taken.put(&mut put);
            count = count.saturating_add(more);
            // For crumbs the lock is not worth taking again.
            if more == 0 || max.saturating_sub(count) <= LARGE_READ {
                return Poll::Ready(Ok(count));
            }
            self.with(|stream| taken.fill(stream, max.saturating_sub(count)));
        }
    }

    pub(super) fn poll_recv<R>(
        &self,
        cx: &Context<'_>,
        read: impl FnOnce(&mut StreamMut<'_>) -> Result<R, crate::ReadError>,
    ) -> Poll<Result<R, ReadError>> {
        self.attempt(cx, read, Side::Reader, ReadError::UnknownStream)
    }

    /// Reads until `poll` is ready. If the future is dropped before that, it no longer waits, and
    /// the stream is not announced because of it.
    pub(super) async fn recv<R>(&self, mut poll: impl FnMut(&Context<'_>) -> Poll<R>) -> R {
        let mut reading = Reading { target: self, waits: false };
        poll_fn(|cx| {
            let result = poll(cx);
            reading.waits = result.is_pending();
            result
        })
        .await
    }

    pub(super) fn poll_send<R>(
        &self,
        cx: &Context<'_>,
        write: impl FnOnce(&mut StreamMut<'_>) -> Result<R, crate::WriteError>,
    ) -> Poll<Result<R, WriteError>> {
        self.attempt(cx, write, Side::Writer, WriteError::UnknownStream)
    }

    pub(super) fn poll_write(
        &self,
        cx: &Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, WriteError>> {
        if data.len() < LARGE_WRITE {
            return self.poll_send(cx, |stream| stream.write(data));
        }
        self.poll_write_large(cx, data)
    }

    fn poll_write_large(&self, cx: &Context<'_>, data: &[u8]) -> Poll<Result<usize, WriteError>> {
        let mut written = 0usize;
        let mut room = match self.poll_send(cx, |stream| stream.room()) {
            Poll::Ready(Ok(room)) => room,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        };
        while let Some(rest) = data.get(written..).filter(|rest| !rest.is_empty() && room > 0) {
            let piece = rest.get(..room).unwrap_or(rest);
            // A piece keeps little more memory alive than its size (`Config::max_memory`).
            let small = piece.len() < BUFFER - BUFFER / 8;
            let mut chunk = if small { Bytes::copy_from_slice(piece) } else { Loan::copy(piece) };
            let sent = self.with(|stream| {
                let taken = stream.write_chunk(&mut chunk)?;
                Ok::<_, crate::WriteError>((taken, stream.room()))
            });
            match sent {
                Some(Ok((taken, more))) => {
                    written = written.saturating_add(taken);
                    // Errors are reported again at the next call; these bytes were taken.
                    room = more.unwrap_or(0);
                }
                _ => break,
            }
        }
        if written > 0 {
            Poll::Ready(Ok(written))
        } else {
            // Another stream has taken the space, or the stream has ended in the meantime.
            self.poll_send(cx, |stream| stream.write(data))
        }
    }

    pub(super) fn poll_write_vectored<'b>(
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

    pub(super) fn poll_write_chunk(
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

    /// Half-closes or announces the stream.
    pub(super) fn advance(
        &self,
        step: impl FnOnce(&mut StreamMut<'_>) -> Result<(), crate::WriteError>,
    ) -> Result<(), WriteError> {
        match self.with(|stream| WriteError::poll(step(stream))) {
            Some(Poll::Ready(result)) => result,
            // Neither of them waits.
            Some(Poll::Pending) => Ok(()),
            None => Err(WriteError::UnknownStream(self.id)),
        }
    }

    /// The sending handle is dropped, and the other one remains.
    pub(super) fn release_send(stream: &mut StreamMut<'_>) {
        if panicking() {
            stream.reset_unfinished(ErrorCode::INTERNAL);
        }
        stream.release_send();
    }

    /// A handle to the stream is dropped; `half` runs if another one remains.
    pub(super) fn release(&self, half: impl FnOnce(&mut StreamMut<'_>)) {
        let stale = self.shared.command(|state, _| {
            let slot = state.slot(self.id)?;
            let stale = state.streams.release(slot);
            if let Some(mut stream) = state.stream(self.id) {
                let last = stale.is_some();
                if last && panicking() {
                    stream.reset_unfinished(ErrorCode::INTERNAL);
                }
                if last { stream.release() } else { half(&mut stream) }
            }
            state.close_if_unused();
            stale
        });
        drop(stale);
    }
}

/// A read that may be given up.
struct Reading<'a> {
    target: &'a Target,
    waits: bool,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if self.waits {
            self.target.with(|stream| stream.cancel_read());
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use core::task::Waker;

    use super::super::addresses::Addresses;
    use super::*;
    use crate::{Config, Role, Session, StreamEnd, Timestamp};

    #[test]
    fn t14_a_missing_record_is_an_error_and_never_a_clean_end() {
        let config = Config::default().into();
        let session = Session::new(Role::Client, config, Timestamp::ZERO, [1; 16].into());
        let shared = Shared::new(session, Addresses::None, None);
        let id = StreamId::new(7);
        let target = Target::new(shared, id, None);
        let cx = &Context::from_waker(Waker::noop());
        let read = || ReadError::UnknownStream(id);
        assert_eq!(target.poll_read(cx, &mut [0]), Poll::Ready(Err(read())));
        let mut large = vec![0; LARGE_READ.saturating_add(1)];
        assert_eq!(target.poll_read(cx, &mut large), Poll::Ready(Err(read())));
        let chunk = target.poll_recv(cx, |stream| stream.read_chunk(1));
        assert_eq!(chunk, Poll::Ready(Err(read())));
        let write = || Poll::Ready(Err(WriteError::UnknownStream(id)));
        assert_eq!(target.poll_write(cx, b"x"), write());
        assert_eq!(target.poll_write(cx, &vec![0; LARGE_WRITE]), write());
        assert_eq!(target.poll_write_vectored(cx, [&b"x"[..]].into_iter()), write());
        let written = target.poll_write_chunk(cx, &mut "x".into());
        assert_eq!(written, Poll::Ready(Err(WriteError::UnknownStream(id))));
        let flushed = target.poll_send(cx, |stream| stream.flushed());
        assert_eq!(flushed, Poll::Ready(Err(WriteError::UnknownStream(id))));
        let finished = target.advance(|stream| stream.finish());
        assert_eq!(finished, Err(WriteError::UnknownStream(id)));
        let mut ending = super::super::endings::Ending::new(&target.shared, id);
        assert_eq!(ending.poll(cx), Poll::Ready(StreamEnd::UnknownStream(id)));
    }
}
