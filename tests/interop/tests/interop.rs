//! The interop matrix: ours with the implementations in use, in both roles, in every mode.
//!
//! `MUXADO_INTEROP_REPEAT=n` runs ours with each of them n times, and `MUXADO_INTEROP_POLL=n` has
//! long polls answered after n seconds. Without Go, the trials that need
//! it are ignored; with `MUXADO_REQUIRE_GO=1` they fail.

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use muxado_interop::answers::{Answers, answers};
use muxado_interop::matrix::{Mode, Run, runs};
use muxado_interop::options::Implementation;
use muxado_interop::polls;
use muxado_interop::process::{Kind, Programs, go_missing};

const OURS: &[Kind] = &[
    Kind::Rust(Implementation::Tokio),
    Kind::Rust(Implementation::Smol),
    Kind::Rust(Implementation::Core),
];
const NGROK: Kind = Kind::Rust(Implementation::Ngrok);
const PEERS: &[Kind] = &[Kind::Go, Kind::Go2, NGROK];

/// The modes that work between the peers, run once to show that the programs are correct. Closing a
/// session is not one of them: a Go peer loses streams that it has not accepted when another one
/// closes at once (PROTOCOL.md §12.1).
const PEERS_CAN: &[Mode] = &[
    Mode::Echo,
    Mode::HalfClose,
    Mode::Requests,
    Mode::Typed,
    Mode::Heartbeat,
    Mode::BulkUp,
    Mode::BulkDown,
    Mode::BothOpen,
    Mode::TinyReads,
    Mode::LargeWrites,
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let programs = Arc::new(Programs::new(
        env!("CARGO_BIN_EXE_interop-peer"),
        env!("CARGO_MANIFEST_DIR"),
        env!("CARGO_TARGET_TMPDIR"),
    ));
    let repeat = std::env::var("MUXADO_INTEROP_REPEAT")
        .map_or(1, |times| times.parse().expect("MUXADO_INTEROP_REPEAT is a number"));
    let polls = (1..=repeat).map(|round| trial_of_polls(round, &programs));
    let trials = (1..=repeat)
        .flat_map(|round| runs(OURS, PEERS, Mode::ALL).into_iter().map(move |run| (round, run)))
        .chain(runs_of_peers().into_iter().map(|run| (1, run)))
        .map(|(round, run)| trial(round, run, &programs))
        .chain(answers(OURS, PEERS).into_iter().map(|answers| trial_of_answers(answers, &programs)))
        .chain(polls)
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn runs_of_peers() -> Vec<Run> {
    let pairs = PEERS.iter().enumerate();
    pairs.flat_map(|(n, &one)| runs(&[one], &PEERS[n + 1..], PEERS_CAN)).collect()
}

/// An answer that is complete reaches its reader, whatever becomes of the request. The Go reference is
/// what all are compared with.
fn trial_of_answers(answers: Answers, programs: &Arc<Programs>) -> Trial {
    let missing = go_missing();
    let name = missing.map_or(answers.to_string(), |reason| format!("{answers} - {reason}"));
    let programs = programs.clone();
    Trial::test(name, move || Ok(answers.run(&programs)?)).with_ignored_flag(missing.is_some())
}

/// Streams that are answered late get through, however many they are.
fn trial_of_polls(round: usize, programs: &Arc<Programs>) -> Trial {
    let missing = go_missing();
    let name = format!("long polls (round {round})");
    let name = missing.map_or(name.clone(), |reason| format!("{name} - {reason}"));
    let programs = programs.clone();
    Trial::test(name, move || Ok(polls::run(&programs, OURS, PEERS)?))
        .with_ignored_flag(missing.is_some())
}

fn trial(round: usize, run: Run, programs: &Arc<Programs>) -> Trial {
    let name = if round == 1 { run.to_string() } else { format!("{run} (round {round})") };
    let missing = if run.needs_go() { go_missing() } else { None };
    let name = missing.map_or(name.clone(), |reason| format!("{name} - {reason}"));
    let programs = programs.clone();
    Trial::test(name, move || Ok(run.run(&programs)?)).with_ignored_flag(missing.is_some())
}
