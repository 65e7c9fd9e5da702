//! The crate `tokio-yamux`.

use std::{future::poll_fn, io, pin::Pin, task::Poll};

use futures_util::StreamExt as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio_yamux::{Config, Control, Session, StreamHandle};

use super::{Acceptor, Chunk, Mux, Opener, RecvHalf, SendHalf, Stream, Tuning, tokio_io::Io};
use crate::runtime::{Runtime as _, Tokio};

/// The crate `tokio-yamux`.
pub(crate) struct TokioYamux;

fn config(tuning: Tuning) -> Config {
    let mut config = Config::default();
    config.accept_backlog = config.accept_backlog.max(tuning.streams);
    if let Some(window) = tuning.window {
        config.max_stream_window_size = window;
    }
    config
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Mux<Tokio, T> for TokioYamux {
    type Opener = Opens;
    type Acceptor = Session<T>;

    async fn client(rt: Tokio, io: T, tuning: Tuning) -> io::Result<Opens> {
        let mut session = Session::new_client(io, config(tuning));
        let control = session.control();
        rt.detach(async move { while let Some(Ok(_)) = session.next().await {} });
        Ok(Opens(control))
    }

    async fn server(_: Tokio, io: T, tuning: Tuning) -> io::Result<Session<T>> {
        Ok(Session::new_server(io, config(tuning)))
    }
}

/// The client's end.
#[derive(Clone)]
pub(crate) struct Opens(Control);

impl Opener for Opens {
    type Stream = Handle;

    async fn open(&mut self) -> io::Result<Handle> {
        self.0.open_stream().await.map(|handle| Handle(Io(handle))).map_err(io::Error::other)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Acceptor for Session<T> {
    type Stream = Handle;

    async fn accept(&mut self) -> Option<Handle> {
        self.next().await?.ok().map(|handle| Handle(Io(handle)))
    }
}

/// A stream. A writer that waits for its window is woken only while the stream is polled for
/// reading, so writing also polls for reading here.
pub(crate) struct Handle(Io<StreamHandle>);

impl Handle {
    async fn write_all(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let written = poll_fn(|cx| {
                let stream = &mut self.0.0;
                let blocked = Pin::new(&mut *stream).poll_write(cx, data);
                if blocked.is_ready() {
                    return blocked;
                }
                match stream.poll_peek(cx, &mut ReadBuf::new(&mut [0])) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    _ => Pin::new(stream).poll_write(cx, data),
                }
            });
            data = &data[written.await?..];
        }
        Ok(())
    }
}

impl SendHalf for Handle {
    async fn send(&mut self, data: &'static [u8]) -> io::Result<()> {
        self.write_all(data).await
    }

    async fn send_back(&mut self, chunk: &mut Chunk) -> io::Result<()> {
        self.write_all(chunk.bytes()).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await
    }

    async fn finish(&mut self) -> io::Result<()> {
        self.0.finish().await
    }
}

impl RecvHalf for Handle {
    async fn recv(&mut self, chunk: &mut Chunk) -> io::Result<usize> {
        self.0.recv(chunk).await
    }
}

impl Stream for Handle {
    type Send = Io<WriteHalf<StreamHandle>>;
    type Recv = Io<ReadHalf<StreamHandle>>;

    fn split(self) -> (Self::Recv, Self::Send) {
        let (read, write) = tokio::io::split(self.0.0);
        (Io(read), Io(write))
    }
}
