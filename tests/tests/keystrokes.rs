//! Urgent data together with an upload, in virtual time: the latency of a key over links of every
//! speed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use muxado_proto::{Config, Priority, Role, Session, StreamId, Timestamp, Transmit};

/// Bytes of the queue before the link.
const QUEUE: usize = 16 << 10;

/// A client that uploads endlessly and types, a server, and a link between them.
struct World {
    client: Session,
    server: Session,
    now: Timestamp,
    out: Transmit,
    queue: VecDeque<u8>,
    /// Bytes a second.
    rate: f64,
    /// What of a byte the link has sent.
    sent: f64,
    upload: StreamId,
    keys: StreamId,
    block: Vec<u8>,
}

impl World {
    fn new(rate: f64) -> Self {
        let config = Arc::new(Config::default());
        let now = Timestamp::ZERO;
        let mut client = Session::new(Role::Client, Arc::clone(&config), now, [1; 16].into());
        let server = Session::new(Role::Server, config, now, [2; 16].into());
        let upload = client.open().expect("room for a stream");
        let keys = client.open().expect("room for a stream");
        client.stream(keys).expect("it is open").set_priority(Priority::HIGHEST);
        let (out, queue) = (Transmit::new(), VecDeque::new());
        let block = vec![0; 64 << 10];
        Self { client, server, now, out, queue, rate, sent: 0.0, upload, keys, block }
    }

    /// Lets time pass and moves data; `true` if a key has arrived.
    fn pass(&mut self, time: Duration) -> bool {
        self.now = self.now + time;
        self.client.handle_timeout(self.now);
        self.server.handle_timeout(self.now);
        self.sent = (self.sent + self.rate * time.as_secs_f64()).min(self.queue.len() as f64);
        let arrived: Vec<u8> = self.queue.drain(..self.sent as usize).collect();
        self.sent -= arrived.len() as f64;
        self.server.handle_slice(self.now, &arrived);
        while self.server.accept().is_some() {}
        let mut scratch = vec![0; 64 << 10];
        if let Some(mut upload) = self.server.stream(self.upload) {
            while upload.read(&mut scratch).is_ok() {}
        }
        let key =
            self.server.stream(self.keys).is_some_and(|mut keys| keys.read(&mut scratch).is_ok());
        // The way back is fast and free.
        let mut back = Transmit::new();
        while self.server.poll_transmit(self.now, &mut back, usize::MAX) > 0 {}
        self.client.handle_slice(self.now, &back.copy_to_bytes(back.len()));
        let mut upload = self.client.stream(self.upload).expect("it is open");
        while upload.write(&self.block).is_ok() {}
        self.transmit();
        key
    }

    /// The work of a driver.
    fn transmit(&mut self) {
        loop {
            if self.out.is_empty() {
                let batch = self.client.batch_size();
                if self.client.poll_transmit(self.now, &mut self.out, batch) == 0 {
                    return;
                }
            }
            let count = self.out.len().min(QUEUE - self.queue.len());
            if count == 0 {
                return;
            }
            self.queue.extend(self.out.copy_to_bytes(count));
            self.client.transmitted(self.now, count);
        }
    }

    /// The longest latency of `count` keys, one after the other.
    fn type_keys(&mut self, count: u32, step: Duration) -> Duration {
        let mut longest = Duration::ZERO;
        for _ in 0..count {
            for _ in 0..200 {
                assert!(!self.pass(step), "nobody has typed");
            }
            let typed = self.now;
            self.client.stream(self.keys).expect("it is open").write(b"k").expect("there is room");
            self.transmit();
            while !self.pass(step) {}
            longest = longest.max(self.now - typed);
        }
        longest
    }
}

#[test]
fn w2_a_key_beside_an_upload_waits_for_the_queue_and_ten_milliseconds() {
    // 100 kbit/s, 1 Mbit/s, 10 Mbit/s, 1 Gbit/s.
    for rate in [12_500.0, 125_000.0, 1_250_000.0, 125e6] {
        let mut world = World::new(rate);
        let queue = QUEUE as f64 / rate;
        let step = Duration::from_secs_f64((queue / 50.0).min(0.001));
        // The first frames are sent before the pace of the link is known.
        while world.now - Timestamp::ZERO < Duration::from_secs_f64(4.0 * queue) {
            world.pass(step);
        }
        let longest = world.type_keys(30, step);
        // Ten milliseconds, or the minimum batch, plus the step of this test.
        let ahead = (520.0 / rate).max(0.0101);
        let limit = Duration::from_secs_f64(queue + ahead) + 4 * step;
        assert!(longest <= limit, "{longest:?} at {rate} bytes a second, {limit:?} allowed");
        if rate == 125_000.0 {
            assert!(longest <= Duration::from_millis(170), "{longest:?}");
        }
    }
}

#[test]
fn w2_a_fast_link_gets_full_frames_and_segments() {
    for rate in [125e6, 1e10] {
        let mut world = World::new(rate);
        for _ in 0..2000 {
            world.pass(Duration::from_micros(20));
        }
        assert!(world.client.batch_size() >= 16_360, "{}", world.client.batch_size());
        let stats = world.client.stats();
        let each = stats.payload_sent / stats.frames_sent;
        // Credit comes in parts of 131 072 bytes: eight full frames, and one of 192 bytes.
        assert!(each > 14_500, "{each} bytes a frame at {rate} bytes a second");
    }
}

#[test]
fn w2_small_frames_on_a_slow_link_cost_little_of_it() {
    let mut world = World::new(125_000.0);
    for _ in 0..20_000 {
        world.pass(Duration::from_millis(1));
    }
    let stats = world.client.stats();
    let share = stats.payload_sent as f64 / stats.bytes_sent as f64;
    assert!(share > 0.99, "{share}");
    let sent = stats.bytes_sent as f64 / (20.0 * 125_000.0);
    assert!(sent > 0.98, "{sent} of the link");
}
