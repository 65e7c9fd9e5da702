//! The smallest real event loop: one session on one blocking socket, with the standard library.
//!
//! ```sh
//! cargo run -p muxado-proto --example minimal
//! ```
//!
//! The client sends a word on a stream, and the server answers with the word in capital letters.
//! Both ends run the same loop, each in its own thread.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bytes::Buf;
use muxado_proto::{Config, ErrorCode, Event, Role, Session};
use muxado_proto::{Timestamp, Transmit, TransportError};

/// The application: what it does when something happens.
type React = fn(&mut Session, Event, Timestamp);

/// Runs a session until it has ended and the socket can be dropped.
fn run(mut session: Session, mut socket: TcpStream, react: React) -> io::Result<()> {
    let started = Instant::now();
    let now = || Timestamp::from_duration(started.elapsed());
    let (mut out, mut buffer) = (Transmit::new(), vec![0; 64 << 10]);
    loop {
        while let Some(event) = session.poll_event() {
            react(&mut session, event, now());
        }
        // Output: write a batch to the socket, then ask for the next.
        while session.poll_transmit(now(), &mut out, session.batch_size()) > 0 {
            while out.has_remaining() {
                let written = socket.write(out.chunk())?;
                out.advance(written);
                session.transmitted(now(), written); // the socket makes progress
            }
        }
        if session.is_finished() {
            return Ok(());
        }
        if session.wants_shutdown() {
            // The last batch is written. The peer may already have closed the socket.
            let _closed_by_peer = socket.shutdown(Shutdown::Write);
        }
        // Input: wait for it, but not longer than until the session's next deadline.
        let wait = session.poll_timeout().map_or(Duration::from_secs(1), |at| at - now());
        socket.set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
        match socket.read(&mut buffer) {
            Ok(0) => session.handle_eof(now()),
            Ok(count) => session.handle_slice(now(), &buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => session.handle_transport_error(now(), TransportError::new(error)),
        }
        session.handle_timeout(now());
    }
}

fn new_session(role: Role) -> Session {
    // The core has no randomness. This is what std offers; with a dependency, take `getrandom`.
    let random = || u128::from(RandomState::new().hash_one(role));
    let key = (random() << 64 | random()).to_be_bytes();
    Session::new(role, Config::default().into(), Timestamp::ZERO, key.into())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().nth(1).is_some() {
        println!("Asks a server for a word in capitals, over a session on one blocking socket.");
        return Ok(());
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let socket = TcpStream::connect(listener.local_addr()?)?;
    let server = std::thread::spawn(move || {
        run(new_session(Role::Server), listener.accept()?.0, |session, event, _| {
            // `Readable` follows if data has already arrived.
            while session.accept().is_some() {}
            let Event::Readable(id) = event else { return };
            let Some(mut stream) = session.stream(id) else { return };
            while let Ok(next) = stream.read_chunk(usize::MAX) {
                let Some(chunk) = next else { return stream.release() };
                // A short answer always fits into the empty send buffer of a stream.
                let _taken = stream.write(&chunk.to_ascii_uppercase());
            }
        })
    });

    let mut client = new_session(Role::Client);
    let id = client.open()?;
    let mut stream = client.stream(id).ok_or("it was just opened")?;
    stream.write(b"hello")?;
    stream.finish()?;
    run(client, socket, |session, event, now| {
        let Event::Readable(id) = event else { return };
        let Some(mut stream) = session.stream(id) else { return };
        while let Ok(next) = stream.read_chunk(usize::MAX) {
            let Some(chunk) = next else {
                return session.close(now, ErrorCode::NO_ERROR, "done");
            };
            println!("the server says {}", String::from_utf8_lossy(&chunk));
        }
    })?;
    Ok(server.join().map_err(|_| "the server panicked")??)
}
