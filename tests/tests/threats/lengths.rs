//! False lengths, and lengths beyond the limits.

use std::time::Duration;

use muxado_proto::{CloseReason, Config};
use muxado_tests::peer::{self, Peer};

use crate::meter::Meter;

#[test]
fn length_lies_reserve_nothing() {
    let meter = Meter::start();
    let config = Config::builder()
        .receive_window(0x7fff_ffff)
        .session_receive_buffer(u64::MAX)
        .build()
        .expect("valid");
    for kind in 0..16 {
        let mut peer = Peer::of_server(config.clone());
        let before = meter.held();
        let id = if kind == 3 { 0 } else { 3 };
        peer.send(peer::header(0xff_ffff, kind, 0x2, id));
        assert!(meter.held() < before + (64 << 10), "{} for type {kind}", meter.held() - before);
        peer.pass(Duration::from_secs(30));
        let reason = peer.session.close_reason().cloned();
        match kind {
            0 | 2 => assert!(matches!(reason, Some(CloseReason::Violation { .. }))),
            // An unknown frame of 16 MiB, or silence after a header.
            _ => assert_eq!(reason, Some(CloseReason::FrameStalled), "{kind}"),
        }
    }
}

#[test]
fn length_lies_of_control_frames() {
    let _meter = Meter::start();
    for length in [0, 1, 3, 5, 8, 12, 0xff_ffff] {
        for kind in [0, 2] {
            let mut peer = Peer::of_server(Config::default());
            peer.send(peer::header(length, kind, 0, 3));
            peer.expect_session_error(8);
        }
    }
    for length in 0..8 {
        let mut peer = Peer::of_server(Config::default());
        peer.send(peer::header(length, 3, 0, 0));
        peer.expect_session_error(8);
    }
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::header(8, 3, 0, 3));
    peer.expect_session_error(1);
}

#[test]
fn oversized_data() {
    let meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b"x"));
    peer.accept();
    let before = meter.held();
    peer.send(peer::header(262_144, 1, 0, 3));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=3"));
    for _ in 0..64 {
        peer.send([0; 4096]);
        assert!(meter.held() < before + (64 << 10));
    }
    assert_eq!(peer.read(3).0, b"x");
    peer.expect_alive(5);
}

#[test]
fn data_with_syn_beyond_the_window() {
    let meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    for n in 0..1000 {
        let id = 3 + 2 * n;
        peer.send(peer::header(262_145, 1, 0x2, id));
        // No stream was created, nothing is kept, and the payload is skipped.
        peer.expect(&[&format!("RST id={id} code=3")]);
        assert_eq!(peer.session.stats().open_streams, 0);
        peer.send(vec![0; 262_145]);
    }
    assert_eq!(peer.session.accept(), None);
    assert!(meter.held() < 128 << 10, "{}", meter.held());
    peer.expect_alive(9999);
}
