//! The status of the server, for people and for Prometheus.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;

use super::Shared;
use super::directory::Agent;

/// The page loads nothing from other origins, and sends nothing to them.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    connect-src 'self'; img-src data:; frame-ancestors 'none'";

/// A snapshot of everything that is shown.
#[derive(Serialize)]
pub struct Status {
    uptime_seconds: f64,
    http_requests: u64,
    http_errors: u64,
    tcp_connections: u64,
    tcp_errors: u64,
    agents_refused: u64,
    /// Streams to agents since the start.
    streams: u64,
    bytes_to_services: u64,
    bytes_from_services: u64,
    /// Connections that failed on their way.
    errors: u64,
    beats_missed: u64,
    agents: Vec<AgentStatus>,
}

#[derive(Serialize)]
struct AgentStatus {
    name: String,
    /// Tells agents of one name apart.
    session: u64,
    address: Option<SocketAddr>,
    services: Vec<String>,
    connected_seconds: f64,
    streams_open: u32,
    streams: u64,
    bytes_to_services: u64,
    bytes_from_services: u64,
    errors: u64,
    round_trip_ms: Option<f64>,
}

impl Status {
    fn of(shared: &Shared) -> Self {
        let (counters, totals) = (&shared.counters, shared.directory.totals());
        Self {
            uptime_seconds: shared.started.elapsed().as_secs_f64(),
            http_requests: counters.http_requests.load(Ordering::Relaxed),
            http_errors: counters.http_errors.load(Ordering::Relaxed),
            tcp_connections: counters.tcp_connections.load(Ordering::Relaxed),
            tcp_errors: counters.tcp_errors.load(Ordering::Relaxed),
            agents_refused: counters.agents_refused.load(Ordering::Relaxed),
            streams: totals.streams,
            bytes_to_services: totals.to_services,
            bytes_from_services: totals.from_services,
            errors: totals.errors,
            beats_missed: totals.beats_missed,
            agents: shared.directory.agents().iter().map(|agent| AgentStatus::of(agent)).collect(),
        }
    }

    /// The text form of Prometheus.
    fn metrics(&self) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: Vec<(String, f64)>| {
            text += &format!("# HELP tunnel_{name} {help}\n# TYPE tunnel_{name} {kind}\n");
            for (labels, value) in samples {
                text += &format!("tunnel_{name}{labels} {value}\n");
            }
        };
        for (name, help, value) in [
            ("http_requests_total", "HTTP requests from outside.", self.http_requests),
            (
                "http_errors_total",
                "HTTP requests that the server answered with an error.",
                self.http_errors,
            ),
            ("tcp_connections_total", "Connections to ports of services.", self.tcp_connections),
            ("tcp_errors_total", "Connections for which there was no agent.", self.tcp_errors),
            ("agents_refused_total", "Agents that were not let in.", self.agents_refused),
            ("streams_total", "Streams to agents.", self.streams),
            ("errors_total", "Connections that failed on their way.", self.errors),
            ("beats_missed_total", "Heartbeats that did not come back.", self.beats_missed),
        ] {
            family(name, "counter", help, vec![(String::new(), value as f64)]);
        }
        let bytes =
            |direction: &str, value: u64| (format!("{{direction=\"{direction}\"}}"), value as f64);
        let both = vec![
            bytes("to_services", self.bytes_to_services),
            bytes("from_services", self.bytes_from_services),
        ];
        family("bytes_total", "counter", "Payload carried.", both);
        family(
            "agents",
            "gauge",
            "Agents connected.",
            vec![(String::new(), self.agents.len() as f64)],
        );
        // Names contain no character that needs escaping.
        let each = |value: fn(&AgentStatus) -> f64| {
            let label = |agent: &AgentStatus| {
                format!("{{agent=\"{}\",session=\"{}\"}}", agent.name, agent.session)
            };
            self.agents.iter().map(|agent| (label(agent), value(agent))).collect::<Vec<_>>()
        };
        let open = each(|agent| agent.streams_open.into());
        family("agent_streams_open", "gauge", "Streams open now.", open);
        let round_trips = each(|agent| agent.round_trip_ms.unwrap_or(f64::NAN) / 1000.0);
        family("agent_round_trip_seconds", "gauge", "The latest heartbeat.", round_trips);
        text
    }
}

impl AgentStatus {
    fn of(agent: &Agent) -> Self {
        let stats = agent.session.stats();
        let totals = agent.totals();
        Self {
            name: agent.name.clone(),
            session: agent.session.number(),
            address: agent.session.peer_addr(),
            services: agent.services.iter().map(ToString::to_string).collect(),
            connected_seconds: agent.since.elapsed().as_secs_f64(),
            streams_open: stats.open_streams,
            streams: totals.streams,
            bytes_to_services: totals.to_services,
            bytes_from_services: totals.from_services,
            errors: totals.errors,
            round_trip_ms: stats.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
        }
    }
}

/// Access: with the token; without a configured token, only from this machine.
#[derive(Clone)]
struct Door(Option<[u8; 32]>);

/// Serves the page until the server stops.
pub async fn serve(listener: TcpListener, token: Option<String>, shared: Arc<Shared>) {
    let door = Door(token.map(|token| Sha256::digest(token).into()));
    let status = |State(shared): State<Arc<Shared>>| async move { Json(Status::of(&shared)) };
    let metrics = |State(shared): State<Arc<Shared>>| async move {
        let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
        (kind, Status::of(&shared).metrics())
    };
    let router = Router::new()
        .route("/", get(|| async { Html(include_str!("admin.html")) }))
        .route("/status.json", get(status))
        .route("/metrics", get(metrics))
        .layer(middleware::from_fn_with_state(door, admit))
        .with_state(Arc::clone(&shared));
    let stop = shared.stop.clone();
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::warn!("the page: {error}");
    }
}

async fn admit(State(Door(token)): State<Door>, request: Request, next: Next) -> Response {
    let admitted = match token {
        Some(token) => {
            let given = given_token(&request).unwrap_or_default();
            let given: [u8; 32] = Sha256::digest(given).into();
            given.ct_eq(&token).into()
        }
        None => is_local(request.headers()),
    };
    let mut response = if admitted {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "you are not admitted\n").into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"), // the token may be in the address
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, value.parse().expect("it is a value"));
    }
    response
}

/// `Authorization: Bearer TOKEN`, as Prometheus sends it, or `/?token=TOKEN` in a browser.
fn given_token(request: &Request) -> Option<&str> {
    let header = request.headers().get(header::AUTHORIZATION);
    let bearer = header.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let query = || request.uri().query()?.split('&').find_map(|part| part.strip_prefix("token="));
    bearer.or_else(query)
}

/// Whether the browser addresses this machine. In an attack by DNS rebinding, a foreign page whose
/// name resolves to this machine has its own name in `Host`.
fn is_local(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.strip_prefix("localhost").map(|port| format!("127.0.0.1{port}"));
    let name = name.as_deref().unwrap_or(host);
    let socket = name.parse::<SocketAddr>().map(|address| address.ip());
    socket.or_else(|_| name.parse()).is_ok_and(|ip| ip.is_loopback())
}
