//! The command line of an interop peer, the same for the Go programs.

use core::time::Duration;
use std::net::SocketAddr;

use clap::{Parser, ValueEnum};

/// The options of an interop peer. `tests/interop/README.md` explains each.
#[derive(Parser, Debug, Clone)]
#[command(name = "interop-peer", about = "A muxado endpoint on TCP, for interop tests")]
pub struct Options {
    /// The implementation to run on.
    #[arg(long, value_enum)]
    pub implementation: Implementation,
    /// Listen on this address and serve the sessions that come.
    #[arg(long, required_unless_present = "dial", conflicts_with = "dial")]
    pub listen: Option<SocketAddr>,
    /// Dial this address.
    #[arg(long)]
    pub dial: Option<SocketAddr>,
    /// Role in the session; by default the dialer is the client.
    #[arg(long)]
    pub role: Option<Side>,
    /// Sessions to serve when listening, 0 for no end.
    #[arg(long, default_value_t = 1)]
    pub sessions: usize,
    /// Typed streams.
    #[arg(long)]
    pub typed: bool,
    /// INTERVAL,TOLERANCE in milliseconds; implies `--typed`.
    #[arg(long, value_parser = parse_heartbeat)]
    pub heartbeat: Option<HeartbeatTimes>,
    /// Stream window in bytes, 0 for the implementation's default.
    #[arg(long, default_value_t = 0)]
    pub window: u32,
    /// The peer's window if it is not the default; only ours have separate settings for it.
    #[arg(long, default_value_t = 0)]
    pub send_window: u32,
    /// Accept backlog, 0 for the implementation's default.
    #[arg(long, default_value_t = 0)]
    pub backlog: u32,
    /// Start from the preset for such a peer; only ours have presets.
    #[arg(long, value_enum)]
    pub preset: Option<Preset>,
    /// Streams that this side may have open, 0 for the implementation's default.
    #[arg(long, default_value_t = 0)]
    pub max_open: u32,
    /// Streams that this side opens before the peer's first answer, 0 for no limit.
    #[arg(long, default_value_t = 0)]
    pub max_unanswered: u32,
    /// What runs on accepted streams.
    #[arg(long, value_enum, default_value = "serve")]
    pub app: App,
    /// What to do on streams this side opens.
    #[arg(long, value_enum)]
    pub drive: Option<Drive>,
    /// The peer drives too: end when both are done.
    #[arg(long)]
    pub mutual: bool,
    /// Streams to open.
    #[arg(long, default_value_t = 1)]
    pub streams: usize,
    /// Streams open at a time.
    #[arg(long, default_value_t = 1)]
    pub in_flight: usize,
    /// Streams the peer may not have answered yet.
    #[arg(long, default_value_t = 32)]
    pub pending: usize,
    /// Payload of a stream.
    #[arg(long, default_value_t = 1024)]
    pub bytes: u64,
    /// Bytes in one write.
    #[arg(long, default_value_t = 32 * 1024)]
    pub write_size: usize,
    /// Bytes in one read.
    #[arg(long, default_value_t = 32 * 1024)]
    pub read_size: usize,
    /// Requests on a stream.
    #[arg(long, default_value_t = 10)]
    pub requests: usize,
    /// Heartbeats to wait for.
    #[arg(long, default_value_t = 3)]
    pub beats: u64,
    /// Error code to ask the peer to reset with.
    #[arg(long, default_value_t = 0)]
    pub code: u32,
    /// How far the request has come when it is answered early.
    #[arg(long, value_enum, default_value = "complete")]
    pub request: Request,
    /// Milliseconds between the end of an early answer and the drop of its stream, or before a late
    /// answer.
    #[arg(long, default_value_t = 0)]
    pub delay: u32,
    /// Give up after this time, such as `30s`; 0 for never.
    #[arg(long, default_value = "60s", value_parser = parse_timeout)]
    pub timeout: Duration,
}

/// The implementations a Rust peer can run on.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Implementation {
    /// ngrok's crate `muxado`, 0.5.4.
    Ngrok,
    /// Ours on Tokio.
    Tokio,
    /// Ours on smol.
    Smol,
    /// Ours without an adapter, on an event loop.
    Core,
}

/// Settings made for a kind of peer.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// The Go implementations.
    Go,
    /// ngrok's crate.
    Ngrok,
}

/// Role in a session.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Opens streams with odd ids.
    Client,
    /// Opens streams with even ids.
    Server,
}

/// What runs on accepted streams.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum App {
    /// Write back what is read, half-close at the end.
    Echo,
    /// The application of `tests/interop/README.md`.
    Serve,
    /// Single calls, told on standard input.
    Control,
    /// Streams are never accepted.
    None,
}

/// What is done on opened streams.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drive {
    /// Write, half-close, check what comes back.
    Echo,
    /// Write, half-close, then read the peer's verdict on the data.
    Digest,
    /// Ask for data and check it.
    Source,
    /// Many requests and responses on a stream.
    Requests,
    /// Check the stream type the peer saw, then echo.
    Typed,
    /// All streams open at once.
    Hold,
    /// Reset streams while the peer sends.
    Abandon,
    /// Write to streams the peer resets.
    Refused,
    /// Have the peer end the session.
    Shutdown,
    /// Have the peer go away with streams running.
    Goaway,
    /// Go away with streams running.
    GoawayLocal,
    /// Wait for heartbeats.
    Heartbeat,
    /// Streams that begin at the same moment, burst after burst.
    Burst,
    /// Ask for answers that come late.
    Late,
    /// Ask for answers that come before the request was read.
    Early,
}

/// A request that is answered before it was read to its end.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// It has arrived whole.
    Complete,
    /// Its writer goes on.
    Flowing,
    /// Its writer is out of credit.
    Blocked,
}

/// Heartbeat interval and tolerance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatTimes {
    /// Time between two beats.
    pub interval: Duration,
    /// How long a beat may be late.
    pub tolerance: Duration,
}

impl Options {
    /// Whether streams carry a type.
    pub fn is_typed(&self) -> bool {
        self.typed || self.heartbeat.is_some()
    }

    /// The role in the session.
    pub fn side(&self) -> Side {
        self.role.unwrap_or(if self.dial.is_some() { Side::Client } else { Side::Server })
    }
}

impl Side {
    /// The name the options use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

fn parse_heartbeat(text: &str) -> Result<HeartbeatTimes, String> {
    let (interval, tolerance) = text.split_once(',').ok_or("expected INTERVAL,TOLERANCE")?;
    let milliseconds =
        |part: &str| part.parse().map(Duration::from_millis).map_err(|error| format!("{error}"));
    Ok(HeartbeatTimes { interval: milliseconds(interval)?, tolerance: milliseconds(tolerance)? })
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').unwrap_or(text);
    seconds.parse().map(Duration::from_secs).map_err(|error| format!("{error}"))
}
