//! A session over a WebSocket, with tokio-tungstenite.
//!
//! ```sh
//! cargo run -p muxado-tokio --example websocket
//! ```
//!
//! Binary messages carry the bytes of the session. Message boundaries have no meaning. For `wss`
//! make the connection with TLS first, as in the example `tls`.

mod bytestream;

use std::error::Error;
use std::io;

use bytestream::Bytestream;
use muxado_tokio::{Config, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{accept_async, client_async};

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
