//! Runs cases concurrently, each on its own connection.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::case::{Case, Class, Stop};
use super::probe::Probe;
use super::settings::Settings;
use super::trace::Trace;

/// How connections to the endpoint are made.
#[derive(Debug)]
pub struct Reach {
    way: Way,
    /// Set when the endpoint is known to be gone, so that the remaining cases need not wait for it
    /// one by one.
    gone: AtomicBool,
}

#[derive(Debug)]
enum Way {
    Dial(String),
    Listen(TcpListener),
}

impl Reach {
    /// How long to wait for an endpoint that has to come back first.
    const PATIENCE: Duration = Duration::from_secs(15);

    /// The suite dials this address once for every case.
    pub fn dial(addr: impl Into<String>) -> Self {
        Self { way: Way::Dial(addr.into()), gone: AtomicBool::new(false) }
    }

    /// The endpoint dials the suite repeatedly.
    pub fn listen(listener: TcpListener) -> Self {
        Self { way: Way::Listen(listener), gone: AtomicBool::new(false) }
    }

    /// A fresh connection.
    async fn connect(&self) -> io::Result<TcpStream> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let connected = timeout(Self::PATIENCE, async {
            match &self.way {
                Way::Listen(listener) => listener.accept().await.map(|(transport, _)| transport),
                Way::Dial(addr) => loop {
                    match TcpStream::connect(addr).await {
                        // An endpoint that an earlier case brought down may be restarting.
                        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                            sleep(Duration::from_millis(50)).await;
                        }
                        other => return other,
                    }
                },
            }
        });
        let result = connected.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if result.is_err() {
            self.gone.store(true, Ordering::Relaxed);
        }
        result
    }
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The endpoint did as expected.
    Passed,
    /// It did not.
    Failed,
    /// The case does not apply to this endpoint.
    Skipped,
    /// There was no connection to run the case on.
    Error,
}

/// The result of one case.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Name of the case.
    pub name: &'static str,
    /// How much a failure weighs.
    pub class: Class,
    /// The section of PROTOCOL.md that has the rule.
    pub rule: &'static str,
    /// What was done to the endpoint.
    pub given: &'static str,
    /// What it had to do.
    pub expected: &'static str,
    /// How it went.
    pub status: Status,
    /// What came.
    pub seen: String,
    /// The step that did not happen, of a failed case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// The last frames in both directions, of a failed case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<String>,
    /// How long it took.
    pub milliseconds: u64,
}

impl Outcome {
    /// Whether this means that the endpoint is broken.
    pub fn is_broken(&self) -> bool {
        self.class == Class::Must && matches!(self.status, Status::Failed | Status::Error)
    }
}

/// Runs `cases`, at most `jobs` at a time, and passes on the outcomes in the order of the cases.
pub async fn run(
    reach: &Reach,
    settings: &Arc<Settings>,
    cases: &[&'static Case],
    jobs: usize,
    mut report: impl FnMut(&Outcome),
) -> Vec<Outcome> {
    let running = cases.iter().map(|case| run_case(case, reach, settings));
    let mut running = futures_util::stream::iter(running).buffered(jobs.max(1));
    let mut outcomes = Vec::with_capacity(cases.len());
    while let Some(outcome) = running.next().await {
        report(&outcome);
        outcomes.push(outcome);
    }
    outcomes
}

async fn run_case(case: &'static Case, reach: &Reach, settings: &Arc<Settings>) -> Outcome {
    let outcome = |status, seen, wanted, trace, started: Instant| Outcome {
        name: case.name,
        class: case.class,
        rule: case.rule,
        given: case.given,
        expected: case.expected,
        status,
        seen,
        wanted,
        trace,
        milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    };
    let started = Instant::now();
    let transport = match reach.connect().await {
        Ok(transport) => transport,
        Err(error) => {
            let seen = format!("no connection: {error}");
            return outcome(Status::Error, seen, None, Vec::new(), started);
        }
    };
    let started = Instant::now();
    let trace = Trace::default();
    let probe = Probe::new(transport, Arc::clone(settings), trace.clone());
    // Every wait inside a case has its own limit; this one is for an endpoint
    // that never stops sending.
    let limit = settings.patience * 10;
    match timeout(limit, (case.run)(probe)).await {
        Ok(Ok(seen)) => outcome(Status::Passed, seen, None, Vec::new(), started),
        Ok(Err(Stop::Skipped(why))) => outcome(Status::Skipped, why, None, Vec::new(), started),
        Ok(Err(Stop::Failed { wanted, seen })) => {
            outcome(Status::Failed, seen, Some(wanted), trace.lines(), started)
        }
        Err(_) => {
            let seen = format!("no end after {limit:?}");
            outcome(Status::Failed, seen, None, trace.lines(), started)
        }
    }
}
