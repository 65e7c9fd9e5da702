//! Missing types and endless beats.

use std::time::Duration;

use muxado_proto::{Config, StreamType};
use muxado_tests::peer::{self, Peer};

use crate::meter::Meter;

fn server() -> Peer {
    Peer::of_server(Config::builder().typed(true).build().expect("valid"))
}

#[test]
fn typed_streams_without_their_type() {
    let meter = Meter::start();
    let config = Config::builder().typed(true).accept_backlog(128).build().expect("valid");
    let mut peer = Peer::of_server(config);
    let mut id = 1;
    // They count as backlog, time out, and make room; a stream with a type is accepted.
    meter.assert_flat(200, 256 << 10, |_| {
        for _ in 0..130 {
            id += 2;
            peer.send(peer::syn(id, b"\0\0\0"));
        }
        let refused = peer.hear();
        assert_eq!(refused.len(), 2);
        assert!(refused.iter().all(|frame| frame.ends_with("code=9")));
        assert_eq!(peer.session.accept(), None);
        // One of them remembers at last.
        peer.send(peer::data_fin(id - 10, b"\x2a"));
        let late = peer.accept();
        assert_eq!(peer.stream(late).stream_type(), Some(StreamType(42)));
        peer.stream(late).release();
        peer.receive();
        peer.pass(Duration::from_secs(10));
        let ended = peer.hear().into_iter().filter(|frame| frame.ends_with("code=6")).count();
        assert_eq!(ended, 127);
        assert_eq!(peer.session.stats().open_streams, 0);
        // At this rate it is not even a flood of resets.
    });
    assert_eq!(peer.session.close_reason(), None);
}

#[test]
fn heartbeat_flood_of_streams() {
    let meter = Meter::start();
    let mut peer = server();
    for n in 0..4 {
        peer.send(peer::syn(3 + 2 * n, &[0xff; 4]));
        peer.send(peer::data(3 + 2 * n, b"beat"));
        assert_eq!(peer.receive().len(), 1);
    }
    for n in 4..500 {
        let id = 3 + 2 * n;
        peer.send(peer::syn(id, &[0xff; 4]));
        assert_eq!(peer.hear().last(), Some(&format!("RST id={id} code=5")));
    }
    assert!(meter.held() < 128 << 10, "{}", meter.held());
    // They take no room from others, and others are admitted.
    assert_eq!(peer.session.stats().open_streams, 0);
    peer.send(peer::syn(2001, &[0, 0, 0, 1]));
    assert_eq!(peer.accept(), 2001);
    // One that ends makes room for one.
    peer.send(peer::fin(3));
    peer.expect(&["DATA id=3 len=0 FIN"]);
    peer.send(peer::syn(2003, &[0xff; 4]));
    peer.send(peer::data(2003, b"beat"));
    assert_eq!(peer.receive()[0].payload, b"beat");
}

#[test]
fn heartbeat_flood_of_beats_that_nobody_reads() {
    let meter = Meter::start();
    let mut peer = server();
    peer.send(peer::syn(3, &[0xff; 4]));
    // A whole window of beats, and no echo is taken: 64 bytes wait to be sent.
    let beats: Vec<u8> = peer::data(3, b"beat").repeat(1000);
    for _ in 0..65 {
        peer.send(&beats);
    }
    assert!(peer.session.stats().send_buffered <= 64);
    assert!(meter.held() < 600 << 10, "{}", meter.held());
    peer.send(beats);
    // That was more than there is credit for: the peer should have waited.
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=3"));
    assert_eq!(peer.session.stats().receive_buffered, 0);
    assert_eq!(peer.session.close_reason(), None);
}

#[test]
fn heartbeat_flood_of_a_million_beats() {
    let meter = Meter::start();
    let mut peer = server();
    peer.send(peer::syn(3, &[0xff; 4]));
    let beats: Vec<u8> = peer::data(3, b"beat").repeat(1000);
    let mut echoed = 0;
    meter.assert_flat(1000, 64 << 10, |_| {
        peer.send(&beats);
        let frames = peer.receive();
        echoed += frames.iter().filter(|f| f.kind() == 1).map(|f| f.payload.len()).sum::<usize>();
        peer.send(peer::wnd_inc(3, 4000));
        peer.pass(Duration::from_millis(5));
    });
    assert_eq!(echoed, 4_000_000);
}
