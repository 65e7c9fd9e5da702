//! Ours and every other implementation, side by side.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::case::Case;
use super::runner::{Outcome, Reach, run};
use super::settings::{Role, Settings};
use super::{cases, report};
use crate::echo::{Endpoint, Runtime};
use crate::interop::options::Implementation;
use crate::interop::process::{Kind, Peer, Programs, go_missing};

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

/// An implementation and how it did in every setting.
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
    Peer(Kind),
}

impl Contestant {
    const ALL: [Self; 6] = [
        Self::Ours(Runtime::Tokio),
        Self::Ours(Runtime::Smol),
        Self::Ours(Runtime::Core),
        Self::Peer(Kind::Go),
        Self::Peer(Kind::Go2),
        Self::Peer(Kind::Rust(Implementation::Ngrok)),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Ours(Runtime::Tokio) => "muxado-tokio",
            Self::Ours(Runtime::Smol) => "muxado-smol",
            Self::Ours(Runtime::Core) => "muxado-proto",
            Self::Peer(Kind::Go) => "go",
            Self::Peer(Kind::Go2) => "go v2",
            Self::Peer(Kind::Rust(_)) => "ngrok",
        }
    }

    /// Whether it can run here; says so if it can not.
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

    /// Starts an endpoint that listens, and tells where.
    fn start(self, setting: Setting, programs: &Programs) -> io::Result<Started> {
        match self {
            Self::Ours(runtime) => {
                let listener = TcpListener::bind(("127.0.0.1", 0))?;
                let addr = listener.local_addr()?.to_string();
                let endpoint = Endpoint::new(runtime, setting.role.into(), setting.typed);
                std::thread::spawn(move || endpoint.serve(listener));
                Ok(Started { addr, _peer: None })
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
                let peer = programs.start(kind, &arguments);
                Ok(Started { addr: peer.address().to_string(), _peer: Some(peer) })
            }
        }
    }

    async fn run(self, programs: &Programs, patience: Duration, jobs: usize) -> io::Result<Column> {
        let mut runs = Vec::new();
        for setting in Setting::ALL {
            let started = self.start(setting, programs)?;
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

/// An endpoint that runs; a process ends when this is dropped.
struct Started {
    addr: String,
    _peer: Option<Peer>,
}

/// Runs all cases against every implementation, in every setting.
///
/// # Errors
///
/// When a program can not be built or started.
pub async fn compare(patience: Duration, jobs: usize) -> io::Result<Vec<Column>> {
    let target = std::env::temp_dir().join("muxado-conformance");
    let program = build_interop_peer()?;
    let programs = Programs::new(
        &program,
        env!("CARGO_MANIFEST_DIR"),
        target.to_str().ok_or(io::ErrorKind::InvalidFilename)?,
    );
    let there = Contestant::ALL.into_iter().filter(|contestant| contestant.is_there());
    let (ours, peers): (Vec<_>, Vec<_>) =
        there.partition(|contestant| matches!(contestant, Contestant::Ours(_)));
    let mut columns = Vec::new();
    for contestant in ours {
        columns.push(contestant.run(&programs, patience, jobs).await?);
    }
    // These spend their time waiting for answers that do not come: all at once.
    let peers = peers.iter().map(|contestant| contestant.run(&programs, patience, jobs));
    columns.extend(futures_util::future::try_join_all(peers).await?);
    Ok(columns)
}

/// Builds the program that runs ngrok's implementation, beside this one, and
/// returns its path.
fn build_interop_peer() -> io::Result<String> {
    const NAME: &str = "interop-peer";
    let this = std::env::current_exe()?;
    let profile = this.parent().unwrap_or(Path::new("."));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--bin", NAME]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if let Some(target) = profile.parent() {
        build.arg("--target-dir").arg(target);
    }
    if profile.ends_with("release") {
        build.arg("--release");
    }
    if !build.status()?.success() {
        return Err(io::Error::other(format!("{NAME} can not be built")));
    }
    let program = profile.join(NAME).with_extension(std::env::consts::EXE_EXTENSION);
    Ok(program.to_str().ok_or(io::ErrorKind::InvalidFilename)?.to_owned())
}
