//! Shared test machinery of muxado.

pub mod codec;
pub mod conformance;
pub mod echo;
pub mod interop;
pub mod peer;
pub mod replay;
pub mod vectors;
