//! Sessions on smol.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use muxado_proto::task::{self, Endpoint};
use muxado_proto::{CloseReason, Config, Role};
use tracing::Instrument;

use crate::io::{Io, SmolClock, addresses};
use crate::stream::Stream;

/// A handle on a session: opens and accepts [`Stream`]s. Clones are handles on the same session.
///
/// All that a session does besides starting is documented at [`task::Session`], to which this
/// type dereferences: [`open`](task::Session::open), [`accept`](task::Session::accept),
/// [`close`](task::Session::close) and so on. When the last handle and the last stream are gone,
/// the session closes in order.
#[derive(Debug, Clone)]
pub struct Session {
    handle: task::Session<Stream>,
    local: Option<SocketAddr>,
    peer: Option<SocketAddr>,
}

impl Session {
    /// Starts the client's end of a session over a transport, and spawns its driver.
    ///
    /// The driver runs on smol's global executor; [`client_with_driver`](Self::client_with_driver)
    /// and [`server_with_driver`](Self::server_with_driver) hand it out for any other.
    pub fn client<T>(io: T, config: impl Into<Arc<Config>>) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self::spawn(Self::client_with_driver(io, config))
    }

    /// Starts the server's end of a session over a transport, and spawns its driver.
    ///
    /// The driver runs on smol's global executor; [`client_with_driver`](Self::client_with_driver)
    /// and [`server_with_driver`](Self::server_with_driver) hand it out for any other.
    pub fn server<T>(io: T, config: impl Into<Arc<Config>>) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self::spawn(Self::server_with_driver(io, config))
    }

    /// The client's end of a session, and its driver to be polled by the caller.
    pub fn client_with_driver<T>(io: T, config: impl Into<Arc<Config>>) -> (Self, Driver<T>)
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        Self::start(io, Role::Client, config.into())
    }

    /// The server's end of a session, and its driver to be polled by the caller.
    pub fn server_with_driver<T>(io: T, config: impl Into<Arc<Config>>) -> (Self, Driver<T>)
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        Self::start(io, Role::Server, config.into())
    }

    fn start<T>(io: T, role: Role, config: Arc<Config>) -> (Self, Driver<T>)
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (local, peer) = addresses(&io);
        let endpoint = Endpoint { transport: Io(io), clock: SmolClock::new(), role, config };
        let (handle, driver) = endpoint.start();
        (Self { handle, local, peer }, Driver(driver))
    }

    fn spawn<T>((session, driver): (Self, Driver<T>)) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let span = tracing::debug_span!("muxado", role = ?session.role(), peer = ?session.peer);
        // An idle session does not pay for a span that nobody records.
        if span.is_disabled() {
            smol::spawn(driver).detach();
        } else {
            smol::spawn(driver.instrument(span)).detach();
        }
        session
    }

    /// The transport's own address, if it is a TCP connection.
    #[must_use]
    pub const fn local_addr(&self) -> Option<SocketAddr> {
        self.local
    }

    /// The address of the peer, if the transport is a TCP connection.
    #[must_use]
    pub const fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The peer's streams as a [`Stream`](futures_core::Stream) of streams, which ends when the
    /// session does.
    #[must_use]
    pub fn incoming(&self) -> Incoming {
        Incoming(self.handle.incoming())
    }
}

impl Deref for Session {
    type Target = task::Session<Stream>;

    fn deref(&self) -> &Self::Target {
        &self.handle
    }
}

/// The peer's streams, one after the other: see [`Session::incoming`].
#[derive(Debug)]
pub struct Incoming(task::Incoming<Stream>);

impl futures_core::Stream for Incoming {
    type Item = Stream;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Stream>> {
        self.0.poll_next(cx)
    }
}

/// Drives one session: a future that ends, with the cause, when the session has ended and its
/// transport is closed. Dropping it before that abandons the session.
#[must_use = "a session does nothing unless its driver is polled"]
pub struct Driver<T: AsyncRead + AsyncWrite + Unpin>(task::Driver<Io<T>, SmolClock>);

impl<T: AsyncRead + AsyncWrite + Unpin> fmt::Debug for Driver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for Driver<T> {
    type Output = CloseReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let reason = ready!(Pin::new(&mut self.0).poll(cx));
        tracing::debug!(%reason, "session ended");
        Poll::Ready(reason)
    }
}
