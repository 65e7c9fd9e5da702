//! The parts of a session.

use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;

use super::addresses::Addresses;
use super::driver::Driver;
use super::log::Log;
use super::session::Session;
use super::shared::Shared;
use super::{Clock, Transport};
use crate::{Config, Role, SessionKey};

/// One end of a session that has not started: its transport, its clock, addresses and names. The
/// example of the [module](super) starts two.
#[must_use = "a session begins with `start`"]
pub struct Endpoint<T, C> {
    transport: T,
    clock: C,
    config: Arc<Config>,
    local_addr: Option<SocketAddr>,
    peer_addr: Option<SocketAddr>,
    peer_name: Option<Arc<str>>,
}

impl<T, C> fmt::Debug for Endpoint<T, C> {
    /// Shows nothing of the transport: it may contain payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("config", &self.config)
            .field("peer_addr", &self.peer_addr)
            .finish_non_exhaustive()
    }
}

impl<T, C> Endpoint<T, C> {
    /// An end with the default settings.
    pub fn new(transport: T, clock: C) -> Self {
        Self {
            transport,
            clock,
            config: Arc::default(),
            local_addr: None,
            peer_addr: None,
            peer_name: None,
        }
    }

    /// The settings.
    pub fn config(mut self, config: impl Into<Arc<Config>>) -> Self {
        self.config = config.into();
        self
    }

    /// The address of this end.
    pub const fn local_addr(mut self, address: Option<SocketAddr>) -> Self {
        self.local_addr = address;
        self
    }

    /// The address of the peer.
    pub const fn peer_addr(mut self, address: Option<SocketAddr>) -> Self {
        self.peer_addr = address;
        self
    }

    /// The name of the peer.
    pub fn peer_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.peer_name = Some(name.into());
        self
    }
}

impl<T: Transport, C: Clock> Endpoint<T, C> {
    /// Creates the session, and the driver that has to be polled for any progress.
    ///
    /// # Panics
    ///
    /// If the operating system provides no randomness; then a `HashMap` cannot be created either.
    pub fn start(self, role: Role) -> (Session, Driver<T, C>) {
        let session = crate::Session::new(role, self.config, self.clock.now(), random_key());
        let addresses = Addresses::new(self.local_addr, self.peer_addr);
        let shared = Shared::new(session, addresses, self.peer_name);
        let log = Log::start(&shared, role);
        (Session::attach(&shared), Driver::new(shared, self.transport, self.clock, log))
    }
}

/// The secret of a new session; for instruction counts it is the same in every run.
#[allow(clippy::expect_used, reason = "as for the hash maps of `std`")]
fn random_key() -> SessionKey {
    let mut key = [7; 16];
    if !cfg!(muxado_counted) {
        getrandom::fill(&mut key).expect("the operating system has randomness");
    }
    SessionKey::new(key)
}
