//! Takes the samples: each in its own process, the contestants in turn.

use std::{
    env,
    ffi::OsString,
    io::{self, Read as _},
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use indicatif::{ProgressBar, ProgressStyle};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use wait_timeout::ChildExt as _;

use crate::{
    cli::{RunArgs, SampleArgs},
    contestants::Contestant,
    go,
    machine::{Listening, Machine, versions},
    measure::Outcome,
    record::{Record, Sample},
    runtime::Placement,
    syscalls,
    workloads::Workload,
};

/// A place in the order of samples.
#[derive(Clone, Copy, Debug)]
struct Turn {
    contestant: Contestant,
    workload: Workload,
    placement: Placement,
}

/// The order: for each workload A B C ..., A B C ..., so that a temporary disturbance affects all
/// contestants.
fn order(args: &RunArgs, has_go: bool) -> Vec<Turn> {
    let mut turns = Vec::new();
    let placements = args.placements();
    for &placement in &placements {
        // The second placement shows whether the first one matters. It skips slow workloads,
        // workloads that do not depend on threads, and windows other than the default.
        let second = placement != placements[0];
        for workload in args.workloads() {
            if second && (workload.measures_memory() || workload.is_slow()) {
                continue;
            }
            let rounds = match workload {
                _ if workload.is_huge() => 1,
                _ if workload.measures_memory() || workload == Workload::Link => {
                    args.samples.min(2)
                }
                _ => args.samples,
            };
            let suits = |contestant: &Contestant| {
                workload.suits(*contestant)
                    && !((second || workload.is_huge()) && contestant.tuned())
                    && !(contestant.go() && (placement != Placement::Shared || !has_go))
            };
            for _ in 0..rounds {
                let contestants = args.contestants().into_iter().filter(suits);
                turns.extend(contestants.map(|contestant| Turn {
                    contestant,
                    workload,
                    placement,
                }));
            }
        }
    }
    turns
}

/// Whether a contestant that failed at one turn can skip another: one that hangs would hang again,
/// and one that cannot echo a payload cannot echo a larger one.
fn hopeless(failed: Turn, next: Turn) -> bool {
    let same = (failed.contestant, failed.placement) == (next.contestant, next.placement);
    let worse = match (failed.workload, next.workload) {
        (Workload::Echo { payload: failed, .. }, Workload::Echo { payload: next, .. }) => {
            failed >= 1 << 20 && next >= failed
        }
        (Workload::Streams { count: failed }, Workload::Streams { count: next }) => next >= failed,
        (failed, next) => failed == next,
    };
    same && worse
}

/// Takes all samples.
pub(crate) fn run(args: &RunArgs) -> io::Result<Record> {
    let has_go = args.contestants().into_iter().any(Contestant::go) && go::program()?.is_some();
    let turns = order(args, has_go);
    let began = SystemTime::now();
    let clock = Instant::now();
    let progress = ProgressBar::new(turns.len() as u64).with_style(
        ProgressStyle::with_template("{pos}/{len} {bar:30} {elapsed}, {eta} left  {msg}")
            .map_err(io::Error::other)?,
    );
    let mut samples = Vec::with_capacity(turns.len());
    let mut failures: Vec<(Turn, String)> = Vec::new();
    for turn in turns {
        progress.set_message(format!("{} {} {}", turn.placement, turn.workload, turn.contestant));
        let known = failures.iter().find(|(failed, _)| hopeless(*failed, turn));
        let listening = if known.is_some() { Listening::default() } else { Listening::start() };
        let (outcome, failure) = match known {
            Some((failed, failure)) => (None, Some(format!("{failure} ({})", failed.workload))),
            None => match take(args, turn) {
                Ok(outcome) => (Some(outcome), None),
                Err(error) => (None, Some(error.to_string())),
            },
        };
        if let (Some(failure), None) = (&failure, known) {
            progress.suspend(|| {
                eprintln!("{} {} {}: {failure}", turn.placement, turn.workload, turn.contestant);
            });
            failures.push((turn, failure.clone()));
        }
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
        versions: versions()?,
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
        time: if matches!(turn.workload, Workload::Echo { .. }) && turn.workload.is_huge() {
            1
        } else {
            args.time
        },
        ops: None,
        check: args.check,
        idle: args.idle,
        congestion: args.congestion,
    };
    let mut command = match go::program()?.filter(|_| turn.contestant.go()) {
        Some(program) => go::sample(program, sample),
        None => sample.command()?,
    };
    let output = child(&mut command, turn.workload.patience())?;
    Ok(serde_json::from_str(&output)?)
}

/// The output of a process, if it succeeded in time.
pub(crate) fn child(command: &mut Command, patience: Duration) -> io::Result<String> {
    // In its own process group with its children, so that one that hangs under strace is ended,
    // too.
    command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let status = match child.wait_timeout(patience)? {
        Some(status) => status,
        None => {
            let group = i32::try_from(child.id()).map_err(io::Error::other)?;
            killpg(Pid::from_raw(group), Signal::SIGKILL)?;
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
