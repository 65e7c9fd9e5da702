//! What the application does with one stream.

use bytes::Bytes;

use super::send_budget::Room;
use super::{Session, Unread};
use crate::error::{ErrorCode, ReadError, WriteError};
use crate::frame::StreamId;
use crate::stats::StreamStats;
use crate::stream::key::Key;
use crate::stream::schedule::{Priority, Queue};
use crate::stream::state::{RecvState, SendState};
use crate::stream::{Edge, Owner, Stream, StreamType};

/// One stream of a session, borrowed: see [`Session::stream`].
///
/// The view is a handle on the record in the session, so dropping it does nothing; the
/// application says by [`release`](Self::release) that it is done with the stream.
#[derive(Debug)]
pub struct StreamMut<'a> {
    session: &'a mut Session,
    key: Key,
}

impl<'a> StreamMut<'a> {
    pub(super) fn new(session: &'a mut Session, key: Key) -> Self {
        Self { session, key }
    }

    fn record(&self) -> Option<&Stream> {
        self.session.store.get(self.key)
    }

    /// The stream's name in the session.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.record().map_or(StreamId::new(0), |stream| stream.id)
    }

    /// A small number that no other open stream has, for tables that an embedder keeps beside the
    /// session. It is used again when the stream has been released.
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
        let old = stream.ready_queue();
        stream.priority = priority;
        if old != stream.ready_queue() {
            self.session.store.unlink(old, key);
            self.session.schedule(key);
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

    /// Reads into `buf`; 0 means that the peer has finished the stream (or that `buf` is empty).
    ///
    /// # Errors
    ///
    /// [`ReadError`], when everything that had arrived has been read. After `Blocked`,
    /// [`Event::Readable`](crate::Event::Readable) tells when to try again.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize, ReadError> {
        let session = &mut *self.session;
        let Some(stream) = session.store.get_mut(self.key) else { return Ok(0) };
        if buf.is_empty() {
            return Ok(0);
        }
        let count = stream.incoming.read(buf, &mut session.pool);
        if count > 0 {
            self.took(count);
            return Ok(count);
        }
        self.nothing_to_read().map(|()| 0)
    }

    /// Takes what lies together at the front, at most `max` bytes, without a copy; `None` when the
    /// peer has finished the stream.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read). With `max` 0 the answer is an empty chunk.
    pub fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, ReadError> {
        let session = &mut *self.session;
        let Some(stream) = session.store.get_mut(self.key) else { return Ok(None) };
        if max == 0 {
            return Ok(Some(Bytes::new()));
        }
        if let Some(chunk) = stream.incoming.pop(max, &mut session.pool) {
            self.took(chunk.len());
            return Ok(Some(chunk));
        }
        self.nothing_to_read().map(|()| None)
    }

    /// Copies what has arrived to the front of `buf` without taking it; 0 means that there is
    /// nothing now.
    pub fn peek(&self, buf: &mut [u8]) -> usize {
        self.record().map_or(0, |stream| stream.incoming.peek(buf))
    }

    fn took(&mut self, count: usize) {
        self.session.credit.release(count);
        self.session.consumed(self.key, count);
    }

    /// Why nothing can be read; `Ok` at the end of the stream.
    fn nothing_to_read(&mut self) -> Result<(), ReadError> {
        let session = &mut *self.session;
        let Some(stream) = session.store.get_mut(self.key) else { return Ok(()) };
        match stream.recv {
            RecvState::Finished => Ok(()),
            RecvState::Reset(code) => Err(ReadError::Reset(code)),
            RecvState::ResetLocally(code) => Err(ReadError::ResetLocally(code)),
            RecvState::Stopped | RecvState::Ignored => {
                Err(ReadError::ResetLocally(ErrorCode::STREAM_CANCELLED))
            }
            RecvState::Open => match session.farewell.reason() {
                Some(reason) => Err(ReadError::SessionClosed(reason.clone())),
                None => {
                    stream.interest |= Edge::Readable as u8;
                    Err(ReadError::Blocked)
                }
            },
        }
    }

    /// How many bytes [`write`](Self::write) would take now. Registers interest in
    /// [`Event::Writable`](crate::Event::Writable) when that is none.
    ///
    /// # Errors
    ///
    /// [`WriteError`], as `write`.
    pub fn room(&mut self) -> Result<usize, WriteError> {
        let session = &mut *self.session;
        let Some(stream) = session.store.get_mut(self.key) else {
            return Err(WriteError::UnknownStream(StreamId::new(0)));
        };
        match stream.send {
            SendState::Fresh | SendState::Open => {}
            SendState::Finishing { .. } | SendState::Finished => return Err(WriteError::Finished),
            SendState::Resetting(code) | SendState::ResetLocally(code) => {
                return Err(WriteError::ResetLocally(code));
            }
            SendState::ResetByPeer(code) => return Err(WriteError::Reset(code)),
        }
        if let Some(reason) = session.farewell.reason() {
            return Err(WriteError::SessionClosed(reason.clone()));
        }
        let room = session.budget.room(stream, &session.config);
        if let Room::Bytes(room) = room {
            return Ok(room);
        }
        stream.interest |= Edge::Writable as u8;
        if room == Room::SessionFull {
            session.store.push(Queue::Budget, self.key);
        }
        Err(WriteError::Blocked)
    }

    /// Takes bytes to send, by copy; returns how many, at least one unless `data` is empty. They
    /// leave when credit and transport allow.
    ///
    /// # Errors
    ///
    /// [`WriteError`]. After `Blocked`, [`Event::Writable`](crate::Event::Writable) tells when to
    /// try again.
    pub fn write(&mut self, data: &[u8]) -> Result<usize, WriteError> {
        let room = self.room()?;
        let data = data.get(..room).unwrap_or(data);
        let session = &mut *self.session;
        if let Some(stream) = session.store.get_mut(self.key) {
            stream.outgoing.push_copy(data, &mut session.pool);
        }
        self.wrote(data.len());
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
        let session = &mut *self.session;
        let mut taken = 0usize;
        for data in buffers {
            let data = data.get(..room).unwrap_or(data);
            if let Some(stream) = session.store.get_mut(self.key) {
                stream.outgoing.push_copy(data, &mut session.pool);
            }
            taken = taken.saturating_add(data.len());
            room = room.saturating_sub(data.len());
            if room == 0 {
                break;
            }
        }
        self.wrote(taken);
        Ok(taken)
    }

    /// Takes bytes to send off the front of `chunk`, without a copy unless they are few; returns
    /// how many, at least one unless `chunk` is empty.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); `chunk` is untouched then.
    pub fn write_chunk(&mut self, chunk: &mut Bytes) -> Result<usize, WriteError> {
        let room = self.room()?;
        let taken = chunk.split_to(room.min(chunk.len()));
        let count = taken.len();
        let session = &mut *self.session;
        if let Some(stream) = session.store.get_mut(self.key) {
            stream.outgoing.push_chunk(taken, &mut session.pool);
        }
        self.wrote(count);
        Ok(count)
    }

    fn wrote(&mut self, count: usize) {
        if count > 0 {
            self.session.budget.wrote(count);
            self.session.schedule(self.key);
        }
    }

    /// Half-closes: what was written is sent, then FIN. Reading goes on. On a stream that was
    /// never written to, SYN and FIN are sent. No effect on a stream that is finished or reset.
    pub fn finish(&mut self) {
        if let Some(stream) = self.session.store.get_mut(self.key) {
            stream.send = stream.send.finish();
            self.session.schedule(self.key);
        }
    }

    /// Whether everything that was written, and the FIN, has been handed out by
    /// [`Session::poll_transmit`].
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.record().is_some_and(|stream| stream.send == SendState::Finished)
    }

    /// Ends both directions at once: what was not sent and not read is dropped, the peer is sent
    /// `code` ([`ErrorCode::STREAM_RESET`] for code 0, which no RST carries). A stream that was
    /// never on the wire leaves no trace there. The stream still has to be released.
    pub fn reset(&mut self, code: ErrorCode) {
        self.session.reset_stream(self.key, code, Unread::Drop);
    }

    /// Stops reading: what has arrived and what still arrives is dropped, and the peer is not
    /// held up. Writing goes on. Once this side has finished as well, DATA is answered by
    /// [`ErrorCode::STREAM_CLOSED`].
    pub fn stop(&mut self) {
        self.session.stop(self.key);
    }

    /// Gives the stream up: what was written is still sent, then FIN; what arrives from now on is
    /// dropped, and answered by [`ErrorCode::STREAM_CLOSED`] once all is sent. A stream that was
    /// never written to leaves no trace on the wire.
    pub fn release(self) {
        let Self { session, key } = self;
        if session.store.get(key).is_some_and(|stream| stream.owner == Owner::Application) {
            session.release(key);
        }
    }
}
