//! Everything that is compared, behind one set of traits.
//!
//! The traits are generic and never boxed: each workload is compiled once for each contestant.

pub(crate) mod async_smux;
pub(crate) mod both;
pub(crate) mod futures_io;
pub(crate) mod h2;
pub(crate) mod muxado_smol;
pub(crate) mod muxado_tokio;
pub(crate) mod ngrok;
pub(crate) mod quic;
pub(crate) mod raw;
pub(crate) mod tls;
pub(crate) mod tokio_io;
pub(crate) mod tokio_yamux;
pub(crate) mod yamux;

use std::{future::Future, io, marker::PhantomData, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString};

use crate::runtime::Runtime;

/// A contestant, and how it is set up.
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
    EnumIter,
    EnumString,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Contestant {
    /// Plain TCP on Tokio, a connection for each stream.
    Tcp,
    /// Plain TCP on Tokio, connections kept open and taken from a pool.
    TcpPool,
    /// Plain TCP on smol, a connection for each stream.
    TcpSmol,
    /// This project on Tokio.
    MuxadoTokio,
    /// This project on Tokio, windows of 1 MiB.
    #[value(name = "muxado-tokio-1m")]
    #[serde(rename = "muxado-tokio-1m")]
    #[strum(serialize = "muxado-tokio-1m")]
    MuxadoTokio1m,
    /// This project on smol.
    MuxadoSmol,
    /// This project on smol, windows of 1 MiB.
    #[value(name = "muxado-smol-1m")]
    #[serde(rename = "muxado-smol-1m")]
    #[strum(serialize = "muxado-smol-1m")]
    MuxadoSmol1m,
    /// ngrok's crate `muxado`.
    NgrokMuxado,
    /// ngrok's crate `muxado`, windows of 1 MiB.
    #[value(name = "ngrok-muxado-1m")]
    #[serde(rename = "ngrok-muxado-1m")]
    #[strum(serialize = "ngrok-muxado-1m")]
    NgrokMuxado1m,
    /// The crate `yamux` of libp2p. It has no setting for the window, which tunes itself.
    Yamux,
    /// The crate `yamux` on smol: the one peer that runs there, too.
    YamuxSmol,
    /// The crate `tokio-yamux`.
    TokioYamux,
    /// The crate `tokio-yamux`, windows of 1 MiB.
    #[value(name = "tokio-yamux-1m")]
    #[serde(rename = "tokio-yamux-1m")]
    #[strum(serialize = "tokio-yamux-1m")]
    TokioYamux1m,
    /// The crate `h2`.
    H2,
    /// The crate `h2`, windows of 1 MiB for streams and 16 MiB for the connection.
    #[value(name = "h2-1m")]
    #[serde(rename = "h2-1m")]
    #[strum(serialize = "h2-1m")]
    H21m,
    /// The crate `async_smux`. Its protocol has no windows.
    AsyncSmux,
    /// Plain TLS over TCP on Tokio, by rustls, a connection for each stream.
    TcpTls,
    /// This project on Tokio, over TLS.
    MuxadoTokioTls,
    /// The crate `h2`, over TLS.
    H2Tls,
    /// QUIC, by the crate `quinn`. It always encrypts.
    Quinn,
    /// Plain TCP in Go, a connection for each stream.
    GoTcp,
    /// The Go implementation of muxado, of ngrok.
    GoMuxado,
    /// The Go implementation of yamux, of HashiCorp.
    GoYamux,
    /// The Go module `smux`.
    GoSmux,
}

/// What contestants have to have in common to be compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum League {
    /// Bytes go as they are.
    Plain,
    /// Everything is encrypted.
    Encrypted,
}

impl Contestant {
    /// Whom this one is compared with. Go is compared with the others: users choose between them.
    pub(crate) fn league(self) -> League {
        match self {
            Self::TcpTls | Self::MuxadoTokioTls | Self::H2Tls | Self::Quinn => League::Encrypted,
            _ => League::Plain,
        }
    }

    /// Whether it runs in the Go program, which has one runtime.
    pub(crate) fn go(self) -> bool {
        matches!(self, Self::GoTcp | Self::GoMuxado | Self::GoYamux | Self::GoSmux)
    }

    /// Whether this is one of ours.
    pub(crate) fn ours(self) -> bool {
        matches!(
            self,
            Self::MuxadoTokio
                | Self::MuxadoTokio1m
                | Self::MuxadoSmol
                | Self::MuxadoSmol1m
                | Self::MuxadoTokioTls
        )
    }

    /// Whether a stream is a connection, over TCP or TLS, and this is no multiplexer.
    pub(crate) fn raw(self) -> bool {
        matches!(self, Self::Tcp | Self::TcpPool | Self::TcpSmol | Self::TcpTls | Self::GoTcp)
    }

    /// Whether this contestant has windows other than its defaults.
    pub(crate) fn tuned(self) -> bool {
        matches!(
            self,
            Self::MuxadoTokio1m
                | Self::MuxadoSmol1m
                | Self::NgrokMuxado1m
                | Self::TokioYamux1m
                | Self::H21m
        )
    }

    /// The package on crates.io, for its version.
    pub(crate) fn package(self) -> Option<&'static str> {
        match self {
            Self::Tcp | Self::TcpPool => Some("tokio"),
            Self::TcpSmol => Some("smol"),
            Self::MuxadoTokio | Self::MuxadoTokio1m => Some("muxado-tokio"),
            Self::MuxadoSmol | Self::MuxadoSmol1m => Some("muxado-smol"),
            Self::NgrokMuxado | Self::NgrokMuxado1m => Some("muxado"),
            Self::Yamux | Self::YamuxSmol => Some("yamux"),
            Self::TokioYamux | Self::TokioYamux1m => Some("tokio-yamux"),
            Self::H2 | Self::H21m => Some("h2"),
            Self::AsyncSmux => Some("async_smux"),
            Self::TcpTls | Self::MuxadoTokioTls | Self::H2Tls => Some("rustls"),
            Self::Quinn => Some("quinn"),
            Self::GoTcp | Self::GoMuxado | Self::GoYamux | Self::GoSmux => None,
        }
    }
}

/// The settings of a multiplexer. All others keep their defaults.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tuning {
    /// The receive window of a stream.
    pub(crate) window: Option<u32>,
    /// This many streams may be open, or wait to be accepted, at once: lower limits are raised.
    pub(crate) streams: usize,
}

/// One window of the tuned variants.
pub(crate) const TUNED_WINDOW: u32 = 1024 * 1024;

/// Data of a stream: bytes in our buffer, or a piece that the multiplexer owns.
#[derive(Debug)]
pub(crate) struct Chunk {
    room: Box<[u8]>,
    filled: usize,
    owned: Option<Bytes>,
}

impl Chunk {
    /// A chunk whose own buffer holds `room` bytes.
    pub(crate) fn new(room: usize) -> Self {
        Self { room: vec![0; room].into_boxed_slice(), filled: 0, owned: None }
    }

    /// What the last read gave.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.owned.as_deref().unwrap_or(&self.room[..self.filled])
    }

    /// The buffer, for contestants that read into one.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.room
    }

    /// Sets how much of the buffer a read filled.
    pub(crate) fn fill(&mut self, filled: usize) {
        (self.filled, self.owned) = (filled, None);
    }

    /// Holds a piece that the multiplexer returned.
    pub(crate) fn hold(&mut self, piece: Bytes) {
        self.owned = Some(piece);
    }

    /// Appends the contents of `other`, if there is room.
    pub(crate) fn append(&mut self, other: &Self) -> io::Result<()> {
        if let Some(piece) = self.owned.take() {
            self.filled = 0;
            self.append_bytes(&piece)?;
        }
        self.append_bytes(other.bytes())
    }

    fn append_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.filled + bytes.len();
        let room = self.room.get_mut(self.filled..end).ok_or(io::ErrorKind::InvalidData)?;
        room.copy_from_slice(bytes);
        self.filled = end;
        Ok(())
    }

    /// The bytes, without a copy if the multiplexer owned them.
    pub(crate) fn take(&mut self) -> Bytes {
        self.owned.take().unwrap_or_else(|| Bytes::copy_from_slice(&self.room[..self.filled]))
    }
}

/// The sending half of a stream.
pub(crate) trait SendHalf: Send + 'static {
    /// Hands `data` over for sending.
    fn send(&mut self, data: &'static [u8]) -> impl Future<Output = io::Result<()>> + Send;

    /// Sends what was just read.
    fn send_back(&mut self, chunk: &mut Chunk) -> impl Future<Output = io::Result<()>> + Send;

    /// Flushes written data, if the contestant needs that.
    fn flush(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Half-closes the stream.
    fn finish(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Sends `data` and half-closes.
    fn send_last(&mut self, data: &'static [u8]) -> impl Future<Output = io::Result<()>> + Send {
        async move {
            self.send(data).await?;
            self.finish().await
        }
    }

    /// Sends what was just read and half-closes.
    fn send_back_last(&mut self, chunk: &mut Chunk) -> impl Future<Output = io::Result<()>> + Send {
        async move {
            self.send_back(chunk).await?;
            self.finish().await
        }
    }
}

/// The receiving half of a stream.
pub(crate) trait RecvHalf: Send + 'static {
    /// Reads some bytes and returns how many; 0 is the end of the stream.
    fn recv(&mut self, chunk: &mut Chunk) -> impl Future<Output = io::Result<usize>> + Send;
}

/// A stream: both halves.
pub(crate) trait Stream: SendHalf + RecvHalf {
    /// The sending half.
    type Send: SendHalf;
    /// The receiving half.
    type Recv: RecvHalf;

    /// Splits the stream into halves, so that both can be used at once.
    fn split(self) -> (Self::Recv, Self::Send);
}

/// The end of a session that opens streams.
pub(crate) trait Opener: Clone + Send + Sync + 'static {
    /// What it opens.
    type Stream: Stream;

    /// Opens a stream.
    fn open(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// The end of a session that accepts streams.
///
/// `accept` is called repeatedly until it returns `None`: for some multiplexers this call drives
/// the session.
pub(crate) trait Acceptor: Send + 'static {
    /// What it accepts.
    type Stream: Stream;

    /// Waits for a stream of the peer.
    fn accept(&mut self) -> impl Future<Output = Option<Self::Stream>> + Send;
}

/// A multiplexer on a transport `Io`.
pub(crate) trait Mux<R: Runtime, Io>: Send + Sync + 'static {
    /// The client's end.
    type Opener: Opener;
    /// The server's end.
    type Acceptor: Acceptor;

    /// Begins a session as the client.
    fn client(
        rt: R,
        io: Io,
        tuning: Tuning,
    ) -> impl Future<Output = io::Result<Self::Opener>> + Send;

    /// Begins a session as the server.
    fn server(
        rt: R,
        io: Io,
        tuning: Tuning,
    ) -> impl Future<Output = io::Result<Self::Acceptor>> + Send;
}

/// A contestant over TCP: many streams between two ends, multiplexed or not.
pub(crate) trait OverTcp<R: Runtime>: Send + Sync + 'static {
    /// The client's end.
    type Opener: Opener;
    /// The server's end.
    type Acceptor: Acceptor;

    /// Connects to the server.
    fn connect(
        rt: R,
        to: SocketAddr,
        tuning: Tuning,
    ) -> impl Future<Output = io::Result<Self::Opener>> + Send;

    /// Waits for the client.
    fn accept(
        rt: R,
        listener: Arc<R::Listener>,
        tuning: Tuning,
    ) -> impl Future<Output = io::Result<Self::Acceptor>> + Send;
}

/// A multiplexer over one TCP connection.
pub(crate) struct Muxed<M>(PhantomData<M>);

impl<R: Runtime, M: Mux<R, R::Tcp>> OverTcp<R> for Muxed<M> {
    type Opener = M::Opener;
    type Acceptor = M::Acceptor;

    async fn connect(rt: R, to: SocketAddr, tuning: Tuning) -> io::Result<M::Opener> {
        let io = rt.connect(to).await?;
        M::client(rt, io, tuning).await
    }

    async fn accept(rt: R, listener: Arc<R::Listener>, tuning: Tuning) -> io::Result<M::Acceptor> {
        let io = rt.accept(&listener).await?;
        M::server(rt, io, tuning).await
    }
}
