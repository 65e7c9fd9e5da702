//! Shared test machinery of muxado.

pub mod codec;
pub mod conformance;
pub mod interop;
pub mod replay;
pub mod vectors;
