//! Mutation testing of the core in minutes: `.ci/mutants` prepares a workspace and calls this.
//!
//! All mutants are compiled at once, each behind a switch that is read from the environment
//! ("mutant schemata"). One run without a mutant records which test reaches which mutant; then each
//! mutant is run against the tests that reach it, until one fails.

mod blame;
mod build;
mod campaign;
mod list;
mod outcomes;
mod rewrite;
mod sites;
mod survivors;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use campaign::{Coverage, Outcome};
use list::Mutant;
use outcomes::Outcomes;
use survivors::Survivor;

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
    /// Continue the last run: use what it has built and measured, and its outcomes.
    #[arg(long)]
    again: bool,
    /// Only mutants that earlier runs have not run, or whose change no test noticed.
    #[arg(long)]
    rest: bool,
    /// Stop after so many seconds; those that were run are a fair sample.
    #[arg(long, default_value_t = u64::MAX)]
    seconds: u64,
    /// Leave out tests that take longer, in seconds.
    #[arg(long, default_value_t = 0.5)]
    slowest: f64,
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
    let work = options.workspace.as_deref().filter(|_| !options.fit);
    // The core may have changed since it was built.
    let saved = work.map(|work| work.join("mutants.json")).filter(|path| path.exists());
    let mutants = match saved.filter(|_| options.again) {
        Some(saved) => list::load(&saved)?,
        None => list::list(root)?,
    };
    let page = std::fs::read_to_string(root.join("tests/mutants/SURVIVORS.md"))
        .map_err(|error| format!("SURVIVORS.md: {error}"))?;
    let known = survivors::parse(&page)?;
    let lost: Vec<_> = known.iter().filter(|known| !mutants.iter().any(|m| known.is(m))).collect();
    for survivor in &lost {
        println!("not a mutant any more: {}", survivor.describe());
    }
    println!("{} mutants, {} known survivors", mutants.len(), known.len());
    let Some(work) = work else { return Ok(lost.is_empty()) };
    list::save(&mutants, &work.join("mutants.json"))?;

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
    let coverage = Coverage::measure(
        &built.programs,
        work,
        Duration::from_secs_f64(options.slowest),
        options.again,
    )?;
    let (tests, time) = coverage.tests();
    println!("{tests} tests take {time:.0?}; measured in {:.0?}", begin.elapsed());
    for (test, why) in coverage.left_out() {
        println!("left out, {why}: {test}");
    }
    let keep = options.again || options.rest || !options.only.is_empty();
    let outcomes = Outcomes::open(&work.with_file_name("outcomes.txt"), keep)?;
    let is_done = |mutant: &Mutant| match outcomes.earlier(mutant) {
        Some(outcome) => options.again && !options.rest || options.rest && outcome.is_noticed(),
        None => false,
    };
    let switched = mutants.iter().filter(|m| built.refused.binary_search(&m.number).is_err());
    let chosen = switched.filter(|mutant| mutant.describe().contains(&options.only));
    let (done, due): (Vec<&Mutant>, Vec<&Mutant>) = chosen.partition(|mutant| is_done(mutant));
    let begin = Instant::now();
    let found = campaign::run(
        &built.programs,
        &due,
        &coverage,
        options.jobs,
        options.seconds,
        &|mutant, outcome| outcomes.note(mutant, outcome),
    )?;
    let new = due.iter().zip(found).filter_map(|(mutant, found)| Some((*mutant, found?)));
    let mut all: Vec<(&Mutant, Outcome)> = new.collect();
    println!("\n{} were run, in {:.0?}", all.len(), begin.elapsed());
    let old = done.iter().filter_map(|mutant| Some((*mutant, outcomes.earlier(mutant)?)));
    all.extend(old);
    let unexplained = report(&all, &known);
    Ok(unexplained == 0 && lost.is_empty())
}

/// Prints what became of the mutants; returns how many no test noticed that are not on the list.
fn report(outcomes: &[(&Mutant, Outcome)], known: &[Survivor]) -> usize {
    let count = |outcome: Outcome| outcomes.iter().filter(|(_, found)| *found == outcome).count();
    let mut unexplained = 0;
    println!("\nnot on the list:");
    for (mutant, outcome) in outcomes {
        let listed = known.iter().any(|known| known.is(mutant));
        if !outcome.is_noticed() && !listed {
            println!("{}", survivors::entry(mutant));
            unexplained += 1;
        } else if outcome.is_noticed() && listed {
            println!("noticed, and on the list: {}", mutant.describe());
        }
    }
    let noticed = count(Outcome::Failed) + count(Outcome::TooLong);
    println!(
        "\n{noticed} of {} noticed ({:.1} %), {} by a failure, {} by a limit; {} survive, {} are \
         not reached, {unexplained} of these not on the list",
        outcomes.len(),
        100.0 * noticed as f64 / outcomes.len().max(1) as f64,
        count(Outcome::Failed),
        count(Outcome::TooLong),
        count(Outcome::Survived),
        count(Outcome::Unreached),
    );
    unexplained
}
