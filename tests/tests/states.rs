//! The life of one stream: half-close, reset, drop, and the events and errors that report them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use muxado_proto::{Config, ErrorCode, Event, Priority, ReadError, StreamId, WriteError};
use muxado_tests::peer::{self, Peer};

fn id(number: u32) -> StreamId {
    StreamId::new(number)
}

/// A server with stream 3 open and accepted.
fn with_stream() -> Peer {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b""));
    assert_eq!(peer.accept(), 3);
    peer.events();
    peer
}

#[test]
fn open_sends_nothing_before_the_first_write() {
    let mut peer = Peer::of_client(Config::default());
    let (first, second) = (peer.open(), peer.open());
    assert_eq!((first, second), (3, 5));
    peer.expect_silence();
    peer.write(second, b"second");
    peer.write(first, b"first");
    peer.expect(&["DATA id=5 len=6 SYN", "DATA id=3 len=5 SYN"]);
}

#[test]
fn an_empty_write_sends_nothing_and_loses_no_syn() {
    let mut peer = Peer::of_client(Config::default());
    let stream = peer.open();
    assert_eq!(peer.stream(stream).write(b""), Ok(0));
    peer.expect_silence();
    peer.write(stream, b"hi");
    peer.expect(&["DATA id=3 len=2 SYN"]);
}

#[test]
fn half_close_leaves_the_other_direction_alone() {
    let mut peer = with_stream();
    peer.stream(3).finish().unwrap();
    peer.expect(&["DATA id=3 len=0 FIN"]);
    assert_eq!(peer.stream(3).write(b"x"), Err(WriteError::Finished));
    peer.stream(3).finish().unwrap();
    peer.expect_silence();
    for _ in 0..3 {
        peer.send(peer::data(3, b"still "));
    }
    peer.send(peer::fin(3));
    assert_eq!(peer.read(3), (b"still still still ".to_vec(), Ok(())));

    let mut peer = with_stream();
    peer.send(peer::fin(3));
    assert_eq!(peer.read(3), (vec![], Ok(())));
    peer.write(3, b"still here");
    peer.expect(&["DATA id=3 len=10"]);
}

#[test]
fn data_before_a_fin_stays_readable() {
    let mut peer = with_stream();
    peer.send(peer::data_fin(3, b"all of it"));
    let mut buf = [0; 3];
    for part in [b"all", b" of", b" it"] {
        assert_eq!(peer.stream(3).read(&mut buf), Ok(3));
        assert_eq!(buf, *part);
    }
    // The end can be read any number of times.
    for _ in 0..3 {
        assert_eq!(peer.stream(3).read(&mut buf), Ok(0));
        assert_eq!(peer.stream(3).read_chunk(9), Ok(None));
    }
}

#[test]
fn data_before_a_reset_stays_readable_and_the_code_is_told_to_both_halves() {
    for code in [1, 6, 0, 0xdead_beef] {
        let mut peer = with_stream();
        assert_eq!(peer.read(3).1, Err(ReadError::Blocked));
        peer.send([peer::data(3, b"kept"), peer::rst(3, code)].concat());
        assert_eq!(peer.events().first(), Some(&Event::Readable(id(3))));
        let code = ErrorCode(code);
        assert_eq!(peer.read(3), (b"kept".to_vec(), Err(ReadError::Reset(code))));
        assert_eq!(peer.stream(3).write(b"x"), Err(WriteError::Reset(code)));
        assert_eq!(peer.stream(3).finish(), Err(WriteError::Reset(code)));
        peer.stream(3).release();
        // An RST is not answered.
        peer.expect_silence();
    }
}

#[test]
fn a_reset_behind_a_fin_leaves_the_end_clean() {
    let mut peer = with_stream();
    peer.send([peer::data_fin(3, b"complete"), peer::rst(3, 6)].concat());
    assert_eq!(peer.read(3), (b"complete".to_vec(), Ok(())));
    let error = WriteError::Reset(ErrorCode::STREAM_CANCELLED);
    assert_eq!(peer.stream(3).write(b"x"), Err(error));
}

#[test]
fn a_reset_by_this_side_drops_both_directions() {
    let mut peer = with_stream();
    peer.send(peer::data(3, b"unread"));
    peer.write(3, b"unsent");
    peer.stream(3).reset(ErrorCode(99));
    assert_eq!(peer.read(3), (vec![], Err(ReadError::ResetLocally(ErrorCode(99)))));
    assert_eq!(peer.stream(3).write(b"x"), Err(WriteError::ResetLocally(ErrorCode(99))));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=99"));
    let stats = peer.session.stats();
    assert_eq!((stats.send_buffered, stats.receive_buffered), (0, 0));
    // One RST is enough, and frames that cross it are skipped.
    peer.stream(3).reset(ErrorCode(98));
    peer.send([peer::data(3, b"late"), peer::rst(3, 4), peer::fin(3)].concat());
    peer.stream(3).release();
    peer.send(peer::data(3, b"later"));
    peer.expect_silence();
}

#[test]
fn a_dropped_stream_sends_what_was_written_and_then_fin() {
    let mut peer = with_stream();
    peer.write(3, &[7; 300]);
    peer.stream(3).release();
    assert!(peer.session.stream(id(3)).is_none());
    peer.expect(&["DATA id=3 len=300 FIN"]);
    assert_eq!(peer.session.stats().given_up_streams, 1);
    peer.send(peer::fin(3));
    assert_eq!(peer.session.stats().open_streams, 0);
}

#[test]
fn a_dropped_stream_waits_for_credit_with_what_was_written() {
    let mut peer = Peer::of_server(Config::builder().send_buffer(1 << 20).build().expect("valid"));
    peer.send(peer::syn(3, b""));
    peer.accept();
    peer.write(3, &vec![7; 262_145]);
    peer.stream(3).release();
    // 16 frames of 16 360 bytes, and the rest of the window.
    assert_eq!(peer.receive().len(), 17);
    peer.expect_silence();
    assert_eq!(peer.session.stats().open_streams, 1);
    peer.send(peer::wnd_inc(3, 10));
    peer.expect(&["DATA id=3 len=1 FIN"]);
    peer.send(peer::fin(3));
    assert_eq!(peer.session.stats().open_streams, 0);
}

#[test]
fn data_for_a_dropped_stream_that_still_sends_is_taken_and_granted() {
    let mut peer = Peer::of_server(Config::builder().send_buffer(1 << 20).build().expect("valid"));
    peer.send(peer::syn(3, b""));
    peer.accept();
    peer.write(3, &vec![7; 262_145]);
    peer.stream(3).release();
    peer.receive();
    // Its writer gets credit, although nobody reads: once the peer's reader had the time to take the
    // answer.
    peer.pass(Duration::from_millis(100));
    for _ in 0..10 {
        peer.send(peer::data(3, &vec![0; 131_072]));
        peer.expect(&["WNDINC id=3 inc=131072"]);
    }
    assert_eq!(peer.session.stats().receive_buffered, 0);
    peer.send(peer::fin(3));
    peer.send(peer::wnd_inc(3, 1));
    peer.expect(&["DATA id=3 len=1 FIN"]);
    assert_eq!(peer.session.stats().open_streams, 0);
}

#[test]
fn stop_reading_goes_on_writing() {
    let mut peer = with_stream();
    peer.send(peer::data(3, b"unwanted"));
    peer.stream(3).stop();
    assert_eq!(peer.read(3).1, Err(ReadError::Stopped));
    peer.send(peer::data(3, &vec![0; 200_000]));
    assert_eq!(peer.session.stats().receive_buffered, 0);
    peer.write(3, b"more");
    let frames = peer.hear();
    assert!(frames.contains(&"DATA id=3 len=4".into()), "{frames:?}");
    // When this side has finished as well, DATA is answered.
    peer.stream(3).finish().unwrap();
    peer.expect(&["DATA id=3 len=0 FIN"]);
    peer.send(peer::data(3, b"more"));
    peer.pass(Duration::from_millis(100));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=4"));
}

#[test]
fn what_has_arrived_can_be_read_after_the_end_of_the_transport() {
    let mut peer = with_stream();
    let mut ends = Vec::new();
    // Finished, unfinished, and both again without being accepted.
    peer.send(peer::data_fin(3, b"complete"));
    for number in [5, 7, 9] {
        peer.send(peer::syn(number, b"some"));
    }
    assert_eq!(peer.accept(), 5);
    peer.send(peer::fin(9));
    peer.shut();
    assert_eq!((peer.accept(), peer.accept()), (7, 9));
    assert_eq!(peer.session.accept(), None);
    for number in [3, 5, 7, 9] {
        ends.push(peer.read(number));
    }
    let reason = peer.session.close_reason().cloned().expect("over");
    let cut = (b"some".to_vec(), Err(ReadError::SessionClosed(reason.clone())));
    assert_eq!(
        ends,
        [(b"complete".to_vec(), Ok(())), cut.clone(), cut, (b"some".to_vec(), Ok(())),]
    );
    assert_eq!(peer.stream(5).write(b"x"), Err(WriteError::SessionClosed(reason)));
    // Reading has caused no output except GOAWAY and pads.
    let goaway = peer.hear();
    assert!(goaway[0].starts_with("GOAWAY last=9 code=15 "), "{goaway:?}");
    assert_eq!(goaway.len(), 2);
    assert!(!peer.session.wants_transmit());
    for number in [3, 5, 7, 9] {
        peer.stream(number).release();
    }
    let stats = peer.session.stats();
    assert_eq!((stats.open_streams, stats.receive_buffered), (0, 0));
}

#[test]
fn peek_takes_nothing() {
    let mut peer = with_stream();
    peer.send(peer::data(3, b"hel"));
    peer.send(peer::data(3, &[b'l'; 600]));
    let mut buf = [0; 5];
    assert_eq!(peer.stream(3).peek(&mut buf), 5);
    assert_eq!(buf, *b"helll");
    assert_eq!(peer.stream(3).stats().receive_buffered, 603);
    assert_eq!(peer.read(3).0.len(), 603);
    assert_eq!(peer.stream(3).peek(&mut buf), 0);
}

#[test]
fn writes_of_all_kinds_keep_their_order() {
    let mut peer = with_stream();
    peer.write(3, b"copied ");
    assert_eq!(peer.stream(3).write_chunk(&mut "chunk ".into()), Ok(6));
    assert_eq!(peer.stream(3).write_chunk(&mut vec![b'='; 2000].into()), Ok(2000));
    assert_eq!(peer.stream(3).write_vectored([&b" vec"[..], b"", b"tored"]), Ok(9));
    peer.stream(3).finish().unwrap();
    let frames = peer.receive();
    let sent: Vec<u8> = frames.iter().flat_map(|frame| frame.payload.clone()).collect();
    let expected = [&b"copied chunk "[..], &[b'='; 2000], b" vectored"].concat();
    assert_eq!(sent, expected);
    assert!(frames.last().is_some_and(|frame| frame.is_fin()));
}

#[test]
fn what_was_taken_before_a_panic_is_sent() {
    struct Owner;
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            b"owned, "
        }
    }
    impl Drop for Owner {
        fn drop(&mut self) {
            panic!("as asked");
        }
    }
    let mut peer = with_stream();
    let buffers = ["first, "].into_iter().map(str::as_bytes);
    let buffers = buffers.chain(std::iter::from_fn(|| panic!("as asked")));
    let attempt = AssertUnwindSafe(|| peer.stream(3).write_vectored(buffers));
    catch_unwind(attempt).expect_err("it panics");
    let attempt = AssertUnwindSafe(|| peer.stream(3).write_chunk(&mut Bytes::from_owner(Owner)));
    catch_unwind(attempt).expect_err("it panics");
    assert_eq!(peer.stream(3).stats().send_buffered, 14);
    peer.write(3, b"last");
    let sent: Vec<u8> = peer.receive().into_iter().flat_map(|frame| frame.payload).collect();
    assert_eq!(sent, b"first, owned, last");
}

#[test]
fn readiness_is_told_once_and_again_only_when_asked_for() {
    let mut peer = with_stream();
    // Without an earlier call, the first event is reported.
    peer.send(peer::data(3, b"a"));
    peer.send(peer::data(3, b"b"));
    assert_eq!(peer.events(), [Event::Readable(id(3))]);
    peer.send(peer::data(3, b"c"));
    assert_eq!(peer.events(), []);
    assert_eq!(peer.read(3), (b"abc".to_vec(), Err(ReadError::Blocked)));
    for piece in [peer::data(3, b"d"), peer::data(3, b"e"), peer::fin(3)] {
        peer.send(piece);
    }
    assert_eq!(peer.events(), [Event::Readable(id(3))]);
}

#[test]
fn events_of_many_streams_are_one_each() {
    let mut peer = Peer::of_server(Config::default());
    for number in [3, 5, 7] {
        peer.send(peer::syn(number, b"x"));
        peer.send(peer::data(number, b"y").repeat(100));
    }
    assert_eq!(peer.events(), [Event::Acceptable]);
    let accepted = peer.accept();
    let _others = (peer.accept(), peer.accept());
    assert_eq!(peer.events(), [3, 5, 7].map(|number| Event::Readable(id(number))));
    // The events of a removed stream are removed as well.
    assert_eq!(peer.read(accepted).1, Err(ReadError::Blocked));
    peer.send(peer::data(accepted, b"z"));
    peer.stream(accepted).release();
    assert_eq!(peer.events(), []);
}

#[test]
fn a_writer_is_woken_when_half_of_its_buffer_is_free() {
    let mut peer = with_stream();
    peer.write(3, &[0; 262_144]);
    assert_eq!(peer.stream(3).write(b"x"), Err(WriteError::Blocked));
    peer.events();
    peer.receive();
    assert_eq!(peer.events(), [Event::Writable(id(3))]);
    // Blocked by credit now.
    peer.write(3, &[0; 262_144]);
    assert_eq!(peer.stream(3).write(b"x"), Err(WriteError::Blocked));
    peer.receive();
    assert_eq!(peer.events(), []);
    peer.send(peer::wnd_inc(3, 131_072));
    peer.receive();
    assert_eq!(peer.events(), [Event::Writable(id(3))]);
    // A reset wakes it too, and so does the end of the session.
    for (end, number) in [(0, 5), (1, 7)] {
        peer.send(peer::syn(number, b""));
        peer.accept();
        peer.write(number, &[0; 262_144]);
        assert_eq!(peer.stream(number).write(b"x"), Err(WriteError::Blocked));
        peer.events();
        if end == 0 {
            peer.send(peer::rst(number, 6))
        } else {
            peer.shut()
        }
        assert!(peer.events().contains(&Event::Writable(id(number))));
    }
}

#[test]
fn writers_that_wait_for_the_session_are_woken_although_others_stay_stuck() {
    let config = Config::builder().session_send_buffer(1 << 20).build().expect("valid");
    let mut peer = Peer::of_server(config);
    let mut stuck = Vec::new();
    // Three streams use three quarters of the limit of the session, and have no credit.
    for number in [3, 5, 7] {
        peer.send(peer::syn(number, b""));
        stuck.push(peer.accept());
        peer.stream(number).set_priority(Priority::HIGHEST);
        peer.write(number, &[0; 262_144]);
        peer.receive();
        peer.write(number, &[0; 262_144]);
    }
    // The fourth fills the rest, and the fifth waits for room.
    for number in [9, 11] {
        peer.send(peer::syn(number, b""));
        peer.accept();
        peer.stream(number).set_priority(Priority::HIGHEST);
    }
    peer.write(9, &[0; 262_144]);
    // No stream is shut out: a little can always be written, independent of the others.
    assert_eq!(peer.stream(11).write(&[0; 5000]), Ok(4096));
    assert_eq!(peer.stream(11).write(b"x"), Err(WriteError::Blocked));
    peer.events();
    peer.receive();
    assert!(peer.events().contains(&Event::Writable(id(11))));
    peer.write(11, b"x");
    peer.expect(&["DATA id=11 len=1"]);
}

#[test]
fn streams_without_credit_shut_nobody_out() {
    let config = Config::builder().session_send_buffer(1 << 20).build().expect("valid");
    let mut peer = Peer::of_server(config);
    // Four streams use up the limit of the session, and have no credit.
    for number in [3, 5, 7, 9] {
        peer.send(peer::syn(number, b""));
        peer.accept();
        peer.stream(number).set_priority(Priority::HIGHEST);
        peer.write(number, &[0; 262_144]);
        peer.receive();
        peer.write(number, &[0; 262_144]);
    }
    peer.send(peer::syn(11, b""));
    peer.accept();
    peer.stream(11).set_priority(Priority::HIGHEST);
    // Another one can send all its credit, in small steps.
    let mut sent = 0;
    while sent < 262_144 {
        match peer.stream(11).write(&[0; 10_000]) {
            Ok(taken) => sent += taken,
            Err(error) => panic!("{error} after {sent} bytes"),
        }
        assert_eq!(peer.stream(11).write(b"x"), Err(WriteError::Blocked));
        peer.events();
        peer.receive();
        assert!(peer.events().contains(&Event::Writable(id(11))));
    }
}

#[test]
fn a_reader_that_has_stopped_is_told_so_to_the_end() {
    for end in [peer::fin(3), peer::rst(3, 6)] {
        let mut peer = with_stream();
        peer.stream(3).stop();
        let stopped = Err(ReadError::Stopped);
        assert_eq!(peer.read(3).1, stopped);
        peer.send(end);
        assert_eq!(peer.read(3).1, stopped);
    }
}

#[test]
fn ids_that_were_released_find_nothing() {
    let mut peer = with_stream();
    peer.stream(3).release();
    assert!(peer.session.stream(id(3)).is_none());
    assert!(peer.session.stream(id(5)).is_none());
    assert!(peer.session.stream(id(0)).is_none());
}

#[test]
fn counters_tell_what_happened() {
    let mut peer = Peer::of_server(Config::default());
    peer.send([peer::syn(3, b"12345"), peer::syn(5, b""), peer::rst(5, 6)].concat());
    peer.send(peer::data(99, b"stray"));
    peer.send(peer::frame(8, 0, 0, b"unknown"));
    let stream = peer.accept();
    let opened = peer.open();
    peer.write(opened, b"abc");
    peer.write(stream, b"de");
    let stats = peer.session.stats();
    assert_eq!((stats.send_buffered, stats.receive_buffered), (5, 5));
    assert_eq!((stats.open_streams, stats.backlog), (2, 0));
    peer.receive();
    let stats = peer.session.stats();
    assert_eq!(stats.frames_received, 5);
    assert_eq!(stats.bytes_received, 13 + 8 + 12 + 13 + 15);
    assert_eq!(stats.payload_received, 5);
    assert_eq!((stats.streams_accepted, stats.streams_opened), (2, 1));
    assert_eq!((stats.resets_received, stats.resets_sent), (1, 1));
    assert_eq!((stats.stray_frames, stats.unknown_frames), (1, 1));
    assert_eq!((stats.frames_sent, stats.payload_sent), (3, 5));
    assert_eq!(stats.bytes_sent, 12 + 8 + 3 + 8 + 2);
    let view = peer.stream(opened).stats();
    assert_eq!((view.send_credit, view.receive_credit), (262_141, 262_144));
    assert_eq!((view.receive_window, view.send_buffered), (262_144, 0));
}
