//! The counted program: `counted SCENARIO ROUNDS` runs rounds of one scenario and prints how many
//! bytes its transport has carried, and does nothing else. `muxado-instructions` runs it under
//! valgrind, with few rounds and with more; the difference is the cost of a round.
//!
//! Every run gives the same counts: one thread, virtual time, fixed seeds.

mod core;
mod crowd;
mod executor;
mod pair;
mod task;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(scenario), Some(Ok(rounds))) = (args.next(), args.next().map(|arg| arg.parse()))
    else {
        eprintln!("usage: counted SCENARIO ROUNDS");
        return ExitCode::FAILURE;
    };
    let found = core::run(&scenario, rounds)
        .or_else(|| crowd::run(&scenario, rounds))
        .or_else(|| task::run(&scenario, rounds));
    match found {
        Some(carried) => {
            println!("{carried}");
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("there is no scenario {scenario}");
            ExitCode::FAILURE
        }
    }
}
