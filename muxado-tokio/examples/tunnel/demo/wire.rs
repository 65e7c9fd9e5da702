//! A connection that can be cut, as by a failing router.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Result;

pub struct Wire {
    pub address: SocketAddr,
    connections: Arc<Mutex<JoinSet<()>>>,
}

impl Wire {
    /// Leads to `target`.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let (listener, address) = super::listen().await?;
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let wire = Self { address, connections: Arc::clone(&connections) };
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                connections.lock().expect("nothing panics with it").spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(target).await {
                        let _ = (near.set_nodelay(true), far.set_nodelay(true));
                        // After a cut both ends see a reset, and bytes in flight are lost.
                        let _ = (near.set_zero_linger(), far.set_zero_linger());
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Ok(wire)
    }

    /// Cuts every connection. New ones can be made.
    pub fn cut(&self) {
        self.connections.lock().expect("nothing panics with it").abort_all();
    }
}
