//! Connections to the ports of TCP services: each becomes a stream.

use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use muxado_tokio::relay;
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use super::Shared;
use super::directory::{Candidate, Refusal};
use crate::protocol::Public;
use crate::threads;

/// How many ports of other servers' agents may be open here. The registry is not trusted: it must
/// not be able to use up the descriptors of the server.
const MOST_FOREIGN: usize = 1024;

/// Attempts to find a port that no agent has at any server.
const ATTEMPTS: usize = 16;

/// Most of what a client has said already that goes with the announcement of its stream.
const FIRST_BYTES: usize = 4096;

/// The ports at which this server listens.
pub struct Ports {
    ip: IpAddr,
    allowed: RangeInclusive<u16>,
    open: HashMap<u16, JoinHandle<()>>,
    /// Ports of other servers' agents that cannot be opened here. The log says so, once for each.
    failed: HashSet<u16>,
    /// Where it listens: the threads of the sessions may be busy with transfers.
    runtime: Handle,
}

impl Ports {
    pub fn new(ip: IpAddr, allowed: RangeInclusive<u16>) -> Self {
        let (open, failed) = (HashMap::new(), HashSet::new());
        Self { ip, allowed, open, failed, runtime: Handle::current() }
    }

    /// Listens at a port, 0 for any free one of those allowed, unless it does so already. Returns the
    /// port.
    fn open(&mut self, port: u16, shared: &Arc<Shared>) -> Result<u16, Refusal> {
        if self.open.contains_key(&port) {
            return Ok(port);
        }
        let _listens = self.runtime.enter();
        let (port, listener) = match port {
            0 => self.bind_any()?,
            _ if !self.allowed.contains(&port) => {
                let text = format!("port {port} is not allowed for agents");
                return Err(Refusal::for_good(text));
            }
            _ => self.bind(port).map_err(|error| {
                let taken = error.kind() == ErrorKind::AddrInUse;
                let text = if taken { format!("port {port} is taken") } else { error.to_string() };
                Refusal::for_good(text)
            })?,
        };
        self.open.insert(port, tokio::spawn(serve(listener, port, Arc::clone(shared))));
        Ok(port)
    }

    fn bind(&self, port: u16) -> io::Result<(u16, TcpListener)> {
        let listener = super::listen((self.ip, port).into())?;
        Ok((listener.local_addr()?.port(), listener))
    }

    /// The port that the system chooses, if it is allowed; or else the next free one after an
    /// arbitrary port that is.
    fn bind_any(&self) -> Result<(u16, TcpListener), Refusal> {
        let failed = |error: io::Error| Refusal::for_good(error.to_string());
        let chosen = self.bind(0).map_err(failed)?;
        if self.allowed.contains(&chosen.0) {
            return Ok(chosen);
        }
        let count = self.allowed.len();
        let start = crate::random() as usize % count;
        for port in self.allowed.clone().cycle().skip(start).take(count) {
            match self.bind(port) {
                Ok(bound) => return Ok(bound),
                Err(error) if error.kind() == ErrorKind::AddrInUse => (),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => (),
                Err(error) => return Err(failed(error)),
            }
        }
        let (first, last) = (self.allowed.start(), self.allowed.end());
        Err(Refusal::passing(format!("no port from {first} to {last} is free")))
    }

    /// Closes ports that nobody needs; they are free when it returns.
    async fn close_unless(&mut self, needed: impl Fn(u16) -> bool) {
        self.failed.retain(|port| needed(*port));
        let unneeded: Vec<_> = self.open.keys().copied().filter(|port| !needed(*port)).collect();
        for listener in unneeded.iter().filter_map(|port| self.open.remove(port)) {
            listener.abort();
            let _ = listener.await; // it was aborted
        }
    }
}

impl Shared {
    /// Opens the ports of an agent's services, and replaces port 0, which is returned, by the one
    /// that was chosen. Whoever holds `ports` keeps others from closing them again.
    pub async fn open_ports(
        self: &Arc<Self>,
        services: &mut [Public],
        agent: &str,
        ports: &mut Ports,
    ) -> Result<Option<u16>, Refusal> {
        let mut chosen = None;
        for service in services {
            match service {
                Public::Http(_) => (),
                Public::Tcp(0) => {
                    let port = self.choose_port(agent, ports).await?;
                    *service = Public::Tcp(port);
                    chosen = Some(port);
                }
                Public::Tcp(port) => drop(ports.open(*port, self)?),
            }
        }
        Ok(chosen)
    }

    /// One port for all agents of a name, at all servers if possible.
    async fn choose_port(self: &Arc<Self>, agent: &str, ports: &mut Ports) -> Result<u16, Refusal> {
        if let Some(port) = self.directory.chosen_port(agent) {
            return Ok(port);
        }
        let Some(registry) = &self.registry else { return ports.open(0, self) };
        for _ in 0..ATTEMPTS {
            let port = ports.open(0, self)?;
            match registry.claim(&[Public::Tcp(port)], agent).await {
                Ok(()) => {
                    let common = registry.choose_port(port, agent).await?;
                    return Ok(ports.open(common, self).unwrap_or(port));
                }
                Err(refusal) if refusal.for_good => (), // an agent of another server has it
                Err(refusal) => return Err(refusal),
            }
        }
        Err(Refusal::passing("no free port was found"))
    }

    /// Listens at the ports of the agents here and of the agents that, by the registry, are at other
    /// servers, and at no others.
    pub async fn match_ports(self: &Arc<Self>) {
        let mut ports = self.ports.lock().await;
        let ports = &mut *ports;
        let here = self.directory.ports();
        let elsewhere = self.registry.as_ref().map(|registry| registry.ports()).unwrap_or_default();
        ports.close_unless(|port| here.contains(&port) || elsewhere.contains_key(&port)).await;
        let room = (here.len() + MOST_FOREIGN).saturating_sub(ports.open.len());
        let missing: Vec<_> =
            elsewhere.iter().filter(|(port, _)| !ports.open.contains_key(port)).collect();
        for (index, (port, (server, agent))) in missing.into_iter().enumerate() {
            let opened = if index < room {
                ports.open(*port, self)
            } else {
                Err(Refusal::passing("too many ports are open"))
            };
            match opened {
                Ok(_) => {
                    info!("port {port} leads to the agent {agent:?} at {server}");
                    ports.failed.remove(port);
                }
                Err(Refusal { text, .. }) if ports.failed.insert(*port) => warn!(
                    "tcp port {port} of the agent {agent:?} at {server} is closed here: {text}"
                ),
                Err(_) => (),
            }
        }
    }
}

/// Accepts connections until the server stops.
async fn serve(listener: TcpListener, port: u16, shared: Arc<Shared>) {
    let public = Public::Tcp(port);
    while let Some((tcp, from)) = super::next(&listener, &shared.stop).await {
        let agents = shared.directory.agents_with(&public);
        // At the thread of the session that will carry it, no byte goes from thread to thread.
        let runtime =
            agents.first().map_or_else(Handle::current, |(agent, _)| agent.runtime.clone());
        let connection = connection(tcp, from, public.clone(), agents, Arc::clone(&shared));
        shared.connections.spawn_on(connection, &runtime);
    }
}

async fn connection(
    tcp: TcpStream,
    from: SocketAddr,
    public: Public,
    agents: Vec<Candidate>,
    shared: Arc<Shared>,
) {
    shared.counters.tcp_connections.fetch_add(1, Ordering::Relaxed);
    let tcp = match threads::adopt(tcp) {
        Ok(tcp) => tcp,
        Err(error) => {
            warn!("{public}, {from}: closed, the thread of the session cannot take it: {error}");
            shared.counters.tcp_errors.fetch_add(1, Ordering::Relaxed);
            return;
        }
    };
    // A small message must not wait for the acknowledgement of the previous one.
    let _ = tcp.set_nodelay(true);
    let first = match arrived(&tcp) {
        Ok(first) => first,
        Err(error) => {
            debug!("{public}, {from}: {error}");
            shared.counters.tcp_errors.fetch_add(1, Ordering::Relaxed);
            let _ = tcp.set_zero_linger();
            return;
        }
    };
    match shared.open(&public, agents).await {
        Ok((mut stream, agent)) => {
            let _ = stream.write_all(&first).await; // if it fails, so does the relay
            // An error on one side resets the other.
            if let Err(error) = relay(stream, tcp).await {
                debug!("{public}, {from}: {error}");
                if let Some(agent) = agent {
                    agent.errors.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Err(miss) => {
            debug!("{public}, {from}: {miss:?}");
            shared.counters.tcp_errors.fetch_add(1, Ordering::Relaxed);
            // A reset, because an end would look like a service that sends nothing.
            let _ = tcp.set_zero_linger();
        }
    }
}

/// What the client has said already. Without it, the stream would be announced before the runtime has
/// looked for input, and the first bytes would follow in a message of their own.
fn arrived(tcp: &TcpStream) -> io::Result<Vec<u8>> {
    let mut first = [0; FIRST_BYTES];
    match (&*SockRef::from(tcp)).read(&mut first) {
        Ok(count) => Ok(first[..count].to_vec()), // the relay will read the end again
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}
