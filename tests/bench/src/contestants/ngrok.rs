//! ngrok's crate `muxado`.

use std::io;

use ngrok_muxado::{
    Accept as _, MuxadoAccept, MuxadoOpen, OpenClose as _, Session as _, SessionBuilder,
    Stream as MuxadoStream,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Acceptor, Mux, Opener, Tuning,
    tokio_io::{Generic, Halves, Io},
};
use crate::runtime::Tokio;

/// ngrok's crate `muxado`.
pub(crate) struct Ngrok;

/// The streams it allows at once by default.
const STREAMS: usize = 512;

fn session<T>(io: T, tuning: Tuning) -> SessionBuilder<T>
where
    T: AsyncRead + AsyncWrite + Send + 'static,
{
    let mut builder = SessionBuilder::new(io);
    if let Some(window) = tuning.window {
        builder = builder.window_size(window as usize);
    }
    builder.stream_limit(tuning.streams.max(STREAMS))
}

impl<T: AsyncRead + AsyncWrite + Send + 'static> Mux<Tokio, T> for Ngrok {
    type Opener = Opens;
    type Acceptor = Accepts;

    async fn client(_: Tokio, io: T, tuning: Tuning) -> io::Result<Opens> {
        let (open, accept) = session(io, tuning).client().start().split();
        Ok(Opens { open, _accept: std::sync::Arc::new(accept) })
    }

    async fn server(_: Tokio, io: T, tuning: Tuning) -> io::Result<Accepts> {
        let (open, accept) = session(io, tuning).server().start().split();
        Ok(Accepts { accept, _open: open })
    }
}

/// The client's end.
#[derive(Clone)]
pub(crate) struct Opens {
    open: MuxadoOpen,
    _accept: std::sync::Arc<MuxadoAccept>,
}

impl Opener for Opens {
    type Stream = Io<MuxadoStream>;

    async fn open(&mut self) -> io::Result<Self::Stream> {
        self.open.open().await.map(Io).map_err(io::Error::other)
    }
}

/// The server's end.
pub(crate) struct Accepts {
    accept: MuxadoAccept,
    _open: MuxadoOpen,
}

impl Acceptor for Accepts {
    type Stream = Io<MuxadoStream>;

    async fn accept(&mut self) -> Option<Self::Stream> {
        self.accept.accept().await.map(Io)
    }
}

impl Halves for MuxadoStream {
    type Read = tokio::io::ReadHalf<Self>;
    type Write = tokio::io::WriteHalf<Self>;

    fn halves(self) -> Generic<Self> {
        tokio::io::split(self)
    }
}
