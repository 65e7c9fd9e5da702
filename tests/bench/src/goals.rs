//! The goals of this project, whether a record reaches them, and by how much it misses them.

use crate::{
    contestants::Contestant,
    relay::BANDWIDTH,
    runtime::Placement,
    summary::{Event, Metric},
    workloads::{
        Workload,
        beside::{BULK, Beside, Small},
    },
};

/// The instructions that `.ci/instructions` last counted: no run of the benchmark counts them.
const COUNTED: &str = include_str!("../../instructions/recorded.txt");

/// A goal, judged.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    /// What is looked at.
    pub(crate) what: String,
    /// What is wanted.
    pub(crate) wanted: String,
    /// What was seen.
    pub(crate) seen: String,
    /// By which share of the wanted value it is missed; `None` if it is met.
    pub(crate) missed: Option<f64>,
}

/// The bound of a goal.
#[derive(Clone, Copy, Debug)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

use Bound::{AtLeast, AtMost};

impl Bound {
    /// By which share of the bound it is missed.
    fn missed(self, seen: f64) -> Option<f64> {
        let (short, bound) = match self {
            AtLeast(bound) => (bound - seen, bound),
            AtMost(bound) => (seen - bound, bound),
        };
        (short > 0.0).then(|| short / bound)
    }

    fn wording(self, unit: &str) -> String {
        match self {
            AtLeast(bound) => format!("≥ {bound} {unit}"),
            AtMost(bound) => format!("≤ {bound} {unit}"),
        }
    }
}

const KIB: u32 = 1024;
const MIB: u32 = 1024 * 1024;
const BOTH: [Placement; 2] = [Placement::Shared, Placement::Split];

/// Bulk beside small messages may be slower than bulk alone by this factor and is still at full
/// speed: the small messages take their share of two CPUs.
const FULL_SPEED: f64 = 0.9;
/// Memory after a peak may differ by this factor from that before it: pages are shared by many.
const SAME_MEMORY: f64 = 1.1;

/// Judges one of ours by the events of a record under this congestion control.
pub(crate) fn judge(events: &[Event], congestion: &str, ours: Contestant) -> Vec<Goal> {
    let mut judge = Judge { events, ours, goals: Vec::new() };
    match ours {
        Contestant::MuxadoSmol => judge.smol(),
        _ => judge.tokio(congestion),
    }
    judge.goals
}

fn bulk(streams: u32, write: u32) -> Workload {
    Workload::Bulk { streams, write }
}

fn request(inflight: u32) -> Workload {
    Workload::Request { inflight }
}

struct Judge<'a> {
    events: &'a [Event],
    ours: Contestant,
    goals: Vec<Goal>,
}

impl Judge<'_> {
    fn tokio(&mut self, congestion: &str) {
        let bbr = congestion == "bbr";
        for placement in BOTH {
            for write in [64 * KIB, MIB] {
                let workload = bulk(8, write);
                let seen = self.median(workload, placement, self.ours);
                self.goal(workload, placement, "", seen, AtLeast(5500.0), "MB/s");
                let share = if bbr { 0.85 } else { 0.75 };
                let seen = self.of(seen, workload, placement, Contestant::Tcp);
                self.goal(workload, placement, "of TCP's", seen, AtLeast(share), "×");
            }
        }
        let here = Placement::Shared;
        for write in [64 * KIB, MIB] {
            let workload = bulk(1, write);
            let seen = self.median(workload, here, self.ours);
            self.goal(workload, here, "", seen, AtLeast(5500.0), "MB/s");
            if !bbr {
                let seen = self.of(seen, workload, here, Contestant::Tcp);
                self.goal(workload, here, "of TCP's", seen, AtLeast(0.75), "×");
            }
        }
        self.figure(bulk(1, KIB), here, AtLeast(4000.0), "MB/s");
        self.figure(request(64), Placement::Split, AtLeast(850.0), "thousand/s");
        self.figure(request(64), here, AtLeast(440.0), "thousand/s");
        let seen = self.median(request(64), here, self.ours);
        let seen = self.of(seen, request(64), here, Contestant::TcpPool);
        self.goal(request(64), here, "of the TCP pool's", seen, AtLeast(1.0), "×");
        for workload in [request(1), Workload::PingPong] {
            let seen = self.median(workload, here, self.ours);
            let seen = self.of(seen, Workload::PingPong, here, Contestant::Tcp);
            self.goal(workload, here, "median, of TCP's ping-pong", seen, AtMost(1.15), "×");
        }
        self.instructions();
        for placement in BOTH {
            let bound = if placement == Placement::Shared { 110.0 } else { 330.0 };
            for streams in [1, 8] {
                self.beside(streams, placement, AtMost(bound));
            }
        }
        self.figure(Workload::Unread, here, AtLeast(3500.0), "MB/s");
        let seen = self.median(Workload::Link, here, self.ours);
        let seen = seen.map(|seen| seen * 1e6 / BANDWIDTH as f64);
        self.goal(Workload::Link, here, "of the link", seen, AtLeast(0.9), "×");
        self.memory();
        self.best("bulk, best multiplexer", |w| matches!(w, Workload::Bulk { .. }));
        self.best("echo grid, best multiplexer", |w| matches!(w, Workload::Echo { .. }));
        self.best("echo while reading, best multiplexer", |w| {
            matches!(w, Workload::EchoWhileReading { .. })
        });
        self.best("other workloads, best multiplexer", |w| !moves_bytes(w));
    }

    fn smol(&mut self) {
        let cells: Vec<_> = self
            .events
            .iter()
            .filter(|event| moves_bytes(event.workload))
            .filter_map(|event| {
                let ratio = event.median(self.ours)? / event.median(Contestant::MuxadoTokio)?;
                Some((event, ratio))
            })
            .collect();
        self.all("bulk and echo, of muxado-tokio's", &cells, 0.9);
        let workload = Workload::PingPong;
        let seen = self.median(workload, Placement::Shared, self.ours);
        let seen = self.of(seen, workload, Placement::Shared, Contestant::TcpSmol);
        self.goal(workload, Placement::Shared, "median, of TCP's on smol", seen, AtMost(1.0), "×");
        self.memory();
    }

    /// What streams and sessions cost that do nothing.
    fn memory(&mut self) {
        let here = Placement::Shared;
        self.figure(Workload::IdleStreams, here, AtMost(400.0), "bytes");
        let workload = Workload::IdleSessions { tcp: false };
        let whole = self.median(workload, here, self.ours);
        let pipe = self.median(workload, here, Contestant::Tcp);
        let seen = whole.zip(pipe).map(|(whole, pipe)| (whole - pipe) / 2.0);
        self.goal(workload, here, "an end, without the pipe", seen, AtMost(1200.0), "bytes");
        let after = self.median(Workload::Peak, here, self.ours);
        let before = self.also(Workload::Peak, here, "before");
        let seen = after.zip(before).map(|(after, before)| after / before);
        let aspect = "memory after, of that before";
        self.goal(Workload::Peak, here, aspect, seen, AtMost(SAME_MEMORY), "×");
    }

    fn beside(&mut self, streams: u32, placement: Placement, bound: Bound) {
        let small = Small::Echo;
        let workload = Workload::Beside(Beside { small, bulk: streams, both_ways: false });
        let seen = self.median(workload, placement, self.ours);
        self.goal(workload, placement, "median", seen, bound, "µs");
        let seen = self.also(workload, placement, BULK);
        let alone = bulk(streams, 64 * KIB);
        let seen = self.of(seen, alone, placement, self.ours);
        let aspect = format!("bulk, of {alone}'s");
        self.goal(workload, placement, &aspect, seen, AtLeast(FULL_SPEED), "×");
    }

    /// The instructions of a round trip, as counted last.
    fn instructions(&mut self) {
        let line = COUNTED.lines().find_map(|line| line.strip_prefix("task-ping-pong "));
        let seen = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        if self.events.is_empty() {
            return;
        }
        let bound = AtMost(9000.0);
        self.judged("ping-pong instructions, by .ci/instructions".to_owned(), seen, bound, "");
    }

    fn event(&self, workload: Workload, placement: Placement) -> Option<&Event> {
        self.events.iter().find(|event| (event.workload, event.placement) == (workload, placement))
    }

    fn median(&self, workload: Workload, placement: Placement, who: Contestant) -> Option<f64> {
        self.event(workload, placement)?.median(who)
    }

    fn also(&self, workload: Workload, placement: Placement, figure: &str) -> Option<f64> {
        let event = self.event(workload, placement)?;
        let standing = event.standings.iter().find(|standing| standing.contestant == self.ours)?;
        standing.also.get(figure).map(|spread| spread.median)
    }

    /// A figure relative to one of another contestant or workload.
    fn of(
        &self,
        seen: Option<f64>,
        workload: Workload,
        placement: Placement,
        who: Contestant,
    ) -> Option<f64> {
        Some(seen? / self.median(workload, placement, who)?)
    }

    fn figure(&mut self, workload: Workload, placement: Placement, bound: Bound, unit: &str) {
        let seen = self.median(workload, placement, self.ours);
        self.goal(workload, placement, "", seen, bound, unit);
    }

    fn goal(
        &mut self,
        workload: Workload,
        placement: Placement,
        aspect: &str,
        seen: Option<f64>,
        bound: Bound,
        unit: &str,
    ) {
        let split = if placement == Placement::Split { ", split" } else { "" };
        let what = format!("{workload}{split} {aspect}").trim_end().to_owned();
        self.judged(what, seen, bound, unit);
    }

    fn judged(&mut self, what: String, seen: Option<f64>, bound: Bound, unit: &str) {
        let Some(seen) = seen else { return };
        let digits = if seen < 100.0 { 2 } else { 0 };
        self.goals.push(Goal {
            what,
            wanted: bound.wording(unit).trim_end().to_owned(),
            seen: format!("{seen:.digits$} {unit}").trim_end().to_owned(),
            missed: bound.missed(seen),
        });
    }

    /// Best multiplexer in all of some workloads, in both placements.
    fn best(&mut self, what: &str, wanted: impl Fn(Workload) -> bool) {
        let cells: Vec<_> = self
            .events
            .iter()
            .filter(|event| wanted(event.workload))
            .filter_map(|event| {
                let ours = event.median(self.ours)?;
                let (_, peer) = event.best_peer(self.ours)?;
                Some((event, Metric::of(event.workload).ratio(ours, peer)))
            })
            .collect();
        self.all(what, &cells, 1.0);
    }

    /// The ratio of every cell has to reach the bound.
    fn all(&mut self, what: &str, cells: &[(&Event, f64)], bound: f64) {
        let Some((event, worst)) = cells.iter().min_by(|a, b| a.1.total_cmp(&b.1)) else { return };
        let reached = cells.iter().filter(|(_, ratio)| *ratio >= bound).count();
        let split = if event.placement == Placement::Split { ", split" } else { "" };
        self.goals.push(Goal {
            what: what.to_owned(),
            wanted: format!("≥ {bound} × in {} of {}", cells.len(), cells.len()),
            seen: format!("{reached}; least {worst:.2} × in {}{split}", event.workload),
            missed: AtLeast(bound).missed(*worst),
        });
    }
}

/// Whether it is one of bulk or echo.
fn moves_bytes(workload: Workload) -> bool {
    matches!(
        workload,
        Workload::Bulk { .. } | Workload::Echo { .. } | Workload::EchoWhileReading { .. }
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::summary::{Spread, Standing};

    fn event(workload: Workload, placement: Placement, medians: &[(Contestant, f64)]) -> Event {
        let standings = medians
            .iter()
            .map(|&(contestant, median)| Standing {
                contestant,
                value: Some(Spread { median, min: median, max: median }),
                cpu: None,
                p99: None,
                also: BTreeMap::new(),
                calls: None,
                note: None,
            })
            .collect();
        Event { workload, placement, standings, distance: None }
    }

    fn find<'a>(goals: &'a [Goal], what: &str) -> &'a Goal {
        goals.iter().find(|goal| goal.what == what).unwrap_or_else(|| panic!("no goal {what}"))
    }

    #[test]
    fn a_miss_is_a_share_of_the_bound() {
        assert_eq!(AtLeast(200.0).missed(150.0), Some(0.25));
        assert_eq!(AtMost(200.0).missed(250.0), Some(0.25));
        assert_eq!(AtLeast(200.0).missed(200.0), None);
        assert_eq!(AtMost(200.0).missed(200.0), None);
    }

    #[test]
    fn the_share_of_tcp_depends_on_the_congestion_control() {
        let figures = [(Contestant::Tcp, 7000.0), (Contestant::MuxadoTokio, 5600.0)];
        let events = [event(bulk(8, MIB), Placement::Split, &figures)];
        let goal = |congestion| {
            let goals = judge(&events, congestion, Contestant::MuxadoTokio);
            find(&goals, "bulk/8x1MiB, split of TCP's").missed.is_some()
        };
        assert!(goal("bbr"), "0.80 is less than 0.85");
        assert!(!goal("cubic"), "0.80 is more than 0.75");
    }

    #[test]
    fn a_request_is_compared_with_a_ping_pong_of_tcp() {
        let events = [
            event(request(1), Placement::Shared, &[(Contestant::MuxadoTokio, 12.0)]),
            event(Workload::PingPong, Placement::Shared, &[(Contestant::Tcp, 10.0)]),
        ];
        let goals = judge(&events, "cubic", Contestant::MuxadoTokio);
        let goal = find(&goals, "request/1 median, of TCP's ping-pong");
        assert_eq!(goal.seen, "1.20 ×");
        assert!(goal.missed.is_some());
    }

    #[test]
    fn the_best_multiplexer_is_sought_among_those_of_the_same_kind() {
        let figures = [
            (Contestant::Tcp, 9000.0),
            (Contestant::MuxadoTokio, 5000.0),
            (Contestant::GoYamux, 5500.0),
            (Contestant::H2Tls, 6000.0),
        ];
        let events = [event(bulk(1, MIB), Placement::Shared, &figures)];
        let goals = judge(&events, "cubic", Contestant::MuxadoTokio);
        let goal = find(&goals, "bulk, best multiplexer");
        assert_eq!(goal.seen, "0; least 0.91 × in bulk/1x1MiB");
        assert!(goal.missed.is_some_and(|missed| (0.09..0.1).contains(&missed)));
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        assert!(judge(&[], "cubic", Contestant::MuxadoTokio).is_empty());
        assert!(judge(&[], "cubic", Contestant::MuxadoSmol).is_empty());
    }

    #[test]
    fn the_counted_instructions_are_found() {
        let events = [event(Workload::Link, Placement::Shared, &[(Contestant::Tcp, 1.0)])];
        let goals = judge(&events, "cubic", Contestant::MuxadoTokio);
        find(&goals, "ping-pong instructions, by .ci/instructions");
    }
}
