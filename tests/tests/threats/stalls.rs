//! Peers that let us wait.

use std::time::Duration;

use muxado_proto::{CloseReason, Config, ErrorCode, Event, ReadError, WriteError};
use muxado_tests::peer::{self, Peer};

use crate::meter::Meter;

#[test]
fn zero_window_stall_is_bounded() {
    let meter = Meter::start();
    let mut peer = Peer::of_client(Config::default());
    let mut ids = Vec::new();
    // Every stream is written to until it takes no more, and the peer grants nothing.
    for _ in 0..200 {
        let id = peer.open();
        ids.push(id);
        loop {
            match peer.stream(id).write(&[0; 65_536]) {
                Ok(_) => {}
                Err(WriteError::Blocked) => {
                    if peer.receive_bytes().is_empty() {
                        break;
                    }
                }
                Err(error) => panic!("{error}"),
            }
        }
        let buffered = peer.stream(id).stats().send_buffered;
        assert!(buffered <= 256 << 10, "{buffered}");
    }
    // Sixty fill the buffer of the session; the rest hold the small reserve of each stream.
    assert_eq!(peer.session.stats().send_buffered, (15 << 20) + (200 - 60) * 4096);
    assert!(meter.held() < 34 << 20, "{}", meter.held());
    // Streams that get credit continue, and so do those that wait for room.
    peer.events();
    for id in &ids[..4] {
        peer.send(peer::wnd_inc(*id, 300_000));
    }
    peer.receive_bytes();
    let waiting = *ids.last().expect("ids");
    let events = peer.events();
    assert!(events.contains(&Event::Writable(muxado_proto::StreamId::new(waiting))), "{events:?}");
    assert!(peer.stream(waiting).write(b"x").is_ok());
}

/// A peer whose streams 3 and 5 have used up their credit, with a stall limit of one minute.
fn without_credit() -> Peer {
    let config = Config::builder().stream_stall_timeout(Some(Duration::from_secs(60)));
    let mut peer = Peer::of_server(config.build().expect("valid"));
    for id in [3, 5] {
        peer.send(peer::syn(id, b"kept"));
        peer.accept();
        peer.write(id, &[0; 262_144]);
    }
    peer.receive();
    peer
}

#[test]
fn credit_in_drops_does_not_keep_a_stalled_stream() {
    let _meter = Meter::start();
    let mut peer = without_credit();
    for id in [3, 5] {
        peer.write(id, &[0; 100_000]);
    }
    peer.expect_silence();
    // One byte per second for one stream, enough for the other.
    for _ in 0..59 {
        peer.pass(Duration::from_secs(1));
        peer.send(peer::wnd_inc(3, 1));
        peer.send(peer::wnd_inc(5, 100));
        peer.expect(&["DATA id=3 len=1", "DATA id=5 len=100"]);
    }
    peer.pass(Duration::from_secs(1));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=13"));
    for _ in 0..60 {
        peer.pass(Duration::from_secs(1));
        peer.send(peer::wnd_inc(5, 100));
        peer.expect(&["DATA id=5 len=100"]);
    }
}

#[test]
fn zero_window_stall_has_a_time_limit_if_asked() {
    let _meter = Meter::start();
    let mut peer = without_credit();
    // Spare memory is given back.
    for _ in 0..2 {
        peer.pass(Duration::from_millis(100));
        peer.receive();
    }
    // A stream that has just used up its credit does not wait for any.
    assert_eq!(peer.session.poll_timeout(), None);
    peer.write(3, b"more");
    peer.receive();
    peer.pass(Duration::from_secs(59));
    peer.write(5, b"more");
    peer.receive();
    peer.expect_silence();
    peer.pass(Duration::from_secs(1));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=13"));
    assert_eq!(peer.stream(3).write(b"x"), Err(WriteError::ResetLocally(ErrorCode::WRITE_TIMEOUT)));
    assert_eq!(
        peer.read(3),
        (b"kept".to_vec(), Err(ReadError::ResetLocally(ErrorCode::WRITE_TIMEOUT)))
    );
    // The other one gets its credit in time.
    peer.send(peer::wnd_inc(5, 100));
    peer.expect(&["DATA id=5 len=4"]);
    peer.pass(Duration::from_secs(600));
    peer.expect_silence();
    peer.expect_alive(7);
}

#[test]
fn dribble() {
    let _meter = Meter::start();
    // A byte every ten seconds of each kind of frame.
    for frame in [
        peer::syn(3, &[0; 4000]),
        peer::rst(3, 6),
        peer::wnd_inc(3, 6),
        peer::go_away(0, 0, &[b'x'; 100]),
        peer::frame(9, 0, 0, &[0; 100]),
    ] {
        let mut peer = Peer::of_server(Config::default());
        let mut waited = 0;
        for byte in &frame {
            peer.send([*byte]);
            peer.pass(Duration::from_secs(10));
            waited += 10;
            if peer.session.close_reason().is_some() {
                break;
            }
        }
        assert_eq!(peer.session.close_reason(), Some(&CloseReason::FrameStalled));
        // Once for the header, and once for what follows.
        assert!(waited <= 110, "{waited}");
        assert!(peer.hear()[0].starts_with("GOAWAY last=") && peer.session.wants_shutdown());
    }
}

#[test]
fn dribble_is_not_a_slow_link() {
    let _meter = Meter::start();
    // 1200 bits per second, with frames of 16 KiB.
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b""));
    let id = peer.accept();
    let frame = peer::data(id, &[7; 16_384]);
    for piece in frame.chunks(150) {
        peer.send(piece);
        peer.pass(Duration::from_secs(1));
    }
    assert_eq!(peer.session.close_reason(), None);
    assert_eq!(peer.read(id).0.len(), 16_384);
    // Silence between two frames has no limit.
    peer.pass(Duration::from_secs(100_000));
    assert_eq!(peer.session.close_reason(), None);
}
