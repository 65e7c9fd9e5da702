//! A sans-IO implementation of muxado, a protocol that carries many independent full-duplex
//! *streams* over one *transport* (any reliable byte stream); two peers and a transport are a
//! *session*.
//!
//! This crate contains only the protocol: a [`Session`] takes received bytes and returns frames to
//! send and events to react to. It does no I/O, reads no clock and starts no thread, so it fits
//! every event loop; `muxado-tokio` and `muxado-smol` are ready-made loops. [`protocol`] is the
//! wire protocol.
//!
//! # The run loop
//!
//! There are three kinds of calls. They may come in any order:
//!
//! * **inputs**: [`handle_input`](Session::handle_input), [`handle_eof`](Session::handle_eof),
//!   [`handle_timeout`](Session::handle_timeout);
//! * **outputs**: [`poll_transmit`](Session::poll_transmit), [`poll_event`](Session::poll_event),
//!   [`poll_timeout`](Session::poll_timeout); call them after inputs and commands;
//! * **commands**: [`open`](Session::open), [`accept`](Session::accept),
//!   [`stream`](Session::stream), [`close`](Session::close) and so on.
//!
//! Two sessions connected directly; the tests run them in the same way:
//!
//! ```
//! use std::sync::Arc;
//! use bytes::Buf;
//! use muxado_proto::{Config, Event, ReadError, Role, Session, SessionKey, Timestamp, Transmit};
//!
//! let config = Arc::new(Config::default());
//! let now = Timestamp::ZERO; // from the caller's clock
//! // From the operating system's randomness, but for an example.
//! let keys = [SessionKey::new([1; 16]), SessionKey::new([2; 16])];
//! let [client_key, server_key] = keys;
//! let mut client = Session::new(Role::Client, config.clone(), now, client_key);
//! let mut server = Session::new(Role::Server, config, now, server_key);
//!
//! // The output of one is the input of the other.
//! fn carry(from: &mut Session, to: &mut Session, now: Timestamp) {
//!     let mut out = Transmit::new();
//!     while from.poll_transmit(now, &mut out, 64 * 1024) > 0 {
//!         let bytes = out.copy_to_bytes(out.remaining());
//!         to.handle_input(now, bytes);
//!     }
//! }
//!
//! // The client asks. Nothing is on the wire before the first write.
//! let id = client.open()?;
//! let mut stream = client.stream(id).unwrap();
//! stream.write(b"meaning of life?").unwrap();
//! stream.finish().unwrap();
//! carry(&mut client, &mut server, now);
//!
//! // The server answers.
//! assert_eq!(server.poll_event(), Some(Event::Acceptable));
//! let id = server.accept().unwrap();
//! let mut stream = server.stream(id).unwrap();
//! let mut buf = [0; 64];
//! assert_eq!(stream.read(&mut buf), Ok(16));
//! assert_eq!(stream.read(&mut buf), Ok(0)); // the client has finished
//! stream.write(b"42").unwrap();
//! stream.release(); // sends what was written, then FIN
//! carry(&mut server, &mut client, now);
//!
//! assert_eq!(client.poll_event(), Some(Event::Readable(id)));
//! let mut stream = client.stream(id).unwrap();
//! assert_eq!(stream.read_chunk(usize::MAX).unwrap().unwrap(), "42");
//! assert_eq!(stream.read_chunk(usize::MAX), Ok(None));
//! stream.release();
//! # Ok::<(), muxado_proto::OpenError>(())
//! ```
//!
//! # A real loop
//!
//! The same with a socket, in `examples/minimal.rs`:
//!
//! ```no_run
#![doc = include_str!("../examples/minimal.rs")]
//! ```
//!
//! # Promises
//!
//! * For any behaviour of the peer, a session holds a bounded amount of memory
//!   ([`Config::max_memory`]), does a bounded amount of work for each byte, and does not panic.
//! * Output is state, not a queue: frames are produced when the transport takes them.
//! * The same calls with the same arguments give the same bytes.
//!
//! # Features
//!
//! `std` (off by default) adds vectored output for `std::io`: `Transmit::io_slices`, and
//! `Buf::chunks_vectored` of a `Transmit`.
//!
//! `task` (off by default; includes `std`) adds the `task` module, the layer between a session and
//! `async` that the adapters share.
//!
//! `audit` (off by default) is for tests: `Session::audit` recomputes every counter of a session
//! from its streams and compares, sessions can be cloned, and `Session::fingerprint` is a number
//! that distinguishes states.

#![no_std]
#![warn(unreachable_pub)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod config;
pub mod decode;
#[cfg(feature = "audit")]
mod digest;
mod error;
mod event;
pub mod frame;
mod greeting;
mod heartbeat;
mod limits;
mod memory;
mod secret;
mod session;
mod stats;
mod stream;
#[doc = include_str!("../PROTOCOL.md")]
pub mod protocol {}
#[doc = include_str!("../SECURITY.md")]
pub mod security {}
#[cfg(feature = "task")]
pub mod task;
mod time;
mod timers;
mod transmit;

pub use config::{Config, ConfigBuilder, ConfigError, DEFAULT_WINDOW, Heartbeat, RateLimit};
pub use error::{
    CloseReason, CutBy, ErrorCode, OpenError, PingError, ReadError, StreamEnd, TransportError,
    WriteError,
};
pub use event::{Event, Warning};
pub use frame::{Role, StreamId};
pub use memory::MemoryBudget;
pub use secret::SessionKey;
#[cfg(feature = "audit")]
pub use session::AuditError;
pub use session::{Session, StreamMut};
pub use stats::{SessionStats, StreamStats};
pub use stream::StreamType;
pub use stream::schedule::Priority;
pub use time::Timestamp;
pub use transmit::Transmit;
