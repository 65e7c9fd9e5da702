//! What the application does with one stream.

use bytes::Bytes;

use super::send_budget::Room;
use super::{Session, Unread};
use crate::error::{ErrorCode, ReadError, WriteError};
use crate::frame::StreamId;
use crate::stats::StreamStats;
use crate::stream::buffer::{Buffer, Pool};
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
        let (max, mut rest) = (buf.len(), buf);
        self.read_to(max, |piece| {
            let room = core::mem::take(&mut rest);
            if let Some((here, more)) = room.split_at_mut_checked(piece.len()) {
                here.copy_from_slice(piece);
                rest = more;
            }
        })
    }

    /// Hands what has arrived to `put`, piece by piece, at most `max` bytes; returns how many. For
    /// memory that is not initialised: [`read`](Self::read) needs a slice that is.
    ///
    /// ```
    /// # use muxado_proto::{Config, Role, Session, StreamId, Timestamp};
    /// # let mut server = Session::new(Role::Server, Config::default().into(), Timestamp::ZERO, 1);
    /// server.handle_slice(Timestamp::ZERO, b"\0\0\x02\x12\0\0\0\x03hi");
    /// # let id = server.accept().unwrap();
    /// let mut text = Vec::new();
    /// let count = server.stream(id).unwrap().read_to(10, |piece| text.extend_from_slice(piece));
    /// assert_eq!((count, &text[..]), (Ok(2), &b"hi"[..]));
    /// ```
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read). With `max` 0 the answer is 0.
    pub fn read_to(&mut self, max: usize, put: impl FnMut(&[u8])) -> Result<usize, ReadError> {
        let session = &mut *self.session;
        let Some(stream) = session.store.get_mut(self.key) else { return Ok(0) };
        if max == 0 {
            return Ok(0);
        }
        let before = stream.incoming.size();
        let count = stream.incoming.read_to(max, put, &mut session.pool);
        if count > 0 {
            session.credit.resize(before, stream.incoming.size());
            session.took(self.key, count);
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
        let before = stream.incoming.size();
        if let Some(chunk) = stream.incoming.pop(max, &mut session.pool) {
            session.credit.resize(before, stream.incoming.size());
            session.took(self.key, chunk.len());
            return Ok(Some(chunk));
        }
        self.nothing_to_read().map(|()| None)
    }

    /// Copies what has arrived to the front of `buf` without taking it; 0 means that there is
    /// nothing now.
    pub fn peek(&self, buf: &mut [u8]) -> usize {
        self.record().map_or(0, |stream| stream.incoming.peek(buf))
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
                    session.wait_for(self.key, Edge::Readable);
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
        session.wait_for(self.key, Edge::Writable);
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
        self.put(|outgoing, pool| {
            for data in buffers {
                let data = data.get(..room).unwrap_or(data);
                outgoing.push_copy(data, pool);
                taken = taken.saturating_add(data.len());
                room = room.saturating_sub(data.len());
                if room == 0 {
                    break;
                }
            }
        });
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
        self.put(|outgoing, pool| outgoing.push_chunk(taken, pool));
        Ok(count)
    }

    /// Puts something into the send buffer.
    fn put(&mut self, push: impl FnOnce(&mut Buffer, &mut Pool)) {
        let session = &mut *self.session;
        let Some(stream) = session.store.get_mut(self.key) else { return };
        let before = stream.outgoing.size();
        push(&mut stream.outgoing, &mut session.pool);
        session.budget.resize(before, stream.outgoing.size());
        session.schedule(self.key);
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
