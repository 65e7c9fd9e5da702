//! A client that stays connected.

mod builder;
mod keeper;
mod members;

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use tokio::task::JoinSet;

pub use self::builder::ClientBuilder;
use self::members::Members;
use crate::session::Session;
use crate::stream::Stream;
use crate::{CloseReason, Error, StreamType};

/// A client that stays connected: it keeps one or several sessions with a server, connects again
/// when a session is lost or goes away, and opens streams on the session that has the fewest.
///
/// * A session is used when the server has answered: a ping in a typed session, a greeting that you
///   supply in an untyped one. An open connection alone is not enough.
/// * It waits between attempts, longer each time and with a random part, so that the clients of a
///   restarted server do not all connect at once.
/// * [`open`](Self::open) waits while there is no session, without a limit. It sends nothing. A
///   request that was in flight when its session broke fails, and the client never repeats it: only
///   you can know whether that is safe.
/// * A session that goes away gets no more streams. Its open streams continue, and another session
///   replaces it.
///
/// Clones are handles to the same client. When the last one is dropped, it stops connecting, and
/// each session closes gracefully after its last stream.
///
/// ```
/// use muxado_tokio::{Client, Config, Session};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tokio::net::{TcpListener, TcpStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let address = listener.local_addr()?;
/// # tokio::spawn(async move {
/// #     let (tcp, _) = listener.accept().await.unwrap();
/// #     let session = Session::server(tcp, Config::default());
/// #     while let Ok(mut stream) = session.accept().await {
/// #         let mut request = String::new();
/// #         stream.read_to_string(&mut request).await.unwrap();
/// #         stream.write_all(request.to_uppercase().as_bytes()).await.unwrap();
/// #     }
/// # });
/// /// The server answers everything, so it will answer this.
/// async fn greet(session: Session) -> std::io::Result<()> {
///     let mut stream = session.open().await?;
///     stream.write_all(b"hello").await?;
///     stream.shutdown().await?;
///     let mut answer = String::new();
///     stream.read_to_string(&mut answer).await?;
///     if answer == "HELLO" { Ok(()) } else { Err(std::io::Error::other("not our server")) }
/// }
///
/// let client = Client::builder(move || TcpStream::connect(address)).greeting(greet).start()?;
/// client.connected().await?;
/// let mut stream = client.open().await?;
/// stream.write_all(b"one request").await?;
/// stream.shutdown().await?;
/// let mut answer = String::new();
/// stream.read_to_string(&mut answer).await?;
/// assert_eq!(answer, "ONE REQUEST");
///
/// drop(stream);
/// assert!(client.shutdown().await.iter().all(|reason| reason.is_clean()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    members: Arc<Members>,
    /// Whether the sessions are typed.
    typed: bool,
    /// One task for each session. They end with the last handle.
    keepers: Mutex<JoinSet<()>>,
}

/// Why a [`Client`] could not start, or opens no stream. [`ClientBuilder`] shows each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// Its sessions would be untyped, so they have no ping, and there is no greeting either.
    NoGreeting,
    /// A typed stream was requested from untyped sessions, or the reverse, or the type is reserved
    /// for heartbeats.
    WrongType,
    /// It has been shut down.
    ShutDown,
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoGreeting => "untyped sessions need a greeting to check the server by",
            Self::WrongType => "the type of the stream does not match the sessions",
            Self::ShutDown => "the client has been shut down",
        })
    }
}

impl std::error::Error for ClientError {}

impl From<ClientError> for io::Error {
    fn from(error: ClientError) -> Self {
        let kind = match error {
            ClientError::NoGreeting | ClientError::WrongType => io::ErrorKind::InvalidInput,
            ClientError::ShutDown => io::ErrorKind::BrokenPipe,
        };
        Self::new(kind, error)
    }
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        Self::Io(error.into())
    }
}

impl Client {
    /// Opens a stream on the session that has the fewest; waits while there is no session, and
    /// while all sessions have as many as they may.
    ///
    /// # Errors
    ///
    /// [`ClientError`]: the client has been shut down, or its sessions are typed. It is no error if
    /// no server can be reached, because that may change: put a time limit around the call, and see
    /// [`last_error`](Self::last_error).
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: no stream is open if the future is dropped.
    pub async fn open(&self) -> Result<Stream, ClientError> {
        self.open_any(None).await
    }

    /// Opens a stream of a type, as [`open`](Self::open) does.
    ///
    /// # Errors
    ///
    /// [`ClientError`]: the client has been shut down, or its sessions are not typed, or the type
    /// is that of heartbeats.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: no stream is open if the future is dropped.
    pub async fn open_typed(&self, stream_type: StreamType) -> Result<Stream, ClientError> {
        self.open_any(Some(stream_type)).await
    }

    async fn open_any(&self, stream_type: Option<StreamType>) -> Result<Stream, ClientError> {
        let mut state = self.0.members.watch();
        state.borrow().by_load()?;
        // At once: a program that waits for its first session does not show the mistake.
        if stream_type.is_some() != self.0.typed || stream_type == Some(StreamType::HEARTBEAT) {
            return Err(ClientError::WrongType);
        }
        loop {
            let mut sessions = state.borrow_and_update().by_load()?;
            let mut changed = pin!(state.changed());
            let opened = poll_fn(|cx| {
                for session in &mut sessions {
                    let opened = match stream_type {
                        None => session.poll_open(cx),
                        Some(stream_type) => session.poll_open_typed(cx, stream_type),
                    };
                    match opened {
                        Poll::Ready(Ok(stream)) => return Poll::Ready(Some(stream)),
                        // It opens no more, and its keeper replaces it. There was no stream, so
                        // nothing was sent.
                        Poll::Ready(Err(_)) => {
                            self.0.members.retire(session);
                            return Poll::Ready(None);
                        }
                        Poll::Pending => {}
                    }
                }
                // The sender lives as long as the client.
                changed.as_mut().poll(cx).map(|_| None)
            });
            if let Some(stream) = opened.await {
                return Ok(stream);
            }
        }
    }

    /// Waits until there is a session.
    ///
    /// # Errors
    ///
    /// [`ClientError::ShutDown`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn connected(&self) -> Result<(), ClientError> {
        let mut state = self.0.members.watch();
        while state.borrow_and_update().by_load()?.is_empty() {
            // The sender lives as long as the client.
            let _sent = state.changed().await;
        }
        Ok(())
    }

    /// The sessions that take streams now, the one with the fewest first.
    #[must_use]
    pub fn sessions(&self) -> Vec<Session> {
        self.0.members.watch().borrow().by_load().unwrap_or_default()
    }

    /// Why the latest attempt to connect failed, or the latest session ended; `None` if the latest
    /// attempt succeeded.
    #[must_use]
    pub fn last_error(&self) -> Option<Arc<io::Error>> {
        self.0.members.last_error()
    }

    /// Shuts down: connects no more, opens no more streams, and closes every session as
    /// [`Session::close`] does, which waits for the streams that are open. Returns the causes of
    /// their ends, without those of sessions that had ended before.
    ///
    /// # Cancel safety
    ///
    /// The sessions close even if the future is dropped after its first poll. A second call waits
    /// for no session.
    pub async fn shutdown(&self) -> Vec<CloseReason> {
        let (ready, leaving) = self.0.members.shut_down();
        self.0.keepers.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        let mut closing: Vec<_> = ready
            .into_iter()
            .map(|session| tokio::spawn(async move { session.close().await }))
            .collect();
        closing.extend(
            leaving.into_iter().map(|session| tokio::spawn(async move { session.closed().await })),
        );
        let mut reasons = Vec::with_capacity(closing.len());
        for task in closing {
            // Fails only with its runtime, which ends this task as well.
            reasons.extend(task.await);
        }
        reasons
    }
}
