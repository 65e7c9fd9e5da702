//! Rules 13 and 14: types and heartbeats.

use std::time::Duration;

use muxado_proto::{CloseReason, Config, ErrorCode, Event, Heartbeat, StreamType};
use muxado_tests::peer::{self, Peer};
use muxado_tests::vectors::Frame;

const BEAT: [u8; 4] = [0xff; 4];

fn typed() -> Config {
    Config::builder().typed(true).build().expect("valid")
}

fn beating() -> Config {
    Config::builder().typed(true).heartbeat(Some(Heartbeat::default())).build().expect("valid")
}

#[test]
fn rule_13_the_type_goes_with_the_syn_in_one_frame() {
    let mut peer = Peer::of_client(typed());
    let id = peer.session.open_typed(StreamType(42)).expect("open").get();
    assert_eq!(peer.receive_bytes(), *b"\0\0\x04\x12\0\0\0\x03\0\0\0\x2a");
    peer.write(id, b"data");
    peer.expect(&["DATA id=3 len=4"]);
    // Even if the application writes, finishes or drops at once.
    let id = peer.session.open_typed(StreamType(42)).expect("open").get();
    peer.write(id, b"data");
    peer.stream(id).release();
    peer.expect(&["DATA id=5 len=4 SYN", "DATA id=5 len=4 FIN"]);
}

#[test]
fn rule_13_no_rst_before_the_type() {
    let mut peer = Peer::of_client(typed());
    let id = peer.session.open_typed(StreamType(42)).expect("open").get();
    peer.stream(id).reset(ErrorCode::STREAM_CANCELLED);
    peer.stream(id).release();
    peer.expect_silence();
    let id = peer.session.open_typed(StreamType(42)).expect("open").get();
    peer.receive();
    peer.stream(id).reset(ErrorCode::STREAM_CANCELLED);
    peer.expect(&["RST id=3 code=6"]);
}

#[test]
fn rule_13_collects_exactly_four_bytes() {
    let mut peer = Peer::of_server(typed());
    peer.send(peer::syn(3, b""));
    for byte in [0, 0, 0, 42] {
        assert_eq!(peer.session.accept(), None);
        peer.send(peer::data(3, &[byte]));
    }
    let id = peer.accept();
    assert_eq!(peer.stream(id).stream_type(), Some(StreamType(42)));
    peer.send(peer::syn(5, b"\0\0\0\x2arest"));
    let id = peer.accept();
    assert_eq!(peer.stream(id).stream_type(), Some(StreamType(42)));
    assert_eq!(peer.read(id).0, b"rest");
}

#[test]
fn rule_13_a_silent_stream_delays_nobody() {
    let mut peer = Peer::of_server(typed());
    peer.send(peer::syn(3, b"\0\0"));
    peer.send(peer::syn(5, &[0, 0, 0, 1]));
    assert_eq!(peer.accept(), 5);
    peer.pass(Duration::from_secs(10));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=6"));
    peer.send(peer::syn(7, &[0, 0, 0, 1]));
    assert_eq!(peer.accept(), 7);
}

#[test]
fn rule_13_a_stream_that_ends_without_its_type_fails_alone() {
    for end in [peer::syn_fin(3, b""), peer::syn_fin(3, b"abc")] {
        let mut peer = Peer::of_server(typed());
        peer.send(end);
        assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=1"));
        peer.send(peer::syn(5, &[0, 0, 0, 1]));
        assert_eq!(peer.accept(), 5);
    }
    let mut peer = Peer::of_server(typed());
    peer.send(peer::syn(3, b"abc"));
    peer.send(peer::rst(3, 6));
    peer.expect_silence();
    assert_eq!(peer.session.accept(), None);
    assert_eq!(peer.session.stats().open_streams, 0);
}

#[test]
fn rule_14_echoes_whole_beats_only() {
    let mut peer = Peer::of_server(typed());
    peer.send(peer::syn(3, &BEAT));
    peer.expect_silence();
    peer.send(peer::data(3, b"ab"));
    peer.expect_silence();
    peer.send(peer::data(3, b"cdef"));
    let echoes = peer.receive();
    assert_eq!(echoes.len(), 1);
    assert_eq!(echoes[0].payload, b"abcd");
    peer.send(peer::data(3, b"gh"));
    assert_eq!(peer.receive()[0].payload, b"efgh");
}

#[test]
fn rule_14_answers_without_the_application() {
    let config = typed().into_builder().accept_backlog(128).build().expect("valid");
    let mut peer = Peer::of_server(config);
    // The application accepts nothing, and its backlog is full.
    for n in 0..128 {
        peer.send(peer::syn(5 + 2 * n, &[0, 0, 0, 1]));
    }
    peer.receive();
    peer.session.accept().expect("a stream");
    peer.send(peer::syn(3, &BEAT));
    peer.send(peer::data(3, b"beat"));
    assert_eq!(peer.receive()[0].payload, b"beat");
}

#[test]
fn rule_14_never_finishes_a_heartbeat_stream() {
    let mut peer = Peer::of_client(beating());
    peer.pass(Duration::ZERO);
    let first = peer.receive();
    assert_eq!(first[0].payload[..4], BEAT);
    let sent_on_it =
        |frames: Vec<Frame>| frames.into_iter().filter(|f| f.id() == 3).collect::<Vec<_>>();
    // Not when the peer ends it, …
    peer.send(peer::fin(3));
    let frames = sent_on_it(peer.receive());
    assert!(frames.iter().all(|frame| !frame.is_fin()), "{frames:?}");
    // … nor when the session closes.
    let mut peer = Peer::of_client(beating());
    peer.pass(Duration::ZERO);
    peer.receive();
    peer.session.close(peer.now(), ErrorCode::NO_ERROR, "");
    assert!(sent_on_it(peer.receive()).is_empty());
}

#[test]
fn rule_14_acts_on_a_timeout() {
    let mut peer = Peer::of_client(beating());
    peer.pass(Duration::ZERO);
    peer.receive();
    peer.pass(Duration::from_millis(14_999));
    assert_eq!(peer.session.close_reason(), None);
    peer.pass(Duration::from_millis(1));
    assert_eq!(peer.session.close_reason(), Some(&CloseReason::HeartbeatTimeout));
    assert!(peer.events().contains(&Event::HeartbeatMissed));
}
