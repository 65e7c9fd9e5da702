//! A proxy between two muxado peers of any implementation: forwards everything and prints the
//! frames.
//!
//! ```sh
//! cargo run -p muxado-tokio --example wire -- --listen 127.0.0.1:7001 --connect 127.0.0.1:7000
//! ```
//!
//! Let the client dial the first address; the server listens on the second. `>` is what the client
//! sends, `<` what the server sends. Works only where the transport is plain TCP.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Instant;

use clap::Parser;
use muxado_tokio::ErrorCode;
use muxado_tokio::proto::decode::{Decoder, Item};
use muxado_tokio::proto::frame::Flags;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Prints the frames between two muxado peers.
#[derive(Parser)]
struct Options {
    /// Where the client dials.
    #[arg(long)]
    listen: SocketAddr,
    /// Where the server listens.
    #[arg(long)]
    connect: SocketAddr,
    /// End after this many connections. Default: never.
    #[arg(long)]
    connections: Option<usize>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let options = Options::parse();
    let listener = TcpListener::bind(options.listen).await?;
    say(format_args!("listening on {}", listener.local_addr()?));
    let mut served = 0;
    while options.connections.is_none_or(|most| served < most) {
        let (client, from) = listener.accept().await?;
        served += 1;
        say(format_args!("connection {served} from {from}"));
        let server = TcpStream::connect(options.connect).await?;
        let (client_reads, client_writes) = client.into_split();
        let (server_reads, server_writes) = server.into_split();
        let started = Instant::now();
        let there = pass(client_reads, server_writes, '>', started);
        let back = pass(server_reads, client_writes, '<', started);
        let (there, back) = tokio::join!(there, back);
        for (way, result) in [('>', there), ('<', back)] {
            match result {
                Ok(()) => say(format_args!("{way} end of the transport")),
                Err(error) => say(format_args!("{way} {error}")),
            }
        }
    }
    Ok(())
}

/// Prints a line. If nobody reads the output any more, the proxy continues: `println` would panic.
fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Forwards one direction, and prints its frames.
async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    way: char,
    started: Instant,
) -> io::Result<()> {
    let mut decoder = Decoder::new(4096);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        let mut input = &buffer[..count];
        while let Some(item) = decoder.decode(&mut input) {
            if let Some(line) = describe(&item) {
                let ms = started.elapsed().as_secs_f64() * 1000.0;
                say(format_args!("{ms:>10.3} ms {way} {line}"));
            }
        }
        to.write_all(&buffer[..count]).await?;
    }
}

/// A frame in readable form; `None` for payload, whose length the frame has shown.
fn describe(item: &Item<'_>) -> Option<String> {
    Some(match item {
        Item::Data { id, flags, length } => {
            let syn = if flags.is_syn() { " SYN" } else { "" };
            let fin = if flags.is_fin() { " FIN" } else { "" };
            let odd = if flags.with(Flags::SYN).with(Flags::FIN) == *flags { " (!)" } else { "" };
            format!("DATA{syn}{fin} on stream {id}, {length} bytes{odd}")
        }
        Item::Rst { id, code } => format!("RST of stream {id}: {code}"),
        Item::WndInc { id, increment } => format!("WNDINC on stream {id}: {increment} bytes more"),
        Item::GoAway { last, code, text } => {
            let text = String::from_utf8_lossy(text);
            format!("GOAWAY: {code}, last stream {last}, text {text:?}")
        }
        Item::Unknown { header } if header.length == 0 => "frame of unknown type, empty".to_owned(),
        Item::Unknown { header } => format!("frame of unknown type, {} bytes", header.length),
        Item::Malformed { code, .. } => format!("frame that cannot be: {}", ErrorCode(code.0)),
        Item::Payload { .. } | Item::Skipped(_) => return None,
        _ => "something new".to_owned(),
    })
}
