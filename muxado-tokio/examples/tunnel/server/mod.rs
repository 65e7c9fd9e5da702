//! The server: people connect to it from outside, agents from wherever the services are.

mod directory;
mod gate;
mod http;
mod tcp;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use clap::Args;
use muxado_tokio::{Builder, Config, ErrorCode, Session};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use self::directory::{Admission, Directory, Miss, Refusal};
pub use self::directory::{Agent, Totals};
use self::gate::Gate;
use crate::Result;
use crate::protocol::{self, HELLO, HELLO_BYTES, HELLO_LIMIT, Hello, Public, Welcome};
use crate::tls::{self, Identity};

/// Connections that may be about to authenticate at once.
const MOST_STRANGERS: usize = 256;

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Where agents connect.
    #[arg(long, default_value = "0.0.0.0:7000", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Where HTTP requests from outside arrive.
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub http: SocketAddr,
    /// The address of the ports of TCP services.
    #[arg(long, default_value = "0.0.0.0", value_name = "IP")]
    pub tcp: IpAddr,
    /// The ports that agents may have.
    #[arg(long, default_value = "1024-65535", value_name = "FIRST-LAST", value_parser = ports)]
    pub ports: RangeInclusive<u16>,
    /// What an agent has to know.
    #[arg(long, env = "TUNNEL_TOKEN", hide_env_values = true)]
    pub token: String,
    /// The certificate, PEM. If neither it nor the key is there, both are made.
    #[arg(long, default_value = "tunnel-cert.pem", value_name = "FILE")]
    pub certificate: PathBuf,
    /// Its key, PEM.
    #[arg(long, default_value = "tunnel-key.pem", value_name = "FILE")]
    pub key: PathBuf,
    /// How many seconds what runs may take to finish when the server stops.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    pub grace: u64,
}

impl Options {
    /// A server for this machine alone, at any free ports.
    pub fn local(any: SocketAddr, token: String) -> Self {
        let (certificate, key) = (PathBuf::new(), PathBuf::new());
        Self {
            listen: any,
            http: any,
            tcp: any.ip(),
            ports: 1..=65535,
            token,
            certificate,
            key,
            grace: 30,
        }
    }
}

fn ports(text: &str) -> std::result::Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').ok_or("FIRST-LAST is expected")?;
    let port = |text: &str| text.parse().map_err(|_| format!("{text} is no port"));
    Ok(port(first)?..=port(last)?)
}

/// A server that runs.
pub struct Server {
    pub agents: SocketAddr,
    pub http: SocketAddr,
    shared: Arc<Shared>,
}

/// What all connections have in common.
struct Shared {
    tls: TlsAcceptor,
    config: Arc<Config>,
    /// Its SHA-256: comparing takes the same time whatever the length of what is compared.
    token: [u8; 32],
    directory: Directory,
    counters: Counters,
    strangers: Arc<Semaphore>,
    /// Cancelled when the server stops: nothing new is accepted.
    stop: CancellationToken,
    /// What has to finish before the server may end.
    connections: TaskTracker,
    grace: Duration,
}

/// What happened outside, since the start.
#[derive(Debug, Default)]
struct Counters {
    http_requests: AtomicU64,
    http_errors: AtomicU64,
    tcp_connections: AtomicU64,
    tcp_errors: AtomicU64,
    agents_refused: AtomicU64,
}

impl Server {
    /// Binds all addresses, and serves.
    pub async fn start(options: Options, identity: Identity) -> Result<Self> {
        if options.token.is_empty() {
            return Err("the token is empty: anybody could be an agent".into());
        }
        let agents = bind(options.listen).await?;
        let http = bind(options.http).await?;
        let shared = Arc::new(Shared {
            tls: tls::acceptor(&identity)?,
            config: Arc::new(protocol::server_config()),
            token: Sha256::digest(&options.token).into(),
            directory: Directory::new(options.tcp, options.ports),
            counters: Counters::default(),
            strangers: Arc::new(Semaphore::new(MOST_STRANGERS)),
            stop: CancellationToken::new(),
            connections: TaskTracker::new(),
            grace: Duration::from_secs(options.grace),
        });
        let addresses = (agents.local_addr()?, http.local_addr()?);
        tokio::spawn(accept_agents(agents, Arc::clone(&shared)));
        tokio::spawn(http::serve(http, Arc::clone(&shared)));
        Ok(Self { agents: addresses.0, http: addresses.1, shared })
    }

    pub fn totals(&self) -> Totals {
        self.shared.directory.totals()
    }

    pub fn agents(&self) -> Vec<Arc<Agent>> {
        self.shared.directory.agents()
    }

    /// Accepts nothing more, finishes what runs, takes leave of the agents. Says whether everything
    /// could be finished.
    pub async fn stop(self) -> bool {
        let Shared { stop, connections, directory, grace, .. } = &*self.shared;
        stop.cancel();
        connections.close();
        let finished = timeout(*grace, connections.wait()).await.is_ok();
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

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    Ok(bound.map_err(|error| format!("cannot listen at {address}: {error}"))?)
}

/// After an error of accepting, which would be back at once when there are no descriptors left.
async fn pause(error: io::Error) {
    warn!("cannot accept a connection: {error}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn accept_agents(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return,
        };
        match accepted {
            Ok((tcp, from)) => {
                let Ok(stranger) = Arc::clone(&shared.strangers).try_acquire_owned() else {
                    debug!("{from}: too many are about to authenticate");
                    continue;
                };
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let deadline = tokio::time::Instant::now() + HELLO_LIMIT;
                    let met = timeout_at(deadline, meet(tcp, from, &shared)).await;
                    drop(stranger);
                    match met {
                        Ok(Ok(admission)) => attend(admission, shared).await,
                        Ok(Err(error)) => warn!("{from}: {error}"),
                        Err(_) => warn!("{from}: it did not authenticate in time"),
                    }
                });
            }
            Err(error) => pause(error).await,
        }
    }
}

/// TLS, and the hello of an agent. Dropping this ends the connection.
async fn meet(tcp: TcpStream, from: SocketAddr, shared: &Shared) -> Result<Admission> {
    muxado_tokio::tcp::tune(&tcp)?;
    let (gate, opener) = Gate::new(shared.tls.accept(tcp).await?, HELLO_BYTES);
    let builder = Builder::new(gate).config(Arc::clone(&shared.config)).peer_addr(from);
    let session = Stranger(Some(builder.server()));
    let mut stream = session.accept().await?;
    if stream.stream_type() != Some(HELLO) {
        return Err("it said no hello".into());
    }
    let hello: Hello = protocol::receive(&mut stream).await?;
    match shared.admit(hello, &session) {
        Ok(admission) => {
            opener.open();
            protocol::send(&mut stream, &Welcome::Welcome(admission.agent.services.clone()))
                .await?;
            session.known();
            Ok(admission)
        }
        Err(Refusal { text, for_good }) => {
            shared.counters.agents_refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
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
    fn admit(&self, hello: Hello, session: &Session) -> std::result::Result<Admission, Refusal> {
        let token: [u8; 32] = Sha256::digest(&hello.token).into();
        if !bool::from(token.ct_eq(&self.token)) {
            return Err(Refusal::for_good("wrong token"));
        }
        session.set_peer_name(hello.name.as_str());
        self.directory.admit(hello, session.clone())
    }

    /// A stream to a service.
    async fn open(
        &self,
        public: &Public,
    ) -> std::result::Result<(muxado_tokio::Stream, Option<Arc<Agent>>), Miss> {
        let (stream, agent) = self.directory.open(public).await?;
        Ok((stream, Some(agent)))
    }
}

/// Serves an agent's ports, and waits for its end.
async fn attend(Admission { agent, ports }: Admission, shared: Arc<Shared>) {
    info!("agent {:?} is there, {} services", agent.name, agent.services.len());
    for (port, listener, gone) in ports {
        match TcpListener::from_std(listener) {
            Ok(listener) => {
                tokio::spawn(tcp::serve(listener, port, gone, Arc::clone(&shared)));
            }
            Err(error) => warn!("port {port}: {error}"),
        }
    }
    tokio::select! {
        _ = agent.session.going_away() => (),
        _ = agent.session.closed() => (),
    }
    shared.directory.remove(&agent);
    let reason = agent.session.closed().await;
    shared.directory.forget(&agent);
    info!("agent {:?} is gone: {reason}", agent.name);
}
