//! The connection of a client, which ends by a reset if something was lost.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The connection of a client. While something is missing, dropping it resets the connection. After an
/// orderly end, the client would take an answer without a length, or the data of another protocol, for
/// complete.
pub struct Client {
    tcp: TcpStream,
    missing: Missing,
}

/// Says of a [`Client`], which hyper owns, whether something is missing.
#[derive(Clone, Default)]
pub struct Missing(Arc<AtomicBool>);

impl Missing {
    pub fn set(&self, missing: bool) {
        self.0.store(missing, Ordering::Relaxed);
    }
}

impl Client {
    pub fn new(tcp: TcpStream) -> (Self, Missing) {
        let missing = Missing::default();
        (Self { tcp, missing: missing.clone() }, missing)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.missing.0.load(Ordering::Relaxed) {
            // If it fails, the connection has already ended.
            let _ = self.tcp.set_zero_linger();
        }
    }
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
