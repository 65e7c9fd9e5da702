//! A relay between a stream and any other byte stream.

use std::any::Any;
use std::future::Future;
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use muxado_proto::ErrorCode;
use muxado_proto::task::{Relay, RelayError, Relayed};
use socket2::SockRef;

use crate::io::Io;
use crate::stream::Stream;
use crate::tcp;

/// Copies bytes between a stream and any other byte stream, in both directions at once, until both
/// directions have ended; returns the byte counts.
///
/// * The end of one side becomes the half-close of the other.
/// * An error on one side becomes a reset of the other side: of the stream with the code of the
///   error (`STREAM_RESET` if it has none); of a TCP connection that [`Session`](crate::Session)
///   would find below `other`, by closing it without lingering; of another [`Stream`] with the same
///   code. Any other byte stream is dropped without having been shut down.
/// * Received chunks of the stream are written without a copy, all ready chunks at once. Bytes of
///   the other side are read into buffers that are sent without a copy.
/// * It holds at most 64 KiB towards the stream and 128 KiB from it, and nothing while it is idle.
///
/// # Errors
///
/// [`RelayError`]: a side failed or was reset. It says which side, and how many bytes were moved.
///
/// # Cancel safety
///
/// If the future is dropped before it has ended, both sides are reset, the stream with
/// `STREAM_CANCELLED`, so that neither peer takes partial data for complete data.
///
/// # Examples
///
/// ```no_run
/// use muxado_smol::{Session, relay};
/// use smol::net::TcpStream;
///
/// /// The agent's end of a tunnel: every stream becomes a connection to a service.
/// async fn serve(session: Session) {
///     while let Ok(stream) = session.accept().await {
///         smol::spawn(async move {
///             let service = TcpStream::connect("127.0.0.1:8080").await?;
///             let moved = relay(stream, service).await?;
///             println!("{} bytes in, {} out", moved.from_stream, moved.to_stream);
///             std::io::Result::Ok(())
///         })
///         .detach();
///     }
/// }
/// ```
pub fn relay<T>(
    stream: Stream,
    other: T,
) -> impl Future<Output = Result<Relayed, RelayError>> + Send + use<T>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Relay::new(stream.into(), Io(other), reset)
}

/// Makes the peer of the other side see a reset.
fn reset<T: 'static>(other: &mut Io<T>, code: ErrorCode) {
    if let Some(tcp) = tcp::find(&other.0) {
        // It fails if the connection has already ended; then no reset is needed.
        let _gone = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
    } else if let Some(stream) = (&other.0 as &dyn Any).downcast_ref::<Stream>() {
        stream.reset(code);
    }
}
