//! This project on smol.

use std::io;

use futures_util::{AsyncRead, AsyncWrite};
use muxado_smol::{RecvHalf, SendHalf, Session, Stream};

use super::{
    Acceptor, Mux, Opener, Tuning,
    futures_io::{Halves, Io},
    muxado_tokio::config,
};
use crate::runtime::{Runtime as _, Smol};

/// This project on smol.
pub(crate) struct MuxadoSmol;

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Mux<Smol, T> for MuxadoSmol {
    type Opener = Opens;
    type Acceptor = Accepts;

    async fn client(rt: Smol, io: T, tuning: Tuning) -> io::Result<Opens> {
        let (session, driver) = Session::client_with_driver(io, config(tuning));
        rt.detach(async { drop(driver.await) });
        Ok(Opens(session))
    }

    async fn server(rt: Smol, io: T, tuning: Tuning) -> io::Result<Accepts> {
        let (session, driver) = Session::server_with_driver(io, config(tuning));
        rt.detach(async { drop(driver.await) });
        Ok(Accepts(session))
    }
}

/// The client's end.
#[derive(Clone)]
pub(crate) struct Opens(Session);

impl Opener for Opens {
    type Stream = Io<Stream>;

    async fn open(&mut self) -> io::Result<Self::Stream> {
        self.0.open().await.map(Io).map_err(io::Error::other)
    }
}

/// The server's end.
pub(crate) struct Accepts(Session);

impl Acceptor for Accepts {
    type Stream = Io<Stream>;

    async fn accept(&mut self) -> Option<Self::Stream> {
        self.0.accept().await.ok().map(Io)
    }
}

impl Halves for Stream {
    type Read = RecvHalf;
    type Write = SendHalf;

    fn halves(self) -> (RecvHalf, SendHalf) {
        self.into_split()
    }
}
