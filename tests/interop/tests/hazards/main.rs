//! The faults of the peers in use: each is shown on the real peer, and our side handles it.
//!
//! A test named "peer: ..." sends raw frames to the peer and shows what it does. One named "ours:
//! ..." shows that our side, with the same peer, does not trigger the fault, or continues in spite
//! of it. When a "peer" test fails, a peer has changed and PROTOCOL.md is out of date.

mod backlog;
mod lab;
mod race;
mod reset;
mod shutdown;
mod syn;
mod typed;
mod window;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use muxado_interop::process::{Kind, go_missing};

use crate::lab::{Hazard, Lab};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let lab = Arc::new(Lab::new());
    let repeat = std::env::var("MUXADO_INTEROP_REPEAT")
        .map_or(1, |times| times.parse().expect("MUXADO_INTEROP_REPEAT is a number"));
    let hazards = [
        backlog::HAZARDS,
        race::HAZARDS,
        reset::HAZARDS,
        shutdown::HAZARDS,
        syn::HAZARDS,
        typed::HAZARDS,
        window::HAZARDS,
    ];
    let trials = (1..=repeat)
        .flat_map(|round| hazards.concat().into_iter().map(move |hazard| (round, hazard)))
        .flat_map(|(round, hazard)| trials(round, hazard, &lab))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// One trial for each peer that has the fault.
fn trials(round: usize, hazard: Hazard, lab: &Arc<Lab>) -> Vec<Trial> {
    let trial = |&kind: &Kind| {
        let mut name = format!("{} ({kind})", hazard.name);
        if round > 1 {
            name = format!("{name} (round {round})");
        }
        let missing = if kind.needs_go() { go_missing() } else { None };
        let missing = missing.or_else(|| no_race(&hazard));
        if let Some(reason) = missing {
            name = format!("{name} - {reason}");
        }
        let lab = lab.clone();
        let test = move || {
            (hazard.run)(&lab, kind);
            Ok(())
        };
        Trial::test(name, test).with_ignored_flag(missing.is_some())
    };
    hazard.peers.iter().map(trial).collect()
}

/// Why a race hazard cannot be shown on this machine, if so.
fn no_race(hazard: &Hazard) -> Option<&'static str> {
    let races = race::HAZARDS.iter().any(|race| race.name == hazard.name);
    let one = std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1);
    (races && one).then_some("there is only one processor")
}
