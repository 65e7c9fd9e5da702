//! The agent: keeps a session with a server, and connects the server's streams to local services.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, value_parser};
use muxado_tokio::{Config, ErrorCode, Session, Stream, StreamType, relay};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::Result;
use crate::options::{address, port};
use crate::protocol::{self, Hello, Public, Welcome};
use crate::reader::Reader;
use crate::threads::Threads;
use crate::tls::{self, Fingerprint};

/// How long one attempt to connect may take, to a server or to a service.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("services").args(["http", "tcp"]).required(true).multiple(true))]
pub struct Options {
    /// HOST:PORT of the server. If there are several, they are tried in turn.
    #[arg(long, required = true, value_name = "HOST:PORT", value_parser = address)]
    pub server: Vec<String>,
    /// SHA-256 of the server's certificate; the server prints it when it starts.
    #[arg(long, value_name = "HEX")]
    pub fingerprint: Fingerprint,
    /// The server's token.
    #[arg(long, env = "TUNNEL_TOKEN", hide_env_values = true,
        value_parser = NonEmptyStringValueParser::new())]
    pub token: String,
    /// Agents with the same name have the same services and share the load.
    #[arg(long)]
    pub name: String,
    /// How many connections to the server. Each takes its share of the load, so a transfer on one
    /// does not delay what is on the others. With several servers, they spread over them.
    #[arg(long, default_value_t = 2, value_name = "COUNT", value_parser = value_parser!(u16).range(1..))]
    pub sessions: u16,
    /// Offers a local HTTP service under a host name: app.example=127.0.0.1:3000
    #[arg(long, value_name = "NAME=HOST:PORT", value_parser = http_service)]
    pub http: Vec<Service>,
    /// Offers a local TCP service at a port of the server, 0 for any that it allows:
    /// 2222=127.0.0.1:22. Servers with a common registry all open the port.
    #[arg(long, value_name = "PORT=HOST:PORT", value_parser = tcp_service)]
    pub tcp: Vec<Service>,
}

/// What an agent offers.
#[derive(Debug, Clone)]
pub struct Service {
    pub public: Public,
    /// HOST:PORT of the service, for the agent.
    pub local: String,
}

fn http_service(text: &str) -> std::result::Result<Service, String> {
    let (host, local) = text.split_once('=').ok_or("NAME=HOST:PORT is expected")?;
    Ok(Service { public: Public::Http(host.to_ascii_lowercase()), local: address(local)? })
}

fn tcp_service(text: &str) -> std::result::Result<Service, String> {
    let (public, local) = text.split_once('=').ok_or("PORT=HOST:PORT is expected")?;
    Ok(Service { public: Public::Tcp(port(public)?), local: address(local)? })
}

/// What an agent is at.
#[derive(Debug, Default)]
pub struct Status {
    /// How many sessions there have been.
    pub sessions: u64,
    /// What each open session offers. Servers may have chosen different ports.
    open: BTreeMap<u16, Vec<Public>>,
}

impl Status {
    /// The services that can be reached.
    pub fn services(&self) -> BTreeSet<Public> {
        self.open.values().flatten().cloned().collect()
    }
}

/// Whether any server has accepted the agent. One server may refuse what another accepts, for example a
/// port that another program on its machine uses.
struct Acceptance {
    accepted: AtomicBool,
    /// Sessions that were not refused for good yet, or have servers left to try.
    hopeful: AtomicU16,
}

impl Acceptance {
    /// Another session has no hope; returns whether there is none for any session.
    fn refuse(&self) -> bool {
        let was_last = self.hopeful.fetch_sub(1, Ordering::SeqCst) == 1;
        was_last && !self.accepted.load(Ordering::SeqCst)
    }
}

/// Runs until `stop`, then finishes open connections.
///
/// After a server has accepted it, the agent reconnects after every error. Until then, it ends when each
/// of its sessions has tried all servers, and was refused for good.
pub async fn run(
    options: Options,
    stop: CancellationToken,
    status: watch::Sender<Status>,
) -> Result<()> {
    // For the server, each is an agent of its own with the same name.
    let mut sessions = JoinSet::new();
    let threads = Threads::start(options.sessions.into())?;
    // Agents and their sessions spread over the servers.
    let first = crate::random() as usize;
    let acceptance = Arc::new(Acceptance {
        accepted: AtomicBool::new(false),
        hopeful: AtomicU16::new(options.sessions),
    });
    for number in 0..options.sessions {
        let turn = first.wrapping_add(number.into());
        let (stop, status) = (stop.clone(), status.clone());
        let session =
            keep_session(options.clone(), number, turn, Arc::clone(&acceptance), stop, status);
        sessions.spawn_on(session, threads.quietest());
    }
    while let Some(ended) = sessions.join_next().await {
        ended??;
    }
    Ok(())
}

async fn keep_session(
    options: Options,
    number: u16,
    mut turn: usize,
    acceptance: Arc<Acceptance>,
    stop: CancellationToken,
    status: watch::Sender<Status>,
) -> Result<()> {
    let mut agent = Agent::new(options)?;
    // Of the attempts since the start.
    let (mut failed, mut refusal, mut counted) = (0, None, false);
    let mut waits = backoff();
    while !stop.is_cancelled() {
        let server = agent.servers[turn % agent.servers.len()].clone();
        turn = turn.wrapping_add(1); // it leaves a server that is lost for the next
        let attempt = tokio::select! {
            attempt = timeout(CONNECT_LIMIT, agent.join(&server)) => attempt,
            () = stop.cancelled() => break,
        };
        match attempt.unwrap_or_else(|_| Err(Failure::passing("no answer"))) {
            Ok(session) => {
                acceptance.accepted.store(true, Ordering::SeqCst);
                waits = backoff();
                status.send_modify(|status| {
                    status.sessions += 1;
                    status.open.insert(number, agent.hello.services.clone());
                });
                agent.running.spawn(serve(session.clone(), agent.locals.clone()));
                let why = until_over(&session, &stop).await;
                status.send_modify(|status| drop(status.open.remove(&number)));
                info!("{server}: {why}");
            }
            Err(failure) => {
                warn!("{server}: {}", failure.text);
                failed += 1;
                if failure.for_good {
                    refusal.get_or_insert(failure.text);
                }
                if failed >= agent.servers.len() && refusal.is_some() && !counted {
                    counted = true;
                    if acceptance.refuse() {
                        return Err(refusal.unwrap_or_default().into());
                    }
                }
            }
        }
        let wait = waits.next().expect("it is endless");
        tokio::select! {
            () = tokio::time::sleep(wait) => (),
            () = stop.cancelled() => (),
        }
    }
    agent.running.close();
    agent.running.wait().await;
    Ok(())
}

/// Waits that double from 100 ms to 10 s, each with a random part of up to 100 percent added, so
/// that the agents of a lost server do not all return at once.
fn backoff() -> impl Iterator<Item = Duration> {
    let builder = ExponentialBuilder::default().with_jitter().without_max_times();
    builder
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(10))
        .build()
}

/// Why there is no session with a server.
struct Failure {
    text: String,
    /// Whether another attempt would fail as well.
    for_good: bool,
}

impl Failure {
    fn passing(error: impl ToString) -> Self {
        Self { text: error.to_string(), for_good: false }
    }
}

struct Agent {
    servers: Vec<String>,
    tls: TlsConnector,
    config: Arc<Config>,
    hello: Hello,
    /// The address of each service, in the order of the hello.
    locals: Arc<[String]>,
    running: TaskTracker,
}

impl Agent {
    fn new(options: Options) -> Result<Self> {
        let (services, locals): (Vec<_>, Vec<_>) = options
            .http
            .into_iter()
            .chain(options.tcp)
            .map(|service| (service.public, service.local))
            .unzip();
        let Options { server, fingerprint, token, name, .. } = options;
        Ok(Self {
            servers: server,
            tls: tls::connector(fingerprint, None)?,
            config: Arc::new(protocol::trusting_config()),
            hello: Hello { token, name, instance: crate::random(), services },
            locals: locals.into(),
            running: TaskTracker::new(),
        })
    }

    /// Connects, and introduces itself.
    async fn join(&mut self, server: &str) -> std::result::Result<Session, Failure> {
        let tcp = TcpStream::connect(server).await.map_err(Failure::passing)?;
        protocol::tune(&tcp).map_err(Failure::passing)?;
        let from = tcp.peer_addr().map_err(Failure::passing)?;
        let tcp = Reader::new(tcp);
        let tls = self.tls.connect(tls::server_name(), tcp).await.map_err(|error| Failure {
            for_good: tls::is_wrong_certificate(&error),
            text: error.to_string(),
        })?;
        let builder = muxado_tokio::Builder::new(tls).config(self.config.clone()).peer_addr(from);
        let session = builder.peer_name(server).client();
        match self.introduce(&session).await.map_err(Failure::passing)? {
            Welcome::Welcome(services) if services.len() == self.locals.len() => {
                info!("{server} has let the agent in");
                // The ports stay the same when it has to connect again.
                self.hello.services = services;
                Ok(session)
            }
            Welcome::Welcome(_) => Err(Failure::passing("the server has misunderstood")),
            Welcome::Refused { text, for_good } => Err(Failure { text, for_good }),
        }
    }

    async fn introduce(&self, session: &Session) -> Result<Welcome> {
        let mut stream = session.open_typed(protocol::HELLO).await?;
        protocol::send(&mut stream, &self.hello).await?;
        protocol::receive(&mut stream).await
    }
}

/// Waits until the session ends, or the server goes away; closes it on `stop`.
async fn until_over(session: &Session, stop: &CancellationToken) -> String {
    tokio::select! {
        reason = session.closed() => reason.to_string(),
        Ok(bye) = session.going_away() => {
            // Open connections continue, in parallel with the next session.
            format!("the server leaves: {}", String::from_utf8_lossy(&bye.text))
        }
        () = stop.cancelled() => session.close_with(ErrorCode::NO_ERROR, "the agent leaves").await.to_string(),
    }
}

/// Connects every stream of the server to its service, until the session is over.
async fn serve(session: Session, locals: Arc<[String]>) {
    let connections = TaskTracker::new();
    while let Ok(stream) = session.accept().await {
        let index = stream.stream_type().and_then(|StreamType(kind)| {
            usize::try_from(kind.checked_sub(protocol::FIRST_SERVICE)?).ok()
        });
        match index.and_then(|index| locals.get(index)) {
            Some(local) => drop(connections.spawn(carry(stream, local.clone()))),
            None => stream.reset(protocol::UNREACHABLE),
        }
    }
    connections.close();
    connections.wait().await;
}

async fn carry(stream: Stream, local: String) {
    let connected = timeout(CONNECT_LIMIT, TcpStream::connect(&local)).await;
    match connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
        Ok(tcp) => {
            // Without it a small message would wait for the acknowledgement of the previous one.
            let _ = tcp.set_nodelay(true);
            if let Err(error) = relay(stream, tcp).await {
                tracing::debug!("{local}: {error}");
            }
        }
        Err(error) => {
            warn!("{local}: {error}");
            stream.reset(protocol::UNREACHABLE);
        }
    }
}
