//! Streams: how their ends are reported, and what an application can wait for.

use muxado_proto::{
    CloseReason, Config, ErrorCode, Event, ReadError, Session, StreamEnd, StreamId, Timestamp,
    Transmit, WriteError,
};
use muxado_tests::peer::{self, Peer};

const WINDOW: usize = 262_144;

fn id(number: u32) -> StreamId {
    StreamId::new(number)
}

/// A server with stream 3 open and accepted.
fn with_stream(config: Config) -> Peer {
    let mut peer = Peer::of_server(config);
    peer.send(peer::syn(3, b""));
    assert_eq!(peer.accept(), 3);
    peer.events();
    peer
}

/// Cuts one batch, which the transport has not taken yet.
fn cut(session: &mut Session, now: Timestamp) -> usize {
    session.poll_transmit(now, &mut Transmit::new(), usize::MAX)
}

// T5: a stream that can no longer deliver data does not report that it has finished.

#[test]
fn t5_finishing_a_stream_that_the_peer_has_reset_is_an_error_with_its_code() {
    let mut peer = with_stream(Config::default());
    peer.write(3, b"half of");
    peer.send(peer::rst(3, 77));
    let error = Err(WriteError::Reset(ErrorCode(77)));
    assert_eq!(peer.stream(3).finish(), error);
    assert_eq!(peer.stream(3).flushed(), error);
    assert_eq!(peer.stream(3).finish(), error);
}

#[test]
fn t5_finishing_a_stream_that_this_side_has_reset_is_an_error_with_its_code() {
    let mut peer = with_stream(Config::default());
    peer.stream(3).reset(ErrorCode(9));
    let error = Err(WriteError::ResetLocally(ErrorCode(9)));
    assert_eq!(peer.stream(3).finish(), error);
    assert_eq!(peer.stream(3).flushed(), error);
}

#[test]
fn t5_a_dead_session_is_the_error_of_finish_flush_and_every_later_write() {
    let mut peer = with_stream(Config::default());
    peer.write(3, b"half of");
    peer.shut();
    let error = WriteError::SessionClosed(CloseReason::TransportEof);
    for _ in 0..2 {
        assert_eq!(peer.stream(3).finish(), Err(error.clone()));
        assert_eq!(peer.stream(3).flushed(), Err(error.clone()));
        assert_eq!(peer.stream(3).write(b"x"), Err(error.clone()));
    }
}

#[test]
fn t5_an_end_that_was_cut_off_is_no_end() {
    // The end was requested, and waits behind data without credit when the session dies.
    let mut peer = with_stream(Config::builder().send_buffer(1 << 20).build().expect("valid"));
    peer.write(3, &vec![0; WINDOW + 1]);
    assert_eq!(peer.stream(3).finish(), Ok(()));
    peer.receive();
    peer.shut();
    let error = WriteError::SessionClosed(CloseReason::TransportEof);
    assert_eq!(peer.stream(3).finish(), Err(error.clone()));
    assert_eq!(peer.stream(3).flushed(), Err(error.clone()));
    assert_eq!(peer.stream(3).write(b"x"), Err(error));
}

#[test]
fn t5_what_was_delivered_before_the_session_died_stays_so() {
    let mut peer = with_stream(Config::default());
    peer.write(3, b"all of it");
    assert_eq!(peer.stream(3).finish(), Ok(()));
    peer.receive();
    peer.shut();
    assert_eq!(peer.stream(3).finish(), Ok(()));
    assert_eq!(peer.stream(3).flushed(), Ok(()));
    assert_eq!(peer.stream(3).write(b"x"), Err(WriteError::Finished));
}

// T6: the transport has taken what was written.

#[test]
fn t6_flushed_means_that_the_transport_has_taken_everything() {
    let mut peer = with_stream(Config::default());
    assert_eq!(peer.stream(3).flushed(), Ok(()), "nothing was written");
    peer.write(3, b"hello");
    assert_eq!(peer.stream(3).flushed(), Err(WriteError::Blocked));
    let now = peer.now();
    assert_eq!(cut(&mut peer.session, now), 13);
    // The driver has it, but has not written it yet.
    assert_eq!(peer.stream(3).flushed(), Err(WriteError::Blocked));
    assert!(!peer.events().contains(&Event::Flushed(id(3))));
    // Asking for the next batch means that the previous one was written.
    assert_eq!(cut(&mut peer.session, now), 0);
    assert_eq!(peer.events(), [Event::Flushed(id(3))]);
    assert_eq!(peer.stream(3).flushed(), Ok(()));
    // Reported once, and only on request.
    peer.write(3, b"again");
    peer.receive();
    assert_eq!(peer.events(), []);
}

#[test]
fn t6_flushed_waits_for_credit_and_for_what_is_written_meanwhile() {
    let mut peer = with_stream(Config::builder().send_buffer(1 << 20).build().expect("valid"));
    peer.write(3, &vec![0; WINDOW + 10]);
    assert_eq!(peer.stream(3).flushed(), Err(WriteError::Blocked));
    peer.receive();
    assert!(!peer.events().contains(&Event::Flushed(id(3))));
    peer.write(3, b"more");
    peer.send(peer::wnd_inc(3, 10));
    peer.receive();
    assert_eq!(peer.events(), []);
    peer.send(peer::wnd_inc(3, 4));
    peer.expect(&["DATA id=3 len=4"]);
    assert_eq!(peer.events(), [Event::Flushed(id(3))]);
}

#[test]
fn t6_flushed_includes_the_end() {
    let mut peer = with_stream(Config::default());
    peer.stream(3).finish().expect("it is open");
    assert_eq!(peer.stream(3).flushed(), Err(WriteError::Blocked));
    peer.expect(&["DATA id=3 len=0 FIN"]);
    assert_eq!(peer.events(), [Event::Flushed(id(3))]);
    assert_eq!(peer.stream(3).flushed(), Ok(()));
}

#[test]
fn t6_whoever_waits_is_told_that_it_will_not_come() {
    let error = WriteError::Reset(ErrorCode(6));
    let mut peer = with_stream(Config::default());
    peer.write(3, b"hello");
    assert_eq!(peer.stream(3).flushed(), Err(WriteError::Blocked));
    peer.send(peer::rst(3, 6));
    assert!(peer.events().contains(&Event::Flushed(id(3))));
    assert_eq!(peer.stream(3).flushed(), Err(error));

    // The driver has a batch when the transport fails: it is unknown what the peer received.
    let mut peer = with_stream(Config::default());
    peer.write(3, b"hello");
    peer.stream(3).finish().expect("it is open");
    let now = peer.now();
    assert!(cut(&mut peer.session, now) > 0);
    assert_eq!(peer.stream(3).flushed(), Err(WriteError::Blocked));
    peer.session.handle_transport_error(now, muxado_proto::TransportError::new(std::fmt::Error));
    assert!(peer.events().contains(&Event::Flushed(id(3))));
    assert!(matches!(peer.stream(3).flushed(), Err(WriteError::SessionClosed(_))));
}

#[test]
fn t6_the_end_of_both_directions_can_be_waited_for() {
    let mut peer = with_stream(Config::default());
    assert_eq!(peer.stream(3).ended(), None);
    peer.send(peer::fin(3));
    peer.write(3, b"bye");
    peer.stream(3).finish().expect("it is open");
    let now = peer.now();
    assert!(cut(&mut peer.session, now) > 0);
    assert!(!peer.events().contains(&Event::Ended(id(3))), "the transport has not taken the FIN");
    cut(&mut peer.session, now);
    assert_eq!(peer.events(), [Event::Ended(id(3))]);
    assert_eq!(peer.stream(3).ended(), Some(StreamEnd::Finished));

    // The peer's FIN comes last.
    let mut peer = with_stream(Config::default());
    peer.stream(3).finish().expect("it is open");
    assert_eq!(peer.stream(3).ended(), None);
    peer.receive();
    assert_eq!(peer.events(), []);
    peer.send(peer::data_fin(3, b"unread"));
    assert!(peer.events().contains(&Event::Ended(id(3))));
    assert_eq!(peer.stream(3).ended(), Some(StreamEnd::Finished));
    assert_eq!(peer.read(3), (b"unread".to_vec(), Ok(())));
}

// T7: an incomplete stream is not finished.

#[test]
fn t7_a_stream_dropped_before_its_end_is_reset_if_that_was_chosen() {
    let config = Config::builder().reset_on_drop(true).build().expect("valid");
    // Half an answer, or none.
    for written in [&b"half of"[..], b""] {
        let mut peer = with_stream(config.clone());
        if !written.is_empty() {
            peer.write(3, written);
            peer.receive();
        }
        peer.stream(3).release();
        peer.expect(&["RST id=3 code=6"]);
        assert_eq!(peer.session.stats().open_streams, 0);
    }
    // A whole one.
    let mut peer = with_stream(config.clone());
    peer.write(3, b"all of it");
    peer.stream(3).finish().expect("it is open");
    peer.stream(3).release();
    peer.expect(&["DATA id=3 len=9 FIN"]);
    // One that was never announced.
    let mut peer = Peer::of_client(config);
    let stream = peer.open();
    peer.stream(stream).release();
    peer.expect_silence();
}

#[test]
fn t7_each_stream_has_the_choice_for_itself() {
    let mut peer = with_stream(Config::default());
    peer.send(peer::syn(5, b""));
    peer.accept();
    assert!(!peer.stream(3).reset_on_drop());
    peer.stream(3).set_reset_on_drop(true);
    peer.stream(3).release();
    peer.stream(5).release();
    assert_eq!(sorted(peer.hear()), ["DATA id=5 len=0 FIN", "RST id=3 code=6"]);

    let config = Config::builder().reset_on_drop(true).build().expect("valid");
    let mut peer = with_stream(config);
    assert!(peer.stream(3).reset_on_drop());
    peer.stream(3).set_reset_on_drop(false);
    peer.stream(3).release();
    peer.expect(&["DATA id=3 len=0 FIN"]);
}

#[test]
fn t7_a_writer_that_goes_alone_has_the_same_choice() {
    let mut peer = with_stream(Config::default());
    peer.write(3, b"half of");
    peer.stream(3).set_reset_on_drop(true);
    peer.stream(3).release_send();
    assert_eq!(peer.read(3).1, Err(ReadError::ResetLocally(ErrorCode::STREAM_CANCELLED)));
    peer.expect(&["RST id=3 code=6"]);
    let mut peer = with_stream(Config::default());
    peer.write(3, b"all of it");
    peer.stream(3).release_send();
    peer.expect(&["DATA id=3 len=9 FIN"]);
    assert_eq!(peer.stream(3).write(b"x"), Err(WriteError::Finished));
}

#[test]
fn t7_only_what_is_unfinished_is_reset() {
    let mut peer = with_stream(Config::default());
    peer.stream(3).finish().expect("it is open");
    peer.stream(3).reset_unfinished(ErrorCode::INTERNAL);
    peer.expect(&["DATA id=3 len=0 FIN"]);
    let mut peer = with_stream(Config::default());
    peer.stream(3).reset_unfinished(ErrorCode::INTERNAL);
    peer.expect(&["RST id=3 code=2"]);
}

// W7: to learn that the peer has given up.

#[test]
fn w7_the_peers_reset_can_be_waited_for_behind_its_fin() {
    let mut peer = with_stream(Config::default());
    peer.send(peer::data_fin(3, b"request"));
    assert_eq!(peer.read(3), (b"request".to_vec(), Ok(())));
    assert_eq!(peer.stream(3).ended(), None);
    peer.events();
    peer.send(peer::rst(3, 6));
    assert!(peer.events().contains(&Event::Ended(id(3))));
    assert_eq!(peer.stream(3).ended(), Some(StreamEnd::Reset(ErrorCode(6))));
}

#[test]
fn w7_so_can_the_end_of_the_session() {
    let mut peer = with_stream(Config::default());
    assert_eq!(peer.stream(3).ended(), None);
    peer.shut();
    let events = peer.events();
    assert!(events.contains(&Event::Ended(id(3))), "{events:?}");
    let end = StreamEnd::SessionClosed(CloseReason::TransportEof);
    assert_eq!(peer.stream(3).ended(), Some(end));
}

#[test]
fn w7_a_peer_that_drops_is_silent_until_our_next_data() {
    // The client's end, as the other side sees it: a request, a half-close, and a drop.
    let mut client = Peer::of_client(Config::default());
    let stream = client.open();
    client.write(stream, b"request");
    client.stream(stream).finish().expect("it is open");
    client.receive();
    client.stream(stream).release();
    client.expect_silence();
    client.send(peer::data(stream, b"answer"));
    assert_eq!(client.hear().last().map(String::as_str), Some("RST id=3 code=4"));
    // One that wants to be noticed resets.
    let stream = client.open();
    client.write(stream, b"request");
    client.stream(stream).finish().expect("it is open");
    client.receive();
    client.stream(stream).reset(ErrorCode::STREAM_CANCELLED);
    client.expect(&["RST id=5 code=6"]);
}

// Queries of an event loop.

#[test]
fn readiness_can_be_asked_without_being_told_later() {
    let mut peer = with_stream(Config::default());
    peer.stream(3).stop();
    let mut peer = with_stream(Config::default());
    assert_eq!(peer.read(3).1, Err(ReadError::Blocked));
    peer.send(peer::data(3, b"hello"));
    assert_eq!(peer.stream(3).readable(), Ok(5));
    assert_eq!(peer.stream(3).consume(2), 2);
    assert_eq!(peer.stream(3).readable(), Ok(3));
    let mut rest = [0; 8];
    assert_eq!(peer.stream(3).peek(&mut rest), 3);
    assert_eq!(&rest[..3], b"llo");
    assert_eq!(peer.stream(3).consume(100), 3);
    assert_eq!(peer.session.stats().receive_buffered, 0);
    peer.events();
    assert_eq!(peer.stream(3).readable(), Err(ReadError::Blocked));
    peer.send(peer::data(3, b"unasked"));
    assert_eq!(peer.events(), []);
    assert_eq!(peer.stream(3).writable(), Ok(WINDOW));
    peer.write(3, &vec![0; WINDOW]);
    assert_eq!(peer.stream(3).writable(), Err(WriteError::Blocked));
    peer.send(peer::fin(3));
    assert_eq!(peer.stream(3).consume(7), 7);
    assert_eq!(peer.stream(3).readable(), Ok(0));
}

#[test]
fn what_is_consumed_is_granted() {
    let mut peer = with_stream(Config::default());
    peer.send(peer::data(3, &vec![0; WINDOW]));
    assert_eq!(peer.stream(3).consume(usize::MAX), WINDOW);
    peer.expect(&["WNDINC id=3 inc=262144"]);
}

#[test]
fn the_streams_of_the_application_can_be_listed() {
    let mut peer = Peer::of_server(Config::default());
    for number in [3, 5, 7] {
        peer.send(peer::syn(number, b""));
    }
    assert_eq!(peer.session.streams().count(), 0);
    peer.accept();
    peer.accept();
    let opened = peer.open();
    peer.stream(5).release();
    let mut ids: Vec<u32> = peer.session.streams().map(StreamId::get).collect();
    ids.sort_unstable();
    assert_eq!(ids, [opened, 3]);
}

fn sorted(mut frames: Vec<String>) -> Vec<String> {
    frames.sort_unstable();
    frames
}
