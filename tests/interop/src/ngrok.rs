//! ngrok's crate `muxado`, 0.5.4.

use core::pin::{Pin, pin};
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::{self, Either};
use futures_util::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadHalf, WriteHalf};
use ngrok_muxado::heartbeat::{Heartbeat, HeartbeatConfig, HeartbeatCtl};
use ngrok_muxado::typed::{Typed, TypedAccept, TypedOpenClose, TypedSession, TypedStream};
use ngrok_muxado::{Accept, MuxadoAccept, MuxadoOpen, OpenClose, Session as _, SessionBuilder};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use super::endpoint::{self, Accepted, Endpoint, MuxStream};
use super::options::{Options, Side};
use super::peer::Flag;
use super::report::{End, Report};

/// A session of ngrok's crate.
#[derive(Clone)]
pub struct Ngrok(Arc<Shared>);

/// The parts of a session. The crate ends a session when all of them are dropped, streams this
/// side opened included.
struct Shared {
    opener: Mutex<Option<Opener>>,
    acceptor: Mutex<Option<Acceptor>>,
    /// Set by `close`.
    closing: Flag,
    /// Set when there is nothing more to accept, or the session was closed.
    over: Flag,
    heartbeat: Mutex<Option<HeartbeatCtl>>,
}

enum Opener {
    Plain(MuxadoOpen),
    Typed(Box<dyn TypedOpenClose + Send>),
}

enum Acceptor {
    Plain(MuxadoAccept),
    Typed(Box<dyn TypedAccept + Send>),
}

impl Endpoint for Ngrok {
    const NAME: &'static str = "ngrok";

    type Stream = NgrokStream;
    type Listener = TcpListener;
    type Transport = TcpStream;

    endpoint::tokio_methods!();
    endpoint::tcp_methods!();

    async fn start(
        transport: TcpStream,
        options: &Options,
        report: &Arc<Report>,
    ) -> io::Result<Self> {
        transport.set_nodelay(true)?;
        let mut builder = SessionBuilder::new(transport);
        builder = match options.side() {
            Side::Client => builder.client(),
            Side::Server => builder.server(),
        };
        if options.window > 0 {
            builder = builder.window_size(options.window as usize);
        }
        if options.backlog > 0 {
            builder = builder.accept_queue_size(options.backlog as usize);
        }
        let session = builder.start();
        let mut heartbeat = None;
        let (opener, acceptor) = if let Some(times) = options.heartbeat {
            let report = report.clone();
            let on_beat = move |rtt| {
                report.beat(rtt);
                async { Ok(()) }
            };
            let config = HeartbeatConfig {
                interval: times.interval,
                tolerance: times.tolerance,
                handler: Some(Arc::new(on_beat)),
            };
            let (session, control) = Heartbeat::start(Typed::new(session), config).await?;
            heartbeat = Some(control);
            let (opener, acceptor) = session.split_typed();
            (Opener::Typed(Box::new(opener)), Acceptor::Typed(Box::new(acceptor)))
        } else if options.typed {
            let (opener, acceptor) = Typed::new(session).split_typed();
            (Opener::Typed(Box::new(opener)), Acceptor::Typed(Box::new(acceptor)))
        } else {
            let (opener, acceptor) = session.split();
            (Opener::Plain(opener), Acceptor::Plain(acceptor))
        };
        Ok(Self(Arc::new(Shared {
            opener: Mutex::new(Some(opener)),
            acceptor: Mutex::new(Some(acceptor)),
            closing: Flag::default(),
            over: Flag::default(),
            heartbeat: Mutex::new(heartbeat),
        })))
    }

    async fn open(&self, stream_type: Option<u32>) -> io::Result<NgrokStream> {
        let mut opener = self.0.opener.lock().await;
        let opened = async {
            match opener.as_mut().ok_or(ngrok_muxado::Error::SessionClosed)? {
                Opener::Plain(opener) => opener.open().await.map(NgrokStream::Plain),
                Opener::Typed(opener) => {
                    let typ = ngrok_muxado::typed::StreamType::clamp(stream_type.unwrap_or(0));
                    opener.open_typed(typ).await.map(NgrokStream::Typed)
                }
            }
        };
        // Without the writer task, which can die unseen, `open` never returns.
        self.unless_closing(opened)
            .await
            .unwrap_or(Err(ngrok_muxado::Error::SessionClosed))
            .map_err(io::Error::other)
    }

    async fn accept(&self) -> Accepted<NgrokStream> {
        let mut acceptor = self.0.acceptor.lock().await;
        let accepted = async {
            match acceptor.as_mut()? {
                Acceptor::Plain(acceptor) => {
                    acceptor.accept().await.map(|stream| Ok((NgrokStream::Plain(stream), 0)))
                }
                Acceptor::Typed(acceptor) => match acceptor.accept_typed().await {
                    Ok(stream) => {
                        let stream_type = *stream.typ();
                        Some(Ok((NgrokStream::Typed(stream), stream_type)))
                    }
                    Err(ngrok_muxado::Error::SessionClosed) => None,
                    Err(error) => Some(Err(error)),
                },
            }
        };
        match self.unless_closing(accepted).await.flatten() {
            Some(Ok((stream, stream_type))) => Accepted::Stream(stream, stream_type),
            Some(Err(error)) => Accepted::Failed(io::Error::other(error)),
            None => {
                *acceptor = None;
                self.0.over.notify();
                Accepted::SessionOver
            }
        }
    }

    async fn go_away(&self, code: u32, text: String) -> io::Result<()> {
        let error = match code {
            0 => ngrok_muxado::Error::None,
            _ => ngrok_muxado::Error::Internal,
        };
        match self.0.opener.lock().await.as_mut() {
            Some(Opener::Plain(opener)) => opener.close(error, text).await,
            Some(Opener::Typed(opener)) => opener.close(error, text).await,
            None => Err(ngrok_muxado::Error::SessionClosed),
        }
        .map_err(io::Error::other)
    }

    /// Drops the session. The crate's own `close` sends a malformed GOAWAY and keeps the
    /// transport open.
    async fn close(&self) {
        self.0.closing.notify();
        self.0.heartbeat.lock().await.take();
        self.0.opener.lock().await.take();
        self.0.acceptor.lock().await.take();
        self.0.over.notify();
    }

    async fn ended(&self) -> End {
        self.0.over.wait().await;
        // The crate keeps the transport open until everything is dropped.
        self.close().await;
        End::default()
    }

    fn error_code(error: &io::Error) -> Option<u32> {
        error.get_ref()?.downcast_ref::<ngrok_muxado::Error>().map(|&error| error as u32)
    }
}

impl Ngrok {
    /// `None` when the session is closed first.
    async fn unless_closing<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        match future::select(pin!(future), pin!(self.0.closing.wait())).await {
            Either::Left((value, _)) => Some(value),
            Either::Right(_) => None,
        }
    }
}

/// A stream of ngrok's crate.
pub enum NgrokStream {
    /// On a plain session.
    Plain(ngrok_muxado::Stream),
    /// On a typed session.
    Typed(TypedStream),
}

impl NgrokStream {
    fn inner(self: Pin<&mut Self>) -> Pin<&mut ngrok_muxado::Stream> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream),
            Self::Typed(stream) => Pin::new(&mut **stream),
        }
    }
}

impl AsyncRead for NgrokStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(self.inner().poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl AsyncWrite for NgrokStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_write(cx, buffer)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(cx)
    }
}

impl MuxStream for NgrokStream {
    type Reader = ReadHalf<Self>;
    type Writer = WriteHalf<Self>;

    fn halves(self) -> (Self::Reader, Self::Writer) {
        self.split()
    }

    /// The crate cannot reset a stream; it answers later data for a dropped one with RST.
    fn reset(self, _code: u32) {}

    /// The crate does not tell.
    fn id(&self) -> u32 {
        0
    }
}
