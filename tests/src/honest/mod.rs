//! Honest applications, on the core in virtual time ([`Pair`]) and on both adapters ([`call_all`],
//! [`serve`]).
//!
//! A [`Load`] describes what the opener of the streams and their acceptor do. Every stream is
//! checked to its end: the bytes of both directions are compared, and every refusal, reset or stop
//! is a fault of the session.

mod caller;
mod hostile;
mod pair;
mod server;
mod tasks;

use std::time::Duration;

pub use caller::Caller;
pub use hostile::Hostile;
pub use pair::{Pair, fast};
pub use server::Server;
pub use tasks::{call_all, handle, serve};

/// How the opener leaves a stream when it has read enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// It drops the stream.
    Drop,
    /// It resets the stream.
    Reset,
}

/// When the streams are opened and written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Each is written to as soon as it is opened.
    AtOnce,
    /// All are opened first; then those at even positions are written to, the last one first, and
    /// then the others.
    EvenThenOdd,
    /// Before each stream that is written to, this many are opened and dropped unwritten.
    Abandoning(u32),
}

/// What an honest application does.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Streams that an opener opens.
    pub streams: u32,
    /// Streams it has open at once.
    pub at_once: u32,
    /// When they are opened and written to.
    pub order: Order,
    /// Bytes of a request.
    pub request: usize,
    /// Bytes of an answer.
    pub answer: usize,
    /// How the opener leaves after this many bytes of the answer; `None`: it reads to the end.
    pub leave: Option<(usize, Leave)>,
    /// How long the acceptor waits before it reads a stream.
    pub late: Duration,
    /// How long the acceptor takes from the end of the request to the answer.
    pub think: Duration,
    /// How long the acceptor keeps a stream that has ended.
    pub hold: Duration,
}

impl Load {
    /// Requests and answers of a few bytes, all streams at once.
    pub const fn small(streams: u32) -> Self {
        Self {
            streams,
            at_once: streams,
            order: Order::AtOnce,
            request: 100,
            answer: 100,
            leave: None,
            late: Duration::ZERO,
            think: Duration::ZERO,
            hold: Duration::ZERO,
        }
    }
}

/// The period of the payload.
const PERIOD: usize = 251;

/// The payload of one direction of a stream, from byte `at`, as far as it is contiguous.
fn payload(id: u32, answers: bool, at: usize) -> &'static [u8] {
    static PATTERN: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let pattern = PATTERN.get_or_init(|| {
        (0..=250u8).cycle().take(64 * 1024 + PERIOD).map(|n| n.wrapping_mul(7)).collect()
    });
    let start = (id as usize * 31 + usize::from(answers) * 101 + at) % PERIOD;
    &pattern[start..]
}

/// Whether `bytes` are the payload of this direction of the stream at `at`.
fn is_payload(id: u32, answers: bool, at: usize, bytes: &[u8]) -> bool {
    let mut done = 0;
    while done < bytes.len() {
        let expected = payload(id, answers, at + done);
        let count = expected.len().min(bytes.len() - done);
        if bytes[done..done + count] != expected[..count] {
            return false;
        }
        done += count;
    }
    true
}
