//! The parameters of a run, drawn from the source before it starts.

use std::sync::Arc;
use std::time::Duration;

use muxado_proto::{Config, ErrorCode, Heartbeat, MemoryBudget, RateLimit};

use super::link::{Fault, Shape};
use super::quirk::Quirks;
use super::source::Source;

/// How a session is brought to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// `Session::close`.
    Close,
    /// `Session::go_away`.
    GoAway,
    /// `Session::abort`.
    Abort,
}

/// Who ends the session, how and when.
#[derive(Debug, Clone, Copy)]
pub struct End {
    /// The side that does.
    pub side: usize,
    /// How.
    pub how: Ending,
    /// The code it gives.
    pub code: ErrorCode,
    /// After this many acts of that side; `None`: when everything is done.
    pub after: Option<u64>,
}

/// What the applications do.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// Acts of each side before it begins to wind down.
    pub acts: [u64; 2],
    /// Streams each side opens at most.
    pub streams: u64,
    /// Streams that each side tries to have open at once.
    pub at_once: usize,
    /// The largest single write or read.
    pub chunk: usize,
    /// The most a side writes to one stream.
    pub total: u64,
    /// One act in this many is a reset, stop or early release; 0 for none.
    pub rude: u64,
    /// Streams wait this many acts to be accepted.
    pub lazy: u64,
    /// The longest pause between two acts.
    pub pause: Duration,
    /// One act in this many is preceded by a leap of the clock; 0 for none.
    pub leap: u64,
}

impl Workload {
    /// Reduces the payload if every byte takes many steps, so that a run takes milliseconds.
    fn bound(&mut self, windows: [u32; 2], links: [Shape; 2]) {
        let window = windows[0].min(windows[1]);
        if window <= 10 || links.iter().any(Shape::is_narrow) {
            self.total = self.total.min(500);
            self.chunk = self.chunk.min(3000);
        } else if window <= 4096 {
            self.total = self.total.min(60_000);
        }
    }

    /// A run that takes a fraction of a millisecond and still meets every limit: what a fuzzer finds
    /// depends on how many it can try.
    fn shrink(&mut self) {
        self.acts = self.acts.map(|acts| acts.min(24));
        self.streams = self.streams.min(5);
        self.total = self.total.min(if self.total <= 500 { 24 } else { 2000 });
    }
}

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The settings of both sides.
    pub configs: [Arc<Config>; 2],
    /// The transport, by writer.
    pub links: [Shape; 2],
    /// What happens.
    pub work: Workload,
    /// How it ends.
    pub ends: Vec<End>,
    /// The side that is another implementation, and its quirks.
    pub foreign: Option<(usize, Quirks)>,
}

impl Plan {
    /// Draws a run between two sessions, or one with a foreign peer.
    pub fn draw(source: &mut Source<'_>) -> Self {
        let foreign = source.one_in(4).then(|| (source.index(2), Quirks::draw(source)));
        let crowd = source.one_in(40) && !source.is_fuzzed();
        let hasty = source.one_in(4);
        let typed = foreign.is_none() && source.one_in(4);
        let mut work = Self::workload(source, crowd);
        let windows = Self::windows(source, foreign.is_some() || crowd, typed);
        let links = [0, 1].map(|_| Self::link(source, crowd));
        work.bound(windows, links);
        if source.is_fuzzed() {
            work.shrink();
        }
        // The transport decides how long output takes, except if clocks leap.
        let patience = Duration::from_secs(if work.leap > 0 { 30 } else { 3600 });
        let configs = [0, 1].map(|side| {
            let builder = Config::builder()
                .typed(typed)
                .receive_window(windows[side])
                .send_window(windows[1 - side])
                .auto_tune(!source.one_in(3))
                .max_receive_window(source.pick(&[16 << 20, 300_000, 1]))
                .window_budget(source.pick(&[32 << 20, 0, 1000, 300_000]))
                .max_frame_size(source.pick(&[16 << 10, 1024, 5000, 0xFF_FFFF]))
                .send_buffer(source.pick(&[256 << 10, 40, 100, 4096]))
                .session_send_buffer(source.pick(&[16 << 20, 1000, 40_000]))
                .accept_backlog(if hasty { 128 } else { 1 << 20 })
                .max_inbound_streams(if hasty && !crowd { 40 } else { 1 << 20 })
                .overcommit(true)
                .max_outbound_streams(source.pick(&[1024, 3, 50]))
                .max_unanswered_streams(source.one_in(8).then_some(20))
                .tombstones(source.pick(&[1024, 1 << 16]))
                .reset_limit(RateLimit::new(1 << 30, 1 << 30))
                .drain_timeout(Duration::from_secs(3600))
                .write_stall_timeout(patience)
                .frame_stall_timeout(patience)
                .heartbeat((typed && source.one_in(2)).then(|| {
                    let interval = Duration::from_secs(source.between(10, 40));
                    let tolerance = Duration::from_secs(3600);
                    Heartbeat::new().with_interval(interval).with_tolerance(tolerance)
                }));
            Arc::new(builder.build().expect("settings in their ranges"))
        });
        let ends = Self::ends(source);
        let mut plan = Self { configs, links, work, ends, foreign };
        if source.one_in(4) {
            plan.share_memory();
        }
        plan
    }

    /// Both sessions share a budget that is never used up: their audits compare what they reserve.
    fn share_memory(&mut self) {
        let budget = MemoryBudget::new(1 << 36);
        for config in &mut self.configs {
            let shared = Config::clone(config).into_builder().memory_budget(budget.clone());
            *config = Arc::new(shared.build().expect("settings in their ranges"));
        }
    }

    fn workload(source: &mut Source<'_>, crowd: bool) -> Workload {
        let chunk = source.pick(&[3000, 20, 20_000, 300_000]);
        Workload {
            acts: [0, 1].map(|_| source.between(0, if crowd { 12_000 } else { 300 })),
            streams: if crowd { 4000 } else { source.between(1, 60) },
            at_once: if crowd { 3000 } else { source.pick(&[4, 1, 30]) },
            chunk: if crowd { 200 } else { chunk },
            total: if crowd { 2000 } else { source.pick(&[60_000, 0, 100, 800_000]) },
            rude: source.pick(&[0, 15, 100]),
            lazy: source.pick(&[0, 0, 20]),
            pause: Duration::from_micros(source.pick(&[500, 0, 20_000])),
            leap: if source.one_in(10) { 50 } else { 0 },
        }
    }

    /// The receive windows. A foreign peer has only the usual one.
    fn windows(source: &mut Source<'_>, usual: bool, typed: bool) -> [u32; 2] {
        if usual || !source.one_in(3) {
            return [262_144; 2];
        }
        let small = if typed { 4 } else { 1 };
        [0, 1].map(|_| source.pick(&[262_144, small, 10, 4096, 1 << 20]))
    }

    fn link(source: &mut Source<'_>, wide: bool) -> Shape {
        let fault = source.one_in(8).then(|| Fault {
            at: match source.below(3) {
                0 => source.below(64),
                1 => source.below(4096),
                _ => source.below(400_000),
            },
            eof: source.one_in(2),
        });
        let mut shape = Shape {
            capacity: source.pick(&[1 << 20, 4096, 1, 100, 65_536]),
            latency: Duration::from_micros(source.pick(&[0, 50, 5000, 150_000])),
            bandwidth: source.pick(&[0, 0, 10_000, 1000]),
            piece: source.pick(&[usize::MAX, 20_000, 1000, 10]),
            stalls: source.pick(&[0, 0, 20]),
            stall: Duration::from_millis(source.pick(&[5, 900])),
            fault,
        };
        if wide {
            shape.capacity = shape.capacity.max(4096);
            shape.piece = shape.piece.max(1000);
        }
        if shape.is_narrow() {
            // A byte at a time is slow enough.
            shape.latency = Duration::ZERO;
            shape.stalls = 0;
        }
        shape
    }

    fn ends(source: &mut Source<'_>) -> Vec<End> {
        let count = 1 + usize::from(source.one_in(6));
        (0..count)
            .map(|_| End {
                side: source.index(2),
                how: source.pick(&[Ending::Close, Ending::GoAway, Ending::Abort]),
                code: ErrorCode(source.pick(&[0, 0, 6, 4_000_000_000])),
                after: source.one_in(4).then(|| source.below(200)),
            })
            .collect()
    }

    /// Whether the transport may end by itself, or leaps of the clock may make it seem so.
    pub fn is_faulty(&self) -> bool {
        self.work.leap > 0 || self.links.iter().any(|link| link.fault.is_some())
    }
}
