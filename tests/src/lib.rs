//! Shared test machinery of muxado.

pub mod vectors;
