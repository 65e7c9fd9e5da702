//! One session, a peer that sends arbitrary bytes, and an application that makes arbitrary calls.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use muxado_proto::decode::{Decoder, Item};
use muxado_proto::{
    Config, ErrorCode, Event, Heartbeat, Priority, Role, Session, StreamId, StreamType, Timestamp,
    Transmit, TransportError,
};

use crate::sim::Source;

/// Maximum number of polls: there are at most a few events per byte of input.
const PATIENCE: usize = 1 << 20;

/// The session under attack.
struct Lab {
    session: Session,
    now: Timestamp,
    /// What the application does.
    choices: Source<'static>,
    held: Vec<StreamId>,
    said: Decoder,
    closed: bool,
}

/// Runs an input: three bytes configure the session and the application, the rest is sent by the
/// peer.
///
/// # Panics
///
/// If the session breaks one of its promises.
pub fn run(input: &[u8]) {
    let [flags, seed, cut, bytes @ ..] = input else { return };
    let mut lab = Lab::new(*flags, *seed);
    let mut rest = bytes;
    while !rest.is_empty() {
        let most = if *cut == 0 { rest.len() } else { usize::from(*cut) };
        let count = lab.choices.size(most.min(rest.len()));
        let (piece, tail) = rest.split_at(count);
        rest = tail;
        lab.feed(piece);
        for _ in 0..lab.choices.below(4) {
            lab.act();
        }
        lab.check();
    }
    lab.finish();
}

impl Lab {
    fn new(flags: u8, seed: u8) -> Self {
        let typed = flags & 2 != 0;
        let mut builder = Config::builder()
            .typed(typed)
            .heartbeat((typed && flags & 4 != 0).then(Heartbeat::default))
            .auto_tune(flags & 8 != 0);
        if flags & 16 != 0 {
            // Limits that can be reached with few bytes.
            builder = builder
                .accept_backlog(2)
                .max_inbound_streams(4)
                .max_outbound_streams(2)
                .tombstones(2)
                .pending_resets(2)
                .id_gaps(4)
                .receive_window(100)
                .session_receive_buffer(200)
                .overcommit(true)
                .session_send_buffer(100)
                .send_buffer(64)
                .stream_stall_timeout(Some(Duration::from_secs(5)));
        }
        let config = Arc::new(builder.build().expect("settings in their ranges"));
        let role = if flags & 1 == 0 { Role::Server } else { Role::Client };
        let now = Timestamp::from_millis(1000);
        Self {
            session: Session::new(role, config, now, [seed; 16].into()),
            now,
            choices: Source::Seed(u64::from(seed)),
            held: Vec::new(),
            said: Decoder::new(1 << 16),
            closed: false,
        }
    }

    fn feed(&mut self, piece: &[u8]) {
        if self.choices.one_in(2) {
            self.session.handle_input(self.now, Bytes::copy_from_slice(piece));
        } else {
            self.session.handle_slice(self.now, piece);
        }
    }

    fn act(&mut self) {
        let now = self.now;
        match self.choices.below(12) {
            0 => {
                let opened = if self.session.config().typed() {
                    self.session.open_typed(StreamType(7))
                } else {
                    self.session.open()
                };
                self.held.extend(opened);
            }
            1 => self.held.extend(self.session.accept()),
            2 => {
                let max = self.choices.size(3000);
                self.transmit(max);
            }
            3 => self.transmit(usize::MAX),
            4 => self.now = now + Duration::from_millis(self.choices.below(20_000)),
            5 => self.session.handle_timeout(now),
            6 if self.choices.one_in(20) => self.end(),
            6 => drop(self.session.ping(now)),
            _ => self.use_stream(),
        }
        self.listen();
    }

    fn end(&mut self) {
        let code = ErrorCode(0);
        match self.choices.below(4) {
            0 => self.session.close(self.now, code, "close"),
            1 => self.session.go_away(self.now, code, "go away"),
            2 => self.session.abort(self.now, code, "abort"),
            _ => {
                let error = TransportError::new(std::fmt::Error);
                self.session.handle_transport_error(self.now, error);
            }
        }
    }

    fn use_stream(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let index = self.choices.index(self.held.len());
        let id = self.held[index];
        let count = self.choices.size(3000);
        let act = self.choices.below(10);
        let mut stream = self.session.stream(id).expect("a stream is there until it is released");
        match act {
            0 | 1 => drop(stream.read(&mut vec![0; count])),
            2 => drop(stream.read_chunk(count)),
            3 | 4 => drop(stream.write(&vec![1; count])),
            5 => drop(stream.write_chunk(&mut Bytes::from(vec![2; count]))),
            6 => drop(stream.finish()),
            7 => stream.set_priority(Priority::new(u8::try_from(count % 9).unwrap_or(0))),
            8 if count.is_multiple_of(2) => stream.stop(),
            8 => stream.reset(ErrorCode(u32::try_from(count % 3).unwrap_or(0))),
            _ => {
                stream.release();
                self.held.swap_remove(index);
            }
        }
    }

    /// Takes output, and checks that a session may send it.
    fn transmit(&mut self, max: usize) {
        let mut out = Transmit::new();
        for _ in 0..PATIENCE {
            if self.session.poll_transmit(self.now, &mut out, max.max(1)) == 0 {
                assert!(!self.session.wants_transmit());
                let bytes = out.copy_to_bytes(out.remaining());
                return self.listen_to(&bytes);
            }
        }
        panic!("output without end");
    }

    fn listen_to(&mut self, mut bytes: &[u8]) {
        while let Some(item) = self.said.decode(&mut bytes) {
            match item {
                Item::Data { id, flags, .. } => {
                    assert!(id.get() != 0 && !(flags.is_syn() && flags.is_fin()));
                }
                Item::Rst { id, code } => assert!(id.get() != 0 && code.0 != 0),
                Item::WndInc { id, increment } => assert!(id.get() != 0 && increment != 0),
                Item::Malformed { .. } => panic!("{item:?} was sent"),
                _ => {}
            }
        }
    }

    fn listen(&mut self) {
        for _ in 0..PATIENCE {
            match self.session.poll_event() {
                Some(Event::Closed(reason)) => {
                    assert!(!self.closed, "Closed twice");
                    assert_eq!(self.session.close_reason(), Some(&reason));
                    self.closed = true;
                }
                Some(_) => {}
                None => return,
            }
        }
        panic!("events without end");
    }

    /// What holds at any time.
    fn check(&self) {
        let (stats, config) = (self.session.stats(), self.session.config());
        assert!(stats.receive_buffered <= config.session_receive_buffer());
        // The session itself writes types and heartbeats.
        let own = 64 * u64::from(stats.open_streams + config.max_heartbeat_responders() + 2);
        assert!(stats.send_buffered <= u64::from(config.session_send_buffer()) + own);
        // The streams of one input are checked together, so the backlog may be exceeded.
        assert!(stats.backlog <= config.max_inbound_streams());
        assert!(stats.open_streams <= config.max_inbound_streams() + config.max_outbound_streams());
        assert_eq!(self.session.audit(), Ok(()));
        if let Some(at) = self.session.poll_timeout() {
            assert!(at.as_nanos() > 0);
        }
    }

    /// The peer ends the transport; then everything must end, and nothing may be left.
    fn finish(&mut self) {
        self.session.handle_eof(self.now);
        for _ in 0..PATIENCE {
            self.listen();
            self.transmit(usize::MAX);
            if self.session.is_finished() {
                break;
            }
            self.now = self.session.poll_timeout().expect("something to wait for").max(self.now);
            self.session.handle_timeout(self.now);
        }
        // The last output may have set the reason.
        self.listen();
        assert!(self.session.is_finished() && self.closed);
        while let Some(id) = self.session.accept() {
            self.held.push(id);
        }
        for id in std::mem::take(&mut self.held) {
            self.session.stream(id).expect("a stream is there until it is released").release();
        }
        self.listen();
        let stats = self.session.stats();
        let left = (stats.open_streams, stats.backlog, stats.send_buffered, stats.receive_buffered);
        assert_eq!(left, (0, 0, 0, 0));
        assert_eq!(stats.window_growth, 0);
        assert_eq!(self.session.audit(), Ok(()));
    }
}
