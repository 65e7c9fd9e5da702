//! Servers and agents as processes.

use std::io::{BufRead as _, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering};
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
        Self::start(directory, arguments, [usize::MAX; 2])
    }

    /// Runs a program whose standard output and standard error are read up to a number of lines
    /// each, and then closed.
    pub fn run_unread(arguments: &[String], lines: [usize; 2]) -> Self {
        Self::start(&std::env::temp_dir(), arguments, lines)
    }

    fn start(directory: &Path, arguments: &[String], [out, err]: [usize; 2]) -> Self {
        let mut process = Command::new(&*TUNNEL)
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (sender, lines) = channel();
        collect(process.stdout.take().expect("a pipe"), sender.clone(), out);
        collect(process.stderr.take().expect("a pipe"), sender, err);
        Self { process, lines, seen: Vec::new() }
    }

    /// Waits for a line of standard output or standard error in which `find` finds something; `None`
    /// if the output ends without it.
    fn find<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = find(&line);
                    self.seen.push(line);
                    if found.is_some() {
                        return found;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no {what}: {:#?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Waits for a line of standard output or standard error that contains `text`; returns the rest
    /// of the line after it.
    pub fn wait_for(&mut self, text: &str) -> String {
        let rest = |line: &str| line.split_once(text).map(|(_, rest)| rest.trim().to_owned());
        self.find(text, rest).unwrap_or_else(|| panic!("no {text:?}: {:#?}", self.seen))
    }

    /// Waits for a text; returns `false` if the program ends without it.
    pub fn prints_or_ends(&mut self, text: &str) -> bool {
        self.find(text, |line| line.contains(text).then_some(())).is_some()
    }

    /// Waits until nobody reads the output any more.
    pub fn wait_until_unread(&mut self) {
        self.find("end of the output", |_| None::<()>);
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
        // The pipes close when it ends, unless the test closed them before.
        while let Ok(line) =
            self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            self.seen.push(line);
        }
        loop {
            if let Some(status) = self.process.try_wait().expect("the process is ours") {
                return (status, self.seen.join("\n"));
            }
            assert!(Instant::now() < deadline, "it does not end: {:#?}", self.seen);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails only if the process has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Repeats an attempt until it succeeds.
pub fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(done) = attempt() {
            return done;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends the lines to the test, at most a number of them, and closes the pipe.
fn collect(pipe: impl Read + Send + 'static, sender: Sender<String>, most: usize) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok).take(most) {
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

/// Addresses of this machine at which no other test listens. Linux has all that begin with 127.
#[derive(Clone, Copy)]
pub struct Network(u8);

impl Network {
    /// Another one for each caller.
    pub fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        assert_ne!(number, 0, "there are too many networks");
        Self(number)
    }

    pub fn address(self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, self.0, number + 1)
    }

    /// Listens at a free port. No other test takes it after the listener is dropped.
    pub fn free(self, number: u8) -> TcpListener {
        TcpListener::bind((self.address(number), 0)).expect("a free port")
    }
}

/// An address at which nobody listens, now or later.
pub fn nobody() -> SocketAddr {
    address(&Network::new().free(0))
}

pub fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("it listens")
}

impl Server {
    /// A server at any free ports.
    pub fn start(name: &str) -> Self {
        Self::with(&directory(name), "127.0.0.1:0", "127.0.0.1:0", &[])
    }

    /// A server whose certificate is in a directory, and is created there if necessary. Its ports
    /// are at 127.0.0.1 if `more` does not name another address.
    pub fn with(directory: &Path, agents: &str, http: &str, more: &[&str]) -> Self {
        Self::of(Program::run(&Self::arguments(directory, agents, http, more)))
    }

    /// The arguments of such a server.
    pub fn arguments(directory: &Path, agents: &str, http: &str, more: &[&str]) -> Vec<String> {
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
        arguments.concat().into_iter().map(str::to_owned).collect()
    }

    /// A program that is a server: waits until it says where.
    pub fn of(mut program: Program) -> Self {
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
        Program::run(&self.agent_arguments(name, token, fingerprint, services))
    }

    pub fn agent_arguments(
        &self,
        name: &str,
        token: &str,
        fingerprint: &str,
        services: &[&str],
    ) -> Vec<String> {
        let server = self.agents.to_string();
        let arguments = [
            &["agent", "--server", &server, "--name", name, "--token", token],
            &["--fingerprint", fingerprint][..],
            services,
        ];
        arguments.concat().into_iter().map(str::to_owned).collect()
    }
}

/// An agent that knows several servers.
pub fn agent_of(servers: &[&Server], name: &str, services: &[&str]) -> Program {
    let more: Vec<_> = servers[1..].iter().map(|server| server.agents.to_string()).collect();
    let mut arguments = services.to_vec();
    more.iter().for_each(|address| arguments.extend(["--server", address]));
    servers[0].agent(name, &arguments)
}

/// The example, built.
static TUNNEL: LazyLock<PathBuf> = LazyLock::new(|| {
    let mut programs = muxado_tests::programs::examples().expect("cargo builds the examples");
    programs.remove("tunnel").expect("it is an example")
});
