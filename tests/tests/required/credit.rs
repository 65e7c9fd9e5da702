//! Rules 6 and 7: when credit is granted, how much, and how it is checked.

use std::time::Duration;

use muxado_proto::{Config, ConfigBuilder, ErrorCode, ReadError};
use muxado_tests::peer::{self, Peer};

const KIB: usize = 1024;
const A_WHILE: Duration = Duration::from_millis(6);

fn server(config: ConfigBuilder) -> Peer {
    Peer::of_server(config.build().expect("valid"))
}

/// A server with stream 3 open and accepted.
fn with_stream(config: ConfigBuilder) -> Peer {
    let mut peer = server(config);
    peer.send(peer::syn(3, b""));
    assert_eq!(peer.accept(), 3);
    peer
}

fn consume(peer: &mut Peer, count: usize) {
    let mut buf = vec![0; count];
    assert_eq!(peer.stream(3).read(&mut buf), Ok(count));
}

#[test]
fn rule_06_update_due_at_128_kib_whatever_the_window() {
    for window in [262_144, 1 << 20, 16 << 20, 0x7fff_ffff] {
        let config = Config::builder()
            .receive_window(window)
            .session_receive_buffer(u64::MAX)
            .auto_tune(false);
        let mut peer = with_stream(config);
        peer.send(peer::data(3, &vec![0; 200 * KIB]));
        consume(&mut peer, 128 * KIB - 1);
        peer.expect_silence();
        consume(&mut peer, 1);
        peer.expect(&["WNDINC id=3 inc=131072"]);
        peer.expect_silence();
    }
}

#[test]
fn rule_06_update_due_soon_after_the_reader_has_drained() {
    let mut peer = with_stream(Config::builder());
    peer.send(peer::data(3, &[0; 1000]));
    consume(&mut peer, 999);
    peer.expect_silence();
    peer.pass(A_WHILE);
    // There is still a byte to read.
    peer.expect_silence();
    consume(&mut peer, 1);
    peer.expect_silence();
    let due = peer.session.poll_timeout().expect("a timer");
    assert_eq!(due - peer.now(), Duration::from_millis(5));
    peer.pass(A_WHILE);
    peer.expect(&["WNDINC id=3 inc=1000"]);
    peer.expect_rest();
}

#[test]
fn rule_06_updates_are_coalesced() {
    // Every byte is read at once, one at a time, for a millisecond.
    let mut peer = with_stream(Config::builder());
    for _ in 0..1000 {
        peer.send(peer::data(3, b"x"));
        consume(&mut peer, 1);
        peer.expect_silence();
        peer.pass(Duration::from_micros(1));
    }
    peer.pass(A_WHILE);
    peer.expect(&["WNDINC id=3 inc=1000"]);
}

#[test]
fn rule_06_no_update_after_the_peers_fin() {
    let mut peer = with_stream(Config::builder());
    peer.send(peer::data_fin(3, &vec![0; 262_144]));
    consume(&mut peer, 262_144);
    peer.pass(A_WHILE);
    peer.expect_silence();
    // Nor one that was owed when it came.
    let mut peer = with_stream(Config::builder());
    peer.send(peer::data(3, &[0; 1000]));
    consume(&mut peer, 1000);
    peer.send(peer::fin(3));
    peer.pass(A_WHILE);
    peer.expect_silence();
    // Nor for one that was due and not sent yet.
    let mut peer = with_stream(Config::builder());
    peer.send(peer::data(3, &vec![0; 200 * KIB]));
    consume(&mut peer, 200 * KIB);
    peer.send(peer::fin(3));
    peer.pass(A_WHILE);
    peer.expect_silence();
}

#[test]
fn rule_06_no_update_for_a_stream_that_was_reset() {
    let mut peer = with_stream(Config::builder());
    peer.send(peer::data(3, &vec![0; 200 * KIB]));
    consume(&mut peer, 150 * KIB);
    peer.send(peer::rst(3, 6));
    consume(&mut peer, 50 * KIB);
    peer.pass(A_WHILE);
    peer.expect_silence();
}

#[test]
fn rule_06_never_grants_0() {
    let mut peer = with_stream(Config::builder());
    assert_eq!(peer.stream(3).read(&mut []), Ok(0));
    assert_eq!(peer.stream(3).read_chunk(0).map(|chunk| chunk.map(|c| c.len())), Ok(Some(0)));
    peer.stream(3).stop();
    peer.pass(A_WHILE);
    peer.expect_silence();
}

#[test]
fn rule_06_credit_outstanding_never_above_31_bits() {
    let config = Config::builder()
        .receive_window(0x7fff_ffff)
        .max_receive_window(0x7fff_ffff)
        .session_receive_buffer(u64::MAX);
    let mut peer = with_stream(config);
    let mut credit: u64 = 0x7fff_ffff;
    for _ in 0..200 {
        peer.send(peer::data(3, &vec![0; 100 * KIB]));
        credit -= 100 * KIB as u64;
        consume(&mut peer, 100 * KIB);
        peer.pass(A_WHILE);
        for frame in peer.receive() {
            assert!((1..=0x7fff_ffff).contains(&frame.word(0)));
            credit += u64::from(frame.word(0));
        }
        assert!(credit <= 0x7fff_ffff, "{credit}");
    }
}

#[test]
fn rule_06_received_credit_saturates() {
    let mut peer = with_stream(Config::builder());
    for _ in 0..10 {
        peer.send(peer::wnd_inc(3, u32::MAX));
        peer.send(peer::wnd_inc(3, 0x7fff_ffff));
    }
    assert_eq!(peer.stream(3).stats().send_credit, 0x7fff_ffff);
    peer.write(3, b"still here");
    peer.expect(&["DATA id=3 len=10"]);
}

#[test]
fn rule_06_an_increment_of_0_ends_its_stream_alone() {
    let mut peer = with_stream(Config::builder());
    peer.send(peer::data(3, b"kept"));
    peer.send(peer::wnd_inc(3, 0));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=1"));
    let end = Err(ReadError::ResetLocally(ErrorCode::PROTOCOL));
    assert_eq!(peer.read(3), (b"kept".to_vec(), end));
    peer.expect_alive(5);
}

#[test]
fn rule_07_windows_default_to_262144() {
    let mut peer = with_stream(Config::builder());
    peer.send(peer::data(3, &vec![0; 262_144]));
    peer.expect_silence();
    peer.send(peer::data(3, b"1"));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=3"));
    let (bytes, end) = peer.read(3);
    assert_eq!(bytes.len(), 262_144);
    assert_eq!(end, Err(ReadError::ResetLocally(ErrorCode::FLOW_CONTROL)));

    let mut peer = with_stream(Config::builder().send_buffer(1 << 20));
    peer.write(3, &vec![0; 300_000]);
    let sent: usize = peer.receive().iter().map(|frame| frame.payload.len()).sum();
    assert_eq!(sent, 262_144);
    assert_eq!(peer.stream(3).stats().send_credit, 0);
    peer.send(peer::wnd_inc(3, 1));
    peer.expect(&["DATA id=3 len=1"]);
}

#[test]
fn rule_07_the_payload_of_a_syn_counts() {
    let mut peer = server(Config::builder());
    peer.send(peer::syn(3, &[0; 1000]));
    peer.accept();
    peer.send(peer::header(262_144 - 999, 1, 0, 3));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=3"));
}

#[test]
fn rule_07_flow_control_is_checked_on_the_header() {
    let mut peer = with_stream(Config::builder());
    peer.send(peer::header(262_145, 1, 0, 3));
    // The answer does not wait for the payload, and no payload is kept.
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=3"));
    peer.send(vec![0; 262_145]);
    assert_eq!(peer.session.stats().receive_buffered, 0);
    peer.expect_alive(5);
}

#[test]
fn rule_07_frames_are_at_most_16_kib() {
    let mut peer = Peer::of_client(Config::default());
    let id = peer.open();
    peer.write(id, &vec![0; 100_000]);
    let sizes: Vec<_> = peer.receive().iter().map(|frame| frame.payload.len()).collect();
    assert_eq!(sizes, [16_360, 16_360, 16_360, 16_360, 16_360, 16_360, 1840]);

    let config = Config::builder().max_frame_size(0xff_ffff).build().expect("valid");
    let mut peer = Peer::of_client(config);
    let id = peer.open();
    peer.write(id, &vec![0; 200_000]);
    peer.expect(&["DATA id=3 len=200000 SYN"]);
    assert!(Config::builder().max_frame_size(0x100_0000).build().is_err());
}
