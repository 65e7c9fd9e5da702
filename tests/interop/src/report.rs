//! What an interop peer reports, as lines of JSON.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// How many errors and round-trip times a report lists; all are counted.
const SPELLED_OUT: usize = 10;

/// One line of a peer's standard output.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Line {
    /// The peer listens.
    Listening {
        /// Its address.
        addr: std::net::SocketAddr,
    },
    /// A session is over.
    Summary(Box<Summary>),
    /// A call of `--app control` has returned.
    Result(Box<CallResult>),
}

/// What happened in a session.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Summary {
    /// The implementation the peer ran on.
    pub library: String,
    /// Its role.
    pub role: String,
    /// Whether there were no errors.
    pub ok: bool,
    /// Errors of this side's drive.
    pub error_count: usize,
    /// The first of them.
    pub errors: Vec<String>,
    /// Streams opened.
    pub opened: usize,
    /// Streams accepted.
    pub accepted: usize,
    /// Driven streams that succeeded.
    pub completed: usize,
    /// Payload read.
    pub bytes_read: u64,
    /// Payload written.
    pub bytes_sent: u64,
    /// Errors of streams that were served.
    pub serve_errors: BTreeMap<String, usize>,
    /// Error codes of expected errors in a drive.
    pub resets: BTreeMap<String, usize>,
    /// Heartbeats answered in time.
    pub beats: u64,
    /// Heartbeats that were not.
    pub beat_timeouts: u64,
    /// The first round-trip times, in microseconds.
    pub rtt_us: Vec<u64>,
    /// How the session ended.
    pub end: End,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// How a session ended, as far as the library reports it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct End {
    /// The cause on this side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Its error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause_code: Option<String>,
    /// The code in the peer's GOAWAY.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_code: Option<String>,
    /// The debug text in the peer's GOAWAY.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_text: Option<String>,
}

/// What a call of `--app control` returned.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CallResult {
    /// The id of the call.
    pub id: u64,
    /// Whether it succeeded.
    pub ok: bool,
    /// Its error.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// The error's muxado code.
    pub code: u32,
    /// Bytes read or written.
    pub n: u64,
    /// The bytes read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hex: String,
    /// The type of an accepted stream.
    #[serde(rename = "type")]
    pub stream_type: u32,
    /// The id of an opened or accepted stream, if the library returns it.
    pub stream_id: u32,
    /// Heartbeats so far.
    pub beats: u64,
    /// Heartbeat timeouts so far.
    pub beat_timeouts: u64,
}

/// Gathers a [`Summary`] while a session runs.
#[derive(Debug, Default)]
pub struct Report {
    summary: Mutex<Summary>,
    /// Wakes a waiting drive when a heartbeat has come or is overdue.
    pub beat: event_listener::Event,
}

impl Report {
    /// Starts a report for a session of the given implementation and role.
    pub fn new(library: &str, role: &str) -> Self {
        let summary = Summary { library: library.into(), role: role.into(), ..Summary::default() };
        Self { summary: Mutex::new(summary), ..Self::default() }
    }

    /// The summary so far.
    pub fn summary(&self) -> MutexGuard<'_, Summary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an error that makes this peer's run a failure.
    pub fn fail(&self, error: String) {
        let mut summary = self.summary();
        summary.error_count += 1;
        if summary.errors.len() < SPELLED_OUT {
            summary.errors.push(error);
        }
    }

    /// Counts an error of a served stream. The side that drove the stream decides whether it
    /// matters.
    pub fn serve_error(&self, error: String) {
        *self.summary().serve_errors.entry(error).or_default() += 1;
    }

    /// Counts payload.
    pub fn moved(&self, read: usize, sent: usize) {
        let mut summary = self.summary();
        summary.bytes_read += read as u64;
        summary.bytes_sent += sent as u64;
    }

    /// Counts an expected error by its code.
    pub fn reset(&self, code: Option<u32>) {
        let code = code.map_or("none".into(), |code| code.to_string());
        *self.summary().resets.entry(code).or_default() += 1;
    }

    /// Counts a heartbeat, or with `None` one that is overdue.
    pub fn beat(&self, rtt: Option<Duration>) {
        let mut summary = self.summary();
        match rtt {
            None => summary.beat_timeouts += 1,
            Some(rtt) => {
                summary.beats += 1;
                if summary.rtt_us.len() < SPELLED_OUT {
                    summary.rtt_us.push(rtt.as_micros() as u64);
                }
            }
        }
        drop(summary);
        self.beat.notify(usize::MAX);
    }

    /// Prints the summary line and returns whether the session went well.
    pub fn print(&self, elapsed: Duration) -> bool {
        let mut summary = self.summary().clone();
        summary.ok = summary.error_count == 0;
        summary.elapsed_ms = elapsed.as_millis() as u64;
        let ok = summary.ok;
        print_line(&Line::Summary(Box::new(summary)));
        ok
    }
}

/// Writes one line of JSON to standard output.
pub fn print_line(line: &Line) {
    let text = serde_json::to_string(line).expect("a line is plain data");
    let mut stdout = std::io::stdout().lock();
    // A reader that is gone no longer cares.
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}
