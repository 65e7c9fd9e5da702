//! What every async adapter shares: one lock around the session, one driver future that owns the
//! transport, and handles that wait on each other through `core::task`.
//!
//! An adapter adds a [`Transport`] and a [`Clock`], spawns the [`Driver`], and wraps [`Session`]
//! and [`Stream`] in types that have its runtime's read and write traits. Nothing here knows a
//! runtime, and nothing here decides anything about the protocol.
//!
//! # The rules
//!
//! **One lock.** `Shared` holds the session and everybody's wakers. Nobody
//! polls the transport, reads the clock, copies a large payload or wakes anyone while holding it,
//! and nobody drops a waker: it may be the last reference on a task that owns handles. (Wakers are
//! cloned under the lock: their `clone` must not use the session, or it deadlocks. Chunks that
//! the application has written are dropped under the lock, when they have been sent or are not to be:
//! their owners must not use the session.)
//!
//! **Register, then sleep.** A handle that is told "blocked" registers its waker in the same
//! critical section, so the event that ends the blockage finds it. The driver looks for new work
//! and registers in one critical section, too.
//!
//! **One waker for each thing waited for.** The reader and the writer of a stream have separate
//! places; those who wait to open or accept stand in a queue of which one is woken at a time. One
//! that was woken and goes away without using its turn passes it on. A waker that panics when it is
//! woken is reported by the panic hook, and keeps nobody else from being woken.
//!
//! **The driver is woken once.** Its waker is taken when it is woken, so a hundred writes between
//! two of its turns cost one wake-up; while it waits for the transport to take output, writes do
//! not wake it at all.
//!
//! **Joint departures.** When several tasks have been woken, the driver goes behind them in the
//! executor's queue before it writes, so that what they have to say leaves in one system call.
//! With one task in play it writes at once. Of a crowd that one read has woken, half are held back
//! until what the others say is on its way: so the two ends work at the same time and not in turns.
//!
//! **Bounded turns.** One poll of the driver moves a bounded amount each way and then yields.
//!
//! **Idle costs nothing.** I/O buffers belong to the thread and the process, and are borrowed for one
//! poll or until their last byte is read.

mod capture;
mod driver;
mod endings;
mod endpoint;
mod error;
mod face;
mod loans;
mod log;
mod observe;
mod places;
mod relay;
mod scratch;
mod session;
mod shared;
mod signal;
mod stream;
mod sync;
mod taken;
mod target;
mod waiters;
mod wake;

pub use capture::{Capture, Direction, Recorder};
pub use driver::Driver;
pub use endpoint::Endpoint;
pub use error::{Error, OpenError, PingError, ReadError, WriteError, error_code};
pub use observe::{Beat, GoAway, Heartbeats, WeakSession};
pub use relay::{Relay, RelayError, RelayFault, Relayed};
pub use session::{Incoming, Session};
pub use stream::{RecvHalf, SendHalf, Stream};

use core::task::{Context, Poll};
use std::io::{self, IoSlice};

use crate::Timestamp;

/// The byte stream under a session, as the driver uses it.
///
/// The waker of each poll is the same, so an implementation may keep one for all of them.
pub trait Transport {
    /// Reads into `buf`; 0 at the end.
    ///
    /// # Errors
    ///
    /// Whatever the transport reports. It ends the session.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes from the front of `bufs`, never empty; returns how many bytes.
    ///
    /// # Errors
    ///
    /// Whatever the transport reports. It ends the session.
    fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>])
    -> Poll<io::Result<usize>>;

    /// Passes on what was written.
    ///
    /// # Errors
    ///
    /// Whatever the transport reports. It ends the session.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the writing side.
    ///
    /// # Errors
    ///
    /// Whatever the transport reports.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// Time, as the driver uses it.
pub trait Clock {
    /// The time now, from an origin of the clock's choice. The clock is monotonic; if it goes back
    /// all the same, time stands still for the session until the clock has caught up.
    fn now(&self) -> Timestamp;

    /// Waits until `deadline`, or forever if the clock cannot tell a time so late. A later call replaces the deadline of an earlier one.
    fn poll_sleep(&mut self, cx: &mut Context<'_>, deadline: Timestamp) -> Poll<()>;
}
