//! What the contestants have to do.

pub(crate) mod beside;
pub(crate) mod bulk;
pub(crate) mod crowd;
pub(crate) mod echo;
pub(crate) mod explain;
pub(crate) mod idle;
pub(crate) mod link;
pub(crate) mod peak;
pub(crate) mod ping_pong;
pub(crate) mod pool;
pub(crate) mod request;
pub(crate) mod unread;

use std::{fmt, future::Future, io, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use self::beside::{Beside, Small};
use crate::{
    contestants::{Acceptor, Contestant, League},
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
    /// The same with writes of 32 KiB, by a task of its own while another reads.
    EchoWhileReading {
        /// Streams at once.
        streams: u32,
        /// Bytes of each.
        payload: u64,
    },
    /// Each operation is a thousand requests that begin at once. None may fail.
    Burst,
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
    /// Opens very many sessions over pipes in memory.
    Sessions {
        /// How many.
        count: u32,
    },
    /// Opens very many streams in one session, and opens, closes and sends beside them.
    Streams {
        /// How many.
        count: u32,
    },
    /// Leads idle sessions through a peak, and looks at the memory after it.
    Peak,
    /// Moves bytes one way on eight streams while a ninth, full, is never read.
    Unread,
    /// Times small messages while other streams carry bulk.
    Beside(Beside),
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
            Self::EchoWhileReading { streams, payload } => {
                format!("echo-while-reading/{streams}x{}", format_size(payload))
            }
            Self::Burst => "burst".to_owned(),
            Self::Sessions { count } => format!("sessions/{count}"),
            Self::Streams { count } => format!("streams/{count}"),
            Self::Peak => "peak".to_owned(),
            Self::Request { inflight } => format!("request/{inflight}"),
            Self::PingPong => "ping-pong".to_owned(),
            Self::Bulk { streams, write } => {
                format!("bulk/{streams}x{}", format_size(write.into()))
            }
            Self::IdleStreams => "idle-streams".to_owned(),
            Self::IdleSessions { tcp: true } => "idle-sessions/tcp".to_owned(),
            Self::IdleSessions { tcp: false } => "idle-sessions/pipe".to_owned(),
            Self::Unread => "unread".to_owned(),
            Self::Beside(beside) => format!("beside/{beside}"),
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
            ("echo-while-reading", cell) => {
                grid(cell).map(|(streams, payload)| Self::EchoWhileReading { streams, payload })
            }
            ("burst", "") => Some(Self::Burst),
            ("sessions", count) => count.parse().ok().map(|count| Self::Sessions { count }),
            ("streams", count) => count.parse().ok().map(|count| Self::Streams { count }),
            ("peak", "") => Some(Self::Peak),
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
            ("beside", beside) => beside.parse().ok().map(Self::Beside),
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
        let mut all = vec![
            Self::Request { inflight: 1 },
            Self::Request { inflight: 64 },
            Self::PingPong,
            Self::Burst,
        ];
        for streams in [1, 8] {
            for write in [1024, 64 * 1024, 1024 * 1024] {
                all.push(Self::Bulk { streams, write });
            }
        }
        all.push(Self::Unread);
        for (small, both_ways) in
            [(Small::Echo, false), (Small::Echo, true), (Small::Request, false)]
        {
            all.extend([1, 8].map(|bulk| Self::Beside(Beside { small, bulk, both_ways })));
        }
        all.extend([
            Self::Link,
            Self::IdleStreams,
            Self::IdleSessions { tcp: false },
            Self::IdleSessions { tcp: true },
            Self::Sessions { count: 100_000 },
            Self::Peak,
        ]);
        all.extend([1_000, 10_000, 100_000, 1_000_000].map(|count| Self::Streams { count }));
        for payload in [1, KIB, MIB, 32 * MIB] {
            for streams in [1, 8, 64, 256] {
                all.push(Self::Echo { streams, payload });
            }
        }
        all.extend([1, 8, 64].map(|streams| Self::EchoWhileReading { streams, payload: MIB }));
        all
    }

    /// Whether larger windows are tried, too: whether the figure is one of throughput, and more than
    /// a window is in flight.
    pub(crate) fn fills_windows(self) -> bool {
        match self {
            Self::Echo { payload, .. } => payload >= MIB,
            Self::Bulk { .. } | Self::Unread | Self::Link => true,
            _ => false,
        }
    }

    /// Whether the workload measures memory, which two runtimes and many samples do not change.
    pub(crate) fn measures_memory(self) -> bool {
        matches!(
            self,
            Self::IdleStreams
                | Self::IdleSessions { .. }
                | Self::Sessions { .. }
                | Self::Streams { .. }
                | Self::Peak
        )
    }

    /// Whether limits on the number of streams are raised for all that have one.
    pub(crate) fn raises_limits(self) -> bool {
        matches!(self, Self::IdleStreams | Self::Streams { .. })
    }

    /// Whether a sample takes several times its requested duration.
    pub(crate) fn is_slow(self) -> bool {
        match self {
            Self::Echo { payload, .. } => payload > MIB,
            _ => self == Self::Link,
        }
    }

    /// Whether it is so long that one sample is enough.
    pub(crate) fn is_huge(self) -> bool {
        match self {
            Self::Echo { streams, payload } => u64::from(streams) * payload >= 1024 * MIB,
            Self::Streams { count } => count >= 1_000_000,
            _ => false,
        }
    }

    /// The time a sample may take before it counts as hung.
    pub(crate) fn patience(self) -> Duration {
        let many = matches!(self, Self::Sessions { .. } | Self::Streams { count: 100_000.. });
        Duration::from_secs(if many || self.is_huge() { 60 } else { 15 })
    }

    /// Whether `contestant` can do it.
    pub(crate) fn suits(self, contestant: Contestant) -> bool {
        match contestant {
            Contestant::TcpPool => matches!(self, Self::Request { .. }),
            // A session that is a connection has one stream.
            _ if contestant.raw() && matches!(self, Self::Streams { .. } | Self::Peak) => false,
            _ if contestant.go() => match self {
                // The program has neither pipes nor links, and not all of its streams half-close.
                Self::Request { .. } | Self::PingPong | Self::Bulk { .. } => true,
                Self::Echo { .. } | Self::EchoWhileReading { .. } => !self.is_slow(),
                Self::Beside(beside) => !beside.both_ways,
                _ => false,
            },
            _ if contestant.league() == League::Encrypted => match self {
                Self::Request { .. } | Self::PingPong | Self::Beside(_) => true,
                Self::Bulk { write, .. } => u64::from(write) > KIB,
                Self::EchoWhileReading { .. } => true,
                _ => false,
            },
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
        for name in [
            "",
            "echo",
            "echo/8",
            "bulk/x1KiB",
            "request/",
            "link/1",
            "beside/echo",
            "idle-sessions",
        ] {
            assert!(name.parse::<Workload>().is_err(), "{name}");
        }
    }
}
