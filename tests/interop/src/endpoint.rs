//! The interface of a muxado implementation for the application of the interop tests.

use core::future::Future;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::io::{AsyncRead, AsyncWrite};

use super::options::Options;
use super::report::{End, Report};

/// A session of some implementation. Clones are handles of the same session.
pub trait Endpoint: Clone + Send + Sync + Sized + 'static {
    /// The name of the implementation in reports.
    const NAME: &'static str;

    /// The implementation's stream.
    type Stream: MuxStream;
    /// A listening socket of the implementation's runtime.
    type Listener: Send;
    /// A connected transport of the implementation's runtime.
    type Transport: Send + 'static;

    /// Runs a future to its end, on the runtime the implementation is made for.
    fn block_on<F: Future>(future: F) -> F::Output;
    /// Runs a future on its own.
    fn spawn(future: impl Future<Output = ()> + Send + 'static);
    /// Lets time pass.
    fn sleep(time: Duration) -> impl Future<Output = ()> + Send;

    /// Listens; returns the address.
    fn listen(
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<(Self::Listener, SocketAddr)>> + Send;
    /// Waits for a connection.
    fn accept_transport(
        listener: &Self::Listener,
    ) -> impl Future<Output = io::Result<Self::Transport>> + Send;
    /// Connects.
    fn connect(address: SocketAddr) -> impl Future<Output = io::Result<Self::Transport>> + Send;

    /// Starts a session. Heartbeats have to be added to the report.
    fn start(
        transport: Self::Transport,
        options: &Options,
        report: &Arc<Report>,
    ) -> impl Future<Output = io::Result<Self>> + Send;

    /// Opens a stream, with a type on a typed session.
    fn open(
        &self,
        stream_type: Option<u32>,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send;
    /// Accepts a stream, with its type on a typed session.
    fn accept(&self) -> impl Future<Output = Accepted<Self::Stream>> + Send;
    /// Sends GOAWAY, and lets the streams continue if the implementation can.
    fn go_away(&self, code: u32, text: String) -> impl Future<Output = io::Result<()>> + Send;
    /// Ends the session.
    fn close(&self) -> impl Future<Output = ()> + Send;
    /// Waits for the end of the session.
    fn ended(&self) -> impl Future<Output = End> + Send;

    /// The muxado error code an error carries.
    fn error_code(error: &io::Error) -> Option<u32>;
}

/// The result of an attempt to accept a stream.
#[derive(Debug)]
pub enum Accepted<S> {
    /// A stream and its type, which is 0 on a session that is not typed.
    Stream(S, u32),
    /// A stream that failed before it could be accepted.
    Failed(io::Error),
    /// The session is over.
    SessionOver,
}

/// A stream of some implementation.
pub trait MuxStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The receiving half.
    type Reader: AsyncRead + Unpin + Send + 'static;
    /// The sending half.
    type Writer: AsyncWrite + Unpin + Send + 'static;

    /// Splits the stream.
    fn halves(self) -> (Self::Reader, Self::Writer);
    /// Resets the stream, or drops it if the implementation has no reset.
    fn reset(self, code: u32);
    /// The stream's id, if the implementation returns it.
    fn id(&self) -> u32;
}

/// The methods of [`Endpoint`] that run futures, for implementations on Tokio.
macro_rules! tokio_methods {
    () => {
        fn block_on<F: Future>(future: F) -> F::Output {
            tokio::runtime::Runtime::new().expect("a runtime starts").block_on(future)
        }

        fn spawn(future: impl Future<Output = ()> + Send + 'static) {
            tokio::spawn(future);
        }

        fn sleep(time: Duration) -> impl Future<Output = ()> + Send {
            tokio::time::sleep(time)
        }
    };
}
pub(super) use tokio_methods;

/// The methods of [`Endpoint`] that create transports, with the `TcpListener` and `TcpStream` of the
/// runtime in scope.
macro_rules! tcp_methods {
    () => {
        async fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        }

        async fn accept_transport(listener: &TcpListener) -> io::Result<TcpStream> {
            Ok(listener.accept().await?.0)
        }

        async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
            TcpStream::connect(address).await
        }
    };
}
pub(super) use tcp_methods;
