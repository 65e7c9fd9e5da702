//! Streams with the read and write traits of `futures-io`.

use std::io;

use futures_util::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt,
    io::{ReadHalf, WriteHalf},
};

use super::{Chunk, RecvHalf, SendHalf, Stream};

/// A stream, or half of one, of the traits of `futures-io`.
#[derive(Debug)]
pub(crate) struct Io<S>(pub(crate) S);

/// How a stream is split into halves: its own method, or that of `futures-util`.
pub(crate) trait Halves: AsyncRead + AsyncWrite + Unpin + Send + Sized + 'static {
    /// The reading half.
    type Read: AsyncRead + Unpin + Send + 'static;
    /// The writing half.
    type Write: AsyncWrite + Unpin + Send + 'static;

    /// Parts the halves.
    fn halves(self) -> (Self::Read, Self::Write);
}

/// Halves as `futures-util` makes them.
pub(crate) type Generic<S> = (ReadHalf<S>, WriteHalf<S>);

/// A socket of smol is a handle: its halves are two of them.
impl Halves for smol::net::TcpStream {
    type Read = Self;
    type Write = Self;

    fn halves(self) -> (Self, Self) {
        (self.clone(), self)
    }
}

impl Halves for tokio_util::compat::Compat<tokio::io::DuplexStream> {
    type Read = ReadHalf<Self>;
    type Write = WriteHalf<Self>;

    fn halves(self) -> Generic<Self> {
        AsyncReadExt::split(self)
    }
}

impl<W: AsyncWrite + Unpin + Send + 'static> SendHalf for Io<W> {
    async fn send(&mut self, data: &'static [u8]) -> io::Result<()> {
        self.0.write_all(data).await
    }

    async fn send_back(&mut self, chunk: &mut Chunk) -> io::Result<()> {
        self.0.write_all(chunk.bytes()).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await
    }

    async fn finish(&mut self) -> io::Result<()> {
        self.0.close().await
    }
}

impl<R: AsyncRead + Unpin + Send + 'static> RecvHalf for Io<R> {
    async fn recv(&mut self, chunk: &mut Chunk) -> io::Result<usize> {
        let n = self.0.read(chunk.room()).await?;
        chunk.fill(n);
        Ok(n)
    }
}

impl<S: Halves> Stream for Io<S> {
    type Send = Io<S::Write>;
    type Recv = Io<S::Read>;

    fn split(self) -> (Self::Recv, Self::Send) {
        let (read, write) = self.0.halves();
        (Io(read), Io(write))
    }
}
