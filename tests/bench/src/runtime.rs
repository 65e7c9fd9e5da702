//! The two executors and the two placements of the ends of a connection on threads.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener as StdListener},
    thread,
    time::Duration,
};

use clap::ValueEnum;
use futures_util::future::{self, Either};
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use crate::congestion;

/// The most bytes under way in a pipe.
const PIPE: usize = 64 * 1024;

/// Where the two ends of a connection run.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    ValueEnum,
    Display,
    EnumString,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Placement {
    /// Both ends on one multi-thread runtime of two workers.
    Shared,
    /// Each end on a current-thread runtime in its own thread.
    Split,
}

/// An executor with TCP, with the functions that the workloads need.
pub(crate) trait Runtime: Copy + Send + Sync + 'static {
    /// A connected TCP socket.
    type Tcp: Send + Unpin + 'static;
    /// A listening TCP socket.
    type Listener: Send + Sync + 'static;
    /// One end of a pipe in memory.
    type Pipe: Send + Unpin + 'static;
    /// A running task. It must be awaited: dropping it may cancel it.
    type Task<T: Send + 'static>: Future<Output = T> + Send;

    /// Runs `client` and `server` concurrently until `client` ends, and returns its output.
    fn run<C, S, CF, SF>(placement: Placement, client: C, server: S) -> CF::Output
    where
        C: FnOnce(Self) -> CF + Send + 'static,
        CF: Future + Send + 'static,
        CF::Output: Send,
        S: FnOnce(Self) -> SF + Send + 'static,
        SF: Future<Output = ()> + Send + 'static;

    /// Starts a task.
    fn spawn<F>(self, task: F) -> Self::Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send;

    /// Starts a task nobody waits for.
    fn detach<F>(self, task: F)
    where
        F: Future<Output = ()> + Send + 'static;

    /// Hands a listening socket over to this runtime.
    fn listen(self, socket: StdListener) -> io::Result<Self::Listener>;

    /// Accepts a connection; `TCP_NODELAY` is set on it.
    fn accept(
        self,
        listener: &Self::Listener,
    ) -> impl Future<Output = io::Result<Self::Tcp>> + Send;

    /// Connects; `TCP_NODELAY` is set on the socket.
    fn connect(self, to: SocketAddr) -> impl Future<Output = io::Result<Self::Tcp>> + Send;

    /// Makes a pipe in memory. It takes memory only for the bytes in it.
    fn pipe() -> (Self::Pipe, Self::Pipe);

    /// Lets time pass.
    fn sleep(self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// Tokio.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tokio;

/// A Tokio task whose panic is passed on to the task that waits for it.
pub(crate) struct TokioTask<T>(tokio::task::JoinHandle<T>);

impl<T> Future for TokioTask<T> {
    type Output = T;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<T> {
        std::pin::Pin::new(&mut self.0)
            .poll(cx)
            .map(|ended| ended.expect("a task of the benchmark does not panic"))
    }
}

impl Runtime for Tokio {
    type Tcp = tokio::net::TcpStream;
    type Listener = tokio::net::TcpListener;
    type Pipe = tokio::io::DuplexStream;
    type Task<T: Send + 'static> = TokioTask<T>;

    fn run<C, S, CF, SF>(placement: Placement, client: C, server: S) -> CF::Output
    where
        C: FnOnce(Self) -> CF + Send + 'static,
        CF: Future + Send + 'static,
        CF::Output: Send,
        S: FnOnce(Self) -> SF + Send + 'static,
        SF: Future<Output = ()> + Send + 'static,
    {
        let built = "a Tokio runtime can be built";
        match placement {
            Placement::Shared => {
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build()
                    .expect(built);
                runtime.spawn(async { server(Tokio).await });
                runtime.block_on(TokioTask(runtime.spawn(async { client(Tokio).await })))
            }
            Placement::Split => {
                let current_thread = || {
                    tokio::runtime::Builder::new_current_thread().enable_all().build().expect(built)
                };
                thread::spawn(move || current_thread().block_on(async { server(Tokio).await }));
                current_thread().block_on(async { client(Tokio).await })
            }
        }
    }

    fn spawn<F>(self, task: F) -> TokioTask<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        TokioTask(tokio::spawn(task))
    }

    fn detach<F>(self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        tokio::spawn(task);
    }

    fn listen(self, socket: StdListener) -> io::Result<Self::Listener> {
        socket.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(socket)
    }

    async fn accept(self, listener: &Self::Listener) -> io::Result<Self::Tcp> {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    async fn connect(self, to: SocketAddr) -> io::Result<Self::Tcp> {
        let socket = tokio::net::TcpStream::connect(to).await?;
        socket.set_nodelay(true)?;
        congestion::apply(&socket)?;
        Ok(socket)
    }

    fn pipe() -> (Self::Pipe, Self::Pipe) {
        tokio::io::duplex(PIPE)
    }

    fn sleep(self, time: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(time)
    }
}

/// smol: an executor of one or two threads, and the reactor of `async-io`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Smol(&'static smol::Executor<'static>);

impl Smol {
    /// An executor without threads. It lives as long as the process, which ends with the sample.
    fn leak() -> Self {
        Self(Box::leak(Box::new(smol::Executor::new())))
    }
}

impl Runtime for Smol {
    type Tcp = smol::net::TcpStream;
    type Listener = smol::net::TcpListener;
    type Pipe = Compat<tokio::io::DuplexStream>;
    type Task<T: Send + 'static> = smol::Task<T>;

    fn run<C, S, CF, SF>(placement: Placement, client: C, server: S) -> CF::Output
    where
        C: FnOnce(Self) -> CF + Send + 'static,
        CF: Future + Send + 'static,
        CF::Output: Send,
        S: FnOnce(Self) -> SF + Send + 'static,
        SF: Future<Output = ()> + Send + 'static,
    {
        let here = Smol::leak();
        match placement {
            Placement::Shared => {
                here.detach(async move { server(here).await });
                thread::spawn(move || smol::block_on(here.0.run(future::pending::<()>())));
                let client = here.spawn(async move { client(here).await });
                smol::block_on(here.0.run(client))
            }
            Placement::Split => {
                thread::spawn(move || {
                    let there = Smol::leak();
                    let server = there.spawn(async move { server(there).await });
                    smol::block_on(there.0.run(server));
                });
                let client = here.spawn(async move { client(here).await });
                smol::block_on(here.0.run(client))
            }
        }
    }

    fn spawn<F>(self, task: F) -> smol::Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        self.0.spawn(task)
    }

    fn detach<F>(self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.spawn(task).detach();
    }

    fn listen(self, socket: StdListener) -> io::Result<Self::Listener> {
        Ok(smol::Async::new(socket)?.into())
    }

    async fn accept(self, listener: &Self::Listener) -> io::Result<Self::Tcp> {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    async fn connect(self, to: SocketAddr) -> io::Result<Self::Tcp> {
        let socket = smol::net::TcpStream::connect(to).await?;
        socket.set_nodelay(true)?;
        congestion::apply(&socket)?;
        Ok(socket)
    }

    fn pipe() -> (Self::Pipe, Self::Pipe) {
        // Tokio's pipe works on any executor.
        let (one, other) = tokio::io::duplex(PIPE);
        (one.compat(), other.compat())
    }

    async fn sleep(self, time: Duration) {
        smol::Timer::after(time).await;
    }
}

/// The output of `work`, or `None` when it has not ended within `limit`.
pub(crate) async fn within<R: Runtime, F: Future + Send>(
    rt: R,
    limit: Duration,
    work: F,
) -> Option<F::Output> {
    let (work, limit) = (std::pin::pin!(work), std::pin::pin!(rt.sleep(limit)));
    match future::select(work, limit).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}
