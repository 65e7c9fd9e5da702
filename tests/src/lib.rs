//! Shared test machinery of muxado.

pub mod conformance;
pub mod interop;
pub mod vectors;
