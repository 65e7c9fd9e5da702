//! The settings of a client.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use super::keeper;
use super::members::Members;
use super::{Client, ClientError, Inner};
use crate::Config;
use crate::session::Session;

type Greeting =
    dyn Fn(Session) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send>> + Send + Sync;

/// A client that has not started yet: see [`Client::builder`].
///
/// ```
/// use muxado_tokio::{Client, ClientError, Config, StreamType};
/// use std::time::Duration;
/// use tokio::net::TcpStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), muxado_tokio::Error> {
/// // Two typed sessions; the ping checks the server, so no greeting is necessary.
/// let client = Client::builder(|| TcpStream::connect("[::1]:9"))
///     .config(Config::builder().typed(true).build()?)
///     .sessions(2)
///     .time_limit(Duration::from_secs(2))
///     .delays(Duration::from_millis(50), Duration::from_secs(5))
///     .start()?;
/// let stream = client.open_typed(StreamType(7));
/// if tokio::time::timeout(Duration::from_millis(10), stream).await.is_err() {
///     println!("no server yet: {:?}", client.last_error());
/// }
/// assert_eq!(client.open().await.unwrap_err(), ClientError::WrongType);
/// client.shutdown().await;
/// assert_eq!(client.open_typed(StreamType(7)).await.unwrap_err(), ClientError::ShutDown);
///
/// let unchecked = Client::builder(|| TcpStream::connect("[::1]:9")).start();
/// assert_eq!(unchecked.unwrap_err(), ClientError::NoGreeting);
/// # Ok(())
/// # }
/// ```
#[must_use = "a client starts with `start`"]
#[derive(Debug)]
pub struct ClientBuilder<C> {
    connect: C,
    settings: Settings,
    sessions: usize,
}

pub(super) struct Settings {
    pub(super) config: Arc<Config>,
    pub(super) greeting: Option<Box<Greeting>>,
    pub(super) time_limit: Duration,
    pub(super) shortest: Duration,
    pub(super) longest: Duration,
}

impl Settings {
    /// How long to wait before each attempt.
    pub(super) fn delays(&self) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(self.shortest)
            .with_max_delay(self.longest)
            .with_factor(2.0)
            .with_jitter()
            .without_max_times()
            .build()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("time_limit", &self.time_limit)
            .field("shortest", &self.shortest)
            .field("longest", &self.longest)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client that gets its transports from `connect`, which is called for each session. This
    /// side is the client of each session.
    pub fn builder<C, F, T>(connect: C) -> ClientBuilder<C>
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<T>> + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let settings = Settings {
            config: Arc::new(Config::default()),
            greeting: None,
            time_limit: Duration::from_secs(10),
            shortest: Duration::from_millis(100),
            longest: Duration::from_secs(30),
        };
        ClientBuilder { connect, settings, sessions: 1 }
    }
}

impl<C> ClientBuilder<C> {
    /// The settings of each session. Default those of [`Config::default`]. With
    /// [`heartbeat`](crate::ConfigBuilder::heartbeat) in typed sessions, or
    /// [`idle_timeout`](crate::ConfigBuilder::idle_timeout), the client notices a vanished server.
    pub fn config(mut self, config: impl Into<Arc<Config>>) -> Self {
        self.settings.config = config.into();
        self
    }

    /// How many sessions to keep, at least one. Default one.
    pub const fn sessions(mut self, count: usize) -> Self {
        self.sessions = if count == 0 { 1 } else { count };
        self
    }

    /// Checks a new session before it is used: the session is dropped if the future fails. In typed
    /// sessions this runs after the ping; untyped sessions have no other check, so they need it. It
    /// can also authenticate.
    ///
    /// If the greeting keeps a handle, for instance in a task that accepts the server's streams,
    /// the session stays open until the server or [`Client::shutdown`] closes it.
    pub fn greeting<G, F>(mut self, greeting: G) -> Self
    where
        G: Fn(Session) -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        self.settings.greeting = Some(Box::new(move |session| Box::pin(greeting(session))));
        self
    }

    /// How long an attempt may take, from `connect` to the end of the check. Default 10 s.
    pub const fn time_limit(mut self, limit: Duration) -> Self {
        self.settings.time_limit = limit;
        self
    }

    /// The shortest and the longest wait before an attempt after a failure. The wait doubles with
    /// each failure, and a random time of up to the same length is added. After a session that has
    /// lasted for `longest`, waits start again with `shortest`. Default 100 ms and 30 s.
    pub const fn delays(mut self, shortest: Duration, longest: Duration) -> Self {
        self.settings.shortest = shortest;
        self.settings.longest = longest;
        self
    }

    /// Starts to connect in its own tasks, and returns at once.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoGreeting`]: the sessions are untyped and there is no greeting.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime with time enabled.
    pub fn start<F, T>(self) -> Result<Client, ClientError>
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<T>> + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if self.settings.greeting.is_none() && !self.settings.config.typed() {
            return Err(ClientError::NoGreeting);
        }
        let (members, typed) = (Arc::new(Members::new()), self.settings.config.typed());
        let (connect, settings) = (Arc::new(self.connect), Arc::new(self.settings));
        let mut keepers = JoinSet::new();
        for _ in 0..self.sessions {
            keepers.spawn(keeper::keep(members.clone(), connect.clone(), settings.clone()));
        }
        Ok(Client(Arc::new(Inner { members, typed, keepers: Mutex::new(keepers) })))
    }
}
