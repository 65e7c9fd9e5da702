//! The application's operations on one stream.

mod reading;

use bytes::Bytes;

use super::send_budget::Room;
use super::{Session, Unread};
use crate::error::{ErrorCode, ReadError, StreamEnd, WriteError};
use crate::frame::StreamId;
use crate::stats::StreamStats;
use crate::stream::buffer::{Buffer, Pool};
use crate::stream::key::Key;
use crate::stream::schedule::{Priority, Queue};
use crate::stream::state::SendState;
use crate::stream::{Edge, Mark, Owner, Stream, StreamType};

/// One stream of a session, borrowed: see [`Session::stream`].
///
/// The view is a handle to the record in the session, so dropping it does nothing. The application
/// calls [`release`](Self::release) when it no longer needs the stream.
///
/// ```
/// use bytes::Buf;
/// use muxado_proto::{Config, ErrorCode, Priority, Role, Session, Timestamp, Transmit, WriteError};
///
/// # let (now, config) = (Timestamp::ZERO, std::sync::Arc::new(Config::default()));
/// # let mut client = Session::new(Role::Client, config.clone(), now, [1; 16].into());
/// # let mut server = Session::new(Role::Server, config, now, [2; 16].into());
/// # let mut out = Transmit::new();
/// // The client announces a stream without writing to it, and will not read.
/// let id = client.open()?;
/// let mut stream = client.stream(id).unwrap();
/// stream.announce().unwrap();
/// stream.stop();
/// // Then it sends a request, ahead of other streams; a lost request is not to look complete.
/// stream.set_priority(Priority::HIGHEST);
/// assert_eq!(stream.priority(), Priority::HIGHEST);
/// stream.set_reset_on_drop(true);
/// assert!(stream.writable().unwrap() > 9);
/// stream.write(b"a request").unwrap();
/// stream.finish().unwrap();
/// // The transport has not taken it yet: `Event::Flushed` says when it has.
/// assert_eq!(stream.flushed(), Err(WriteError::Blocked));
/// assert!(stream.reset_on_drop() && !stream.is_finished());
///
/// client.poll_transmit(now, &mut out, usize::MAX);
/// server.handle_input(now, out.copy_to_bytes(out.remaining()));
/// client.poll_transmit(now, &mut out, usize::MAX); // it was taken
/// assert_eq!(client.stream(id).unwrap().flushed(), Ok(()));
///
/// // The server looks at the first bytes, skips them, and reads the rest.
/// let id = server.accept().unwrap();
/// let mut stream = server.stream(id).unwrap();
/// let mut start = [0; 2];
/// assert_eq!((stream.peek(&mut start), &start), (2, b"a "));
/// assert_eq!(stream.consume(2), 2);
/// assert_eq!(stream.readable(), Ok(7));
/// // A reader that got `Blocked` and no longer waits: `cancel_read`. Here nothing was blocked.
/// stream.cancel_read();
/// // The writer alone is released, then the stream; unless it was finished, it is reset.
/// stream.release_send();
/// stream.reset_unfinished(ErrorCode::STREAM_CANCELLED);
/// stream.release();
/// # Ok::<(), muxado_proto::OpenError>(())
/// ```
#[derive(Debug)]
pub struct StreamMut<'a> {
    session: &'a mut Session,
    key: Key,
    id: StreamId,
}

impl<'a> StreamMut<'a> {
    pub(super) const fn new(session: &'a mut Session, key: Key, id: StreamId) -> Self {
        Self { session, key, id }
    }

    fn record(&self) -> Option<&Stream> {
        self.session.store.get(self.key)
    }

    /// The stream's name in the session.
    #[must_use]
    pub const fn id(&self) -> StreamId {
        self.id
    }

    /// A small number that no other open stream has, for tables of the embedder. It is reused when
    /// the stream has been released.
    ///
    /// ```
    /// # use muxado_proto::{Config, Role, Session, Timestamp};
    /// # let key = [1; 16].into();
    /// let mut session = Session::new(Role::Client, Config::default().into(), Timestamp::ZERO, key);
    /// let mut names: Vec<Option<&str>> = Vec::new(); // what the application knows of each stream
    /// let id = session.open()?;
    /// let slot = session.stream(id).unwrap().slot() as usize;
    /// names.resize(names.len().max(slot + 1), None);
    /// names[slot] = Some("upload");
    /// for id in session.streams().collect::<Vec<_>>() {
    ///     let slot = session.stream(id).unwrap().slot() as usize;
    ///     assert_eq!(names[slot], Some("upload"));
    /// }
    /// # Ok::<(), muxado_proto::OpenError>(())
    /// ```
    #[must_use]
    pub const fn slot(&self) -> u32 {
        self.key.number()
    }

    /// The type, in a typed session.
    #[must_use]
    pub fn stream_type(&self) -> Option<StreamType> {
        self.record()?.stream_type
    }

    /// How urgent the stream's data is.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.record().map(|stream| stream.priority).unwrap_or_default()
    }

    /// Changes how urgent the stream's data is, from the next frame on.
    pub fn set_priority(&mut self, priority: Priority) {
        let key = self.key;
        let Some(stream) = self.session.store.get_mut(key) else { return };
        let (old, ready) = (stream.ready_queue(), stream.is_ready());
        stream.priority = priority;
        let new = stream.ready_queue();
        if ready && old != new {
            self.session.store.unlink(old, key);
            self.session.store.push(new, key);
        }
        if self.session.store.is_in(Queue::Budget, key) {
            self.session.budget.wait(priority);
            self.session.wake_writers(false);
        }
    }

    /// What the stream holds now.
    #[must_use]
    pub fn stats(&self) -> StreamStats {
        let count = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        self.record().map_or_else(StreamStats::default, |stream| StreamStats {
            send_buffered: count(stream.outgoing.len()),
            receive_buffered: count(stream.incoming.len()),
            send_credit: stream.send_window.credit(),
            receive_credit: stream.recv_window.credit(),
            receive_window: stream.recv_window.size(),
        })
    }

    /// How many bytes [`write`](Self::write) would take now. Unlike [`room`](Self::room) it only
    /// queries and registers nothing.
    ///
    /// # Errors
    ///
    /// [`WriteError`], as `write`. After `Blocked` no event follows.
    pub fn writable(&self) -> Result<usize, WriteError> {
        let stream = self.record().ok_or(WriteError::UnknownStream(self.id))?;
        self.session.writing_is_over(stream)?;
        match self.session.budget.room(stream, &self.session.config) {
            Room::Bytes(room) => Ok(room),
            _ => Err(WriteError::Blocked),
        }
    }

    /// How many bytes [`write`](Self::write) would take now. Registers interest in
    /// [`Event::Writable`](crate::Event::Writable) if it would take none.
    ///
    /// # Errors
    ///
    /// [`WriteError`], as `write`.
    pub fn room(&mut self) -> Result<usize, WriteError> {
        let session = &mut *self.session;
        let stream = session.store.get(self.key).ok_or(WriteError::UnknownStream(self.id))?;
        session.writing_is_over(stream)?;
        if let Some(share) = &mut session.share {
            share.fund(&mut session.budget, &session.config);
        }
        let room = session.budget.room(stream, &session.config);
        if let Room::Bytes(room) = room {
            return Ok(room);
        }
        session.wait_for(self.key, Edge::Writable);
        if room == Room::SessionFull {
            // It has something to send again, so it no longer waits for that.
            session.store.unlink(Queue::Taking, self.key);
            session.store.push(Queue::Budget, self.key);
            if let Some(stream) = session.store.live(self.key) {
                session.budget.wait(stream.priority);
            }
        }
        Err(WriteError::Blocked)
    }

    /// Takes bytes to send, by copy; returns how many, at least one unless `data` is empty. They
    /// are sent when credit and transport allow.
    ///
    /// # Errors
    ///
    /// [`WriteError`]. After `Blocked`, [`Event::Writable`](crate::Event::Writable) says when to
    /// try again.
    pub fn write(&mut self, data: &[u8]) -> Result<usize, WriteError> {
        let room = self.room()?;
        let data = data.get(..room).unwrap_or(data);
        self.put(|outgoing, pool| outgoing.push_copy(data, pool));
        Ok(data.len())
    }

    /// Takes the bytes of several buffers in order, by copy; returns how many.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_vectored<'b>(
        &mut self,
        buffers: impl IntoIterator<Item = &'b [u8]>,
    ) -> Result<usize, WriteError> {
        let mut room = self.room()?;
        let mut taken = 0usize;
        // Each by itself: the iterator is code of the application, and may panic.
        for data in buffers {
            let data = data.get(..room).unwrap_or(data);
            self.put(|outgoing, pool| outgoing.push_copy(data, pool));
            taken = taken.saturating_add(data.len());
            room = room.saturating_sub(data.len());
            if room == 0 {
                break;
            }
        }
        Ok(taken)
    }

    /// Takes bytes to send from the front of `chunk`, without a copy unless they are few; returns
    /// how many, at least one unless `chunk` is empty.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); `chunk` is untouched then.
    pub fn write_chunk(&mut self, chunk: &mut Bytes) -> Result<usize, WriteError> {
        let room = self.room()?;
        let taken = chunk.split_to(room.min(chunk.len()));
        let count = taken.len();
        let mut copied = None;
        self.put(|outgoing, pool| copied = outgoing.push_chunk(taken, pool));
        drop(copied); // may run code of the application, so not within `put`
        Ok(count)
    }

    /// Appends to the send buffer. `push` must not run code of the application, which may panic.
    fn put(&mut self, push: impl FnOnce(&mut Buffer, &mut Pool)) {
        let session = &mut *self.session;
        let Some(stream) = session.store.get_mut(self.key) else { return };
        let before = stream.outgoing.size();
        push(&mut stream.outgoing, &mut session.pool);
        session.budget.resize(before, stream.outgoing.size());
        // More bytes do not change whether a stream that has some can send.
        if before.bytes == 0 {
            session.schedule(self.key);
        }
    }

    /// Announces a stream that was never written to: its SYN is sent with the next output, without
    /// payload if nothing is written until then. No effect on a stream that the peer knows.
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish).
    pub fn announce(&mut self) -> Result<(), WriteError> {
        self.end_with(SendState::announce)
    }

    /// Half-closes: what was written is sent, then FIN. Reading continues. On a stream that was
    /// never written to, SYN and FIN are sent. `Ok` if the stream is already finished.
    ///
    /// # Errors
    ///
    /// [`WriteError`], never `Blocked` nor `Finished`, if the stream was reset or the session is
    /// over: then what was written may not arrive.
    pub fn finish(&mut self) -> Result<(), WriteError> {
        self.end_with(SendState::finish)
    }

    fn end_with(&mut self, step: impl FnOnce(SendState) -> SendState) -> Result<(), WriteError> {
        let session = &mut *self.session;
        let stream = session.store.get(self.key).ok_or(WriteError::UnknownStream(self.id))?;
        match session.writing_is_over(stream) {
            Ok(()) | Err(WriteError::Finished) => {}
            error => return error,
        }
        if let Some(stream) = session.store.get_mut(self.key) {
            stream.send = step(stream.send);
            session.schedule(self.key);
        }
        Ok(())
    }

    /// Whether the transport has taken everything that was written, and the FIN if the stream was
    /// finished. This side cannot know more: the protocol has no acknowledgement.
    ///
    /// # Errors
    ///
    /// [`WriteError`], never `Finished`. After `Blocked`, [`Event::Flushed`](crate::Event::Flushed)
    /// says when to call again. It is blocked as long as the peer grants no credit.
    pub fn flushed(&mut self) -> Result<(), WriteError> {
        let session = &mut *self.session;
        let stream = session.store.get(self.key).ok_or(WriteError::UnknownStream(self.id))?;
        match session.writing_is_over(stream) {
            Ok(()) | Err(WriteError::Finished) if session.is_flushed(stream) => return Ok(()),
            Ok(()) | Err(WriteError::Finished) => {}
            error => return error,
        }
        self.session.watch(self.key, Edge::Flushed);
        Err(WriteError::Blocked)
    }

    /// How the stream has ended in both directions; `None` if it has not. Then
    /// [`Event::Ended`](crate::Event::Ended) says when to call again. Bytes received before the end
    /// can still be read.
    ///
    /// In this way a handler learns that its client has given up ([`StreamEnd::Reset`]). A peer
    /// that only drops the stream sends nothing until it receives DATA, which it answers with RST.
    pub fn ended(&mut self) -> Option<StreamEnd> {
        let Some(stream) = self.record() else { return Some(StreamEnd::UnknownStream(self.id)) };
        let end = self.session.end_of(stream);
        if end.is_none() {
            self.session.watch(self.key, Edge::Ended);
        }
        end
    }

    /// Whether [`Session::poll_transmit`] has returned everything that was written, and the FIN.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.record().is_some_and(|stream| stream.send == SendState::Finished)
    }

    /// Ends both directions at once: unsent and unread bytes are discarded, and the peer gets
    /// `code` ([`ErrorCode::STREAM_RESET`] instead of 0, which no RST carries). If the stream was
    /// never announced, nothing is sent. The stream still has to be released.
    pub fn reset(&mut self, code: ErrorCode) {
        self.session.reset_stream(self.key, code, Unread::Drop);
    }

    /// Stops reading: received bytes and later ones are discarded, and the peer still gets credit.
    /// Writing continues. Once this side has finished as well, DATA is answered with
    /// [`ErrorCode::STREAM_CLOSED`].
    pub fn stop(&mut self) {
        self.session.stop(self.key);
    }

    /// Resets the stream with `code` unless this side has finished it.
    pub fn reset_unfinished(&mut self, code: ErrorCode) {
        self.session.reset_unfinished(self.key, code);
    }

    /// Whether [`release`](Self::release) resets the stream if it is unfinished.
    #[must_use]
    pub fn reset_on_drop(&self) -> bool {
        self.record().is_some_and(|stream| stream.is(Mark::ResetOnDrop))
    }

    /// Chooses what [`release`](Self::release) does if the stream is unfinished: it resets it with
    /// [`ErrorCode::STREAM_CANCELLED`], or finishes it. A new stream has
    /// [`Config::reset_on_drop`](crate::Config::reset_on_drop).
    pub fn set_reset_on_drop(&mut self, reset: bool) {
        if let Some(stream) = self.session.store.get_mut(self.key) {
            stream.put(Mark::ResetOnDrop, reset);
        }
    }

    /// Releases only the writer: [`finish`](Self::finish), unless
    /// [`set_reset_on_drop`](Self::set_reset_on_drop) says otherwise. This does not announce a
    /// stream that was never written to: its FIN waits until the reader is [blocked](Self::read).
    pub fn release_send(&mut self) {
        self.session.release_send(self.key);
    }

    /// Releases the stream: what was written is still sent, then FIN, unless
    /// [`set_reset_on_drop`](Self::set_reset_on_drop) says otherwise. Data that arrives from now on
    /// is discarded, and answered with [`ErrorCode::STREAM_CLOSED`] after everything was sent. If
    /// the stream was never announced, nothing is sent.
    pub fn release(self) {
        let Self { session, key, .. } = self;
        if session.store.get(key).is_some_and(|stream| stream.owner == Owner::Application) {
            session.release(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::frame::Role;
    use crate::time::Timestamp;

    #[test]
    fn t14_a_missing_record_is_an_error_and_never_a_clean_end() {
        let config = Config::default().into();
        let mut session = Session::new(Role::Client, config, Timestamp::ZERO, [1; 16].into());
        let id = StreamId::new(7);
        let mut stream = StreamMut::new(&mut session, Key::NONE, id);
        let (read, write) = (ReadError::UnknownStream(id), WriteError::UnknownStream(id));
        assert_eq!(stream.read(&mut [0]), Err(read.clone()));
        assert_eq!(stream.read(&mut []), Err(read.clone()));
        assert_eq!(stream.read_chunk(1), Err(read.clone()));
        assert_eq!(stream.read_chunk(0), Err(read.clone()));
        assert_eq!(stream.read_to(1, |_| {}), Err(read.clone()));
        assert_eq!(stream.readable(), Err(read));
        assert_eq!(stream.room(), Err(write.clone()));
        assert_eq!(stream.write(b"x"), Err(write.clone()));
        assert_eq!(stream.write_chunk(&mut "x".into()), Err(write.clone()));
        assert_eq!(stream.write_vectored([&b"x"[..]].into_iter()), Err(write.clone()));
        assert_eq!(stream.announce(), Err(write.clone()));
        assert_eq!(stream.writable(), Err(write.clone()));
        assert_eq!(stream.finish(), Err(write.clone()));
        assert_eq!(stream.flushed(), Err(write));
        assert_eq!(stream.ended(), Some(StreamEnd::UnknownStream(id)));
        assert_eq!((stream.id(), stream.peek(&mut [0]), stream.consume(1)), (id, 0, 0));
    }
}
