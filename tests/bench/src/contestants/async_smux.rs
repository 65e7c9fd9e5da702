//! The crate `async_smux`.

use std::{io, sync::Arc};

use async_smux::{MuxAcceptor, MuxBuilder, MuxConnector, MuxStream};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Acceptor, Mux, Opener, Tuning,
    tokio_io::{Generic, Halves, Io},
};
use crate::runtime::{Runtime as _, Tokio};

/// The crate `async_smux`.
pub(crate) struct Smux;

/// A transport for it.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Transport for T {}

impl<T: Transport> Mux<Tokio, T> for Smux {
    type Opener = Opens<T>;
    type Acceptor = Accepts<T>;

    async fn client(rt: Tokio, io: T, _: Tuning) -> io::Result<Opens<T>> {
        let (connector, acceptor, worker) = MuxBuilder::client().with_connection(io).build();
        rt.detach(async { drop(worker.await) });
        Ok(Opens { connector, _acceptor: Arc::new(acceptor) })
    }

    async fn server(rt: Tokio, io: T, _: Tuning) -> io::Result<Accepts<T>> {
        let (connector, acceptor, worker) = MuxBuilder::server().with_connection(io).build();
        rt.detach(async { drop(worker.await) });
        Ok(Accepts { acceptor, _connector: connector })
    }
}

/// The client's end.
pub(crate) struct Opens<T: Transport> {
    connector: MuxConnector<T>,
    _acceptor: Arc<MuxAcceptor<T>>,
}

impl<T: Transport> Clone for Opens<T> {
    fn clone(&self) -> Self {
        Self { connector: self.connector.clone(), _acceptor: Arc::clone(&self._acceptor) }
    }
}

impl<T: Transport> Opener for Opens<T> {
    type Stream = Io<MuxStream<T>>;

    async fn open(&mut self) -> io::Result<Self::Stream> {
        self.connector.connect().map(Io).map_err(io::Error::other)
    }
}

/// The server's end.
pub(crate) struct Accepts<T: Transport> {
    acceptor: MuxAcceptor<T>,
    _connector: MuxConnector<T>,
}

impl<T: Transport> Acceptor for Accepts<T> {
    type Stream = Io<MuxStream<T>>;

    async fn accept(&mut self) -> Option<Self::Stream> {
        self.acceptor.accept().await.map(Io)
    }
}

impl<T: Transport> Halves for MuxStream<T> {
    type Read = tokio::io::ReadHalf<Self>;
    type Write = tokio::io::WriteHalf<Self>;

    fn halves(self) -> Generic<Self> {
        tokio::io::split(self)
    }
}
