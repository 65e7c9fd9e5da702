//! An echo application on every variant of our implementation: the other end for the conformance
//! suite, and for anybody who wants to try a peer.
//!
//! It accepts streams, sends every byte back, and half-closes after the peer's
//! half-close. `muxado-echo` is the program for both adapters; the bare core
//! has its event loop example for this, which [`Example`] starts.

mod example;
mod smol;
mod tokio;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

pub use example::Example;
use muxado_proto::{Config, Heartbeat, Role};

/// What a session runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Runtime {
    /// `muxado-tokio`.
    Tokio,
    /// `muxado-smol`.
    Smol,
}

/// An endpoint that echoes.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// What it runs on.
    pub runtime: Runtime,
    /// Its role in its sessions.
    pub role: Role,
    /// The settings of its sessions.
    pub config: Arc<Config>,
}

impl Endpoint {
    /// An endpoint with default settings, which sends heartbeats if streams have types.
    pub fn new(runtime: Runtime, role: Role, typed: bool) -> Self {
        // A session may wait long until the suite accepts its connection.
        let patient = || Heartbeat::default().with_tolerance(Duration::from_secs(600));
        let heartbeat = typed.then(patient);
        let config = Config::builder().typed(typed).heartbeat(heartbeat).build();
        let config = config.expect("the defaults are valid");
        Self { runtime, role, config: Arc::new(config) }
    }

    /// Serves the sessions that come, forever.
    ///
    /// # Errors
    ///
    /// When the listener fails.
    pub fn serve(&self, listener: TcpListener) -> io::Result<()> {
        match self.runtime {
            Runtime::Tokio => tokio::serve(self, listener),
            Runtime::Smol => smol::serve(self, listener),
        }
    }

    /// Keeps `sessions` sessions up: dials again whenever one has ended, until nobody listens.
    ///
    /// # Errors
    ///
    /// If dialling fails for another reason than that nobody listens.
    pub fn dial(&self, addr: SocketAddr, sessions: usize) -> io::Result<()> {
        match self.runtime {
            Runtime::Tokio => tokio::dial(self, addr, sessions),
            Runtime::Smol => smol::dial(self, addr, sessions),
        }
    }
}
