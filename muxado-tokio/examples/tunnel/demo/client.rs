//! Outside clients of the services. They check every byte, and repeat failed requests.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::local::{GREETING, text};
use super::{HOST, Targets, Work};
use crate::Result;

/// How long one request may take, with all attempts.
const LIMIT: Duration = Duration::from_secs(30);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// Why an attempt has not succeeded.
enum Fault {
    /// It failed visibly: the client may try again.
    Failed,
    /// The answer looked complete, but was wrong. This must never happen.
    Wrong(String),
}

impl<E: std::error::Error> From<E> for Fault {
    fn from(_: E) -> Self {
        Self::Failed
    }
}

/// Makes requests until there are no more; returns the duration of each.
pub async fn run(work: Arc<Work>, targets: Targets) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let mut connection = None;
    while let Some(number) = work.take() {
        let started = Instant::now();
        loop {
            let attempt = if number % 2 == 0 {
                http(&mut connection, targets, number).await
            } else {
                tcp(targets, number).await
            };
            match attempt {
                Ok(()) => break,
                Err(Fault::Wrong(what)) => return Err(format!("request {number}: {what}").into()),
                Err(Fault::Failed) if started.elapsed() > LIMIT => {
                    return Err(format!("request {number}: no answer in {LIMIT:?}").into());
                }
                Err(Fault::Failed) => {
                    work.repeated.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        latencies.push(started.elapsed());
        work.finish_one();
    }
    Ok(latencies)
}

/// Waits for all clients; returns the sorted durations of the requests.
pub async fn all(clients: &mut JoinSet<Result<Vec<Duration>>>) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while let Some(client) = clients.join_next().await {
        latencies.extend(client??);
    }
    latencies.sort_unstable();
    Ok(latencies)
}

/// A connection of HTTP, kept from one request to the next.
type Connection = Option<SendRequest<Empty<Bytes>>>;

async fn http(
    connection: &mut Connection,
    targets: Targets,
    number: u64,
) -> std::result::Result<(), Fault> {
    // It is stored again only if it can be reused.
    let mut sender = match connection.take().filter(|sender| !sender.is_closed()) {
        Some(sender) => sender,
        None => {
            let tcp = TcpStream::connect(targets.http).await?;
            tcp.set_nodelay(true)?;
            let (sender, running) = http1::handshake(TokioIo::new(tcp)).await?;
            tokio::spawn(running);
            sender
        }
    };
    sender.ready().await?;
    let request = Request::get(format!("/{number}")).header("host", HOST).body(Empty::new())?;
    let response = sender.send_request(request).await?;
    match response.status() {
        StatusCode::OK => (),
        StatusCode::NOT_FOUND | StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => {
            return Err(Fault::Failed);
        }
        other => return Err(Fault::Wrong(other.to_string())),
    }
    let body = response.into_body().collect().await?.to_bytes();
    *connection = Some(sender);
    compare(&body, &text(number))
}

async fn tcp(targets: Targets, number: u64) -> std::result::Result<(), Fault> {
    let mut tcp = TcpStream::connect(targets.tcp).await?;
    let mut greeting = [0; GREETING.len()];
    tcp.read_exact(&mut greeting).await?;
    compare(&greeting, GREETING)?;
    let sent = text(number);
    let (mut reader, mut writer) = tcp.split();
    let mut back = Vec::new();
    let send = async {
        writer.write_all(&sent).await?;
        writer.shutdown().await
    };
    tokio::try_join!(send, reader.read_to_end(&mut back))?;
    compare(&back, &sent)
}

fn compare(found: &[u8], expected: &[u8]) -> std::result::Result<(), Fault> {
    if found == expected {
        return Ok(());
    }
    Err(Fault::Wrong(format!(
        "{} bytes came, others than the {} expected",
        found.len(),
        expected.len()
    )))
}
