//! The event loop.

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use muxado_proto::{
    Config, ErrorCode, Event, Role, Session, SessionKey, StreamId, Timestamp, Transmit,
    TransportError,
};
use muxado_uring::{Done, Ring};

/// What goes through the echo.
const TOTAL: usize = 64 << 20;
/// The size of the pattern that the client sends repeatedly.
const PATTERN: usize = 1 << 20;
const READ: usize = 256 << 10;
/// A batch of more than eight frames could come in one read, and the session copies frames that are so
/// small a part of their buffer.
const BATCH: usize = 4 * (16_360 + 8);

pub(crate) fn run() -> io::Result<()> {
    let mut ring = match Ring::new(8) {
        Ok(ring) => ring,
        Err(error) => {
            println!("skipped: the kernel refuses an io_uring: {error}");
            return Ok(());
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let mut ends = [
        End::new(near, Role::Client, Application::Client(Client::new()))?,
        End::new(listener.accept()?.0, Role::Server, Application::Echo(HashMap::new()))?,
    ];
    let started = Instant::now();
    let mut told = started;
    let now = || Timestamp::from_duration(started.elapsed());
    ends[0].begin()?;
    while !ends.iter().all(|end| end.session.is_finished()) {
        for (token, end) in ends.iter_mut().enumerate() {
            end.step(&mut ring, token, now())?;
        }
        let next = ends.iter().filter_map(|end| end.session.poll_timeout()).min();
        let limit = next.map_or(Duration::from_secs(1), |at| at - now());
        for done in ring.wait(limit)? {
            match done {
                Done::Read(token, result) => ends[token].came(now(), result),
                Done::Written(token, batch, result) => ends[token].left(now(), batch, result),
            }
        }
        for end in &mut ends {
            end.session.handle_timeout(now());
        }
        if told.elapsed() > Duration::from_secs(2) {
            told = Instant::now();
            eprintln!("{} MiB of {} are back", ends[0].came_back() >> 20, TOTAL >> 20);
        }
    }
    let reason = ends[0].session.close_reason().map_or_else(String::new, ToString::to_string);
    eprintln!("session {reason}, after {:.1} s", started.elapsed().as_secs_f32());
    let copied: usize = ends.iter().map(|end| end.copied).sum();
    println!("{} MiB came back", ends[0].came_back() >> 20);
    println!("{}", if copied * 100 < TOTAL { "under 1 % of it was copied" } else { "copied" });
    eprintln!("{copied} of {} bytes were copied", 2 * TOTAL);
    Ok(())
}

/// One session and its socket.
struct End {
    session: Session,
    socket: Rc<TcpStream>,
    application: Application,
    /// The next batch to write, unless the kernel has it.
    batch: Option<Transmit>,
    is_reading: bool,
    is_shut: bool,
    /// The memory ranges of the latest buffers, to detect copies.
    buffers: Vec<Range<*const u8>>,
    copied: usize,
}

enum Application {
    Client(Client),
    /// Bytes that were read and not written yet, for each stream.
    Echo(HashMap<StreamId, Bytes>),
}

struct Client {
    stream: Option<StreamId>,
    pattern: Bytes,
    sent: usize,
    came: usize,
}

impl Client {
    fn new() -> Self {
        let pattern: Vec<u8> = (0..PATTERN).map(|at| (at % 251) as u8).collect();
        Self { stream: None, pattern: pattern.into(), sent: 0, came: 0 }
    }
}

impl End {
    fn new(socket: TcpStream, role: Role, application: Application) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let mut key = [0; 16];
        getrandom::fill(&mut key)?;
        let config = Config::default().into();
        Ok(Self {
            session: Session::new(role, config, Timestamp::ZERO, SessionKey::new(key)),
            socket: Rc::new(socket),
            application,
            batch: Some(Transmit::new()),
            is_reading: false,
            is_shut: false,
            buffers: Vec::new(),
            copied: 0,
        })
    }

    fn begin(&mut self) -> io::Result<()> {
        let id = self.session.open().map_err(io::Error::other)?;
        if let Application::Client(client) = &mut self.application {
            client.stream = Some(id);
        }
        self.go_on(id, Timestamp::ZERO);
        Ok(())
    }

    /// Does all possible work, and starts operations of the kernel.
    fn step(&mut self, ring: &mut Ring, token: usize, now: Timestamp) -> io::Result<()> {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Acceptable => {
                    while let Some(id) = self.session.accept() {
                        self.go_on(id, now);
                    }
                }
                Event::Readable(id) | Event::Writable(id) => self.go_on(id, now),
                _ => {}
            }
        }
        if let Some(mut batch) = self.batch.take() {
            let size = self.session.batch_size().min(BATCH);
            self.session.poll_transmit(now, &mut batch, size);
            if batch.is_empty() {
                self.batch = Some(batch);
            } else {
                ring.write(token, &self.socket, batch)?;
            }
        }
        if self.session.wants_shutdown() && self.batch.is_some() && !self.is_shut {
            // The peer may already have closed the socket.
            let _closed_by_peer = self.socket.shutdown(Shutdown::Write);
            self.is_shut = true;
        }
        if self.session.wants_input() && !self.is_reading {
            self.is_reading = true;
            ring.read(token, &self.socket, BytesMut::with_capacity(READ))?;
        }
        Ok(())
    }

    /// The kernel has read.
    fn came(&mut self, now: Timestamp, result: io::Result<BytesMut>) {
        self.is_reading = false;
        match result {
            Ok(data) if data.is_empty() => self.session.handle_eof(now),
            Ok(data) => {
                // Freed buffers may be among the newer ones.
                let keep = self.buffers.len().saturating_sub(256);
                self.buffers.drain(..keep);
                self.buffers.push(data.as_ptr_range());
                self.session.handle_input(now, data.freeze());
            }
            Err(error) => self.session.handle_transport_error(now, TransportError::new(error)),
        }
    }

    /// The kernel has written.
    fn left(&mut self, now: Timestamp, mut batch: Transmit, result: io::Result<usize>) {
        match result {
            Ok(count) => {
                batch.advance(count);
                self.session.transmitted(now, count);
                self.batch = Some(batch);
            }
            Err(error) => self.session.handle_transport_error(now, TransportError::new(error)),
        }
    }

    /// The application does everything that is possible on a stream.
    fn go_on(&mut self, id: StreamId, now: Timestamp) {
        let Some(mut stream) = self.session.stream(id) else { return };
        let lies_in_a_buffer =
            |chunk: &Bytes| self.buffers.iter().any(|buffer| buffer.contains(&chunk.as_ptr()));
        match &mut self.application {
            Application::Echo(pending) => loop {
                let chunk = pending.entry(id).or_default();
                while !chunk.is_empty() {
                    if stream.write_chunk(chunk).is_err() {
                        return; // no room now, or reset
                    }
                }
                match stream.read_chunk(usize::MAX) {
                    Ok(Some(next)) => {
                        self.copied += if lies_in_a_buffer(&next) { 0 } else { next.len() };
                        *chunk = next;
                    }
                    Ok(None) => {
                        pending.remove(&id);
                        return stream.release();
                    }
                    Err(_) => return, // nothing more yet, or reset
                }
            },
            Application::Client(client) => {
                while client.sent < TOTAL {
                    let mut chunk = client.pattern.slice(client.sent % PATTERN..);
                    let Ok(taken) = stream.write_chunk(&mut chunk) else { break };
                    client.sent += taken;
                    if client.sent == TOTAL {
                        // Fails only if the stream was reset, which reading reports.
                        let _reset = stream.finish();
                    }
                }
                loop {
                    match stream.read_chunk(usize::MAX) {
                        Ok(Some(chunk)) => {
                            let (first, rest) =
                                chunk.split_at(chunk.len().min(PATTERN - client.came % PATTERN));
                            let expected = &client.pattern[client.came % PATTERN..];
                            assert!(expected.starts_with(first), "wrong bytes");
                            assert!(client.pattern.starts_with(rest), "wrong bytes");
                            client.came += chunk.len();
                            self.copied += if lies_in_a_buffer(&chunk) { 0 } else { chunk.len() };
                        }
                        Ok(None) => {
                            stream.release();
                            return self.session.close(now, ErrorCode::NO_ERROR, "done");
                        }
                        Err(_) => return, // nothing more yet, or reset
                    }
                }
            }
        }
    }

    fn came_back(&self) -> usize {
        match &self.application {
            Application::Client(client) => client.came,
            Application::Echo(_) => 0,
        }
    }
}
