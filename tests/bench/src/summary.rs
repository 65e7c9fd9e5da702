//! Medians, spreads and ratios of the samples.

use std::collections::BTreeMap;

use crate::{
    contestants::{Contestant, League},
    measure::Outcome,
    record::{Record, Sample},
    runtime::Placement,
    workloads::Workload,
};

/// What a workload is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    /// Operations per second: more is better.
    Rate,
    /// Bytes a second: the more, the better.
    Throughput,
    /// Half of the operations took no longer, in nanoseconds.
    MedianLatency,
    /// Resident bytes for each stream or session, both ends together.
    Resident,
}

impl Metric {
    /// The metric of a workload.
    pub(crate) fn of(workload: Workload) -> Self {
        match workload {
            Workload::Request { inflight: 1 }
            | Workload::PingPong
            | Workload::Burst
            | Workload::Beside(_)
            | Workload::Streams { .. } => Self::MedianLatency,
            Workload::Request { .. } => Self::Rate,
            Workload::Echo { payload, .. } if payload <= 1024 => Self::Rate,
            Workload::Echo { .. }
            | Workload::EchoWhileReading { .. }
            | Workload::Bulk { .. }
            | Workload::Unread
            | Workload::Link => Self::Throughput,
            Workload::IdleStreams
            | Workload::IdleSessions { .. }
            | Workload::Sessions { .. }
            | Workload::Peak => Self::Resident,
        }
    }

    /// Its value in one sample, in a readable unit.
    fn value(self, outcome: &Outcome) -> Option<f64> {
        let rate = |amount: u64| amount as f64 / outcome.usage.wall;
        match self {
            Self::Rate => Some(rate(outcome.ops) / 1e3),
            Self::Throughput => Some(rate(outcome.bytes) / 1e6),
            Self::MedianLatency => Some(outcome.latency?.p50 as f64 / 1e3),
            Self::Resident => Some(outcome.resident? as f64 / outcome.ops as f64),
        }
    }

    /// The unit of its values.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Rate => "thousand streams/s",
            Self::Throughput => "MB/s",
            Self::MedianLatency => "µs, median",
            Self::Resident => "bytes, both ends",
        }
    }

    /// Whether more is better.
    pub(crate) fn more_is_better(self) -> bool {
        matches!(self, Self::Rate | Self::Throughput)
    }

    /// How many times as good `value` is as `reference`.
    pub(crate) fn ratio(self, value: f64, reference: f64) -> f64 {
        if self.more_is_better() { value / reference } else { reference / value }
    }
}

/// The median of some values, and the minimum and maximum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    /// The median.
    pub(crate) median: f64,
    /// The least.
    pub(crate) min: f64,
    /// The greatest.
    pub(crate) max: f64,
}

impl Spread {
    /// From values in any order; `None` if there are no values.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let upper = values[values.len() / 2];
        let lower = values[(values.len() - 1) / 2];
        Some(Self { median: (lower + upper) / 2.0, min, max })
    }
}

/// The result of a contestant in a workload.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// Who.
    pub(crate) contestant: Contestant,
    /// The metric of the workload; `None` if no sample was completed.
    pub(crate) value: Option<Spread>,
    /// CPU of both ends: microseconds per operation, or seconds per GiB if bytes count.
    pub(crate) cpu: Option<f64>,
    /// 99 percent of the operations took no longer, in microseconds.
    pub(crate) p99: Option<Spread>,
    /// Further figures of the workload, by name and unit.
    pub(crate) also: BTreeMap<String, Spread>,
    /// System calls of both ends for an operation.
    pub(crate) calls: Option<f64>,
    /// What the figures do not say.
    pub(crate) note: Option<String>,
}

/// A workload in one placement, with all contestants.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// What.
    pub(crate) workload: Workload,
    /// Where.
    pub(crate) placement: Placement,
    /// Who, in the order of contestants.
    pub(crate) standings: Vec<Standing>,
    /// The distance of the CPUs during the samples, in nanoseconds.
    pub(crate) distance: Option<Spread>,
}

impl Event {
    /// The figure of a contestant.
    pub(crate) fn spread(&self, contestant: Contestant) -> Option<Spread> {
        self.standings.iter().find(|standing| standing.contestant == contestant)?.value
    }

    /// The median of a contestant.
    pub(crate) fn median(&self, contestant: Contestant) -> Option<f64> {
        self.spread(contestant).map(|value| value.median)
    }

    /// Whether a contestant took part.
    pub(crate) fn has(&self, contestant: Contestant) -> bool {
        self.standings.iter().any(|standing| standing.contestant == contestant)
    }

    /// Who is best among those `wanted`.
    pub(crate) fn best(&self, wanted: impl Fn(Contestant) -> bool) -> Option<(Contestant, f64)> {
        let metric = Metric::of(self.workload);
        self.standings
            .iter()
            .filter(|standing| wanted(standing.contestant))
            .filter_map(|standing| Some((standing.contestant, standing.value?.median)))
            .reduce(|best, next| if metric.ratio(next.1, best.1) > 1.0 { next } else { best })
    }

    /// The best multiplexer in the league of that one that is not ours.
    pub(crate) fn best_peer(&self, of: Contestant) -> Option<(Contestant, f64)> {
        self.best(|peer| !peer.ours() && !peer.raw() && peer.league() == of.league())
    }

    /// The reference for a contestant: TCP on Tokio, or TLS if it encrypts.
    pub(crate) fn raw(&self, of: Contestant) -> Option<f64> {
        self.median(match of.league() {
            League::Plain => Contestant::Tcp,
            League::Encrypted => Contestant::TcpTls,
        })
    }

    /// Whether it is the best multiplexer of its league.
    pub(crate) fn is_best(&self, one: Contestant) -> bool {
        self.best(|other| !other.raw() && other.league() == one.league())
            .is_some_and(|(best, _)| best == one)
    }
}

/// The events of a record, in the order of the report.
pub(crate) fn events(record: &Record) -> Vec<Event> {
    let mut groups: BTreeMap<(Placement, usize, Contestant), Vec<&Sample>> = BTreeMap::new();
    let workloads = Workload::all();
    for sample in &record.samples {
        let Some(place) = workloads.iter().position(|w| *w == sample.workload) else { continue };
        groups.entry((sample.placement, place, sample.contestant)).or_default().push(sample);
    }
    let mut events: Vec<Event> = Vec::new();
    for ((placement, place, contestant), samples) in groups {
        let workload = workloads[place];
        let standing = standing(record, contestant, &samples);
        match events.last_mut() {
            Some(event) if (event.workload, event.placement) == (workload, placement) => {
                event.standings.push(standing);
            }
            _ => {
                let here = record
                    .samples
                    .iter()
                    .filter(|sample| (sample.workload, sample.placement) == (workload, placement));
                let distance = Spread::of(here.filter_map(|s| s.noise.distance).collect());
                events.push(Event { workload, placement, standings: vec![standing], distance });
            }
        }
    }
    events
}

fn standing(record: &Record, contestant: Contestant, samples: &[&Sample]) -> Standing {
    let first = samples[0];
    let metric = Metric::of(first.workload);
    // A sample with a remark instead of operations has failed.
    let outcomes: Vec<&Outcome> =
        samples.iter().filter_map(|sample| sample.outcome.as_ref()).filter(|o| o.ops > 0).collect();
    let spread = |figure: &dyn Fn(&Outcome) -> Option<f64>| {
        Spread::of(outcomes.iter().filter_map(|o| figure(o)).collect())
    };
    let has_bulk = matches!(first.workload, Workload::Beside(_));
    let failed = samples.len() - outcomes.len();
    let failure = samples.iter().find_map(|sample| {
        sample
            .failure
            .clone()
            .or_else(|| sample.outcome.as_ref().filter(|o| o.ops == 0).and_then(|o| o.note.clone()))
    });
    Standing {
        contestant,
        value: spread(&|outcome| metric.value(outcome)),
        cpu: spread(&|outcome| {
            let cpu = outcome.usage.cpu();
            Some(if has_bulk || metric == Metric::Throughput {
                cpu / (outcome.bytes as f64 / GIB)
            } else {
                cpu * 1e6 / outcome.ops as f64
            })
        })
        .map(|cpu| cpu.median),
        p99: spread(&|outcome| Some(outcome.latency?.p99 as f64 / 1e3)),
        also: outcomes
            .iter()
            .flat_map(|outcome| outcome.also.keys())
            .filter_map(|name| {
                Some((name.clone(), spread(&|outcome| outcome.also.get(name).copied())?))
            })
            .collect(),
        calls: record
            .calls
            .iter()
            .find(|calls| {
                (calls.contestant, calls.workload, calls.placement)
                    == (contestant, first.workload, first.placement)
            })
            .map(|calls| calls.per_op),
        note: match (failure, failed) {
            (Some(failure), failed) if failed == samples.len() => Some(failure),
            (Some(failure), failed) => Some(format!("{failed} of {}: {failure}", samples.len())),
            (None, _) => outcomes.iter().find_map(|outcome| outcome.note.clone()),
        },
    }
}

/// Bytes of a GiB.
const GIB: f64 = (1u64 << 30) as f64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let spread = Spread::of(vec![4.0, 1.0, 3.0, 2.0]).expect("there are values");
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.5, 4.0));
        assert!(Spread::of(Vec::new()).is_none());
    }

    #[test]
    fn a_ratio_above_one_is_better_for_every_metric() {
        assert!(Metric::Throughput.ratio(2.0, 1.0) > 1.0);
        assert!(Metric::MedianLatency.ratio(1.0, 2.0) > 1.0);
        assert!(Metric::Resident.ratio(1.0, 2.0) > 1.0);
    }
}
