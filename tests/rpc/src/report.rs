//! Figures, of one end and of both.

use std::net::SocketAddr;

use hdrhistogram::Histogram;
use muxado_proto::{CloseReason, Role, SessionStats};
use serde::{Deserialize, Serialize};

/// A distribution of times, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many there are.
    pub count: u64,
    /// Half of them took at most this.
    pub p50: u64,
    /// Nine out of ten took at most this.
    pub p90: u64,
    /// 99 out of a hundred took at most this.
    pub p99: u64,
    /// 999 out of a thousand took at most this.
    pub p99_9: u64,
    /// The longest.
    pub max: u64,
}

impl Quantiles {
    pub(crate) fn of(times: &Histogram<u64>) -> Self {
        Self {
            count: times.len(),
            p50: times.value_at_quantile(0.5),
            p90: times.value_at_quantile(0.9),
            p99: times.value_at_quantile(0.99),
            p99_9: times.value_at_quantile(0.999),
            max: times.max(),
        }
    }
}

/// The results of one end; it also sends them to the other end when it has all its answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// `client` or `server`.
    pub role: String,
    /// What it runs on.
    pub runtime: String,
    /// Requests that were answered rightly.
    pub answers: u64,
    /// All that went wrong.
    pub errors: u64,
    /// What went wrong first.
    pub first_error: Option<String>,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Streams of this end that were open at once.
    pub most_in_flight: u32,
    /// Time from the open stream to the complete answer.
    pub latency_ns: Quantiles,
    /// How long requests waited until their stream was opened.
    pub wait_ns: Quantiles,
    /// Heartbeats this end has sent.
    pub rtt_ns: Quantiles,
}

/// The bytes of the transport, including frame headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Traffic {
    /// Bytes from client to server.
    pub(crate) bytes_to_server: u64,
    /// Bytes from server to client.
    pub(crate) bytes_to_client: u64,
    /// Frames from client to server.
    pub(crate) frames_to_server: u64,
    /// Frames from server to client.
    pub(crate) frames_to_client: u64,
}

impl Traffic {
    /// As counted by the end with this role.
    fn seen_by(role: Role, stats: &SessionStats) -> Self {
        let sent = (stats.bytes_sent, stats.frames_sent);
        let received = (stats.bytes_received, stats.frames_received);
        let (up, down) = if role == Role::Client { (sent, received) } else { (received, sent) };
        Self {
            bytes_to_server: up.0,
            frames_to_server: up.1,
            bytes_to_client: down.0,
            frames_to_client: down.1,
        }
    }
}

/// The results of a session, as one of its ends knows them.
#[derive(Debug, Clone)]
pub struct End {
    reports: [Report; 2],
    traffic: Traffic,
    closed: CloseReason,
}

impl End {
    /// The end with this role, its report and its peer's, its counters, and why it is over.
    #[must_use]
    pub fn new(
        role: Role,
        reports: [Report; 2],
        stats: &SessionStats,
        closed: CloseReason,
    ) -> Self {
        Self { reports, traffic: Traffic::seen_by(role, stats), closed }
    }
}

/// How a session went.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    /// Where the server listened.
    pub(crate) address: SocketAddr,
    /// What the client asked.
    pub(crate) client: Report,
    /// What the server asked.
    pub(crate) server: Report,
    /// Streams that carried a request and its answer, both ways, per second.
    pub(crate) streams_per_second: f64,
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
    /// What crossed the transport.
    pub(crate) traffic: Traffic,
    /// Why the session ended.
    pub(crate) closed: String,
    /// Every request was answered, and the session was closed as intended.
    pub(crate) success: bool,
}

impl Summary {
    /// Combines the figures of both ends.
    pub(crate) fn new(address: SocketAddr, end: End) -> Self {
        let End { reports: [one, two], traffic, closed } = end;
        let (client, server) = if one.role == "client" { (one, two) } else { (two, one) };
        let seconds = client.seconds.max(server.seconds);
        let answers = client.answers + server.answers;
        #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^52 answers")]
        let streams_per_second = if seconds > 0.0 { answers as f64 / seconds } else { 0.0 };
        let success = client.errors + server.errors == 0 && closed.is_clean();
        let closed = closed.to_string();
        Self { address, client, server, streams_per_second, seconds, traffic, closed, success }
    }
}
