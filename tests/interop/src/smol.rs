//! Ours on smol.

use core::convert::identity;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use muxado_smol::{ErrorCode, RecvHalf, SendHalf, Session, Stream};
use smol::Timer;
use smol::net::{TcpListener, TcpStream};

use super::endpoint::{self, Accepted, Endpoint, MuxStream};
use super::options::{Options, Side};
use super::ours;
use super::report::{End, Report};

/// A session of `muxado-smol`.
#[derive(Clone)]
pub struct OnSmol(Session);

impl Endpoint for OnSmol {
    const NAME: &'static str = "smol";

    type Stream = Stream;
    type Listener = TcpListener;
    type Transport = TcpStream;

    fn block_on<F: Future>(future: F) -> F::Output {
        smol::block_on(future)
    }

    fn spawn(future: impl Future<Output = ()> + Send + 'static) {
        smol::spawn(future).detach();
    }

    async fn sleep(time: Duration) {
        Timer::after(time).await;
    }

    endpoint::tcp_methods!();

    ours::session_methods!(muxado_smol, identity::<Stream>);
}

impl MuxStream for Stream {
    type Reader = RecvHalf;
    type Writer = SendHalf;

    fn halves(self) -> (RecvHalf, SendHalf) {
        self.into_split()
    }

    fn reset(self, code: u32) {
        Self::reset(&self, ErrorCode(code));
    }

    fn id(&self) -> u32 {
        Self::id(self).get()
    }
}
