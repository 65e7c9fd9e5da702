//! What the contestants have to do.

pub(crate) mod bulk;
pub(crate) mod echo;
pub(crate) mod idle;
pub(crate) mod link;
pub(crate) mod ping_pong;
pub(crate) mod pool;
pub(crate) mod request;
pub(crate) mod unread;

use std::{fmt, future::Future, io, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    contestants::{Acceptor, Contestant},
    measure::Budget,
    pattern::Thoroughness,
    runtime::Runtime,
};

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) enum Workload {
    /// Each operation opens `streams` streams at once that each send `payload` bytes, half-close,
    /// and read them back.
    Echo {
        /// Streams at once.
        streams: u32,
        /// Bytes of each.
        payload: u64,
    },
    /// Each operation opens a stream, sends 64 bytes, half-closes, and reads 64 bytes to the end.
    Request {
        /// Operations under way at any time.
        inflight: u32,
    },
    /// Each operation sends 64 bytes and reads 64 bytes, on one stream.
    PingPong,
    /// Moves bytes one way.
    Bulk {
        /// Streams at once.
        streams: u32,
        /// Bytes of a write.
        write: u32,
    },
    /// Opens streams in one session, uses each once, and leaves them open.
    IdleStreams,
    /// Opens sessions of one stream each, uses each once, and leaves them open.
    IdleSessions {
        /// Over TCP, or over pipes in memory.
        tcp: bool,
    },
    /// Moves bytes one way on eight streams while a ninth, full, is never read.
    Unread,
    /// Moves bytes one way on one stream, over a link of long delay and fixed bandwidth.
    Link,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * 1024;

fn format_size(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(MIB) => format!("{}MiB", bytes / MIB),
        _ if bytes.is_multiple_of(KIB) => format!("{}KiB", bytes / KIB),
        _ => format!("{bytes}B"),
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = if let Some(digits) = text.strip_suffix("MiB") {
        (digits, MIB)
    } else if let Some(digits) = text.strip_suffix("KiB") {
        (digits, KIB)
    } else {
        (text.strip_suffix('B')?, 1)
    };
    Some(digits.parse::<u64>().ok()? * unit)
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::Echo { streams, payload } => format!("echo/{streams}x{}", format_size(payload)),
            Self::Request { inflight } => format!("request/{inflight}"),
            Self::PingPong => "ping-pong".to_owned(),
            Self::Bulk { streams, write } => {
                format!("bulk/{streams}x{}", format_size(write.into()))
            }
            Self::IdleStreams => "idle-streams".to_owned(),
            Self::IdleSessions { tcp: true } => "idle-sessions/tcp".to_owned(),
            Self::IdleSessions { tcp: false } => "idle-sessions/pipe".to_owned(),
            Self::Unread => "unread".to_owned(),
            Self::Link => "link".to_owned(),
        };
        f.pad(&name)
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let grid = |cell: &str| -> Option<(u32, u64)> {
            let (streams, size) = cell.split_once('x')?;
            Some((streams.parse().ok()?, parse_size(size)?))
        };
        let parsed = match text.split_once('/').unwrap_or((text, "")) {
            ("echo", cell) => grid(cell).map(|(streams, payload)| Self::Echo { streams, payload }),
            ("request", inflight) => {
                inflight.parse().ok().map(|inflight| Self::Request { inflight })
            }
            ("bulk", cell) => grid(cell).and_then(|(streams, write)| {
                Some(Self::Bulk { streams, write: u32::try_from(write).ok()? })
            }),
            ("ping-pong", "") => Some(Self::PingPong),
            ("idle-streams", "") => Some(Self::IdleStreams),
            ("idle-sessions", "tcp") => Some(Self::IdleSessions { tcp: true }),
            ("idle-sessions", "pipe") => Some(Self::IdleSessions { tcp: false }),
            ("unread", "") => Some(Self::Unread),
            ("link", "") => Some(Self::Link),
            _ => None,
        };
        parsed.ok_or_else(|| format!("there is no workload `{text}`"))
    }
}

impl From<Workload> for String {
    fn from(workload: Workload) -> Self {
        workload.to_string()
    }
}

impl TryFrom<String> for Workload {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Workload {
    /// Every workload, in the order of the report.
    pub(crate) fn all() -> Vec<Self> {
        let mut all =
            vec![Self::Request { inflight: 1 }, Self::Request { inflight: 64 }, Self::PingPong];
        for streams in [1, 8] {
            for write in [1024, 64 * 1024, 1024 * 1024] {
                all.push(Self::Bulk { streams, write });
            }
        }
        all.extend([
            Self::Unread,
            Self::Link,
            Self::IdleStreams,
            Self::IdleSessions { tcp: false },
            Self::IdleSessions { tcp: true },
        ]);
        for payload in [1, KIB, MIB, 32 * MIB] {
            for streams in [1, 8, 64, 256] {
                all.push(Self::Echo { streams, payload });
            }
        }
        all
    }

    /// Whether a larger window can matter: whether more than a window is in flight.
    pub(crate) fn fills_windows(self) -> bool {
        match self {
            Self::Echo { payload, .. } => payload >= MIB,
            Self::Bulk { .. } | Self::Unread | Self::Link => true,
            _ => false,
        }
    }

    /// Whether the workload measures memory, which two runtimes and many samples do not change.
    pub(crate) fn measures_memory(self) -> bool {
        matches!(self, Self::IdleStreams | Self::IdleSessions { .. })
    }

    /// Whether a sample takes several times its requested duration.
    pub(crate) fn is_slow(self) -> bool {
        match self {
            Self::Echo { payload, .. } => payload > MIB,
            _ => self == Self::Link,
        }
    }

    /// Whether an operation is so long that one of them is a sample.
    pub(crate) fn is_huge(self) -> bool {
        matches!(self, Self::Echo { streams, payload } if u64::from(streams) * payload >= 1024 * MIB)
    }

    /// Whether `contestant` can do it.
    pub(crate) fn suits(self, contestant: Contestant) -> bool {
        match contestant {
            Contestant::TcpPool => matches!(self, Self::Request { .. }),
            _ => self.fills_windows() || !contestant.tuned(),
        }
    }
}

/// How a workload is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How long.
    pub(crate) budget: Budget,
    /// How much is compared.
    pub(crate) thoroughness: Thoroughness,
    /// How many idle streams or sessions.
    pub(crate) idle: usize,
}

/// Accepts streams forever and starts `handler` on each.
pub(crate) async fn serve<R, A, H, F>(rt: R, mut acceptor: A, handler: H)
where
    R: Runtime,
    A: Acceptor,
    H: Fn(A::Stream) -> F + Send + 'static,
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    while let Some(stream) = acceptor.accept().await {
        let handled = handler(stream);
        rt.detach(async move {
            if let Err(error) = handled.await {
                eprintln!("server: {error}");
            }
        });
    }
}

/// An error for wrong contents.
pub(crate) fn wrong(what: impl fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_back() {
        for workload in Workload::all() {
            assert_eq!(workload.to_string().parse(), Ok(workload));
        }
    }

    #[test]
    fn names_that_mean_nothing_are_refused() {
        for name in ["", "echo", "echo/8", "bulk/x1KiB", "request/", "link/1", "idle-sessions"] {
            assert!(name.parse::<Workload>().is_err(), "{name}");
        }
    }
}
