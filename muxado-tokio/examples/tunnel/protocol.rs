//! The protocol between agent and server.
//!
//! An agent dials, and opens one stream of the type [`HELLO`]: it introduces itself, and the server
//! answers. From then on the server opens streams, one for each connection to a service; the type
//! of a stream names the service. The bytes of the connection follow the type, so a service may
//! send first.

use std::fmt;
use std::time::Duration;

use muxado_tokio::{Config, ErrorCode, Heartbeat, RateLimit, Stream, StreamType};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Result;

/// The stream on which an agent introduces itself.
pub const HELLO: StreamType = StreamType(1);

/// A stream of this type plus `n` is a connection to the agent's `n`th service.
pub const FIRST_SERVICE: u32 = 0x100;

/// How long a connection may take to authenticate.
pub const HELLO_LIMIT: Duration = Duration::from_secs(10);

/// How many bytes it may send until then, TLS included.
pub const HELLO_BYTES: usize = 64 << 10;

/// How many services one agent may have.
pub const MAX_SERVICES: usize = 64;

/// The first message of an agent.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    /// Proves that it may be an agent.
    pub token: String,
    /// Agents of one name have the same services, and share the load.
    pub name: String,
    /// Chosen at random by each agent. One that returns takes the place of its former connection,
    /// which the server may believe alive.
    pub instance: u64,
    /// Its services, in the order that the stream types refer to.
    pub services: Vec<Public>,
}

/// The public name of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Public {
    /// HTTP with this host name, in lower case.
    Http(String),
    /// A TCP port of the server; 0 for any.
    Tcp(u16),
}

impl Public {
    /// The port, if it is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Http(_) => None,
            Self::Tcp(port) => Some(*port),
        }
    }
}

impl fmt::Display for Public {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(host) => write!(f, "http://{host}"),
            Self::Tcp(port) => write!(f, "tcp port {port}"),
        }
    }
}

/// The server's answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Welcome {
    /// The services with their public names, including the chosen ports.
    Welcome(Vec<Public>),
    /// The reason as text, and whether it is permanent.
    Refused { text: String, for_good: bool },
}

/// Sends one message, and the end of this direction.
pub async fn send(stream: &mut Stream, message: &impl Serialize) -> Result<()> {
    stream.write_all(&serde_json::to_vec(message)?).await?;
    stream.shutdown().await?;
    Ok(())
}

/// Reads one message, up to the end of the peer's direction.
pub async fn receive<T: DeserializeOwned>(stream: &mut Stream) -> Result<T> {
    let mut message = Vec::new();
    stream.take(HELLO_BYTES as u64).read_to_end(&mut message).await?;
    Ok(serde_json::from_slice(&message)?)
}

/// Bytes that the system holds back of a session before they are on the way. What exceeds them waits
/// in the session, where a small message overtakes a transfer.
#[cfg(any(target_os = "android", target_os = "linux"))]
const UNSENT: u32 = 128 << 10;

/// Sets the TCP options of a session.
pub fn tune(tcp: &TcpStream) -> std::io::Result<()> {
    muxado_tokio::tcp::tune(tcp)?;
    #[cfg(any(target_os = "android", target_os = "linux"))]
    socket2::SockRef::from(tcp).set_tcp_notsent_lowat(UNSENT)?;
    Ok(())
}

/// The settings of the server's end of a session with an agent.
pub fn server_config() -> Config {
    let one = Config::builder().max_inbound_streams(1); // the one of the hello, or a heartbeat
    one.typed(true).heartbeat(Some(beats())).build().expect("the settings fit")
}

/// The settings of the agent's end, and of both ends between two servers.
pub fn trusting_config() -> Config {
    // Each stream belongs to an unknown client, and the server cannot prevent that it resets the
    // stream. That must not look like an attack of the server.
    let strangers = RateLimit::new(100_000, 100_000);
    let builder = Config::builder().typed(true).heartbeat(Some(beats()));
    builder.reset_limit(strangers).build().expect("the settings fit")
}

/// Both ends send heartbeats, so each notices within 15 s that the other has vanished.
fn beats() -> Heartbeat {
    let (interval, tolerance) = (Duration::from_secs(5), Duration::from_secs(10));
    Heartbeat::new().with_interval(interval).with_tolerance(tolerance)
}

/// The code of the reset if the service cannot be reached.
pub const UNREACHABLE: ErrorCode = ErrorCode::STREAM_REFUSED;
