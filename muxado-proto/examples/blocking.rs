//! Streams that are `std::io::Read` and `Write`, for programs of blocking threads.
//!
//! ```sh
//! cargo run -p muxado-proto --example blocking
//! ```
//!
//! Two threads serve a session: one reads the socket, one writes it. All others wait on one
//! condition.

#![allow(clippy::unit_arg, reason = "`wait` returns what a command returns, which may be nothing")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Buf as _;
use muxado_proto::{Config, ErrorCode, ReadError, Role, Session, StreamId, Timestamp};
use muxado_proto::{Transmit, TransportError, WriteError};

struct Connection(Mutex<Session>, Condvar, TcpStream, Instant);

impl Connection {
    fn start(socket: TcpStream, role: Role) -> io::Result<(Arc<Self>, JoinHandle<()>)> {
        let mut key = [0; 16];
        getrandom::fill(&mut key)?;
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(Duration::from_secs(30)))?; // a peer that never reads
        let session = Session::new(role, Arc::new(Config::default()), Timestamp::ZERO, key.into());
        let this = Arc::new(Self(Mutex::new(session), Condvar::new(), socket, Instant::now()));
        let (reader, writer) = (this.clone(), this.clone());
        thread::spawn(move || reader.read());
        Ok((this, thread::spawn(move || writer.write())))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_duration(self.3.elapsed())
    }

    /// Waits until `attempt` returns a value, which may be at once. That may also wake others.
    fn wait<T>(&self, mut attempt: impl FnMut(&mut Session) -> Option<T>) -> T {
        let mut session = self.0.lock().expect("nobody has panicked");
        loop {
            if let Some(result) = attempt(&mut session) {
                while session.poll_event().is_some() {} // everybody looks for himself
                self.1.notify_all();
                return result;
            }
            session = self.1.wait(session).expect("nobody has panicked");
        }
    }

    fn read(&self) {
        let mut buffer = vec![0; 64 << 10];
        while self.wait(|session| Some(session.wants_input())) {
            let result = (&self.2).read(&mut buffer).map_err(TransportError::new);
            self.wait(|session| match &result {
                Ok(0) => Some(session.handle_eof(self.now())),
                Ok(count) => Some(session.handle_slice(self.now(), &buffer[..*count])),
                Err(e) => Some(session.handle_transport_error(self.now(), e.clone())),
            });
        }
    }

    fn write(&self) {
        let mut out = Transmit::new();
        while !self.wait(|session| Some(session.is_finished())) {
            self.wait(|session| Some(session.handle_timeout(self.now())));
            let mut session = self.0.lock().expect("nobody has panicked");
            if session.poll_transmit(self.now(), &mut out, 128 << 10) == 0 {
                let _gone = session.wants_shutdown().then(|| self.2.shutdown(Shutdown::Write));
                let limit = session.poll_timeout().map_or(Duration::MAX, |at| at - self.now());
                drop(self.1.wait_timeout(session, limit).expect("nobody has panicked"));
                continue;
            }
            drop(session);
            while out.has_remaining() {
                let result = (&self.2).write(out.chunk()).map_err(TransportError::new);
                out.advance(*result.as_ref().unwrap_or(&usize::MAX)); // or drops what is left
                self.wait(|session| match &result {
                    Ok(count) => Some(session.transmitted(self.now(), *count)),
                    Err(e) => Some(session.handle_transport_error(self.now(), e.clone())),
                });
            }
        }
        let _gone = self.2.shutdown(Shutdown::Both); // the reader ends, too
    }
}

const HELD: &str = "a stream is known until it is dropped";

struct Stream(Arc<Connection>, StreamId);

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.wait(|session| match session.stream(self.1).expect(HELD).read(buf) {
            Err(ReadError::Blocked) => None,
            result => Some(result.map_err(io::Error::other)),
        })
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.wait(|session| match session.stream(self.1).expect(HELD).write(buf) {
            Err(WriteError::Blocked) => None,
            result => Some(result.map_err(io::Error::other)),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // what is written leaves on its own
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.wait(|session| Some(session.stream(self.1).expect(HELD).release()));
    }
}

fn main() -> io::Result<()> {
    if std::env::args().len() > 1 {
        println!("Asks a server for a word in capitals, with blocking threads at both ends.");
        return Ok(());
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let socket = TcpStream::connect(listener.local_addr()?)?;
    let (client, ended) = Connection::start(socket, Role::Client)?;
    let (server, _) = Connection::start(listener.accept()?.0, Role::Server)?;
    thread::spawn(move || {
        let mut stream = Stream(server.clone(), server.wait(|session| session.accept()));
        let request = io::read_to_string(&mut stream)?;
        stream.write_all(request.to_uppercase().as_bytes())
    });

    let id = client.wait(|session| Some(session.open())).map_err(io::Error::other)?;
    let mut stream = Stream(client.clone(), id);
    stream.write_all(b"hello")?;
    client.wait(|mux| Some(mux.stream(id).expect(HELD).finish())).map_err(io::Error::other)?;
    println!("the server says {}", io::read_to_string(stream)?);

    client.wait(|session| Some(session.close(client.now(), ErrorCode::NO_ERROR, "done")));
    ended.join().map_err(|_| io::Error::other("the thread that writes has panicked"))
}
