//! The connected agents and their services.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use muxado_tokio::{OpenError, Session, Stream, StreamType};
use tokio::runtime::Handle;

use super::registry::Offer;
use crate::protocol::{FIRST_SERVICE, Hello, MAX_SERVICES, Public};

/// How long to wait for an agent if all of its streams are in use.
const OPEN_LIMIT: Duration = Duration::from_secs(5);

/// An agent that is connected.
pub struct Agent {
    pub name: String,
    instance: u64,
    pub session: Session,
    /// The thread of the session.
    pub runtime: Handle,
    pub services: Vec<Public>,
    pub since: Instant,
    /// Streams that were opened for connections.
    streams: AtomicU64,
    /// Connections that failed.
    pub errors: AtomicU64,
}

/// Why a service cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// No agent has it.
    Unknown,
    /// Those that have it take no more.
    Unavailable,
}

/// Why an agent is refused, for its user.
pub struct Refusal {
    pub text: String,
    /// Whether another attempt would be refused as well.
    pub for_good: bool,
}

impl Refusal {
    pub fn for_good(text: impl Into<String>) -> Self {
        Self { text: text.into(), for_good: true }
    }

    pub fn passing(text: impl Into<String>) -> Self {
        Self { text: text.into(), for_good: false }
    }
}

#[derive(Default)]
pub struct Directory {
    state: Mutex<State>,
    turn: AtomicUsize,
}

#[derive(Default)]
struct State {
    agents: Vec<Arc<Agent>>,
    services: HashMap<Public, Service>,
    /// What agents have done that are gone.
    past: Totals,
}

/// Lives as long as it has agents.
struct Service {
    owner: String,
    agents: Vec<Candidate>,
    /// Whether the server chose its port.
    any_port: bool,
}

/// What agents have done, all together.
#[derive(Debug, Default, Clone, Copy)]
pub struct Totals {
    pub streams: u64,
    pub to_services: u64,
    pub from_services: u64,
    pub errors: u64,
    pub beats_missed: u64,
}

impl Agent {
    pub fn totals(&self) -> Totals {
        let stats = self.session.stats();
        Totals {
            streams: self.streams.load(Ordering::Relaxed),
            to_services: stats.payload_sent,
            from_services: stats.payload_received,
            errors: self.errors.load(Ordering::Relaxed),
            beats_missed: stats.beats_missed,
        }
    }
}

impl Totals {
    fn add(&mut self, agent: &Agent) {
        let Self { streams, to_services, from_services, errors, beats_missed } = agent.totals();
        self.streams += streams;
        self.to_services += to_services;
        self.from_services += from_services;
        self.errors += errors;
        self.beats_missed += beats_missed;
    }
}

impl Directory {
    /// Admits an agent with all its services, or refuses it. It is called at the thread of the session.
    /// Port 0 was replaced by the chosen port.
    pub fn admit(
        &self,
        hello: Hello,
        chosen: Option<u16>,
        session: Session,
    ) -> Result<Arc<Agent>, Refusal> {
        let mut state = self.lock();
        for public in &hello.services {
            let service = state.services.get(public);
            if let Some(service) = service.filter(|service| service.owner != hello.name) {
                return Err(taken(public, &service.owner));
            }
        }
        let Hello { name, instance, services, .. } = hello;
        let (since, [streams, errors]) = (Instant::now(), [(); 2].map(|()| AtomicU64::new(0)));
        let agent = Arc::new(Agent {
            name,
            instance,
            session,
            runtime: Handle::current(),
            services: services.clone(),
            since,
            streams,
            errors,
        });
        let former = state
            .agents
            .iter()
            .find(|other| other.name == agent.name && other.instance == instance)
            .cloned();
        for (kind, public) in (FIRST_SERVICE..).zip(services) {
            let any_port = chosen.is_some_and(|port| public == Public::Tcp(port));
            let service = state.services.entry(public).or_insert_with(|| Service {
                owner: agent.name.clone(),
                agents: Vec::new(),
                any_port,
            });
            service.agents.push((Arc::clone(&agent), StreamType(kind)));
        }
        state.agents.push(Arc::clone(&agent));
        drop(state);
        if let Some(former) = former {
            self.remove(&former);
            former.session.abort(muxado_tokio::ErrorCode::REMOTE_GONE_AWAY, "the agent returned");
        }
        Ok(agent)
    }

    /// The ports of the services here.
    pub fn ports(&self) -> HashSet<u16> {
        let state = self.lock();
        state.services.keys().filter_map(Public::port).collect()
    }

    /// The port that was chosen for the agents of a name.
    pub fn chosen_port(&self, name: &str) -> Option<u16> {
        let state = self.lock();
        let mut services = state.services.iter();
        services
            .find(|(_, service)| service.any_port && service.owner == name)
            .and_then(|(public, _)| public.port())
    }

    /// An agent gets no more connections. Services that only it has are removed.
    pub fn remove(&self, agent: &Arc<Agent>) {
        let mut state = self.lock();
        for service in state.services.values_mut() {
            service.agents.retain(|(other, _)| !Arc::ptr_eq(other, agent));
        }
        state.services.retain(|_, service| !service.agents.is_empty());
    }

    /// Removes an agent whose session is over, but keeps its counters.
    pub fn forget(&self, agent: &Arc<Agent>) {
        let mut state = self.lock();
        state.agents.retain(|other| !Arc::ptr_eq(other, agent));
        state.past.add(agent);
    }

    /// The agents with a service, those with the fewest streams first.
    pub fn agents_with(&self, public: &Public) -> Vec<Candidate> {
        let mut agents = match self.lock().services.get(public) {
            Some(service) => service.agents.clone(),
            None => return Vec::new(),
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % agents.len();
        agents.rotate_left(turn);
        agents.sort_by_key(|(agent, _)| agent.session.stats().open_streams);
        agents
    }

    /// The services here, for other servers.
    pub fn offers(&self) -> Vec<Offer> {
        let state = self.lock();
        let offers = state.services.iter();
        let offer = |(public, service): (&Public, &Service)| Offer {
            public: public.clone(),
            agent: service.owner.clone(),
            any_port: service.any_port,
        };
        offers.map(offer).collect()
    }

    pub fn agents(&self) -> Vec<Arc<Agent>> {
        self.lock().agents.clone()
    }

    /// The counters of all agents, including removed ones.
    pub fn totals(&self) -> Totals {
        let state = self.lock();
        let mut totals = state.past;
        state.agents.iter().for_each(|agent| totals.add(agent));
        totals
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics with it")
    }
}

/// An agent, and the type of the streams to its service.
pub type Candidate = (Arc<Agent>, StreamType);

/// A stream to the first of the agents that takes one.
pub async fn open(agents: Vec<Candidate>) -> Result<(Stream, Arc<Agent>), Miss> {
    if agents.is_empty() {
        return Err(Miss::Unknown);
    }
    for (agent, kind) in agents {
        // Nothing was sent to an agent that is leaving, so the next one can be tried.
        let opened: Result<Result<Stream, OpenError>, _> =
            tokio::time::timeout(OPEN_LIMIT, agent.session.open_typed(kind)).await;
        if let Ok(Ok(stream)) = opened {
            agent.streams.fetch_add(1, Ordering::Relaxed);
            return Ok((stream, agent));
        }
    }
    Err(Miss::Unavailable)
}

/// The refusal of a service that other agents have.
pub fn taken(public: &Public, owner: &str) -> Refusal {
    Refusal::for_good(format!("{public} is taken by the agent {owner:?}"))
}

/// Checks an agent's hello.
pub fn check(hello: &Hello) -> Result<(), Refusal> {
    let valid = |text: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        (1..=253).contains(&text.len()) && text.chars().all(is_plain)
    };
    if !valid(&hello.name) {
        let text = "a name has letters, digits, '-', '.' and '_', at most 253";
        return Err(Refusal::for_good(text));
    }
    if hello.services.is_empty() || hello.services.len() > MAX_SERVICES {
        return Err(Refusal::for_good(format!("an agent has 1 to {MAX_SERVICES} services")));
    }
    for (index, service) in hello.services.iter().enumerate() {
        let lower = |host: &str| valid(host) && !host.chars().any(|c| c.is_ascii_uppercase());
        if matches!(service, Public::Http(host) if !lower(host)) {
            return Err(Refusal::for_good(format!("{service} has no valid host name")));
        }
        if hello.services[..index].contains(service) {
            return Err(Refusal::for_good(format!("{service} is offered twice")));
        }
    }
    Ok(())
}
