//! Sessions, and weak handles to them.

/// The methods of a session that wraps a [`Session`](super::Session).
#[doc(hidden)]
#[macro_export]
macro_rules! task_session_methods {
    ($cooperative:path) => {
        /// Opens a stream; waits while as many are open as the configuration allows. Nothing is
        /// sent before the first write.
        ///
        /// # Errors
        ///
        /// [`OpenError`](crate::OpenError): the session opens no more streams, or is typed.
        ///
        /// # Cancel safety
        ///
        /// Cancel-safe: no stream is open if the future is dropped.
        pub async fn open(&self) -> Result<Stream, $crate::task::OpenError> {
            $cooperative(self.0.open()).await.map(Stream::from)
        }

        /// [`open`](Self::open) as a poll. Only one task at a time can wait with the poll forms of
        /// one handle: the waker of the latest call is woken. A clone has its own place.
        ///
        /// # Errors
        ///
        /// As [`open`](Self::open).
        pub fn poll_open(
            &mut self,
            cx: &mut ::core::task::Context<'_>,
        ) -> ::core::task::Poll<Result<Stream, $crate::task::OpenError>> {
            $crate::task_poll!($cooperative, cx, |cx| self.0.poll_open(cx))
                .map(|result| result.map(Stream::from))
        }

        /// Opens a stream of a type, in a typed session. The type is sent at once.
        ///
        /// # Errors
        ///
        /// [`OpenError`](crate::OpenError): the session opens no more streams, or is not typed, or
        /// the type is that of heartbeats.
        ///
        /// # Cancel safety
        ///
        /// Cancel-safe: no stream is open if the future is dropped.
        pub async fn open_typed(
            &self,
            stream_type: $crate::StreamType,
        ) -> Result<Stream, $crate::task::OpenError> {
            $cooperative(self.0.open_typed(stream_type)).await.map(Stream::from)
        }

        /// [`open_typed`](Self::open_typed) as a poll; see [`poll_open`](Self::poll_open).
        ///
        /// # Errors
        ///
        /// As [`open_typed`](Self::open_typed).
        pub fn poll_open_typed(
            &mut self,
            cx: &mut ::core::task::Context<'_>,
            stream_type: $crate::StreamType,
        ) -> ::core::task::Poll<Result<Stream, $crate::task::OpenError>> {
            $crate::task_poll!($cooperative, cx, |cx| self.0.poll_open_typed(cx, stream_type))
                .map(|result| result.map(Stream::from))
        }

        /// Accepts the stream of the peer that has waited longest, or waits for one. In a typed
        /// session only streams whose type has arrived are accepted; streams without a type delay
        /// no other.
        ///
        /// # Errors
        ///
        /// The reason of the session's end, after all streams that arrived before it.
        ///
        /// # Cancel safety
        ///
        /// Cancel-safe: no stream is lost if the future is dropped.
        pub async fn accept(&self) -> Result<Stream, $crate::CloseReason> {
            $cooperative(self.0.accept()).await.map(Stream::from)
        }

        /// [`accept`](Self::accept) as a poll; see [`poll_open`](Self::poll_open).
        ///
        /// # Errors
        ///
        /// As [`accept`](Self::accept).
        pub fn poll_accept(
            &mut self,
            cx: &mut ::core::task::Context<'_>,
        ) -> ::core::task::Poll<Result<Stream, $crate::CloseReason>> {
            $crate::task_poll!($cooperative, cx, |cx| self.0.poll_accept(cx))
                .map(|result| result.map(Stream::from))
        }

        /// The peer's streams as a [`Stream`](futures_core::Stream) of results: every stream, then
        /// the reason for the end of the session, once. It counts as a handle to the session.
        #[must_use]
        pub fn incoming(&self) -> Incoming {
            Incoming(self.0.incoming())
        }

        /// Sends a heartbeat and waits for it to come back; returns the round-trip time. Calls
        /// while a beat is outstanding share it.
        ///
        /// # Errors
        ///
        /// [`PingError`](crate::PingError): the session is not typed, opens no more streams or is
        /// over, or the beat did not come back within the tolerance.
        ///
        /// # Cancel safety
        ///
        /// Cancel-safe. The heartbeat may have been sent.
        pub async fn ping(&self) -> Result<::core::time::Duration, $crate::task::PingError> {
            $cooperative(self.0.ping()).await
        }

        /// The heartbeats from now on, as a [`Stream`](futures_core::Stream) that ends with the
        /// session: returned ones with their round-trip time, and missed ones. It does not keep the
        /// session open. The latest 64 are kept; when there are more, the oldest are dropped.
        #[must_use]
        pub fn heartbeats(&self) -> Heartbeats {
            Heartbeats(self.0.heartbeats())
        }

        /// Waits for the end of the session; returns its cause, always the same.
        ///
        /// # Cancel safety
        ///
        /// Cancel-safe.
        pub async fn closed(&self) -> $crate::CloseReason {
            $cooperative(self.0.closed()).await
        }

        /// [`closed`](Self::closed) as a poll; see [`poll_open`](Self::poll_open).
        pub fn poll_closed(
            &mut self,
            cx: &mut ::core::task::Context<'_>,
        ) -> ::core::task::Poll<$crate::CloseReason> {
            $crate::task_poll!($cooperative, cx, |cx| self.0.poll_closed(cx))
        }

        /// Waits until the peer announces that it is going away: it opens no more streams and
        /// accepts none. Open streams continue.
        ///
        /// # Errors
        ///
        /// The reason of the session's end, if the peer announced nothing before.
        ///
        /// # Cancel safety
        ///
        /// Cancel-safe: later calls return the announcement again.
        pub async fn going_away(&self) -> Result<$crate::task::GoAway, $crate::CloseReason> {
            $cooperative(self.0.going_away()).await
        }

        /// [`going_away`](Self::going_away) as a poll; see [`poll_open`](Self::poll_open).
        ///
        /// # Errors
        ///
        /// As [`going_away`](Self::going_away).
        pub fn poll_going_away(
            &mut self,
            cx: &mut ::core::task::Context<'_>,
        ) -> ::core::task::Poll<Result<$crate::task::GoAway, $crate::CloseReason>> {
            $crate::task_poll!($cooperative, cx, |cx| self.0.poll_going_away(cx))
        }

        /// Closes gracefully: streams not yet accepted are refused, open streams continue until
        /// both sides have finished them; then everything is written to the transport, and the peer
        /// is told. Returns the cause of the end when the peer has answered or has ended its side
        /// of the transport as well, or after
        /// [`Config::linger_timeout`](crate::Config::linger_timeout).
        ///
        /// Streams are cut if nothing moves for
        /// [`Config::drain_timeout`](crate::Config::drain_timeout), or if they take longer than
        /// [`Config::drain_limit`](crate::Config::drain_limit). If the end
        /// [`is_clean`](crate::CloseReason::is_clean), nothing was cut. After any other end, such
        /// as [`CloseReason::Cut`](crate::CloseReason::Cut), bytes may be lost.
        ///
        /// # Cancel safety
        ///
        /// The session closes even if the future is dropped, once it has been polled.
        pub async fn close(&self) -> $crate::CloseReason {
            $cooperative(self.0.close()).await
        }

        /// [`close`](Self::close) with a code and a text for the peer.
        ///
        /// # Cancel safety
        ///
        /// As [`close`](Self::close).
        pub async fn close_with(
            &self,
            code: $crate::ErrorCode,
            text: impl Into<::bytes::Bytes>,
        ) -> $crate::CloseReason {
            $cooperative(self.0.close_with(code, text)).await
        }

        /// [`close`](Self::close) as a poll; the first call begins to close. See
        /// [`poll_open`](Self::poll_open).
        pub fn poll_close(
            &mut self,
            cx: &mut ::core::task::Context<'_>,
        ) -> ::core::task::Poll<$crate::CloseReason> {
            $crate::task_poll!($cooperative, cx, |cx| self.0.poll_close(cx))
        }

        /// Tells the peer to open no more streams and refuses new ones. Open streams continue, as
        /// when the session is closed; then it is over. A stream that was opened and not written to
        /// is reset.
        pub fn go_away(&self, code: $crate::ErrorCode, text: impl Into<::bytes::Bytes>) {
            self.0.go_away(code, text);
        }

        /// Closes at once: unsent data is discarded, every waiter gets the cause, and the peer gets
        /// `code` and `text`. What the peer still sends is discarded, up to one initial window, until
        /// it has ended its side of the transport, or for
        /// [`Config::linger_timeout`](crate::Config::linger_timeout).
        pub fn abort(&self, code: $crate::ErrorCode, text: impl Into<::bytes::Bytes>) {
            self.0.abort(code, text);
        }

        /// Why the session is over, once it is.
        #[must_use]
        pub fn close_reason(&self) -> Option<$crate::CloseReason> {
            self.0.close_reason()
        }

        /// A sign that the configuration of the two ends does not match, if there is one.
        #[must_use]
        pub fn warning(&self) -> Option<$crate::Warning> {
            self.0.warning()
        }

        /// The error of the transport, if it failed.
        #[must_use]
        pub fn transport_error(&self) -> Option<::std::sync::Arc<::std::io::Error>> {
            self.0.transport_error()
        }

        /// The round-trip time of the latest heartbeat that came back.
        #[must_use]
        pub fn rtt(&self) -> Option<::core::time::Duration> {
            self.0.rtt()
        }

        /// Counters, and what the session holds now.
        #[must_use]
        pub fn stats(&self) -> $crate::SessionStats {
            self.0.stats()
        }

        /// Which end this is.
        #[must_use]
        pub fn role(&self) -> $crate::Role {
            self.0.role()
        }

        /// The settings.
        #[must_use]
        pub fn config(&self) -> ::std::sync::Arc<$crate::Config> {
            self.0.config()
        }

        /// The number of this session in the process, from 1. Every line of the log has it.
        #[must_use]
        pub fn number(&self) -> u64 {
            self.0.number()
        }

        /// The address of this end: that of the TCP connection, or the one given to the
        /// [`Builder`](crate::Builder).
        #[must_use]
        pub fn local_addr(&self) -> Option<::core::net::SocketAddr> {
            self.0.local_addr()
        }

        /// The address of the peer: that of the TCP connection, or the one given to the
        /// [`Builder`](crate::Builder).
        #[must_use]
        pub fn peer_addr(&self) -> Option<::core::net::SocketAddr> {
            self.0.peer_addr()
        }

        /// The name that the application has given the peer, with
        /// [`Builder::peer_name`](crate::Builder::peer_name) or
        /// [`set_peer_name`](Self::set_peer_name).
        #[must_use]
        pub fn peer_name(&self) -> Option<::std::sync::Arc<str>> {
            self.0.peer_name()
        }

        /// Names the peer, for its streams and for the log; for example after authentication.
        pub fn set_peer_name(&self, name: impl Into<::std::sync::Arc<str>>) {
            self.0.set_peer_name(name);
        }

        /// A handle that does not keep the session open.
        #[must_use]
        pub fn downgrade(&self) -> WeakSession {
            WeakSession(self.0.downgrade())
        }
    };
}

/// The methods of a weak handle that wraps a [`WeakSession`](super::WeakSession).
#[doc(hidden)]
#[macro_export]
macro_rules! task_weak_session_methods {
    ($cooperative:path) => {
        /// A handle that keeps the session open; `None` if all handles and streams were dropped.
        #[must_use]
        pub fn upgrade(&self) -> Option<Session> {
            self.0.upgrade().map(Session)
        }

        /// Waits for the end of the session; returns its cause.
        ///
        /// # Cancel safety
        ///
        /// Cancel-safe.
        pub async fn closed(&self) -> $crate::CloseReason {
            $cooperative(self.0.closed()).await
        }

        /// Why the session is over, once it is.
        #[must_use]
        pub fn close_reason(&self) -> Option<$crate::CloseReason> {
            self.0.close_reason()
        }

        /// Counters, and what the session holds now.
        #[must_use]
        pub fn stats(&self) -> $crate::SessionStats {
            self.0.stats()
        }

        /// The number of the session in the process.
        #[must_use]
        pub fn number(&self) -> u64 {
            self.0.number()
        }

        /// The name that the application has given the peer.
        #[must_use]
        pub fn peer_name(&self) -> Option<::std::sync::Arc<str>> {
            self.0.peer_name()
        }
    };
}
