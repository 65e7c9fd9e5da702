//! The optional features of `muxado-tokio`, with what they are for.

mod client;
mod http;
