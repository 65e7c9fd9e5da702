//! A registry in Redis of which server has which agent, for servers that share agents.
//!
//! The registry only says which server to ask. That server has to authenticate, and to have the
//! service itself. So an attacker who can write to the registry can make services unreachable, and
//! servers listen at ports that lead nowhere, but cannot misdirect a request or a connection.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncTypedCommands as _, RedisResult};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tracing::{info, warn};

use super::Shared;
use super::directory::{self, Refusal};
use crate::Result;
use crate::protocol::Public;

/// The interval of queries to the registry.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long a server counts as alive after its last update.
const SERVER_LIFE: u64 = 3_000;

/// How long a name or a port stays reserved for its agents when all of them are gone, in
/// milliseconds.
const CLAIM_LIFE: u64 = 10_000;

/// How long the registry may take to answer.
const LIMIT: Duration = Duration::from_secs(2);

/// The set of the servers' addresses.
const SERVERS: &str = "tunnel:servers";

/// A service of some server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub public: Public,
    /// The agents' name.
    pub agent: String,
    /// Whether the server chose the port. Only it has to know.
    #[serde(skip)]
    pub any_port: bool,
}

/// The services of the other servers: addresses, and names of agents.
type View = HashMap<Public, Vec<(String, String)>>;

pub struct Registry {
    connection: Mutex<ConnectionManager>,
    /// The address at which other servers reach this one.
    own: String,
    view: RwLock<View>,
    /// Something has changed here.
    pub changed: Notify,
}

impl Registry {
    pub async fn connect(client: redis::Client, own: String) -> Result<Self> {
        let settings = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(LIMIT))
            .set_response_timeout(Some(LIMIT));
        let connection = client.get_connection_manager_with_config(settings).await;
        let connection = connection.map_err(|error| format!("the registry: {error}"))?;
        let (view, changed) = (RwLock::default(), Notify::new());
        Ok(Self { connection: Mutex::new(connection), own, view, changed })
    }

    fn connection(&self) -> ConnectionManager {
        self.connection.lock().expect("nothing panics with it").clone()
    }

    /// Reserves the host names and ports of an agent at all servers. Port 0 is chosen later.
    pub async fn claim(
        &self,
        services: &[Public],
        agent: &str,
    ) -> std::result::Result<(), Refusal> {
        for service in services.iter().filter(|service| **service != Public::Tcp(0)) {
            let owner = self.first(&claim(service), agent).await?;
            if owner != agent {
                return Err(directory::taken(service, &owner));
            }
        }
        Ok(())
    }

    /// The port for port 0 of the agents of a name: `port`, unless a server has chosen another.
    pub async fn choose_port(&self, port: u16, agent: &str) -> std::result::Result<u16, Refusal> {
        let common = self.first(&chosen(agent), &port.to_string()).await?;
        Ok(common.parse().unwrap_or(port))
    }

    /// The value of a key; it becomes `value` if there was none. Without an answer two agents could
    /// have the same name at two servers.
    async fn first(&self, key: &str, value: &str) -> std::result::Result<String, Refusal> {
        let mut connection = self.connection();
        let answer = async {
            loop {
                let mut set = redis::cmd("SET");
                set.arg(key).arg(value).arg("NX").arg("PX").arg(CLAIM_LIFE);
                let _taken_or_not: Option<String> = set.query_async(&mut connection).await?;
                // `None` if it expired in between.
                if let Some(first) = connection.get(key).await? {
                    return RedisResult::Ok(first);
                }
            }
        };
        let failed = |error| Refusal::passing(format!("the registry does not answer: {error}"));
        answer.await.map_err(failed)
    }

    /// The servers that claim to have a service, and the name of its agents.
    pub fn servers(&self, public: &Public) -> Vec<(String, String)> {
        self.view.read().expect("nothing panics with it").get(public).cloned().unwrap_or_default()
    }

    /// The ports that other servers have: a server that has it, and the name of its agents.
    pub fn ports(&self) -> BTreeMap<u16, (String, String)> {
        let view = self.view.read().expect("nothing panics with it");
        let ports = view
            .iter()
            .filter_map(|(public, servers)| Some((public.port()?, servers.first().cloned()?)));
        ports.collect()
    }

    /// Publishes the services of this server, and reads those of the others, until the server
    /// stops.
    pub async fn run(&self, shared: &Arc<Shared>) {
        let mut works = true;
        loop {
            match self.exchange(&shared.directory.offers()).await {
                Ok(view) => {
                    *self.view.write().expect("nothing panics with it") = view;
                    shared.match_ports().await;
                    if !std::mem::replace(&mut works, true) {
                        info!("the registry answers again");
                    }
                }
                // Services here continue, and the last known services of other servers are still
                // used.
                Err(error) => {
                    if std::mem::replace(&mut works, false) {
                        warn!("the registry does not answer: {error}");
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => (),
                () = self.changed.notified() => (),
                () = shared.stop.cancelled() => break,
            }
        }
        let mut leave = redis::pipe();
        leave.del(server(&self.own)).ignore().srem(SERVERS, &self.own).ignore();
        let left: RedisResult<()> = leave.query_async(&mut self.connection()).await;
        if let Err(error) = left {
            warn!("the registry does not answer: {error}");
        }
    }

    async fn exchange(&self, offers: &[Offer]) -> Result<View> {
        let mut connection = self.connection();
        let mut tell = redis::pipe();
        tell.sadd(SERVERS, &self.own).ignore();
        let own = serde_json::to_string(offers)?;
        tell.cmd("SET").arg(server(&self.own)).arg(own).arg("PX").arg(SERVER_LIFE).ignore();
        let mut keep = |key: String, value: &str| {
            tell.cmd("SET").arg(&key).arg(value).arg("NX").arg("PX").arg(CLAIM_LIFE).ignore();
            tell.cmd("PEXPIRE").arg(&key).arg(CLAIM_LIFE).ignore();
        };
        for Offer { public, agent, any_port } in offers {
            keep(claim(public), agent);
            if let Some(port) = public.port().filter(|_| *any_port) {
                keep(chosen(agent), &port.to_string());
            }
        }
        let () = tell.query_async(&mut connection).await?;

        let servers: Vec<String> = connection.smembers(SERVERS).await?.into_iter().collect();
        let mut view = View::new();
        for address in servers.into_iter().filter(|address| *address != self.own) {
            match connection.get(server(&address)).await? {
                Some(offers) => {
                    for Offer { public, agent, .. } in serde_json::from_str::<Vec<Offer>>(&offers)?
                    {
                        view.entry(public).or_default().push((address.clone(), agent));
                    }
                }
                None => drop(connection.srem(SERVERS, &address).await?), // it is gone
            }
        }
        Ok(view)
    }
}

/// The key of a server's services in the registry.
fn server(address: &str) -> String {
    format!("tunnel:server:{address}")
}

/// The key of the name of the agents that own a service.
fn claim(public: &Public) -> String {
    format!("tunnel:claim:{public}")
}

/// The key of the port that was chosen for port 0 of the agents of a name.
fn chosen(agent: &str) -> String {
    format!("tunnel:port:{agent}")
}
