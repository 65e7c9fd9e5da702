//! Work: the cost of an input, and the termination of every call.

use std::time::Duration;

use bytes::Buf;
use muxado_proto::{Config, ErrorCode, Priority, StreamType, Transmit};
use muxado_tests::peer::{self, Peer};

use crate::meter::Meter;

/// A generator of reproducible pseudo-random numbers.
struct Arbitrary(u64);

impl Arbitrary {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    /// A frame that is usually meaningful.
    fn frame(&mut self) -> Vec<u8> {
        let kind = [1, 1, 1, 1, 0, 2, 2, 3, 4][usize::try_from(self.next(9)).expect("small")];
        let id = u32::try_from(self.next(40)).expect("small");
        let length = match (kind, self.next(20)) {
            (0 | 2, 1..) => 4,
            (3, 1..) => 8 + self.next(20),
            (_, 0) => self.next(300_000),
            _ => self.next(2000),
        };
        let flags = u8::try_from(self.next(16)).expect("small");
        let mut payload = vec![0; usize::try_from(length).expect("small")];
        payload
            .iter_mut()
            .for_each(|byte| *byte = u8::try_from(self.0 >> 13 & 0xff).expect("a byte"));
        peer::frame(kind, flags, id, &payload)
    }
}

/// One call of an application that does everything at random.
fn act(peer: &mut Peer, arbitrary: &mut Arbitrary, typed: bool) {
    let now = peer.now();
    let id = u32::try_from(arbitrary.next(40)).expect("small");
    match arbitrary.next(14) {
        0 => drop(peer.session.accept()),
        1 if typed => drop(peer.session.open_typed(StreamType(id))),
        1 => drop(peer.session.open()),
        2 if arbitrary.next(200) == 0 => peer.session.go_away(now, ErrorCode(id), ""),
        3 if arbitrary.next(200) == 0 => peer.session.close(now, ErrorCode(id), "bye"),
        4 => drop(peer.session.ping(now)),
        choice => {
            let Some(mut stream) = peer.session.stream(muxado_proto::StreamId::new(id)) else {
                return;
            };
            match choice {
                5 => drop(stream.finish()),
                6 => stream.reset(ErrorCode(id)),
                7 => stream.stop(),
                8 => stream.release(),
                9 => stream.set_priority(Priority::new(u8::try_from(id).expect("small"))),
                10 | 11 => drop(stream.write(&vec![1; 20_000])),
                _ => drop(stream.read(&mut [0; 5000])),
            }
        }
    }
}

#[test]
fn no_call_goes_on_for_ever() {
    let _meter = Meter::start();
    for seed in 1..=100 {
        let typed = seed % 2 == 0;
        let config = Config::builder()
            .typed(typed)
            .session_send_buffer(100_000)
            .session_receive_buffer(300_000)
            .overcommit(true)
            .tombstones(8)
            .stream_stall_timeout(Some(Duration::from_secs(2)));
        let mut peer = Peer::of_server(config.build().expect("valid"));
        let mut arbitrary = Arbitrary(seed * 0x9E37_79B9);
        for _ in 0..300 {
            peer.send(arbitrary.frame());
            act(&mut peer, &mut arbitrary, typed);
            // Each step of output returns something or says that there is no more, and the number
            // of steps is bounded by the output.
            if arbitrary.next(3) > 0 {
                let (mut out, mut steps) = (Transmit::new(), 0);
                while peer.session.poll_transmit(peer.now(), &mut out, 1) > 0 {
                    out.advance(out.remaining());
                    steps += 1;
                    assert!(steps < 3000, "seed {seed}: {steps} steps of output");
                }
                assert!(!peer.session.wants_transmit(), "seed {seed}: wants to send nothing");
            }
            let mut steps = 0;
            while let Some(event) = peer.session.poll_event() {
                steps += 1;
                assert!(steps < 300, "seed {seed}: {event:?}");
            }
            peer.pass(Duration::from_millis(arbitrary.next(1000)));
            let due = peer.session.poll_timeout();
            assert!(due.is_none_or(|due| due > peer.now()), "seed {seed}: a timer does not end");
        }
    }
}

#[test]
fn a_frame_costs_no_allocation() {
    let meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    for id in [3, 5] {
        peer.send(peer::syn(id, b""));
        peer.accept();
    }
    let (tiny, flood) = (peer::data(3, b"x"), peer::wnd_inc(5, 1).repeat(1000));
    let mut buf = [0; 16];
    let now = peer.now();
    let mut run = |peer: &mut Peer, rounds: usize| {
        let before = meter.allocations();
        for _ in 0..rounds {
            peer.session.handle_slice(now, &tiny);
            assert_eq!(peer.stream(3).read(&mut buf), Ok(1));
            peer.session.handle_slice(now, &flood);
            while peer.session.poll_event().is_some() {}
        }
        meter.allocations() - before
    };
    run(&mut peer, 10);
    // The test harness sometimes allocates on its own threads.
    let fewest = (0..50).map(|_| run(&mut peer, 20)).min();
    assert_eq!(fewest, Some(0));
}

#[test]
fn a_stream_that_comes_and_goes_leaves_nothing() {
    let meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    let mut id = 1;
    meter.assert_flat(200, 512 << 10, |_| {
        for _ in 0..500 {
            id += 2;
            peer.send(peer::syn_fin(id, b"request"));
            let id = peer.accept();
            assert_eq!(peer.read(id).0, b"request");
            peer.write(id, b"response");
            peer.stream(id).release();
            peer.events();
        }
        peer.receive_bytes();
    });
    let stats = peer.session.stats();
    assert_eq!((stats.open_streams, stats.send_buffered, stats.receive_buffered), (0, 0, 0));
}

#[test]
fn a_crowd_that_has_gone_leaves_nothing() {
    let meter = Meter::start();
    // The harness allocates as well, on threads of its own, so the least of some rounds counts.
    let left = (0..5).map(|_| left_by_a_crowd(&meter)).min().expect("five rounds");
    assert!(left <= 2048, "{left}");
}

/// Bytes that a session holds after 1000 streams have come and gone, more than when it was new.
fn left_by_a_crowd(meter: &Meter) -> usize {
    let mut peer = Peer::of_server(Config::default());
    let fresh = meter.held();
    let ids: Vec<u32> = (0..1000).map(|n| 3 + 2 * n).collect();
    for &id in &ids {
        peer.send(peer::syn_fin(id, b"request"));
        peer.accept();
    }
    let crowded = meter.held();
    for &id in &ids {
        assert_eq!(peer.read(id).0, b"request");
        peer.write(id, b"response");
        peer.stream(id).release();
    }
    peer.events();
    for _ in 0..2 {
        peer.receive_bytes();
        peer.pass(Config::default().update_delay());
    }
    drop(ids);
    let left = meter.held().saturating_sub(fresh);
    println!("a crowd of 1000: {} bytes held, {left} of them afterwards", crowded - fresh);
    left
}
