//! Plain TCP: a connection is a stream.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use super::{Acceptor, Mux, Opener, OverTcp, Stream, Tuning, futures_io, tokio_io};
use crate::runtime::{Runtime, Smol, Tokio};

/// Plain TCP on either runtime.
pub(crate) struct Raw;

/// Makes a stream of a socket of this runtime.
pub(crate) trait Socket: Runtime {
    /// The stream.
    type Stream: Stream;

    /// Wraps a socket.
    fn stream(socket: Self::Tcp) -> Self::Stream;
}

impl Socket for Tokio {
    type Stream = tokio_io::Io<Self::Tcp>;

    fn stream(socket: Self::Tcp) -> Self::Stream {
        tokio_io::Io(socket)
    }
}

impl Socket for Smol {
    type Stream = futures_io::Io<Self::Tcp>;

    fn stream(socket: Self::Tcp) -> Self::Stream {
        futures_io::Io(socket)
    }
}

/// Opens a connection for each stream.
#[derive(Clone)]
pub(crate) struct Dial<R> {
    rt: R,
    to: SocketAddr,
}

impl<R: Socket> Opener for Dial<R> {
    type Stream = R::Stream;

    async fn open(&mut self) -> io::Result<R::Stream> {
        Ok(R::stream(self.rt.connect(self.to).await?))
    }
}

/// Accepts connections.
pub(crate) struct Listen<R: Runtime> {
    rt: R,
    listener: Arc<R::Listener>,
}

impl<R: Socket> Acceptor for Listen<R> {
    type Stream = R::Stream;

    async fn accept(&mut self) -> Option<R::Stream> {
        self.rt.accept(&self.listener).await.ok().map(R::stream)
    }
}

impl<R: Socket> OverTcp<R> for Raw {
    type Opener = Dial<R>;
    type Acceptor = Listen<R>;

    async fn connect(rt: R, to: SocketAddr, _: Tuning) -> io::Result<Dial<R>> {
        Ok(Dial { rt, to })
    }

    async fn accept(rt: R, listener: Arc<R::Listener>, _: Tuning) -> io::Result<Listen<R>> {
        Ok(Listen { rt, listener })
    }
}

/// A session that is one stream: the transport itself. The reference for idle sessions.
pub(crate) struct Only<S>(Arc<Mutex<Option<S>>>);

impl<S> Only<S> {
    fn new(stream: S) -> Self {
        Self(Arc::new(Mutex::new(Some(stream))))
    }

    fn take(&self) -> Option<S> {
        self.0.lock().ok()?.take()
    }
}

impl<S> Clone for Only<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Stream> Opener for Only<S> {
    type Stream = S;

    async fn open(&mut self) -> io::Result<S> {
        self.take().ok_or_else(|| io::Error::other("the one stream is in use"))
    }
}

impl<S: Stream> Acceptor for Only<S> {
    type Stream = S;

    async fn accept(&mut self) -> Option<S> {
        self.take()
    }
}

impl<Io: tokio_io::Halves> Mux<Tokio, Io> for Raw {
    type Opener = Only<tokio_io::Io<Io>>;
    type Acceptor = Only<tokio_io::Io<Io>>;

    async fn client(_: Tokio, io: Io, _: Tuning) -> io::Result<Self::Opener> {
        Ok(Only::new(tokio_io::Io(io)))
    }

    async fn server(_: Tokio, io: Io, _: Tuning) -> io::Result<Self::Acceptor> {
        Ok(Only::new(tokio_io::Io(io)))
    }
}

impl<Io: futures_io::Halves> Mux<Smol, Io> for Raw {
    type Opener = Only<futures_io::Io<Io>>;
    type Acceptor = Only<futures_io::Io<Io>>;

    async fn client(_: Smol, io: Io, _: Tuning) -> io::Result<Self::Opener> {
        Ok(Only::new(futures_io::Io(io)))
    }

    async fn server(_: Smol, io: Io, _: Tuning) -> io::Result<Self::Acceptor> {
        Ok(Only::new(futures_io::Io(io)))
    }
}
