//! A conformance suite for any muxado endpoint, over TCP.
//!
//! It sends raw frames through its own codec and checks an endpoint case by case against
//! `muxado-proto/PROTOCOL.md`. The endpoint has to run an echo application: accept streams, send
//! every byte back, half-close after the peer's half-close. `tests/conformance/README.md` has the
//! details for users; `muxado-conformance` is the program.

pub mod case;
pub mod cases;
pub mod echo;
pub mod probe;
pub mod record;
pub mod report;
pub mod runner;
pub mod settings;
pub mod trace;
pub mod wire;

pub use case::{Case, Class};
pub use runner::{Outcome, Reach, Status, run};
pub use settings::{Role, Settings};
