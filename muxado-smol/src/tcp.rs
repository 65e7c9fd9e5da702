//! TCP connections that carry a session.

use std::any::Any;
use std::io;
use std::time::Duration;

use smol::net::TcpStream;
use socket2::{SockRef, TcpKeepalive};

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
/// # fn main() -> std::io::Result<()> {
/// # smol::block_on(async {
/// use smol::net::{TcpListener, TcpStream};
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let tcp = TcpStream::connect(listener.local_addr()?).await?;
/// muxado_smol::tcp::tune(&tcp)?;
/// assert!(tcp.nodelay()?);
/// # Ok(())
/// # })
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
        if let Some(tls) = io.downcast_ref::<futures_rustls::client::TlsStream<TcpStream>>() {
            return Some(tls.get_ref().0);
        }
        if let Some(tls) = io.downcast_ref::<futures_rustls::server::TlsStream<TcpStream>>() {
            return Some(tls.get_ref().0);
        }
        if let Some(tls) = io.downcast_ref::<futures_rustls::TlsStream<TcpStream>>() {
            return Some(tls.get_ref().0);
        }
    }
    io.downcast_ref()
}
