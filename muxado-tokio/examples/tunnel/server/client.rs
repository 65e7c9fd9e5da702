//! The connection of a client, which ends by a reset if something was lost.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpStream;

/// The connection of a client. While something is missing, dropping it resets the connection. After an
/// orderly end, the client would take an answer without a length, or the data of another protocol, for
/// complete. In a `Pin` it reads and writes like the connection.
pub struct Client {
    tcp: TcpStream,
    missing: Missing,
}

/// Says of a [`Client`], which hyper owns, whether something is missing.
#[derive(Clone, Default)]
pub struct Missing(Arc<AtomicBool>);

impl Missing {
    pub fn set(&self, missing: bool) {
        self.0.store(missing, Ordering::Relaxed);
    }
}

impl Client {
    pub fn new(tcp: TcpStream) -> (Self, Missing) {
        let missing = Missing::default();
        (Self { tcp, missing: missing.clone() }, missing)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.missing.0.load(Ordering::Relaxed) {
            // If it fails, the connection has already ended.
            let _ = self.tcp.set_zero_linger();
        }
    }
}

impl Deref for Client {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.tcp
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut TcpStream {
        &mut self.tcp
    }
}
