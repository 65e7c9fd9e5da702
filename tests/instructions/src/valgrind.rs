//! Runs a scenario under valgrind and reads the counts.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What one run has cost.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Of the program itself, without the C library, because the cost of a copy or an allocation
    /// there depends on the machine.
    pub instructions: u64,
    /// Blocks of memory.
    pub allocations: u64,
    /// Bytes copied by `memcpy` and `memmove`, without those of the transport in memory.
    pub copied: u64,
    /// How often the lock of the task layer, or that of a transport's waker, was taken.
    pub locks: u64,
}

/// Counts one run of so many rounds.
pub fn count(scenario: &str, rounds: u64) -> Result<Counts, String> {
    let own = env::current_exe().map_err(|error| error.to_string())?;
    let program = own.with_file_name("counted");
    // The name contains the process id, because several may run at once.
    let profile = own.with_file_name(format!("profile-{}", std::process::id()));
    let out = format!("--callgrind-out-file={}", profile.display());
    run(&["--tool=callgrind", &out], &program, scenario, rounds)?;
    let text = fs::read_to_string(&profile).map_err(|error| format!("{profile:?}: {error}"))?;
    let _leftover = fs::remove_file(&profile);
    let Profile { instructions, locks } = Profile::parse(&text, &program);
    if instructions == 0 {
        return Err(format!("callgrind has counted nothing in {}", program.display()));
    }
    let dhat = |mode| ["--tool=dhat", mode, "--dhat-out-file=/dev/null"];
    let heap = run(&dhat("--mode=heap"), &program, scenario, rounds)?;
    let (_, allocations) = total(&heap.report)?;
    let copies = run(&dhat("--mode=copy"), &program, scenario, rounds)?;
    let (copied, _) = total(&copies.report)?;
    // In and out of the transport.
    let copied = copied.saturating_sub(copies.carried.saturating_mul(2));
    Ok(Counts { instructions, allocations, copied, locks })
}

struct Run {
    report: String,
    carried: u64,
}

fn run(tool: &[&str], program: &Path, scenario: &str, rounds: u64) -> Result<Run, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let output = Command::new("valgrind")
        .args(tool)
        .arg(program)
        .args([scenario, &rounds.to_string()])
        .env_clear()
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let report = String::from_utf8_lossy(&output.stderr).into_owned();
    let carried = String::from_utf8_lossy(&output.stdout).trim().parse();
    match carried {
        Ok(carried) if output.status.success() => Ok(Run { report, carried }),
        _ => Err(format!("{scenario} has failed:\n{report}")),
    }
}

/// The bytes and blocks of DHAT's `Total: 1,234 bytes in 5 blocks`.
fn total(report: &str) -> Result<(u64, u64), String> {
    let line = report.lines().find_map(|line| line.split_once("Total:"));
    let numbers: Vec<u64> = line
        .map(|(_, line)| line.replace(',', ""))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    match numbers[..] {
        [bytes, blocks] => Ok((bytes, blocks)),
        _ => Err(format!("DHAT has said no total:\n{report}")),
    }
}

/// The relevant counts of a callgrind profile.
#[derive(Debug, Default, PartialEq, Eq)]
struct Profile {
    instructions: u64,
    locks: u64,
}

impl Profile {
    /// Sums up the costs of `program` and the calls of its lock. A name appears once in a profile,
    /// after a number that replaces it from there on.
    fn parse(text: &str, program: &Path) -> Self {
        let mut profile = Self::default();
        let (mut objects, mut functions) = (HashMap::new(), HashMap::new());
        let (mut own, mut lock, mut inclusive) = (false, false, false);
        for line in text.lines() {
            if let Some(object) = line.strip_prefix("ob=") {
                own = name(&mut objects, object, |path| Path::new(path) == program);
            } else if let Some(object) = line.strip_prefix("cob=") {
                name(&mut objects, object, |path| Path::new(path) == program);
            } else if let Some(function) = line.strip_prefix("fn=") {
                name(&mut functions, function, is_lock);
            } else if let Some(function) = line.strip_prefix("cfn=") {
                lock = name(&mut functions, function, is_lock);
            } else if let Some(calls) = line.strip_prefix("calls=") {
                let calls = calls.split(' ').next().and_then(|calls| calls.parse().ok());
                profile.locks += calls.filter(|_| lock).unwrap_or(0);
                // The next line is the inclusive cost of the call.
                inclusive = true;
            } else if line
                .starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first))
            {
                let cost: u64 =
                    line.split(' ').nth(1).and_then(|cost| cost.parse().ok()).unwrap_or(0);
                if own && !inclusive {
                    profile.instructions += cost;
                }
                inclusive = false;
            }
        }
        profile
    }
}

/// Whether `(number) name` or `(number)` is of a kind, which is determined when the name appears.
fn name(known: &mut HashMap<String, bool>, text: &str, of_the_kind: impl Fn(&str) -> bool) -> bool {
    let (number, name) = text.split_once(' ').unwrap_or((text, ""));
    if !name.is_empty() {
        known.insert(number.to_owned(), of_the_kind(name));
    }
    known.get(number).copied().unwrap_or(false)
}

/// Whether a function is the lock of the task layer, for any name mangling.
fn is_lock(function: &str) -> bool {
    ["muxado_proto", "task", "sync", "Mutex", "lock"].iter().all(|part| function.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_summed_up() {
        let text = "events: Ir\n\
            ob=(1) /lib/libc.so.6\nfl=(1) ???\nfn=(1) memcpy\n0 100\n\
            ob=(2) /counted\nfl=(2) a.rs\nfn=(2) main\n3 5\n+2 7\n\
            cfn=(3) muxado_proto::task::sync::Mutex<T>::lock\ncalls=4 9\n* 400\n\
            cob=(1)\ncfn=(1)\ncalls=9 0\n-1 900\n+1 2\n\
            fn=(3)\n9 6\n";
        let expected = Profile { instructions: 20, locks: 4 };
        assert_eq!(Profile::parse(text, Path::new("/counted")), expected);
    }

    #[test]
    fn a_total_has_commas() {
        let report = "==1== Total:     1,234,567 bytes in 5,000 blocks\n==1== At t-gmax: 1 bytes";
        assert_eq!(total(report), Ok((1_234_567, 5000)));
        assert!(total("==1== \n").is_err());
    }
}
