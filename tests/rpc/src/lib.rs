//! The common part of the `rpc` examples: the messages, the load, the figures and their output.
//! Nothing here does I/O on a session; each example shows that.
//!
//! # The application
//!
//! Sessions are typed. Each end opens a stream of type [`REQUESTS`] for every request: it writes a
//! [`Request`] and half-closes, reads a [`Response`] up to the end of the stream, and checks it.
//! The other end answers, and sends its own requests at the same time.
//!
//! An end that has all its answers opens one stream of type [`REPORTS`], sends its [`Report`] and
//! half-closes; the other end finishes the stream when it has read it. So both ends know the
//! figures of both directions. The client closes the session as soon as both reports have arrived.

mod message;
mod options;
mod print;
mod report;
mod work;

pub use message::{MAX_MESSAGE, REPORTS, REQUESTS, Request, Response, answer};
pub use options::{Ends, Load, Options, Output, config};
pub use print::{listening, print};
pub use report::{End, Quantiles, Report};
pub use work::{Question, Work};
