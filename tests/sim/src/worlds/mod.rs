//! Small worlds: two sessions with tiny settings, and everything that can happen to them, in every
//! order.
//!
//! The simulator ([`sim`](crate::sim)) draws long runs at random. This explores short ones without
//! a gap: from the first state, every step that is possible, and from each state that comes of it,
//! again. A step is one call of an application, one frame cut or delivered, one byte delivered, the
//! end of a transport, or time until the next deadline. States that behave alike are visited once:
//! [`Session::fingerprint`](muxado_proto::Session::fingerprint) tells.
//!
//! In every state the sessions pass their audit, what the applications were told is true
//! ([`app`]), and nobody waits for something that is there. In every state in which nothing is under
//! way ([`World::check_rest`]) all that was written has been read, or both sides know why not, and
//! nobody waits for what cannot come.
//!
//! The search goes by breadth, so the trace of a failure is a shortest one. It is a list of steps
//! that can be run again:
//!
//! ```text
//! cargo run --profile checked -p muxado-sim --bin muxado-worlds -- --world plain --replay "..."
//! ```
//!
//! The explorer is our own and not that of the crate `stateright`: that one keeps every state that
//! waits to be expanded whole, has 64 bits for a state, and its model is a closed system of actors
//! whose messages it carries itself. Here a state is a pair of real sessions of several kilobytes,
//! the carrying is what is tested, and a failure is to be a text that anybody can replay.

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

/// Runs a trace again; what each step did, and what was wrong.
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
