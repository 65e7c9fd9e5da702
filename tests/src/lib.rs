//! Shared test machinery of muxado.

pub mod codec;
pub mod honest;
pub mod peer;
pub mod programs;
#[cfg(doctest)]
mod readme;
pub mod replay;
pub mod runtime;
pub mod vectors;

pub use muxado_sim::{model, sim, worlds};
