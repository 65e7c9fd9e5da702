//! A scripted peer at the other end of one session's transport: raw frames in, raw frames out, in
//! virtual time.
//!
//! A test sends frames and states the expected answer, in the notation of PROTOCOL.md §1.3:
//!
//! ```
//! use muxado_proto::Config;
//! use muxado_tests::peer::{self, Peer};
//!
//! let mut peer = Peer::of_server(Config::default());
//! peer.send(peer::syn(3, b"hi"));
//! assert_eq!(peer.accept(), 3);
//! peer.stream(3).finish().unwrap();
//! peer.expect(&["DATA id=3 len=0 FIN"]);
//! ```

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use muxado_proto::{
    CloseReason, Config, Event, ReadError, Role, Session, SessionKey, StreamId, StreamMut,
    Timestamp, Transmit,
};

use crate::vectors::Frame;

/// The session under test and its scripted peer.
#[derive(Debug)]
pub struct Peer {
    /// The session under test.
    pub session: Session,
    now: Timestamp,
    unparsed: Vec<u8>,
}

/// However a test has treated the session, its books are right at the end.
impl Drop for Peer {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.session.audit(), Ok(()));
        }
    }
}

impl Peer {
    /// The peer of a new session with this role.
    pub fn of(role: Role, config: Config) -> Self {
        Self::with_key(role, config, [7; 16].into())
    }

    /// The peer of a new session with this role and key.
    pub fn with_key(role: Role, config: Config, key: SessionKey) -> Self {
        let now = Timestamp::from_millis(1000);
        let session = Session::new(role, Arc::new(config), now, key);
        Self { session, now, unparsed: Vec::new() }
    }

    /// The peer, a client, of a new server.
    pub fn of_server(config: Config) -> Self {
        Self::of(Role::Server, config)
    }

    /// The peer, a server, of a new client.
    pub fn of_client(config: Config) -> Self {
        Self::of(Role::Client, config)
    }

    /// The peer of a new server, with these streams open and accepted, and nothing to send.
    pub fn with_streams(config: Config, ids: &[u32]) -> Self {
        let mut peer = Self::of_server(config);
        for &id in ids {
            peer.send(syn(id, b""));
            assert_eq!(peer.accept(), id);
        }
        peer.events();
        peer.expect_silence();
        peer
    }

    /// The virtual time.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.session.handle_input(self.now, Bytes::copy_from_slice(bytes.as_ref()));
    }

    /// Sends bytes without a copy, like an application that reads into `Bytes`.
    pub fn send_bytes(&mut self, bytes: Bytes) {
        self.session.handle_input(self.now, bytes);
    }

    /// Ends the peer's direction of the transport.
    pub fn shut(&mut self) {
        self.session.handle_eof(self.now);
    }

    /// Takes everything the session has to send now.
    pub fn receive_bytes(&mut self) -> Vec<u8> {
        let mut out = Transmit::new();
        let mut bytes = Vec::new();
        while self.session.poll_transmit(self.now, &mut out, 64 << 10) > 0 {
            bytes.extend_from_slice(&out.copy_to_bytes(out.remaining()));
        }
        bytes
    }

    /// Takes one batch of output of at most `max` bytes, and drops it; returns its length.
    ///
    /// # Panics
    ///
    /// If the batch has another length than the session says.
    pub fn batch(&mut self, max: usize) -> usize {
        let mut out = Transmit::new();
        let grown = self.session.poll_transmit(self.now, &mut out, max);
        assert_eq!(grown, out.remaining());
        grown
    }

    /// Takes everything the session has to send now, as frames.
    ///
    /// # Panics
    ///
    /// If it ends within a frame.
    pub fn receive(&mut self) -> Vec<Frame> {
        self.unparsed = self.receive_bytes();
        let frames = std::iter::from_fn(|| Frame::take(&mut self.unparsed)).collect();
        assert!(self.unparsed.is_empty(), "the session has sent a part of a frame");
        frames
    }

    /// Takes everything the session has to send now, as text.
    pub fn hear(&mut self) -> Vec<String> {
        self.receive().iter().map(Frame::meaning).collect()
    }

    /// Asserts that the session has exactly these frames to send now.
    ///
    /// # Panics
    ///
    /// If it has others.
    #[track_caller]
    pub fn expect(&mut self, frames: &[&str]) {
        assert_eq!(self.hear(), frames);
    }

    /// Asserts that the session has nothing to send now.
    ///
    /// # Panics
    ///
    /// If it has something.
    #[track_caller]
    pub fn expect_silence(&mut self) {
        self.expect(&[]);
    }

    /// Asserts that the session ends with a GOAWAY of this code, followed only by the pad.
    ///
    /// # Panics
    ///
    /// If it goes on, or ends otherwise.
    #[track_caller]
    pub fn expect_session_error(&mut self, code: u32) {
        let frames = self.receive();
        let [.., goaway, pad] = frames.as_slice() else { panic!("no GOAWAY: {frames:?}") };
        assert_eq!((goaway.kind(), goaway.word(4)), (Frame::GOAWAY, code));
        assert_eq!(pad.to_bytes(), [0, 0, 0, 0xf0, 0, 0, 0, 0]);
        match self.session.close_reason() {
            Some(CloseReason::Violation { code: reason, .. }) => assert_eq!(reason.0, code),
            other => panic!("not a violation: {other:?}"),
        }
    }

    /// Asserts that the session continues: a new stream of the peer is admitted and answered.
    ///
    /// # Panics
    ///
    /// If it does not.
    #[track_caller]
    pub fn expect_alive(&mut self, fresh_id: u32) {
        assert_eq!(self.session.close_reason(), None);
        self.receive_bytes();
        self.send(syn(fresh_id, b"?"));
        let id = std::iter::from_fn(|| self.session.accept()).last().expect("a stream to accept");
        assert_eq!(id.get(), fresh_id);
        self.stream(fresh_id).write(b"!").expect("a new stream takes data");
        self.expect(&[&format!("DATA id={fresh_id} len=1")]);
    }

    /// Lets time pass, and calls the session at its deadlines.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.session.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.session.handle_timeout(self.now);
        }
        self.now = until;
    }

    /// Lets time pass in one step, as on a machine that has slept, and calls the session once.
    pub fn jump(&mut self, time: Duration) {
        self.now = self.now + time;
        self.session.handle_timeout(self.now);
    }

    /// Asserts that the session waits only for its peer, after it has freed its spare memory.
    ///
    /// # Panics
    ///
    /// If it has something to send, or always has another deadline.
    #[track_caller]
    pub fn expect_rest(&mut self) {
        for _ in 0..2 {
            self.pass(self.session.config().update_delay());
            self.expect_silence();
        }
        assert_eq!(self.session.poll_timeout(), None);
    }

    /// Takes all events.
    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    /// The id of the next stream to accept.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn accept(&mut self) -> u32 {
        self.session.accept().expect("a stream to accept").get()
    }

    /// The id of a newly opened stream.
    ///
    /// # Panics
    ///
    /// If none can be opened.
    #[track_caller]
    pub fn open(&mut self) -> u32 {
        self.session.open().expect("a stream can be opened").get()
    }

    /// The application's view of a stream.
    ///
    /// # Panics
    ///
    /// If the application has no such stream.
    #[track_caller]
    pub fn stream(&mut self, id: u32) -> StreamMut<'_> {
        self.session.stream(StreamId::new(id)).expect("a stream of the application")
    }

    /// Reads what has arrived on a stream; returns it, and why there is no more: `Ok` at its end.
    #[track_caller]
    pub fn read(&mut self, id: u32) -> (Vec<u8>, Result<(), ReadError>) {
        let mut stream = self.stream(id);
        let mut bytes = Vec::new();
        loop {
            match stream.read_chunk(usize::MAX) {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return (bytes, Ok(())),
                Err(error) => return (bytes, Err(error)),
            }
        }
    }

    /// Writes all of `data` to a stream.
    ///
    /// # Panics
    ///
    /// If the stream does not take it at once.
    #[track_caller]
    pub fn write(&mut self, id: u32, data: &[u8]) {
        assert_eq!(self.stream(id).write(data), Ok(data.len()));
    }
}

/// A header with this length, type, flags and id, valid or not.
pub fn header(length: usize, kind: u8, flags: u8, id: u32) -> [u8; 8] {
    let [_, a, b, c] = u32::try_from(length).expect("a length of 24 bits").to_be_bytes();
    let [d, e, f, g] = id.to_be_bytes();
    [a, b, c, kind << 4 | flags, d, e, f, g]
}

/// A frame of any type.
pub fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    [&header(payload.len(), kind, flags, id), payload].concat()
}

/// DATA.
pub fn data(id: u32, payload: &[u8]) -> Vec<u8> {
    frame(Frame::DATA, 0, id, payload)
}

/// DATA with SYN.
pub fn syn(id: u32, payload: &[u8]) -> Vec<u8> {
    frame(Frame::DATA, 0x2, id, payload)
}

/// DATA with FIN.
pub fn data_fin(id: u32, payload: &[u8]) -> Vec<u8> {
    frame(Frame::DATA, 0x1, id, payload)
}

/// DATA with SYN and FIN.
pub fn syn_fin(id: u32, payload: &[u8]) -> Vec<u8> {
    frame(Frame::DATA, 0x3, id, payload)
}

/// An empty DATA with FIN.
pub fn fin(id: u32) -> Vec<u8> {
    data_fin(id, b"")
}

/// RST.
pub fn rst(id: u32, code: u32) -> Vec<u8> {
    frame(Frame::RST, 0, id, &code.to_be_bytes())
}

/// WNDINC.
pub fn wnd_inc(id: u32, increment: u32) -> Vec<u8> {
    frame(Frame::WNDINC, 0, id, &increment.to_be_bytes())
}

/// GOAWAY.
pub fn go_away(last: u32, code: u32, text: &[u8]) -> Vec<u8> {
    let payload = [&last.to_be_bytes(), &code.to_be_bytes(), text].concat();
    frame(Frame::GOAWAY, 0, 0, &payload)
}
