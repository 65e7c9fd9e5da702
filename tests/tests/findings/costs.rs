//! What calls cost with few and with many streams: W12.

use std::time::{Duration, Instant};

use muxado_proto::Config;
use muxado_tests::peer::{self, Peer};

/// A time that grows with the number of streams would grow by this factor.
const MANY: u32 = 32;

/// The shortest of several times that `work` takes after `prepare`. Others may use the processor, but
/// not always.
fn shortest(mut prepare: impl FnMut() -> Peer, mut work: impl FnMut(&mut Peer)) -> Duration {
    let times = (0..5).map(|_| {
        let mut peer = prepare();
        let begun = Instant::now();
        work(&mut peer);
        begun.elapsed()
    });
    times.min().expect("some")
}

/// Asserts that the time for one stream is about the same with few and with many streams.
fn is_flat(few: Duration, many: Duration) {
    let [few, many] = [few, many].map(|time| time.as_secs_f64());
    assert!(many < few * f64::from(MANY) / 2.0, "{few} s with few streams, {many} s with many");
}

#[test]
fn w12_a_look_at_the_front_does_not_cost_more_with_more_behind_it() {
    let peek = |chunks| {
        let prepare = || {
            let mut peer = Peer::with_streams(Config::default(), &[3]);
            (0..chunks).for_each(|_| peer.send(peer::data(3, &[7; 1000])));
            peer
        };
        shortest(prepare, |peer| {
            let mut front = [0; 4];
            for _ in 0..10_000 {
                assert_eq!(peer.stream(3).peek(&mut front), 4);
            }
            assert_eq!(front, [7; 4]);
        })
    };
    is_flat(peek(8), peek(8 * MANY));
}

/// The time per stream of streams that stall one after the other.
fn stalls(streams: u32) -> Duration {
    let limit = Duration::from_secs(60);
    let config = Config::builder()
        .stream_stall_timeout(Some(limit))
        .send_window(1)
        .max_outbound_streams(streams)
        .overcommit(true)
        .build()
        .expect("valid");
    let step = Duration::from_millis(1);
    let prepare = || {
        let mut peer = Peer::of_client(config.clone());
        for _ in 0..streams {
            let id = peer.open();
            peer.write(id, b"12");
            peer.receive_bytes();
            peer.pass(step);
        }
        peer.pass(limit - step * (streams + 1));
        assert_eq!(peer.session.stats().resets_sent, 0);
        peer
    };
    let total = shortest(prepare, |peer| {
        for _ in 0..streams + 2 {
            peer.pass(step);
            peer.receive_bytes();
        }
        assert_eq!(peer.session.stats().resets_sent, u64::from(streams));
    });
    total / streams
}

#[test]
fn w12_a_stream_that_stalls_does_not_cost_more_with_more_that_will() {
    is_flat(stalls(900), stalls(900 * MANY));
}

/// The time of some resets of the stream that holds most, among so many.
fn resets_of_the_largest(streams: u32) -> Duration {
    const RESETS: u32 = 200;
    let config = Config::builder()
        .max_inbound_streams(streams)
        .session_receive_buffer(u64::from(streams) * 1024)
        .overcommit(true)
        .build()
        .expect("valid");
    let prepare = || {
        let mut peer = Peer::of_server(config.clone());
        for n in 0..streams {
            peer.send(peer::syn(3 + 2 * n, &[7; 1024]));
            peer.accept();
        }
        // A block more is tolerated.
        for n in 0..64 {
            peer.send(peer::data(3 + 2 * n, &[7; 1024]));
        }
        peer.receive_bytes();
        peer
    };
    shortest(prepare, |peer| {
        let before = peer.session.stats().resets_sent;
        for n in 0..RESETS {
            peer.send(peer::data(3 + 2 * (n + 100), &[7; 4096]));
            peer.receive_bytes();
        }
        let resets = peer.session.stats().resets_sent - before;
        assert!(resets > u64::from(RESETS) / 2, "{resets}");
    })
}

#[test]
fn w12_a_reset_of_the_largest_does_not_cost_more_among_more() {
    is_flat(resets_of_the_largest(600), resets_of_the_largest(600 * MANY));
}

/// The time of some SYNs, each beyond an id that was left out, with a list of gaps that is full.
fn syns_with_gaps(gaps: u32) -> Duration {
    let config = Config::builder().max_inbound_streams(16).id_gaps(gaps).build().expect("valid");
    let prepare = || {
        let mut peer = Peer::of_server(config.clone());
        for n in 0..gaps {
            come_and_go(&mut peer, 5 + 4 * n);
        }
        peer
    };
    shortest(prepare, |peer| {
        for n in 0..1000 {
            come_and_go(peer, 5 + 4 * (gaps + n));
        }
    })
}

/// A stream of the peer that ends at once.
fn come_and_go(peer: &mut Peer, id: u32) {
    peer.send(peer::syn_fin(id, b""));
    assert_eq!(peer.accept(), id);
    peer.stream(id).release();
    peer.receive_bytes();
}

#[test]
fn w12_a_syn_does_not_cost_more_with_more_gaps() {
    is_flat(syns_with_gaps(900), syns_with_gaps(900 * MANY));
}
