//! Rules 3, 4 and 5: which ids may come, in which order, and the answers to invalid ones.

use muxado_proto::{CloseReason, Config, ErrorCode, ReadError};
use muxado_tests::peer::{self, Peer};

#[test]
fn rule_03_accepts_syns_in_any_order() {
    let mut peer = Peer::of_server(Config::default());
    let ids = [9, 5, 3, 7, 101, 11, 1, 99];
    for id in ids {
        peer.send(peer::syn(id, b"x"));
    }
    peer.expect_silence();
    for id in ids {
        assert_eq!(peer.accept(), id);
        assert_eq!(peer.read(id).0, b"x");
    }
}

#[test]
fn rule_03_an_id_below_the_maximum_is_not_taken_for_closed() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(0x7fff_ffff, b"x"));
    peer.accept();
    for id in [3, 0x7fff_fffd, 0x4000_0001] {
        peer.expect_alive(id);
    }
}

#[test]
fn rule_03_all_of_a_thousand_streams_written_in_any_order_are_let_in() {
    // Opened in order and written to in another: every second one first, the rest backwards.
    let mut peer = Peer::of_server(Config::default());
    let first = (0..1024u32).step_by(2);
    let rest = (0..1024u32).rev().filter(|n| n % 2 == 1);
    for n in first.chain(rest) {
        peer.send(peer::syn(3 + 2 * n, b"x"));
        assert_eq!(peer.accept(), 3 + 2 * n);
    }
    peer.expect_silence();
}

#[test]
fn rule_04_data_on_an_unknown_id_is_reset_once() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::data(3, b"lost"));
    peer.expect(&["RST id=3 code=4"]);
    for _ in 0..1000 {
        peer.send(peer::data(3, b"more"));
        peer.send(peer::data_fin(3, b"more"));
    }
    peer.expect_silence();
    peer.expect_alive(5);
}

#[test]
fn rule_04_the_payload_is_skipped() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::header(0xff_ffff, 1, 0, 9));
    // The answer does not wait for the payload, and needs no memory.
    peer.expect(&["RST id=9 code=4"]);
    for _ in 0..255 {
        peer.send(vec![0xab; 65_536]);
    }
    peer.send(vec![0xab; 65_535]);
    assert_eq!(peer.session.stats().receive_buffered, 0);
    peer.expect_alive(11);
}

#[test]
fn rule_04_empty_data_on_an_unknown_id() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::data_fin(3, b""));
    peer.expect_silence();
    peer.send(peer::data(5, b""));
    peer.expect(&["RST id=5 code=4"]);
}

#[test]
fn rule_04_data_for_a_dropped_stream_is_reset_once() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b""));
    let id = peer.accept();
    peer.stream(id).release();
    peer.expect(&["DATA id=3 len=0 FIN"]);
    for _ in 0..1000 {
        peer.send(peer::data(3, b"late"));
    }
    peer.expect(&["WNDINC id=3 inc=1", "RST id=3 code=4"]);
    peer.expect_alive(5);
}

#[test]
fn rule_04_a_syn_behind_its_data_is_refused() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::data(3, b"second"));
    peer.send(peer::syn(3, b"first"));
    assert_eq!(peer.session.accept(), None);
    let answers = peer.hear();
    assert!(answers.iter().all(|frame| frame.starts_with("RST id=3 ")), "{answers:?}");
    assert!(!answers.is_empty());
    peer.send(peer::data(3, b"third"));
    peer.expect_silence();
    peer.expect_alive(5);
}

#[test]
fn rule_04_reading_never_waits_on_writing() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b""));
    let id = peer.accept();
    peer.write(id, &[0; 100_000]);
    // No output is taken from this session; it still takes input.
    for _ in 0..256 {
        peer.send(peer::data(id, &[1; 1024]));
        assert_eq!(peer.read(id).0.len(), 1024);
    }
}

#[test]
fn rule_05_wrong_parity_ends_the_session() {
    // An id that was never used, one in use by this side, one whose stream is gone.
    for case in 0..3 {
        let mut peer = Peer::of_client(Config::default());
        let id = peer.open();
        if case > 0 {
            peer.write(id, b"x");
            peer.receive();
        }
        if case == 2 {
            peer.stream(id).release();
            peer.receive();
        }
        peer.send(peer::syn(if case == 0 { 5 } else { id }, b"x"));
        peer.expect_session_error(1);
    }
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(2, b"x"));
    peer.expect_session_error(1);
}

#[test]
fn rule_05_id_0_ends_the_session() {
    for frame in [
        peer::syn(0, b"x"),
        peer::data(0, b"x"),
        peer::fin(0),
        peer::rst(0, 6),
        peer::wnd_inc(0, 1),
        // The top bit is masked first.
        peer::data(0x8000_0000, b"x"),
    ] {
        let mut peer = Peer::of_server(Config::default());
        peer.send(frame);
        peer.expect_session_error(1);
    }
}

#[test]
fn rule_05_the_top_bit_of_an_id_is_masked() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(0x8000_0003, b"a"));
    peer.send(peer::data(3, b"b"));
    peer.send(peer::data(0x8000_0003, b"c"));
    assert_eq!(peer.accept(), 3);
    assert_eq!(peer.read(3).0, b"abc");
    peer.write(3, b"reply");
    let frames = peer.receive();
    assert_eq!(frames[0].header[4..], [0, 0, 0, 3]);
}

#[test]
fn rule_05_a_syn_on_an_open_id_is_refused() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b"old"));
    let id = peer.accept();
    peer.send(peer::syn(3, b"new"));
    let frames = peer.hear();
    assert_eq!(frames.last().map(String::as_str), Some("RST id=3 code=1"));
    // Nothing was replaced: the old stream has ended, and its received bytes can be read.
    assert_eq!(peer.session.accept(), None);
    let (bytes, end) = peer.read(id);
    assert_eq!(bytes, b"old");
    assert_eq!(end, Err(ReadError::ResetLocally(ErrorCode::PROTOCOL)));
    peer.expect_alive(5);
}

#[test]
fn rule_05_a_syn_on_a_used_id_is_refused() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn_fin(3, b""));
    let id = peer.accept();
    peer.stream(id).release();
    peer.expect(&["DATA id=3 len=0 FIN"]);
    peer.send(peer::syn(3, b"again"));
    peer.expect(&["RST id=3 code=1"]);
    assert_eq!(peer.session.accept(), None);
    peer.expect_alive(5);
}

#[test]
fn rule_05_nothing_behind_a_session_error_is_looked_at() {
    let mut peer = Peer::of_server(Config::default());
    let burst = [peer::data(0, b"x"), peer::syn(3, b"x"), peer::data(5, b"x")].concat();
    peer.send(burst);
    assert_eq!(peer.session.accept(), None);
    peer.expect_session_error(1);
    assert!(matches!(
        peer.session.close_reason(),
        Some(CloseReason::Violation { code: ErrorCode::PROTOCOL, .. })
    ));
}
