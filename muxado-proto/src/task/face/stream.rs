//! Streams and their halves.

/// The methods of a stream, or a half of one, that wraps one of this layer.
#[doc(hidden)]
#[macro_export]
macro_rules! task_stream_methods {
    ($session:ty, $cooperative:path) => {
        /// The stream's name in the session.
        #[must_use]
        pub const fn id(&self) -> $crate::StreamId {
            self.0.id()
        }

        /// The type, in a typed session.
        #[must_use]
        pub const fn stream_type(&self) -> Option<$crate::StreamType> {
            self.0.stream_type()
        }

        /// A new handle to the session of the stream.
        #[must_use]
        pub fn session(&self) -> $session {
            self.0.session().into()
        }

        /// The address of this end of the session, if it has one.
        #[must_use]
        pub fn local_addr(&self) -> Option<::core::net::SocketAddr> {
            self.0.local_addr()
        }

        /// The address of the peer, if it has one.
        #[must_use]
        pub fn peer_addr(&self) -> Option<::core::net::SocketAddr> {
            self.0.peer_addr()
        }

        /// The name that the application has given the peer.
        #[must_use]
        pub fn peer_name(&self) -> Option<::std::sync::Arc<str>> {
            self.0.peer_name()
        }

        /// What the stream holds now.
        #[must_use]
        pub fn stats(&self) -> $crate::StreamStats {
            self.0.stats()
        }

        /// Ends both directions at once: unsent and unread bytes are discarded, the peer gets
        /// `code`.
        pub fn reset(&self, code: $crate::ErrorCode) {
            self.0.reset(code);
        }

        /// Waits until the stream has ended in both directions: both sides have finished it and the
        /// transport has taken the end of this one, one side has reset it, or the session is over.
        /// Bytes received before can still be read.
        ///
        /// # Cancel safety
        ///
        /// Cancel-safe.
        pub async fn ended(&self) -> $crate::StreamEnd {
            $cooperative(self.0.ended()).await
        }

        /// Waits until the peer has reset the stream, and returns its code. A handler uses it to
        /// learn that the answer is no longer wanted. `None` if the peer can no longer reset it,
        /// because both sides have finished the stream, or this side has reset it.
        ///
        /// A peer that only drops the stream sends nothing until it receives data, which it answers
        /// with [`STREAM_CLOSED`](crate::ErrorCode::STREAM_CLOSED): the protocol has no other
        /// signal. A client that wants its server to notice calls [`reset`](Self::reset).
        ///
        /// # Errors
        ///
        /// The cause, if the session ended.
        ///
        /// # Cancel safety
        ///
        /// Cancel-safe.
        pub async fn stopped(&self) -> Result<Option<$crate::ErrorCode>, $crate::CloseReason> {
            $cooperative(self.0.stopped()).await
        }
    };
}

/// The methods of a stream or receiving half besides those of its runtime's read trait.
#[doc(hidden)]
#[macro_export]
macro_rules! task_receiving_methods {
    ($metered:path) => {
        /// Takes the contiguous bytes at the front, at most `max`, without a copy; `None` at the
        /// end of the stream.
        ///
        /// # Errors
        ///
        /// [`ReadError`](crate::ReadError), after everything received was read.
        ///
        /// # Cancel safety
        ///
        /// Cancel-safe: nothing has been taken if the future is dropped.
        pub async fn read_chunk(
            &mut self,
            max: usize,
        ) -> Result<Option<::bytes::Bytes>, $crate::task::ReadError> {
            // If this future is dropped, the reader no longer waits. A call of `poll_read_chunk` waits on.
            let mut reading = ::core::pin::pin!(self.0.read_chunk(max));
            ::core::future::poll_fn(|cx| {
                Self::meter_chunk(cx, |cx| ::core::future::Future::poll(reading.as_mut(), cx))
            })
            .await
        }

        /// [`read_chunk`](Self::read_chunk) as a poll.
        ///
        /// # Errors
        ///
        /// As [`read_chunk`](Self::read_chunk).
        pub fn poll_read_chunk(
            &mut self,
            cx: &mut ::core::task::Context<'_>,
            max: usize,
        ) -> ::core::task::Poll<Result<Option<::bytes::Bytes>, $crate::task::ReadError>> {
            Self::meter_chunk(cx, |cx| self.0.poll_read_chunk(cx, max))
        }

        /// A call that takes a chunk.
        fn meter_chunk(
            cx: &mut ::core::task::Context<'_>,
            take: impl FnOnce(
                &mut ::core::task::Context<'_>,
            ) -> ::core::task::Poll<
                Result<Option<::bytes::Bytes>, $crate::task::ReadError>,
            >,
        ) -> ::core::task::Poll<Result<Option<::bytes::Bytes>, $crate::task::ReadError>> {
            $metered(cx, take, |read| read.iter().flatten().map(::bytes::Bytes::len).sum())
        }

        /// Copies received bytes into `buf` without consuming them. It does not wait: 0 if there
        /// are none now.
        pub fn peek(&self, buf: &mut [u8]) -> usize {
            self.0.peek(buf)
        }

        /// Stops reading: received bytes and later ones are discarded, and the peer still gets
        /// credit.
        pub fn stop(&self) {
            self.0.stop();
        }
    };
}

/// The methods of a stream or sending half besides those of its runtime's write trait.
#[doc(hidden)]
#[macro_export]
macro_rules! task_sending_methods {
    ($metered:path) => {
        /// Takes all of `chunk` to send, without a copy.
        ///
        /// # Errors
        ///
        /// [`WriteError`](crate::WriteError).
        ///
        /// # Cancel safety
        ///
        /// If the future is dropped, a part of the chunk from its front may have been taken. To
        /// know how much, use [`poll_write_chunk`](Self::poll_write_chunk), which leaves the rest.
        ///
        /// # Deadlocks
        ///
        /// The session may be locked while the chunk is dropped, now or when it has been sent: the
        /// owner of its memory ([`Bytes::from_owner`](bytes::Bytes::from_owner)) must not use or
        /// own handles to the session.
        pub async fn write_chunk(
            &mut self,
            mut chunk: ::bytes::Bytes,
        ) -> Result<(), $crate::task::WriteError> {
            ::core::future::poll_fn(|cx| self.poll_write_chunk(cx, &mut chunk)).await
        }

        /// Takes bytes to send from the front of `chunk`, without a copy, until it is empty. As
        /// with [`write_chunk`](Self::write_chunk), the owner of its memory must not use the
        /// session.
        ///
        /// # Errors
        ///
        /// [`WriteError`](crate::WriteError).
        pub fn poll_write_chunk(
            &mut self,
            cx: &mut ::core::task::Context<'_>,
            chunk: &mut ::bytes::Bytes,
        ) -> ::core::task::Poll<Result<(), $crate::task::WriteError>> {
            let len = chunk.len();
            $metered(cx, |cx| self.0.poll_write_chunk(cx, chunk), |_| len)
        }

        /// Half-closes: what was written is sent, then the end of the stream. Reading continues.
        /// This does not wait until everything is sent; `flush` does.
        ///
        /// # Errors
        ///
        /// [`WriteError`](crate::WriteError), never `Finished`, if the stream was reset or the session is over: then
        /// what was written may not arrive.
        pub fn finish(&mut self) -> Result<(), $crate::task::WriteError> {
            self.0.finish()
        }

        /// Announces a stream that was never written to, without data. Not needed before reading: a
        /// waiting reader announces its stream.
        ///
        /// # Errors
        ///
        /// As [`finish`](Self::finish).
        pub fn announce(&mut self) -> Result<(), $crate::task::WriteError> {
            self.0.announce()
        }

        /// Chooses what happens if this is dropped before the stream was finished: the stream is
        /// reset with [`STREAM_CANCELLED`](crate::ErrorCode::STREAM_CANCELLED), or finished. A new
        /// stream has [`Config::reset_on_drop`](crate::Config::reset_on_drop).
        pub fn set_reset_on_drop(&self, reset: bool) {
            self.0.set_reset_on_drop(reset);
        }

        /// Changes the priority of written data, from the next frame on.
        pub fn set_priority(&self, priority: $crate::Priority) {
            self.0.set_priority(priority);
        }
    };
}
