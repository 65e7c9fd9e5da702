//! Sessions on Tokio.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use muxado_proto::task::{self, Endpoint};
use muxado_proto::{CloseReason, Config};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::coop::cooperative;

use crate::io::{Io, TokioClock};
use crate::stream::Stream;
use crate::tcp;

/// A handle to a session: opens and accepts [`Stream`]s. Clones are handles to the same session.
///
/// When the last handle and the last stream are dropped, the session closes gracefully.
///
/// Over TCP, [`client`](Self::client) and [`server`](Self::server) set the options of the
/// connection as [`tcp::tune`] does, and take its addresses. They find a `TcpStream`, and with the
/// feature `rustls` also one below a TLS stream of tokio-rustls. For any other transport, or to
/// keep the options unchanged, use the [`Builder`].
///
/// # Examples
///
/// Two ends that send each other requests, over a pipe:
///
/// ```
/// use muxado_tokio::{Config, ErrorCode, Role, Session};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), muxado_tokio::Error> {
/// let (near, far) = tokio::io::duplex(4096);
/// let client = Session::client(near, Config::default());
/// let server = Session::server(far, Config::default());
///
/// // Either end opens streams.
/// let mut question = server.open().await?;
/// question.write_all(b"who is there?").await?;
/// let mut answer = client.accept().await?;
/// let mut buf = [0; 13];
/// answer.read_exact(&mut buf).await?;
/// assert_eq!(&buf, b"who is there?");
///
/// // A stream leads back to its session, and a session counts what it does.
/// answer.session().set_peer_name("the server");
/// assert_eq!(answer.peer_name().as_deref(), Some("the server"));
/// assert_eq!(client.stats().streams_accepted, 1);
/// assert_eq!(client.number(), answer.session().number());
/// assert_eq!((client.role(), server.role()), (Role::Client, Role::Server));
/// drop((question, answer));
///
/// // One end goes away, the other end learns of it and closes.
/// server.go_away(ErrorCode::NO_ERROR, "maintenance");
/// assert_eq!(client.going_away().await?.text, "maintenance");
/// assert!(client.open().await.is_err());
/// assert!(client.close().await.is_clean());
/// assert!(server.closed().await.is_clean());
/// assert_eq!(server.close_reason(), Some(server.closed().await));
/// # Ok(())
/// # }
/// ```
///
/// Typed streams and heartbeats:
///
/// ```
/// use futures_core::Stream as _;
/// use muxado_tokio::{Beat, Config, ErrorCode, Session, StreamType};
/// use std::future::poll_fn;
/// use std::pin::Pin;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), muxado_tokio::Error> {
/// let config = std::sync::Arc::new(Config::builder().typed(true).build()?);
/// let (near, far) = tokio::io::duplex(4096);
/// let client = Session::client(near, config.clone());
/// let server = Session::server(far, config);
///
/// let log = client.open_typed(StreamType(7)).await?;
/// assert_eq!(server.accept().await?.stream_type(), Some(StreamType(7)));
///
/// let mut beats = client.heartbeats();
/// let rtt = client.ping().await?;
/// let beat = poll_fn(|cx| Pin::new(&mut beats).poll_next(cx)).await;
/// assert_eq!(beat, Some(Beat::Returned { rtt }));
/// assert_eq!(beats.dropped(), 0);
/// assert_eq!(client.rtt(), Some(rtt));
///
/// log.reset(ErrorCode::STREAM_CANCELLED);
/// client.abort(ErrorCode::INTERNAL, "disk full");
/// assert_eq!(server.closed().await.code(), ErrorCode::INTERNAL);
/// # Ok(())
/// # }
/// ```
///
/// In a future of your own, use the poll forms. A handle has one place for a waiting task, so clone
/// it for every other task:
///
/// ```
/// use std::future::poll_fn;
/// use std::task::{Context, Poll, ready};
/// use muxado_tokio::{CloseReason, Config, Session, Stream};
///
/// /// Accepts streams until the peer goes away.
/// struct Acceptor(Session);
///
/// impl Acceptor {
///     fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Stream>> {
///         if let Poll::Ready(stream) = self.0.poll_accept(cx) {
///             return Poll::Ready(stream.ok());
///         }
///         let _announced = ready!(self.0.poll_going_away(cx));
///         Poll::Ready(None)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), muxado_tokio::Error> {
/// let (near, far) = tokio::io::duplex(4096);
/// let mut client = Session::client(near, Config::default());
/// let (server, driver) = Session::server_with_driver(far, Config::default());
/// tokio::spawn(driver);
///
/// let mut acceptor = Acceptor(server);
/// // In a typed session `poll_open_typed`.
/// let mut stream = poll_fn(|cx| client.poll_open(cx)).await?;
/// stream.announce()?;
/// assert!(poll_fn(|cx| acceptor.poll_next(cx)).await.is_some());
/// drop(stream);
///
/// let mut watcher = client.clone();
/// let closes = poll_fn(|cx| client.poll_close(cx)); // `close_with` has a code and a text
/// assert!(closes.await.is_clean());
/// assert!(poll_fn(|cx| watcher.poll_closed(cx)).await.is_clean());
/// assert!(poll_fn(|cx| acceptor.poll_next(cx)).await.is_none());
///
/// // Neither the transport nor the settings of the peer were at fault.
/// assert!(watcher.transport_error().is_none() && watcher.warning().is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Session(task::Session);

impl Session {
    /// Starts the client's end of a session over a transport, and spawns its driver.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime with time enabled.
    pub fn client<T>(io: T, config: impl Into<Arc<Config>>) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Builder::tuned(io).config(config).client()
    }

    /// Starts the server's end of a session over a transport, and spawns its driver.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime with time enabled.
    pub fn server<T>(io: T, config: impl Into<Arc<Config>>) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Builder::tuned(io).config(config).server()
    }

    /// The client's end of a session, and its driver, which the caller has to poll.
    pub fn client_with_driver<T>(io: T, config: impl Into<Arc<Config>>) -> (Self, Driver<T>)
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        Builder::tuned(io).config(config).client_with_driver()
    }

    /// The server's end of a session, and its driver, which the caller has to poll.
    pub fn server_with_driver<T>(io: T, config: impl Into<Arc<Config>>) -> (Self, Driver<T>)
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        Builder::tuned(io).config(config).server_with_driver()
    }

    muxado_proto::task_session_methods!(cooperative);
}

impl From<task::Session> for Session {
    fn from(session: task::Session) -> Self {
        Self(session)
    }
}

/// A session that has not started yet, for transports whose addresses only the caller knows, or
/// that are not `'static`. It sets no option of the transport; for TCP, call [`tcp::tune`].
///
/// ```
/// use muxado_tokio::{Builder, Config, tcp};
/// use tokio::net::{TcpListener, TcpStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let address = listener.local_addr()?;
/// let tcp = TcpStream::connect(address).await?;
/// tcp::tune(&tcp)?;
/// let builder = Builder::new(tcp).config(Config::default()).peer_addr(address);
/// let session = builder.peer_name("db.example").client();
/// assert_eq!(session.peer_addr(), Some(address));
/// assert_eq!(session.peer_name().as_deref(), Some("db.example"));
/// # Ok(())
/// # }
/// ```
#[must_use = "a session starts with `client` or `server`"]
pub struct Builder<T>(Endpoint<Io<T>, TokioClock>);

impl<T> fmt::Debug for Builder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}

impl<T> Builder<T> {
    /// A session over a transport, with the default settings.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime with time enabled.
    pub fn new(io: T) -> Self {
        Self(Endpoint::new(Io(io), TokioClock::new()))
    }

    /// Like [`new`](Self::new). If there is a TCP connection below `io`, its options are set and
    /// its addresses taken.
    fn tuned(io: T) -> Self
    where
        T: 'static,
    {
        let addresses = tcp::find(&io).map(|tcp| {
            if let Err(error) = tcp::tune(tcp) {
                tracing::debug!(%error, "the options of a TCP connection cannot be set");
            }
            (tcp.local_addr().ok(), tcp.peer_addr().ok())
        });
        let (local, peer) = addresses.unwrap_or_default();
        let endpoint = Endpoint::new(Io(io), TokioClock::new());
        Self(endpoint.local_addr(local).peer_addr(peer))
    }

    muxado_proto::task_builder_settings!();
}

impl<T: AsyncRead + AsyncWrite + Unpin> Builder<T> {
    /// Starts the client's end, and spawns its driver.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime with time enabled.
    pub fn client(self) -> Session
    where
        T: Send + 'static,
    {
        spawn(self.client_with_driver())
    }

    /// Starts the server's end, and spawns its driver.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime with time enabled.
    pub fn server(self) -> Session
    where
        T: Send + 'static,
    {
        spawn(self.server_with_driver())
    }

    muxado_proto::task_builder_drivers!();
}

fn spawn<T>((session, driver): (Session, Driver<T>)) -> Session
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(driver);
    session
}

/// A handle that does not keep a session open: see [`Session::downgrade`]. The session closes when
/// the last [`Session`] and the last stream are dropped; weak handles do not count.
///
/// ```
/// use muxado_tokio::{Config, Session};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (near, far) = tokio::io::duplex(4096);
/// let client = Session::client(near, Config::default());
/// let server = Session::server(far, Config::default());
///
/// let weak = client.downgrade();
/// assert!(weak.upgrade().is_some());
/// drop(client);
/// assert!(weak.upgrade().is_none());
/// assert!(weak.closed().await.is_clean());
/// # server.closed().await;
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct WeakSession(task::WeakSession);

impl WeakSession {
    muxado_proto::task_weak_session_methods!(cooperative);
}

/// The peer's streams, one after the other: see [`Session::incoming`].
#[derive(Debug)]
pub struct Incoming(task::Incoming);

impl futures_core::Stream for Incoming {
    type Item = Result<Stream, CloseReason>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        muxado_proto::task_poll!(cooperative, cx, |cx| self.0.poll_next(cx))
            .map(|next| next.map(|result| result.map(Stream::from)))
    }
}

/// The heartbeats of a session, one after the other: see [`Session::heartbeats`].
#[derive(Debug)]
pub struct Heartbeats(task::Heartbeats);

impl Heartbeats {
    /// How many were dropped because this was not polled in time.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.0.dropped()
    }
}

impl futures_core::Stream for Heartbeats {
    type Item = task::Beat;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        muxado_proto::task_poll!(cooperative, cx, |cx| self.0.poll_next(cx))
    }
}

/// Drives one session: a future that ends, with the cause, when the session has ended and its
/// transport is closed. Dropping it before that abandons the session.
///
/// ```
/// use muxado_tokio::{Config, Session};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let (near, _far) = tokio::io::duplex(4096);
/// let (session, driver) = Session::client_with_driver(near, Config::default());
/// let driver = tokio::spawn(driver);
/// drop(session);
/// assert!(driver.await.unwrap().is_clean());
/// # }
/// ```
#[must_use = "a session does nothing unless its driver is polled"]
pub struct Driver<T>(task::Driver<Io<T>, TokioClock>);

impl<T> fmt::Debug for Driver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for Driver<T> {
    type Output = CloseReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        Pin::new(&mut self.0).poll(cx)
    }
}
