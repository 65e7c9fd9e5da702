//! The end of a session, started by either side.

use std::time::Duration;

use muxado_proto::{
    CloseReason, Config, CutBy, ErrorCode, Event, OpenError, ReadError, TransportError, WriteError,
};
use muxado_tests::peer::{self, Peer};

const PAD: &str = "UNKNOWN type=15 id=0 len=0";

fn server_with_stream() -> Peer {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b"hello"));
    assert_eq!(peer.accept(), 3);
    peer.events();
    peer
}

#[test]
fn go_away_refuses_new_streams_and_finishes_the_rest() {
    let mut peer = server_with_stream();
    peer.session.go_away(peer.now(), ErrorCode(77), "maintenance");
    peer.expect(&["GOAWAY last=3 code=77 text=\"maintenance\"", PAD]);
    assert_eq!(peer.session.open(), Err(OpenError::GoingAway));
    peer.send(peer::syn(5, b"refused"));
    peer.expect(&["RST id=5 code=5"]);
    // The payload was skipped, to the byte.
    peer.send(peer::data_fin(3, b" world"));
    assert_eq!(peer.read(3), (b"hello world".to_vec(), Ok(())));
    peer.write(3, b"bye");
    assert_eq!(peer.session.close_reason(), None);
    peer.stream(3).release();
    // The GOAWAY was already sent; the last pad says that nothing follows.
    peer.expect(&["DATA id=3 len=3 FIN", PAD]);
    assert_eq!(peer.session.close_reason(), Some(&CloseReason::Local { code: ErrorCode(77) }));
    peer.expect_silence();
    assert!(peer.session.wants_shutdown());
}

#[test]
fn a_second_go_away_changes_nothing() {
    let mut peer = server_with_stream();
    peer.session.go_away(peer.now(), ErrorCode::NO_ERROR, "first");
    peer.receive();
    peer.session.go_away(peer.now(), ErrorCode::INTERNAL, "second");
    peer.session.close(peer.now(), ErrorCode::INTERNAL, "third");
    peer.expect_silence();
    peer.pass(Duration::from_secs(10));
    let reason = CloseReason::Cut { streams: 1, by: CutBy::Time };
    assert_eq!(peer.session.close_reason(), Some(&reason));
}

#[test]
fn an_abort_behind_a_go_away_is_heard() {
    let mut peer = server_with_stream();
    peer.session.go_away(peer.now(), ErrorCode::NO_ERROR, "");
    peer.receive();
    peer.session.abort(peer.now(), ErrorCode::INTERNAL, "disk on fire");
    peer.expect(&["GOAWAY last=3 code=2 text=\"disk on fire\"", PAD]);
}

#[test]
fn a_violation_behind_a_go_away_is_told() {
    let mut peer = server_with_stream();
    peer.session.go_away(peer.now(), ErrorCode::NO_ERROR, "");
    peer.receive();
    peer.send(peer::data(0, b"x"));
    peer.expect_session_error(1);
}

#[test]
fn abort_drops_what_was_not_sent_and_wakes_everybody() {
    let mut peer = server_with_stream();
    assert_eq!(peer.read(3), (b"hello".to_vec(), Err(ReadError::Blocked)));
    peer.write(3, &[0; 262_144]);
    assert_eq!(peer.stream(3).write(b"x"), Err(WriteError::Blocked));
    peer.session.abort(peer.now(), ErrorCode::INTERNAL, "");
    peer.expect(&["GOAWAY last=3 code=2 text=\"\"", PAD]);
    let events = peer.events();
    let id = muxado_proto::StreamId::new(3);
    for event in [Event::Acceptable, Event::OpenReady, Event::Readable(id), Event::Writable(id)] {
        assert!(events.contains(&event), "{event:?}");
    }
    let reason = CloseReason::Local { code: ErrorCode::INTERNAL };
    assert_eq!(events.last(), Some(&Event::Closed(reason.clone())));
    assert_eq!(peer.read(3).1, Err(ReadError::SessionClosed(reason.clone())));
    assert_eq!(peer.stream(3).write(b"x"), Err(WriteError::SessionClosed(reason.clone())));
    assert_eq!(peer.session.open(), Err(OpenError::SessionClosed(reason)));
    assert_eq!(peer.events(), []);
}

#[test]
fn close_refuses_what_nobody_accepted() {
    let mut peer = server_with_stream();
    peer.send(peer::syn(5, b"too late"));
    peer.session.close(peer.now(), ErrorCode::NO_ERROR, "");
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=5 code=5"));
    assert_eq!(peer.session.accept(), None);
    peer.stream(3).reset(ErrorCode::STREAM_CANCELLED);
    peer.stream(3).release();
    let frames = peer.hear();
    assert_eq!(
        frames[frames.len() - 4..],
        ["RST id=3 code=6", "GOAWAY last=5 code=0 text=\"\"", PAD, PAD]
    );
}

#[test]
fn close_of_an_idle_session_is_immediate() {
    let mut peer = Peer::of_client(Config::default());
    peer.session.close(peer.now(), ErrorCode::NO_ERROR, "bye");
    peer.expect(&["GOAWAY last=0 code=0 text=\"bye\"", PAD, PAD]);
    peer.shut();
    assert!(peer.session.is_finished());
    let reason = CloseReason::Local { code: ErrorCode::NO_ERROR };
    assert!(reason.is_clean());
    assert_eq!(peer.session.close_reason(), Some(&reason));
}

#[test]
fn a_blocked_opener_learns_of_the_go_away() {
    let config = Config::builder().max_outbound_streams(1).build().expect("valid");
    let mut peer = Peer::of_client(config);
    let id = peer.open();
    peer.write(id, b"x");
    peer.receive();
    assert_eq!(peer.session.open(), Err(OpenError::Blocked));
    peer.events();
    peer.send(peer::go_away(3, 0, b""));
    assert!(peer.events().contains(&Event::OpenReady));
    assert_eq!(peer.session.open(), Err(OpenError::GoingAway));
}

/// SYNs leave in the order of first writes, so one may be in flight while the peer, which has seen a
/// higher id, has nothing open and closes.
#[test]
fn a_stream_that_a_closing_peer_never_saw_fails_as_refused() {
    for closes_too in [false, true] {
        let mut peer = Peer::of_client(Config::default());
        let (unseen, seen) = (peer.open(), peer.open());
        peer.write(seen, b"a request");
        peer.receive();
        peer.write(unseen, b"a late one");
        peer.receive();
        if closes_too {
            peer.session.close(peer.now(), ErrorCode::NO_ERROR, "");
        }
        peer.send(peer::data_fin(seen, b"an answer"));
        peer.stream(seen).finish().expect("open");
        peer.send([peer::go_away(seen, 0, b""), peer::frame(15, 0, 0, b"")].concat());
        // The pad alone may come before an answer.
        assert_eq!(peer.read(unseen), (Vec::new(), Err(ReadError::Blocked)));
        peer.send(peer::frame(15, 0, 0, b""));
        let gone = ErrorCode::REMOTE_GONE_AWAY;
        assert_eq!(peer.read(unseen), (Vec::new(), Err(ReadError::Reset(gone))));
        assert_eq!(peer.stream(unseen).write(b"x"), Err(WriteError::Reset(gone)));
        assert_eq!(peer.read(seen), (b"an answer".to_vec(), Ok(())));
        peer.receive();
        peer.shut();
        let reason = peer.session.close_reason().expect("nothing is open");
        assert!(reason.is_clean(), "{reason}");
    }
}

#[test]
fn the_end_of_the_transport_ends_everything_with_one_cause() {
    let mut peer = server_with_stream();
    peer.shut();
    assert_eq!(peer.session.close_reason(), Some(&CloseReason::TransportEof));
    let frames = peer.hear();
    assert!(frames[0].starts_with("GOAWAY last=3 code=15 "), "{frames:?}");
    let (bytes, end) = peer.read(3);
    assert_eq!(bytes, b"hello");
    assert_eq!(end, Err(ReadError::SessionClosed(CloseReason::TransportEof)));
    assert!(peer.session.wants_shutdown());
}

#[test]
fn a_failed_transport_is_given_up_at_once() {
    let mut peer = server_with_stream();
    let error = TransportError::new(std::io::Error::other("cable cut"));
    peer.session.handle_transport_error(peer.now(), error.clone());
    assert_eq!(peer.session.close_reason(), Some(&CloseReason::TransportError(error)));
    assert!(peer.session.is_finished());
    peer.expect_silence();
    assert_eq!(peer.session.poll_timeout(), None);
    assert_eq!(peer.read(3).0, b"hello");
}

#[test]
fn what_ends_the_transport_after_a_go_away_is_that_go_away() {
    for failed in [false, true] {
        let mut peer = server_with_stream();
        peer.send(peer::go_away(0, 5, b"shutting down"));
        let now = peer.now();
        if failed {
            peer.session.handle_transport_error(now, TransportError::new(std::fmt::Error))
        } else {
            peer.shut()
        }
        let reason = CloseReason::Remote { code: ErrorCode(5), text: "shutting down".into() };
        assert_eq!(peer.session.close_reason(), Some(&reason));
    }
}

#[test]
fn input_behind_the_end_is_ignored() {
    let mut peer = server_with_stream();
    peer.session.abort(peer.now(), ErrorCode::INTERNAL, "");
    peer.receive();
    let before = peer.session.stats().frames_received;
    peer.send([peer::syn(5, b"x"), peer::data(3, b"y"), peer::go_away(0, 0, b"")].concat());
    peer.expect_silence();
    assert_eq!(peer.session.accept(), None);
    assert_eq!(peer.session.stats().frames_received, before);
    assert_eq!(peer.read(3).0, b"hello");
}

#[test]
fn a_session_at_its_end_asks_for_no_more_time() {
    let mut peer = server_with_stream();
    peer.session.abort(peer.now(), ErrorCode::INTERNAL, "");
    assert!(peer.session.wants_transmit());
    peer.receive();
    assert!(!peer.session.wants_transmit());
    peer.pass(Duration::from_secs(2));
    assert!(peer.session.is_finished());
    // Reading and releasing the rest causes no output.
    assert_eq!(peer.read(3).0, b"hello");
    peer.stream(3).release();
    assert!(!peer.session.wants_transmit());
    assert_eq!(peer.session.poll_timeout(), None);
}

/// Only a pad says that nothing follows. Any other unknown frame may come from a later version.
#[test]
fn unknown_frames_behind_the_end_are_no_pads() {
    let mut peer = Peer::of_client(Config::default());
    peer.session.close(peer.now(), ErrorCode::NO_ERROR, "bye");
    peer.expect(&["GOAWAY last=0 code=0 text=\"bye\"", PAD, PAD]);
    peer.send(peer::go_away(0, 0, b""));
    for _ in 0..2 {
        peer.send(peer::frame(14, 0, 0, b""));
        assert!(!peer.session.is_finished());
    }
    let pad = peer::frame(15, 0, 0, b"");
    peer.send([&pad[..], &pad].concat());
    assert!(peer.session.is_finished());
}

#[test]
fn a_close_that_the_transport_does_not_take_is_graceful_if_nothing_was_open() {
    let mut peer = Peer::of_client(Config::default());
    peer.session.close(peer.now(), ErrorCode::NO_ERROR, "bye");
    peer.pass(Duration::from_secs(10));
    let reason = CloseReason::Local { code: ErrorCode::NO_ERROR };
    assert_eq!(peer.session.close_reason(), Some(&reason));
    let frames = peer.hear();
    assert!(!frames.iter().any(|frame| frame.contains("cut")), "{frames:?}");
    assert_eq!(frames.first().map(String::as_str), Some("GOAWAY last=0 code=0 text=\"bye\""));
}

/// The length of a frame has 24 bits.
#[test]
fn a_text_of_any_length_fits_into_a_frame() {
    let config = Config::builder().goaway_text(u32::MAX).build().expect("valid");
    let mut peer = Peer::of_server(config);
    let now = peer.now();
    peer.session.abort(now, ErrorCode::INTERNAL, vec![b'x'; 17 << 20]);
    let frames = peer.receive();
    assert_eq!(frames[0].kind(), 3);
    assert_eq!(frames[0].length(), 0xff_ffff / 2 + 8);
    assert!(frames[0].is_well_formed());
}
