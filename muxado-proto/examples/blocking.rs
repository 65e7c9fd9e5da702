//! Streams that are `std::io::Read` and `Write`, for programs of blocking threads.
//!
//! ```sh
//! cargo run -p muxado-proto --example blocking
//! ```
//!
//! Two threads serve a session: one reads the socket, one writes it. All others wait on one condition.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Buf as _;
use muxado_proto::{Config, ErrorCode, ReadError, Role, Session, SessionKey, StreamId, Timestamp};
use muxado_proto::{Transmit, TransportError, WriteError};

struct Connection(Mutex<Session>, Condvar, TcpStream, Instant);

impl Connection {
    fn start(socket: TcpStream, role: Role) -> io::Result<(Arc<Self>, JoinHandle<()>)> {
        let mut key = [0; 16];
        getrandom::fill(&mut key)?;
        let config = Arc::new(Config::default());
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(config.write_stall_timeout()))?; // a peer that never reads
        let session = Session::new(role, config, Timestamp::ZERO, SessionKey::new(key));
        let this = Arc::new(Self(Mutex::new(session), Condvar::new(), socket, Instant::now()));
        let (reader, writer) = (this.clone(), this.clone());
        thread::spawn(move || reader.read());
        Ok((this, thread::spawn(move || writer.write())))
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_duration(self.3.elapsed())
    }

    /// Waits until `attempt` returns a value. That may also wake others.
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

    /// Does something at once. That may wake others.
    fn act<T>(&self, action: impl FnOnce(&mut Session) -> T) -> T {
        let mut action = Some(action);
        self.wait(|session| action.take().map(|action| action(session)))
    }

    fn read(&self) {
        let fault = |error: &io::Error| TransportError::new(io::Error::from(error.kind()));
        let mut buffer = vec![0; 64 << 10];
        while self.act(|session| session.wants_input()) {
            let result = (&self.2).read(&mut buffer);
            self.act(|session| match &result {
                Ok(0) => session.handle_eof(self.now()),
                Ok(count) => session.handle_slice(self.now(), &buffer[..*count]),
                Err(e) => session.handle_transport_error(self.now(), fault(e)),
            });
        }
    }

    fn write(&self) {
        let fault = |error: &io::Error| TransportError::new(io::Error::from(error.kind()));
        let mut out = Transmit::new();
        while !self.act(|session| session.is_finished()) {
            self.act(|session| session.handle_timeout(self.now()));
            let mut session = self.0.lock().expect("nobody has panicked");
            if session.poll_transmit(self.now(), &mut out, 128 << 10) == 0 {
                let end = || self.2.shutdown(Shutdown::Write);
                let _closed_by_peer = session.wants_shutdown().then(end);
                let limit = session.poll_timeout().map_or(Duration::MAX, |at| at - self.now());
                drop(self.1.wait_timeout(session, limit).expect("nobody has panicked"));
                continue;
            }
            drop(session);
            while out.has_remaining() {
                let result = (&self.2).write(out.chunk());
                out.advance(*result.as_ref().unwrap_or(&usize::MAX)); // or drops what is left
                self.act(|session| match &result {
                    Ok(count) => session.transmitted(self.now(), *count),
                    Err(e) => session.handle_transport_error(self.now(), fault(e)),
                });
            }
        }
        let _closed_by_peer = self.2.shutdown(Shutdown::Both); // the reader ends, too
    }
}

struct Stream(Arc<Connection>, StreamId);

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let unknown = || Err(ReadError::UnknownStream(self.1));
        self.0.wait(|mux| match mux.stream(self.1).map_or_else(unknown, |mut s| s.read(buf)) {
            Err(ReadError::Blocked) => None,
            result => Some(result.map_err(io::Error::other)),
        })
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let unknown = || Err(WriteError::UnknownStream(self.1));
        self.0.wait(|mux| match mux.stream(self.1).map_or_else(unknown, |mut s| s.write(buf)) {
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
        self.0.act(|session| session.stream(self.1).map(|stream| stream.release()));
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

    let id = client.act(|session| session.open()).map_err(io::Error::other)?;
    let mut stream = Stream(client.clone(), id);
    stream.write_all(b"hello")?;
    let finished = client.act(|session| session.stream(id).map(|mut s| s.finish()));
    finished.transpose().map_err(io::Error::other)?;
    println!("the server says {}", io::read_to_string(&mut stream)?);
    drop(stream);

    client.act(|session| session.close(client.now(), ErrorCode::NO_ERROR, "done"));
    ended.join().map_err(|_| io::Error::other("the thread that writes has panicked"))
}
