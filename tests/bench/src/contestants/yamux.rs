//! The crate `yamux`, of libp2p.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    task::{Context, Poll},
};

use futures_channel::{mpsc, oneshot};
use futures_util::{AsyncRead, AsyncWrite, SinkExt as _, StreamExt as _};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};
use yamux::{Config, Connection, Mode, Stream as YamuxStream};

use super::{
    Acceptor, Mux, Opener, Tuning,
    futures_io::{Generic, Halves, Io},
};
use crate::runtime::{Runtime, Smol, Tokio};

/// The crate `yamux`.
pub(crate) struct Yamux;

/// The streams it allows at once by default.
const STREAMS: usize = 512;

fn config(tuning: Tuning) -> Config {
    let mut config = Config::default();
    if tuning.streams > STREAMS {
        // The limit of the connection must allow each stream the minimum window.
        config.set_max_connection_receive_window(None).set_max_num_streams(tuning.streams);
    }
    config
}

impl<T> Mux<Tokio, T> for Yamux
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    type Opener = Opens;
    type Acceptor = Accepts<Compat<T>>;

    async fn client(rt: Tokio, io: T, tuning: Tuning) -> io::Result<Opens> {
        Ok(client(rt, io.compat(), tuning))
    }

    async fn server(_: Tokio, io: T, tuning: Tuning) -> io::Result<Accepts<Compat<T>>> {
        Ok(server(io.compat(), tuning))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Mux<Smol, T> for Yamux {
    type Opener = Opens;
    type Acceptor = Accepts<T>;

    async fn client(rt: Smol, io: T, tuning: Tuning) -> io::Result<Opens> {
        Ok(client(rt, io, tuning))
    }

    async fn server(_: Smol, io: T, tuning: Tuning) -> io::Result<Accepts<T>> {
        Ok(server(io, tuning))
    }
}

fn client<R, T>(rt: R, io: T, tuning: Tuning) -> Opens
where
    R: Runtime,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = Connection::new(io, config(tuning), Mode::Client);
    let (requests, incoming) = mpsc::channel(64);
    let mut client = Client { connection, requests: incoming, waiting: VecDeque::new() };
    rt.detach(poll_fn(move |cx| client.poll(cx)));
    Opens(requests)
}

fn server<T: AsyncRead + AsyncWrite + Unpin>(io: T, tuning: Tuning) -> Accepts<T> {
    Accepts(Connection::new(io, config(tuning), Mode::Server))
}

type Opened = oneshot::Sender<io::Result<YamuxStream>>;

/// The owner of the client's connection: it opens streams on request, and moves frames.
struct Client<T> {
    connection: Connection<T>,
    requests: mpsc::Receiver<Opened>,
    waiting: VecDeque<Opened>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Client<T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(Some(request)) = self.requests.poll_next_unpin(cx) {
            self.waiting.push_back(request);
        }
        while !self.waiting.is_empty() {
            let Poll::Ready(stream) = self.connection.poll_new_outbound(cx) else { break };
            if let Some(request) = self.waiting.pop_front() {
                drop(request.send(stream.map_err(io::Error::other)));
            }
        }
        while let Poll::Ready(incoming) = self.connection.poll_next_inbound(cx) {
            if !matches!(incoming, Some(Ok(_))) {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

/// The client's end.
#[derive(Clone)]
pub(crate) struct Opens(mpsc::Sender<Opened>);

impl Opener for Opens {
    type Stream = Io<YamuxStream>;

    async fn open(&mut self) -> io::Result<Self::Stream> {
        let (opened, stream) = oneshot::channel();
        self.0.send(opened).await.map_err(io::Error::other)?;
        stream.await.map_err(io::Error::other)?.map(Io)
    }
}

/// The server's end.
pub(crate) struct Accepts<T>(Connection<T>);

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Acceptor for Accepts<T> {
    type Stream = Io<YamuxStream>;

    async fn accept(&mut self) -> Option<Self::Stream> {
        poll_fn(|cx| self.0.poll_next_inbound(cx)).await?.ok().map(Io)
    }
}

impl Halves for YamuxStream {
    type Read = futures_util::io::ReadHalf<Self>;
    type Write = futures_util::io::WriteHalf<Self>;

    fn halves(self) -> Generic<Self> {
        futures_util::AsyncReadExt::split(self)
    }
}
