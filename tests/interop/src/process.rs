//! Starts interop peers as processes and talks to them.

use core::fmt;
use core::time::Duration;
use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use clap::ValueEnum as _;

use super::control::Call;
use super::options::Implementation;
use super::report::{CallResult, Line, Summary};

/// The time limit for every action of a peer. It is generous, because the machine may be busy.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The implementations the tests can pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The Go reference.
    Go,
    /// Version 2 of the Go implementation.
    Go2,
    /// One that `interop-peer` runs on.
    Rust(Implementation),
}

impl Kind {
    /// Whether it takes Go to build it.
    pub fn needs_go(self) -> bool {
        matches!(self, Self::Go | Self::Go2)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Go => f.write_str("go"),
            Self::Go2 => f.write_str("go2"),
            Self::Rust(implementation) => f.write_str(&implementation.name()),
        }
    }
}

impl Implementation {
    /// The name `--implementation` takes.
    pub fn name(self) -> String {
        let value = self.to_possible_value().expect("no implementation is hidden");
        value.get_name().to_owned()
    }
}

/// Whether Go is missing: `None` if it is installed, otherwise why tests that need it cannot run.
///
/// # Panics
///
/// If Go is missing although `MUXADO_REQUIRE_GO=1` is set.
pub fn go_missing() -> Option<&'static str> {
    const MISSING: &str = "Go is not installed (https://go.dev/dl); the Go peers need it";
    static PRESENT: OnceLock<bool> = OnceLock::new();
    let present = *PRESENT.get_or_init(|| {
        let version = Command::new("go").arg("version").stdout(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    });
    let required = std::env::var("MUXADO_REQUIRE_GO").is_ok_and(|value| value == "1");
    assert!(present || !required, "{MISSING}, and MUXADO_REQUIRE_GO=1 is set");
    (!present).then_some(MISSING)
}

/// Finds the peer programs, and builds those in Go at first use.
#[derive(Debug)]
pub struct Programs {
    rust: PathBuf,
    sources: PathBuf,
    target: PathBuf,
    go: [OnceLock<PathBuf>; 2],
}

impl Programs {
    /// `rust` is the binary `interop-peer`, `manifest` the directory of this package, and `target`
    /// the directory for the Go programs.
    pub fn new(rust: &str, manifest: &str, target: &str) -> Self {
        // Test programs may run at the same time, so each builds in its own directory.
        let own = std::env::current_exe().ok();
        let own = own.as_deref().and_then(Path::file_stem).unwrap_or("interop".as_ref());
        Self {
            rust: rust.into(),
            sources: manifest.into(),
            target: Path::new(target).join(own),
            go: Default::default(),
        }
    }

    /// Starts a peer.
    ///
    /// # Panics
    ///
    /// If the program cannot be built or started.
    pub fn start(&self, kind: Kind, arguments: &[String]) -> Peer {
        let mut command = match kind {
            Kind::Go => Command::new(self.go[0].get_or_init(|| self.build("go1"))),
            Kind::Go2 => Command::new(self.go[1].get_or_init(|| self.build("go2"))),
            Kind::Rust(implementation) => {
                let mut command = Command::new(&self.rust);
                command.args(["--implementation", &implementation.name()]);
                command
            }
        };
        Peer::start(kind, command.args(arguments)).expect("the peer program starts")
    }

    fn build(&self, name: &str) -> PathBuf {
        let program = self.target.join(name);
        let output = Command::new("go")
            .args(["build", "-trimpath", "-o"])
            .arg(&program)
            .arg(".")
            .current_dir(self.sources.join(name))
            .output()
            .expect("Go runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "go build of {name} failed:\n{errors}");
        program
    }
}

/// A running peer. Dropping it ends the process.
#[derive(Debug)]
pub struct Peer {
    kind: Kind,
    process: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Line>,
    errors: Arc<Mutex<String>>,
    results: HashMap<u64, CallResult>,
    calls: u64,
}

impl Peer {
    fn start(kind: Kind, command: &mut Command) -> io::Result<Self> {
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stdout = process.stdout.take().expect("standard output is a pipe");
        let mut stderr = process.stderr.take().expect("standard error is a pipe");
        let stdin = process.stdin.take();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("peers print lines of JSON");
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let errors = Arc::new(Mutex::new(String::new()));
        std::thread::spawn({
            let errors = errors.clone();
            move || {
                let mut bytes = [0; 4096];
                while let Ok(n @ 1..) = stderr.read(&mut bytes) {
                    let text = String::from_utf8_lossy(&bytes[..n]);
                    errors.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
                }
            }
        });
        Ok(Self { kind, process, stdin, lines, errors, results: HashMap::new(), calls: 0 })
    }

    /// The address of a peer that listens.
    pub fn address(&self) -> SocketAddr {
        match self.line(Instant::now() + LIMIT) {
            Line::Listening { addr } => addr,
            other => panic!("{}: {other:?} instead of an address", self.kind),
        }
    }

    /// The summary of the next session that ends.
    pub fn summary(&mut self) -> Summary {
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.line(deadline) {
                Line::Summary(summary) => return *summary,
                Line::Result(result) => drop(self.results.insert(result.id, *result)),
                Line::Listening { .. } => {}
            }
        }
    }

    /// What the peer has written to standard error.
    pub fn errors(&self) -> String {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn line(&self, deadline: Instant) -> Line {
        let time = deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(time) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{}: nothing within {LIMIT:?}\n{}", self.kind, self.errors())
            }
            Err(RecvTimeoutError::Disconnected) => {
                panic!("{}: the process has ended\n{}", self.kind, self.errors())
            }
        }
    }

    /// Makes a call on a peer that runs `--app control` and returns its number.
    pub fn call(&mut self, name: &str, stream: &str, call: Call) -> u64 {
        self.calls += 1;
        let call = Call { id: self.calls, call: name.into(), stream: stream.into(), ..call };
        let mut line = serde_json::to_string(&call).expect("a call is plain data");
        line.push('\n');
        let stdin = self.stdin.as_mut().expect("standard input is open until the peer is dropped");
        stdin.write_all(line.as_bytes()).expect("the peer takes calls");
        self.calls
    }

    /// What a call returned, once it has.
    pub fn result(&mut self, call: u64) -> CallResult {
        self.result_within(call, LIMIT).unwrap_or_else(|| {
            panic!("{}: call {call} did not return\n{}", self.kind, self.errors())
        })
    }

    /// The result of a call, or `None` if it is still blocked after the given time.
    pub fn result_within(&mut self, call: u64, limit: Duration) -> Option<CallResult> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(result) = self.results.remove(&call) {
                return Some(result);
            }
            let time = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(time) {
                Ok(Line::Result(result)) => drop(self.results.insert(result.id, *result)),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{}: the process has ended\n{}", self.kind, self.errors())
                }
            }
        }
    }

    /// Makes a call and waits for its result.
    pub fn ask(&mut self, name: &str, stream: &str, call: Call) -> CallResult {
        let call = self.call(name, stream, call);
        self.result(call)
    }

    /// Makes a call that must succeed.
    ///
    /// # Panics
    ///
    /// Where it does not.
    pub fn must(&mut self, name: &str, stream: &str, call: Call) -> CallResult {
        let result = self.ask(name, stream, call);
        assert!(result.ok, "{}: {name} {stream}: {}", self.kind, result.error);
        result
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Fails only if the process has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
