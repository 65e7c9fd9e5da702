//! How streams and sessions end, and what remains of them.

use std::time::Duration;

use muxado_proto::{
    CloseReason, Config, CutBy, ErrorCode, Event, OpenError, PingError, RateLimit, ReadError,
    StreamEnd, StreamId, TransportError, WriteError,
};
use muxado_tests::peer::{self, Peer};

#[test]
fn a_stream_that_both_have_finished_leaves_its_place() {
    let config = Config::builder().max_outbound_streams(1).build().expect("valid");
    let mut peer = Peer::of_client(config);
    for id in [3, 5, 7] {
        assert_eq!(peer.open(), id);
        peer.write(id, b"?");
        peer.stream(id).finish().unwrap();
        peer.receive();
        peer.send(peer::fin(id));
        assert_eq!(peer.read(id), (Vec::new(), Ok(())));
        assert!(peer.session.can_open(), "stream {id} is over");
        peer.stream(id).release();
    }
}

#[test]
fn a_refused_stream_is_answered_even_if_all_of_it_was_sent() {
    let mut peer = Peer::of_client(Config::default());
    assert_eq!(peer.open(), 3);
    peer.write(3, b"all");
    peer.stream(3).finish().unwrap();
    peer.receive();
    peer.send(peer::rst(3, ErrorCode::ACCEPT_QUEUE_FULL.0));
    peer.expect(&["RST id=3 code=4"]);
    // Once.
    peer.send(peer::rst(3, ErrorCode::ACCEPT_QUEUE_FULL.0));
    peer.expect_silence();
}

/// A stream that stalled again was queued after streams that had stalled later.
#[test]
fn a_stream_that_stalls_again_keeps_its_deadline() {
    let limit = Duration::from_secs(30);
    let config =
        Config::builder().send_window(1000).stream_stall_timeout(Some(limit)).build().expect("ok");
    let mut peer = Peer::of_client(config);
    let (a, b) = (peer.open(), peer.open());
    peer.write(a, &[0; 5000]);
    peer.receive();
    peer.pass(Duration::from_secs(20));
    peer.write(b, &[0; 5000]);
    peer.receive();
    peer.pass(Duration::from_secs(1));
    peer.send(peer::wnd_inc(a, 10));
    peer.receive();
    peer.pass(Duration::from_secs(10));
    // 31 s.
    let error = peer.stream(a).write(b"x");
    assert_eq!(error, Err(WriteError::ResetLocally(ErrorCode::WRITE_TIMEOUT)));
}

/// Streams that both sides had finished displaced the tombstones of others.
#[test]
fn streams_that_are_settled_do_not_push_out_those_that_are_not() {
    let mut peer = Peer::of_server(Config::builder().tombstones(8).build().expect("valid"));
    for n in 0..9 {
        let id = 3 + 2 * n;
        peer.send(peer::syn(id, b"x"));
        peer.accept();
        peer.write(id, b"reply");
        peer.stream(id).release();
        peer.receive();
        // The peer continues with the first one, and finishes the others.
        if n > 0 {
            peer.send(peer::fin(id));
        }
    }
    let now = peer.now();
    peer.session.close(now, ErrorCode::NO_ERROR, "");
    assert_eq!(peer.session.close_reason(), None, "the peer has not finished stream 3");
}

#[test]
fn an_abandoned_session_tells_everybody_and_says_nothing() {
    let mut peer = Peer::with_streams(Config::default(), &[3]);
    peer.write(3, b"never sent");
    peer.session.abandon();
    assert_eq!(peer.session.close_reason(), Some(&CloseReason::Abandoned));
    assert_eq!(peer.events().last(), Some(&Event::Closed(CloseReason::Abandoned)));
    assert_eq!(peer.read(3).1, Err(ReadError::SessionClosed(CloseReason::Abandoned)));
    let refused = Err(WriteError::SessionClosed(CloseReason::Abandoned));
    assert_eq!(peer.stream(3).write(b"x"), refused);
    peer.expect_rest();
    assert!(peer.session.is_finished());
}

#[test]
fn a_session_that_is_over_owes_nothing_and_arms_no_timer_for_it() {
    let mut peer = Peer::with_streams(Config::default(), &[3]);
    peer.send(peer::data(3, b"little"));
    assert_eq!(peer.read(3).0, b"little");
    peer.session.abort(peer.now(), ErrorCode::INTERNAL, "");
    peer.receive();
    // The only deadline is that of the peer to end the transport.
    let linger = Config::default().linger_timeout();
    assert_eq!(peer.session.poll_timeout(), Some(peer.now() + linger));
}

/// With an outstanding heartbeat, `ping` did not see that the session was over.
#[test]
fn a_ping_is_refused_when_the_session_is_over() {
    let config = Config::builder().typed(true).build().expect("valid");
    let mut peer = Peer::of_client(config);
    let now = peer.now();
    assert_eq!(peer.session.ping(now), Ok(()));
    peer.shut();
    let refused = peer.session.ping(now);
    assert!(matches!(refused, Err(PingError::Open(OpenError::SessionClosed(_)))), "{refused:?}");
}

/// A frame that stalled after a GOAWAY was answered like one before it.
#[test]
fn a_frame_that_stalls_behind_go_away_is_a_quiet_end() {
    let config = Config::builder().drain_timeout(Duration::from_secs(60)).build().expect("ok");
    let mut peer = Peer::of_client(config);
    peer.send(peer::go_away(0, 0, b""));
    peer.send([0, 0, 9]);
    peer.pass(Duration::from_secs(31));
    assert!(matches!(peer.session.close_reason(), Some(CloseReason::Remote { .. })));
    let frames = peer.receive();
    assert_eq!(frames[0].word(4), 0, "{frames:?}");
}

/// A stream whose end the transport has taken is not cut; one whose end may be in a lost batch is.
#[test]
fn an_end_that_the_transport_has_taken_is_not_cut() {
    for taken in [false, true] {
        let mut peer = Peer::of_client(Config::default());
        let id = peer.open();
        peer.write(id, b"x");
        peer.stream(id).finish().unwrap();
        assert_eq!(peer.batch(usize::MAX), 17);
        peer.send(peer::fin(id));
        if taken {
            peer.expect_silence();
        }
        peer.shut();
        assert_eq!(peer.session.stats().streams_cut, u64::from(!taken));
    }
}

#[test]
fn an_abort_without_an_error_says_what_it_cuts() {
    for streams in 0..3 {
        let mut peer = Peer::of_client(Config::default());
        for _ in 0..streams {
            let id = peer.open();
            peer.write(id, b"x");
        }
        let now = peer.now();
        peer.session.abort(now, ErrorCode::NO_ERROR, "");
        let cut = CloseReason::Cut { streams, by: CutBy::Abort };
        let expected = if streams > 0 { cut } else { CloseReason::Local { code: ErrorCode(0) } };
        assert_eq!(peer.session.close_reason(), Some(&expected));
        assert_eq!(peer.session.stats().streams_cut, u64::from(streams));
    }
}

#[test]
fn a_transport_error_says_what_the_transport_said() {
    let io = || std::io::Error::new(std::io::ErrorKind::BrokenPipe, "the cable is cut");
    let error = TransportError::new(io());
    assert_eq!(format!("{error:?}"), format!("{:?}", io()));
    assert_eq!(error.to_string(), "the cable is cut");
}

/// An idle session frees what it does not need, also if it has never sent anything.
#[test]
fn records_of_streams_that_were_never_written_to_are_freed() {
    let mut peer = Peer::of_client(Config::default());
    let id = peer.open();
    peer.stream(id).release();
    assert!(peer.session.wants_transmit(), "the time to free it is to be set");
    peer.expect_silence();
    assert!(peer.session.poll_timeout().is_some());
    peer.expect_rest();
}

/// A reader that is gone, and a frame that is answered by its header.
#[test]
fn data_for_nobody_is_refused_before_it_arrives() {
    let mut peer = Peer::of_client(Config::default());
    let id = peer.open();
    peer.write(id, b"?");
    peer.stream(id).release();
    peer.expect(&["DATA id=3 len=1 SYN", "DATA id=3 len=0 FIN"]);
    peer.send(peer::header(1000, 1, 1, id));
    peer.expect(&["RST id=3 code=4"]);
}

#[test]
fn a_growth_that_is_no_longer_needed_goes_back_at_the_end_of_the_stream() {
    let mut peer = Peer::with_streams(Config::default(), &[3]);
    for _ in 0..4 {
        let credit = peer.stream(3).stats().receive_credit as usize;
        peer.send(peer::data(3, &vec![0; credit]));
        assert_eq!(peer.read(3).0.len(), credit);
        peer.receive();
    }
    assert!(peer.session.stats().window_growth > 0);
    peer.send(peer::fin(3));
    assert_eq!(peer.session.stats().window_growth, 0);
}

#[test]
fn the_end_of_a_stream_is_told_as_it_was() {
    let code = ErrorCode(77);
    let mut peer = Peer::with_streams(Config::default(), &[3, 5, 7]);
    peer.stream(3).reset(code);
    assert_eq!(peer.stream(3).ended(), Some(StreamEnd::ResetLocally(code)));
    peer.send(peer::rst(5, 77));
    assert_eq!(peer.stream(5).ended(), Some(StreamEnd::Reset(code)));
    peer.stream(7).finish().unwrap();
    peer.send(peer::fin(7));
    assert!(peer.hear().contains(&"DATA id=7 len=0 FIN".to_owned()));
    assert_eq!(peer.stream(7).ended(), Some(StreamEnd::Finished));
    let closed = StreamEnd::SessionClosed(CloseReason::TransportEof);
    for (end, text) in [
        (StreamEnd::Finished, "stream was finished by both sides"),
        (StreamEnd::Reset(ErrorCode(4)), "stream was reset by the peer: "),
        (StreamEnd::ResetLocally(ErrorCode(4)), "stream was reset by this side: "),
        (closed, "session is over: "),
        (StreamEnd::UnknownStream(StreamId::new(9)), "no stream 9"),
    ] {
        assert!(end.to_string().starts_with(text), "{end}");
    }
}

/// The transport may still lose it.
#[test]
fn a_stream_has_not_ended_while_the_transport_has_its_end() {
    let mut peer = Peer::with_streams(Config::default(), &[3]);
    peer.write(3, b"x");
    peer.stream(3).finish().unwrap();
    assert_eq!(peer.stream(3).writable(), Err(WriteError::Finished));
    assert_eq!(peer.stream(3).flushed(), Err(WriteError::Blocked));
    peer.events();
    peer.send(peer::fin(3));
    assert!(!peer.events().contains(&Event::Flushed(StreamId::new(3))));
    assert_eq!(peer.batch(usize::MAX), 9);
    assert_eq!(peer.stream(3).ended(), None);
    peer.expect_silence();
    assert_eq!(peer.stream(3).ended(), Some(StreamEnd::Finished));
}

#[test]
fn a_reset_that_the_transport_has_not_taken_is_cut() {
    for taken in [false, true] {
        let mut peer = Peer::with_streams(Config::default(), &[3]);
        peer.stream(3).reset(ErrorCode(77));
        assert_eq!(peer.batch(usize::MAX), 12);
        if taken {
            peer.expect_silence();
        }
        peer.shut();
        assert_eq!(peer.session.stats().streams_cut, u64::from(!taken));
    }
}

#[test]
fn an_abort_replaces_the_announcement_of_an_end() {
    let mut peer = Peer::with_streams(Config::default(), &[3]);
    let now = peer.now();
    peer.session.go_away(now, ErrorCode::NO_ERROR, "bye");
    peer.session.abort(now, ErrorCode::INTERNAL, "now");
    assert_eq!(peer.hear()[..1], ["GOAWAY last=3 code=2 text=\"now\""]);
}

#[test]
fn resets_of_answered_streams_and_of_our_own_are_free() {
    let config = || Config::builder().reset_limit(RateLimit::new(1, 0)).build().expect("valid");
    let ids = [3, 5, 7, 9];
    let mut peer = Peer::with_streams(config(), &ids);
    for id in ids {
        peer.write(id, b"the beginning of an answer");
        peer.receive();
        peer.send(peer::rst(id, 6));
    }
    assert_eq!((peer.session.close_reason(), peer.session.stats().resets_dropped), (None, 0));
    let mut peer = Peer::of_client(config());
    for _ in 0..4 {
        let id = peer.open();
        peer.write(id, b"x");
        peer.receive();
        peer.send(peer::rst(id, 6));
    }
    assert_eq!(peer.session.close_reason(), None);
    peer.send(peer::data(2, b"stray"));
    peer.expect(&["RST id=2 code=4"]);
    assert_eq!(peer.session.stats().resets_dropped, 0);
}
