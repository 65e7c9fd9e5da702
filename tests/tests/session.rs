//! Queries of a session: whether it has something to send, its counters, why it ended.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Buf;
use muxado_proto::{
    CloseReason, Config, ErrorCode, Event, Heartbeat, OpenError, Priority, StreamType, Transmit,
    WriteError,
};
use muxado_tests::peer::{self, Peer};

/// A server with stream 3 open and accepted, and nothing to send.
fn with_stream() -> Peer {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b""));
    assert_eq!(peer.accept(), 3);
    peer.events();
    assert!(!peer.session.wants_transmit());
    peer
}

/// A server whose stream 3 only the peer still uses.
fn with_half_left() -> Peer {
    let mut peer = with_stream();
    peer.stream(3).finish().unwrap();
    peer.stream(3).release();
    peer.expect(&["DATA id=3 len=0 FIN"]);
    peer
}

#[test]
fn it_wants_to_transmit_for_each_kind_of_work_alone() {
    type Work = fn(&mut Peer);
    let works: [(&str, Work); 7] = [
        ("data", |peer| peer.write(3, b"data")),
        ("a FIN", |peer| peer.stream(3).finish().unwrap()),
        ("an RST", |peer| peer.stream(3).reset(ErrorCode(9))),
        ("an RST without a stream", |peer| peer.send(peer::data(99, b"?"))),
        ("credit", |peer| {
            peer.send(peer::data(3, &[0; 131_072]));
            assert_eq!(peer.read(3).0.len(), 131_072);
        }),
        ("a GOAWAY", |peer| peer.session.go_away(peer.now(), ErrorCode::NO_ERROR, "")),
        ("the end", |peer| peer.session.abort(peer.now(), ErrorCode::NO_ERROR, "")),
    ];
    for (what, work) in works {
        let mut peer = with_stream();
        work(&mut peer);
        assert!(peer.session.wants_transmit(), "{what}");
        assert!(!peer.receive().is_empty(), "{what}");
        assert!(!peer.session.wants_transmit(), "{what}, when it is sent");
    }
}

#[test]
fn it_wants_to_transmit_to_arm_the_timer_of_credit_that_is_owed() {
    let mut peer = with_stream();
    peer.send(peer::data(3, b"little"));
    assert_eq!(peer.read(3).0, b"little");
    assert!(peer.session.wants_transmit());
    peer.expect_silence();
    assert!(!peer.session.wants_transmit());
    peer.pass(Config::default().update_delay());
    assert!(peer.session.wants_transmit());
    peer.expect(&["WNDINC id=3 inc=6"]);
}

#[test]
fn it_wants_to_transmit_until_it_was_told_that_the_last_batch_is_written() {
    let mut peer = with_stream();
    peer.session.abort(peer.now(), ErrorCode::NO_ERROR, "");
    let mut out = Transmit::new();
    assert!(peer.session.poll_transmit(peer.now(), &mut out, usize::MAX) > 0);
    assert!(peer.session.wants_transmit() && !peer.session.wants_shutdown());
    out.advance(out.remaining());
    assert_eq!(peer.session.poll_transmit(peer.now(), &mut out, usize::MAX), 0);
    assert!(!peer.session.wants_transmit() && peer.session.wants_shutdown());
}

#[test]
fn what_comes_on_a_stream_that_only_the_peer_has_left() {
    with_half_left().expect_silence();
    let answers = [
        (peer::syn(3, b""), &["RST id=3 code=1"][..]),
        (peer::data_fin(3, b"late"), &["RST id=3 code=4"]),
        (peer::data(3, b"late"), &["WNDINC id=3 inc=1", "RST id=3 code=4"]),
        (peer::fin(3), &[]),
    ];
    for (frame, answer) in answers {
        let mut peer = with_half_left();
        peer.send(frame);
        peer.expect(answer);
        peer.expect_alive(5);
    }
}

#[test]
fn a_close_waits_for_the_streams_that_the_peer_has_seen_and_no_others() {
    let mut peer = Peer::of_client(Config::default());
    for id in [3, 5, 7] {
        assert_eq!(peer.open(), id);
        peer.write(id, b"x");
        peer.stream(id).release();
    }
    peer.receive();
    peer.send(peer::go_away(5, 0, b""));
    peer.session.close(peer.now(), ErrorCode(77), "bye");
    peer.expect_silence();
    peer.send(peer::fin(3));
    assert_eq!(peer.session.close_reason(), None);
    peer.send(peer::fin(5));
    // It is over when the transport has taken all output.
    assert_eq!(peer.session.close_reason(), None);
    assert_eq!(peer.hear().first().map(String::as_str), Some("GOAWAY last=0 code=77 text=\"bye\""));
    assert_eq!(peer.session.close_reason(), Some(&CloseReason::Local { code: ErrorCode(77) }));
}

#[test]
fn a_session_that_was_going_away_ends_for_that_reason() {
    let mut peer = with_stream();
    peer.session.go_away(peer.now(), ErrorCode(77), "maintenance");
    peer.shut();
    assert_eq!(peer.session.close_reason(), Some(&CloseReason::Local { code: ErrorCode(77) }));
}

#[test]
fn sixteen_goaways_are_borne() {
    let mut peer = with_stream();
    for _ in 0..16 {
        peer.send(peer::go_away(0, 3, b"again"));
    }
    assert_eq!(peer.session.close_reason(), None);
    let heard = peer.session.received_go_away();
    assert_eq!(heard, Some((ErrorCode::FLOW_CONTROL, "again".into())));
    peer.send(peer::go_away(0, 3, b"again"));
    assert!(peer.session.close_reason().is_some());
}

#[test]
fn a_stream_is_answered_once() {
    let config = Config::builder().max_unanswered_streams(Some(2)).build().expect("valid");
    let mut peer = Peer::of_client(config);
    for id in [3, 5] {
        assert_eq!(peer.open(), id);
        peer.write(id, b"?");
    }
    assert!(!peer.session.can_open());
    assert_eq!(peer.session.open(), Err(OpenError::Blocked));
    peer.send(peer::data(3, b"!"));
    assert_eq!(peer.events().first(), Some(&Event::OpenReady));
    assert!(peer.session.can_open());
    assert_eq!(peer.open(), 7);
    // Neither more of the same, nor anything on the peer's own streams.
    peer.send(peer::data(3, b"!!"));
    peer.send(peer::syn(2, b"?"));
    peer.send(peer::data(2, b"??"));
    assert!(!peer.session.can_open());
    assert_eq!(peer.session.open(), Err(OpenError::Blocked));
}

#[test]
fn it_counts_who_waits_to_be_accepted() {
    let mut peer = Peer::of_server(Config::default());
    for (count, id) in [3, 5, 7].into_iter().enumerate() {
        assert_eq!(peer.session.backlog(), count);
        peer.send(peer::syn(id, b""));
    }
    assert_eq!((peer.session.backlog(), peer.session.stats().backlog), (3, 3));
    peer.accept();
    assert_eq!((peer.session.backlog(), peer.session.stats().open_streams), (2, 3));
}

#[test]
fn a_stream_is_finished_when_its_fin_is_handed_out() {
    let mut peer = with_stream();
    assert!(!peer.stream(3).is_finished());
    peer.write(3, b"x");
    peer.stream(3).finish().unwrap();
    assert!(!peer.stream(3).is_finished());
    peer.expect(&["DATA id=3 len=1 FIN"]);
    assert!(peer.stream(3).is_finished());
    assert_eq!(peer.stream(3).write(b"x"), Err(WriteError::Finished));
}

#[test]
fn slots_are_small_numbers_that_differ() {
    let mut peer = Peer::of_client(Config::default());
    let ids: Vec<u32> = (0..20).map(|_| peer.open()).collect();
    let slots: BTreeSet<u32> = ids.iter().map(|&id| peer.stream(id).slot()).collect();
    assert_eq!((slots.len(), slots.first(), slots.last()), (20, Some(&0), Some(&19)));
    // A free place is taken next.
    let slot = peer.stream(9).slot();
    peer.stream(9).release();
    let fresh = peer.open();
    assert_eq!(peer.stream(fresh).slot(), slot);
}

#[test]
fn priorities_and_types_read_well() {
    let mut peer = with_stream();
    assert_eq!(peer.stream(3).priority().get(), 3);
    peer.stream(3).set_priority(Priority::new(5));
    assert_eq!(peer.stream(3).priority().get(), 5);
    assert_eq!((Priority::new(200).get(), Priority::HIGHEST.to_string()), (7, "7".to_owned()));
    assert_eq!(StreamType(42).to_string(), "0x0000002a");
}

#[test]
fn heartbeats_do_not_wait_behind_data() {
    let config = Config::builder().typed(true).heartbeat(Some(Heartbeat::default()));
    let mut peer = Peer::of_client(config.build().expect("valid"));
    let id = peer.session.open_typed(StreamType(1)).expect("a stream").get();
    peer.receive();
    peer.write(id, &[0; 100_000]);
    peer.pass(Duration::from_secs(10));
    peer.send([peer::syn(2, &[0xff; 4]), peer::data(2, b"beat")].concat());
    let frames = peer.hear();
    let echo = frames.iter().position(|frame| frame.starts_with("DATA id=2 ")).expect("an echo");
    let data = frames.iter().position(|frame| *frame == format!("DATA id={id} len=16360"));
    assert!(Some(echo) < data, "{frames:?}");
    let beats = frames.iter().filter(|frame| frame.ends_with("len=4")).count();
    assert_eq!(beats, 2, "an echo and a beat: {frames:?}");
    assert!(frames.iter().rposition(|frame| frame.ends_with("len=4")) < data, "{frames:?}");
}

#[test]
fn the_round_trip_is_in_the_counters() {
    let config = Config::builder().typed(true).build().expect("valid");
    let mut peer = Peer::of_client(config);
    assert_eq!(peer.session.stats().rtt, None);
    assert_eq!(peer.session.ping(peer.now()), Ok(()));
    let beat = peer.receive().pop().expect("a beat");
    peer.pass(Duration::from_millis(30));
    peer.send(peer::data(beat.id(), &beat.payload));
    assert_eq!(peer.session.stats().rtt, Some(Duration::from_millis(30)));
}

#[test]
fn has_events_says_whether_there_is_one() {
    let drain = |peer: &mut Peer| {
        let mut count = 0;
        loop {
            let has = peer.session.has_events();
            let event = peer.session.poll_event();
            assert_eq!(has, event.is_some(), "{event:?}");
            if !has {
                return count;
            }
            count += 1;
        }
    };
    let mut peer = Peer::of_server(Config::default());
    assert_eq!(drain(&mut peer), 0);
    peer.send(peer::syn(3, b""));
    assert_eq!(drain(&mut peer), 1);
    assert_eq!(peer.accept(), 3);
    assert_eq!(drain(&mut peer), 0);
    peer.send(peer::data(3, b"x"));
    assert_eq!(drain(&mut peer), 1);
    peer.shut();
    assert!(drain(&mut peer) >= 2);
}
