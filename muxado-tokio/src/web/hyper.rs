//! Streams for hyper, and a connector that opens them.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::ReadBufCursor;
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::AsyncWrite;

use crate::session::Session;
use crate::stream::Stream;

impl hyper::rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let max = buf.remaining();
        self.poll_read_to(cx, max, |piece| buf.put_slice(piece))
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(self, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(self, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(self, cx)
    }

    fn is_write_vectored(&self) -> bool {
        AsyncWrite::is_write_vectored(self)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write_vectored(self, cx, bufs)
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Opens a stream for each connection that an HTTP client requests, for any address: a
/// `tower::Service<Uri>` for the clients of hyper-util, and for `Endpoint::connect_with_connector`
/// of tonic.
///
/// A client keeps connections for later requests, and each one is an open stream. A stream costs no
/// handshake, so a client that makes many requests at a time need not keep any:
/// `pool_max_idle_per_host(0)`.
///
/// It counts as a handle to the session: a client that has it keeps the session open.
///
/// ```
/// use axum::{Router, routing::get};
/// use http_body_util::{BodyExt, Empty};
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
/// use muxado_tokio::{Config, Connector, Session};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (near, far) = tokio::io::duplex(4096);
/// # let app = Router::new().route("/", get(|| async { "hello" }));
/// # tokio::spawn(axum::serve(Session::server(far, Config::default()), app).into_future());
/// let session = Session::client(near, Config::default());
/// let client = Client::builder(TokioExecutor::new())
///     .build::<_, Empty<bytes::Bytes>>(Connector::new(session));
/// let answer = client.get("http://any.name/".parse()?).await?;
/// assert_eq!(answer.into_body().collect().await?.to_bytes(), "hello");
/// # Ok(())
/// # }
/// ```
///
/// With the feature `client` it can also be made from a [`Client`](crate::Client); then it outlives
/// the session.
#[derive(Debug, Clone)]
pub struct Connector(Source);

/// The opener of the streams.
#[derive(Debug, Clone)]
enum Source {
    Session(Session),
    #[cfg(feature = "client")]
    Client(crate::Client),
}

impl Connector {
    /// Opens the streams of this session.
    #[must_use]
    pub const fn new(session: Session) -> Self {
        Self(Source::Session(session))
    }
}

impl From<Session> for Connector {
    fn from(session: Session) -> Self {
        Self::new(session)
    }
}

/// Opens each stream on the session of the client that has the fewest.
#[cfg(feature = "client")]
impl From<crate::Client> for Connector {
    fn from(client: crate::Client) -> Self {
        Self(Source::Client(client))
    }
}

impl tower_service::Service<http::Uri> for Connector {
    type Response = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: http::Uri) -> Self::Future {
        let source = self.0.clone();
        Box::pin(async move {
            match source {
                Source::Session(session) => Ok(session.open().await?),
                #[cfg(feature = "client")]
                Source::Client(client) => Ok(client.open().await?),
            }
        })
    }
}
