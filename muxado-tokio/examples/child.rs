//! A session with a child process over its standard input and output.
//!
//! ```sh
//! cargo run -p muxado-tokio --example child
//! ```
//!
//! The program starts itself as the child, which answers requests. Any pair of pipes works the same
//! way: combine the two halves into one transport.

use std::io;
use std::process::Stdio;

use muxado_tokio::{Config, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, join, stdin, stdout};
use tokio::process::Command;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        None => parent().await,
        Some("--child") => child().await,
        Some(_) => {
            println!("Starts itself as a child process and asks it for a word in capitals.");
            Ok(())
        }
    }
}

async fn parent() -> io::Result<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--child")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (Some(output), Some(input)) = (child.stdout.take(), child.stdin.take()) else {
        return Err(io::Error::other("the child has no pipes"));
    };
    let session = Session::client(join(output, input), Config::default());

    let mut stream = session.open().await?;
    stream.write_all(b"hello").await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    println!("the child says {answer}");
    drop(stream);

    let reason = session.close().await;
    let status = child.wait().await?;
    eprintln!("session {reason}, child {status}");
    Ok(())
}

/// Only the session may write to standard output.
async fn child() -> io::Result<()> {
    let session = Session::server(join(stdin(), stdout()), Config::default());
    while let Ok(mut stream) = session.accept().await {
        let mut request = String::new();
        stream.read_to_string(&mut request).await?;
        stream.write_all(request.to_uppercase().as_bytes()).await?;
        stream.shutdown().await?;
    }
    // Everything is sent before the process ends.
    session.close().await;
    Ok(())
}
