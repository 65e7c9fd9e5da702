//! muxado protocol core.
