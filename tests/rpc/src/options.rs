//! The command line, and the settings of the sessions.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, value_parser};
use muxado_proto::{Config, Heartbeat};

/// Requests and responses in both directions at once, over one TCP connection.
///
/// Without an address both ends run in this process. With --listen and --connect they run in two,
/// and the two may run on different runtimes.
#[derive(Debug, Clone, Parser)]
pub struct Options {
    /// Be the server: wait at this address for one client
    #[arg(long, value_name = "ADDR", conflicts_with = "connect")]
    listen: Option<SocketAddr>,
    /// Be the client of the server at this address
    #[arg(long, value_name = "ADDR")]
    connect: Option<SocketAddr>,
    /// What each end asks.
    #[command(flatten)]
    pub load: Load,
    /// What is printed.
    #[command(flatten)]
    pub output: Output,
}

/// Which ends run in this process.
#[derive(Debug, Clone, Copy)]
pub enum Ends {
    /// Both, connected over loopback.
    Both,
    /// The server.
    Listen(SocketAddr),
    /// The client.
    Connect(SocketAddr),
}

impl Options {
    /// Which ends run in this process.
    #[must_use]
    pub fn ends(&self) -> Ends {
        match (self.listen, self.connect) {
            (Some(address), _) => Ends::Listen(address),
            (None, Some(address)) => Ends::Connect(address),
            (None, None) => Ends::Both,
        }
    }
}

/// What one end asks of the other.
#[derive(Debug, Clone, Args)]
pub struct Load {
    /// Requests each end asks
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub requests: u64,
    /// Send requests for this many seconds, instead of a number of requests
    #[arg(long, value_name = "S", conflicts_with = "requests", value_parser = seconds)]
    pub seconds: Option<Duration>,
    /// Requests that each end has in flight at once; beyond the 1024 streams that a session opens,
    /// the rest wait
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub concurrency: u32,
    /// Bytes of payload in each request and each response
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = value_parser!(u32).range(0..=1 << 20))]
    pub payload: u32,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// What is printed.
#[derive(Debug, Clone, Copy, Args)]
pub struct Output {
    /// Print no progress and no summary; the exit code shows the result
    #[arg(long)]
    pub quiet: bool,
    /// Print the summary as one line of JSON
    #[arg(long, conflicts_with = "quiet")]
    pub json: bool,
}

/// The settings of a session of this application: typed, with a quick heartbeat, and otherwise the
/// defaults.
#[must_use]
pub fn config() -> Config {
    let heartbeat = Heartbeat::new().with_interval(Duration::from_secs(1));
    Config::builder()
        .typed(true)
        .heartbeat(Some(heartbeat))
        .build()
        .expect("every setting is in its range")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn command_line_is_consistent() {
        Options::command().debug_assert();
        let options = Options::parse_from(["rpc", "--connect", "127.0.0.1:7", "--seconds", "0.5"]);
        assert!(matches!(options.ends(), Ends::Connect(_)));
        assert_eq!(options.load.seconds, Some(Duration::from_millis(500)));
    }

    #[test]
    fn settings_are_valid() {
        assert!(config().typed());
    }
}
