//! muxado for smol, or any executor with futures-io transports: many independent full-duplex
//! streams over one connection.
//!
//! Anything that is `AsyncRead + AsyncWrite` of futures-io can be the transport: TCP, TLS, a Unix
//! socket, a pipe. Each end can open streams and accept streams of the other end.
//!
//! ```
//! use muxado_smol::{Config, Session};
//! use smol::io::{AsyncReadExt, AsyncWriteExt};
//! use smol::net::{TcpListener, TcpStream};
//!
//! # fn main() -> std::io::Result<()> {
//! smol::block_on(async {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let address = listener.local_addr()?;
//!
//!     // The server answers every stream in capitals.
//!     smol::spawn(async move {
//!         let (tcp, _) = listener.accept().await?;
//!         let session = Session::server(tcp, Config::default());
//!         while let Ok(mut stream) = session.accept().await {
//!             smol::spawn(async move {
//!                 let mut request = String::new();
//!                 stream.read_to_string(&mut request).await?;
//!                 stream.write_all(request.to_uppercase().as_bytes()).await
//!             })
//!             .detach();
//!         }
//!         std::io::Result::Ok(())
//!     })
//!     .detach();
//!
//!     let session = Session::client(TcpStream::connect(address).await?, Config::default());
//!     let mut stream = session.open().await?;
//!     stream.write_all(b"hello").await?;
//!     stream.close().await?; // half-close: the request is complete
//!     let mut answer = String::new();
//!     stream.read_to_string(&mut answer).await?;
//!     assert_eq!(answer, "HELLO");
//!     drop(stream);
//!     session.close().await;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! `muxado-proto` implements the protocol; this crate adds the traits of futures-io, and smol's
//! timers and tasks.
//!
//! # Features
//!
//! * `rustls`, off by default: finds the TCP connection below the streams of futures-rustls.

#![warn(unreachable_pub)]

mod io;
mod relay;
mod session;
mod stream;
mod tap;
pub mod tcp;

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
