//! Compares ours and every other implementation in the conformance suite.

mod page;

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::options::Implementation;
use crate::process::{Kind, Peer, Programs, go_missing};
use muxado_conformance::echo::{Endpoint, Example, Runtime};
use muxado_conformance::{Case, Outcome, Reach, Role, Settings, cases, report, run};
use muxado_tests::programs;

pub use page::markdown;

/// How the endpoints were run: all cases in each of these settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The endpoint's role.
    pub role: Role,
    /// Whether its streams had types.
    pub typed: bool,
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self { role: Role::Server, typed: false },
        Self { role: Role::Client, typed: false },
        Self { role: Role::Server, typed: true },
        Self { role: Role::Client, typed: true },
    ];

    fn cases(self) -> Vec<&'static Case> {
        cases::all().filter(|case| case.scope.includes(self.typed)).collect()
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            Role::Client => "client",
            Role::Server => "server",
        };
        write!(f, "{role}{}", if self.typed { ", typed" } else { "" })
    }
}

/// An implementation and its results in every setting.
#[derive(Debug)]
pub struct Column {
    /// The implementation.
    pub name: &'static str,
    /// The outcomes of all cases, by setting.
    pub runs: Vec<(Setting, Vec<Outcome>)>,
}

/// Who is compared.
#[derive(Clone, Copy, Debug)]
enum Contestant {
    Ours(Runtime),
    Example,
    Peer(Kind),
}

impl Contestant {
    const ALL: [Self; 6] = [
        Self::Ours(Runtime::Tokio),
        Self::Ours(Runtime::Smol),
        Self::Example,
        Self::Peer(Kind::Go),
        Self::Peer(Kind::Go2),
        Self::Peer(Kind::Rust(Implementation::Ngrok)),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Ours(Runtime::Tokio) => "muxado-tokio",
            Self::Ours(Runtime::Smol) => "muxado-smol",
            Self::Example => "muxado-proto",
            Self::Peer(Kind::Go) => "go",
            Self::Peer(Kind::Go2) => "go v2",
            Self::Peer(Kind::Rust(_)) => "ngrok",
        }
    }

    /// Whether it can run here; prints a message if it cannot.
    fn is_there(self) -> bool {
        let missing = match self {
            Self::Peer(kind) if kind.needs_go() => go_missing(),
            _ => None,
        };
        if let Some(why) = missing {
            eprintln!("{} is left out: {why}", self.name());
        }
        missing.is_none()
    }

    /// Starts an endpoint that listens; returns its address.
    fn start(self, setting: Setting, built: &Built) -> io::Result<Started> {
        match self {
            Self::Ours(runtime) => {
                let listener = TcpListener::bind(("127.0.0.1", 0))?;
                let addr = listener.local_addr()?.to_string();
                let endpoint = Endpoint::new(runtime, setting.role.into(), setting.typed);
                std::thread::spawn(move || endpoint.serve(listener));
                Ok(Started { addr, _process: Process::None })
            }
            Self::Example => {
                let example = Example::start(&built.example, setting.role.into(), setting.typed)?;
                let addr = example.address().to_string();
                Ok(Started { addr, _process: Process::Example(example) })
            }
            Self::Peer(kind) => {
                let role = if setting.role == Role::Client { "client" } else { "server" };
                let mut arguments =
                    vec!["--listen", "127.0.0.1:0", "--sessions", "0", "--app", "echo", "--role"];
                arguments.push(role);
                if setting.typed {
                    // The Go libraries answer heartbeats only if they send them.
                    arguments.extend(["--heartbeat", "10000,15000"]);
                }
                let arguments: Vec<String> = arguments.into_iter().map(Into::into).collect();
                let peer = built.peers.start(kind, &arguments);
                let addr = peer.address().to_string();
                Ok(Started { addr, _process: Process::Peer(peer) })
            }
        }
    }

    async fn run(self, built: &Built, patience: Duration, jobs: usize) -> io::Result<Column> {
        let mut runs = Vec::new();
        for setting in Setting::ALL {
            let started = self.start(setting, built)?;
            let settings = Arc::new(Settings {
                role: setting.role,
                typed: setting.typed,
                window: 262_144,
                patience,
            });
            let reach = Reach::dial(&started.addr);
            let outcomes = run(&reach, &settings, &setting.cases(), jobs, |_| {}).await;
            let summary = report::summary(&outcomes).replace('\n', "; ");
            eprintln!("{} as {setting}: {summary}", self.name());
            runs.push((setting, outcomes));
        }
        Ok(Column { name: self.name(), runs })
    }
}

/// The programs of the implementations that do not run in this process.
struct Built {
    example: PathBuf,
    peers: Programs,
}

impl Built {
    fn new() -> io::Result<Self> {
        let example = programs::examples()?.remove("event_loop");
        let example = example.ok_or_else(|| io::Error::other("cargo has built no event_loop"))?;
        let peer = programs::binary(env!("CARGO_PKG_NAME"), "interop-peer")?;
        let target = std::env::temp_dir().join("muxado-conformance");
        let [peer, target] = [peer, target].map(|path| path.into_os_string().into_string());
        let invalid = |_| io::ErrorKind::InvalidFilename;
        let (peer, target) = (peer.map_err(invalid)?, target.map_err(invalid)?);
        Ok(Self { example, peers: Programs::new(&peer, env!("CARGO_MANIFEST_DIR"), &target) })
    }
}

/// A running endpoint; dropping it ends its process.
struct Started {
    addr: String,
    _process: Process,
}

#[expect(dead_code, reason = "they are kept for being dropped")]
enum Process {
    None,
    Example(Example),
    Peer(Peer),
}

/// Runs all cases against every implementation, in every setting.
///
/// # Errors
///
/// When a program cannot be built or started.
pub async fn compare(patience: Duration, jobs: usize) -> io::Result<Vec<Column>> {
    let built = Built::new()?;
    let there = Contestant::ALL.into_iter().filter(|contestant| contestant.is_there());
    let (ours, peers): (Vec<_>, Vec<_>) =
        there.partition(|contestant| !matches!(contestant, Contestant::Peer(_)));
    let mut columns = Vec::new();
    for contestant in ours {
        columns.push(contestant.run(&built, patience, jobs).await?);
    }
    // These mostly wait for answers that do not come, so they run all at once.
    let peers = peers.iter().map(|contestant| contestant.run(&built, patience, jobs));
    columns.extend(futures_util::future::try_join_all(peers).await?);
    Ok(columns)
}
