//! muxado for tokio.
