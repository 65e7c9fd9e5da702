//! The event loop example of `muxado-proto`, as an echo endpoint in its own process.

use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use muxado_proto::Role;

/// The example, serving any number of sessions. Dropping it ends the process.
#[derive(Debug)]
pub struct Example {
    process: Child,
    address: SocketAddr,
}

impl Example {
    /// Starts the program, which listens on a free port.
    ///
    /// # Errors
    ///
    /// If it cannot be started, or does not print its address.
    pub fn start(program: &Path, role: Role, typed: bool) -> io::Result<Self> {
        let role = match role {
            Role::Client => "client",
            Role::Server => "server",
        };
        let mut process = Command::new(program)
            .args(["echo", "--listen", "127.0.0.1:0", "--role", role])
            .args(typed.then_some("--typed"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim_end().strip_prefix("listening on ").map(str::parse);
        match address {
            Some(Ok(address)) => Ok(Self { process, address }),
            _ => Err(io::Error::other(format!("{}: {line:?}", program.display()))),
        }
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // Fails only if the process has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
