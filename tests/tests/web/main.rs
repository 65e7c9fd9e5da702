//! The optional features of `muxado-tokio`, with the libraries that they support.

mod client;
mod http;
