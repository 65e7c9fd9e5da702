//! Tokio, three ways.

use std::future::Future;
use std::io::{self, IoSlice};
use std::sync::Arc;

use muxado_proto::{Config, Role};
use muxado_tokio::{Heartbeats, Incoming, RecvHalf, SendHalf, Session, Stream, WeakSession};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

use super::{Driver, Io, Reader, Runtime, Task, Writer};

/// Tokio on one thread.
#[derive(Debug)]
pub struct TokioSingle;

/// Tokio on two worker threads.
#[derive(Debug)]
pub struct TokioMulti;

/// Tokio on one thread, with a clock that jumps to the next timer when all tasks wait.
#[derive(Debug)]
pub struct TokioPaused;

macro_rules! runtime {
    ($($name:ident: $builder:expr;)*) => {$(
        impl Runtime for $name {
            type Session = Session;
            type Stream = Stream;
            type RecvHalf = RecvHalf;
            type SendHalf = SendHalf;
            type Incoming = Incoming;
            type Heartbeats = Heartbeats;
            type Weak = WeakSession;

            fn run<T>(test: impl Future<Output = T>) -> T {
                $builder.enable_all().build().expect("a runtime").block_on(test)
            }

            fn spawn<T: Send + 'static>(
                task: impl Future<Output = T> + Send + 'static,
            ) -> Task<T> {
                let (run, task) = Task::wrap(task);
                tokio::spawn(run);
                task
            }

            fn session(io: Io, role: Role, config: Arc<Config>) -> Session {
                match role {
                    Role::Client => Session::client(io, config),
                    Role::Server => Session::server(io, config),
                }
            }

            fn with_driver(io: Io, role: Role, config: Arc<Config>) -> (Session, Driver) {
                let (session, driver) = match role {
                    Role::Client => Session::client_with_driver(io, config),
                    Role::Server => Session::server_with_driver(io, config),
                };
                (session, Box::pin(driver))
            }

            async fn tcp(config: Arc<Config>) -> io::Result<(Session, Session)> {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                let near = TcpStream::connect(listener.local_addr()?).await?;
                let (far, _) = listener.accept().await?;
                let server = Session::server(far, Arc::clone(&config));
                Ok((Session::client(near, config), server))
            }

            fn split(stream: Stream) -> (RecvHalf, SendHalf) {
                stream.into_split()
            }
        }
    )*};
}

runtime! {
    TokioSingle: Builder::new_current_thread();
    TokioMulti: Builder::new_multi_thread().worker_threads(2);
    TokioPaused: Builder::new_current_thread().start_paused(true);
}

macro_rules! reader {
    ($($name:ident),*) => {$(
        impl Reader for $name {
            async fn recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                AsyncReadExt::read(self, buf).await
            }
        }
    )*};
}

macro_rules! writer {
    ($($name:ident),*) => {$(
        impl Writer for $name {
            async fn send(&mut self, data: &[u8]) -> io::Result<usize> {
                AsyncWriteExt::write(self, data).await
            }

            async fn send_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                AsyncWriteExt::write_vectored(self, bufs).await
            }

            async fn flush(&mut self) -> io::Result<()> {
                AsyncWriteExt::flush(self).await
            }

            async fn half_close(&mut self) -> io::Result<()> {
                AsyncWriteExt::shutdown(self).await
            }
        }
    )*};
}

reader!(Stream, RecvHalf);
writer!(Stream, SendHalf);
