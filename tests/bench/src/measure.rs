//! The measurements of a sample: wall time, CPU time, latency, memory; and its duration.

use std::{
    collections::BTreeMap,
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

/// How long a workload goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Budget {
    /// For some time.
    Time(Duration),
    /// For this many operations: counts of system calls need an exact number.
    Ops(u64),
}

impl Budget {
    /// The part of the budget for warming up.
    pub(crate) fn warm_up(self) -> Self {
        match self {
            Self::Time(time) => Self::Time(time / 4),
            Self::Ops(ops) => Self::Ops(ops.div_ceil(8)),
        }
    }

    /// Starts spending.
    pub(crate) fn start(self) -> Clock {
        match self {
            Self::Time(time) => {
                Clock { until: Some(Instant::now() + time), left: AtomicU64::new(u64::MAX) }
            }
            Self::Ops(ops) => Clock { until: None, left: AtomicU64::new(ops) },
        }
    }
}

/// A budget being spent by one or several tasks.
#[derive(Debug)]
pub(crate) struct Clock {
    until: Option<Instant>,
    left: AtomicU64,
}

impl Clock {
    /// Takes one operation from the budget; returns whether there was one.
    pub(crate) fn take(&self) -> bool {
        match self.until {
            Some(until) => self.left.load(Ordering::Relaxed) > 0 && Instant::now() < until,
            None => self
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok(),
        }
    }

    /// Ends the budget early, for all who spend it.
    pub(crate) fn end(&self) {
        self.left.store(0, Ordering::Relaxed);
    }
}

/// Time spent, by the wall clock and by the CPUs of the whole process, both ends of it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Seconds by the wall clock.
    pub(crate) wall: f64,
    /// Seconds of CPU in user mode.
    pub(crate) user: f64,
    /// Seconds of CPU in the kernel.
    pub(crate) system: f64,
    /// How often a thread gave up its CPU to wait.
    pub(crate) waits: i64,
}

impl Usage {
    /// Seconds of CPU.
    pub(crate) fn cpu(&self) -> f64 {
        self.user + self.system
    }
}

/// A running measurement of [`Usage`].
#[derive(Debug)]
pub(crate) struct Meter {
    began: Instant,
    before: Usage,
}

fn process() -> Usage {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask for its own usage");
    let seconds =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Usage {
        wall: 0.0,
        user: seconds(usage.user_time()),
        system: seconds(usage.system_time()),
        waits: usage.voluntary_context_switches(),
    }
}

impl Meter {
    /// Starts measuring.
    pub(crate) fn start() -> Self {
        Self { before: process(), began: Instant::now() }
    }

    /// What was spent since the start.
    pub(crate) fn stop(&self) -> Usage {
        let wall = self.began.elapsed().as_secs_f64();
        let after = process();
        Usage {
            wall,
            user: after.user - self.before.user,
            system: after.system - self.before.system,
            waits: after.waits - self.before.waits,
        }
    }
}

/// The latency of operations, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// Half of the operations took no longer.
    pub(crate) p50: u64,
    /// 90 percent of the operations took no longer.
    pub(crate) p90: u64,
    /// 99 percent of the operations took no longer.
    pub(crate) p99: u64,
    /// 99.9 percent of the operations took no longer.
    pub(crate) p999: u64,
    /// The slowest operation.
    pub(crate) max: u64,
}

/// Collects latencies.
#[derive(Debug)]
pub(crate) struct Recorder(Histogram<u64>);

impl Recorder {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(Histogram::new(3).expect("three significant digits are allowed"))
    }

    /// Runs an operation and notes how long it took.
    pub(crate) async fn time<T>(
        &mut self,
        operation: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let began = Instant::now();
        let output = operation.await?;
        let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.record(nanos).map_err(io::Error::other)?;
        Ok(output)
    }

    /// Adds the values of another collection.
    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both grow as needed");
    }

    /// How many operations were timed.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The percentiles, if there was anything to time.
    pub(crate) fn latency(&self) -> Option<Latency> {
        (!self.0.is_empty()).then(|| Latency {
            p50: self.0.value_at_quantile(0.5),
            p90: self.0.value_at_quantile(0.9),
            p99: self.0.value_at_quantile(0.99),
            p999: self.0.value_at_quantile(0.999),
            max: self.0.max(),
        })
    }
}

/// The resident bytes of this process.
pub(crate) fn resident() -> io::Result<u64> {
    let statm =
        procfs::process::Process::myself().and_then(|me| me.statm()).map_err(io::Error::other)?;
    Ok(statm.resident * procfs::page_size())
}

/// What one run of a workload gave.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Operations done; what one is depends on the workload.
    pub(crate) ops: u64,
    /// Bytes of contents moved, one way.
    pub(crate) bytes: u64,
    /// Time spent.
    pub(crate) usage: Usage,
    /// Latency of an operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latency: Option<Latency>,
    /// Resident bytes added by all operations together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resident: Option<u64>,
    /// Further figures of this workload, by name and unit. Each is a column of its table.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) also: BTreeMap<String, f64>,
    /// What the figures do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(nanos: impl IntoIterator<Item = u64>) -> Recorder {
        let mut recorder = Recorder::new();
        for nanos in nanos {
            recorder.0.record(nanos).expect("the histogram grows");
        }
        recorder
    }

    #[test]
    fn percentiles_are_those_of_the_recorded_times() {
        let latency = recorded(1..=1000).latency().expect("there are times");
        assert_eq!((latency.p50, latency.p90, latency.p99), (500, 900, 990));
        assert_eq!((latency.p999, latency.max), (999, 1000));
    }

    #[test]
    fn one_slow_operation_of_a_hundred_is_beyond_the_99th_percentile() {
        let mut most = recorded([10; 99]);
        most.add(&recorded([1_000_000]));
        let latency = most.latency().expect("there are times");
        assert_eq!((latency.p50, latency.p99), (10, 10));
        assert!(latency.max >= 1_000_000);
    }

    #[test]
    fn nothing_recorded_has_no_percentiles() {
        assert!(Recorder::new().latency().is_none());
    }

    #[test]
    fn a_clock_ends_early_for_all_who_spend_it() {
        for budget in [Budget::Time(Duration::from_secs(3600)), Budget::Ops(u64::MAX)] {
            let clock = budget.start();
            assert!(clock.take());
            clock.end();
            assert!(!clock.take(), "{budget:?}");
        }
    }
}
