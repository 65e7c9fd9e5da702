//! The demo in one process: a server, an agent, two services, and requests through the tunnel,
//! while the agent loses its connection and returns.

mod client;
mod local;
mod wire;

use std::io::{IsTerminal as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::wire::Wire;
use crate::Result;
use crate::agent::{self, Service};
use crate::protocol::Public;
use crate::say;
use crate::server::{self, Server};
use crate::tls::Identity;

/// The host name of the HTTP service.
const HOST: &str = "app.example";

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// How many requests: one half over HTTP, the other over TCP.
    #[arg(long, default_value_t = 2000, value_parser = value_parser!(u64).range(1..))]
    requests: u64,
    /// How many at once.
    #[arg(long, default_value_t = 32, value_parser = value_parser!(u64).range(1..))]
    concurrency: u64,
    /// Print the summary as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// What the clients share.
struct Work {
    requests: u64,
    next: AtomicU64,
    done: AtomicU64,
    /// Failed attempts while the agent was gone. The clients repeated them.
    repeated: AtomicU64,
    /// Half of the requests are done.
    half: Notify,
}

/// Where the clients find the services.
#[derive(Clone, Copy)]
struct Targets {
    http: SocketAddr,
    tcp: SocketAddr,
}

pub async fn run(options: Options) -> Result<()> {
    let (http, tcp) = (local::http().await?, local::tcp().await?);
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let token = format!("{:016x}", crate::random());
    let identity = Identity::new()?;
    let fingerprint = identity.fingerprint();
    let server = Server::start(server::Options::local(any, token.clone()), identity).await?;

    // The agent connects through a wire that can be cut.
    let wire = Wire::start(server.agents).await?;
    let (status, mut connected) = watch::channel(agent::Status::default());
    let stop = CancellationToken::new();
    let agent = tokio::spawn(agent::run(
        agent::Options {
            server: vec![wire.address.to_string()],
            fingerprint,
            token,
            name: "demo".to_owned(),
            sessions: 1,
            http: vec![Service { public: Public::Http(HOST.to_owned()), local: http.to_string() }],
            tcp: vec![Service { public: Public::Tcp(0), local: tcp.to_string() }],
        },
        stop.clone(),
        status,
    ));
    let port = {
        let status = connected.wait_for(|status| status.sessions == 1).await?;
        status.services().into_iter().find_map(|service| match service {
            Public::Tcp(port) => Some(port),
            Public::Http(_) => None,
        })
    };
    let port = port.ok_or("the server has given no port")?;
    let targets = Targets { http: server.http, tcp: (Ipv4Addr::LOCALHOST, port).into() };
    if !options.json {
        say(format_args!("server   agents at {}, fingerprint {fingerprint}", server.agents));
        say(format_args!("http     http://{HOST} at {} leads to {http}", targets.http));
        say(format_args!("tcp      {} leads to {tcp}, which speaks first", targets.tcp));
    }

    let started = Instant::now();
    let work = Arc::new(Work::new(options.requests));
    let mut clients = JoinSet::new();
    for _ in 0..options.concurrency {
        clients.spawn(client::run(Arc::clone(&work), targets));
    }
    let away = async {
        work.half.notified().await;
        let cut = Instant::now();
        wire.cut();
        connected.wait_for(|status| status.sessions == 2).await?;
        Result::Ok(cut.elapsed())
    };
    let (away, latencies) = tokio::select! {
        both = async { tokio::try_join!(away, client::all(&mut clients)) } => both?,
        () = show_progress(&work, started) => unreachable!("it shows without end"),
    };
    let took = started.elapsed();
    let round_trip = match server.agents().first() {
        Some(agent) => agent.session.ping().await?,
        None => return Err("the agent is gone".into()),
    };
    let totals = server.totals();
    stop.cancel();
    agent.await??;
    if !server.stop().await {
        return Err("the server has cut connections that had not finished".into());
    }
    let summary = Summary { options, work, latencies, took, away, round_trip, totals };
    summary.print();
    Ok(())
}

impl Work {
    fn new(requests: u64) -> Self {
        let [next, done, repeated] = [(); 3].map(|()| AtomicU64::new(0));
        Self { requests, next, done, repeated, half: Notify::new() }
    }

    /// The number of the next request.
    fn take(&self) -> Option<u64> {
        Some(self.next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < self.requests)
    }

    fn finish_one(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if done == self.requests.div_ceil(2) {
            self.half.notify_one();
        }
    }
}

/// A line that changes, for people.
async fn show_progress(work: &Work, started: Instant) {
    let shown = std::io::stderr().is_terminal();
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if shown {
            let done = work.done.load(Ordering::Relaxed);
            let seconds = started.elapsed().as_secs_f64();
            eprint!("\r{done} of {} requests, {seconds:.1} s \r", work.requests);
            let _ = std::io::stderr().flush();
        }
    }
}

struct Summary {
    options: Options,
    work: Arc<Work>,
    /// From the first attempt to the whole answer, in order of size.
    latencies: Vec<Duration>,
    took: Duration,
    /// From the loss of the agent to its return.
    away: Duration,
    round_trip: Duration,
    totals: server::Totals,
}

impl Summary {
    fn print(&self) {
        let Self { options, work, latencies, totals, .. } = self;
        let (answers, repeated) = (latencies.len(), work.repeated.load(Ordering::Relaxed));
        let at = |percent: usize| {
            latencies.get((answers * percent / 100).min(answers.saturating_sub(1)))
        };
        let ms = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        let [median, high, slowest] =
            [50, 99, 100].map(|percent| at(percent).copied().map(ms).unwrap_or_default());
        let (took, away, round_trip) = (ms(self.took), ms(self.away), ms(self.round_trip));
        if options.json {
            let summary = json!({
                "requests": options.requests, "answers": answers, "repeated": repeated,
                "took_ms": took, "agent_away_ms": away, "round_trip_ms": round_trip,
                "latency_ms": { "median": median, "p99": high, "slowest": slowest },
                "streams": totals.streams, "bytes_to_services": totals.to_services,
                "bytes_from_services": totals.from_services,
            });
            say(summary);
            return;
        }
        say(format_args!(
            "answers  {answers} of {} requests, every byte as expected",
            options.requests
        ));
        say(format_args!(
            "time     {took} ms; median {median} ms, 99 % {high} ms, slowest {slowest} ms"
        ));
        say(format_args!(
            "loss     the agent was cut off and back after {away} ms; {repeated} attempts made again"
        ));
        say(format_args!(
            "tunnel   {} streams, {} bytes to the services, {} back, round trip {round_trip} ms",
            totals.streams, totals.to_services, totals.from_services
        ));
    }
}

async fn listen() -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
