//! muxado for smol.
