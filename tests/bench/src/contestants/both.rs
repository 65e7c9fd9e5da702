//! A stream of two halves, for multiplexers that give them out one by one.

use std::io;

use super::{Chunk, RecvHalf, SendHalf, Stream};

/// Both directions of a stream.
pub(crate) struct Both<R, S> {
    pub(crate) recv: R,
    pub(crate) send: S,
}

impl<R: RecvHalf, S: Send + 'static> RecvHalf for Both<R, S> {
    async fn recv(&mut self, chunk: &mut Chunk) -> io::Result<usize> {
        self.recv.recv(chunk).await
    }
}

impl<R: Send + 'static, S: SendHalf> SendHalf for Both<R, S> {
    async fn send(&mut self, data: &'static [u8]) -> io::Result<()> {
        self.send.send(data).await
    }

    async fn send_back(&mut self, chunk: &mut Chunk) -> io::Result<()> {
        self.send.send_back(chunk).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.send.flush().await
    }

    async fn finish(&mut self) -> io::Result<()> {
        self.send.finish().await
    }

    async fn send_last(&mut self, data: &'static [u8]) -> io::Result<()> {
        self.send.send_last(data).await
    }

    async fn send_back_last(&mut self, chunk: &mut Chunk) -> io::Result<()> {
        self.send.send_back_last(chunk).await
    }
}

impl<R: RecvHalf, S: SendHalf> Stream for Both<R, S> {
    type Send = S;
    type Recv = R;

    fn split(self) -> (R, S) {
        (self.recv, self.send)
    }
}
