//! The common part of all async adapters: one lock around the session, one driver future that owns
//! the transport, and handles that wait for each other through `core::task`.
//!
//! An adapter adds a [`Transport`] and a [`Clock`], spawns the [`Driver`], and wraps [`Session`]
//! and [`Stream`] in types that implement its runtime's read and write traits. This layer depends
//! on no runtime and makes no protocol decision.
//!
//! `muxado-tokio` and `muxado-smol` wrap the types here in their own, whose methods have the same
//! names. Their documentation has the examples.
//!
//! # An adapter
//!
//! This transport is a pipe in memory, and the executor polls every task until all have ended.
//!
//! ```
//! use std::collections::VecDeque;
//! use std::future::{Future, poll_fn};
//! use std::io::{self, IoSlice, Read, Write};
//! use std::pin::Pin;
//! use std::sync::{Arc, Mutex};
//! use std::task::{Context, Poll, Waker};
//! use std::time::Instant;
//!
//! use muxado_proto::task::{Clock, Endpoint, Error, Transport};
//! use muxado_proto::{Role, Timestamp};
//!
//! /// One direction of a pipe.
//! #[derive(Default)]
//! struct Pipe {
//!     bytes: VecDeque<u8>,
//!     ended: bool,
//!     reader: Option<Waker>,
//! }
//!
//! struct Memory {
//!     input: Arc<Mutex<Pipe>>,
//!     output: Arc<Mutex<Pipe>>,
//! }
//!
//! impl Transport for Memory {
//!     fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
//!         let mut pipe = self.input.lock().unwrap();
//!         if pipe.bytes.is_empty() && !pipe.ended {
//!             pipe.reader = Some(cx.waker().clone());
//!             return Poll::Pending;
//!         }
//!         Poll::Ready(pipe.bytes.read(buf))
//!     }
//!
//!     fn poll_write(
//!         &mut self,
//!         _: &mut Context<'_>,
//!         bufs: &[IoSlice<'_>],
//!     ) -> Poll<io::Result<usize>> {
//!         let mut pipe = self.output.lock().unwrap();
//!         let written = pipe.bytes.write_vectored(bufs);
//!         pipe.reader.take().into_iter().for_each(Waker::wake);
//!         Poll::Ready(written)
//!     }
//!
//!     fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
//!         Poll::Ready(Ok(()))
//!     }
//!
//!     fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
//!         let mut pipe = self.output.lock().unwrap();
//!         pipe.ended = true;
//!         pipe.reader.take().into_iter().for_each(Waker::wake);
//!         Poll::Ready(Ok(()))
//!     }
//! }
//!
//! struct SystemClock(Instant);
//!
//! impl Clock for SystemClock {
//!     fn now(&self) -> Timestamp {
//!         Timestamp::from_duration(self.0.elapsed())
//!     }
//!
//!     fn poll_sleep(&mut self, _: &mut Context<'_>, deadline: Timestamp) -> Poll<()> {
//!         // A real clock wakes the task. Here it is polled again anyway.
//!         if self.now() < deadline { Poll::Pending } else { Poll::Ready(()) }
//!     }
//! }
//!
//! let pipes = [Arc::<Mutex<Pipe>>::default(), Arc::default()];
//! let [a, b] = pipes.clone();
//! let [d, c] = pipes;
//! let near = Memory { input: a, output: b };
//! let far = Memory { input: c, output: d };
//! let (client, near) = Endpoint::new(near, SystemClock(Instant::now())).start(Role::Client);
//! let far = Endpoint::new(far, SystemClock(Instant::now())).peer_name("the client");
//! let (server, far) = far.start(Role::Server);
//!
//! let application = async move {
//!     let mut question = client.open().await?;
//!     question.write_chunk("who is there?".into()).await?;
//!     let mut answer = server.accept().await?;
//!     assert_eq!(answer.read_chunk(100).await?, Some("who is there?".into()));
//!     assert_eq!(answer.peer_name().as_deref(), Some("the client"));
//!     assert_eq!(answer.write_some(b"the server").await?, 10);
//!     // As a read trait does: into memory of the caller, initialised or not.
//!     let (mut start, mut rest) = ([0; 4], Vec::new());
//!     assert_eq!(question.read_some(&mut start).await?, 4);
//!     poll_fn(|cx| question.poll_read_to(cx, 100, |piece| rest.extend_from_slice(piece))).await?;
//!     assert_eq!((&start, &rest[..]), (b"the ", &b"server"[..]));
//!     drop((question, answer));
//!     assert!(client.close().await.is_clean());
//!     Ok::<(), Error>(())
//! };
//!
//! let mut tasks: Vec<Pin<Box<dyn Future<Output = ()>>>> = vec![
//!     Box::pin(async { application.await.unwrap() }),
//!     Box::pin(async { assert!(near.await.is_clean()) }),
//!     Box::pin(async { assert!(far.await.is_clean()) }),
//! ];
//! let mut cx = Context::from_waker(Waker::noop());
//! while !tasks.is_empty() {
//!     tasks.retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
//! }
//! ```
//!
//! # The rules
//!
//! **One lock.** `Shared` holds the session and all wakers. While the lock is held, the layer does
//! not poll the transport, read the clock, copy a large payload or wake a task. It also does not
//! drop a waker, which may be the last reference to a task that owns handles. (Wakers are cloned
//! under the lock: their `clone` must not use the session, or it deadlocks. Chunks that the
//! application has written are dropped under the lock, when they were sent or discarded: their
//! owners must not use the session.)
//!
//! **Register, then sleep.** A handle whose call was blocked registers its waker in the same
//! critical section, so the event that unblocks it finds the waker. The driver also checks for new
//! work and registers in one critical section.
//!
//! **One waker for each event.** The reader and the writer of a stream have separate places. Tasks
//! that wait to open or accept are in a queue, and one is woken at a time. If a woken task goes
//! away without using its turn, the next one gets it. If a waker panics, the panic hook reports it,
//! and the other tasks are still woken.
//!
//! **The driver is woken once.** Waking it takes its waker, so a hundred writes between two of its
//! turns cost one wake-up. While it waits for the transport to take output, writes do not wake it
//! at all.
//!
//! **Joint departures.** When several tasks have been woken, the driver yields once before it
//! writes, so that their output leaves in one system call. With one task it writes at once. If one
//! read wakes many tasks, half of them are held back until the output of the others was written: so
//! the two ends work at the same time and not in turns.
//!
//! **Bounded turns.** One poll of the driver moves a bounded amount each way and then yields. Every
//! eighth time, and beside small messages every fourth, it also lets the runtime look for input: else
//! the next small message, of this session or another, would wait in the transport for as long as there
//! is bulk.
//!
//! **Idle costs nothing.** I/O buffers belong to the thread and the process, and are borrowed for one
//! poll or until their last byte is read.

mod addresses;
mod capture;
mod driver;
mod endings;
mod endpoint;
mod error;
mod face;
mod loans;
mod log;
mod observe;
mod parked;
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
/// All methods get the same waker, so an implementation may keep one for all of them. When the task
/// of the driver changes, so does the waker, and reading and writing are polled again.
pub trait Transport {
    /// Reads into `buf`; 0 at the end.
    ///
    /// # Errors
    ///
    /// Any error of the transport. It ends the session.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes from the front of `bufs`, which are not empty; returns how many bytes.
    ///
    /// # Errors
    ///
    /// Any error of the transport. It ends the session.
    fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>])
    -> Poll<io::Result<usize>>;

    /// Flushes what was written.
    ///
    /// # Errors
    ///
    /// Any error of the transport. It ends the session.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the write side.
    ///
    /// # Errors
    ///
    /// Any error of the transport.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// The clock of the driver.
pub trait Clock {
    /// The current time, from an origin that the clock chooses. The clock is monotonic; if it still
    /// goes back, time stands still for the session until the clock has caught up.
    fn now(&self) -> Timestamp;

    /// Waits until `deadline`, or forever if the clock cannot represent it. A later call replaces
    /// the deadline of an earlier one.
    fn poll_sleep(&mut self, cx: &mut Context<'_>, deadline: Timestamp) -> Poll<()>;

    /// Wakes the task, but only after the runtime has looked for input. The driver calls this after
    /// every eighth turn that leaves work for another; beside small messages, after every fourth.
    ///
    /// By default the task is woken at once. That is right for a runtime that looks for input on a
    /// thread of its own. One that does so only when no task is ready should provide this method: a
    /// driver that carries bulk is always ready.
    fn yield_now(&mut self, cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }
}
