//! The examples work with each other: real processes over TCP, every server with every client.
//!
//! Cargo builds the programs. If the tests were built with unified dependencies and features, as
//! with the README's command, nothing is left to build.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;

/// The examples that can be the server: name, and what it runs on.
const SERVERS: &[(&str, &str)] =
    &[("rpc", "tokio"), ("rpc-smol", "smol"), ("event_loop", "mio"), ("threads", "threads")];

/// The client's end on these.
const CLIENTS: &[(&str, &str)] = &[("rpc", "tokio"), ("rpc-smol", "smol"), ("threads", "threads")];

/// Many small requests.
const SMALL: Load = Load { requests: 300, concurrency: 50, payload: 100 };

/// Messages larger than windows and send buffers, so both ends wait for credit, write in parts and
/// read in parts.
const LARGE: Load = Load { requests: 4, concurrency: 4, payload: 400_000 };

/// More requests at once than streams, so most wait to open one.
const CROWD: Load = Load { requests: 2500, concurrency: 1500, payload: 10 };

/// What the example of HTTP prints. The client keeps the stream for its second request.
const HTTP: &str = "hello, Ada, on stream 2\nhello, Grace, on stream 2\n";

/// What the example of gRPC prints.
const GRPC: &str = "HELLO on stream 3\nONE AND TWO\nA, B, C\nFIRST, SECOND\n";

/// The examples that take no options but `--help`.
const SMALL_ONES: &[&str] = &[
    "blocking",
    "child",
    "grpc",
    "http",
    "http-smol",
    "minimal",
    "tls",
    "tls-smol",
    "unix",
    "unix-smol",
    "uring",
    "websocket",
];

/// The examples that take options, and one of their options.
const LARGE_ONES: &[(&str, &str)] = &[
    ("event_loop", "--sessions"),
    ("rpc", "--requests"),
    ("rpc-smol", "--requests"),
    ("threads", "--requests"),
    ("tunnel", "demo"),
    ("wire", "--listen"),
];

/// How long one line of a program may take. Only a program that hangs takes this long.
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Clone, Copy)]
struct Load {
    requests: u64,
    concurrency: u32,
    payload: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for &server in SERVERS {
        for &client in CLIENTS {
            for (load, name) in [(SMALL, "small"), (LARGE, "large"), (CROWD, "crowd")] {
                let name = format!("{} serves {}: {name}", server.1, client.1);
                trials.push(trial(name, move || pair(server, client, load)));
            }
        }
    }
    for (example, runtime) in [("rpc", "tokio"), ("rpc-smol", "smol")] {
        let name = format!("{runtime} alone");
        trials.push(trial(name, move || alone(example, runtime)));
    }
    for (example, runtime) in SERVERS {
        let name = format!("{runtime} fails when the client vanishes");
        trials.push(trial(name, move || client_vanishes(example)));
    }
    trials.push(trial("mio serves several at once", several_at_once));
    trials.push(trial("the smallest loop", || prints("minimal", "the server says HELLO\n")));
    trials.push(trial("blocking threads", || prints("blocking", "the server says HELLO\n")));
    trials.push(trial("a child process", || prints("child", "the child says HELLO\n")));
    trials.push(trial("frames between two peers", frames_between));
    trials.push(trial("frames that nobody reads", frames_unread));
    trials.push(trial("a tunnel whose agent is lost and returns", tunnel_demo));
    trials.push(trial("HTTP", || prints("http", HTTP)));
    trials.push(trial("HTTP on smol", || prints("http-smol", "hello, Ada\nhello, Grace\n")));
    trials.push(trial("gRPC", || prints("grpc", GRPC)));
    for (example, over) in
        [("tls", "TLS"), ("tls-smol", "TLS, on smol"), ("websocket", "WebSocket")]
    {
        trials.push(trial(over, move || prints(example, "the server says HELLO\n")));
    }
    for (example, over) in [("unix", "Unix socket"), ("unix-smol", "Unix socket, on smol")] {
        trials.push(trial(over, move || prints(example, "the client says HELLO\n")));
    }
    trials.push(trial("io_uring", io_uring));
    trials.push(trial("help", help));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A test that fails by panicking.
fn trial(name: impl Into<String>, run: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        run();
        Ok(())
    })
}

fn pair(server: (&str, &str), client: (&str, &str), load: Load) {
    let (mut listener, address) = Program::listen(server.0, load);
    let client_summary = Program::connect(client.0, address, load).succeed();
    let server_summary = listener.succeed();
    for summary in [&client_summary, &server_summary] {
        check(summary, load, client.1, server.1);
    }
    // Each end has measured, and reported to the other.
    for path in ["/client/latency_ns", "/server/latency_ns"] {
        let [one, other] = [&client_summary, &server_summary].map(|summary| summary.pointer(path));
        assert_eq!(one, other, "{path}");
    }
    assert_eq!(client_summary["closed"], "closed by this side: no error (0)");
    assert_eq!(server_summary["closed"], "closed by the peer: no error (0)");
}

/// Runs an example that ends by itself.
fn prints(example: &str, expected: &str) {
    let path = EXAMPLES.get(example).unwrap_or_else(|| panic!("no example {example}"));
    let output = Command::new(path).stdin(Stdio::null()).output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

/// Where the kernel refuses an io_uring the example says so.
fn io_uring() {
    let output = Command::new(&EXAMPLES["uring"]).output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    if let Some(reason) = lines.strip_prefix("skipped: ") {
        eprintln!("io_uring: skipped: {reason}");
    } else {
        assert_eq!(lines, "64 MiB came back\nunder 1 % of it was copied\n", "{output:?}");
    }
}

/// `--help` of an example describes what it does, and lists its options.
fn help() {
    let help = |example: &str| {
        let path = EXAMPLES.get(example).unwrap_or_else(|| panic!("no example {example}"));
        let output = Command::new(path).arg("--help").stdin(Stdio::null()).output();
        let output = output.expect("it starts");
        assert!(output.status.success(), "{example}: {output:?}");
        String::from_utf8(output.stdout).expect("it is text")
    };
    for example in SMALL_ONES {
        let text = help(example);
        assert_eq!(text.lines().count(), 1, "{example}: {text}");
    }
    for (example, option) in LARGE_ONES {
        let text = help(example);
        assert!(text.contains(option), "{example}: {text}");
    }
}

/// The example that prints frames stands between two others.
fn frames_between() {
    let (mut server, address) = Program::listen("rpc", SMALL);
    let address = address.to_string();
    let arguments = ["--listen", "127.0.0.1:0", "--connect", &address, "--connections", "1"];
    let mut wire = Program::run("wire", &arguments);
    let line = wire.line().expect("it tells where it listens");
    let between = line.strip_prefix("listening on ").and_then(|address| address.parse().ok());
    let client = Program::connect("rpc", between.expect("an address"), SMALL).succeed();
    check(&client, SMALL, "tokio", "tokio");
    server.succeed();
    let lines: Vec<String> = std::iter::from_fn(|| wire.line()).collect();
    assert!(wire.has_succeeded());
    for expected in ["> DATA SYN on stream 3, ", "< DATA SYN on stream 2, ", "GOAWAY: no error (0)"]
    {
        assert!(lines.iter().any(|line| line.contains(expected)), "no {expected:?}: {lines:#?}");
    }
}

/// A proxy whose output is closed, as by `head`, forwards everything all the same.
fn frames_unread() {
    let (mut server, address) = Program::listen("rpc", SMALL);
    let address = address.to_string();
    let mut wire = Command::new(&EXAMPLES["wire"])
        .args(["--listen", "127.0.0.1:0", "--connect", &address, "--connections", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let stdout = wire.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("it tells where it listens");
    let between =
        line.trim().strip_prefix("listening on ").and_then(|address| address.parse().ok());
    Program::connect("rpc", between.expect("an address"), SMALL).succeed();
    server.succeed();
    assert!(wire.wait().expect("the process is ours").success());
}

/// Every request through the tunnel is answered, although the agent is cut off half-way.
fn tunnel_demo() {
    let summary = Program::run("tunnel", &["demo", "--requests", "300", "--json"]).succeed();
    assert_eq!(summary["answers"], 300, "{summary}");
    // One stream for each request, and one for each repeated attempt that reached that point.
    let [streams, repeated] = ["streams", "repeated"].map(|key| summary[key].as_u64());
    let most = repeated.map(|repeated| 300 + repeated);
    assert!(streams >= Some(300) && streams <= most, "{summary}");
    assert!(summary["agent_away_ms"].as_f64() > Some(0.0), "{summary}");
    // Half of the texts come back over HTTP, the other half goes both ways over TCP.
    let text = |number: u64| (number * 7919 % 16_384).max(9);
    let (there, back) =
        ((0..300).filter(|number| number % 2 == 1).map(text).sum(), (0..300).map(text).sum());
    assert!(summary["bytes_to_services"].as_u64() > Some(there), "{summary}");
    assert!(summary["bytes_from_services"].as_u64() > Some(back), "{summary}");
}

fn alone(example: &str, runtime: &str) {
    check(&Program::start(example, &[], CROWD).succeed(), CROWD, runtime, runtime);
}

fn client_vanishes(example: &str) {
    let (mut listener, address) = Program::listen(example, SMALL);
    drop(TcpStream::connect(address).expect("it listens"));
    assert_eq!(listener.line(), None, "there are no figures of a session that broke");
    assert!(!listener.has_succeeded());
}

fn several_at_once() {
    let clients = CLIENTS.len().to_string();
    let arguments = ["--listen", "127.0.0.1:0", "--sessions", &clients];
    let mut server = Program::start("event_loop", &arguments, SMALL);
    let address = server.address();
    let running: Vec<_> =
        CLIENTS.iter().map(|client| Program::connect(client.0, address, SMALL)).collect();
    for (mut program, client) in running.into_iter().zip(CLIENTS) {
        check(&program.succeed(), SMALL, client.1, "mio");
    }
    for _ in CLIENTS {
        let line = server.line().expect("one summary for each session");
        assert_eq!(parse(&line)["success"], true, "{line}");
    }
    assert_eq!(server.line(), None);
    assert!(server.has_succeeded());
}

/// Every request of both ends was answered, and the figures are there.
fn check(summary: &Value, load: Load, client: &str, server: &str) {
    assert_eq!(summary["success"], true, "{summary}");
    for (role, runtime) in [("client", client), ("server", server)] {
        let end = &summary[role];
        assert_eq!(end["runtime"], runtime, "{summary}");
        assert_eq!(end["errors"], 0, "{summary}");
        assert_eq!(end["answers"], load.requests, "{summary}");
        assert_eq!(end["latency_ns"]["count"], load.requests, "{summary}");
        let most = end["most_in_flight"].as_u64();
        assert!(most.is_some_and(|most| (1..=1500).contains(&most)), "{summary}");
        assert!(end["rtt_ns"]["count"].as_u64() > Some(0), "no heartbeat came back: {summary}");
    }
    // Requests and responses are sent in both directions, with their payload.
    let least = 2 * load.requests * u64::from(load.payload);
    for direction in ["bytes_to_client", "bytes_to_server"] {
        assert!(summary["traffic"][direction].as_u64() > Some(least), "{summary}");
    }
}

/// A running example. Dropping it ends the process.
struct Program {
    name: String,
    process: Child,
    lines: Receiver<String>,
}

impl Program {
    fn start(example: &str, arguments: &[&str], load: Load) -> Self {
        let [requests, concurrency, payload] =
            [load.requests, load.concurrency.into(), load.payload.into()].map(|n| n.to_string());
        let load = ["--json", "--requests", &requests, "--concurrency", &concurrency];
        Self::run(example, &[arguments, &load, &["--payload", &payload]].concat())
    }

    fn run(example: &str, arguments: &[&str]) -> Self {
        let path = EXAMPLES.get(example).unwrap_or_else(|| panic!("no example {example}"));
        let mut process = Command::new(path)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let stdout = process.stdout.take().expect("standard output is a pipe");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { name: example.to_owned(), process, lines }
    }

    /// The server's end, at any free port; serves one session.
    fn listen(example: &str, load: Load) -> (Self, SocketAddr) {
        let one: &[&str] = if example == "event_loop" { &["--sessions", "1"] } else { &[] };
        let arguments = [&["--listen", "127.0.0.1:0"], one].concat();
        let program = Self::start(example, &arguments, load);
        let address = program.address();
        (program, address)
    }

    fn connect(example: &str, address: SocketAddr, load: Load) -> Self {
        Self::start(example, &["--connect", &address.to_string()], load)
    }

    /// The address it prints when it listens.
    fn address(&self) -> SocketAddr {
        let line = self.line().expect("it tells where it listens");
        let address = parse(&line)["listening"].as_str().map(str::parse);
        address.expect("an address").expect("an address")
    }

    /// The next line it prints; `None` at the end of its output.
    fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("{}: nothing within {LIMIT:?}", self.name),
        }
    }

    fn has_succeeded(&mut self) -> bool {
        self.process.wait().expect("the process is ours").success()
    }

    /// The summary of a program that does its job and ends.
    fn succeed(&mut self) -> Value {
        let line = self.line().unwrap_or_else(|| panic!("{} printed no summary", self.name));
        assert_eq!(self.line(), None, "{}: one line is all", self.name);
        assert!(self.has_succeeded(), "{}: {line}", self.name);
        parse(&line)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails only if the process has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The programs by name, built once.
static EXAMPLES: LazyLock<HashMap<String, PathBuf>> =
    LazyLock::new(|| muxado_tests::programs::examples().expect("cargo builds the examples"));
