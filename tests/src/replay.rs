//! Plays one end of a recorded conversation into one of our sessions, which replaces the other end.
//!
//! The application on top of the session does what the replaced end did: it writes, finishes,
//! resets and grants the same. Our session does by itself what sessions do (answers to bad frames,
//! echoes, the pad).
//!
//! Two things are adapted. Heartbeat values are random, so a recorded echo gets the value that our
//! session sent. And ours grants credit in larger steps than the recorded peers: before a frame
//! that an honest sender could not have sent yet, the application reads everything and time passes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use muxado_proto::{
    CloseReason, Config, DEFAULT_WINDOW, ErrorCode, Event, Heartbeat, OpenError, ReadError,
    Session, StreamId, StreamType, Timestamp, Transmit, WriteError,
};

use crate::vectors::{End, Frame, Implementation, Outcome, Role, Step, Transcript};

/// The type of heartbeat streams (PROTOCOL.md §9.1).
const HEARTBEAT: u32 = u32::MAX;

/// The time between two steps of a recording.
const STEP: Duration = Duration::from_millis(1);

/// What came of a replay.
#[derive(Debug)]
pub struct Played {
    /// Why our session ended, if it did.
    pub close_reason: Option<CloseReason>,
    /// What our session sent, in order.
    pub sent: Vec<Frame>,
    /// What our application read, by stream.
    pub received: BTreeMap<u32, Vec<u8>>,
    /// How reading of each stream ended: not at all, with FIN, or with an error.
    pub read_ends: BTreeMap<u32, Option<Result<(), ReadError>>>,
    /// What writing failed with, by stream.
    pub write_errors: BTreeMap<u32, WriteError>,
    /// What opening failed with.
    pub open_errors: Vec<OpenError>,
    /// Beats of ours that came back.
    pub pongs: usize,
    /// What the recorded end sent on each stream of our application, without the type.
    pub expected: BTreeMap<u32, Vec<u8>>,
}

impl Played {
    /// The DATA frames we sent on a stream.
    pub fn data_on(&self, id: u32) -> impl Iterator<Item = &Frame> {
        self.sent.iter().filter(move |frame| frame.kind() == Frame::DATA && frame.id() == id)
    }

    /// The RSTs we sent: stream and code.
    pub fn resets(&self) -> Vec<(u32, u32)> {
        let resets = self.sent.iter().filter(|frame| frame.kind() == Frame::RST);
        resets.map(|frame| (frame.id(), frame.word(0))).collect()
    }
}

/// Plays what `recorded` sent in `transcript`, cut into pieces of `chunk` bytes.
///
/// # Panics
///
/// If our session cannot follow the recording: a stream cannot be opened, or credit does not come.
pub fn play(transcript: &Transcript, recorded: End, chunk: usize) -> Played {
    let mut player = Player::new(transcript, recorded, chunk);
    player.settle();
    for step in &transcript.steps {
        player.pass(STEP);
        player.step(step);
        player.settle();
    }
    player.finish()
}

struct Player<'a> {
    transcript: &'a Transcript,
    recorded: End,
    chunk: usize,
    session: Session,
    now: Timestamp,
    /// Output that is not a whole frame yet.
    wire: Vec<u8>,
    /// Credit of the recorded end, by stream.
    credit: BTreeMap<u32, u64>,
    /// The streams of our application that it has not released.
    streams: BTreeSet<u32>,
    /// Opened by our application, in order; the last one is the highest id so far.
    opened: BTreeSet<u32>,
    /// Written by the application, and not yet taken by the session.
    unwritten: BTreeMap<u32, Vec<u8>>,
    finishing: BTreeSet<u32>,
    /// Streams the recorded end opened whose type has not been seen yet.
    untyped: BTreeSet<u32>,
    /// Our beats that were answered.
    echoed: usize,
    played: Played,
}

impl<'a> Player<'a> {
    fn new(transcript: &'a Transcript, recorded: End, chunk: usize) -> Self {
        let ours = transcript.ends.into_iter().find(|end| *end != recorded).expect("two ends");
        let beats = transcript.frames_from(ours).any(opens_heartbeat);
        let heartbeat = Heartbeat::new().with_interval(Duration::from_millis(100));
        let config = Config::builder()
            .typed(transcript.is_typed())
            .heartbeat((beats && transcript.is_typed()).then_some(heartbeat))
            .build()
            .expect("valid settings");
        let role = match ours.role {
            Role::Client => muxado_proto::Role::Client,
            Role::Server => muxado_proto::Role::Server,
        };
        let now = Timestamp::ZERO;
        Self {
            transcript,
            recorded,
            chunk,
            session: Session::new(role, Arc::new(config), now, [7; 16].into()),
            now,
            wire: Vec::new(),
            credit: BTreeMap::new(),
            streams: BTreeSet::new(),
            opened: BTreeSet::new(),
            unwritten: BTreeMap::new(),
            finishing: BTreeSet::new(),
            untyped: BTreeSet::new(),
            echoed: 0,
            played: Played {
                close_reason: None,
                sent: Vec::new(),
                received: BTreeMap::new(),
                read_ends: BTreeMap::new(),
                write_errors: BTreeMap::new(),
                open_errors: Vec::new(),
                pongs: 0,
                expected: BTreeMap::new(),
            },
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Frame { from, frame } if *from == self.recorded => self.receive(frame),
            Step::Frame { frame, .. } => self.act(frame),
            Step::Eof(end) | Step::Shutdown(end) if *end == self.recorded => {
                self.session.handle_eof(self.now);
            }
            Step::Eof(_) | Step::Shutdown(_) => {
                self.session.close(self.now, ErrorCode::NO_ERROR, Bytes::new());
            }
            Step::Call(call, outcome) | Step::End(call, outcome) => self.call(call, outcome),
            Step::Start(_) | Step::Note(_) => {}
        }
    }

    /// Whether the application accepts every stream. Otherwise the recording has the calls.
    fn accepts_all(&self) -> bool {
        self.transcript.is_pair() || self.recorded.implementation != Implementation::Probe
    }

    fn call(&mut self, call: &str, outcome: &Outcome) {
        if self.accepts_all() || *outcome == Outcome::Blocked && call.contains("ccept") {
            return;
        }
        let failed = outcome.code().is_some() || *outcome == Outcome::Blocked;
        if call.contains("ccept") {
            self.accept();
        } else if let Some(id) = self.streams.first().copied() {
            match call.split('(').next().unwrap_or_default() {
                "s.Read" if failed => self.read(id, usize::MAX),
                "s.Write" if failed => {
                    self.unwritten.insert(id, b"x".to_vec());
                    self.flush(id);
                }
                "s.Close" | "drop" => {
                    self.flush(id);
                    self.streams.remove(&id);
                    if let Some(stream) = self.session.stream(StreamId::new(id)) {
                        stream.release();
                    }
                }
                _ => {}
            }
        }
    }

    fn accept(&mut self) {
        if let Some(id) = self.session.accept() {
            self.streams.insert(id.get());
        }
    }

    /// Our application does what the replaced end did to send this frame.
    fn act(&mut self, frame: &Frame) {
        let id = frame.id();
        match frame.kind() {
            Frame::DATA if opens_heartbeat(frame) && self.transcript.is_typed() => {}
            Frame::DATA => {
                let mut payload = frame.payload.as_slice();
                if frame.is_syn() {
                    let stream_type = self.transcript.is_typed().then(|| {
                        StreamType(payload.split_first_chunk().map_or(0, |(word, rest)| {
                            payload = rest;
                            u32::from_be_bytes(*word)
                        }))
                    });
                    self.open(id, stream_type);
                }
                if self.streams.contains(&id) {
                    self.unwritten.entry(id).or_default().extend_from_slice(payload);
                    if frame.is_fin() {
                        self.finishing.insert(id);
                    }
                    self.flush(id);
                }
            }
            Frame::WNDINC => self.read(id, frame.word(0) as usize),
            // Only a probe resets on command; the others do it by rule, and so does our session.
            Frame::RST if self.recorded.implementation != Implementation::Probe => {
                if let Some(mut stream) = self.session.stream(StreamId::new(id)) {
                    stream.reset(ErrorCode(frame.word(0)));
                }
            }
            Frame::GOAWAY => {
                let text = frame.payload.get(8..).unwrap_or_default();
                let text = Bytes::copy_from_slice(text);
                self.session.go_away(self.now, ErrorCode(frame.word(4)), text);
            }
            _ => {}
        }
    }

    /// Opens streams up to `id`.
    fn open(&mut self, id: u32, stream_type: Option<StreamType>) {
        while !self.opened.contains(&id) {
            let opened = match stream_type {
                Some(stream_type) => self.session.open_typed(stream_type),
                None => self.session.open(),
            };
            match opened {
                Ok(opened) => {
                    assert!(
                        opened.get() <= id,
                        "{}: {opened} instead of {id}",
                        self.transcript.name
                    );
                    self.opened.insert(opened.get());
                    self.streams.insert(opened.get());
                }
                Err(error) => {
                    self.played.open_errors.push(error);
                    return;
                }
            }
        }
    }

    /// Writes the pending data of a stream, as far as the session takes it.
    fn flush(&mut self, id: u32) {
        let Some(mut stream) = self.session.stream(StreamId::new(id)) else { return };
        let unwritten = self.unwritten.entry(id).or_default();
        while !unwritten.is_empty() {
            match stream.write(unwritten) {
                Ok(count) => {
                    unwritten.drain(..count);
                }
                Err(WriteError::Blocked) => return,
                Err(error) => {
                    self.played.write_errors.insert(id, error);
                    unwritten.clear();
                }
            }
        }
        if self.finishing.remove(&id) {
            // A stream that the peer has reset is already over.
            let _over = stream.finish();
        }
    }

    /// Reads at most `count` bytes of a stream.
    fn read(&mut self, id: u32, mut count: usize) {
        let Some(mut stream) = self.session.stream(StreamId::new(id)) else { return };
        let received = self.played.received.entry(id).or_default();
        let end = loop {
            if count == 0 {
                return;
            }
            match stream.read_chunk(count) {
                Ok(Some(chunk)) => {
                    count -= chunk.len();
                    received.extend_from_slice(&chunk);
                }
                Ok(None) => break Some(Ok(())),
                Err(ReadError::Blocked) => break None,
                Err(error) => break Some(Err(error)),
            }
        };
        self.played.read_ends.insert(id, end);
    }

    /// A frame of the recorded end goes in.
    fn receive(&mut self, frame: &Frame) {
        let id = frame.id();
        let mut frame = frame.clone();
        if frame.kind() == Frame::DATA {
            if frame.is_syn() && self.transcript.is_typed() {
                self.untyped.insert(id);
            }
            if self.recorded.implementation != Implementation::Probe {
                self.await_credit(id, frame.payload.len() as u64);
            }
            if let Some(beat) = self.beat_to_echo(id, &frame) {
                frame.payload = beat;
            }
            let payload = match self.untyped.remove(&id) {
                true => frame.payload.get(4..).unwrap_or_default(),
                false => &frame.payload,
            };
            self.played.expected.entry(id).or_default().extend_from_slice(payload);
        }
        for piece in frame.to_bytes().chunks(self.chunk) {
            self.session.handle_input(self.now, Bytes::copy_from_slice(piece));
        }
    }

    /// Our beat, if this frame is the recorded echo of one.
    fn beat_to_echo(&mut self, id: u32, frame: &Frame) -> Option<Vec<u8>> {
        for _ in 0..100 {
            let sent = self.sent_on(id);
            let beats = sent.strip_prefix(&HEARTBEAT.to_be_bytes())?;
            if frame.payload.len() != 4 {
                return None;
            }
            if let Some(beat) = beats.chunks_exact(4).nth(self.echoed) {
                self.echoed += 1;
                return Some(beat.to_vec());
            }
            self.pass(Duration::from_millis(10));
            self.settle();
        }
        panic!("{}: our session does not beat", self.transcript.name);
    }

    /// Everything our session has sent on a stream.
    fn sent_on(&self, id: u32) -> Vec<u8> {
        self.played.data_on(id).flat_map(|frame| frame.payload.clone()).collect()
    }

    /// Lets the application read and time pass until the recorded end has credit.
    fn await_credit(&mut self, id: u32, bytes: u64) {
        for _ in 0..100 {
            let credit = self.credit.entry(id).or_insert(u64::from(DEFAULT_WINDOW));
            if let Some(left) = credit.checked_sub(bytes) {
                *credit = left;
                return;
            }
            self.read(id, usize::MAX);
            self.pass(STEP);
            self.settle();
        }
        panic!("{}: no credit for {bytes} bytes on stream {id}", self.transcript.name);
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(timeout) = self.session.poll_timeout().filter(|timeout| *timeout <= until) {
            self.now = self.now.max(timeout);
            self.session.handle_timeout(self.now);
            self.transmit();
        }
        self.now = until;
    }

    /// Handles events and output until there is no more of either.
    fn settle(&mut self) {
        loop {
            let sent = self.transmit();
            let mut idle = sent == 0;
            while let Some(event) = self.session.poll_event() {
                idle = false;
                match event {
                    Event::Acceptable if self.accepts_all() => self.accept(),
                    Event::Writable(id) => self.flush(id.get()),
                    Event::Pong { .. } => self.played.pongs += 1,
                    _ => {}
                }
            }
            if idle {
                return;
            }
        }
    }

    fn transmit(&mut self) -> usize {
        let mut out = Transmit::new();
        let sent = self.session.poll_transmit(self.now, &mut out, usize::MAX);
        self.wire.extend_from_slice(&out.copy_to_bytes(out.remaining()));
        while let Some(frame) = Frame::take(&mut self.wire) {
            if frame.kind() == Frame::WNDINC {
                let credit = self.credit.entry(frame.id()).or_insert(u64::from(DEFAULT_WINDOW));
                *credit += u64::from(frame.word(0));
            }
            self.played.sent.push(frame);
        }
        sent
    }

    /// Reads the rest, and returns the result.
    fn finish(mut self) -> Played {
        if self.accepts_all() {
            while let Some(id) = self.session.accept() {
                self.streams.insert(id.get());
            }
        }
        for id in self.streams.clone() {
            self.read(id, usize::MAX);
        }
        self.played.expected.retain(|id, _| self.streams.contains(id));
        self.played.close_reason = self.session.close_reason().cloned();
        self.played
    }
}

/// Whether this is the first frame of a heartbeat stream.
fn opens_heartbeat(frame: &Frame) -> bool {
    frame.kind() == Frame::DATA && frame.is_syn() && frame.payload == HEARTBEAT.to_be_bytes()
}
