//! The echo application on `muxado-smol`.

use std::io;
use std::net::{SocketAddr, TcpListener};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use muxado_proto::Role;
use muxado_smol::{Session, Stream};
use smol::io::AsyncWriteExt as _;
use smol::net::TcpStream;

use super::Endpoint;

pub(super) fn serve(endpoint: &Endpoint, listener: TcpListener) -> io::Result<()> {
    smol::block_on(async {
        let listener = smol::net::TcpListener::try_from(listener)?;
        loop {
            let (transport, _) = listener.accept().await?;
            smol::spawn(run(endpoint.clone(), transport)).detach();
        }
    })
}

pub(super) fn dial(endpoint: &Endpoint, addr: SocketAddr, sessions: usize) -> io::Result<()> {
    smol::block_on(async {
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < sessions {
                match TcpStream::connect(addr).await {
                    Ok(transport) => running.push(smol::spawn(run(endpoint.clone(), transport))),
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
            running.next().await;
        }
    })
}

/// Serves one session to its end.
async fn run(endpoint: Endpoint, transport: TcpStream) {
    let _ = transport.set_nodelay(true);
    let session = match endpoint.role {
        Role::Client => Session::client(transport, endpoint.config),
        Role::Server => Session::server(transport, endpoint.config),
    };
    while let Ok(stream) = session.accept().await {
        smol::spawn(echo(stream)).detach();
    }
    session.closed().await;
}

/// Fails when the stream is reset or its session ends, which only ends this echo.
async fn echo(stream: Stream) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    smol::io::copy(&mut reader, &mut writer).await?;
    writer.close().await
}
