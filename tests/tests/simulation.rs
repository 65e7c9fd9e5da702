//! Two ends of a session in a simulator (`muxado_tests::sim`): for any behaviour of the transport,
//! the clock and the applications, the oracle must find no fault.

use std::panic::{AssertUnwindSafe, catch_unwind};

use muxado_tests::sim;

/// Seeds of an ordinary test run. `muxado-campaign` runs any number.
const SEEDS: u64 = 300;

/// Runs a seed; returns the failure, with the command that runs it again.
fn failure(seed: u64) -> Option<String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| sim::run_seed(seed)));
    let what = match outcome {
        Ok(Ok(_)) => return None,
        Ok(Err(failure)) => failure.to_string(),
        Err(_) => "a panic, reported above".to_owned(),
    };
    Some(format!("seed {seed}: {what}\n  again: {}", sim::replay(seed)))
}

#[test]
fn every_seed_keeps_its_promises() {
    let failures: Vec<String> = (0..SEEDS).filter_map(failure).collect();
    assert!(failures.is_empty(), "{} of {SEEDS}:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in (0..SEEDS).step_by(10) {
        let [first, second] = [0, 1].map(|_| sim::run_seed(seed).expect("a run without fault"));
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn the_seeds_are_not_idle() {
    let mut total = sim::Figures::default();
    for seed in 0..SEEDS {
        let figures = sim::run_seed(seed).expect("a run without fault").figures;
        total.streams += figures.streams;
        total.payload += figures.payload;
    }
    assert!(total.streams > 10 * SEEDS, "{total:?}");
    assert!(total.payload > 1000 * SEEDS, "{total:?}");
}

/// Any choices make a valid run: the fuzzer feeds bytes instead of a seed.
#[test]
fn bytes_make_a_run_as_well() {
    let mut bytes = Vec::new();
    for step in 0..64u8 {
        bytes.extend((0..step).map(|at| at.wrapping_mul(37).wrapping_add(step)));
        let report = sim::run(sim::Source::Bytes(&bytes));
        assert!(report.is_ok(), "{} bytes: {}", bytes.len(), report.unwrap_err());
    }
}
