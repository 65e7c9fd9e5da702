//! Streams with Tokio's read and write traits.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use super::{Chunk, RecvHalf, SendHalf, Stream};

/// A stream, or half of one, of Tokio's traits.
#[derive(Debug)]
pub(crate) struct Io<S>(pub(crate) S);

/// How a stream is split into halves: its own method, or Tokio's.
pub(crate) trait Halves: AsyncRead + AsyncWrite + Unpin + Send + Sized + 'static {
    /// The reading half.
    type Read: AsyncRead + Unpin + Send + 'static;
    /// The writing half.
    type Write: AsyncWrite + Unpin + Send + 'static;

    /// Parts the halves.
    fn halves(self) -> (Self::Read, Self::Write);
}

/// Halves from `tokio::io::split`.
pub(crate) type Generic<S> = (ReadHalf<S>, WriteHalf<S>);

impl Halves for tokio::net::TcpStream {
    type Read = tokio::net::tcp::OwnedReadHalf;
    type Write = tokio::net::tcp::OwnedWriteHalf;

    fn halves(self) -> (Self::Read, Self::Write) {
        self.into_split()
    }
}

impl Halves for tokio::io::DuplexStream {
    type Read = ReadHalf<Self>;
    type Write = WriteHalf<Self>;

    fn halves(self) -> Generic<Self> {
        tokio::io::split(self)
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
        self.0.shutdown().await
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
