//! Shared test machinery of muxado.
