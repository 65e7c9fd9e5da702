//! Small messages in one session with streams that carry bulk.
//!
//! The bulk streams send as fast as they can, for as long as the small messages are timed. The round
//! trip of a small message then shows how long it waits behind bulk, and the bytes of that time show
//! what its priority costs.

use std::{
    collections::BTreeMap,
    fmt, io,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    Plan,
    bulk::{READ, pour},
    ping_pong::receive,
    request::{self, SIZE, message},
    serve, wrong,
};
use crate::{
    contestants::{Acceptor, Chunk, Opener, RecvHalf, SendHalf as _, Stream},
    measure::{Budget, Clock, Meter, Outcome, Recorder},
    pattern::{Check, HOLD, Thoroughness, pattern},
    runtime::{Runtime, within},
};

/// Bytes of a write of bulk.
const WRITE: u32 = 64 * 1024;
/// Bytes of an echo.
pub(crate) const ECHO: usize = 8;
/// Time beyond the budget after which the small messages count as starved.
const PATIENCE: Duration = Duration::from_secs(3);
/// Time in which the bulk streams have to end.
const DRAIN: Duration = Duration::from_secs(5);

/// The name of the figure for the bulk beside.
pub(crate) const BULK: &str = "bulk MB/s";

/// Bytes of bulk that were sent and that have arrived, both ways. Both ends are in this process.
static SENT: AtomicU64 = AtomicU64::new(0);
static ARRIVED: AtomicU64 = AtomicU64::new(0);

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Small {
    /// Eight bytes there and back on one stream, again and again.
    Echo,
    /// A request on a stream of its own.
    Request,
}

/// What is timed, and what goes on beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Beside {
    /// The small messages.
    pub(crate) small: Small,
    /// The streams that carry bulk.
    pub(crate) bulk: u32,
    /// Whether they carry it both ways, or only in the direction of the requests.
    pub(crate) both_ways: bool,
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let small = match self.small {
            Small::Echo => "echo",
            Small::Request => "request",
        };
        write!(f, "{small}/{}{}", self.bulk, if self.both_ways { "-both-ways" } else { "" })
    }
}

impl FromStr for Beside {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (small, bulk) = text.split_once('/').ok_or(())?;
        let small = match small {
            "echo" => Small::Echo,
            "request" => Small::Request,
            _ => return Err(()),
        };
        let (bulk, both_ways) = match bulk.strip_suffix("-both-ways") {
            Some(bulk) => (bulk, true),
            None => (bulk, false),
        };
        Ok(Self { small, bulk: bulk.parse().map_err(|_| ())?, both_ways })
    }
}

/// Answers small messages, and takes and gives bulk on the streams that ask for it.
pub(crate) async fn server<R: Runtime, A: Acceptor>(
    rt: R,
    acceptor: A,
    both_ways: bool,
    plan: Plan,
) {
    serve(rt, acceptor, move |mut stream| async move {
        let mut chunk = Chunk::new(SIZE);
        let n = stream.recv(&mut chunk).await?;
        if chunk.bytes().first() == Some(&HOLD) {
            let begun = chunk.bytes()[1..n].to_vec();
            let clock = Arc::new(endless());
            let mut check = Check::new(plan.thoroughness);
            arrived(&mut check, &begun)?;
            return carry(rt, stream, check, both_ways, clock).await;
        }
        let mut n = n;
        while n > 0 {
            stream.send_back(&mut chunk).await?;
            stream.flush().await?;
            n = stream.recv(&mut chunk).await?;
        }
        stream.finish().await
    })
    .await;
}

fn endless() -> Clock {
    Budget::Ops(u64::MAX).start()
}

fn arrived(check: &mut Check, piece: &[u8]) -> io::Result<()> {
    ARRIVED.fetch_add(piece.len() as u64, Ordering::Relaxed);
    check.piece(piece)
}

/// One end of a bulk stream: it sends until the clock ends, if it `pours`, and receives to the end of
/// the stream, which ends the clock.
async fn carry<R: Runtime, S: Stream>(
    rt: R,
    stream: S,
    mut check: Check,
    pours: bool,
    clock: Arc<Clock>,
) -> io::Result<()> {
    let (mut recv, mut send) = stream.split();
    let until = Arc::clone(&clock);
    let outward = rt.spawn(async move {
        if pours {
            SENT.fetch_add(pour(&mut send, WRITE, &until).await?, Ordering::Relaxed);
            send.finish().await?;
        }
        Ok::<_, io::Error>(send)
    });
    let mut chunk = Chunk::new(READ);
    while recv.recv(&mut chunk).await? > 0 {
        arrived(&mut check, chunk.bytes())?;
    }
    clock.end();
    let mut send = outward.await?;
    if pours { Ok(()) } else { send.finish().await }
}

/// Times the small messages.
pub(crate) async fn client<R: Runtime, O: Opener>(
    rt: R,
    mut opener: O,
    beside: Beside,
    plan: Plan,
) -> io::Result<Outcome> {
    let Budget::Time(time) = plan.budget else {
        return Err(io::Error::other("this workload is not counted in operations"));
    };
    let clock = Arc::new(endless());
    let carriers: Vec<_> = (0..beside.bulk)
        .map(|_| rt.spawn(bulk(rt, opener.clone(), plan.thoroughness, Arc::clone(&clock))))
        .collect();
    let mut stream = match beside.small {
        Small::Echo => Some(opener.open().await?),
        Small::Request => None,
    };
    let mut warm_up = Recorder::new();
    let mut recorder = Recorder::new();
    let timed = async {
        rally(&mut opener, &mut stream, plan.budget.warm_up(), &mut warm_up).await?;
        let before = ARRIVED.load(Ordering::Relaxed);
        let meter = Meter::start();
        let rallied = within(
            rt,
            time + PATIENCE,
            rally(&mut opener, &mut stream, plan.budget, &mut recorder),
        );
        let ended = rallied.await.transpose()?;
        let bytes = ARRIVED.load(Ordering::Relaxed) - before;
        Ok::<_, io::Error>((ended.is_some(), bytes, meter.stop()))
    };
    let Some(timed) = within(rt, 2 * (time + PATIENCE), timed).await else {
        return Ok(starved(Outcome::default()));
    };
    let (ended, bytes, usage) = timed?;
    let outcome = Outcome {
        ops: recorder.count(),
        bytes,
        usage,
        latency: recorder.latency(),
        also: BTreeMap::from([(BULK.to_owned(), bytes as f64 / usage.wall / 1e6)]),
        ..Outcome::default()
    };
    if !ended {
        return Ok(starved(outcome));
    }
    clock.end();
    let drained = within(rt, DRAIN, async {
        for carrier in carriers {
            carrier.await?;
        }
        Ok::<_, io::Error>(())
    });
    if drained.await.transpose()?.is_none() {
        let note = Some(format!("bulk under way did not arrive within {} s", DRAIN.as_secs()));
        return Ok(Outcome { note, ..outcome });
    }
    // What the other end still sent is here, because its streams have ended.
    let (sent, arrived) = (SENT.load(Ordering::Relaxed), ARRIVED.load(Ordering::Relaxed));
    if sent == arrived {
        Ok(outcome)
    } else {
        Err(wrong(format!("{sent} bytes of bulk were sent, {arrived} have arrived")))
    }
}

fn starved(outcome: Outcome) -> Outcome {
    let note = Some(format!("a small message took more than {} s", PATIENCE.as_secs()));
    Outcome { note, ..outcome }
}

async fn bulk<R: Runtime, O: Opener>(
    rt: R,
    mut opener: O,
    thoroughness: Thoroughness,
    clock: Arc<Clock>,
) -> io::Result<()> {
    let mut stream = opener.open().await?;
    stream.send(&[HOLD]).await?;
    carry(rt, stream, Check::new(thoroughness), true, clock).await
}

/// Repeats the small message until the budget is spent: on the stream, or on one of its own.
async fn rally<O: Opener>(
    opener: &mut O,
    stream: &mut Option<O::Stream>,
    budget: Budget,
    recorder: &mut Recorder,
) -> io::Result<()> {
    let clock = budget.start();
    let mut chunk = Chunk::new(SIZE);
    while clock.take() {
        let number = recorder.count();
        match stream {
            Some(stream) => {
                let ping = pattern(number.wrapping_mul(ECHO as u64), ECHO);
                recorder.time(echo(stream, ping, &mut chunk)).await?;
            }
            None => {
                // The first byte tells the server what it is for.
                let number = if message(number)[0] == HOLD { 0 } else { number };
                recorder.time(request::exchange(opener, number)).await?;
            }
        }
    }
    Ok(())
}

async fn echo<S: Stream>(stream: &mut S, ping: &'static [u8], chunk: &mut Chunk) -> io::Result<()> {
    stream.send(ping).await?;
    stream.flush().await?;
    receive(stream, ping, chunk).await
}
