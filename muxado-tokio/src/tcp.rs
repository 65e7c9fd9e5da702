//! TCP connections that carry a session.
//!
//! # A peer that vanishes
//!
//! A machine that loses its power sends nothing. Keepalive, which [`tune`] sets, detects that in
//! about two minutes. A typed session detects it sooner with
//! [`ConfigBuilder::heartbeat`](crate::ConfigBuilder::heartbeat). An untyped session sends no
//! probes, because the protocol has none for it. If its peer sends regularly, set
//! [`ConfigBuilder::idle_timeout`](crate::ConfigBuilder::idle_timeout): it ends the session when
//! nothing arrives. Otherwise send a small request from time to time, with a time limit on the
//! answer:
//!
//! ```
//! use muxado_tokio::{ErrorCode, Session};
//! use std::time::Duration;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! /// Asks the peer, which has to know the question, and ends the session if nothing comes back.
//! async fn watch(session: Session) -> std::io::Result<()> {
//!     loop {
//!         tokio::time::sleep(Duration::from_secs(20)).await;
//!         let answer = tokio::time::timeout(Duration::from_secs(10), async {
//!             let mut stream = session.open().await?;
//!             stream.write_all(b"still there?").await?;
//!             stream.shutdown().await?;
//!             stream.read_u8().await
//!         });
//!         if !matches!(answer.await, Ok(Ok(_))) {
//!             session.abort(ErrorCode::WRITE_TIMEOUT, "the peer does not answer");
//!             return Ok(());
//!         }
//!     }
//! }
//! ```

use std::any::Any;
use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// How long a connection is silent before the system probes the peer, and the interval of the
/// probes.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// Sets the best TCP options for a session.
///
/// * `TCP_NODELAY`: without it a small write may wait 40 ms for the acknowledgement of an earlier
///   one.
/// * Keepalive after 30 s of silence, then every 10 s. It detects a vanished machine (on Linux
///   after 2 minutes) even if the session sends nothing.
///
/// [`Session::client`](crate::Session::client) and [`Session::server`](crate::Session::server) do
/// this. For transports in which they cannot find the TCP connection, call it with that connection
/// before you create the session.
///
/// # Errors
///
/// Errors of the system. Options that were set before stay set.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use tokio::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let tcp = TcpStream::connect(listener.local_addr()?).await?;
/// muxado_tokio::tcp::tune(&tcp)?;
/// assert!(tcp.nodelay()?);
/// # Ok(())
/// # }
/// ```
pub fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let (time, interval) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(time);
    // On other systems their own interval applies.
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple", windows))]
    let keepalive = keepalive.with_interval(interval);
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple", windows)))]
    let _ = interval;
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

/// The TCP connection below a transport, if one is found.
pub(crate) fn find<T: 'static>(io: &T) -> Option<&TcpStream> {
    let io: &dyn Any = io;
    #[cfg(feature = "rustls")]
    {
        if let Some(tls) = io.downcast_ref::<tokio_rustls::client::TlsStream<TcpStream>>() {
            return Some(tls.get_ref().0);
        }
        if let Some(tls) = io.downcast_ref::<tokio_rustls::server::TlsStream<TcpStream>>() {
            return Some(tls.get_ref().0);
        }
        if let Some(tls) = io.downcast_ref::<tokio_rustls::TlsStream<TcpStream>>() {
            return Some(tls.get_ref().0);
        }
    }
    io.downcast_ref()
}
