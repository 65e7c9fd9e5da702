//! A session over a Unix socket, whose server asks its client.
//!
//! ```sh
//! cargo run -p muxado-tokio --example unix
//! ```

#[cfg(unix)]
#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    use muxado_tokio::{Config, Session};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{UnixListener, UnixStream};

    if std::env::args().nth(1).is_some() {
        println!("Asks a client for a word in capitals, over a session on a Unix socket.");
        return Ok(());
    }
    let path = std::env::temp_dir().join(format!("muxado-unix-{}", std::process::id()));
    let listener = UnixListener::bind(&path)?;
    let socket = UnixStream::connect(&path).await?;
    let (accepted, _) = listener.accept().await?;
    std::fs::remove_file(&path)?; // both ends are connected

    let client = tokio::spawn(async move {
        let session = Session::client(socket, Config::default());
        while let Ok(mut stream) = session.accept().await {
            let mut request = String::new();
            stream.read_to_string(&mut request).await?;
            stream.write_all(request.to_uppercase().as_bytes()).await?;
        }
        std::io::Result::Ok(())
    });

    let session = Session::server(accepted, Config::default());
    let mut stream = session.open().await?;
    stream.write_all(b"hello").await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    println!("the client says {answer}");
    drop(stream);

    let reason = session.close().await;
    eprintln!("session {reason}");
    client.await?
}

#[cfg(not(unix))]
fn main() {
    println!("This system has no Unix sockets.");
}
