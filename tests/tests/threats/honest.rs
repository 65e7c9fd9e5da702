//! Honest peers that look like an attack, and are accepted.

use std::time::Duration;

use muxado_proto::{Config, ErrorCode};
use muxado_tests::peer::{self, Peer};

use crate::meter::Meter;

#[test]
fn a_peer_that_reads_byte_by_byte() {
    let _meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b""));
    let id = peer.accept();
    // A megabyte, granted one by one: a million WNDINCs.
    let mut sent = 0;
    while sent < 1 << 20 {
        let _blocked = peer.stream(id).write(&[0; 10_000]);
        let count: usize = peer.receive().iter().map(|frame| frame.payload.len()).sum();
        peer.send(peer::wnd_inc(id, 1).repeat(count));
        sent += count;
    }
    peer.expect_alive(5);
}

#[test]
fn a_peer_that_writes_byte_by_byte() {
    let meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b""));
    let id = peer.accept();
    let (mut credit, mut read) = (262_144, 0);
    let byte = peer::data(id, b"x");
    meter.assert_flat(1000, 64 << 10, |_| {
        peer.send(byte.repeat(1000));
        credit -= 1000;
        read += peer.read(id).0.len();
        peer.pass(Duration::from_millis(5));
        credit += peer.receive().iter().map(|frame| frame.word(0)).sum::<u32>();
        assert!(credit > 1000, "credit is not given back");
    });
    assert_eq!(read, 1_000_000);
    peer.expect_alive(5);
}

#[test]
fn everything_cancelled_at_once_with_data_under_way() {
    let _meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    for n in 0..1024 {
        peer.send(peer::syn(3 + 2 * n, b"x"));
        peer.accept();
        let id = peer.open();
        peer.write(id, b"x");
    }
    peer.receive();
    // This side cancels all its streams, while the peer has 16 frames in flight on each.
    for n in 0..1024 {
        for id in [3 + 2 * n, 2 + 2 * n] {
            peer.stream(id).reset(ErrorCode::STREAM_CANCELLED);
            peer.stream(id).release();
        }
    }
    peer.receive();
    for n in 0..1024 {
        for id in [3 + 2 * n, 2 + 2 * n] {
            peer.send(peer::data(id, &[0; 1000]).repeat(16));
            peer.send(peer::fin(id));
        }
    }
    peer.receive();
    peer.expect_alive(9999);
}

#[test]
fn a_peer_that_answers_every_frame_under_way_by_a_reset() {
    let _meter = Meter::start();
    // ngrok's crate does. A client of it cancels a hundred downloads of a window each.
    let mut peer = Peer::of_server(Config::default());
    let mut frames = Vec::new();
    for n in 0..100 {
        let id = 3 + 2 * n;
        peer.send(peer::syn(id, b"get"));
        peer.accept();
        peer.write(id, &[0; 262_144]);
        frames.extend(peer.receive());
    }
    assert_eq!(frames.len(), 1700);
    for frame in frames {
        peer.send(peer::rst(frame.id(), 4));
    }
    peer.expect_alive(9999);
}

#[test]
fn a_peer_that_cancels_what_it_asks_for() {
    let _meter = Meter::start();
    // Hedged requests: thirty a second of them lose, all day.
    let mut peer = Peer::of_server(Config::default());
    for n in 0..100_000 {
        let id = 3 + 2 * n;
        peer.send(peer::syn(id, b"get"));
        peer.accept();
        peer.send(peer::rst(id, 6));
        peer.stream(id).release();
        peer.pass(Duration::from_millis(33));
    }
    peer.expect_alive(999_999);
}

#[test]
fn a_peer_that_finishes_again_and_again() {
    let _meter = Meter::start();
    // Go's does, after half-close, after a reset, after SYN and FIN in one frame.
    let mut peer = Peer::of_server(Config::default());
    for n in 0..5000 {
        let id = 3 + 2 * n;
        peer.send([peer::syn_fin(id, b"get"), peer::fin(id)].concat());
        peer.accept();
        assert_eq!(peer.read(id), (b"get".to_vec(), Ok(())));
        peer.write(id, b"reply");
        peer.stream(id).release();
        peer.receive();
        peer.send([peer::wnd_inc(id, 5), peer::fin(id)].concat());
    }
    peer.expect_alive(99_999);
}

#[test]
fn a_peer_with_a_window_of_its_own_that_fills_ours_on_many_streams() {
    let _meter = Meter::start();
    // As many unread windows as fit: none is reset because of the others.
    let mut peer = Peer::of_server(Config::default());
    for n in 0..255 {
        let id = 3 + 2 * n;
        peer.send(peer::syn(id, &vec![0; 262_144]));
        peer.accept();
    }
    peer.expect_silence();
    assert_eq!(peer.session.stats().receive_buffered, 255 * 262_144);
    peer.expect_alive(9999);
}
