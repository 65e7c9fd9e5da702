//! Mutation testing of the core in minutes: `.ci/mutants` prepares a workspace and calls this.
//!
//! All mutants are compiled at once, each behind a switch that is read from the environment
//! ("mutant schemata"). One run without a mutant records which test reaches which mutant; then each
//! mutant is run against the tests that reach it, until one fails.

mod blame;
mod build;
mod campaign;
mod list;
mod rewrite;
mod sites;
mod survivors;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use campaign::{Coverage, Outcome};
use list::Mutant;

/// Checks that the tests notice changes to the core.
#[derive(Debug, Parser)]
struct Options {
    /// A workspace with a copy of the core and its tests; the copy is mutated.
    #[arg(long, required_unless_present = "fit")]
    workspace: Option<PathBuf>,
    /// Only check that the survivors on the list are still mutants of the core.
    #[arg(long)]
    fit: bool,
    /// Only mutants whose description contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// The repository, if not this one.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))]
    root: PathBuf,
    /// Use what the last run has built and measured.
    #[arg(long)]
    again: bool,
    /// Stop after so many seconds; those that were run are a fair sample.
    #[arg(long, default_value_t = u64::MAX)]
    seconds: u64,
    /// How many run at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(what) => {
            eprintln!("mutants: {what}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<bool, String> {
    let root = &options.root;
    let mutants = list::list(root)?;
    let page = std::fs::read_to_string(root.join("tests/mutants/SURVIVORS.md"))
        .map_err(|error| format!("SURVIVORS.md: {error}"))?;
    let known = survivors::parse(&page)?;
    let lost: Vec<_> = known.iter().filter(|known| !mutants.iter().any(|m| known.is(m))).collect();
    for survivor in &lost {
        println!("not a mutant any more: {}", survivor.describe());
    }
    println!("{} mutants, {} known survivors", mutants.len(), known.len());
    let Some(work) = options.workspace.as_deref().filter(|_| !options.fit) else {
        return Ok(lost.is_empty());
    };

    let begin = Instant::now();
    let built = if options.again {
        build::again(work, &mutants)?
    } else {
        build::build(root, work, &mutants)?
    };
    println!(
        "{} do not compile or have no switch; built in {:.0?}",
        built.refused.len(),
        begin.elapsed()
    );
    let begin = Instant::now();
    let coverage = Coverage::measure(&built.programs, work, options.again)?;
    let (tests, time) = coverage.tests();
    println!("{tests} tests take {time:.0?}; measured in {:.0?}", begin.elapsed());
    let chosen: Vec<&Mutant> = mutants
        .iter()
        .filter(|mutant| built.refused.binary_search(&mutant.number).is_err())
        .filter(|mutant| mutant.describe().contains(&options.only))
        .collect();
    let begin = Instant::now();
    let outcomes =
        campaign::run(&built.programs, &chosen, &coverage, options.jobs, options.seconds)?;
    let pairs = chosen.iter().zip(outcomes).filter_map(|(mutant, found)| Some((*mutant, found?)));
    let (run, outcomes): (Vec<&Mutant>, Vec<Outcome>) = pairs.unzip();

    let count = |outcome: Outcome| outcomes.iter().filter(|&found| *found == outcome).count();
    let noticed = count(Outcome::Failed) + count(Outcome::TooLong);
    let mut unexplained = 0;
    println!("\nnot on the list:");
    for (mutant, outcome) in run.iter().zip(&outcomes) {
        let listed = known.iter().any(|known| known.is(mutant));
        match outcome {
            Outcome::Survived | Outcome::Unreached if !listed => {
                println!("{}", survivors::entry(mutant));
                unexplained += 1;
            }
            Outcome::Failed | Outcome::TooLong if listed => {
                println!("noticed, and on the list: {}", mutant.describe());
            }
            _ => {}
        }
    }
    println!(
        "\n{noticed} of {} noticed ({:.1} %), {} by a failure, {} by a limit; {} survive, {} are \
         not reached, {unexplained} of these not on the list; {:.0?}",
        run.len(),
        100.0 * noticed as f64 / run.len().max(1) as f64,
        count(Outcome::Failed),
        count(Outcome::TooLong),
        count(Outcome::Survived),
        count(Outcome::Unreached),
        begin.elapsed()
    );
    Ok(unexplained == 0 && lost.is_empty())
}
