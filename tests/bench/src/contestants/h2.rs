//! The crate `h2`, used as `hyper` uses it: a write waits for some capacity and is then passed on
//! whole, and read bytes are released at once.

use std::{future::poll_fn, io};

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
    server::{Connection, SendResponse},
};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Acceptor, Chunk, Mux, Opener, RecvHalf, SendHalf, Tuning, both::Both};
use crate::runtime::{Runtime as _, Tokio};

/// The crate `h2`.
pub(crate) struct H2;

/// The window of the connection, as a multiple of a stream's, if windows are set.
const CONNECTION_WINDOWS: u32 = 16;

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Mux<Tokio, T> for H2 {
    type Opener = Opens;
    type Acceptor = Connection<T, Bytes>;

    async fn client(rt: Tokio, io: T, tuning: Tuning) -> io::Result<Opens> {
        let mut builder = h2::client::Builder::new();
        if let Some(window) = tuning.window {
            builder
                .initial_window_size(window)
                .initial_connection_window_size(window * CONNECTION_WINDOWS);
        }
        let (requests, connection) = builder.handshake(io).await.map_err(io::Error::other)?;
        rt.detach(async { drop(connection.await) });
        Ok(Opens(requests))
    }

    async fn server(_: Tokio, io: T, tuning: Tuning) -> io::Result<Connection<T, Bytes>> {
        let mut builder = h2::server::Builder::new();
        if let Some(window) = tuning.window {
            builder
                .initial_window_size(window)
                .initial_connection_window_size(window * CONNECTION_WINDOWS);
        }
        builder.handshake(io).await.map_err(io::Error::other)
    }
}

/// The client's end.
#[derive(Clone)]
pub(crate) struct Opens(SendRequest<Bytes>);

impl Opener for Opens {
    type Stream = Both<Incoming, Outgoing>;

    async fn open(&mut self) -> io::Result<Self::Stream> {
        poll_fn(|cx| self.0.poll_ready(cx)).await.map_err(io::Error::other)?;
        let (response, send) =
            self.0.send_request(Request::new(()), false).map_err(io::Error::other)?;
        Ok(Both { recv: Incoming::Awaited(response), send: Outgoing::Begun(send) })
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Acceptor for Connection<T, Bytes> {
    type Stream = Both<Incoming, Outgoing>;

    async fn accept(&mut self) -> Option<Self::Stream> {
        let (request, respond) = Connection::accept(self).await?.ok()?;
        Some(Both { recv: Incoming::Begun(request.into_body()), send: Outgoing::Owed(respond) })
    }
}

/// What arrives.
pub(crate) enum Incoming {
    /// The head of the response has not been awaited yet.
    Awaited(ResponseFuture),
    /// The body arrives.
    Begun(RecvStream),
}

/// What is sent.
pub(crate) enum Outgoing {
    /// The head of the response is still to be sent; it goes with the first data.
    Owed(SendResponse<Bytes>),
    /// The body is under way.
    Begun(SendStream<Bytes>),
}

impl RecvHalf for Incoming {
    async fn recv(&mut self, chunk: &mut Chunk) -> io::Result<usize> {
        if let Self::Awaited(response) = self {
            let response = response.await.map_err(io::Error::other)?;
            *self = Self::Begun(response.into_body());
        }
        let Self::Begun(body) = self else { return Ok(0) };
        match body.data().await {
            None => Ok(0),
            Some(piece) => {
                let piece = piece.map_err(io::Error::other)?;
                let n = piece.len();
                body.flow_control().release_capacity(n).map_err(io::Error::other)?;
                chunk.hold(piece);
                Ok(n)
            }
        }
    }
}

impl Outgoing {
    fn body(&mut self) -> io::Result<&mut SendStream<Bytes>> {
        if let Self::Owed(respond) = self {
            let body = respond.send_response(Response::new(()), false).map_err(io::Error::other)?;
            *self = Self::Begun(body);
        }
        match self {
            Self::Begun(body) => Ok(body),
            Self::Owed(_) => Err(io::Error::other("the response was not begun")),
        }
    }

    async fn write(&mut self, data: Bytes, last: bool) -> io::Result<()> {
        let body = self.body()?;
        body.reserve_capacity(1);
        while body.capacity() == 0 {
            match poll_fn(|cx| body.poll_capacity(cx)).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
        body.send_data(data, last).map_err(io::Error::other)
    }
}

impl SendHalf for Outgoing {
    async fn send(&mut self, data: &'static [u8]) -> io::Result<()> {
        self.write(Bytes::from_static(data), false).await
    }

    async fn send_back(&mut self, chunk: &mut Chunk) -> io::Result<()> {
        self.write(chunk.take(), false).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn finish(&mut self) -> io::Result<()> {
        self.body()?.send_data(Bytes::new(), true).map_err(io::Error::other)
    }

    async fn send_last(&mut self, data: &'static [u8]) -> io::Result<()> {
        self.write(Bytes::from_static(data), true).await
    }

    async fn send_back_last(&mut self, chunk: &mut Chunk) -> io::Result<()> {
        self.write(chunk.take(), true).await
    }
}
