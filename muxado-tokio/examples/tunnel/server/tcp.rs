//! Connections to the ports of TCP services: each becomes a stream.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use muxado_tokio::relay;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Shared;
use crate::protocol::Public;

/// Accepts connections until the service is gone, or the server stops.
pub async fn serve(listener: TcpListener, port: u16, gone: CancellationToken, shared: Arc<Shared>) {
    let accept = async {
        while let Some((tcp, from)) = super::next(&listener, &shared.stop).await {
            shared.connections.spawn(connection(tcp, from, port, Arc::clone(&shared)));
        }
    };
    tokio::select! {
        () = accept => (),
        () = gone.cancelled() => (),
    }
}

async fn connection(tcp: TcpStream, from: SocketAddr, port: u16, shared: Arc<Shared>) {
    shared.counters.tcp_connections.fetch_add(1, Ordering::Relaxed);
    // A small message must not wait for the acknowledgement of the previous one.
    let _ = tcp.set_nodelay(true);
    match shared.open(&Public::Tcp(port)).await {
        Ok((stream, agent)) => {
            // An error on one side resets the other.
            if let Err(error) = relay(stream, tcp).await {
                debug!("port {port}, {from}: {error}");
                if let Some(agent) = agent {
                    agent.errors.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Err(miss) => {
            debug!("port {port}, {from}: {miss:?}");
            shared.counters.tcp_errors.fetch_add(1, Ordering::Relaxed);
            // A reset, because an end would look like a service that sends nothing.
            let _ = tcp.set_zero_linger();
        }
    }
}
