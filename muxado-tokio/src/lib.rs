//! muxado for Tokio: many independent full-duplex streams over one connection.
//!
//! Anything that is `AsyncRead + AsyncWrite` can be the transport: TCP, TLS, a Unix socket, a pipe.
//! Each end can open streams and accept streams of the other end.
//!
//! ```
//! use muxado_tokio::{Config, Session};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::{TcpListener, TcpStream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//!
//! // The server answers every stream in capitals.
//! tokio::spawn(async move {
//!     let (tcp, _) = listener.accept().await?;
//!     let session = Session::server(tcp, Config::default());
//!     while let Ok(mut stream) = session.accept().await {
//!         tokio::spawn(async move {
//!             let mut request = String::new();
//!             stream.read_to_string(&mut request).await?;
//!             stream.write_all(request.to_uppercase().as_bytes()).await
//!         });
//!     }
//!     std::io::Result::Ok(())
//! });
//!
//! let session = Session::client(TcpStream::connect(address).await?, Config::default());
//! let mut stream = session.open().await?;
//! stream.write_all(b"hello").await?;
//! stream.shutdown().await?; // half-close: the request is complete
//! let mut answer = String::new();
//! stream.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "HELLO");
//! drop(stream);
//! session.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! `muxado-proto` implements the protocol; this crate adds Tokio's traits, timers and tasks.
//!
//! # Features
//!
//! None is on by default. All of them build with Rust 1.85.
//!
//! * `axum`: a session is a listener of `axum::serve`, and [`StreamAddr`] its address.
//! * `client`: [`Client`] stays connected: reconnects, checks the server, balances sessions, drains.
//! * `hyper`: streams are `hyper::rt::Read` and `Write`, and [`Connector`] opens them for the clients of
//!   hyper-util.
//! * `rustls`: finds the TCP connection below the streams of tokio-rustls.
//! * `tokio-util`: a session is a `tokio_util::net::Listener`.
//! * `tonic`: [`Incoming`] for `serve_with_incoming`, and [`Connector`] for `connect_with_connector`.
//!   tonic from 0.14.6 on needs Rust 1.88; with an older one, cargo takes 0.14.5.

#![warn(unreachable_pub)]

#[cfg(feature = "client")]
mod client;
mod io;
mod relay;
mod session;
mod stream;
mod tap;
pub mod tcp;
#[cfg(any(feature = "axum", feature = "hyper", feature = "tokio-util", feature = "tonic"))]
mod web;

#[cfg(feature = "client")]
pub use client::{Client, ClientBuilder, ClientError};
pub use muxado_proto as proto;
pub use muxado_proto::task::{
    self, Beat, Error, GoAway, OpenError, PingError, ReadError, RelayError, RelayFault, Relayed,
    WriteError, error_code,
};
pub use muxado_proto::{
    CloseReason, Config, ConfigBuilder, ConfigError, CutBy, ErrorCode, Heartbeat, MemoryBudget,
    Priority, RateLimit, Role, SessionStats, StreamEnd, StreamId, StreamStats, StreamType,
    TransportError, Warning,
};
pub use relay::relay;
pub use session::{Builder, Driver, Heartbeats, Incoming, Session, WeakSession};
pub use stream::{RecvHalf, SendHalf, Stream};
pub use tap::Tap;
#[cfg(feature = "hyper")]
pub use web::Connector;
#[cfg(any(feature = "axum", feature = "tokio-util", feature = "tonic"))]
pub use web::StreamAddr;
