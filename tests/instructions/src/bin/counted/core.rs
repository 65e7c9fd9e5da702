//! The core alone: two directly connected sessions, or one that gets frames.

use std::hint::black_box;

use bytes::Buf as _;
use muxado_proto::frame::{Flags, Header};
use muxado_proto::{ErrorCode, Event, StreamId};

use crate::pair::{BULK, MESSAGE, Pair, ROUND, STREAMS, carry_only, write};

/// Runs a scenario of the core; `None` if there is none with this name. Only the sessions copy the
/// carried bytes.
pub fn run(scenario: &str, rounds: u64) -> Option<u64> {
    let (mut pair, round): (Pair, fn(&mut Pair)) = match scenario {
        "core-small-frames" => (Pair::with_streams(STREAMS), Pair::small_frames),
        "core-bulk-copied" => (Pair::with_streams(1), Pair::bulk_copied),
        "core-bulk-chunks" => (Pair::with_streams(1), Pair::bulk_chunks),
        "core-stream" => (Pair::new(false), Pair::streams),
        "core-wndinc" => (Pair::with_streams(STREAMS), Pair::window_updates),
        "core-rst" => (Pair::new(false), Pair::resets),
        "core-heartbeat" => (Pair::new(true), Pair::heartbeat),
        "core-stray" => (Pair::new(false), Pair::strays),
        _ => return None,
    };
    for _ in 0..rounds {
        round(&mut pair);
    }
    Some(0)
}

impl Pair {
    /// A WNDINC on each stream.
    fn window_updates(&mut self) {
        self.now = self.now + ROUND;
        for &id in &self.ids {
            self.client.handle_slice(self.now, &Header::wnd_inc(id, 1));
        }
        while let Some(event) = self.client.poll_event() {
            black_box(event);
        }
    }

    /// Streams that are opened, and reset by their opener.
    fn resets(&mut self) {
        self.ids.clear();
        for _ in 0..STREAMS {
            let id = self.client.open().expect("all earlier streams are gone");
            write(&mut self.client, id, &self.buffer[..MESSAGE]);
            self.ids.push(id);
        }
        self.settle();
        for &id in &self.ids {
            let mut stream = self.client.stream(id).expect("the stream is open");
            stream.reset(ErrorCode::STREAM_CANCELLED);
            stream.release();
        }
        self.settle();
        while let Some(id) = self.server.accept() {
            let mut stream = self.server.stream(id).expect("it was not accepted before");
            black_box(stream.read(&mut self.scratch[..MESSAGE])).ok();
            stream.release();
        }
    }

    /// A heartbeat and its echo.
    fn heartbeat(&mut self) {
        self.now = self.now + ROUND;
        self.client.ping(self.now).expect("the session is typed");
        loop {
            let now = self.now;
            let there = carry_only(&mut self.client, &mut self.server, &mut self.wire, now);
            let back = carry_only(&mut self.server, &mut self.client, &mut self.wire, now);
            if !there && !back {
                break;
            }
        }
        assert!(matches!(self.client.poll_event(), Some(Event::Pong { .. })));
    }

    /// DATA on streams that never existed; the answers are dropped.
    fn strays(&mut self) {
        self.now = self.now + ROUND;
        let mut frame = [0; 8 + MESSAGE];
        for _ in 0..STREAMS {
            self.strange += 2;
            let id = StreamId::new(self.strange);
            frame[..8].copy_from_slice(&Header::data(id, MESSAGE as u32, Flags::NONE).encode());
            self.server.handle_slice(self.now, black_box(&frame));
        }
        let mut answers = 0;
        while self.server.poll_transmit(self.now, &mut self.wire, BULK) > 0 {
            answers += self.wire.remaining();
            self.wire.advance(self.wire.remaining());
        }
        assert!(answers >= STREAMS * Header::rst(StreamId::new(1), 0).len(), "an RST for each");
    }
}
