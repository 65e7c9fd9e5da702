//! The requests of one end, and their results.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use muxado_proto::Role;

use crate::message::{Request, Response};
use crate::options::Load;
use crate::report::{Quantiles, Report};

/// The requests of one end: hands them out, checks the answers, keeps the figures. Clones are
/// handles to the same work.
#[derive(Debug, Clone)]
pub struct Work {
    load: Load,
    runtime: &'static str,
    ledger: Arc<Mutex<Ledger>>,
    progress: ProgressBar,
}

/// A request on its way to an answer.
#[derive(Debug)]
#[must_use = "a question has to be settled"]
pub struct Question {
    request: Request,
    /// When it wanted a stream.
    asked: Instant,
    /// When it got one.
    opened: Option<Instant>,
}

#[derive(Debug)]
struct Ledger {
    started: Option<Instant>,
    finished: Option<Instant>,
    /// Requests handed out.
    asked: u64,
    /// Requests handed out and not settled.
    outstanding: u64,
    /// Those of them that have a stream.
    in_flight: u32,
    most_in_flight: u32,
    stopped: bool,
    latency: Histogram<u64>,
    wait: Histogram<u64>,
    beats: Histogram<u64>,
    errors: u64,
    first_error: Option<String>,
}

impl Work {
    /// The work of an end that runs on `runtime`.
    #[must_use]
    pub fn new(load: &Load, runtime: &'static str) -> Self {
        let ledger = Ledger {
            started: None,
            finished: None,
            asked: 0,
            outstanding: 0,
            in_flight: 0,
            most_in_flight: 0,
            stopped: false,
            latency: histogram(),
            wait: histogram(),
            beats: histogram(),
            errors: 0,
            first_error: None,
        };
        let (ledger, progress) = (Arc::new(Mutex::new(ledger)), ProgressBar::hidden());
        Self { load: load.clone(), runtime, ledger, progress }
    }

    /// The same with a bar that grows by each answer.
    #[must_use]
    pub fn with_progress(self, progress: ProgressBar) -> Self {
        Self { progress, ..self }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests to have under way at once.
    #[must_use]
    pub fn concurrency(&self) -> u32 {
        self.load.concurrency
    }

    /// The next request, `None` when all have been handed out.
    pub fn next(&self) -> Option<Question> {
        let mut ledger = self.ledger();
        let now = Instant::now();
        let started = *ledger.started.get_or_insert(now);
        let over = match self.load.seconds {
            Some(limit) => now - started >= limit,
            None => ledger.asked >= self.load.requests,
        };
        if over || ledger.stopped {
            return None;
        }
        ledger.asked += 1;
        ledger.outstanding += 1;
        let id = ledger.asked;
        drop(ledger);
        let payload = usize::try_from(self.load.payload).unwrap_or(usize::MAX);
        Some(Question { request: Request::new(id, payload), asked: now, opened: None })
    }

    /// Hands out no more requests.
    pub fn stop(&self) {
        self.ledger().stopped = true;
    }

    /// Whether every request that was handed out has been settled.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.ledger().outstanding == 0
    }

    /// The request has its stream; returns the bytes to write there.
    #[must_use]
    pub fn open(&self, question: &mut Question) -> Vec<u8> {
        let now = Instant::now();
        question.opened = Some(now);
        let mut ledger = self.ledger();
        ledger.wait.saturating_record(nanos(now - question.asked));
        ledger.in_flight += 1;
        ledger.most_in_flight = ledger.most_in_flight.max(ledger.in_flight);
        drop(ledger);
        serde_json::to_vec(&question.request).expect("a request is plain data")
    }

    /// The answer has arrived, or the request has failed.
    pub fn settle<E: fmt::Display>(&self, question: Question, answer: Result<&[u8], E>) {
        let now = Instant::now();
        let result = match answer {
            Ok(answer) => check(question.request, answer),
            Err(error) => Err(error.to_string()),
        };
        let mut ledger = self.ledger();
        ledger.finished = Some(now);
        ledger.outstanding -= 1;
        if let Some(opened) = question.opened {
            ledger.in_flight -= 1;
            if result.is_ok() {
                ledger.latency.saturating_record(nanos(now - opened));
            }
        }
        if let Err(error) = result {
            ledger.fail(error);
        }
        drop(ledger);
        self.progress.inc(1);
    }

    /// A heartbeat has come back.
    pub fn beat(&self, rtt: Duration) {
        self.ledger().beats.saturating_record(nanos(rtt));
    }

    /// Records an error that belongs to no request.
    pub fn fail(&self, error: impl fmt::Display) {
        self.ledger().fail(error.to_string());
    }

    /// How it went, so far.
    #[must_use]
    pub fn report(&self, role: Role) -> Report {
        let ledger = self.ledger();
        let span = ledger.started.zip(ledger.finished);
        let elapsed = span.map_or(Duration::ZERO, |(start, end)| end - start);
        Report {
            role: if role == Role::Client { "client" } else { "server" }.to_owned(),
            runtime: self.runtime.to_owned(),
            answers: ledger.latency.len(),
            errors: ledger.errors,
            first_error: ledger.first_error.clone(),
            seconds: elapsed.as_secs_f64(),
            most_in_flight: ledger.most_in_flight,
            latency_ns: Quantiles::of(&ledger.latency),
            wait_ns: Quantiles::of(&ledger.wait),
            rtt_ns: Quantiles::of(&ledger.beats),
        }
    }
}

impl Ledger {
    fn fail(&mut self, error: String) {
        self.errors += 1;
        self.first_error.get_or_insert(error);
    }
}

fn check(request: Request, answer: &[u8]) -> Result<(), String> {
    let response: Response = serde_json::from_slice(answer)
        .map_err(|error| format!("no answer to request {}: {error}", request.id))?;
    let id = request.id;
    if response == request.answered() {
        Ok(())
    } else {
        Err(format!("wrong answer to request {id}: {}", String::from_utf8_lossy(answer)))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Up to an hour, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("the bounds are in order")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(requests: u64) -> Work {
        let load = Load { requests, seconds: None, concurrency: 1, payload: 10 };
        Work::new(&load, "test")
    }

    #[test]
    fn right_answers_count_and_wrong_ones_are_errors() {
        let work = work(3);
        for number in 0..3 {
            let mut question = work.next().expect("three requests");
            let request = work.open(&mut question);
            let answer = match number {
                0 => crate::answer(&request).expect("it is a request"),
                1 => br#"{"id":1,"answer":0,"payload":""}"#.to_vec(),
                _ => Vec::new(),
            };
            assert!(!work.is_settled());
            work.settle::<String>(question, Ok(&answer));
        }
        assert!(work.next().is_none());
        assert!(work.is_settled());
        let report = work.report(Role::Client);
        assert_eq!((report.answers, report.errors, report.most_in_flight), (1, 2, 1));
        assert!(report.first_error.is_some_and(|error| error.starts_with("wrong answer")));
    }

    #[test]
    fn stopped_work_asks_no_more() {
        let work = work(3);
        let question = work.next().expect("three requests");
        work.stop();
        assert!(work.next().is_none());
        work.settle(question, Err("no stream"));
        assert_eq!(work.report(Role::Server).errors, 1);
    }
}
