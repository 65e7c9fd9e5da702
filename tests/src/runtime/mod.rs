//! The interface of a runtime for tests, so that one suite runs on all of them: tasks, sessions of
//! the runtime's adapter, and the adapter's read and write traits.
//!
//! It also has transports that do not depend on a runtime: [`pipe`] is one in memory, [`Faults`]
//! adds faults to any.

pub mod face;
mod faults;
pub mod manual;
mod pipe;
mod raw;
mod smol;
mod tokio;

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::oneshot;
use muxado_proto::task::Beat;
use muxado_proto::{CloseReason, Config, Role};

pub use face::{Belongs, ReceiveFace, Relays, SendFace, SessionFace, StreamFace, StreamSource};
pub use faults::{Fault, Faults, Traffic};
pub use pipe::{Io, Wire, pipe};
pub use raw::RawPeer;
pub use smol::Smol;
pub use tokio::{TokioMulti, TokioPaused, TokioSingle};

/// How long a test may take before it counts as stuck. Nothing else depends on it.
const PATIENCE: Duration = Duration::from_secs(300);

/// A driver that was handed out.
pub type Driver = Pin<Box<dyn Future<Output = CloseReason> + Send>>;

/// A runtime and the adapter for it.
pub trait Runtime: Sized + Send + Sync + 'static {
    /// The adapter's handle on a session.
    type Session: SessionFace
        + Relays
        + StreamSource<
            Stream = Self::Stream,
            Incoming = Self::Incoming,
            Heartbeats = Self::Heartbeats,
            Weak = Self::Weak,
        > + Clone
        + Debug
        + Send
        + Sync
        + 'static;
    /// The adapter's handle that keeps no session open.
    type Weak: Clone + Debug + Send + Sync + 'static;
    /// The adapter's stream.
    type Stream: StreamFace
        + ReceiveFace
        + SendFace
        + Belongs<Self::Session>
        + Reader
        + Writer
        + Debug
        + Unpin
        + Send
        + 'static;
    /// The adapter's receiving half.
    type RecvHalf: StreamFace + ReceiveFace + Reader + Debug + Unpin + Send + 'static;
    /// The adapter's sending half.
    type SendHalf: StreamFace + SendFace + Writer + Debug + Unpin + Send + 'static;
    /// The adapter's sequence of streams.
    type Incoming: futures_util::Stream<Item = Result<Self::Stream, CloseReason>>
        + Unpin
        + Send
        + 'static;
    /// The adapter's sequence of heartbeats.
    type Heartbeats: futures_util::Stream<Item = Beat> + Unpin + Send + 'static;

    /// Runs a test to its end.
    fn run<T>(test: impl Future<Output = T>) -> T;

    /// Starts a task.
    fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> Task<T>;

    /// A session over a transport; the adapter spawns its driver.
    fn session(io: Io, role: Role, config: Arc<Config>) -> Self::Session;

    /// A session over a transport, and its driver.
    fn with_driver(io: Io, role: Role, config: Arc<Config>) -> (Self::Session, Driver);

    /// A client and a server over TCP on loopback.
    fn tcp(
        config: Arc<Config>,
    ) -> impl Future<Output = io::Result<(Self::Session, Self::Session)>> + Send;

    /// Both halves of a stream.
    fn split(stream: Self::Stream) -> (Self::RecvHalf, Self::SendHalf);

    /// A client and a server over a pipe that holds `capacity` bytes each way.
    fn pair(capacity: usize, config: impl Into<Arc<Config>>) -> (Self::Session, Self::Session) {
        let config = config.into();
        let (near, far) = pipe(capacity);
        let client = Self::session(near, Role::Client, Arc::clone(&config));
        (client, Self::session(far, Role::Server, config))
    }
}

/// Reading by the trait of the runtime.
pub trait Reader {
    /// Reads into `buf`; 0 at the end.
    fn recv(&mut self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;
}

/// Writing by the trait of the runtime.
pub trait Writer {
    /// Writes from the front of `data`; returns how much.
    fn send(&mut self, data: &[u8]) -> impl Future<Output = io::Result<usize>> + Send;

    /// Writes from the front of `bufs`; returns how much.
    fn send_vectored(
        &mut self,
        bufs: &[IoSlice<'_>],
    ) -> impl Future<Output = io::Result<usize>> + Send;

    /// Waits until the transport has taken what was written.
    fn flush(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Half-closes.
    fn half_close(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// Reads to the end.
///
/// # Errors
///
/// Those of the reader.
pub async fn read_to_end(reader: &mut impl Reader) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_more(reader, &mut bytes).await.map(|()| bytes)
}

/// Reads to the end into `bytes`, which after an error has the bytes before it.
///
/// # Errors
///
/// Those of the reader.
pub async fn read_more(reader: &mut impl Reader, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut buf = vec![0; 32 << 10];
    loop {
        match reader.recv(&mut buf).await? {
            0 => return Ok(()),
            count => bytes.extend_from_slice(&buf[..count]),
        }
    }
}

/// Reads exactly `count` bytes.
///
/// # Errors
///
/// Errors of the reader, and `UnexpectedEof`.
pub async fn read_exact(reader: &mut impl Reader, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    let mut filled = 0;
    while filled < count {
        match reader.recv(&mut bytes[filled..]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    Ok(bytes)
}

/// Writes everything.
///
/// # Errors
///
/// Those of the writer.
pub async fn write_all(writer: &mut impl Writer, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        let count = writer.send(data).await?;
        data = &data[count..];
    }
    Ok(())
}

/// A started task; awaiting it returns its result. It continues if this is dropped.
#[derive(Debug)]
pub struct Task<T>(oneshot::Receiver<T>);

impl<T> Task<T> {
    /// The task's future, and the handle to its result.
    pub(crate) fn wrap(task: impl Future<Output = T>) -> (impl Future<Output = ()>, Self) {
        let (sender, receiver) = oneshot::channel();
        let run = async move {
            // Nobody has to wait for a result.
            let _unwanted = sender.send(task.await);
        };
        (run, Self(receiver))
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(cx).map(|result| result.expect("a task has panicked"))
    }
}

/// Starts a task, and returns when it waits for something or has ended.
pub async fn park<R: Runtime, T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> Task<T> {
    let (waits, parked) = oneshot::channel::<Infallible>();
    let mut waits = Some(waits);
    let mut task = Box::pin(task);
    let task = R::spawn(poll_fn(move |cx| {
        let result = task.as_mut().poll(cx);
        drop(waits.take());
        result
    }));
    // It says so by dropping its end.
    let _dropped = parked.await;
    task
}

/// Lets every other task run first, once.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs a test; if it gets stuck, prints its name and ends the process.
pub fn watched<T>(name: &str, test: impl FnOnce() -> T) -> T {
    let (done, wait) = channel::<()>();
    let name = name.to_owned();
    let watchdog = std::thread::spawn(move || {
        if wait.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            eprintln!("stuck: {name}");
            std::process::abort();
        }
    });
    let result = test();
    drop(done);
    watchdog.join().expect("the watchdog does not panic");
    result
}
