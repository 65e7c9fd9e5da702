//! QUIC, by the crate `quinn`: streams over UDP, always encrypted.

use std::{io, net::SocketAddr, sync::Arc};

use quinn::{
    ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig, TransportConfig,
    congestion::BbrConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{Acceptor, Chunk, Opener, OverTcp, RecvHalf, SendHalf, Tuning, both::Both, tls};
use crate::{
    congestion,
    runtime::{Runtime as _, Tokio},
};

/// The crate `quinn`.
pub(crate) struct Quic;

/// Its defaults, with the congestion control that TCP uses, too. It has its own, and knows BBR and
/// CUBIC, which is its default.
fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    if congestion::in_use() == "bbr" {
        transport.congestion_controller_factory(Arc::new(BbrConfig::default()));
    }
    Arc::new(transport)
}

impl OverTcp<Tokio> for Quic {
    type Opener = Opens;
    type Acceptor = Accepts;

    /// The TCP connection only says that the server is ready: its UDP port has the same number.
    async fn connect(rt: Tokio, to: SocketAddr, _: Tuning) -> io::Result<Opens> {
        rt.connect(to).await?.read_u8().await?;
        let crypto = QuicClientConfig::try_from(tls::client_config()?).map_err(io::Error::other)?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(transport());
        let mut endpoint = Endpoint::client(SocketAddr::new(to.ip(), 0))?;
        endpoint.set_default_client_config(config);
        let connecting = endpoint.connect(to, tls::NAME).map_err(io::Error::other)?;
        Ok(Opens { connection: connecting.await?, _endpoint: endpoint })
    }

    async fn accept(rt: Tokio, listener: Arc<TcpListener>, _: Tuning) -> io::Result<Accepts> {
        let crypto = QuicServerConfig::try_from(tls::server_config()?).map_err(io::Error::other)?;
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        config.transport_config(transport());
        let endpoint = Endpoint::server(config, listener.local_addr()?)?;
        rt.accept(&listener).await?.write_u8(0).await?;
        let incoming = endpoint.accept().await.ok_or(io::ErrorKind::NotConnected)?;
        Ok(Accepts { connection: incoming.await?, _endpoint: endpoint })
    }
}

/// The client's end.
#[derive(Clone)]
pub(crate) struct Opens {
    connection: Connection,
    _endpoint: Endpoint,
}

impl Opener for Opens {
    type Stream = Both<Receiving, Sending>;

    async fn open(&mut self) -> io::Result<Self::Stream> {
        let (send, recv) = self.connection.open_bi().await?;
        Ok(Both { send: Sending(send), recv: Receiving(recv) })
    }
}

/// The server's end.
pub(crate) struct Accepts {
    connection: Connection,
    _endpoint: Endpoint,
}

impl Acceptor for Accepts {
    type Stream = Both<Receiving, Sending>;

    async fn accept(&mut self) -> Option<Self::Stream> {
        let (send, recv) = self.connection.accept_bi().await.ok()?;
        Some(Both { send: Sending(send), recv: Receiving(recv) })
    }
}

/// The sending half.
pub(crate) struct Sending(SendStream);

/// The receiving half.
pub(crate) struct Receiving(RecvStream);

impl SendHalf for Sending {
    async fn send(&mut self, data: &'static [u8]) -> io::Result<()> {
        Ok(self.0.write_all(data).await?)
    }

    async fn send_back(&mut self, chunk: &mut Chunk) -> io::Result<()> {
        Ok(self.0.write_all(chunk.bytes()).await?)
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn finish(&mut self) -> io::Result<()> {
        self.0.finish().map_err(io::Error::other)
    }
}

impl RecvHalf for Receiving {
    async fn recv(&mut self, chunk: &mut Chunk) -> io::Result<usize> {
        let n = self.0.read(chunk.room()).await?.unwrap_or(0);
        chunk.fill(n);
        Ok(n)
    }
}
