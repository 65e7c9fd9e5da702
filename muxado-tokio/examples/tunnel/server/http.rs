//! Forwards outside requests to the agent that has the host name, and the answers back.
//!
//! Requests are parsed and written again with the server's own framing, so two readers of one
//! request cannot disagree about its end. A request with two lengths, or with a length and chunks,
//! is refused before hyper sees it: see [`Framed`].

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tracing::debug;

use super::Shared;
use super::client::{Client, Missing};
use super::directory::Miss;
use super::framing::Framed;
use crate::protocol::Public;

type Body = BoxBody<Bytes, hyper::Error>;
type Answer = Response<Body>;

/// How long a client may take to send the head of a request.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

/// Headers that concern one connection and not the request (RFC 9110 §7.6.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Accepts connections until the server stops.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Some((tcp, from)) = super::next(&listener, &shared.stop).await {
        shared.connections.spawn(connection(tcp, from, Arc::clone(&shared)));
    }
}

async fn connection(tcp: TcpStream, from: SocketAddr, shared: Arc<Shared>) {
    let _ = tcp.set_nodelay(true);
    let (client, missing) = Client::new(tcp);
    // Whether there is an answer that ends with the connection.
    let unframed = AtomicBool::new(false);
    let stop = shared.stop.clone();
    let service = service_fn(|request: Request<Incoming>| {
        let (shared, missing, unframed) = (Arc::clone(&shared), missing.clone(), &unframed);
        async move {
            let (is_last, version) = (is_last(&request), request.version());
            let mut answer =
                handle(request, from, &shared, &missing).await.unwrap_or_else(|fault| {
                    shared.counters.http_errors.fetch_add(1, Ordering::Relaxed);
                    debug!("{from}: {fault:?}");
                    fault.into()
                });
            if is_last && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            // HTTP/1.0 has no chunks.
            if version == Version::HTTP_10 && answer.body().size_hint().exact().is_none() {
                unframed.store(true, Ordering::Relaxed);
                missing.set(true);
            }
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    let connection = TokioIo::new(Framed::new(Pin::new(client)));
    let connection = builder.serve_connection(connection, service).with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown(); // after the request that runs
            connection.await
        }
    };
    match result {
        Ok(()) if unframed.load(Ordering::Relaxed) => missing.set(false),
        Ok(()) => (),
        Err(error) => debug!("{from}: {error}"),
    }
}

/// Whether the client wants to change the protocol. [`Framed`] looks for no further request behind
/// such a request, so there must not be one.
fn is_last(request: &Request<Incoming>) -> bool {
    request.method() == Method::CONNECT || request.headers().contains_key(header::UPGRADE)
}

/// An answer of the server's own.
#[derive(Debug)]
struct Fault(StatusCode, String);

impl From<Fault> for Answer {
    fn from(Fault(status, text): Fault) -> Self {
        let body = Full::from(format!("{text}\n")).map_err(|never| match never {}).boxed();
        let mut answer = Response::new(body);
        *answer.status_mut() = status;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        answer.headers_mut().insert(header::CONTENT_TYPE, plain);
        answer
    }
}

async fn handle(
    mut request: Request<Incoming>,
    from: SocketAddr,
    shared: &Shared,
    missing: &Missing,
) -> Result<Answer, Fault> {
    shared.counters.http_requests.fetch_add(1, Ordering::Relaxed);
    if request.method() == Method::CONNECT {
        let text = "services are reached by host name, not by CONNECT".to_owned();
        return Err(Fault(StatusCode::NOT_IMPLEMENTED, text));
    }
    let host = host(&request)?;
    let upgrade = wanted_upgrade(request.headers());
    let (client_upgrade, public) = (hyper::upgrade::on(&mut request), Public::Http(name(&host)));

    let agents = shared.directory.agents_with(&public);
    let (stream, agent) = shared.open(&public, agents).await.map_err(|miss| match miss {
        Miss::Unknown => Fault(StatusCode::NOT_FOUND, format!("nobody serves {}", name(&host))),
        Miss::Unavailable => Fault(StatusCode::SERVICE_UNAVAILABLE, "no agent is ready".into()),
    })?;
    let failed = |error: hyper::Error| {
        if let Some(agent) = &agent {
            agent.errors.fetch_add(1, Ordering::Relaxed);
        }
        Fault(StatusCode::BAD_GATEWAY, format!("the service cannot be reached: {}", cause(&error)))
    };
    // A truncated request must not look complete to the service.
    stream.set_reset_on_drop(true);
    let (mut sender, service): (hyper::client::conn::http1::SendRequest<Incoming>, _) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    shared.connections.spawn(async move {
        if let Err(error) = service.with_upgrades().await {
            debug!("{public}: {error}");
        }
    });

    rewrite(&mut request, &host, from, upgrade.as_ref())?;
    let mut response = sender.send_request(request).await.map_err(failed)?;
    clean(response.headers_mut());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let protocol = upgrade.ok_or_else(|| bad_gateway("it changes the protocol unasked"))?;
        set_upgrade(response.headers_mut(), &protocol);
        let service_upgrade = hyper::upgrade::on(&mut response);
        missing.set(true);
        let missing = missing.clone();
        shared.connections.spawn(async move {
            let (Ok(client), Ok(service)) = tokio::join!(client_upgrade, service_upgrade) else {
                return;
            };
            let (mut client, mut service) = (TokioIo::new(client), TokioIo::new(service));
            let ended = copy_bidirectional(&mut client, &mut service).await;
            debug!("an upgraded connection has ended: {ended:?}");
            // As at a TCP port, an error of one direction ends both.
            missing.set(ended.is_err());
        });
    }
    *response.version_mut() = Version::HTTP_11;
    Ok(response.map(BodyExt::boxed))
}

fn bad_request(text: &str) -> Fault {
    Fault(StatusCode::BAD_REQUEST, text.to_owned())
}

fn bad_gateway(text: &str) -> Fault {
    Fault(StatusCode::BAD_GATEWAY, format!("the service's answer is wrong: {text}"))
}

/// The requested host, as the client writes it.
fn host(request: &Request<Incoming>) -> Result<HeaderValue, Fault> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let first = hosts.next().ok_or_else(|| bad_request("there is no Host header"))?;
    if hosts.next().is_some() {
        return Err(bad_request("there are two Host headers"));
    }
    match request.uri().authority() {
        // A target in absolute form takes precedence (RFC 9112 §3.2.2).
        Some(authority) => HeaderValue::from_str(authority.as_str())
            .map_err(|_| bad_request("the target is not valid")),
        None => Ok(first.clone()),
    }
}

/// A host without its port, in lower case.
fn name(host: &HeaderValue) -> String {
    let host = host.to_str().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.to_ascii_lowercase()
}

/// The protocol to which the client wants to change, for example WebSocket.
fn wanted_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    named_in_connection(headers)
        .any(|name| name == "upgrade")
        .then(|| headers.get(header::UPGRADE))?
        .cloned()
}

fn named_in_connection(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let values = headers.get_all(header::CONNECTION).iter();
    let names = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    names.map(|name| name.trim().to_ascii_lowercase())
}

/// Removes headers that concern only the connection.
fn clean(headers: &mut HeaderMap) {
    let named: Vec<_> = named_in_connection(headers).collect();
    for name in named.iter().map(String::as_str).chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn set_upgrade(headers: &mut HeaderMap, protocol: &HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol.clone());
}

/// The request for the service. Headers that identify the client are set only by the server.
fn rewrite(
    request: &mut Request<Incoming>,
    host: &HeaderValue,
    from: SocketAddr,
    upgrade: Option<&HeaderValue>,
) -> Result<(), Fault> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let target = Uri::try_from(path).map_err(|_| bad_request("the target is not valid"))?;
    *request.uri_mut() = target;
    *request.version_mut() = Version::HTTP_11;

    let headers = request.headers_mut();
    clean(headers);
    let spoofed: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("x-forwarded-")).cloned().collect();
    for name in spoofed {
        headers.remove(name);
    }
    for name in ["forwarded", "x-real-ip"] {
        headers.remove(name);
    }
    let address = HeaderValue::from_str(&from.ip().to_string()).expect("an address is text");
    headers.insert("x-forwarded-for", address);
    headers.insert("x-forwarded-host", host.clone());
    headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
    headers.insert(header::HOST, host.clone());
    if let Some(protocol) = upgrade {
        set_upgrade(headers, protocol);
    }
    Ok(())
}

/// The innermost cause, which is the most specific.
fn cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
