//! Two sessions of the core, directly connected, and what they do in a round. The benchmark of the
//! core includes this file.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use muxado_proto::{Config, RateLimit, ReadError, Role, Session, StreamId, Timestamp, Transmit};

/// Streams at once.
pub const STREAMS: usize = 64;
/// Bytes of a message.
pub const MESSAGE: usize = 64;
/// Bytes of a bulk write.
pub const BULK: usize = 64 << 10;
/// Time that passes in a round, so that timers take part. It is virtual: the core has no clock.
pub const ROUND: Duration = Duration::from_micros(100);

/// Two sessions, and the buffers to carry bytes between them.
pub struct Pair {
    pub client: Session,
    pub server: Session,
    pub wire: Transmit,
    pub now: Timestamp,
    pub ids: Vec<StreamId>,
    pub accepted: Vec<StreamId>,
    pub buffer: Vec<u8>,
    pub scratch: Vec<u8>,
    chunk: Bytes,
    /// The latest id of a stream that never existed.
    pub strange: u32,
}

impl Pair {
    pub fn new(typed: bool) -> Self {
        // Rate limits are disabled here.
        let any = RateLimit::new(1 << 30, 1 << 30);
        let config = Config::builder().typed(typed).reset_limit(any).stray_data_limit(any).build();
        let config = Arc::new(config.expect("the settings are valid"));
        let now = Timestamp::ZERO;
        Self {
            client: Session::new(Role::Client, Arc::clone(&config), now, [1; 16].into()),
            server: Session::new(Role::Server, config, now, [2; 16].into()),
            wire: Transmit::new(),
            now,
            ids: Vec::with_capacity(STREAMS),
            accepted: Vec::with_capacity(STREAMS),
            buffer: vec![7; BULK],
            scratch: vec![0; BULK],
            chunk: Bytes::from_owner(vec![7; BULK]),
            strange: 1001,
        }
    }

    /// A pair with `streams` streams open, known to both ends.
    pub fn with_streams(streams: usize) -> Self {
        let mut pair = Self::new(false);
        for _ in 0..streams {
            let id = pair.client.open().expect("there is room for this stream");
            write(&mut pair.client, id, &pair.buffer[..MESSAGE]);
            pair.ids.push(id);
        }
        pair.settle();
        while let Some(id) = pair.server.accept() {
            read(&mut pair.server, id, &mut pair.scratch[..MESSAGE]);
            pair.accepted.push(id);
        }
        pair.settle();
        pair
    }

    /// Lets some time pass and carries bytes both ways until there is no more output.
    pub fn settle(&mut self) {
        self.now = self.now + ROUND;
        for session in [&mut self.client, &mut self.server] {
            if session.poll_timeout().is_some_and(|due| due <= self.now) {
                session.handle_timeout(self.now);
            }
        }
        while carry(&mut self.client, &mut self.server, &mut self.wire, self.now)
            | carry(&mut self.server, &mut self.client, &mut self.wire, self.now)
        {}
    }

    /// A message on each stream.
    pub fn small_frames(&mut self) {
        for &id in &self.ids {
            write(&mut self.client, id, &self.buffer[..MESSAGE]);
        }
        self.settle();
        for &id in &self.accepted {
            read(&mut self.server, id, &mut self.scratch[..MESSAGE]);
        }
    }

    /// A bulk write, copied in and out.
    pub fn bulk_copied(&mut self) {
        let mut sent = 0;
        while sent < BULK {
            let mut stream = self.client.stream(self.ids[0]).expect("the stream is open");
            sent += stream.write(&self.buffer[sent..]).expect("there is room for a write");
            self.settle();
        }
        read(&mut self.server, self.accepted[0], &mut self.scratch);
    }

    /// A bulk write, as chunks in and out.
    pub fn bulk_chunks(&mut self) {
        let mut chunk = self.chunk.clone();
        while chunk.has_remaining() {
            let mut stream = self.client.stream(self.ids[0]).expect("the stream is open");
            stream.write_chunk(&mut chunk).expect("there is room for a chunk");
            self.settle();
        }
        let mut left = BULK;
        while left > 0 {
            let mut stream = self.server.stream(self.accepted[0]).expect("the stream is open");
            let piece = stream.read_chunk(left).expect("it has arrived").expect("it is not over");
            left -= black_box(piece).len();
        }
    }

    /// Streams that are opened, answered and dropped.
    pub fn streams(&mut self) {
        self.ids.clear();
        for _ in 0..STREAMS {
            let id = self.client.open().expect("all earlier streams are gone");
            write(&mut self.client, id, &self.buffer[..MESSAGE]);
            self.client.stream(id).expect("the stream is open").finish().unwrap();
            self.ids.push(id);
        }
        self.settle();
        while let Some(id) = self.server.accept() {
            read(&mut self.server, id, &mut self.scratch[..MESSAGE]);
            end(&mut self.server, id);
            write(&mut self.server, id, &self.buffer[..MESSAGE]);
            self.server.stream(id).expect("the stream is open").release();
        }
        self.settle();
        for &id in &self.ids {
            read(&mut self.client, id, &mut self.scratch[..MESSAGE]);
            end(&mut self.client, id);
            self.client.stream(id).expect("the stream is open").release();
        }
    }
}

pub fn write(session: &mut Session, id: StreamId, data: &[u8]) {
    let mut stream = session.stream(id).expect("the stream is open");
    assert_eq!(stream.write(data), Ok(data.len()));
}

pub fn read(session: &mut Session, id: StreamId, mut into: &mut [u8]) {
    let mut stream = session.stream(id).expect("the stream is open");
    while !into.is_empty() {
        let count = stream.read(into).expect("everything has arrived");
        into = &mut into[count..];
    }
}

fn end(session: &mut Session, id: StreamId) {
    let mut stream = session.stream(id).expect("the stream is open");
    assert_eq!(stream.read(&mut [0]), Ok::<_, ReadError>(0));
}

/// Carries output from one to the other and takes the events, as an event loop does.
fn carry(from: &mut Session, to: &mut Session, wire: &mut Transmit, now: Timestamp) -> bool {
    let carried = carry_only(from, to, wire, now);
    while let Some(event) = to.poll_event() {
        black_box(event);
    }
    while let Some(event) = from.poll_event() {
        black_box(event);
    }
    carried
}

/// Carries output from one to the other.
pub fn carry_only(
    from: &mut Session,
    to: &mut Session,
    wire: &mut Transmit,
    now: Timestamp,
) -> bool {
    let mut carried = false;
    while from.poll_transmit(now, wire, BULK) > 0 {
        carried = true;
        while wire.has_remaining() {
            let piece = wire.chunk();
            to.handle_slice(now, piece);
            let count = piece.len();
            wire.advance(count);
        }
    }
    carried
}
