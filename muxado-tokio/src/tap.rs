//! A transport that records its bytes in a file.

use std::io::{self, IoSlice, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use muxado_proto::task::{Capture, Direction, Recorder};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A transport that records a session as a pcapng file, for Wireshark with the dissector
/// `wireshark/muxado.lua` of `muxado-proto`. Wrapped around a TLS stream, it records the plain
/// bytes.
///
/// Recording never disturbs the session: if the file fails, recording ends, and
/// [`error`](Self::error) returns the cause. The task that drives the session writes the file, so
/// use a buffered writer, and a disk that does not block for long.
///
/// ```
/// use muxado_tokio::{Config, Session, Tap};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// # let folder = std::env::temp_dir();
/// # let path = folder.join(format!("muxado-tap-{}.pcapng", std::process::id()));
/// let (transport, _peer) = tokio::io::duplex(4096);
/// let file = std::io::BufWriter::new(std::fs::File::create(&path)?);
/// let session = Session::client(Tap::new(transport, file)?, Config::default());
/// # drop(session);
/// # std::fs::remove_file(path)
/// # }
/// ```
#[derive(Debug)]
pub struct Tap<T, W> {
    transport: T,
    recorder: Recorder<W>,
}

impl<T, W: Write> Tap<T, W> {
    /// Records the bytes of `transport` in `file`, between made-up addresses.
    ///
    /// # Errors
    ///
    /// Errors of `file` while the header of the capture is written.
    pub fn new(transport: T, file: W) -> io::Result<Self> {
        let recorder = Recorder::new(Capture::new(file, now())?);
        Ok(Self { transport, recorder })
    }

    /// As [`new`](Self::new), with the addresses of this side and the peer, if both are IPv4.
    ///
    /// # Errors
    ///
    /// Errors of `file` while the header of the capture is written.
    pub fn between(transport: T, file: W, ours: SocketAddr, peer: SocketAddr) -> io::Result<Self> {
        let (SocketAddr::V4(ours), SocketAddr::V4(peer)) = (ours, peer) else {
            return Self::new(transport, file);
        };
        let recorder = Recorder::new(Capture::between(file, now(), ours, peer)?);
        Ok(Self { transport, recorder })
    }

    /// Why recording has ended, if it has.
    #[must_use]
    pub const fn error(&self) -> Option<&io::Error> {
        self.recorder.error()
    }
}

/// The time since the start of 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

impl<T: AsyncRead + Unpin, W: Write + Unpin> AsyncRead for Tap<T, W> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut tap.transport).poll_read(cx, buf))?;
        match &buf.filled()[before..] {
            [] if buf.remaining() == 0 => {}
            [] => tap.recorder.end(now(), Direction::Received),
            bytes => tap.recorder.record(now(), Direction::Received, bytes),
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin, W: Write + Unpin> AsyncWrite for Tap<T, W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let tap = self.get_mut();
        let count = ready!(Pin::new(&mut tap.transport).poll_write(cx, buf))?;
        tap.recorder.record(now(), Direction::Sent, &buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tap = self.get_mut();
        let count = ready!(Pin::new(&mut tap.transport).poll_write_vectored(cx, bufs))?;
        tap.recorder.record_vectored(now(), bufs, count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tap = self.get_mut();
        ready!(Pin::new(&mut tap.transport).poll_shutdown(cx))?;
        tap.recorder.end(now(), Direction::Sent);
        Poll::Ready(Ok(()))
    }
}
