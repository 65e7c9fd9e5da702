//! Takes the samples: each in a process of its own, the contestants in turn.

use std::{
    collections::HashSet,
    env,
    ffi::OsString,
    io::{self, Read as _},
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use indicatif::{ProgressBar, ProgressStyle};
use wait_timeout::ChildExt as _;

use crate::{
    cli::{RunArgs, SampleArgs},
    contestants::Contestant,
    machine::{Listening, Machine, versions},
    measure::Outcome,
    record::{Record, Sample},
    runtime::Placement,
    syscalls,
    workloads::Workload,
};

/// The time a sample may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(15);
/// The same for a sample whose one operation moves gigabytes.
const HUGE_PATIENCE: Duration = Duration::from_secs(60);

/// A place in the order of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Turn {
    contestant: Contestant,
    workload: Workload,
    placement: Placement,
}

/// The order: for each workload A B C ..., A B C ..., so that what disturbs the machine for a while
/// disturbs all contestants.
fn order(args: &RunArgs) -> Vec<Turn> {
    let mut turns = Vec::new();
    for placement in args.placements() {
        for workload in args.workloads() {
            // Memory does not depend on the threads, and a huge operation takes its time.
            let once =
                workload.measures_memory() || workload.is_huge() || workload == Workload::Link;
            if once && placement != args.placements()[0] {
                continue;
            }
            let rounds = match workload {
                _ if workload.is_huge() => 1,
                _ if workload.measures_memory() || workload == Workload::Link => {
                    args.samples.min(3)
                }
                _ => args.samples,
            };
            for _ in 0..rounds {
                turns.extend(
                    args.contestants()
                        .into_iter()
                        .filter(|contestant| workload.suits(*contestant))
                        .map(|contestant| Turn { contestant, workload, placement }),
                );
            }
        }
    }
    turns
}

/// Takes all samples.
pub(crate) fn run(args: &RunArgs) -> io::Result<Record> {
    let turns = order(args);
    let began = SystemTime::now();
    let clock = Instant::now();
    let progress = ProgressBar::new(turns.len() as u64).with_style(
        ProgressStyle::with_template("{pos}/{len} {bar:30} {elapsed}, {eta} left  {msg}")
            .map_err(io::Error::other)?,
    );
    let mut samples = Vec::with_capacity(turns.len());
    let mut hopeless = HashSet::new();
    for turn in turns {
        if hopeless.contains(&turn) {
            progress.inc(1);
            continue;
        }
        progress.set_message(format!("{} {} {}", turn.placement, turn.workload, turn.contestant));
        let listening = Listening::start();
        let (outcome, failure) = match take(args, turn) {
            Ok(outcome) => (Some(outcome), None),
            Err(failure) => {
                let failure = failure.to_string();
                progress.suspend(|| {
                    eprintln!(
                        "{} {} {}: {failure}",
                        turn.placement, turn.workload, turn.contestant
                    );
                });
                // Whoever fails once would fail again, and hanging takes long.
                hopeless.insert(turn);
                (None, Some(failure))
            }
        };
        samples.push(Sample {
            contestant: turn.contestant,
            workload: turn.workload,
            placement: turn.placement,
            outcome,
            failure,
            noise: listening.stop(),
        });
        progress.inc(1);
    }
    progress.finish_and_clear();
    let calls = if args.syscalls { syscalls::count(args)? } else { Vec::new() };
    Ok(Record {
        began: humantime::format_rfc3339_seconds(began).to_string(),
        took: clock.elapsed().as_secs_f64(),
        machine: Machine::this(),
        versions: versions(),
        command: env::args().skip(1).collect::<Vec<_>>().join(" "),
        samples,
        calls,
        core: Vec::new(),
    })
}

fn take(args: &RunArgs, turn: Turn) -> io::Result<Outcome> {
    let sample = SampleArgs {
        contestant: turn.contestant,
        workload: turn.workload,
        runtime: turn.placement,
        time: if turn.workload.is_huge() { 1 } else { args.time },
        ops: None,
        check: args.check,
        idle: args.idle,
    };
    let patience = if turn.workload.is_huge() { HUGE_PATIENCE } else { PATIENCE };
    let output = child(Command::new(env::current_exe()?).args(sample.to_args()), patience)?;
    Ok(serde_json::from_str(&output)?)
}

/// What a process wrote, if it ended well and in time.
pub(crate) fn child(command: &mut Command, patience: Duration) -> io::Result<String> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let status = match child.wait_timeout(patience)? {
        Some(status) => status,
        None => {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other(format!("hung for {} s", patience.as_secs())));
        }
    };
    let (mut output, mut complaints) = (String::new(), String::new());
    if let Some(mut stdout) = child.stdout {
        stdout.read_to_string(&mut output)?;
    }
    if let Some(mut stderr) = child.stderr {
        stderr.read_to_string(&mut complaints)?;
    }
    if status.success() {
        return Ok(output);
    }
    let last = complaints.lines().last().unwrap_or("no word").to_owned();
    Err(io::Error::other(format!("{status}: {last}")))
}

/// An argument with its value.
pub(crate) fn option(name: &str, value: impl ToString) -> [OsString; 2] {
    [name.into(), value.to_string().into()]
}
