//! The echo application on the bare core: every session in one thread, driven
//! by readiness.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use muxado_proto::{Event, ReadError, Session, StreamId, Timestamp, Transmit, WriteError};

use super::Endpoint;

const LISTENER: Token = Token(0);
/// Bytes of output asked of a session at a time.
const BATCH: usize = 256 * 1024;
/// Reads from one transport before the others get their turn.
const READS: usize = 32;

pub(super) fn serve(endpoint: &Endpoint, listener: std::net::TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(listener);
    let mut event_loop = EventLoop::new(endpoint)?;
    event_loop.poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    loop {
        if event_loop.turn()? {
            event_loop.accept(&listener)?;
        }
    }
}

pub(super) fn dial(endpoint: &Endpoint, addr: SocketAddr, sessions: usize) -> io::Result<()> {
    let mut event_loop = EventLoop::new(endpoint)?;
    loop {
        while event_loop.connections.len() < sessions {
            match std::net::TcpStream::connect(addr) {
                Ok(transport) => {
                    transport.set_nonblocking(true)?;
                    event_loop.add(TcpStream::from_std(transport))?;
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        event_loop.turn()?;
    }
}

struct EventLoop<'a> {
    endpoint: &'a Endpoint,
    poll: Poll,
    events: Events,
    origin: Instant,
    connections: BTreeMap<Token, Connection>,
    /// Connections that have something to do without waiting for readiness.
    ready: BTreeSet<Token>,
    next: usize,
    buffer: Vec<u8>,
}

impl<'a> EventLoop<'a> {
    fn new(endpoint: &'a Endpoint) -> io::Result<Self> {
        Ok(Self {
            endpoint,
            poll: Poll::new()?,
            events: Events::with_capacity(256),
            origin: Instant::now(),
            connections: BTreeMap::new(),
            ready: BTreeSet::new(),
            next: LISTENER.0 + 1,
            buffer: vec![0; 64 * 1024],
        })
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_duration(self.origin.elapsed())
    }

    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            match listener.accept() {
                Ok((transport, _)) => self.add(transport)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The peer went away before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn add(&mut self, mut transport: TcpStream) -> io::Result<()> {
        let token = Token(self.next);
        self.next += 1;
        let _ = transport.set_nodelay(true);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut transport, token, interest)?;
        let Endpoint { role, config, .. } = self.endpoint;
        let seed = RandomState::new().build_hasher().finish();
        let session = Session::new(*role, Arc::clone(config), self.now(), seed);
        self.connections.insert(token, Connection::new(transport, session));
        self.ready.insert(token);
        Ok(())
    }

    /// Waits for something to do and does it. Tells whether the listener is
    /// ready.
    fn turn(&mut self) -> io::Result<bool> {
        let wait = if self.ready.is_empty() { self.until_due() } else { Some(Duration::ZERO) };
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        self.ready.extend(self.events.iter().map(|event| event.token()));
        let now = self.now();
        for (token, connection) in &self.connections {
            if connection.session.poll_timeout().is_some_and(|due| due <= now) {
                self.ready.insert(*token);
            }
        }
        let listener = self.ready.remove(&LISTENER);
        for token in std::mem::take(&mut self.ready) {
            let now = self.now();
            let Some(connection) = self.connections.get_mut(&token) else { continue };
            if connection.run(now, &mut self.buffer) {
                self.ready.insert(token);
            }
            if connection.session.is_finished() && connection.out.is_empty() {
                self.connections.remove(&token);
                self.ready.remove(&token);
            }
        }
        Ok(listener)
    }

    /// How long until the first of all sessions wants to know the time.
    fn until_due(&self) -> Option<Duration> {
        let sessions = self.connections.values().map(|connection| &connection.session);
        let due = sessions.filter_map(Session::poll_timeout).min()?;
        // The poll counts in milliseconds and rounds down.
        Some(due - self.now() + Duration::from_millis(1))
    }
}

struct Connection {
    transport: TcpStream,
    session: Session,
    out: Transmit,
    /// What was read from each stream and could not be written back yet.
    streams: BTreeMap<StreamId, Bytes>,
    /// Nothing more can be read from the transport.
    ended: bool,
    /// The transport's write side has been shut.
    shut: bool,
}

impl Connection {
    fn new(transport: TcpStream, session: Session) -> Self {
        let (out, streams) = (Transmit::new(), BTreeMap::new());
        Self { transport, session, out, streams, ended: false, shut: false }
    }

    /// Does all there is to do, within reason. Tells whether there is more.
    fn run(&mut self, now: Timestamp, buffer: &mut [u8]) -> bool {
        self.session.handle_timeout(now);
        self.react();
        let more = self.read(now, buffer).and_then(|more| self.write(now).map(|()| more));
        more.unwrap_or_else(|_| {
            self.ended = true;
            self.out = Transmit::new();
            self.session.handle_transport_error(now);
            self.react();
            false
        })
    }

    fn read(&mut self, now: Timestamp, buffer: &mut [u8]) -> io::Result<bool> {
        for _ in 0..READS {
            if self.ended {
                return Ok(false);
            }
            match self.transport.read(buffer) {
                Ok(0) => {
                    self.ended = true;
                    self.session.handle_eof(now);
                }
                Ok(n) => self.session.handle_slice(now, &buffer[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            self.react();
        }
        Ok(true)
    }

    fn write(&mut self, now: Timestamp) -> io::Result<()> {
        loop {
            if self.out.is_empty() {
                // Room in the send buffers lets streams go on.
                let made = self.session.poll_transmit(now, &mut self.out, BATCH);
                self.react();
                if made == 0 {
                    break;
                }
            }
            let mut slices = [IoSlice::new(&[]); 64];
            let count = self.out.io_slices(&mut slices);
            match self.transport.write_vectored(&slices[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.out.advance(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.session.wants_shutdown() && !self.shut {
            self.shut = true;
            // A transport that has failed meanwhile has nothing to shut.
            let _ = self.transport.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    /// The application: reacts to what the session has to tell.
    fn react(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Acceptable => {
                    while let Some(id) = self.session.accept() {
                        self.streams.insert(id, Bytes::new());
                        self.echo(id);
                    }
                }
                Event::Readable(id) | Event::Writable(id) => self.echo(id),
                _ => {}
            }
        }
    }

    /// Moves what can be moved from a stream's reader to its writer, and gives
    /// the stream up when it has ended.
    fn echo(&mut self, id: StreamId) {
        let Some(pending) = self.streams.get_mut(&id) else { return };
        let Some(mut stream) = self.session.stream(id) else { return };
        loop {
            if !pending.is_empty() {
                match stream.write_chunk(pending) {
                    Ok(_) => continue,
                    Err(WriteError::Blocked) => return,
                    Err(_) => break,
                }
            }
            match stream.read_chunk(usize::MAX) {
                Ok(Some(chunk)) => *pending = chunk,
                Err(ReadError::Blocked) => return,
                Ok(None) | Err(_) => break,
            }
        }
        // What was written is still sent, then FIN; a stream that was reset, or
        // whose session is over, is only forgotten.
        stream.release();
        self.streams.remove(&id);
    }
}
