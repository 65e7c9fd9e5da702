//! A deterministic simulator of two ends of a session: virtual time, any transport, random
//! applications, and an oracle that decides what each of them may see.
//!
//! A run is drawn from a [`Source`]: from a seed, or from the bytes of a fuzzer. The same source
//! gives the same run, to the byte, so a seed fully describes a failure.
//!
//! `plan` has the parameters of a run; `world` moves time and detects stuck runs; `node` is one of
//! our sessions with its driver, `app` the application on it, `quirk` another implementation in its
//! place; `link` is a direction of the transport; `tap` observes the wire.
//! [`Model`](crate::model::Model) is the oracle.

mod app;
mod link;
mod node;
mod plan;
mod quirk;
mod source;
mod tap;
mod world;

pub use link::{Arrival, Fault, Link, Shape};
pub use plan::Plan;
pub use source::{Source, payload};
pub use world::World;

/// What a run amounted to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Turns of the event loop.
    pub steps: u64,
    /// Streams opened.
    pub streams: u64,
    /// Payload bytes read by the applications.
    pub payload: u64,
}

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// What it amounted to.
    pub figures: Figures,
    /// A hash of every byte both sessions sent: equal runs, equal digests.
    pub digest: u64,
}

/// A run with a fault.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What was wrong.
    pub what: String,
    /// When, in virtual time.
    pub at: std::time::Duration,
    /// The run.
    pub plan: Plan,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "after {:?}: {}", self.at, self.what)
    }
}

/// Runs the choices of `source`.
///
/// # Errors
///
/// [`Failure`], if a session did something that the oracle does not allow.
pub fn run(mut source: Source<'_>) -> Result<Report, Box<Failure>> {
    let plan = Plan::draw(&mut source);
    let mut world = World::new(source, plan.clone());
    match world.run() {
        Ok(()) => Ok(Report { figures: world.figures(), digest: world.digest() }),
        Err(what) => Err(Box::new(Failure { what, at: world.now().as_duration(), plan })),
    }
}

/// Runs a seed.
///
/// # Errors
///
/// As [`run`].
pub fn run_seed(seed: u64) -> Result<Report, Box<Failure>> {
    run(Source::Seed(seed))
}

/// The command that runs a seed again and prints its plan.
pub fn replay(seed: u64) -> String {
    format!(
        "cargo run --profile checked -p muxado-sim --bin muxado-campaign -- \
         --from {seed} --seeds 1 --plan"
    )
}
