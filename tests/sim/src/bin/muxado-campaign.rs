//! Runs many seeds of the simulator, or one again:
//!
//! ```text
//! cargo run --profile checked -p muxado-sim --bin muxado-campaign -- --seeds 100000
//! cargo run --profile checked -p muxado-sim --bin muxado-campaign -- --from 4711 --seeds 1 --plan
//! ```
//!
//! Exits with 1 if a seed fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use muxado_sim::sim;

/// Runs seeds of the simulator and reports those that fail.
#[derive(Debug, Parser)]
struct Options {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// Stop after so many failures.
    #[arg(long, default_value_t = 20)]
    failures: u64,
    /// Print the plan of a failing run.
    #[arg(long)]
    plan: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let begin = Instant::now();
    let mut total = sim::Figures::default();
    let (mut runs, mut failures) = (0u64, 0u64);
    for seed in options.from..options.from.saturating_add(options.seeds) {
        runs += 1;
        match catch_unwind(AssertUnwindSafe(|| sim::run_seed(seed))) {
            Ok(Ok(report)) => {
                total.steps += report.figures.steps;
                total.streams += report.figures.streams;
                total.payload += report.figures.payload;
                continue;
            }
            Ok(Err(failure)) => {
                println!("seed {seed}: {failure}");
                if options.plan {
                    println!("{:#?}", failure.plan);
                }
            }
            Err(_) => println!("seed {seed}: a panic, reported above"),
        }
        println!("  again: {}", sim::replay(seed));
        failures += 1;
        if failures >= options.failures {
            break;
        }
    }
    println!(
        "{runs} seeds from {}, {failures} failures: {} streams, {} payload bytes, {} steps in {:.1?}",
        options.from,
        total.streams,
        total.payload,
        total.steps,
        begin.elapsed(),
    );
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
