//! The methods of [`StreamMut`] that read.

use bytes::Bytes;

use super::{Edge, Mark, ReadError, StreamMut};

impl StreamMut<'_> {
    /// How many bytes can be read now; 0 means that the peer has finished the stream and everything
    /// was read. Unlike [`read`](Self::read) it only queries and registers nothing.
    ///
    /// # Errors
    ///
    /// [`ReadError`], when everything received has been read. After `Blocked` no event follows.
    pub fn readable(&self) -> Result<usize, ReadError> {
        let Some(stream) = self.record() else { return Err(ReadError::UnknownStream(self.id)) };
        match stream.incoming.len() {
            0 => self.session.nothing_to_read(stream).map(|()| 0),
            count => Ok(count),
        }
    }

    /// Reads into `buf`; 0 means that the peer has finished the stream (or that `buf` is empty).
    ///
    /// A reader that got `Blocked` waits for the peer. So a stream that was never written to is
    /// announced to the peer with the next output, unless [`cancel_read`](Self::cancel_read) is
    /// called first.
    ///
    /// # Errors
    ///
    /// [`ReadError`], when everything received has been read. After `Blocked`,
    /// [`Event::Readable`](crate::Event::Readable) says when to try again.
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

    /// Passes at most `max` received bytes to `put`, piece by piece; returns how many. This is for
    /// uninitialised memory, because [`read`](Self::read) needs an initialised slice.
    ///
    /// ```
    /// # use muxado_proto::{Config, Role, Session, StreamId, Timestamp};
    /// # let mut server = Session::new(Role::Server, Config::default().into(), Timestamp::ZERO, [1; 16].into());
    /// server.handle_slice(Timestamp::ZERO, b"\0\0\x02\x12\0\0\0\x03hi");
    /// # let id = server.accept().unwrap();
    /// let mut text = Vec::new();
    /// let count = server.stream(id).unwrap().read_to(10, |piece| text.extend_from_slice(piece));
    /// assert_eq!((count, &text[..]), (Ok(2), &b"hi"[..]));
    /// ```
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read). With `max` 0 the result is 0.
    pub fn read_to(&mut self, max: usize, put: impl FnMut(&[u8])) -> Result<usize, ReadError> {
        let session = &mut *self.session;
        let Some(stream) = session.store.get_mut(self.key) else {
            return Err(ReadError::UnknownStream(self.id));
        };
        if max == 0 {
            return Ok(0);
        }
        let before = stream.incoming.size();
        let count = stream.incoming.read_to(max, put, &mut session.pool);
        if count > 0 {
            let after = stream.incoming.size();
            session.has_read(self.key, before, after, count);
            return Ok(count);
        }
        self.wait_to_read().map(|()| 0)
    }

    /// Takes the contiguous bytes at the front, at most `max`, without a copy; `None` when the peer
    /// has finished the stream.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read). With `max` 0 the result is an empty chunk.
    pub fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, ReadError> {
        let session = &mut *self.session;
        let Some(stream) = session.store.get_mut(self.key) else {
            return Err(ReadError::UnknownStream(self.id));
        };
        if max == 0 {
            return Ok(Some(Bytes::new()));
        }
        let before = stream.incoming.size();
        if let Some(chunk) = stream.incoming.pop(max, &mut session.pool) {
            let after = stream.incoming.size();
            session.has_read(self.key, before, after, chunk.len());
            return Ok(Some(chunk));
        }
        self.wait_to_read().map(|()| None)
    }

    /// Takes at most `max` received bytes without a copy, and passes them to `put` chunk by chunk until
    /// `put` returns `false`. Returns how many bytes it took. Like [`consume`](Self::consume) it never
    /// waits: 0 means that nothing is there now.
    ///
    /// ```
    /// # use muxado_proto::{Config, Role, Session, Timestamp};
    /// # let mut server = Session::new(Role::Server, Config::default().into(), Timestamp::ZERO, [1; 16].into());
    /// server.handle_slice(Timestamp::ZERO, b"\0\0\x02\x12\0\0\0\x03hi");
    /// # let id = server.accept().unwrap();
    /// let mut chunks = Vec::new();
    /// let count = server.stream(id).unwrap().take_chunks(10, |chunk| {
    ///     chunks.push(chunk);
    ///     chunks.len() < 16
    /// });
    /// assert_eq!((count, &chunks[..]), (2, &["hi".into()][..]));
    /// ```
    pub fn take_chunks(&mut self, max: usize, mut put: impl FnMut(Bytes) -> bool) -> usize {
        let session = &mut *self.session;
        let Some(stream) = session.store.get_mut(self.key) else { return 0 };
        let (before, mut taken) = (stream.incoming.size(), 0usize);
        while taken < max {
            let left = max.saturating_sub(taken);
            let Some(chunk) = stream.incoming.pop(left, &mut session.pool) else { break };
            taken = taken.saturating_add(chunk.len());
            if !put(chunk) {
                break;
            }
        }
        if taken > 0 {
            let after = stream.incoming.size();
            session.has_read(self.key, before, after, taken);
        }
        taken
    }

    /// Discards up to `count` received bytes; returns how many. Together with [`peek`](Self::peek)
    /// it reads without waiting.
    pub fn consume(&mut self, count: usize) -> usize {
        let session = &mut *self.session;
        let Some(stream) = session.store.get_mut(self.key) else { return 0 };
        let before = stream.incoming.size();
        let taken = stream.incoming.read_to(count, |_| {}, &mut session.pool);
        if taken > 0 {
            let after = stream.incoming.size();
            session.has_read(self.key, before, after, taken);
        }
        taken
    }

    /// A reader that got `Blocked` no longer waits. The stream is not announced because of it.
    /// [`Event::Readable`](crate::Event::Readable) may still be reported.
    pub fn cancel_read(&mut self) {
        if let Some(stream) = self.session.store.get_mut(self.key) {
            stream.unmark(Mark::Awaited);
        }
    }

    /// Copies received bytes into `buf` without consuming them; 0 means that there are none now.
    pub fn peek(&self, buf: &mut [u8]) -> usize {
        self.record().map_or(0, |stream| stream.incoming.peek(buf))
    }

    /// Why nothing can be read; `Ok` at the end of the stream. Registers interest if it is blocked.
    fn wait_to_read(&mut self) -> Result<(), ReadError> {
        let session = &mut *self.session;
        let Some(stream) = session.store.get(self.key) else {
            return Err(ReadError::UnknownStream(self.id));
        };
        let result = session.nothing_to_read(stream);
        if result == Err(ReadError::Blocked) {
            session.wait_for(self.key, Edge::Readable);
            let Some(stream) = session.store.get_mut(self.key) else { return result };
            stream.mark(Mark::Awaited);
            if stream.send.is_silent() {
                session.schedule(self.key);
            }
        }
        result
    }
}
