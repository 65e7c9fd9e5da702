//! Contestants over TLS 1.3, by rustls: the company of QUIC, which always encrypts.

use std::{io, marker::PhantomData, net::SocketAddr, sync::Arc};

use futures_channel::mpsc;
use futures_util::StreamExt as _;
use rcgen::{CertifiedKey, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
    version::TLS13,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::{
    Acceptor, Mux, Opener, OverTcp, Tuning,
    tokio_io::{Generic, Halves, Io},
};
use crate::runtime::{Runtime as _, Tokio};

/// The name in the certificate.
pub(crate) const NAME: &str = "localhost";

/// The settings of both ends, for a certificate that signs itself. Both ends are in this process.
fn configs() -> io::Result<&'static (Arc<ClientConfig>, Arc<ServerConfig>)> {
    use std::sync::OnceLock;
    static CONFIGS: OnceLock<(Arc<ClientConfig>, Arc<ServerConfig>)> = OnceLock::new();
    if let Some(made) = CONFIGS.get() {
        return Ok(made);
    }
    let CertifiedKey { cert, signing_key }: CertifiedKey<KeyPair> =
        rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(io::Error::other)?;
    let made = make(cert.der().clone(), PrivatePkcs8KeyDer::from(signing_key.serialize_der()))
        .map_err(io::Error::other)?;
    // If both ends made some at once, the first counts.
    Ok(CONFIGS.get_or_init(|| made))
}

fn make(
    cert: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
) -> Result<(Arc<ClientConfig>, Arc<ServerConfig>), rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone())?;
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![cert], PrivateKeyDer::from(key))?;
    Ok((Arc::new(client), Arc::new(server)))
}

/// The client's settings.
pub(crate) fn client_config() -> io::Result<Arc<ClientConfig>> {
    Ok(Arc::clone(&configs()?.0))
}

/// The server's settings.
pub(crate) fn server_config() -> io::Result<Arc<ServerConfig>> {
    Ok(Arc::clone(&configs()?.1))
}

/// A TCP connection with TLS on it.
pub(crate) type Secured = TlsStream<TcpStream>;

async fn connect(rt: Tokio, to: SocketAddr) -> io::Result<Secured> {
    let io = rt.connect(to).await?;
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    Ok(TlsConnector::from(client_config()?).connect(name, io).await?.into())
}

async fn secure(io: TcpStream) -> io::Result<Secured> {
    Ok(TlsAcceptor::from(server_config()?).accept(io).await?.into())
}

/// A multiplexer over one TLS connection.
pub(crate) struct Secure<M>(PhantomData<M>);

impl<M: Mux<Tokio, Secured>> OverTcp<Tokio> for Secure<M> {
    type Opener = M::Opener;
    type Acceptor = M::Acceptor;

    async fn connect(rt: Tokio, to: SocketAddr, tuning: Tuning) -> io::Result<M::Opener> {
        M::client(rt, connect(rt, to).await?, tuning).await
    }

    async fn accept(
        rt: Tokio,
        listener: Arc<tokio::net::TcpListener>,
        tuning: Tuning,
    ) -> io::Result<M::Acceptor> {
        M::server(rt, secure(rt.accept(&listener).await?).await?, tuning).await
    }
}

/// Plain TLS: a connection is a stream.
pub(crate) struct Tls;

impl OverTcp<Tokio> for Tls {
    type Opener = Dial;
    type Acceptor = Listen;

    async fn connect(rt: Tokio, to: SocketAddr, _: Tuning) -> io::Result<Dial> {
        Ok(Dial { rt, to })
    }

    async fn accept(
        rt: Tokio,
        listener: Arc<tokio::net::TcpListener>,
        _: Tuning,
    ) -> io::Result<Listen> {
        let (accepted, streams) = mpsc::unbounded();
        // Handshakes go on beside each other.
        rt.detach(async move {
            while let Ok(io) = rt.accept(&listener).await {
                let accepted = accepted.clone();
                rt.detach(async move {
                    match secure(io).await {
                        // Nobody waits for streams any more: the sample is over.
                        Ok(stream) => drop(accepted.unbounded_send(Io(stream))),
                        Err(error) => eprintln!("server: {error}"),
                    }
                });
            }
        });
        Ok(Listen(streams))
    }
}

/// Opens a connection for each stream.
#[derive(Clone)]
pub(crate) struct Dial {
    rt: Tokio,
    to: SocketAddr,
}

impl Opener for Dial {
    type Stream = Io<Secured>;

    async fn open(&mut self) -> io::Result<Self::Stream> {
        connect(self.rt, self.to).await.map(Io)
    }
}

/// Connections after their handshakes.
pub(crate) struct Listen(mpsc::UnboundedReceiver<Io<Secured>>);

impl Acceptor for Listen {
    type Stream = Io<Secured>;

    async fn accept(&mut self) -> Option<Self::Stream> {
        self.0.next().await
    }
}

impl Halves for Secured {
    type Read = tokio::io::ReadHalf<Self>;
    type Write = tokio::io::WriteHalf<Self>;

    fn halves(self) -> Generic<Self> {
        tokio::io::split(self)
    }
}
