//! Two sessions and a slow transport with a queue between them, in virtual time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use muxado_proto::{Config, Event, Role, Session, StreamId, StreamType, Timestamp, Transmit};

/// The latency from one end to the other, without the time in the queue.
const LATENCY: Duration = Duration::from_millis(5);

/// How much output a driver requests from a session at once.
const BATCH: usize = 256 << 10;

/// Output after which a driver reports progress of the transport.
const PROGRESS: usize = 4096;

/// One direction: a queue before a bottleneck.
#[derive(Debug)]
struct Lane {
    rate: u64,
    room: usize,
    queue: VecDeque<(Timestamp, Bytes)>,
    /// When the last byte has passed the bottleneck.
    passed: Timestamp,
}

impl Lane {
    /// Takes as much as there is room for.
    fn write(&mut self, now: Timestamp, out: &mut Transmit) -> usize {
        let piece = usize::try_from(self.rate / 1000).unwrap_or(usize::MAX).clamp(1460, 64 << 10);
        let count = out.remaining().min(piece).min(self.room);
        if count > 0 {
            let nanos = count as u64 * 1_000_000_000 / self.rate;
            self.passed = self.passed.max(now) + Duration::from_nanos(nanos);
            self.room -= count;
            self.queue.push_back((self.passed + LATENCY, out.copy_to_bytes(count)));
        }
        count
    }

    fn read(&mut self, now: Timestamp) -> Option<Bytes> {
        self.queue.front().filter(|(at, _)| *at <= now)?;
        let (_, bytes) = self.queue.pop_front()?;
        self.room += bytes.len();
        Some(bytes)
    }
}

/// One end.
#[derive(Debug)]
pub(super) struct End {
    pub(super) session: Session,
    out: Transmit,
    progress: usize,
    pub(super) events: Vec<Event>,
}

impl End {
    fn new(role: Role, config: &Arc<Config>) -> Self {
        let key = [role.first_id() as u8; 16].into();
        let session = Session::new(role, Arc::clone(config), Timestamp::ZERO, key);
        Self { session, out: Transmit::new(), progress: 0, events: Vec::new() }
    }

    /// Writes as a driver does; returns whether anything was written.
    fn write(&mut self, now: Timestamp, lane: &mut Lane) -> bool {
        let mut any = false;
        loop {
            if self.out.is_empty() {
                self.session.transmitted(now, std::mem::take(&mut self.progress));
                if self.session.poll_transmit(now, &mut self.out, BATCH) == 0 {
                    return any;
                }
            }
            let count = lane.write(now, &mut self.out);
            if count == 0 {
                return any;
            }
            any = true;
            self.progress += count;
            if self.progress >= PROGRESS {
                self.session.transmitted(now, std::mem::take(&mut self.progress));
            }
        }
    }
}

/// A client that uploads to a server.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) now: Timestamp,
    pub(super) client: End,
    pub(super) server: End,
    up: Lane,
    down: Lane,
    /// Bytes that the client still has to write, for each stream.
    to_write: Vec<(StreamId, u64)>,
    /// Whether the server's application reads.
    pub(super) reads: bool,
    pub(super) received: u64,
    /// The server's machine has vanished.
    pub(super) dead: bool,
}

impl Lanes {
    pub(super) fn new(config: Config, rate: u64, capacity: usize) -> Self {
        let config = Arc::new(config);
        let lane =
            || Lane { rate, room: capacity, queue: VecDeque::new(), passed: Timestamp::ZERO };
        Self {
            now: Timestamp::ZERO,
            client: End::new(Role::Client, &config),
            server: End::new(Role::Server, &config),
            up: lane(),
            down: lane(),
            to_write: Vec::new(),
            reads: true,
            received: 0,
            dead: false,
        }
    }

    /// The client begins to upload this many bytes.
    pub(super) fn upload(&mut self, bytes: u64) {
        let id = self.client.session.open_typed(StreamType(1)).expect("room for a stream");
        self.to_write.push((id, bytes));
    }

    /// Whether the client has nothing left to write.
    pub(super) fn is_written(&self) -> bool {
        self.to_write.iter().all(|(_, bytes)| *bytes == 0)
    }

    /// Lets time pass, or stops when the client's session is over.
    pub(super) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.client.session.close_reason().is_none() {
            while self.turn() {}
            let arrivals = [&self.up, &self.down].map(|lane| lane.queue.front().map(|(at, _)| *at));
            let timers = [&self.client, &self.server].map(|end| end.session.poll_timeout());
            let next = arrivals.into_iter().chain(timers).flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.client.session.handle_timeout(self.now);
            self.server.session.handle_timeout(self.now);
        }
        if self.client.session.close_reason().is_none() {
            self.now = until;
        }
    }

    /// Does what is possible now; returns whether anything happened.
    fn turn(&mut self) -> bool {
        let mut any = false;
        if self.dead {
            // Both directions lead nowhere; the queue towards the dead end is no longer emptied.
            self.down.queue.clear();
            self.up.queue.iter_mut().for_each(|(at, _)| *at = Timestamp::from_nanos(u64::MAX));
        }
        while let Some(bytes) = self.up.read(self.now) {
            any = true;
            self.server.session.handle_input(self.now, bytes);
        }
        while let Some(bytes) = self.down.read(self.now) {
            any = true;
            self.client.session.handle_input(self.now, bytes);
        }
        self.act();
        any |= self.client.write(self.now, &mut self.up);
        any |= !self.dead && self.server.write(self.now, &mut self.down);
        any
    }

    fn act(&mut self) {
        let payload = Bytes::from_static(&[7; 64 << 10]);
        for (id, left) in &mut self.to_write {
            let Some(mut stream) = self.client.session.stream(*id) else { continue };
            while *left > 0 {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(payload.len());
                let mut chunk = payload.slice(..length);
                match stream.write_chunk(&mut chunk) {
                    Ok(count) => *left -= count as u64,
                    Err(_) => break,
                }
            }
        }
        while let Some(id) = self.server.session.accept() {
            self.server.events.push(Event::Readable(id));
        }
        for end in [&mut self.client, &mut self.server] {
            end.events.extend(std::iter::from_fn(|| end.session.poll_event()));
        }
        if self.reads {
            for event in &self.server.events {
                let Event::Readable(id) = event else { continue };
                let Some(mut stream) = self.server.session.stream(*id) else { continue };
                while let Ok(Some(chunk)) = stream.read_chunk(usize::MAX) {
                    assert!(chunk.iter().all(|byte| *byte == 7));
                    self.received += chunk.len() as u64;
                }
            }
        }
        self.server.events.clear();
    }
}
