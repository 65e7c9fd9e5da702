//! Small worlds: two sessions with tiny settings, and all their steps in every order.
//!
//! The simulator ([`sim`](crate::sim)) draws long runs at random. This module explores short ones
//! completely: every possible step from the first state, then from each resulting state, and so on.
//! A step is one call of an application, one frame cut or delivered, one byte delivered, the end of
//! a transport, or time until the next deadline. States with the same behaviour are visited once;
//! [`Session::fingerprint`](muxado_proto::Session::fingerprint) identifies them.
//!
//! In every state the sessions pass their audit, the applications have observed only what is
//! allowed ([`app`]), and nobody waits for something that is available. In every state in which
//! nothing is in flight ([`World::check_rest`]) everything written has been read, or both sides
//! know why not, and nobody waits for something that cannot come.
//!
//! The search is breadth-first, so the trace of a failure is a shortest one. It is a list of steps
//! that can be run again:
//!
//! ```text
//! cargo run --profile checked -p muxado-sim --bin muxado-worlds -- --world plain --replay "..."
//! ```
//!
//! We do not use the crate `stateright`, for three reasons. It keeps every waiting state in memory,
//! but a state here is a pair of real sessions of several kilobytes. It has only 64 bits to
//! identify a state. And its model is a closed system of actors whose messages it transports
//! itself, but here the transport is under test, and a failure has to be a text that can be
//! replayed.

mod acts;
mod app;
mod explore;
mod link;
mod rest;
mod settings;
mod step;
mod world;

pub use explore::{Explored, Failure, explore};
pub use settings::{Settings, all, find};
pub use step::{Act, Step, parse};
pub use world::World;

/// Runs a trace again; returns what each step did, and the failure.
///
/// # Errors
///
/// The text of the failure.
pub fn replay(
    settings: &'static Settings,
    steps: &[Step],
    mut say: impl FnMut(&str),
) -> Result<(), String> {
    let mut world = World::new(settings);
    for &step in steps {
        let changed = world.step(step)?;
        say(&format!("{step}{}: {}", if changed { "" } else { " (impossible)" }, world.summary()));
    }
    if explore::is_at_rest(&world)? { world.check_rest() } else { Ok(()) }
}
