//! Shared test machinery of muxado.

pub mod interop;
pub mod vectors;
