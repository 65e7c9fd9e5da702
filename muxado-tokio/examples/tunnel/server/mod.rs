//! The server: clients connect to it from outside, agents from the networks of the services.

mod admin;
mod client;
mod directory;
mod framing;
mod http;
mod options;
mod peers;
mod registry;
mod tcp;

use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use muxado_tokio::{Builder, Config, ErrorCode, Session, Stream};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

pub use self::directory::{Agent, Totals};
use self::directory::{Candidate, Directory, Miss, Refusal};
pub use self::options::Options;
use self::peers::Peers;
use self::registry::{Offer, Registry};
use self::tcp::Ports;
use crate::Result;
use crate::protocol::{self, HELLO, HELLO_BYTES, HELLO_LIMIT, Hello, Public, Welcome};
use crate::reader::Reader;
use crate::threads::{self, Threads};
use crate::tls::{self, Identity};

/// Maximum number of connections that authenticate at once.
const MOST_STRANGERS: usize = 256;

/// Maximum number of connections that wait at one port to be accepted.
const MOST_WAITING: u32 = 4096;

/// Threads for sessions. Those that share one delay each other's small messages.
const THREADS_PER_CORE: usize = 4;

/// A server that runs.
pub struct Server {
    pub agents: SocketAddr,
    pub http: SocketAddr,
    pub admin: SocketAddr,
    shared: Arc<Shared>,
}

/// What all connections have in common.
struct Shared {
    threads: Threads,
    tls: TlsAcceptor,
    config: Arc<Config>,
    /// Its SHA-256: the time of a comparison does not depend on the length of the token.
    token: [u8; 32],
    directory: Directory,
    /// Locked while an agent is being admitted, so that nobody closes its ports.
    ports: tokio::sync::Mutex<Ports>,
    registry: Option<Registry>,
    peers: Peers,
    counters: Counters,
    started: Instant,
    strangers: Arc<Semaphore>,
    /// Cancelled when the server stops: nothing new is accepted.
    stop: CancellationToken,
    /// The connections that have to finish before the server may end.
    connections: TaskTracker,
    grace: Duration,
}

/// Counters of outside connections since the start.
#[derive(Debug, Default)]
struct Counters {
    http_requests: AtomicU64,
    http_errors: AtomicU64,
    tcp_connections: AtomicU64,
    tcp_errors: AtomicU64,
    agents_refused: AtomicU64,
}

impl Server {
    /// Binds all addresses, and serves. The options are checked.
    pub async fn start(options: Options, identity: Identity) -> Result<Self> {
        let agents = bind(options.listen)?;
        let http = bind(options.http)?;
        let admin = bind(options.admin)?;
        let registry = match options.registry {
            Some(client) => {
                let address = agents.local_addr()?;
                let own = options.advertise.unwrap_or_else(|| address.to_string());
                Some(Registry::connect(client, own).await?)
            }
            None => None,
        };
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let shared = Arc::new(Shared {
            threads: Threads::start(THREADS_PER_CORE * cores)?,
            tls: tls::acceptor(&identity)?,
            config: Arc::new(protocol::server_config()),
            token: Sha256::digest(&options.token).into(),
            directory: Directory::default(),
            ports: tokio::sync::Mutex::new(Ports::new(options.tcp, options.ports)),
            registry,
            peers: Peers::new(&identity)?,
            counters: Counters::default(),
            started: Instant::now(),
            strangers: Arc::new(Semaphore::new(MOST_STRANGERS)),
            stop: CancellationToken::new(),
            connections: TaskTracker::new(),
            grace: Duration::from_secs(options.grace),
        });
        let [at_agents, at_http, at_admin] =
            [&agents, &http, &admin].map(|listener| listener.local_addr());
        let server =
            Self { agents: at_agents?, http: at_http?, admin: at_admin?, shared: shared.clone() };
        tokio::spawn(accept_agents(agents, shared.clone()));
        tokio::spawn(http::serve(http, shared.clone()));
        tokio::spawn(admin::serve(admin, options.admin_token, shared.clone()));
        shared.clone().connections.spawn(async move {
            if let Some(registry) = &shared.registry {
                registry.run(&shared).await;
            }
        });
        Ok(server)
    }

    pub fn totals(&self) -> Totals {
        self.shared.directory.totals()
    }

    pub fn agents(&self) -> Vec<Arc<Agent>> {
        self.shared.directory.agents()
    }

    /// Accepts nothing more, finishes open connections, closes the sessions of agents. Returns
    /// whether everything was finished.
    pub async fn stop(self) -> bool {
        let Shared { stop, connections, directory, peers, grace, .. } = &*self.shared;
        stop.cancel();
        connections.close();
        let finished = timeout(*grace, connections.wait()).await.is_ok();
        peers.close();
        let agents = directory.agents();
        let ends = agents.iter().map(|agent| {
            let session = agent.session.clone();
            tokio::spawn(async move {
                if !finished {
                    session.abort(ErrorCode::SESSION_CLOSED, "the server stops");
                }
                session.close_with(ErrorCode::NO_ERROR, "the server stops").await
            })
        });
        for end in ends.collect::<Vec<_>>() {
            let _ = end.await;
        }
        finished
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener> {
    Ok(listen(address).map_err(|error| format!("cannot listen at {address}: {error}"))?)
}

/// `TcpListener::bind` lets 128 connections wait. A client beyond them would try again only after a
/// second.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Elsewhere another process could take the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(MOST_WAITING)
}

/// The next connection, `None` when the server stops.
async fn next(listener: &TcpListener, stop: &CancellationToken) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return None,
        };
        match accepted {
            Ok(accepted) => return Some(accepted),
            Err(error) => {
                warn!("cannot accept a connection: {error}");
                // If there are no descriptors left, the error would repeat at once.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn accept_agents(listener: TcpListener, shared: Arc<Shared>) {
    while let Some((tcp, from)) = next(&listener, &shared.stop).await {
        let Ok(stranger) = Arc::clone(&shared.strangers).try_acquire_owned() else {
            debug!("{from}: too many are about to authenticate");
            continue;
        };
        let thread = shared.threads.quietest().clone();
        let shared = Arc::clone(&shared);
        thread.spawn(async move {
            let deadline = tokio::time::Instant::now() + HELLO_LIMIT;
            let met = timeout_at(deadline, meet(tcp, from, &shared)).await;
            drop(stranger);
            match met {
                Ok(Ok(Met::Agent(agent, stream))) => attend(agent, stream, shared).await,
                Ok(Ok(Met::Server(tls))) => peers::serve(*tls, from, shared).await,
                Ok(Err(error)) => warn!("{from}: {error}"),
                Err(_) => warn!("{from}: it did not authenticate in time"),
            }
        });
    }
}

/// Who has connected, and proved it.
enum Met {
    /// It waits for the welcome.
    Agent(Arc<Agent>, Stream),
    Server(Box<TlsStream<Reader<TcpStream>>>),
}

/// TLS, and the hello of an agent. Dropping this ends the connection.
async fn meet(tcp: TcpStream, from: SocketAddr, shared: &Arc<Shared>) -> Result<Met> {
    let tcp = threads::adopt(tcp)?;
    protocol::tune(&tcp)?;
    let (reader, known) = Reader::of_stranger(tcp, HELLO_BYTES);
    let tls = shared.tls.accept(reader).await?;
    if tls.get_ref().1.peer_certificates().is_some() {
        known.store(true, Ordering::Relaxed);
        return Ok(Met::Server(Box::new(tls))); // it has our certificate, and its key
    }
    let builder = Builder::new(tls).config(Arc::clone(&shared.config)).peer_addr(from);
    let session = Stranger(Some(builder.server()));
    let mut stream = session.accept().await?;
    if stream.stream_type() != Some(HELLO) {
        return Err("it said no hello".into());
    }
    let hello: Hello = protocol::receive(&mut stream).await?;
    match shared.admit(hello, &session).await {
        Ok(agent) => {
            known.store(true, Ordering::Relaxed);
            session.known();
            Ok(Met::Agent(agent, stream))
        }
        Err(Refusal { text, for_good }) => {
            shared.counters.agents_refused.fetch_add(1, Ordering::Relaxed);
            protocol::send(&mut stream, &Welcome::Refused { text: text.clone(), for_good }).await?;
            drop(stream);
            session.close().await; // it has to read why
            Err(text.into())
        }
    }
}

/// A session that is aborted when it is dropped before its peer is known.
struct Stranger(Option<Session>);

impl Stranger {
    fn known(mut self) {
        self.0 = None;
    }
}

impl std::ops::Deref for Stranger {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.0.as_ref().expect("it is not known yet")
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            session.abort(ErrorCode::ENHANCE_YOUR_CALM, "you have not authenticated");
        }
    }
}

impl Shared {
    async fn admit(
        self: &Arc<Self>,
        mut hello: Hello,
        session: &Session,
    ) -> std::result::Result<Arc<Agent>, Refusal> {
        let token: [u8; 32] = Sha256::digest(&hello.token).into();
        if !bool::from(token.ct_eq(&self.token)) {
            return Err(Refusal::for_good("wrong token"));
        }
        directory::check(&hello)?;
        if let Some(registry) = &self.registry {
            registry.claim(&hello.services, &hello.name).await?;
        }
        session.set_peer_name(hello.name.as_str());
        let mut ports = self.ports.lock().await;
        let opened = self.open_ports(&mut hello.services, &hello.name, &mut ports).await;
        let admitted = opened.and_then(|any| self.directory.admit(hello, any, session.clone()));
        drop(ports);
        match admitted {
            Ok(_) => self.tell_others(),
            Err(_) => self.match_ports().await,
        }
        admitted
    }

    /// Triggers an update of the registry.
    fn tell_others(&self) {
        if let Some(registry) = &self.registry {
            registry.changed.notify_one();
        }
    }

    /// A stream to a service: of one of these agents, or else through another server.
    async fn open(
        &self,
        public: &Public,
        agents: Vec<Candidate>,
    ) -> std::result::Result<Opened, Miss> {
        let mut miss = match directory::open(agents).await {
            Ok((stream, agent)) => return Ok((stream, Some(agent))),
            Err(miss) => miss,
        };
        let servers = self.registry.as_ref().map(|registry| registry.servers(public));
        for (address, agent) in servers.into_iter().flatten() {
            miss = Miss::Unavailable;
            // If this fails, nothing of the connection was sent to that server.
            match self
                .peers
                .open(&address, &Offer { public: public.clone(), agent, any_port: false })
                .await
            {
                Ok(stream) => return Ok((stream, None)),
                Err(error) => debug!("{public} at {address}: {error}"),
            }
        }
        Err(miss)
    }
}

/// A stream to a service, and the agent if it is connected to this server.
type Opened = (Stream, Option<Arc<Agent>>);

/// Welcomes an agent, and waits for its end.
async fn attend(agent: Arc<Agent>, mut hello: Stream, shared: Arc<Shared>) {
    let welcome = Welcome::Welcome(agent.services.clone());
    if let Err(error) = protocol::send(&mut hello, &welcome).await {
        debug!("agent {:?} has not waited for its welcome: {error}", agent.name);
    }
    drop(hello);
    info!("agent {:?} is there, {} services", agent.name, agent.services.len());
    tokio::select! {
        _ = agent.session.going_away() => (),
        _ = agent.session.closed() => (),
    }
    shared.directory.remove(&agent);
    shared.match_ports().await;
    shared.tell_others();
    let reason = agent.session.closed().await;
    shared.directory.forget(&agent);
    info!("agent {:?} is gone: {reason}", agent.name);
}
