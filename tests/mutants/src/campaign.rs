//! Runs the tests against each mutant.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
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

/// Tests are run in groups, fast ones first: in each group, those that take no longer than this, and
/// the rest in the last one.
const GROUPS: [Duration; 3] =
    [Duration::from_millis(5), Duration::from_millis(50), Duration::from_millis(500)];

/// Seconds of processor time that a run may take, besides twice what the tests take
/// without a mutant.
const SLACK: f64 = 1.0;

/// Memory that a run may take, in KiB.
const MEMORY: u64 = 2 << 20;

/// What became of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl Outcome {
    /// Whether a test noticed it.
    pub const fn is_noticed(self) -> bool {
        matches!(self, Self::Failed | Self::TooLong)
    }
}

/// A test, by program and name.
type Test = (usize, String);

/// Which tests there are, how long they take, and what they reach.
#[derive(Debug, Default)]
pub struct Coverage {
    reach: HashMap<u32, BTreeSet<Test>>,
    times: BTreeMap<Test, Duration>,
    slowest: Duration,
    left_out: BTreeMap<String, String>,
}

impl Coverage {
    /// Runs all tests without a mutant, once for their time and once for what they reach, unless they
    /// take longer than `slowest`. `again`: only those that an earlier run has not.
    pub fn measure(
        programs: &[Program],
        scratch: &Path,
        slowest: Duration,
        again: bool,
    ) -> Result<Self, String> {
        let mut coverage = Self { slowest, ..Self::default() };
        for (index, program) in programs.iter().enumerate() {
            let file = |what: &str| scratch.join(format!("{}.{what}", program.name));
            let (reached, told) = (file("reached"), file("told"));
            if !again || !told.exists() {
                let _ = fs::remove_file(&reached);
                let times = times(program)?;
                let slow = times.iter().filter(|&(_, &took)| took > slowest);
                let failed = record(program, slow.map(|(name, _)| name.as_str()), &reached)?;
                let mut text = String::new();
                for (name, took) in times {
                    let why = if failed.contains(&name) { "fails when recorded" } else { "" };
                    let _ = writeln!(text, "{}\t{name}\t{why}", took.as_secs_f64());
                }
                fs::write(&told, text).map_err(|error| error.to_string())?;
            }
            let said = fs::read_to_string(&told).map_err(|error| error.to_string())?;
            let reached = fs::read_to_string(&reached).unwrap_or_default();
            coverage.read(index, &program.name, &said, &reached)?;
        }
        Ok(coverage)
    }

    fn read(
        &mut self,
        program: usize,
        called: &str,
        told: &str,
        reached: &str,
    ) -> Result<(), String> {
        for line in told.lines() {
            let mut parts = line.split('\t');
            let took = parts.next().and_then(|took| took.parse().ok());
            let (Some(took), Some(name), Some(why)) = (took, parts.next(), parts.next()) else {
                return Err(format!("told: {line}"));
            };
            let took = Duration::from_secs_f64(took);
            if why.is_empty() && took <= self.slowest {
                self.times.insert((program, name.to_owned()), took);
            } else {
                let why = if why.is_empty() { format!("takes {took:.0?}") } else { why.to_owned() };
                self.left_out.insert(format!("{called}: {name}"), why);
            }
        }
        for line in reached.lines() {
            let Some((number, thread)) = line.split_once(' ') else { continue };
            let number = number.parse().map_err(|_| format!("reached: {line}"))?;
            let test = (program, thread.to_owned());
            if self.times.contains_key(&test) {
                self.reach.entry(number).or_default().insert(test);
            } else if !self.left_out.contains_key(&format!("{called}: {thread}")) {
                return Err(format!("{called}: {thread} is not a test"));
            }
        }
        Ok(())
    }

    /// How many tests there are, and how long they take.
    pub fn tests(&self) -> (usize, Duration) {
        (self.times.len(), self.times.values().sum())
    }

    /// The tests that are left out, and why.
    pub const fn left_out(&self) -> &BTreeMap<String, String> {
        &self.left_out
    }

    /// The tests that reach a mutant, fast ones first, in runs of one program each.
    fn runs(&self, number: u32) -> Vec<Run<'_>> {
        let mut runs: BTreeMap<(usize, usize), Run<'_>> = BTreeMap::new();
        for test in self.reach.get(&number).into_iter().flatten() {
            let took = self.times[test];
            let group = GROUPS.iter().filter(|&&most| took > most).count();
            let run = runs.entry((group, test.0)).or_insert_with(|| Run {
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

/// How long each test of a program takes.
fn times(program: &Program) -> Result<BTreeMap<String, Duration>, String> {
    let mut command = Command::new(&program.path);
    command.args(["-Zunstable-options", "--format=json", "--report-time", "--test-threads=1"]);
    let (said, passes) = run_all(program, command.env("RUSTC_BOOTSTRAP", "1"))?;
    if !passes {
        return Err(format!("{} fails without a mutant: {said}", program.name));
    }
    let told = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let passed = told.filter(|told| told["type"] == "test" && told["event"] == "ok");
    let times = passed.map(|told| {
        let name = told["name"].as_str().unwrap_or_default().to_owned();
        (name, Duration::from_secs_f64(told["exec_time"].as_f64().unwrap_or(0.0)))
    });
    Ok(times.collect())
}

/// Writes to `reached` which test reaches which mutant. Returns the tests that fail, because the
/// recorder is slow.
fn record<'a>(
    program: &Program,
    skipped: impl Iterator<Item = &'a str>,
    reached: &Path,
) -> Result<BTreeSet<String>, String> {
    let mut command = Command::new(&program.path);
    let skips = skipped.flat_map(|name| ["--skip", name]);
    // More than one thread, so that each test has its own, with its name.
    command.args(["--test-threads=2", "--exact"]).args(skips);
    let (said, _) = run_all(program, command.env("MUXADO_REACHED", reached))?;
    let failed = said.lines().filter_map(|line| {
        line.strip_prefix("test ")?.strip_suffix(" ... FAILED").map(ToOwned::to_owned)
    });
    Ok(failed.collect())
}

/// Runs the tests of a program; returns what it says, and whether they pass.
fn run_all(program: &Program, command: &mut Command) -> Result<(String, bool), String> {
    let output = command
        .current_dir(&program.place)
        .output()
        .map_err(|error| format!("{}: {error}", program.name))?;
    Ok((String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success()))
}

struct Run<'a> {
    program: usize,
    tests: Vec<&'a str>,
    time: Duration,
}

/// Runs the tests against all mutants, `jobs` at a time, for so many seconds at most, and calls
/// `note` with each outcome. A mutant without an outcome was not run.
pub fn run(
    programs: &[Program],
    mutants: &[&Mutant],
    coverage: &Coverage,
    jobs: usize,
    seconds: u64,
    note: &(dyn Fn(&Mutant, Outcome) -> Result<(), String> + Sync),
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
                if !outcome.is_noticed() {
                    println!("{outcome:?} {}", mutant.describe());
                }
                note(mutant, outcome)?;
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
    let limits =
        format!("ulimit -t {seconds} && ulimit -v {MEMORY} && exec timeout 600 \"$0\" \"$@\"");
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
