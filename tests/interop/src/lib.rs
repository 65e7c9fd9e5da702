//! Interop with the muxado implementations in use.
//!
//! An *interop peer* is a program that speaks muxado over TCP through some implementation, serves
//! a small application on the streams it accepts, and drives that application on its peer. There
//! are two in Go (`go1`, `go2`) and the binary `interop-peer` here, which runs on any
//! implementation that has an [`Endpoint`](endpoint::Endpoint). All take the same options and
//! report the same lines of JSON, so the tests can pair any two.

pub mod answers;
pub mod compare;
pub mod control;
pub mod core;
mod crowd;
pub mod drive;
mod early;
pub mod endpoint;
pub mod hex;
pub mod matrix;
pub mod ngrok;
pub mod options;
mod ours;
pub mod pattern;
pub mod peer;
pub mod polls;
pub mod process;
pub mod raw;
pub mod report;
pub mod serve;
pub mod smol;
pub mod tap;
pub mod tokio;
