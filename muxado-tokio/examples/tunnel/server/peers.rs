//! Sessions between servers: a request that reaches a server without the agent is forwarded to one
//! that has it, on a stream of the session between the two.
//!
//! All servers have the same certificate, and each shows it to the other: only a server has its
//! key. That is checked in the handshake, before there is a session.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muxado_tokio::{Builder, Config, ErrorCode, Session, Stream, StreamType, relay};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tracing::{debug, info};

use super::registry::Offer;
use super::{Shared, directory};
use crate::Result;
use crate::protocol::{self, UNREACHABLE};
use crate::reader::Reader;
use crate::tls::{self, Identity};

/// A stream that is forwarded to a service of the accepting server. It begins with the length of
/// the [`Offer`] in two bytes, and the offer; the answer is one byte, [`HERE`], or a reset.
const FORWARD: StreamType = StreamType(2);

/// The service is available; the bytes of the connection follow.
const HERE: u8 = 1;

/// How long another server may take to connect, and to answer whether it has a service.
const LIMIT: Duration = Duration::from_secs(3);

/// The sessions with other servers, by their addresses.
pub struct Peers {
    tls: TlsConnector,
    config: Arc<Config>,
    sessions: Mutex<HashMap<String, Slot>>,
}

/// Locked while a session is being created, so that all waiters share one.
type Slot = Arc<tokio::sync::Mutex<Option<Session>>>;

impl Peers {
    pub fn new(identity: &Identity) -> Result<Self> {
        let tls = tls::connector(identity.fingerprint(), Some(identity))?;
        let config = Arc::new(protocol::trusting_config());
        Ok(Self { tls, config, sessions: Mutex::default() })
    }

    /// A stream to a service of the server at an address, if it has the service.
    pub async fn open(&self, address: &str, offer: &Offer) -> Result<Stream> {
        timeout(LIMIT, async {
            let session = self.session(address).await?;
            let mut stream = session.open_typed(FORWARD).await?;
            // If it takes too long, the service must see a reset, and not an end.
            stream.set_reset_on_drop(true);
            let message = serde_json::to_vec(offer)?;
            stream.write_u16(message.len().try_into()?).await?;
            stream.write_all(&message).await?;
            match stream.read_u8().await? {
                HERE => Ok(stream),
                _ => Err("the other server has misunderstood".into()),
            }
        })
        .await?
    }

    async fn session(&self, address: &str) -> Result<Session> {
        let slot = {
            let mut sessions = self.sessions.lock().expect("nothing panics with it");
            Arc::clone(sessions.entry(address.to_owned()).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some(session) = slot.as_ref().filter(|session| session.close_reason().is_none()) {
            return Ok(session.clone());
        }
        let tcp = TcpStream::connect(address).await?;
        protocol::tune(&tcp)?;
        let tcp = Reader::new(tcp);
        let tls = self.tls.connect(tls::server_name(), tcp).await?;
        info!("connected to the server at {address}");
        let builder = Builder::new(tls).config(Arc::clone(&self.config));
        Ok(slot.insert(builder.peer_name(address).client()).clone())
    }

    /// Ends all sessions.
    pub fn close(&self) {
        for slot in self.sessions.lock().expect("nothing panics with it").values() {
            if let Some(session) = slot.try_lock().ok().as_deref().and_then(Option::as_ref) {
                session.go_away(ErrorCode::NO_ERROR, "the server stops");
            }
        }
    }
}

/// Serves another authenticated server.
pub async fn serve<T>(transport: T, from: SocketAddr, shared: Arc<Shared>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    info!("{from} is another server");
    let builder = Builder::new(transport).config(Arc::clone(&shared.peers.config));
    let session = builder.peer_addr(from).server();
    while let Ok(stream) = session.accept().await {
        let shared = Arc::clone(&shared);
        shared.clone().connections.spawn(async move {
            if let Err(error) = forward(stream, &shared).await {
                debug!("{from}: {error}");
            }
        });
    }
}

/// Forwards a stream of another server to an agent of this one.
async fn forward(mut stream: Stream, shared: &Shared) -> Result<()> {
    if stream.stream_type() != Some(FORWARD) {
        stream.reset(UNREACHABLE);
        return Err("a stream of a type that is not known".into());
    }
    let offer = timeout(LIMIT, async {
        let mut message = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut message).await?;
        Result::<Offer>::Ok(serde_json::from_slice(&message)?)
    });
    let offer = offer.await??;
    // Only a service with the same agent name here is used, because the registry may be wrong.
    let opened = match directory::open(shared.directory.agents_with(&offer.public)).await {
        Ok((to, agent)) if agent.name == offer.agent => Some((to, agent)),
        _ => None,
    };
    let Some((to, _agent)) = opened else {
        stream.reset(UNREACHABLE);
        return Err(format!("{} is not here", offer.public).into());
    };
    to.set_reset_on_drop(true); // if the other server is lost now
    stream.write_u8(HERE).await?;
    relay(stream, to).await?;
    Ok(())
}
