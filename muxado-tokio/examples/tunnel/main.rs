//! A reverse tunnel: services behind a firewall, reached through a server outside.
//!
//! ```sh
//! cargo run --release -p muxado-tokio --example tunnel -- demo
//! ```
//!
//! runs all of it in one process. For real use, outside and inside:
//!
//! ```sh
//! tunnel server --token SECRET
//! tunnel agent --server HOST:7000 --fingerprint HEX --token SECRET --name web \
//!     --http app.example=127.0.0.1:3000 --tcp 2222=127.0.0.1:22
//! ```
//!
//! The server prints the fingerprint of its certificate when it starts.

mod agent;
mod demo;
mod options;
mod protocol;
mod reader;
mod server;
mod threads;
mod tls;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::server::Server;
use crate::tls::Identity;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

/// A reverse tunnel: services behind a firewall, reached through a server outside.
#[derive(Parser)]
#[command(name = "tunnel")]
struct Options {
    #[command(subcommand)]
    command: Command,
    /// Print more log messages.
    #[arg(long, global = true)]
    verbose: bool,
}

#[derive(Subcommand)]
enum Command {
    /// A server, an agent and two services in this process, and requests through all of them.
    Demo(demo::Options),
    /// The end outside, to which people and agents connect.
    Server(Box<server::Options>),
    /// The end beside the services.
    Agent(agent::Options),
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Command::Server(server) = &options.command {
        if let Err(error) = server.check() {
            let mut command = Options::command();
            command.build(); // so that the usage of the subcommand is known
            let usage = command.find_subcommand_mut("server").expect("it was parsed");
            error.format(usage).exit();
        }
    }
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(run(options)),
        Err(error) => fail(error),
    }
}

async fn run(options: Options) -> ExitCode {
    let level = match (options.verbose, &options.command) {
        (true, _) => tracing::Level::DEBUG,
        (false, Command::Demo(_)) => tracing::Level::ERROR,
        (false, _) => tracing::Level::INFO,
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(level)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        // Otherwise it reports a closed standard error to standard error, by a panic.
        .log_internal_errors(false)
        .init();
    let done = match options.command {
        Command::Demo(options) => demo::run(options).await,
        Command::Server(options) => serve(*options).await,
        Command::Agent(options) => run_agent(options).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error),
    }
}

/// Prints a line. If nobody reads the output any more, the program continues: `println` would panic.
fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn fail(error: impl Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "tunnel: {error}");
    ExitCode::FAILURE
}

async fn serve(options: server::Options) -> Result<()> {
    let identity = Identity::load(&options.certificate, &options.key)?;
    let fingerprint = identity.fingerprint();
    let stop = on_interrupt();
    let server = Server::start(options, identity).await?;
    say(format_args!("agents connect to {}", server.agents));
    say(format_args!("requests arrive at http://{}", server.http));
    say(format_args!("what happens is shown at http://{}/", server.admin));
    say(format_args!("fingerprint {fingerprint}"));
    stop.cancelled().await;
    if server.stop().await {
        Ok(())
    } else {
        Err("connections were cut that had not finished".into())
    }
}

async fn run_agent(options: agent::Options) -> Result<()> {
    let status = watch::Sender::new(agent::Status::default());
    let mut changes = status.subscribe();
    tokio::spawn(async move {
        let mut said = BTreeSet::new();
        while changes.changed().await.is_ok() {
            let services = changes.borrow_and_update().services();
            for service in services.difference(&said) {
                say(format_args!("the server serves {service}"));
            }
            said = services;
        }
    });
    agent::run(options, on_interrupt(), status).await
}

/// Cancelled by Ctrl-C, and by SIGTERM if the system has it.
fn on_interrupt() -> CancellationToken {
    let stop = CancellationToken::new();
    let cancel = stop.clone();
    #[cfg(unix)]
    let signal = {
        use tokio::signal::unix::{SignalKind, signal};
        // From here on a signal does not end the process.
        let [mut interrupt, mut terminate] = [SignalKind::interrupt(), SignalKind::terminate()]
            .map(|kind| signal(kind).expect("it can be handled"));
        async move {
            tokio::select! {
                received = interrupt.recv() => received,
                received = terminate.recv() => received,
            }
        }
    };
    #[cfg(not(unix))]
    let signal = tokio::signal::ctrl_c();
    tokio::spawn(async move {
        let _ = signal.await;
        cancel.cancel(); // whatever happens to the log
        info!("stopping");
    });
    stop
}

/// A number that no other process will choose.
fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id())
}
