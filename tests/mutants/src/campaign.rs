//! Runs the tests against each mutant.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::build::Program;
use crate::list::Mutant;

/// Tests that take no longer run first.
const FAST: Duration = Duration::from_millis(150);

/// Tests that take longer are left out.
const SLOWEST: Duration = Duration::from_secs(4);

/// Seconds of processor time that a run may take, besides twice what the tests take
/// without a mutant.
const SLACK: f64 = 2.0;

/// Memory that a run may take, in KiB.
const MEMORY: u64 = 4 << 20;

/// What became of a mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A test failed.
    Failed,
    /// A run took too long.
    TooLong,
    /// No test noticed it.
    Survived,
    /// No test reaches it.
    Unreached,
}

/// A test, by program and name.
type Test = (usize, String);

/// Which tests there are, how long they take, and what they reach.
#[derive(Debug)]
pub struct Coverage {
    reach: HashMap<u32, BTreeSet<Test>>,
    times: BTreeMap<Test, Duration>,
}

impl Coverage {
    /// Runs all tests without a mutant; `again`: those that an earlier run has not.
    pub fn measure(programs: &[Program], scratch: &Path, again: bool) -> Result<Self, String> {
        let mut coverage = Self { reach: HashMap::new(), times: BTreeMap::new() };
        for (index, program) in programs.iter().enumerate() {
            let reached = scratch.join(format!("{}.reached", program.name));
            let told = scratch.join(format!("{}.told", program.name));
            if !again || !told.exists() {
                let _ = fs::remove_file(&reached);
                let output = Command::new(&program.path)
                    .args(["-Zunstable-options", "--format=json", "--report-time"])
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("MUXADO_REACHED", &reached)
                    .current_dir(&program.place)
                    .output()
                    .map_err(|error| format!("{}: {error}", program.name))?;
                if !output.status.success() {
                    let said = String::from_utf8_lossy(&output.stdout);
                    return Err(format!("{} fails without a mutant: {said}", program.name));
                }
                fs::write(&told, output.stdout).map_err(|error| error.to_string())?;
            }
            let said = fs::read_to_string(&told).map_err(|error| error.to_string())?;
            for line in said.lines() {
                let Ok(told) = serde_json::from_str::<Value>(line) else { continue };
                if told["type"] == "test" && told["event"] == "ok" {
                    let name = told["name"].as_str().unwrap_or_default().to_owned();
                    let took = Duration::from_secs_f64(told["exec_time"].as_f64().unwrap_or(0.0));
                    coverage.times.insert((index, name), took);
                }
            }
            let reached = fs::read_to_string(&reached).unwrap_or_default();
            for line in reached.lines() {
                let Some((number, thread)) = line.split_once(' ') else { continue };
                let number = number.parse().map_err(|_| format!("reached: {line}"))?;
                let test = (index, thread.to_owned());
                if !coverage.times.contains_key(&test) {
                    return Err(format!("{}: {thread} is not a test", program.name));
                }
                coverage.reach.entry(number).or_default().insert(test);
            }
        }
        Ok(coverage)
    }

    /// How many tests there are, and how long they take.
    pub fn tests(&self) -> (usize, Duration) {
        (self.times.len(), self.times.values().sum())
    }

    /// The tests that reach a mutant, fast ones first, in runs of one program each.
    fn runs(&self, number: u32) -> Vec<Run<'_>> {
        let mut runs: BTreeMap<(bool, usize), Run<'_>> = BTreeMap::new();
        for test in self.reach.get(&number).into_iter().flatten() {
            let took = self.times[test];
            if took > SLOWEST {
                continue;
            }
            let run = runs.entry((took > FAST, test.0)).or_insert_with(|| Run {
                program: test.0,
                tests: Vec::new(),
                time: Duration::ZERO,
            });
            run.tests.push(&test.1);
            run.time += took;
        }
        runs.into_values().collect()
    }
}

struct Run<'a> {
    program: usize,
    tests: Vec<&'a str>,
    time: Duration,
}

/// Runs the tests against all mutants, `jobs` at a time, for so many seconds at most. A mutant
/// without an outcome was not run.
pub fn run(
    programs: &[Program],
    mutants: &[&Mutant],
    coverage: &Coverage,
    jobs: usize,
    seconds: u64,
) -> Result<Vec<Option<Outcome>>, String> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(vec![None; mutants.len()]);
    let begin = Instant::now();
    // Scattered, so that those that were run when the time is up are a fair sample.
    let mut order: Vec<usize> = (0..mutants.len()).collect();
    order.sort_by_key(|&index| mutants[index].number.wrapping_mul(0x9E37_79B1));
    std::thread::scope(|scope| {
        let worker = || -> Result<(), String> {
            loop {
                let turn = next.fetch_add(1, Ordering::Relaxed);
                let Some(&index) = order.get(turn) else { return Ok(()) };
                if begin.elapsed().as_secs() >= seconds {
                    return Ok(());
                }
                let mutant = mutants[index];
                let outcome = judge(programs, mutant.number, coverage)?;
                if matches!(outcome, Outcome::Survived | Outcome::Unreached) {
                    println!("{outcome:?} {}", mutant.describe());
                }
                if let Ok(mut outcomes) = outcomes.lock() {
                    outcomes[index] = Some(outcome);
                }
                if (turn + 1).is_multiple_of(100) {
                    println!("{} of {} in {:.0?}", turn + 1, mutants.len(), begin.elapsed());
                }
                let _ = std::io::stdout().flush();
            }
        };
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            worker.join().map_err(|_| "a worker panicked".to_owned())??;
        }
        Ok::<(), String>(())
    })?;
    outcomes.into_inner().map_err(|error| error.to_string())
}

fn judge(programs: &[Program], number: u32, coverage: &Coverage) -> Result<Outcome, String> {
    let mut outcome = Outcome::Unreached;
    for run in coverage.runs(number) {
        outcome = execute(&programs[run.program], &run, number)?;
        if outcome != Outcome::Survived {
            break;
        }
    }
    Ok(outcome)
}

fn execute(program: &Program, run: &Run<'_>, number: u32) -> Result<Outcome, String> {
    let seconds = (SLACK + 2.0 * run.time.as_secs_f64()).ceil();
    // Processor time, because other processes may have the processor. The wall clock is for tests
    // that wait.
    let limits = format!("ulimit -t {seconds} -v {MEMORY}; exec timeout 240 \"$0\" \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &limits])
        .arg(&program.path)
        .args(["--test-threads=1", "--exact"])
        .args(&run.tests)
        .env("MUXADO_MUTANT", number.to_string())
        .current_dir(&program.place)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", program.name))?;
    Ok(match output.status.code() {
        Some(0) => Outcome::Survived,
        // `timeout` reports both its own end and the signal for too much processor time.
        Some(124 | 137 | 152) | None => Outcome::TooLong,
        Some(_) => Outcome::Failed,
    })
}
