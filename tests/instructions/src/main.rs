//! Counts the costs of the core and the task layer, and compares them with the figures recorded in
//! `tests/instructions/recorded.txt`. `.ci/instructions` builds and calls it; that file explains
//! the figures.

mod figures;
mod valgrind;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use figures::{Figures, Recorded};

/// Something that is counted.
struct Scenario {
    name: &'static str,
    /// How many operations a round of it is.
    operations: u64,
    /// What an operation is.
    operation: &'static str,
}

const SCENARIOS: &[Scenario] = &[
    scenario("core-small-frames", 64, "a frame of 64 bytes, written, carried and read"),
    scenario("core-bulk-copied", 1, "64 KiB on one stream, copied in and out"),
    scenario("core-bulk-chunks", 1, "64 KiB on one stream, as chunks in and out"),
    scenario("core-stream", 64, "a stream that is opened, answered and dropped"),
    scenario("core-wndinc", 64, "a WNDINC that arrives"),
    scenario("core-rst", 64, "a stream that is opened, and reset by its opener"),
    scenario("core-heartbeat", 1, "a heartbeat and its echo"),
    scenario("core-stray", 64, "a DATA frame on a stream that never was, and the RST for it"),
    scenario(
        "crowd-grant-1000",
        64,
        "credit for one of 1000 blocked streams, and the byte it sends",
    ),
    scenario("crowd-grant-30000", 64, "the same with 30 000 blocked streams"),
    scenario("crowd-gap-1000", 64, "a SYN that skips an id, and its RST, with 1000 gaps kept"),
    scenario("crowd-gap-30000", 64, "the same with 30 000 gaps kept"),
    scenario("task-ping-pong", 16, "64 bytes there and back on an open stream"),
    scenario("task-request", 16, "open, 64 bytes there and back, drop; one after the other"),
    scenario("task-request-64", 64, "the same, 64 clients at once"),
    scenario("task-bulk", 1, "1 MiB on one stream, and one byte back"),
];

const fn scenario(name: &'static str, operations: u64, operation: &'static str) -> Scenario {
    Scenario { name, operations, operation }
}

/// Rounds until a steady state: buffers have their final sizes, and all tombstones are those of
/// finished streams.
const FEW: u64 = 100;
/// Rounds of the second run.
const MORE: u64 = 300;

/// The cost of an operation: the difference of two runs with the same beginning.
fn count(scenario: &Scenario) -> Result<Figures, String> {
    let few = valgrind::count(scenario.name, FEW)?;
    let more = valgrind::count(scenario.name, MORE)?;
    let operations = (MORE - FEW) * scenario.operations;
    let each = |few: u64, more: u64| more.saturating_sub(few) as f64 / operations as f64;
    Ok(Figures {
        instructions: each(few.instructions, more.instructions),
        allocations: each(few.allocations, more.allocations),
        copied: each(few.copied, more.copied),
        locks: each(few.locks, more.locks),
    })
}

fn gate() -> Result<bool, String> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: muxado-instructions check|record|any-compiler FILE COMPILER";
    let (Some(mode), Some(file), Some(compiler)) = (args.next(), args.next(), args.next()) else {
        return Err(usage.to_owned());
    };
    let file = Path::new(&file);
    let counted = SCENARIOS
        .iter()
        .map(|scenario| Ok((scenario, count(scenario)?)))
        .collect::<Result<Vec<_>, String>>()?;
    if mode == "record" {
        let text =
            figures::record(&compiler, counted.iter().map(|(s, f)| (s.name, s.operation, f)));
        fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        println!("recorded in {}", file.display());
        return Ok(true);
    }
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let recorded = Recorded::parse(&text)?;
    let same = recorded.compiler == compiler;
    match (mode.as_str(), same) {
        ("check", true) => {}
        ("any-compiler", true | false) => {
            println!("recorded with {}, counted with {compiler}", recorded.compiler);
        }
        ("check", false) => {
            return Err(format!("recorded with {}, this is {compiler}", recorded.compiler));
        }
        _ => return Err(usage.to_owned()),
    }
    let mut good = true;
    for (scenario, figures) in &counted {
        let Some(before) = recorded.get(scenario.name) else {
            println!("{}: nothing is recorded", scenario.name);
            good = false;
            continue;
        };
        good &= figures::judge(scenario.name, before, figures, same);
    }
    for name in recorded.names() {
        if !SCENARIOS.iter().any(|scenario| scenario.name == name) {
            println!("{name}: recorded, and not counted any more");
            good = false;
        }
    }
    Ok(good)
}

fn main() -> ExitCode {
    match gate() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("instructions: {message}");
            ExitCode::FAILURE
        }
    }
}
