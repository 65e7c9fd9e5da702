//! When a stream without written data is announced to the peer.

use muxado_proto::{
    Config, ErrorCode, Event, OpenError, ReadError, StreamId, StreamType, WriteError,
};
use muxado_tests::peer::{self, Peer};

fn id(number: u32) -> StreamId {
    StreamId::new(number)
}

// T13: a stream that was not announced sends nothing when it is dropped, whichever half is dropped
// first.

#[test]
fn t13_a_writer_that_leaves_an_unwritten_stream_says_nothing() {
    let mut peer = Peer::of_client(Config::default());
    let stream = peer.open();
    peer.stream(stream).release_send();
    peer.expect_silence();
    peer.stream(stream).release();
    peer.expect_silence();
    let stats = peer.session.stats();
    assert_eq!((stats.open_streams, stats.frames_sent), (0, 0));

    let stream = peer.open();
    peer.stream(stream).stop();
    peer.expect_silence();
    peer.stream(stream).release();
    peer.expect_silence();
}

#[test]
fn t13_a_reader_that_waits_has_the_stream_announced_and_its_writers_end_behind_it() {
    let mut peer = Peer::of_client(Config::default());
    let stream = peer.open();
    peer.stream(stream).release_send();
    assert_eq!(peer.read(stream).1, Err(ReadError::Blocked));
    peer.expect(&["DATA id=3 len=0 SYN", "DATA id=3 len=0 FIN"]);
    assert_eq!(peer.stream(stream).write(b"x"), Err(WriteError::Finished));
    peer.send(peer::data_fin(stream, b"banner"));
    assert_eq!(peer.read(stream), (b"banner".to_vec(), Ok(())));
}

// W1: a stream is announced when a reader waits for data from the peer.

#[test]
fn w1_a_reader_that_waits_announces_the_stream() {
    let mut peer = Peer::of_client(Config::default());
    let stream = peer.open();
    assert_eq!(peer.stream(stream).read(&mut [0; 8]), Err(ReadError::Blocked));
    assert!(peer.session.wants_transmit());
    peer.expect(&["DATA id=3 len=0 SYN"]);
    // Once.
    assert_eq!(peer.read(stream).1, Err(ReadError::Blocked));
    peer.expect_silence();
    peer.send(peer::data(stream, b"220 ready"));
    assert!(peer.events().contains(&Event::Readable(id(stream))));
    assert_eq!(peer.read(stream).0, b"220 ready");
    peer.write(stream, b"EHLO");
    peer.expect(&["DATA id=3 len=4"]);
}

#[test]
fn w1_a_write_in_the_same_turn_carries_the_syn() {
    let mut peer = Peer::of_client(Config::default());
    let stream = peer.open();
    assert_eq!(peer.read(stream).1, Err(ReadError::Blocked));
    peer.write(stream, b"hi");
    peer.expect(&["DATA id=3 len=2 SYN"]);
    let second = peer.open();
    assert_eq!(peer.read(second).1, Err(ReadError::Blocked));
    peer.write(second, b"hi");
    peer.stream(second).finish().expect("it is open");
    peer.expect(&["DATA id=5 len=2 SYN", "DATA id=5 len=0 FIN"]);
}

#[test]
fn w1_neither_a_glance_nor_a_drop_announces_a_stream() {
    let mut peer = Peer::of_client(Config::default());
    let stream = peer.open();
    let mut view = peer.stream(stream);
    assert_eq!(view.readable(), Err(ReadError::Blocked));
    assert_eq!(view.peek(&mut [0; 8]), 0);
    assert_eq!(view.consume(8), 0);
    assert!(view.writable().is_ok());
    assert_eq!(view.flushed(), Ok(()));
    assert_eq!(view.ended(), None);
    let _ = view.stats();
    peer.expect_silence();
    // A reader that no longer waits, or is dropped with the stream, does not count.
    assert_eq!(peer.read(stream).1, Err(ReadError::Blocked));
    peer.stream(stream).cancel_read();
    peer.expect_silence();
    assert_eq!(peer.read(stream).1, Err(ReadError::Blocked));
    peer.stream(stream).release();
    peer.expect_silence();
    assert_eq!(peer.session.stats().open_streams, 0);
}

#[test]
fn w1_announce_announces() {
    let mut peer = Peer::of_client(Config::default());
    let stream = peer.open();
    assert_eq!(peer.stream(stream).announce(), Ok(()));
    peer.expect(&["DATA id=3 len=0 SYN"]);
    assert_eq!(peer.stream(stream).announce(), Ok(()));
    peer.expect_silence();
    peer.stream(stream).release();
    peer.expect(&["DATA id=3 len=0 FIN"]);
    // It was given up before the SYN was sent, but announced before that.
    let stream = peer.open();
    peer.stream(stream).announce().expect("it is open");
    peer.stream(stream).release();
    peer.expect(&["DATA id=5 len=0 SYN", "DATA id=5 len=0 FIN"]);
    let stream = peer.open();
    peer.stream(stream).reset(ErrorCode(6));
    let error = Err(WriteError::ResetLocally(ErrorCode(6)));
    assert_eq!(peer.stream(stream).announce(), error);
}

#[test]
fn w1_an_announced_stream_is_unanswered() {
    let config = Config::builder().max_unanswered_streams(Some(1)).build().expect("valid");
    let mut peer = Peer::of_client(config);
    let stream = peer.open();
    assert_eq!(peer.read(stream).1, Err(ReadError::Blocked));
    peer.receive();
    assert_eq!(peer.session.open(), Err(OpenError::Blocked));
    peer.send(peer::data(stream, b"220 ready"));
    assert!(peer.events().contains(&Event::OpenReady));
    peer.open();
}

#[test]
fn w1_a_typed_stream_is_announced_by_its_type_alone() {
    let mut peer = Peer::of_client(Config::builder().typed(true).build().expect("valid"));
    let stream = peer.session.open_typed(StreamType(42)).expect("it opens").get();
    assert_eq!(peer.read(stream).1, Err(ReadError::Blocked));
    peer.expect(&["DATA id=3 len=4 SYN"]);
    assert_eq!(peer.read(stream).1, Err(ReadError::Blocked));
    peer.expect_silence();
}
