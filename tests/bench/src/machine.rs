//! The machine of a benchmark, the versions, and the noise.

use std::{
    collections::BTreeMap,
    hint, io,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use cargo_lock::Lockfile;
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use procfs::{CpuInfo, Current as _, CurrentSI as _, KernelStats, LoadAverage, Meminfo};
use serde::{Deserialize, Serialize};
use strum::IntoEnumIterator as _;

use crate::{congestion, contestants::Contestant, go, limits::Limits};

/// The lock file this program was built with.
const LOCK: &str = include_str!("../../../Cargo.lock");

/// The machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The model of its CPU.
    pub(crate) cpu: String,
    /// The number of CPUs.
    pub(crate) cores: usize,
    /// The kernel.
    pub(crate) kernel: String,
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// The congestion control of the sockets.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) congestion: String,
    /// What it can do at best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limits: Option<Limits>,
}

impl Machine {
    /// This machine. Unknown fields are left empty.
    pub(crate) fn this() -> Self {
        let cpus = CpuInfo::current().ok();
        let kernel = procfs::sys::kernel::Version::current().ok();
        Self {
            cpu: cpus
                .as_ref()
                .and_then(|cpus| cpus.model_name(0))
                .unwrap_or("unknown CPU")
                .to_owned(),
            cores: cpus.map_or(0, |cpus| cpus.num_cores()),
            kernel: kernel
                .map_or_else(String::new, |v| format!("Linux {}.{}.{}", v.major, v.minor, v.patch)),
            memory: Meminfo::current().map_or(0, |memory| memory.mem_total),
            congestion: congestion::in_use(),
            limits: Limits::measure().ok(),
        }
    }
}

/// The versions of everything compared, by package.
pub(crate) fn versions() -> io::Result<BTreeMap<String, String>> {
    let lock: Lockfile = LOCK.parse().expect("cargo built this program with its lock file");
    let mut versions: BTreeMap<String, String> = Contestant::iter()
        .filter_map(Contestant::package)
        .filter_map(|package| {
            // Two versions of a package may be locked: the newer one is compared.
            let versions = lock.packages.iter().filter(|p| p.name.as_str() == package);
            let version = versions.map(|p| p.version.clone()).max()?;
            Some((package.to_owned(), version.to_string()))
        })
        .collect();
    if let Some(program) = go::program()? {
        versions.extend(go::versions(program)?);
    }
    Ok(versions)
}

/// Other load while a sample was taken.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Noise {
    /// The share of CPU time that the hypervisor gave to other machines, in percent.
    pub(crate) steal: f64,
    /// The load average of the last minute, when the sample ended.
    pub(crate) load: f32,
    /// Nanoseconds a cache line took from one CPU to another and back, before the sample. A
    /// hypervisor that moves virtual CPUs changes it, and with it the cost of passing something to
    /// a task on another CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) distance: Option<f64>,
}

/// Round trips per measurement of the distance between two CPUs, and the number of measurements.
/// The minimum counts, because other work only makes a measurement longer.
const ROUND_TRIPS: u32 = 50;
const LOOKS: usize = 60;
/// No further measurement is made after this time.
const DISTANCE_TIME: Duration = Duration::from_millis(50);

/// The distance of the first two CPUs that this process may use; `None` if there is only one.
fn distance() -> Option<f64> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).ok()?;
    let mut cpus = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu).unwrap_or(false));
    let (near, far) = (cpus.next()?, cpus.next()?);
    let began = Instant::now();
    (0..LOOKS)
        .take_while(|_| began.elapsed() < DISTANCE_TIME)
        .filter_map(|_| bounce(near, far))
        .min_by(f64::total_cmp)
}

/// Passes a number back and forth between threads on two CPUs.
fn bounce(near: usize, far: usize) -> Option<f64> {
    fn stay_on(cpu: usize) -> nix::Result<()> {
        let mut one = CpuSet::new();
        one.set(cpu)?;
        sched_setaffinity(Pid::from_raw(0), &one)
    }
    let ball = AtomicU32::new(0);
    let play = |cpu, first: u32| {
        let placed = stay_on(cpu);
        let began = Instant::now();
        for turn in 0..ROUND_TRIPS {
            let wanted = 2 * turn + first;
            while ball.load(Ordering::Acquire) != wanted {
                hint::spin_loop();
            }
            ball.store(wanted + 1, Ordering::Release);
        }
        placed.ok().map(|()| began.elapsed().as_nanos() as f64 / f64::from(ROUND_TRIPS))
    };
    thread::scope(|scope| {
        let (one, other) = (scope.spawn(|| play(near, 0)), scope.spawn(|| play(far, 1)));
        // The first thread waits for the other: the shorter time does not include the wait.
        let times = [one, other].map(|thread| thread.join().ok().flatten());
        Some(times[0]?.min(times[1]?))
    })
}

/// A running measurement of [`Noise`].
#[derive(Debug, Default)]
pub(crate) struct Listening {
    /// Stolen ticks, and all.
    ticks: Option<(u64, u64)>,
    distance: Option<f64>,
}

fn ticks() -> Option<(u64, u64)> {
    let total = KernelStats::current().ok()?.total;
    let stolen = total.steal.unwrap_or(0);
    let busy = total.user
        + total.nice
        + total.system
        + total.idle
        + total.iowait.unwrap_or(0)
        + total.irq.unwrap_or(0)
        + total.softirq.unwrap_or(0);
    Some((stolen, busy + stolen))
}

impl Listening {
    /// Starts listening.
    pub(crate) fn start() -> Self {
        Self { distance: distance(), ticks: ticks() }
    }

    /// What was heard.
    pub(crate) fn stop(&self) -> Noise {
        let steal = match (self.ticks, ticks()) {
            (Some((stolen, all)), Some((stolen_now, all_now))) if all_now > all => {
                100.0 * (stolen_now - stolen) as f64 / (all_now - all) as f64
            }
            _ => 0.0,
        };
        let load = LoadAverage::current().map_or(0.0, |load| load.one);
        Noise { steal, load, distance: self.distance }
    }
}
