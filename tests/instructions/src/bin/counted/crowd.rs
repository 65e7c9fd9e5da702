//! What a call costs while many streams are open: it must not depend on their number.

use std::sync::Arc;
use std::time::Duration;

use bytes::Buf as _;
use muxado_proto::frame::{Flags, Header};
use muxado_proto::{
    Config, ErrorCode, Event, RateLimit, Role, Session, StreamId, Timestamp, Transmit, WriteError,
};

/// Operations of a round.
const ROUND: usize = 64;
/// Time that passes in a round.
const STEP: Duration = Duration::from_micros(100);

/// Runs a scenario; `None` if there is none with this name.
pub fn run(scenario: &str, rounds: u64) -> Option<u64> {
    let (mut crowd, round): (Crowd, fn(&mut Crowd)) = match scenario {
        "crowd-grant-1000" => (Crowd::blocked(1000), Crowd::grants),
        "crowd-grant-30000" => (Crowd::blocked(30_000), Crowd::grants),
        "crowd-gap-1000" => (Crowd::with_gaps(1000), Crowd::gaps),
        "crowd-gap-30000" => (Crowd::with_gaps(30_000), Crowd::gaps),
        _ => return None,
    };
    for _ in 0..rounds {
        round(&mut crowd);
    }
    Some(0)
}

/// A session whose peer is written by hand.
struct Crowd {
    session: Session,
    wire: Transmit,
    now: Timestamp,
    ids: Vec<StreamId>,
    /// The stream whose turn is next.
    turn: usize,
    /// The latest id of the peer.
    latest: u32,
}

impl Crowd {
    fn new(role: Role, streams: u32) -> Self {
        // The stall timeout is longer than a run. Rate limits are disabled here.
        let any = RateLimit::new(1 << 30, 1 << 30);
        let config = Config::builder()
            .max_outbound_streams(streams)
            .max_inbound_streams(streams)
            .overcommit(true)
            .send_window(1)
            .reset_limit(any)
            .stray_data_limit(any)
            .stream_stall_timeout(Some(Duration::from_secs(3600)));
        let config = Arc::new(config.build().expect("the settings are valid"));
        Self {
            session: Session::new(role, config, Timestamp::ZERO, [1; 16].into()),
            wire: Transmit::new(),
            now: Timestamp::ZERO,
            ids: Vec::new(),
            turn: 0,
            latest: 1,
        }
    }

    /// Streams that wait for credit, each since another moment.
    fn blocked(streams: u32) -> Self {
        let mut crowd = Self::new(Role::Client, streams);
        for _ in 0..streams {
            let id = crowd.session.open().expect("there is room for this stream");
            crowd.ids.push(id);
            crowd.write(id, b"ab");
            crowd.pass();
        }
        crowd
    }

    /// Gaps between the ids of the peer, as many as are kept.
    fn with_gaps(streams: u32) -> Self {
        let mut crowd = Self::new(Role::Server, streams);
        for _ in 0..streams {
            crowd.gap();
        }
        crowd.pass();
        crowd
    }

    fn write(&mut self, id: StreamId, data: &[u8]) {
        let mut stream = self.session.stream(id).expect("the stream is open");
        assert!(matches!(stream.write(data), Ok(_) | Err(WriteError::Blocked)));
    }

    /// Lets some time pass, throws the output away and takes the events.
    fn pass(&mut self) {
        self.now = self.now + STEP;
        if self.session.poll_timeout().is_some_and(|due| due <= self.now) {
            self.session.handle_timeout(self.now);
        }
        while self.session.poll_transmit(self.now, &mut self.wire, 64 << 10) > 0 {
            let count = self.wire.remaining();
            self.wire.advance(count);
            self.session.transmitted(self.now, count);
        }
        while let Some(event) = self.session.poll_event() {
            assert!(!matches!(event, Event::Closed(_)), "{event:?}");
        }
    }

    /// Credit for streams all over the crowd, each of which sends a byte and waits again.
    fn grants(&mut self) {
        for _ in 0..ROUND {
            self.turn = (self.turn + 617) % self.ids.len();
            let id = self.ids[self.turn];
            self.session.handle_slice(self.now, &Header::wnd_inc(id, 1));
            self.write(id, b"c");
        }
        self.pass();
    }

    /// Streams of a peer that skips an id each time, given up at once.
    fn gaps(&mut self) {
        for _ in 0..ROUND {
            self.gap();
        }
        self.pass();
    }

    fn gap(&mut self) {
        self.latest += 4;
        let id = StreamId::new(self.latest);
        self.session.handle_slice(self.now, &Header::data(id, 0, Flags::SYN).encode());
        self.session.handle_slice(self.now, &Header::rst(id, ErrorCode::STREAM_CANCELLED.0));
        while let Some(id) = self.session.accept() {
            self.session.stream(id).expect("it was accepted").release();
        }
    }
}
