//! System calls of an operation, counted by strace.
//!
//! A sample is taken twice, with few operations and with more; the difference belongs to the
//! operations. Tracing slows the process, so more may be joined into one call than otherwise: the
//! figures are only for comparison with each other.

use std::{
    env, io,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    campaign::child,
    cli::{RunArgs, SampleArgs},
    record::Calls,
    workloads::Workload,
};

/// The time a traced sample may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The two numbers of operations, for workloads whose operations are counted.
fn ops(workload: Workload) -> Option<(u64, u64)> {
    match workload {
        Workload::Request { .. } | Workload::PingPong => Some((500, 3500)),
        Workload::Bulk { write: 65_536, .. } => Some((100, 1100)),
        _ => None,
    }
}

/// Counts for all requested workloads that can be counted, in the first requested placement.
pub(crate) fn count(args: &RunArgs) -> io::Result<Vec<Calls>> {
    let strace = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    if !strace.is_ok_and(|status| status.success()) {
        eprintln!("System calls are not counted: there is no strace here.");
        return Ok(Vec::new());
    }
    let mut counts = Vec::new();
    for placement in args.placements().into_iter().take(1) {
        for workload in args.workloads() {
            let Some((few, more)) = ops(workload) else { continue };
            for contestant in args.contestants() {
                if !workload.suits(contestant) || contestant.tuned() || contestant.go() {
                    continue;
                }
                let sample = SampleArgs {
                    contestant,
                    workload,
                    runtime: placement,
                    time: 0,
                    ops: Some(few),
                    check: args.check,
                    idle: 0,
                    congestion: args.congestion,
                };
                let calls = traced(sample)
                    .and_then(|base| Ok((base, traced(SampleArgs { ops: Some(more), ..sample })?)));
                match calls {
                    Ok((base, all)) => counts.push(Calls {
                        contestant,
                        workload,
                        placement,
                        // The warm-up does an eighth of the operations again.
                        per_op: (all as f64 - base as f64) / ((more - few) as f64 * 1.125),
                    }),
                    Err(error) => eprintln!("strace {placement} {workload} {contestant}: {error}"),
                }
            }
        }
    }
    Ok(counts)
}

/// The system calls of a sample, all of them.
fn traced(sample: SampleArgs) -> io::Result<u64> {
    let summary = tempfile::NamedTempFile::new()?;
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-U", "calls,name", "-o"]).arg(summary.path());
    child(command.arg(env::current_exe()?).args(sample.to_args()), PATIENCE)?;
    let table = std::fs::read_to_string(summary.path())?;
    table
        .lines()
        .find_map(|line| line.trim().strip_suffix(" total")?.trim().parse().ok())
        .ok_or_else(|| io::Error::other("strace gave no total"))
}
