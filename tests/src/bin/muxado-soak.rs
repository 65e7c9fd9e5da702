//! Runs sessions for a long time and checks for growth of memory, tasks and descriptors. It fails
//! if anything grows.
//!
//! ```sh
//! cargo run --release -p muxado-tests --bin muxado-soak
//! ```

use std::alloc::System;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;
use muxado_proto::{Config, ErrorCode, Role};
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{
    Driver, Runtime, Smol, Task, TokioMulti, pipe, read_to_end, write_all, yield_now,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Streams that are open at once.
const AT_ONCE: u64 = 64;

/// Bytes that may stay allocated from the first tenth to the end: buffers of the runtime's threads.
const SLACK: i64 = 1 << 20;

#[derive(Debug, Parser)]
struct Arguments {
    /// Streams through one session.
    #[arg(long, default_value_t = 1_000_000)]
    streams: u64,
    /// Sessions, each dropped at a random point.
    #[arg(long, default_value_t = 10_000)]
    sessions: u64,
    /// What is random follows from this.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// On smol instead of Tokio.
    #[arg(long)]
    smol: bool,
}

fn main() {
    let arguments = Arguments::parse();
    println!("{arguments:?}");
    if arguments.smol {
        Smol::run(soak::<Smol>(&arguments));
    } else {
        TokioMulti::run(soak::<TokioMulti>(&arguments));
    }
}

async fn soak<R: Runtime>(arguments: &Arguments) {
    let (client, server) = R::tcp(Arc::new(Config::default())).await.expect("loopback");
    let echo = echo::<R>(server);
    let mut watch = Watch::new("streams");
    for part in 0..10 {
        streams::<R>(&client, arguments.streams / 10, arguments.seed + part).await;
        watch.look(part, client.stats().streams_opened);
    }
    println!("{:?}", client.stats());
    assert!(client.close().await.is_clean());
    echo.await;
    drop(client);

    let mut watch = Watch::new("sessions");
    let mut random = Random(arguments.seed);
    for part in 0..10 {
        for _ in 0..arguments.sessions / 10 {
            session::<R>(&mut random).await;
        }
        watch.look(part, (part + 1) * (arguments.sessions / 10));
    }
}

/// Echoes every stream.
fn echo<R: Runtime>(server: R::Session) -> Task<()> {
    R::spawn(async move {
        while let Ok(mut stream) = server.accept().await {
            drop(R::spawn(async move {
                if let Ok(text) = read_to_end(&mut stream).await {
                    let _cut_off = write_all(&mut stream, &text).await;
                }
            }));
        }
    })
}

/// Runs some streams, several at once; most are complete, some are dropped or reset.
async fn streams<R: Runtime>(client: &R::Session, count: u64, seed: u64) {
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|task| {
            let client = client.clone();
            let mut random = Random(seed << 8 | task);
            R::spawn(async move {
                for _ in 0..count / AT_ONCE {
                    let mut stream = client.open().await.expect("a stream");
                    let text = vec![7; random.below(200)];
                    write_all(&mut stream, &text).await.expect("room");
                    match random.below(100) {
                        // As many resets as a peer tolerates.
                        0 => drop(stream),
                        _ => {
                            stream.finish().unwrap();
                            assert!(read_to_end(&mut stream).await.expect("an answer") == text);
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await;
    }
}

/// One session, whose parts are dropped at random points and in random order.
async fn session<R: Runtime>(random: &mut Random) {
    let config = Arc::new(Config::default());
    let (near, far) = pipe(1 << random.below(14));
    let tokens = [near.token(), far.token()];
    let (client, driver) = R::with_driver(near, Role::Client, Arc::clone(&config));
    let near_driver = R::spawn(for_a_while(driver, random.below(60)));
    let server = R::session(far, Role::Server, Arc::clone(&config));
    let echo = echo::<R>(server);
    let mut streams = Vec::new();
    for _ in 0..random.below(20) {
        let Ok(mut stream) = client.open().await else { break };
        let _over = stream.poll_write_chunk(
            &mut std::task::Context::from_waker(std::task::Waker::noop()),
            &mut vec![1; random.below(5000)].into(),
        );
        match random.below(4) {
            0 => stream.reset(ErrorCode(8)),
            1 => drop(stream.finish()),
            2 => drop(stream),
            _ => streams.push(stream),
        }
        if random.below(3) == 0 {
            yield_now().await;
        }
    }
    match random.below(4) {
        0 => client.abort(ErrorCode(7), "soaked"),
        1 => drop(R::spawn({
            let client = client.clone();
            async move { client.close().await }
        })),
        _ => {}
    }
    drop(streams);
    drop(client);
    near_driver.await;
    echo.await;
    while tokens.iter().any(|token| token.upgrade().is_some()) || Arc::strong_count(&config) > 1 {
        yield_now().await;
    }
}

/// Polls a driver several times, and drops it unless it has ended before; most run to their end.
async fn for_a_while(mut driver: Driver, polls: usize) {
    if polls > 30 {
        driver.await;
        return;
    }
    for _ in 0..polls {
        let poll = std::future::poll_fn(|cx| std::task::Poll::Ready(driver.as_mut().poll(cx)));
        if poll.await.is_ready() {
            return;
        }
        yield_now().await;
    }
}

/// What the process holds.
#[derive(Clone, Copy)]
struct Held {
    allocated: i64,
    resident_kib: u64,
    descriptors: usize,
    threads: usize,
}

impl Held {
    fn now() -> Self {
        let stats = ALLOCATOR.stats();
        let live = stats.bytes_allocated as i64 - stats.bytes_deallocated as i64;
        let count = |path| std::fs::read_dir(path).map(Iterator::count).unwrap_or(0);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|text| text.split_whitespace().next());
        Self {
            allocated: live,
            resident_kib: resident.and_then(|number| number.parse().ok()).unwrap_or(0),
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
        }
    }
}

/// Compares the resources held with those after the first tenth.
struct Watch {
    what: &'static str,
    start: Instant,
    first: Option<Held>,
}

impl Watch {
    fn new(what: &'static str) -> Self {
        Self { what, start: Instant::now(), first: None }
    }

    fn look(&mut self, part: u64, count: u64) {
        let held = Held::now();
        let Held { allocated, resident_kib, descriptors, threads } = held;
        println!(
            "{count:>9} {} in {:>7.1?}: {allocated} B allocated, {resident_kib} KiB resident, \
             {descriptors} descriptors, {threads} threads",
            self.what,
            self.start.elapsed(),
        );
        let first = *self.first.get_or_insert(held);
        assert!(held.allocated - first.allocated < SLACK, "memory grows: part {part}");
        assert!(held.descriptors <= first.descriptors, "descriptors grow: part {part}");
        assert!(held.threads <= first.threads, "threads grow: part {part}");
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ z >> 31) % limit as u64).expect("below the limit")
    }
}
