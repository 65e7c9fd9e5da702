//! Many sessions in one thread, on the bare core and mio. Needs `tests/rpc` of the repository.
//!
//! ```sh
//! cargo run --release -p muxado-proto --example event_loop -- --listen 127.0.0.1:4000
//! cargo run --release -p muxado-tokio --example rpc -- --connect 127.0.0.1:4000
//! ```
//!
//! A server of the `rpc` examples: it answers the requests of every client, and sends requests to
//! each of them at the same time. It shows the loop around [`Session`]; the application handles the
//! streams.
//!
//! With `echo` the same loop runs another application: it sends back everything that arrives on a
//! stream. The conformance suite needs such an endpoint.
//!
//! ```sh
//! cargo run --release -p muxado-proto --example event_loop -- echo --listen 127.0.0.1:4000
//! cargo run --release -p muxado-conformance -- --dial 127.0.0.1:4000
//! ```

mod application;
mod driving;
mod echo;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Read as _};
use std::net::{Shutdown, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use driving::Clock;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use muxado_proto::{Session, Timestamp, Transmit, TransportError};
use service::{App, Options, Service};

const LISTENER: Token = Token(0);

/// Bytes of output requested from a session at a time. More than a socket takes at once is useless.
const BATCH: usize = 128 << 10;

/// Reads and written batches before the other sessions get their turn.
const TURN: usize = 8;

fn main() -> ExitCode {
    match EventLoop::new(Options::parse().into()).and_then(EventLoop::run) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("event_loop: {error}");
            ExitCode::FAILURE
        }
    }
}

struct EventLoop {
    service: Service,
    clock: Clock,
    poll: Poll,
    listener: TcpListener,
    address: SocketAddr,
    connections: BTreeMap<Token, Connection>,
    next_token: usize,
    /// Connections that have something to do at once.
    ready: BTreeSet<Token>,
    /// The deadlines of connections, earliest first. One entry for each, that of
    /// [`Connection::armed`].
    deadlines: BTreeSet<(Timestamp, Token)>,
    /// Shared by all sessions: a session keeps nothing in it.
    buffer: Vec<u8>,
    served: usize,
    all_well: bool,
}

impl EventLoop {
    fn new(service: Service) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(service.address)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let address = listener.local_addr()?;
        muxado_rpc::listening(service.output, address)?;
        Ok(Self {
            service,
            clock: Clock::start(),
            poll,
            listener,
            address,
            connections: BTreeMap::new(),
            next_token: LISTENER.0 + 1,
            ready: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            buffer: vec![0; 64 << 10],
            served: 0,
            all_well: true,
        })
    }

    /// Serves; returns whether all sessions succeeded.
    fn run(mut self) -> io::Result<bool> {
        let mut events = Events::with_capacity(256);
        while self.service.sessions.is_none_or(|sessions| self.served < sessions) {
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept()?;
                } else if let Some(connection) = self.connections.get_mut(&event.token()) {
                    // mio reports only changes, so readiness is remembered until the socket blocks.
                    // Reading or writing reports errors.
                    connection.readable |= event.is_readable();
                    connection.writable |= event.is_writable();
                    self.ready.insert(event.token());
                }
            }
            let now = self.clock.now();
            while let Some(&(_, token)) = self.deadlines.first().filter(|(due, _)| *due <= now) {
                self.ready.insert(token);
                self.arm(token, None);
            }
            for token in std::mem::take(&mut self.ready) {
                self.turn(token)?;
            }
        }
        Ok(self.all_well)
    }

    /// How long to wait for sockets.
    fn patience(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        self.deadlines.first().map(|(due, _)| *due - self.clock.now())
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The client disconnected before it was accepted.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            // Batches are sent when they are ready; TCP must not wait for more.
            socket.set_nodelay(true)?;
            let token = Token(self.next_token);
            self.next_token += 1;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, token, interest)?;
            let (session, app) = self.service.start(self.clock.now());
            self.connections.insert(token, Connection::new(socket, session, app));
            self.ready.insert(token);
        }
    }

    /// Runs a connection, and gets its next deadline.
    fn turn(&mut self, token: Token) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(&token) else { return Ok(()) };
        connection.turn(self.clock.now(), &mut self.buffer);
        if connection.session.is_finished() {
            self.arm(token, None);
            return self.finish(token);
        }
        if connection.has_more() {
            self.ready.insert(token);
        }
        let due = connection.poll_timeout();
        self.arm(token, due);
        Ok(())
    }

    fn arm(&mut self, token: Token, due: Option<Timestamp>) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let before = std::mem::replace(&mut connection.armed, due);
        if before == due {
            return;
        }
        if let Some(before) = before {
            self.deadlines.remove(&(before, token));
        }
        if let Some(due) = due {
            self.deadlines.insert((due, token));
        }
    }

    /// A session is over, and dropping its socket closes it.
    fn finish(&mut self, token: Token) -> io::Result<()> {
        let Some(connection) = self.connections.remove(&token) else { return Ok(()) };
        self.served += 1;
        self.all_well &= match connection.app.end(&connection.session) {
            Ok(None) => true,
            Ok(Some(end)) => muxado_rpc::print(self.service.output, self.address, end)?,
            Err(error) => {
                eprintln!("event_loop: {error}");
                false
            }
        };
        Ok(())
    }
}

/// One session and its socket.
struct Connection {
    socket: TcpStream,
    session: Session,
    app: App,
    /// Output the socket has not taken yet.
    out: Transmit,
    readable: bool,
    writable: bool,
    /// The write side of the socket has been ended.
    shut: bool,
    /// The deadline the event loop knows.
    armed: Option<Timestamp>,
}

impl Connection {
    fn new(socket: TcpStream, session: Session, app: App) -> Self {
        Self {
            socket,
            session,
            app,
            out: Transmit::new(),
            readable: false,
            writable: false,
            shut: false,
            armed: None,
        }
    }

    fn poll_timeout(&self) -> Option<Timestamp> {
        let both = [self.session.poll_timeout(), self.app.poll_timeout()];
        both.into_iter().flatten().min()
    }

    /// Whether the last turn ended although the socket was still ready.
    fn has_more(&self) -> bool {
        let output = !self.out.is_empty() || self.session.wants_transmit();
        self.readable || (self.writable && output)
    }

    /// Does the pending work, up to the bounds of a turn.
    fn turn(&mut self, now: Timestamp, buffer: &mut [u8]) {
        self.session.handle_timeout(now);
        // First input, then the application, then output: so the answers to everything that was
        // read are sent together. Reading never waits for writing; otherwise two peers that both
        // write would wait for each other forever.
        let result = self.read(now, buffer).and_then(|()| {
            self.app.react(&mut self.session, now);
            self.write(now)
        });
        if let Err(error) = result {
            self.session.handle_transport_error(now, TransportError::new(error));
            self.app.react(&mut self.session, now);
        }
    }

    fn read(&mut self, now: Timestamp, buffer: &mut [u8]) -> io::Result<()> {
        for _ in 0..TURN {
            if !self.readable {
                break;
            }
            match self.socket.read(buffer) {
                Ok(0) => {
                    self.readable = false;
                    self.session.handle_eof(now);
                }
                Ok(count) => self.session.handle_slice(now, &buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write(&mut self, now: Timestamp) -> io::Result<()> {
        for _ in 0..TURN {
            // A batch is cut when the previous one was written: urgent frames can still overtake
            // what is not cut yet.
            if self.out.is_empty() && self.session.poll_transmit(now, &mut self.out, BATCH) == 0 {
                break;
            }
            // That made room in send buffers, so streams may continue.
            self.app.react(&mut self.session, now);
            while self.writable && !self.out.is_empty() {
                match driving::write_some(&self.socket, &mut self.out) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.writable = false,
                    result => result?,
                }
            }
            if !self.writable {
                break;
            }
        }
        // The socket has taken everything that the session sends. The peer sees the end and ends
        // its side, too; the session has a deadline for that.
        if self.session.wants_shutdown() && self.out.is_empty() && !self.shut {
            self.shut = true;
            match self.socket.shutdown(Shutdown::Write) {
                // The peer has been quicker.
                Err(error) if error.kind() == ErrorKind::NotConnected => {}
                result => result?,
            }
        }
        Ok(())
    }
}
