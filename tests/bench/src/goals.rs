//! The goals of this project, and whether a record reaches them.

use crate::{
    contestants::Contestant,
    relay::BANDWIDTH,
    runtime::Placement,
    summary::{Event, Metric},
    workloads::Workload,
};

/// A goal, judged.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    /// What is looked at.
    pub(crate) what: String,
    /// What is wanted.
    pub(crate) wanted: String,
    /// What was seen.
    pub(crate) seen: String,
    /// Whether that is enough.
    pub(crate) met: bool,
}

/// What is looked at in an event.
type Look = fn(&Event, Contestant) -> Option<f64>;

fn metric(event: &Event, ours: Contestant) -> Option<f64> {
    event.median(ours)
}

fn cpu(event: &Event, ours: Contestant) -> Option<f64> {
    event.standings.iter().find(|standing| standing.contestant == ours)?.cpu
}

/// A value relative to that of plain TCP on the same runtime.
fn of_tcp(look: Look) -> impl Fn(&Event, Contestant) -> Option<f64> {
    move |event, ours| Some(look(event, ours)? / look(event, ours.own_tcp())?)
}

/// The bound of a goal.
#[derive(Clone, Copy, Debug)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    fn met(self, seen: f64) -> bool {
        match self {
            Self::AtLeast(bound) => seen >= bound,
            Self::AtMost(bound) => seen <= bound,
        }
    }

    fn wording(self, unit: &str) -> String {
        match self {
            Self::AtLeast(bound) => format!("≥ {bound} {unit}"),
            Self::AtMost(bound) => format!("≤ {bound} {unit}"),
        }
    }
}

/// Judges one of ours by the events of the multi-thread runtime.
pub(crate) fn judge(events: &[Event], ours: Contestant) -> Vec<Goal> {
    let mut judge = Judge { events, ours, goals: Vec::new() };
    let request = |inflight| Workload::Request { inflight };
    let bulk = |streams, write| Workload::Bulk { streams, write };
    let (kib, mib) = (1024, 1024 * 1024);
    judge.goal(request(64), "rate", metric, Bound::AtLeast(200.0), "thousand/s");
    judge.goal(
        request(64),
        "rate, of the TCP pool's",
        |event, ours| Some(event.median(ours)? / event.median(Contestant::TcpPool)?),
        Bound::AtLeast(1.0),
        "×",
    );
    judge.goal(request(64), "CPU", cpu, Bound::AtMost(10.0), "µs");
    judge.goal(request(1), "median", metric, Bound::AtMost(20.0), "µs");
    judge.goal(Workload::PingPong, "median, of TCP's", of_tcp(metric), Bound::AtMost(1.15), "×");
    for write in [64 * kib, mib] {
        judge.goal(bulk(8, write), "of TCP's", of_tcp(metric), Bound::AtLeast(0.85), "×");
    }
    for write in [64 * kib, mib] {
        judge.goal(bulk(1, write), "CPU, of TCP's", of_tcp(cpu), Bound::AtMost(1.1), "×");
    }
    judge.goal(bulk(1, kib), "", metric, Bound::AtLeast(1500.0), "MB/s");
    judge.goal(Workload::Unread, "the others", metric, Bound::AtLeast(2000.0), "MB/s");
    judge.goal(
        Workload::Link,
        "of the link",
        |event, ours| Some(event.median(ours)? * 1e6 / BANDWIDTH as f64),
        Bound::AtLeast(0.9),
        "×",
    );
    judge.goal(Workload::IdleStreams, "both ends", metric, Bound::AtMost(600.0), "bytes");
    judge.goal(
        Workload::IdleSessions { tcp: false },
        "an end, without the pipe",
        |event, ours| Some((event.median(ours)? - event.raw()?) / 2.0),
        Bound::AtMost(2048.0),
        "bytes",
    );
    let echo = |workload| matches!(workload, Workload::Echo { .. });
    judge.best("echo grid", echo);
    judge.best("other workloads", |workload| !echo(workload));
    judge.goals
}

struct Judge<'a> {
    events: &'a [Event],
    ours: Contestant,
    goals: Vec<Goal>,
}

impl Judge<'_> {
    fn goal(
        &mut self,
        workload: Workload,
        aspect: &str,
        look: impl Fn(&Event, Contestant) -> Option<f64>,
        bound: Bound,
        unit: &str,
    ) {
        let event = self
            .events
            .iter()
            .find(|event| event.workload == workload && event.placement == Placement::Shared);
        if let Some(seen) = event.and_then(|event| look(event, self.ours)) {
            let digits = if seen < 100.0 { 2 } else { 0 };
            self.goals.push(Goal {
                what: format!("{workload} {aspect}").trim_end().to_owned(),
                wanted: bound.wording(unit),
                seen: format!("{seen:.digits$} {unit}"),
                met: bound.met(seen),
            });
        }
    }

    /// Best multiplexer in all of some workloads.
    fn best(&mut self, what: &str, wanted: impl Fn(Workload) -> bool) {
        let cells: Vec<_> = self
            .events
            .iter()
            .filter(|event| event.placement == Placement::Shared)
            .filter(|event| wanted(event.workload))
            .filter_map(|event| {
                let ours = event.median(self.ours)?;
                let (_, peer) = event.best_peer()?;
                Some((event.workload, Metric::of(event.workload).ratio(ours, peer)))
            })
            .collect();
        let Some(worst) = cells.iter().min_by(|a, b| a.1.total_cmp(&b.1)) else { return };
        let best_in = cells.iter().filter(|(_, ratio)| *ratio >= 1.0).count();
        self.goals.push(Goal {
            what: format!("{what}: best multiplexer"),
            wanted: format!("{} of {}", cells.len(), cells.len()),
            seen: format!("{best_in}; least lead {:.2} × in {}", worst.1, worst.0),
            met: best_in == cells.len(),
        });
    }
}
