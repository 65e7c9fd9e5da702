//! The origin of a stream, for servers that give a handler the address of its client.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::session::Session;
use crate::stream::Stream;
use crate::{StreamId, StreamType};

/// The origin of a stream: its session, its id there, and the peer. A listener's own address also
/// has this type: the session and this end, without a stream.
///
/// A handler of axum takes it as `ConnectInfo<StreamAddr>`; one of tonic finds it in the extensions
/// of the request.
///
/// ```
/// use muxado_tokio::{Config, Session, StreamAddr};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), muxado_tokio::Error> {
/// let (near, _far) = tokio::io::duplex(4096);
/// let session = Session::client(near, Config::default());
/// session.set_peer_name("db.example");
/// let stream = session.open().await?;
///
/// let addr = StreamAddr::of(&stream);
/// assert_eq!(addr.session(), session.number());
/// assert_eq!(addr.stream(), Some(stream.id()));
/// assert_eq!(addr.to_string(), format!("stream {} of db.example", stream.id()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamAddr {
    session: u64,
    stream: Option<(StreamId, Option<StreamType>)>,
    socket: Option<SocketAddr>,
    peer_name: Option<Arc<str>>,
}

impl StreamAddr {
    /// The origin of this stream.
    #[must_use]
    pub fn of(stream: &Stream) -> Self {
        Self {
            session: stream.session().number(),
            stream: Some((stream.id(), stream.stream_type())),
            socket: stream.peer_addr(),
            peer_name: stream.peer_name(),
        }
    }

    /// This end of a session.
    #[cfg(any(feature = "axum", feature = "tokio-util"))]
    pub(super) fn local(session: &Session) -> Self {
        Self {
            session: session.number(),
            stream: None,
            socket: session.local_addr(),
            peer_name: None,
        }
    }

    /// The number of the session in this process: [`Session::number`].
    #[must_use]
    pub const fn session(&self) -> u64 {
        self.session
    }

    /// The stream; `None` for the address of a listener.
    #[must_use]
    pub fn stream(&self) -> Option<StreamId> {
        self.stream.map(|(id, _)| id)
    }

    /// The type of the stream, in a typed session.
    #[must_use]
    pub fn stream_type(&self) -> Option<StreamType> {
        self.stream.and_then(|(_, stream_type)| stream_type)
    }

    /// The address of the peer's end of the transport, or, for a listener, of this end; `None` if
    /// the session does not know it.
    #[must_use]
    pub const fn socket(&self) -> Option<SocketAddr> {
        self.socket
    }

    /// The name that this side has given the peer: [`Session::set_peer_name`].
    #[must_use]
    pub fn peer_name(&self) -> Option<&str> {
        self.peer_name.as_deref()
    }
}

impl fmt::Display for StreamAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((id, _)) = self.stream {
            write!(f, "stream {id} of ")?;
        }
        match (&self.peer_name, self.socket) {
            (Some(name), _) => f.write_str(name),
            (None, Some(socket)) => socket.fmt(f),
            (None, None) => write!(f, "session {}", self.session),
        }
    }
}

#[cfg(feature = "axum")]
impl axum::extract::connect_info::Connected<axum::serve::IncomingStream<'_, Session>>
    for StreamAddr
{
    fn connect_info(stream: axum::serve::IncomingStream<'_, Session>) -> Self {
        stream.remote_addr().clone()
    }
}

/// A handler finds the [`StreamAddr`] in the extensions of its request.
#[cfg(feature = "tonic")]
impl tonic::transport::server::Connected for Stream {
    type ConnectInfo = StreamAddr;

    fn connect_info(&self) -> StreamAddr {
        StreamAddr::of(self)
    }
}
