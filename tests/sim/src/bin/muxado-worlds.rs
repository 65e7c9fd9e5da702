//! Explores small worlds, all or some, or runs a trace again:
//!
//! ```text
//! cargo run --profile checked -p muxado-sim --bin muxado-worlds -- --states 2000000
//! cargo run --profile checked -p muxado-sim --bin muxado-worlds -- --world one --replay "c.open c.write0"
//! ```
//!
//! Exits with 1 if one of them has a failure, or, with `--to-the-end`, if there are more states
//! than allowed.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use muxado_sim::worlds;

/// Explores small worlds of two sessions.
#[derive(Debug, Parser)]
struct Options {
    /// The worlds; by default all of them.
    #[arg(long)]
    world: Vec<String>,
    /// States of each world at most.
    #[arg(long, default_value_t = 2_000_000)]
    states: usize,
    /// Fail unless every state was seen.
    #[arg(long)]
    to_the_end: bool,
    /// Maximum number of waiting states in memory.
    #[arg(long, default_value_t = 300_000)]
    kept: usize,
    /// A trace to run again, in the first of the worlds.
    #[arg(long)]
    replay: Option<String>,
    /// Only list the worlds.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let mut chosen = Vec::new();
    for name in &options.world {
        match worlds::find(name) {
            Some(settings) => chosen.push(settings),
            None => {
                eprintln!("no world {name}");
                return ExitCode::from(2);
            }
        }
    }
    if chosen.is_empty() {
        chosen.extend(worlds::all());
    }
    if options.list {
        for settings in chosen {
            println!("{:10} {}", settings.name, settings.about);
        }
        return ExitCode::SUCCESS;
    }
    match (&options.replay, chosen.first()) {
        (Some(trace), Some(settings)) => replay(settings, trace),
        _ => explore(&chosen, &options),
    }
}

fn explore(chosen: &[&'static worlds::Settings], options: &Options) -> ExitCode {
    let begin = Instant::now();
    let (mut states, mut failed) = (0, false);
    for settings in chosen {
        let explored = worlds::explore(settings, options.states, options.kept);
        println!("{explored}");
        states += explored.states;
        failed |= explored.failure.is_some() || options.to_the_end && !explored.closed;
    }
    println!("{states} states in {:.0?}", begin.elapsed());
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn replay(settings: &'static worlds::Settings, trace: &str) -> ExitCode {
    let steps = match worlds::parse(trace) {
        Ok(steps) => steps,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    match worlds::replay(settings, &steps, |line| println!("{line}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            println!("{what}");
            ExitCode::FAILURE
        }
    }
}
