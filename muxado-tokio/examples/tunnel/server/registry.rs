//! A registry in Redis of which server has which agent, for servers that share agents.
//!
//! The registry only says which server to ask. That server has to authenticate, and to have the
//! service itself. So an attacker who can write to the registry can make services unreachable, but
//! cannot misdirect a request.

use std::collections::HashMap;
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncTypedCommands as _, RedisResult};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::directory::{Directory, Refusal};
use crate::Result;
use crate::protocol::Public;

/// The interval of queries to the registry.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long a server counts as alive after its last update.
const SERVER_LIFE: u64 = 3_000;

/// How long a name stays reserved for its agents when all of them are gone, in milliseconds.
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
    pub async fn connect(url: &str, own: String) -> Result<Self> {
        let settings = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(LIMIT))
            .set_response_timeout(Some(LIMIT));
        let client = redis::Client::open(url).map_err(|error| format!("the registry: {error}"))?;
        let connection = client.get_connection_manager_with_config(settings).await;
        let connection = connection.map_err(|error| format!("the registry: {error}"))?;
        let (view, changed) = (RwLock::default(), Notify::new());
        Ok(Self { connection: Mutex::new(connection), own, view, changed })
    }

    fn connection(&self) -> ConnectionManager {
        self.connection.lock().expect("nothing panics with it").clone()
    }

    /// Reserves the host names of an agent on all servers. TCP ports belong to each server.
    pub async fn claim(
        &self,
        services: &[Public],
        agent: &str,
    ) -> std::result::Result<(), Refusal> {
        let hosts = services.iter().filter(|service| matches!(service, Public::Http(_)));
        for host in hosts {
            // Without an answer, two agents could have the same name on two servers.
            let owner = self.owner(host, agent).await.map_err(|error| Refusal {
                text: format!("the registry does not answer: {error}"),
                for_good: false,
            })?;
            if owner != agent {
                return Err(Refusal::for_good(format!("{host} is taken by the agent {owner:?}")));
            }
        }
        Ok(())
    }

    /// The owner of a service; it becomes `agent` if there was none.
    async fn owner(&self, public: &Public, agent: &str) -> RedisResult<String> {
        let (key, mut connection) = (claim(public), self.connection());
        loop {
            let mut set = redis::cmd("SET");
            set.arg(&key).arg(agent).arg("NX").arg("PX").arg(CLAIM_LIFE);
            let _taken_or_not: Option<String> = set.query_async(&mut connection).await?;
            // `None` if it expired in between.
            if let Some(owner) = connection.get(&key).await? {
                return Ok(owner);
            }
        }
    }

    /// The servers that claim to have a service, and the name of its agents.
    pub fn servers(&self, public: &Public) -> Vec<(String, String)> {
        self.view.read().expect("nothing panics with it").get(public).cloned().unwrap_or_default()
    }

    /// Publishes the services of this server, and reads those of the others, until `stop`.
    pub async fn run(&self, directory: &Directory, stop: &CancellationToken) {
        let mut works = true;
        loop {
            match self.exchange(&directory.offers()).await {
                Ok(view) => {
                    *self.view.write().expect("nothing panics with it") = view;
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
                () = stop.cancelled() => break,
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
        for Offer { public, agent } in offers {
            if matches!(public, Public::Http(_)) {
                let set = tell.cmd("SET").arg(claim(public)).arg(agent);
                set.arg("NX").arg("PX").arg(CLAIM_LIFE).ignore();
                tell.cmd("PEXPIRE").arg(claim(public)).arg(CLAIM_LIFE).ignore();
            }
        }
        let () = tell.query_async(&mut connection).await?;

        let servers: Vec<String> = connection.smembers(SERVERS).await?.into_iter().collect();
        let mut view = View::new();
        for address in servers.into_iter().filter(|address| *address != self.own) {
            match connection.get(server(&address)).await? {
                Some(offers) => {
                    for Offer { public, agent } in serde_json::from_str::<Vec<Offer>>(&offers)? {
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
