//! TCP connections that carry a session.
//!
//! # A peer that vanishes
//!
//! A machine that loses its power says nothing. Keepalive, which [`tune`] sets, finds that out in
//! some two minutes. A typed session finds it out sooner with
//! [`ConfigBuilder::heartbeat`](crate::ConfigBuilder::heartbeat). An untyped session sends no
//! probes, because the protocol has none for it. If its peer sends something all the time,
//! [`ConfigBuilder::idle_timeout`](crate::ConfigBuilder::idle_timeout) ends the session when it does
//! not. If not, a small request at times, with a time limit on its answer, finds it out:
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

/// How long a connection is silent before the system asks the peer's whether it is still there, and
/// then how often.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// Sets the options with which TCP carries a session best: `TCP_NODELAY`, without which a small
/// write may wait 40 ms for the acknowledgement of an earlier one; and keepalive after 30 s of
/// silence, then every 10 s, so that the end of a machine that vanished is noticed (on Linux after
/// 2 minutes) though the session has nothing to say.
///
/// [`Session::client`](crate::Session::client) and [`Session::server`](crate::Session::server) do
/// this. It is for transports into which they cannot look: call it with the connection below,
/// before the transport is handed over.
///
/// # Errors
///
/// The system's. The options set before stay set.
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
    // Elsewhere the system's own interval applies.
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple", windows))]
    let keepalive = keepalive.with_interval(interval);
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple", windows)))]
    let _ = interval;
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

/// The TCP connection below a transport, where one can be found.
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
