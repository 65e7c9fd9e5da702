//! This project on Tokio.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use muxado_proto::Config;
use muxado_tokio::{RecvHalf, SendHalf, Session, Stream};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Acceptor, Mux, Opener, Tuning,
    tokio_io::{Halves, Io},
};
use crate::runtime::Tokio;

/// This project on Tokio.
pub(crate) struct MuxadoTokio;

/// The settings for a tuning; both adapters use them. A process has one tuning, and its sessions
/// share them.
pub(crate) fn config(tuning: Tuning) -> Arc<Config> {
    static SHARED: OnceLock<Arc<Config>> = OnceLock::new();
    Arc::clone(SHARED.get_or_init(|| {
        let default = Config::default();
        if tuning.window.is_none() && tuning.streams <= default.max_inbound_streams() as usize {
            return Arc::new(default);
        }
        let streams = u32::try_from(tuning.streams).unwrap_or(u32::MAX);
        let streams = streams.max(default.max_inbound_streams());
        let mut builder =
            Config::builder().max_inbound_streams(streams).max_outbound_streams(streams);
        let window = tuning.window.unwrap_or(default.receive_window());
        builder = builder.receive_window(window).send_window(window);
        // All of them, and the heartbeats, may be full at once, both ways.
        let windows = u64::from(window) * (2 * u64::from(streams) + 5);
        let buffer = windows + u64::from(default.window_budget());
        builder = builder.session_receive_buffer(buffer.max(default.session_receive_buffer()));
        Arc::new(builder.build().expect("all settings are in their ranges"))
    }))
}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Mux<Tokio, T> for MuxadoTokio {
    type Opener = Opens;
    type Acceptor = Accepts;

    async fn client(_: Tokio, io: T, tuning: Tuning) -> io::Result<Opens> {
        Ok(Opens(Session::client(io, config(tuning))))
    }

    async fn server(_: Tokio, io: T, tuning: Tuning) -> io::Result<Accepts> {
        Ok(Accepts(Session::server(io, config(tuning))))
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
