//! Servers and agents as processes.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// How long a line, or the end of a process, may take. Only a program that hangs takes this long.
pub const LIMIT: Duration = Duration::from_secs(60);

pub const TOKEN: &str = "a token for the tests";

/// A running program. Dropping it ends the process.
pub struct Program {
    process: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Program {
    pub fn run(arguments: &[String]) -> Self {
        Self::run_in(&std::env::temp_dir(), arguments)
    }

    pub fn run_in(directory: &Path, arguments: &[String]) -> Self {
        let mut process = Command::new(&*TUNNEL)
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (sender, lines) = channel();
        collect(process.stdout.take().expect("a pipe"), sender.clone());
        collect(process.stderr.take().expect("a pipe"), sender);
        Self { process, lines, seen: Vec::new() }
    }

    /// Waits for a line of standard output or standard error that contains `text`; returns the rest
    /// of the line after it.
    pub fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = line.split_once(text).map(|(_, rest)| rest.trim().to_owned());
                    self.seen.push(line);
                    if let Some(rest) = found {
                        return rest;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no {text:?}: {:#?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => panic!("no {text:?}: {:#?}", self.seen),
            }
        }
    }

    /// Waits for a text; returns `false` if the program ends without it.
    pub fn prints_or_ends(&mut self, text: &str) -> bool {
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(text) => return true,
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("no {text:?}: {:#?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Sends a signal, by name.
    pub fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().expect("there is a kill");
        assert!(sent.success());
    }

    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("the process is ours").is_none()
    }

    /// Waits for the end; also returns the last lines.
    pub fn end(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + LIMIT;
        // The pipes close when it ends.
        while let Ok(line) =
            self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            self.seen.push(line);
        }
        assert!(Instant::now() < deadline, "it does not end: {:#?}", self.seen);
        let status = self.process.wait().expect("the process is ours");
        (status, self.seen.join("\n"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails only if the process has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn collect(pipe: impl Read + Send + 'static, sender: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
}

/// A server that runs.
pub struct Server {
    pub program: Program,
    pub agents: SocketAddr,
    pub http: SocketAddr,
    pub admin: SocketAddr,
    pub fingerprint: String,
}

/// A separate, empty directory for each caller.
pub fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("muxado-tunnel-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("the directory can be made");
    path
}

impl Server {
    /// A server at any free ports.
    pub fn start(name: &str) -> Self {
        Self::with(&directory(name), "127.0.0.1:0", "127.0.0.1:0", &[])
    }

    /// A server whose certificate is in a directory, and is created there if necessary. Its ports
    /// are at 127.0.0.1 if `more` does not name another address.
    pub fn with(directory: &Path, agents: &str, http: &str, more: &[&str]) -> Self {
        let file = |name| directory.join(name).display().to_string();
        let (certificate, key) = (file("cert.pem"), file("key.pem"));
        let at: &[_] = if more.contains(&"--tcp") { &[] } else { &["--tcp", "127.0.0.1"] };
        let arguments = [
            &["server", "--listen", agents, "--http", http, "--token", TOKEN],
            &["--certificate", &certificate, "--key", &key][..],
            &["--admin", "127.0.0.1:0"],
            at,
            more,
        ];
        let arguments: Vec<_> = arguments.concat().into_iter().map(str::to_owned).collect();
        let mut program = Program::run(&arguments);
        let agents = program.wait_for("agents connect to ").parse().expect("an address");
        let http = program.wait_for("requests arrive at http://").parse().expect("an address");
        let admin = program.wait_for("what happens is shown at http://");
        let admin = admin.trim_end_matches('/').parse().expect("an address");
        let fingerprint = program.wait_for("fingerprint ");
        Self { program, agents, http, admin, fingerprint }
    }

    /// An agent of this server, which may not have connected yet.
    pub fn agent(&self, name: &str, services: &[&str]) -> Program {
        self.agent_with(name, TOKEN, &self.fingerprint, services)
    }

    pub fn agent_with(
        &self,
        name: &str,
        token: &str,
        fingerprint: &str,
        services: &[&str],
    ) -> Program {
        let server = self.agents.to_string();
        let arguments = [
            &["agent", "--server", &server, "--name", name, "--token", token],
            &["--fingerprint", fingerprint][..],
            services,
        ];
        let arguments: Vec<_> = arguments.concat().into_iter().map(str::to_owned).collect();
        Program::run(&arguments)
    }
}

/// The example, built.
static TUNNEL: LazyLock<PathBuf> = LazyLock::new(|| {
    let mut programs = muxado_tests::programs::examples().expect("cargo builds the examples");
    programs.remove("tunnel").expect("it is an example")
});
