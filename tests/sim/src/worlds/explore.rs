//! The search: breadth-first, each state once.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::settings::Settings;
use super::step::Step;
use super::world::World;

/// What a search has seen.
#[derive(Debug, Clone)]
pub struct Explored {
    /// Of which world.
    pub world: &'static str,
    /// Different states.
    pub states: usize,
    /// Steps tried that were possible.
    pub steps: u64,
    /// States in which nothing more happened by itself.
    pub rests: u64,
    /// Steps from the first state to the last that was expanded.
    pub depth: u32,
    /// Whether these are all states.
    pub closed: bool,
    /// The failure, if any, which ends the search.
    pub failure: Option<Failure>,
}

/// A failure, and the shortest trace to it.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What.
    pub what: String,
    /// The steps from the first state.
    pub trace: Vec<Step>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace: Vec<String> = self.trace.iter().map(Step::to_string).collect();
        write!(f, "{}\n  after: {}", self.what, trace.join(" "))
    }
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { world, states, steps, rests, depth, closed, failure } = self;
        let whole = *closed && failure.is_none();
        let end = if whole { "explored to its end" } else { "not to its end" };
        write!(
            f,
            "{world}: {states} states, {steps} steps, {rests} at rest, depth {depth}, {end}"
        )?;
        failure.as_ref().map_or(Ok(()), |failure| write!(f, "\n  {failure}"))
    }
}

/// Digests are hashes already.
#[derive(Debug, Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, digest: u128) {
        self.0 = digest as u64;
    }
}

/// How a state was first reached: from which state, by which step.
type Origin = (u32, Step);

/// Steps from the first state to that of `at`.
fn trace(origins: &[Origin], at: u32) -> Vec<Step> {
    let mut trace = Vec::new();
    let mut at = at;
    while at != 0 {
        let (before, step) = origins[at as usize];
        trace.push(step);
        at = before;
    }
    trace.reverse();
    trace
}

/// A state to expand; the state itself is dropped if too many wait.
struct Waiting {
    at: u32,
    depth: u32,
    world: Option<World>,
}

/// Explores a world until there is nothing new, or `limit` states are known. At most `kept` waiting
/// states are kept in memory; others are recomputed from the first one.
pub fn explore(settings: &'static Settings, limit: usize, kept: usize) -> Explored {
    let steps = Step::all(settings.streams());
    let first = World::new(settings);
    let mut seen: HashSet<u128, BuildHasherDefault<Same>> = HashSet::default();
    seen.insert(first.digest());
    let mut origins: Vec<Origin> = vec![(0, steps[0])];
    let mut waiting = VecDeque::from([Waiting { at: 0, depth: 0, world: Some(first) }]);
    let mut explored = Explored {
        world: settings.name,
        states: 1,
        steps: 0,
        rests: 0,
        depth: 0,
        closed: true,
        failure: None,
    };
    while let Some(Waiting { at, depth, world }) = waiting.pop_front() {
        let world = world.unwrap_or_else(|| again(settings, &trace(&origins, at)));
        explored.depth = depth;
        let mut resting = true;
        let digest = world.digest();
        for &step in &steps {
            let mut next = world.clone();
            // A panic is also a failure with a trace.
            let what = match catch_unwind(AssertUnwindSafe(|| next.step(step))) {
                Ok(Ok(false)) => continue,
                Ok(Ok(true)) => None,
                Ok(Err(what)) => Some(what),
                Err(_) => Some("a panic, reported above".to_owned()),
            };
            explored.steps += 1;
            if what.is_some() {
                let mut trace = trace(&origins, at);
                trace.push(step);
                explored.failure = what.map(|what| Failure { what, trace });
                return explored;
            }
            let after = next.digest();
            if after == digest {
                continue;
            }
            resting &= !step.is_progress();
            if seen.len() >= limit {
                explored.closed &= seen.contains(&after);
            } else if seen.insert(after) {
                explored.states += 1;
                let index = u32::try_from(origins.len()).expect("fewer states");
                origins.push((at, step));
                let world = (waiting.len() < kept).then_some(next);
                waiting.push_back(Waiting { at: index, depth: depth + 1, world });
            }
        }
        if resting {
            explored.rests += 1;
            if let Err(what) = world.check_rest() {
                explored.failure = Some(Failure { what, trace: trace(&origins, at) });
                return explored;
            }
        }
    }
    explored
}

/// The state at the end of a trace that was taken before.
fn again(settings: &'static Settings, trace: &[Step]) -> World {
    let mut world = World::new(settings);
    for &step in trace {
        let possible = world.step(step);
        assert_eq!(possible, Ok(true), "a step that was taken before");
    }
    world
}

/// Whether nothing more happens by itself.
pub fn is_at_rest(world: &World) -> Result<bool, String> {
    let digest = world.digest();
    for step in Step::all(world.settings().streams()) {
        let mut next = world.clone();
        if step.is_progress() && next.step(step)? && next.digest() != digest {
            return Ok(false);
        }
    }
    Ok(true)
}
