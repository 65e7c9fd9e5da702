//! The smallest real event loop: one session on one blocking socket, with the standard library and
//! a key from the operating system.
//!
//! ```sh
//! cargo run -p muxado-proto --example minimal
//! ```
//!
//! The client sends a word on a stream, and the server answers with the word in capital letters.
//! Both ends run the same loop, each in its own thread.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Buf;
use muxado_proto::{
    Config, ErrorCode, Event, Role, Session, SessionKey, StreamId, Timestamp, Transmit,
    TransportError,
};

/// Runs a session until it has ended and the socket can be dropped. `react` is the application.
fn run(
    mut session: Session,
    mut socket: TcpStream,
    started: Instant,
    mut react: impl FnMut(&mut Session, Event, Timestamp),
) -> io::Result<()> {
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
            let _closed_by_peer = socket.shutdown(std::net::Shutdown::Write);
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

/// Answers a request when it is complete.
fn answer(session: &mut Session, id: StreamId, request: &mut Vec<u8>) {
    let Some(mut stream) = session.stream(id) else { return };
    loop {
        match stream.read_chunk(usize::MAX) {
            Ok(Some(chunk)) => request.extend_from_slice(&chunk),
            Ok(None) => {
                // A short answer always fits into the empty send buffer of a stream.
                let _taken = stream.write(&request.to_ascii_uppercase());
                return stream.release();
            }
            Err(_) => return, // nothing more yet, or reset
        }
    }
}

/// The core has no randomness.
fn random_key() -> io::Result<SessionKey> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(SessionKey::new(bytes))
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let started = Instant::now();
    let config = Config::default();
    let key = random_key()?;
    let server = Session::new(Role::Server, config.clone().into(), Timestamp::ZERO, key);
    let key = random_key()?;
    let mut client = Session::new(Role::Client, config.into(), Timestamp::ZERO, key);

    let server = thread::spawn(move || {
        let mut request = Vec::new();
        run(server, listener.accept()?.0, started, |session, event, _| match event {
            Event::Acceptable => {
                while let Some(id) = session.accept() {
                    answer(session, id, &mut request);
                }
            }
            Event::Readable(id) => answer(session, id, &mut request),
            _ => {}
        })
    });

    let id = client.open().map_err(io::Error::other)?;
    if let Some(mut stream) = client.stream(id) {
        stream.write(b"hello").map_err(io::Error::other)?;
        stream.finish().map_err(io::Error::other)?;
    }
    run(client, TcpStream::connect(address)?, started, |session, event, now| {
        let Event::Readable(id) = event else { return };
        let Some(mut stream) = session.stream(id) else { return };
        while let Ok(Some(chunk)) = stream.read_chunk(usize::MAX) {
            println!("the server says {}", String::from_utf8_lossy(&chunk));
        }
        stream.release();
        session.close(now, ErrorCode::NO_ERROR, "done");
    })?;
    server.join().map_err(|_| io::Error::other("the server panicked"))?
}
