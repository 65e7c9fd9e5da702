//! Ours on Tokio.

use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use muxado_tokio::{ErrorCode, RecvHalf, SendHalf, Session, Stream};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _, TokioAsyncWriteCompatExt as _};

use super::endpoint::{self, Accepted, Endpoint, MuxStream};
use super::options::{Options, Side};
use super::ours;
use super::report::{End, Report};

/// A session of `muxado-tokio`.
#[derive(Clone)]
pub struct OnTokio(Session);

impl Endpoint for OnTokio {
    const NAME: &'static str = "tokio";

    type Stream = Compat<Stream>;
    type Listener = TcpListener;
    type Transport = TcpStream;

    endpoint::tokio_methods!();
    endpoint::tcp_methods!();

    ours::session_methods!(muxado_tokio, Stream::compat);
}

impl MuxStream for Compat<Stream> {
    type Reader = Compat<RecvHalf>;
    type Writer = Compat<SendHalf>;

    fn halves(self) -> (Self::Reader, Self::Writer) {
        let (reader, writer) = self.into_inner().into_split();
        (reader.compat(), writer.compat_write())
    }

    fn reset(self, code: u32) {
        self.get_ref().reset(ErrorCode(code));
    }

    fn id(&self) -> u32 {
        self.get_ref().id().get()
    }
}
