//! The options of the event loop, and the applications of its sessions.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand, ValueEnum};
use muxado_proto::{Config, Heartbeat, Role, Session, Timestamp};
use muxado_rpc::{End, Load, Output, Work};

use crate::application::Application;
use crate::driving;
use crate::echo::Echo;

/// Serve any number of sessions in one thread.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    rpc: RpcOptions,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Send back the bytes of every stream, instead of being an rpc server
    Echo(EchoOptions),
}

#[derive(Debug, Args)]
struct RpcOptions {
    /// Wait for clients at this address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Stop after this many sessions instead of serving forever
    #[arg(long, value_name = "N")]
    sessions: Option<usize>,
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
struct EchoOptions {
    /// Wait for peers at this address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The role in every session, no matter who dialled
    #[arg(long, value_enum, default_value = "server")]
    role: RoleOption,
    /// Streams begin with a type, and heartbeats are sent
    #[arg(long)]
    typed: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleOption {
    Client,
    Server,
}

/// What to do with every session.
pub(crate) struct Service {
    /// Where to wait for them.
    pub(crate) address: SocketAddr,
    /// Stop after so many.
    pub(crate) sessions: Option<usize>,
    /// What is told about them.
    pub(crate) output: Output,
    role: Role,
    /// One for all sessions.
    config: Arc<Config>,
    app: AppOptions,
}

enum AppOptions {
    Rpc(Load),
    Echo,
}

impl From<Options> for Service {
    fn from(options: Options) -> Self {
        match options.other {
            None => Self::rpc(options.rpc),
            Some(Other::Echo(echo)) => Self::echo(&echo),
        }
    }
}

impl Service {
    fn rpc(options: RpcOptions) -> Self {
        Self {
            address: options.listen,
            sessions: options.sessions,
            output: options.output,
            role: Role::Server,
            config: Arc::new(muxado_rpc::config()),
            app: AppOptions::Rpc(options.load),
        }
    }

    fn echo(options: &EchoOptions) -> Self {
        let heartbeat = options.typed.then(Heartbeat::default);
        let config = Config::builder().typed(options.typed).heartbeat(heartbeat).build();
        Self {
            address: options.listen,
            sessions: None,
            output: Output { quiet: false, json: false },
            role: match options.role {
                RoleOption::Client => Role::Client,
                RoleOption::Server => Role::Server,
            },
            config: Arc::new(config.expect("every setting is in its range")),
            app: AppOptions::Echo,
        }
    }

    /// A new session, and what runs on it.
    pub(crate) fn start(&self, now: Timestamp) -> (Session, App) {
        let app = match &self.app {
            AppOptions::Rpc(load) => App::Rpc(Application::new(Work::new(load, "mio"), now)),
            AppOptions::Echo => App::Echo(Echo::default()),
        };
        (driving::session(self.role, &self.config, now), app)
    }
}

/// What runs on one session.
#[expect(clippy::large_enum_variant, reason = "nearly all there ever are are of one kind")]
pub(crate) enum App {
    Rpc(Application),
    Echo(Echo),
}

impl App {
    pub(crate) fn react(&mut self, session: &mut Session, now: Timestamp) {
        match self {
            Self::Rpc(app) => app.react(session, now),
            Self::Echo(app) => app.react(session),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        match self {
            Self::Rpc(app) => app.poll_timeout(),
            Self::Echo(_) => None,
        }
    }

    /// The report on a session that is over.
    pub(crate) fn end(self, session: &Session) -> Result<Option<End>, Box<dyn Error>> {
        match self {
            Self::Rpc(app) => app.end(session).map(Some),
            Self::Echo(_) => Ok(None),
        }
    }
}
