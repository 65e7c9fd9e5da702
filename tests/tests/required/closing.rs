//! Rules 9, 10 and 11: GOAWAY, sent and received, and the order of a close.

use std::time::Duration;

use muxado_proto::{CloseReason, Config, ErrorCode, Event, OpenError, ReadError, WriteError};
use muxado_tests::peer::{self, Peer};
use muxado_tests::vectors::Frame;

const PAD: &str = "UNKNOWN type=15 id=0 len=0";

#[test]
fn rule_09_go_away_to_the_byte() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b""));
    peer.accept();
    peer.session.go_away(peer.now(), ErrorCode::NO_ERROR, "no error");
    let expected =
        [b"\0\0\x10\x30\0\0\0\0\0\0\0\x03\0\0\0\0no error".as_slice(), b"\0\0\0\xf0\0\0\0\0"]
            .concat();
    assert_eq!(peer.receive_bytes(), expected);
}

#[test]
fn rule_09_last_is_the_maximum_id_seen() {
    let mut peer = Peer::of_server(Config::default());
    for id in [9, 5, 7] {
        peer.send(peer::syn(id, b""));
        peer.accept();
    }
    peer.session.go_away(peer.now(), ErrorCode::NO_ERROR, "");
    peer.expect(&["GOAWAY last=9 code=0 text=\"\"", PAD]);
    // 0 if none was seen.
    let mut peer = Peer::of_server(Config::default());
    peer.session.abort(peer.now(), ErrorCode::INTERNAL, "");
    peer.expect(&["GOAWAY last=0 code=2 text=\"\"", PAD]);
}

#[test]
fn rule_09_the_text_is_capped() {
    let mut peer = Peer::of_server(Config::default());
    peer.session.abort(peer.now(), ErrorCode::INTERNAL, vec![b'x'; 1 << 20]);
    let frames = peer.receive();
    assert_eq!(frames[0].payload.len(), 8 + 4096);
    assert!(frames[0].is_well_formed());
}

#[test]
fn rule_09_no_other_unknown_type_is_sent() {
    let mut peer = Peer::of_server(Config::builder().typed(true).build().expect("valid"));
    peer.send(peer::syn(3, &[0, 0, 0, 7]));
    let id = peer.accept();
    peer.write(id, b"data");
    peer.send(peer::frame(0xA, 0xF, 3, b"unknown"));
    peer.stream(id).reset(ErrorCode::STREAM_CANCELLED);
    peer.session.ping(peer.now()).expect("a typed session");
    peer.session.go_away(peer.now(), ErrorCode::NO_ERROR, "");
    let mut frames = peer.receive();
    peer.pass(Duration::from_secs(60));
    frames.extend(peer.receive());
    let unknown: Vec<_> = frames.into_iter().filter(|frame| frame.kind() > Frame::GOAWAY).collect();
    // The pad after the GOAWAY, and the last pad.
    assert_eq!(unknown.len(), 2);
    for pad in unknown {
        assert_eq!(pad.to_bytes(), [0, 0, 0, 0xf0, 0, 0, 0, 0]);
    }
}

/// A client with streams 3 and 5 open and on the wire.
fn client_with_two_streams() -> Peer {
    let mut peer = Peer::of_client(Config::default());
    for _ in 0..2 {
        let id = peer.open();
        peer.write(id, b"hi");
    }
    peer.receive();
    peer.events();
    peer
}

#[test]
fn rule_10_go_away_stops_opening() {
    let mut peer = client_with_two_streams();
    peer.send(peer::go_away(5, 0, b"bye"));
    assert_eq!(peer.events(), [Event::GoAway { code: ErrorCode::NO_ERROR, text: "bye".into() }]);
    assert_eq!(peer.session.open(), Err(OpenError::GoingAway));
}

#[test]
fn rule_10_go_away_lets_streams_run_on() {
    let mut peer = client_with_two_streams();
    peer.send(peer::go_away(5, 0, b""));
    peer.send(peer::data(3, b"still"));
    peer.write(3, b"here");
    peer.expect(&["DATA id=3 len=4"]);
    assert_eq!(peer.read(3).0, b"still");
    // The peer may open streams; this side may not.
    peer.expect_alive(2);
}

#[test]
fn rule_10_streams_the_peer_has_not_seen_fail() {
    let mut peer = client_with_two_streams();
    peer.send(peer::go_away(3, 0, b""));
    assert_eq!(peer.read(5).1, Err(ReadError::Reset(ErrorCode::REMOTE_GONE_AWAY)));
    let error = WriteError::Reset(ErrorCode::REMOTE_GONE_AWAY);
    assert_eq!(peer.stream(5).write(b"x"), Err(error));
    assert_eq!(peer.read(3).1, Err(ReadError::Blocked));
    // `last` does not concern streams of the peer.
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(101, b"x"));
    peer.accept();
    peer.send(peer::go_away(0, 0, b""));
    assert_eq!(peer.read(101), (b"x".to_vec(), Err(ReadError::Blocked)));
}

#[test]
fn rule_10_the_drain_has_a_time_limit() {
    let mut peer = client_with_two_streams();
    peer.send(peer::go_away(5, 7, b"why"));
    // The peer decides how long it waits; this side ends a session without progress only after a
    // very long time.
    peer.pass(Duration::from_millis(299_999));
    assert_eq!(peer.session.close_reason(), None);
    peer.pass(Duration::from_millis(1));
    let reason = CloseReason::Remote { code: ErrorCode::STREAM_RESET, text: "why".into() };
    assert_eq!(peer.session.close_reason(), Some(&reason));
    assert_eq!(peer.read(3).1, Err(ReadError::SessionClosed(reason)));
}

#[test]
fn rule_10_a_parse_anomaly_after_go_away_is_a_quiet_end() {
    let anomalies = [
        // The bytes after ngrok's GOAWAY, whose length is eight too small.
        peer::header(8, 3, 0, 0).to_vec(),
        peer::data(0, b"x"),
        peer::syn(3, b"x"),
        peer::frame(0, 0, 3, b"12345"),
        peer::frame(3, 0, 0, b"1234567"),
    ];
    for anomaly in anomalies {
        let mut peer = client_with_two_streams();
        peer.send(peer::data(3, b"kept"));
        peer.send(peer::go_away(5, 0, b"bye"));
        peer.send(&anomaly);
        peer.shut();
        // No violation, but two streams were cut.
        let reason = peer.session.close_reason();
        assert!(matches!(reason, Some(CloseReason::Cut { streams: 2, .. })), "{reason:?}");
        assert_eq!(peer.read(3).0, b"kept");
        let codes: Vec<_> =
            peer.receive().iter().filter(|f| f.kind() == 3).map(|f| f.word(4)).collect();
        assert!(codes.iter().all(|code| [0, 15].contains(code)), "{codes:?}");
    }
}

#[test]
fn rule_11_closes_in_order() {
    let mut peer = Peer::of_client(Config::default());
    let id = peer.open();
    peer.write(id, b"request");
    peer.session.close(peer.now(), ErrorCode::NO_ERROR, "done");
    // The stream is not finished in either direction: no GOAWAY yet.
    peer.expect(&["DATA id=3 len=7 SYN"]);
    assert!(!peer.session.wants_shutdown());
    peer.stream(id).finish().unwrap();
    peer.expect(&["DATA id=3 len=0 FIN"]);
    peer.pass(Duration::from_millis(99));
    peer.expect_silence();
    assert!(!peer.session.wants_shutdown());
    peer.send(peer::data_fin(id, b"reply"));
    assert_eq!(peer.read(id), (b"reply".to_vec(), Ok(())));
    peer.stream(id).release();
    peer.expect(&["GOAWAY last=0 code=0 text=\"done\"", PAD, PAD]);
    // Flushed: now the write side is shut, and the peer's direction is read to its end.
    assert!(peer.session.wants_shutdown());
    assert!(!peer.session.is_finished());
    peer.shut();
    assert!(peer.session.is_finished());
}

#[test]
fn rule_11_waits_for_the_peers_half_of_streams_that_were_given_up() {
    let ends: [fn(u32) -> Vec<u8>; 3] =
        [peer::fin, |id| peer::rst(id, 6), |id| peer::data(id, b"for nobody")];
    for (number, end) in ends.into_iter().enumerate() {
        let mut peer = Peer::of_client(Config::default());
        let id = peer.open();
        peer.write(id, b"request");
        peer.stream(id).release();
        peer.session.close(peer.now(), ErrorCode::NO_ERROR, "");
        peer.expect(&["DATA id=3 len=7 SYN", "DATA id=3 len=0 FIN"]);
        // The peer may not have accepted it yet, and could lose it in one burst with the end.
        peer.expect_silence();
        assert!(!peer.session.wants_shutdown());
        peer.send(end(id));
        let heard = peer.hear();
        assert_eq!(heard.iter().any(|frame| frame == "RST id=3 code=4"), number == 2);
        assert!(heard.iter().any(|frame| frame.starts_with("GOAWAY")), "{heard:?}");
        assert!(peer.session.wants_shutdown());
    }
}

#[test]
fn rule_11_does_not_wait_for_handles_on_finished_streams() {
    let mut peer = Peer::of_client(Config::default());
    let id = peer.open();
    peer.write(id, b"request");
    peer.stream(id).finish().unwrap();
    peer.receive();
    peer.session.close(peer.now(), ErrorCode::NO_ERROR, "");
    peer.expect_silence();
    peer.send(peer::data_fin(id, b"reply"));
    peer.expect(&["GOAWAY last=0 code=0 text=\"\"", PAD, PAD]);
    assert_eq!(peer.read(id), (b"reply".to_vec(), Ok(())));
}

#[test]
fn rule_11_refusals_go_before_the_end() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b"x"));
    peer.accept();
    peer.session.close(peer.now(), ErrorCode::NO_ERROR, "");
    peer.stream(3).reset(ErrorCode::STREAM_CANCELLED);
    peer.send(peer::syn(5, b"late"));
    peer.expect(&[
        "RST id=5 code=5",
        "WNDINC id=3 inc=1",
        "RST id=3 code=6",
        "GOAWAY last=5 code=0 text=\"\"",
        PAD,
        PAD,
    ]);
}

#[test]
fn rule_11_unfinished_streams_have_a_time_limit() {
    let mut peer = Peer::of_client(Config::default());
    let id = peer.open();
    peer.write(id, b"request");
    peer.session.close(peer.now(), ErrorCode::NO_ERROR, "");
    peer.receive();
    // Announced when nothing moves, cut when nothing has moved for a long time.
    peer.pass(Duration::from_millis(100));
    peer.expect(&["GOAWAY last=0 code=0 text=\"\"", PAD]);
    peer.pass(Duration::from_millis(9899));
    peer.expect_silence();
    peer.pass(Duration::from_millis(101));
    peer.expect(&["GOAWAY last=0 code=13 text=\"1 stream was cut: not finished in time\"", PAD]);
}

#[test]
fn rule_11_the_end_of_the_transport_has_a_time_limit() {
    let mut peer = Peer::of_client(Config::default());
    peer.session.close(peer.now(), ErrorCode::NO_ERROR, "");
    peer.receive();
    assert!(peer.session.wants_shutdown() && !peer.session.is_finished());
    peer.pass(Duration::from_millis(1999));
    assert!(!peer.session.is_finished());
    peer.pass(Duration::from_millis(1));
    assert!(peer.session.is_finished());
}

#[test]
fn rule_11_the_transport_is_not_half_closed_to_wait_for_replies() {
    let mut peer = Peer::of_client(Config::default());
    let id = peer.open();
    peer.write(id, b"request");
    peer.stream(id).finish().unwrap();
    peer.session.go_away(peer.now(), ErrorCode::NO_ERROR, "");
    peer.expect(&[
        "DATA id=3 len=7 SYN",
        "DATA id=3 len=0 FIN",
        "GOAWAY last=0 code=0 text=\"\"",
        PAD,
    ]);
    peer.pass(Duration::from_secs(9));
    assert!(!peer.session.wants_shutdown());
    peer.send(peer::data_fin(id, b"late reply"));
    assert_eq!(peer.read(id), (b"late reply".to_vec(), Ok(())));
}
