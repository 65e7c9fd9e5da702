//! Sessions as listeners: the peer's streams are the connections.

use std::io;

use super::addr::StreamAddr;
use crate::session::Session;
use crate::stream::Stream;

/// `axum::serve` serves the streams that the peer opens; `ConnectInfo<StreamAddr>` gives a handler
/// the origin of its request.
///
/// A listener of axum cannot report the end of the session, so it waits forever. Shut down the
/// server when the session ends; the server then waits for the running requests:
///
/// ```
/// use axum::{Router, routing::get};
/// use axum::extract::ConnectInfo;
/// use muxado_tokio::{Config, Session, StreamAddr};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), muxado_tokio::Error> {
/// let (near, far) = tokio::io::duplex(4096);
/// let session = Session::server(far, Config::default());
/// let hello = |ConnectInfo(addr): ConnectInfo<StreamAddr>| async move { format!("hello, {addr}") };
/// let app = Router::new().route("/", get(hello));
/// let over = session.downgrade();
/// let server = tokio::spawn(
///     axum::serve(session, app.into_make_service_with_connect_info::<StreamAddr>())
///         .with_graceful_shutdown(async move { drop(over.closed().await) })
///         .into_future(),
/// );
///
/// let client = Session::client(near, Config::default());
/// let mut stream = client.open().await?;
/// stream.write_all(b"GET / HTTP/1.1\r\nhost: peer\r\nconnection: close\r\n\r\n").await?;
/// let mut answer = String::new();
/// stream.read_to_string(&mut answer).await?;
/// assert!(answer.contains(&format!("hello, stream {} of session", stream.id())));
///
/// drop(stream);
/// client.close().await;
/// server.await.expect("the server does not panic")?;
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "axum")]
impl axum::serve::Listener for Session {
    type Io = Stream;
    type Addr = StreamAddr;

    async fn accept(&mut self) -> (Stream, StreamAddr) {
        match Self::accept(self).await {
            Ok(stream) => {
                let addr = StreamAddr::of(&stream);
                (stream, addr)
            }
            // The trait cannot express the end of a listener.
            Err(_) => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<StreamAddr> {
        Ok(StreamAddr::local(self))
    }
}

/// Accepts the streams that the peer opens. When the session is over, accepting fails with the
/// [`CloseReason`](crate::CloseReason) as an `io::Error`.
///
/// ```
/// use muxado_tokio::{Config, Session};
/// use tokio_util::net::Listener;
///
/// /// Serves a TCP listener or a session.
/// async fn first<L: Listener>(mut listener: L) -> std::io::Result<L::Addr> {
///     let (_stream, addr) = listener.accept().await?;
///     Ok(addr)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), muxado_tokio::Error> {
/// let (near, far) = tokio::io::duplex(4096);
/// let client = Session::client(near, Config::default());
/// let mut stream = client.open().await?;
/// stream.announce()?;
/// let addr = first(Session::server(far, Config::default())).await?;
/// assert_eq!(addr.stream(), Some(stream.id()));
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "tokio-util")]
impl tokio_util::net::Listener for Session {
    type Io = Stream;
    type Addr = StreamAddr;

    fn poll_accept(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<(Stream, StreamAddr)>> {
        Self::poll_accept(self, cx).map(|accepted| {
            let stream = accepted?;
            let addr = StreamAddr::of(&stream);
            Ok((stream, addr))
        })
    }

    fn local_addr(&self) -> io::Result<StreamAddr> {
        Ok(StreamAddr::local(self))
    }
}
