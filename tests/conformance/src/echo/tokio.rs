//! The echo application on `muxado-tokio`.

use std::io;
use std::net::{SocketAddr, TcpListener};

use ::tokio::io::AsyncWriteExt as _;
use muxado_proto::Role;
use muxado_tokio::{Session, Stream};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Endpoint;

#[tokio::main]
pub(super) async fn serve(endpoint: &Endpoint, listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (transport, _) = listener.accept().await?;
        tokio::spawn(run(endpoint.clone(), transport));
    }
}

#[tokio::main]
pub(super) async fn dial(endpoint: &Endpoint, addr: SocketAddr, sessions: usize) -> io::Result<()> {
    let mut running = JoinSet::new();
    loop {
        while running.len() < sessions {
            match TcpStream::connect(addr).await {
                Ok(transport) => drop(running.spawn(run(endpoint.clone(), transport))),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        running.join_next().await;
    }
}

/// Serves one session to its end.
async fn run(endpoint: Endpoint, transport: TcpStream) {
    let _ = transport.set_nodelay(true);
    let session = match endpoint.role {
        Role::Client => Session::client(transport, endpoint.config),
        Role::Server => Session::server(transport, endpoint.config),
    };
    while let Ok(stream) = session.accept().await {
        tokio::spawn(echo(stream));
    }
    session.closed().await;
}

/// Fails when the stream is reset or its session ends, which only ends this echo.
async fn echo(stream: Stream) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    tokio::io::copy(&mut reader, &mut writer).await?;
    writer.shutdown().await
}
