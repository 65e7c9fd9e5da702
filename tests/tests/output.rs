//! What a session has to send: how long a batch is, and when nothing is left.

use std::time::Duration;

use bytes::Buf;
use muxado_proto::{Config, ErrorCode, Event, StreamId, Transmit, WriteError};
use muxado_tests::peer::{self, Peer};

#[test]
fn a_batch_ends_as_soon_as_it_is_as_long_as_asked_for() {
    let control: &[fn(&mut Peer, u32)] = &[
        |peer, id| peer.stream(id).reset(ErrorCode(9)),
        |peer, id| peer.send(peer::data(id + 100, b"?")),
        |peer, id| {
            peer.send(peer::data(id, &[0; 131_072]));
            assert_eq!(peer.read(id).0.len(), 131_072);
        },
    ];
    for work in control {
        let ids = [3, 5, 7];
        let mut peer = Peer::with_streams(Config::default(), &ids);
        ids.into_iter().for_each(|id| work(&mut peer, id));
        assert_eq!(peer.batch(0), 0);
        // Frames of 12 bytes: what is begun is finished.
        assert_eq!(peer.batch(12), 12);
        assert_eq!(peer.batch(13), 24);
        assert_eq!(peer.batch(100), 0);
    }
}

#[test]
fn taking_nothing_leaves_nothing_to_do() {
    let mut peer = Peer::with_streams(Config::default(), &[3]);
    peer.stream(3).stop();
    assert!(!peer.session.wants_transmit());
    peer.expect_silence();
    assert_eq!(peer.session.poll_timeout(), None);
}

/// The RST of a stream found to have stalled too long waited for the next thing to send.
#[test]
fn nothing_is_left_to_send_when_poll_transmit_returns_0() {
    let limit = Duration::from_secs(30);
    let config =
        Config::builder().send_window(1000).stream_stall_timeout(Some(limit)).build().expect("ok");
    let mut peer = Peer::of_client(config);
    let id = peer.open();
    peer.write(id, &[0; 5000]);
    peer.receive();
    peer.pass(Duration::from_secs(29));
    peer.send(peer::wnd_inc(id, 100));
    peer.pass(Duration::from_secs(2));
    let (now, mut out) = (peer.now(), Transmit::new());
    while peer.session.poll_transmit(now, &mut out, 108) > 0 {
        out.advance(out.remaining());
    }
    assert!(!peer.session.wants_transmit());
    peer.expect_silence();
}

/// How large a batch is after a transport that takes `rate` bytes in a millisecond.
fn batch_after(rate: u64, written: usize) -> usize {
    let config = Config::builder().send_window(1 << 20).build().expect("valid");
    let mut peer = Peer::with_streams(config, &[3]);
    peer.write(3, &vec![0; written]);
    let mut out = Transmit::new();
    loop {
        let (now, size) = (peer.now(), peer.session.batch_size());
        let count = peer.session.poll_transmit(now, &mut out, size);
        if count == 0 {
            return peer.session.batch_size();
        }
        out.advance(count);
        peer.pass(Duration::from_micros(1000 * count as u64 / rate));
        let now = peer.now();
        peer.session.transmitted(now, count);
    }
}

#[test]
fn a_batch_is_what_the_transport_takes_in_ten_milliseconds() {
    assert_eq!(batch_after(125, 262_144), 1250);
    // A fast one gets a fourth of what it took without a wait.
    assert_eq!(batch_after(1_000_000, 262_144), 61_380);
    // One small batch may have waited for anything.
    assert_eq!(batch_after(1, 100), 16_360);
}

/// Small messages shorten batches if bulk waits, and turns of the event loop in any case.
#[test]
fn batches_are_short_while_bulk_waits_beside_small_messages() {
    const LONG: usize = 261_760;
    const SHORT: usize = 65_440;
    let config = Config::builder().send_window(8 << 20).build().expect("valid");
    let mut peer = Peer::with_streams(config, &[3, 5]);
    let sizes = |peer: &Peer| (peer.session.batch_size(), peer.session.turn_size());
    while sizes(&peer).0 < LONG {
        peer.write(5, &[0; SHORT]);
        peer.batch(SHORT);
    }
    assert_eq!(sizes(&peer), (LONG, LONG));
    peer.write(5, &[0; 4 * SHORT]);
    peer.write(3, b"message");
    // The message is first, and its stream has nothing more to send.
    assert_eq!(peer.batch(1), 15);
    assert_eq!(sizes(&peer), (SHORT, SHORT));
    peer.batch(usize::MAX);
    assert_eq!(sizes(&peer), (LONG, SHORT), "no bulk waits");
    // A message of a frame is small, one that is longer is not.
    for (length, turn) in [(16_360, SHORT), (16_361, LONG)] {
        peer.pass(Duration::from_millis(10));
        peer.batch(usize::MAX);
        assert_eq!(sizes(&peer).1, LONG, "no message in ten milliseconds");
        peer.write(3, &vec![0; length]);
        peer.batch(usize::MAX);
        assert_eq!(sizes(&peer).1, turn, "{length} bytes");
    }
}

#[test]
fn the_end_of_a_stream_is_no_small_message() {
    let mut peer = Peer::with_streams(Config::default(), &[3, 5]);
    peer.stream(3).finish().expect("it is open");
    peer.expect(&["DATA id=3 len=0 FIN"]);
    assert_eq!(peer.session.turn_size(), 261_760);
}

#[test]
fn heartbeats_are_no_small_messages() {
    let config = Config::builder().typed(true).build().expect("valid");
    let mut peer = Peer::of_server(config);
    for id in [3, 5] {
        peer.send(peer::syn(id, &[0, 0, 0, 9]));
        peer.accept();
    }
    peer.receive();
    peer.send(peer::syn(7, &[255, 255, 255, 255]));
    peer.send(peer::data(7, &[1, 2, 3, 4]));
    assert!(!peer.receive().is_empty(), "an answer");
    assert_eq!(peer.session.turn_size(), 261_760);
}

/// With one stream nobody waits behind anybody.
#[test]
fn messages_on_the_only_stream_shorten_nothing() {
    let mut peer = Peer::with_streams(Config::default(), &[3]);
    peer.write(3, b"message");
    peer.batch(usize::MAX);
    assert_eq!(peer.session.turn_size(), 261_760);
}

/// What is watched while the driver has the last batch.
#[test]
fn who_asks_while_the_transport_has_the_last_batch_is_told() {
    let mut peer = Peer::with_streams(Config::default(), &[3]);
    peer.write(3, b"x");
    assert_eq!(peer.batch(usize::MAX), 9);
    peer.events();
    assert_eq!(peer.stream(3).flushed(), Err(WriteError::Blocked));
    assert_eq!((peer.session.audit(), peer.events()), (Ok(()), Vec::new()));
    peer.expect_silence();
    assert_eq!(peer.events(), [Event::Flushed(StreamId::new(3))]);
    assert_eq!(peer.stream(3).flushed(), Ok(()));
}
