//! muxado for Tokio: many independent full-duplex streams over one connection.
//!
//! Anything that is `AsyncRead + AsyncWrite` can be the transport: TCP, TLS, a Unix socket, a
//! pipe. Each end can open streams and accept those of the other.
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
//! The protocol is `muxado-proto`'s; this crate adds Tokio's traits, timers and tasks.

#![warn(unreachable_pub)]

mod io;
mod relay;
mod session;
mod stream;
mod tap;
pub mod tcp;

pub use io::{Io, TokioClock};
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
