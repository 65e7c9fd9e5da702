//! A session over a WebSocket, with tokio-tungstenite.
//!
//! ```sh
//! cargo run -p muxado-tokio --example websocket
//! ```
//!
//! Binary messages carry the bytes of the session. Message boundaries have no meaning. For `wss`
//! make the connection with TLS first, as in the example `tls`.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use muxado_tokio::{Config, Session};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    if std::env::args().nth(1).is_some() {
        println!("Asks a server for a word in capitals, over a session on a WebSocket.");
        return Ok(());
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await?;
        muxado_tokio::tcp::tune(&tcp)?;
        let socket = accept_async(tcp).await.map_err(io::Error::other)?;
        let session = Session::server(Bytestream::new(socket), Config::default());
        while let Ok(mut stream) = session.accept().await {
            let mut request = String::new();
            stream.read_to_string(&mut request).await?;
            stream.write_all(request.to_uppercase().as_bytes()).await?;
        }
        io::Result::Ok(())
    });

    let tcp = TcpStream::connect(address).await?;
    muxado_tokio::tcp::tune(&tcp)?;
    let (socket, _) = client_async(format!("ws://{address}/session"), tcp).await?;
    let session = Session::client(Bytestream::new(socket), Config::default());

    let mut stream = session.open().await?;
    stream.write_all(b"hello").await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    println!("the server says {answer}");
    drop(stream);

    let reason = session.close().await;
    server.await??;
    eprintln!("session {reason}");
    Ok(())
}

/// A WebSocket as a byte stream.
struct Bytestream<S> {
    socket: WebSocketStream<S>,
    /// The rest of the latest message.
    message: Bytes,
}

impl<S> Bytestream<S> {
    const fn new(socket: WebSocketStream<S>) -> Self {
        Self { socket, message: Bytes::new() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Bytestream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.message.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(message))) => self.message = message,
                Some(Ok(Message::Text(_))) => {
                    return Poll::Ready(Err(io::Error::other("a message of text")));
                }
                // tungstenite answers pings by itself.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(failed(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.message.len().min(buf.remaining());
        buf.put_slice(&self.message[..count]);
        self.message.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Bytestream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut socket = Pin::new(&mut self.socket);
        ready!(socket.as_mut().poll_ready(cx)).map_err(failed)?;
        socket.start_send(Message::binary(Bytes::copy_from_slice(buf))).map_err(failed)?;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(failed)
    }

    /// Ends both directions, because a WebSocket has no half-close. The session calls this last.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.socket).poll_close(cx)) {
            // The peer may have closed it before.
            Err(tungstenite::Error::ConnectionClosed) | Ok(()) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(failed(error))),
        }
    }
}

/// Keeps an `io::Error` as it is.
fn failed(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        error => io::Error::other(error),
    }
}
