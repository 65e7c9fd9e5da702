//! An echo endpoint on our implementation, for the conformance suite and for trying out a peer.

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use clap::{Args, Parser, ValueEnum};
use muxado_conformance::echo::{Endpoint, Runtime};
use muxado_proto::Role;

/// Accept muxado streams over TCP, send every byte back, and half-close after
/// the peer's half-close.
#[derive(Debug, Parser)]
#[command(name = "muxado-echo", version)]
struct Cli {
    #[command(flatten)]
    reach: Reach,
    /// What to run on.
    #[arg(long, value_enum, default_value = "tokio")]
    runtime: Runtime,
    /// Role in the session; without it, the one that dials is the client.
    #[arg(long, value_enum)]
    role: Option<RoleArg>,
    /// Streams begin with a type.
    #[arg(long)]
    typed: bool,
    /// Sessions to keep up when dialling.
    #[arg(long, default_value_t = 16)]
    sessions: usize,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Reach {
    /// Listen on this address and serve the sessions that come.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Dial this address, and again whenever a session has ended, until nobody
    /// listens there.
    #[arg(long, value_name = "ADDR")]
    dial: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleArg {
    Client,
    Server,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("muxado-echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> std::io::Result<()> {
    let role = match (cli.role, cli.reach.dial) {
        (Some(RoleArg::Client), _) | (None, Some(_)) => Role::Client,
        (Some(RoleArg::Server), _) | (None, None) => Role::Server,
    };
    let endpoint = Endpoint::new(cli.runtime, role, cli.typed);
    if let Some(addr) = cli.reach.dial {
        return endpoint.dial(addr, cli.sessions);
    }
    let addr = cli.reach.listen.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
    let listener = TcpListener::bind(addr)?;
    println!("listening on {}", listener.local_addr()?);
    endpoint.serve(listener)
}
