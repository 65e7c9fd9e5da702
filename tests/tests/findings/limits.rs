//! Limits that honest peers met.

use std::time::Duration;

use muxado_proto::{CloseReason, Config, ErrorCode, Event, OpenError, StreamId};
use muxado_tests::peer::{self, Peer};

fn server() -> Peer {
    Peer::of_server(Config::default())
}

/// A client that opens, sends a request, gets a part of the answer, and drops the stream as our own
/// does: FIN, and RST(4) for later data.
fn cancelled_download(peer: &mut Peer, id: u32) {
    peer.send(peer::syn(id, b"?"));
    assert_eq!(peer.accept(), id);
    peer.write(id, &[7; 1000]);
    peer.receive();
    peer.send([peer::fin(id), peer::rst(id, 4)].concat());
    peer.stream(id).release();
}

#[test]
fn l1_answers_that_have_begun_are_cancelled_at_any_rate() {
    let mut peer = server();
    for n in 0..1_000_000 {
        cancelled_download(&mut peer, 3 + 2 * n);
    }
    peer.expect_alive(9_999_999);
}

#[test]
fn l1_cancels_before_an_answer_are_free_when_mixed_with_answers() {
    let mut peer = server();
    for n in 0..10_000 {
        let id = 3 + 4 * n;
        peer.send([peer::syn(id, b"?"), peer::syn_fin(id + 2, b"?")].concat());
        assert_eq!([peer.accept(), peer.accept()], [id, id + 2]);
        peer.send(peer::rst(id, 6));
        peer.stream(id).release();
        peer.write(id + 2, b"answer");
        peer.stream(id + 2).release();
        peer.receive();
    }
    peer.expect_alive(999_999);
}

#[test]
fn l1_a_reset_before_the_answer_has_left_takes_a_token() {
    let mut peer = server();
    let mut started = 0;
    while peer.session.close_reason().is_none() {
        let id = 3 + 2 * started;
        peer.send(peer::syn(id, b"?"));
        if peer.session.accept().is_none() {
            break;
        }
        started += 1;
        // Written, and not on its way.
        peer.write(id, b"answer");
        peer.send(peer::rst(id, 6));
        if let Some(stream) = peer.session.stream(StreamId::new(id)) {
            stream.release();
        }
    }
    assert_eq!(started, 1001);
    peer.expect_session_error(10);
}

#[test]
fn l1_a_reset_that_is_provoked_takes_a_token_whatever_was_answered() {
    let mut peer = server();
    let mut started = 0;
    while peer.session.close_reason().is_none() {
        let id = 3 + 2 * started;
        peer.send(peer::syn(id, b"?"));
        peer.accept();
        peer.write(id, b"answer");
        peer.receive();
        started += 1;
        peer.send(peer::wnd_inc(id, 0));
        if peer.session.close_reason().is_none() {
            peer.receive();
            peer.stream(id).release();
        }
    }
    assert_eq!(started, 1001);
}

#[test]
fn l2_a_finished_stream_takes_no_slot_though_its_handle_lives() {
    let config = Config::builder().max_inbound_streams(2).build().expect("valid");
    let mut peer = Peer::of_server(config);
    for n in 0..4 {
        let id = 3 + 2 * n;
        peer.send(peer::syn_fin(id, b"?"));
        assert_eq!(peer.accept(), id);
        peer.stream(id).finish().unwrap();
        assert_eq!(peer.hear(), [format!("DATA id={id} len=0 FIN")]);
        assert_eq!(peer.read(id), (b"?".to_vec(), Ok(())));
    }
    let stats = peer.session.stats();
    assert_eq!((stats.open_streams, stats.ended_streams), (0, 4));
    // Twice as many handles as slots: the next stream waits, and is not refused.
    peer.events();
    peer.send(peer::syn(11, b"?"));
    assert_eq!(peer.session.accept(), None);
    peer.expect_silence();
    peer.events();
    peer.stream(5).release();
    assert_eq!(peer.events(), [Event::Acceptable]);
    assert_eq!(peer.accept(), 11);
    assert_eq!(peer.session.audit(), Ok(()));
}

#[test]
fn l2_a_stream_with_something_unread_takes_a_slot() {
    let config = Config::builder().max_inbound_streams(1).build().expect("valid");
    let mut peer = Peer::of_server(config);
    peer.send(peer::syn_fin(3, b"?"));
    peer.accept();
    peer.stream(3).finish().unwrap();
    peer.receive();
    peer.send(peer::syn(5, b"?"));
    assert_eq!(peer.session.accept(), None);
    assert_eq!(peer.read(3).1, Ok(()));
    assert_eq!(peer.accept(), 5);
}

#[test]
fn l2_a_reset_frees_no_slot_and_the_next_stream_waits_for_it() {
    let config = Config::builder().max_inbound_streams(1).build().expect("valid");
    let mut peer = Peer::of_server(config);
    peer.send(peer::syn(3, b"?"));
    peer.accept();
    for id in [5, 7, 9] {
        peer.send([peer::rst(id - 2, 6), peer::syn(id, b"?")].concat());
        assert_eq!(peer.session.accept(), None);
        assert_eq!(peer.session.stats().backlog, 1);
    }
    peer.send(peer::syn(11, b"?"));
    peer.expect(&["RST id=11 code=5"]);
    peer.events();
    peer.stream(3).release();
    assert_eq!(peer.events(), [Event::Acceptable]);
    assert_eq!(peer.accept(), 9);
    assert_eq!(peer.session.audit(), Ok(()));
}

#[test]
fn l2_an_opener_may_keep_what_is_over() {
    let config = Config::builder().max_outbound_streams(2).build().expect("valid");
    let mut peer = Peer::of_client(config);
    for id in [3, 5, 7, 9] {
        assert_eq!(peer.open(), id);
        peer.stream(id).finish().unwrap();
        peer.receive();
        peer.send(peer::fin(id));
    }
    assert_eq!(peer.session.stats().ended_streams, 4);
    // Twice as many as may be open, because the number of records is bounded.
    assert_eq!(peer.session.open(), Err(OpenError::Blocked));
    peer.events();
    peer.stream(3).release();
    assert!(peer.events().contains(&Event::OpenReady));
    assert_eq!(peer.open(), 11);
}

#[test]
fn l3_a_burst_of_all_streams_that_may_be_open_is_let_in() {
    let mut peer = server();
    for n in 0..1024 {
        peer.send(peer::syn(3 + 2 * n, b"?"));
    }
    peer.expect_silence();
    peer.send(peer::syn(9999, b"?"));
    peer.expect(&["RST id=9999 code=5"]);
}

#[test]
fn l5_every_peer_of_two_thousand_streams_given_up_is_told() {
    let mut peer = server();
    let ids: Vec<u32> = (0..1000).flat_map(|n| [3 + 2 * n, 2 + 2 * n]).collect();
    for &id in &ids {
        if id % 2 == 1 {
            peer.send(peer::syn(id, b"?"));
            peer.accept();
        } else {
            assert_eq!(peer.open(), id);
            peer.write(id, b"?");
        }
    }
    peer.receive();
    for &id in &ids {
        peer.stream(id).release();
    }
    peer.receive();
    assert_eq!(peer.session.stats().given_up_streams, 2000);
    // Data was under way on all of them.
    for &id in &ids {
        peer.send(peer::data(id, &[0; 100]).repeat(2));
    }
    let told = peer.hear();
    for id in ids {
        assert!(told.contains(&format!("RST id={id} code=4")), "{id} was not told");
    }
    assert_eq!(peer.session.stats().open_streams, 0);
    peer.expect_alive(9999);
}

#[test]
fn l5_a_stream_keeps_its_place_until_the_reset_has_left() {
    let config = Config::builder().max_inbound_streams(1).build().expect("valid");
    let mut peer = Peer::of_server(config);
    peer.send(peer::syn(3, b"?"));
    peer.accept();
    peer.stream(3).reset(ErrorCode::STREAM_CANCELLED);
    peer.stream(3).release();
    peer.send(peer::syn(5, b"?"));
    peer.expect(&["RST id=5 code=5", "WNDINC id=3 inc=1", "RST id=3 code=6"]);
    peer.send(peer::syn(7, b"?"));
    peer.expect_silence();
    assert_eq!(peer.accept(), 7);
}

#[test]
fn l6_an_id_that_was_never_announced_is_given_out_again() {
    let mut peer = Peer::of_client(Config::default());
    assert_eq!(peer.open(), 3);
    for _ in 0..10_000 {
        assert_eq!(peer.open(), 5);
        peer.stream(5).release();
    }
    peer.expect_silence();
    // The same holds for one that was written to and reset before anything was sent.
    assert_eq!(peer.open(), 5);
    peer.write(5, b"?");
    peer.stream(5).reset(ErrorCode::STREAM_CANCELLED);
    peer.stream(5).release();
    peer.expect_silence();
    assert_eq!(peer.open(), 5);
    peer.write(5, b"?");
    peer.stream(5).release();
    peer.expect(&["DATA id=5 len=1 SYN", "DATA id=5 len=0 FIN"]);
    assert_eq!(peer.open(), 7);
    peer.write(3, b"first at last");
    peer.expect(&["DATA id=3 len=13 SYN"]);
}

#[test]
fn l6_streams_in_the_worst_order_are_let_in() {
    let config =
        Config::builder().max_inbound_streams(5000).overcommit(true).build().expect("valid");
    let mut peer = Peer::of_server(config);
    for first in [5, 3] {
        for n in 0..2500 {
            peer.send(peer::syn(first + 4 * n, b"?"));
        }
    }
    peer.expect_silence();
    assert_eq!(peer.session.stats().backlog, 5000);
}

#[test]
fn l6_a_stream_in_a_gap_that_was_forgotten_is_refused_and_the_session_lives() {
    let mut peer = server();
    for n in 0..3000 {
        peer.send(peer::syn_fin(5 + 4 * n, b""));
        let id = peer.accept();
        peer.stream(id).release();
        peer.receive();
    }
    for n in 0..1900 {
        let id = 3 + 4 * n;
        peer.send(peer::syn(id, b"?"));
        peer.expect(&[&format!("RST id={id} code=1")]);
    }
    peer.expect_alive(3 + 4 * 2999);
}

#[test]
fn l9_streams_that_only_the_peer_has_are_visible_and_end_after_a_time() {
    let config = Config::builder().max_outbound_streams(8).build().expect("valid");
    let mut peer = Peer::of_client(config);
    for _ in 0..8 {
        let id = peer.open();
        peer.write(id, b"?");
        peer.stream(id).release();
        peer.pass(Duration::from_millis(10));
        peer.receive();
    }
    let stats = peer.session.stats();
    assert_eq!((stats.open_streams, stats.given_up_streams), (8, 8));
    assert_eq!(peer.session.open(), Err(OpenError::Blocked));
    peer.events();
    peer.pass(Duration::from_secs(59));
    peer.expect_silence();
    peer.pass(Duration::from_secs(1));
    let told = peer.hear();
    assert_eq!(told.len(), 8);
    assert!((3..19).step_by(2).all(|id| told.contains(&format!("RST id={id} code=4"))), "{told:?}");
    assert_eq!(peer.events(), [Event::OpenReady]);
    assert_eq!(peer.session.stats().given_up_streams, 0);
    assert_eq!(peer.session.audit(), Ok(()));
    peer.expect_rest();
}

/// More long polls than the peer's backlog holds are all opened within seconds.
#[test]
fn l3_streams_count_as_unanswered_for_a_stated_time() {
    for (preset, polls, at_once) in [(Config::for_go(), 300, 128), (Config::for_ngrok(), 200, 64)] {
        let mut peer = Peer::of_client(preset.build().expect("a preset is valid"));
        let (mut ids, mut waves) = (Vec::new(), 0);
        while ids.len() < polls {
            while ids.len() < polls && peer.session.can_open() {
                let id = peer.open();
                peer.write(id, b"poll");
                ids.push(id);
            }
            assert!(peer.session.notify_when_open() || ids.len() <= at_once * (waves + 1));
            peer.receive();
            peer.events();
            peer.pass(Duration::from_millis(999));
            assert!(!peer.events().contains(&Event::OpenReady), "before the time");
            peer.pass(Duration::from_millis(1));
            waves += 1;
        }
        assert!(waves <= polls / at_once + 1, "{waves}");
        for id in ids {
            peer.send(peer::data_fin(id, b"news"));
            assert_eq!(peer.read(id), (b"news".to_vec(), Ok(())));
        }
        assert_eq!(peer.session.audit(), Ok(()));
    }
}

/// A peer that counts both directions together gets no more streams than it can handle.
#[test]
fn l3_streams_of_both_sides_are_counted_for_a_peer_that_does() {
    let mut peer = Peer::of_client(Config::for_ngrok().build().expect("a preset is valid"));
    for n in 0..400 {
        peer.send(peer::syn(2 + 2 * n, b"?"));
        peer.accept();
    }
    peer.expect_silence();
    for _ in 0..80 {
        let id = peer.open();
        peer.write(id, b"?");
        peer.receive();
        peer.send(peer::data(id, b"!"));
    }
    assert_eq!(peer.session.open(), Err(OpenError::Blocked));
    peer.events();
    peer.send(peer::rst(2, 6));
    assert!(peer.events().contains(&Event::OpenReady));
    assert_eq!(peer.open(), 3 + 2 * 80);
}

#[test]
fn w14_what_is_readable_is_told_after_accept() {
    let mut peer = server();
    peer.send(peer::syn(3, b"?"));
    assert_eq!(peer.events(), [Event::Acceptable]);
    peer.send(peer::data(3, b"more"));
    assert_eq!(peer.events(), []);
    assert_eq!(peer.accept(), 3);
    assert_eq!(peer.events(), [Event::Readable(StreamId::new(3))]);
    assert_eq!(peer.read(3).0, b"?more");
    peer.send(peer::data(3, b"!"));
    assert_eq!(peer.events(), [Event::Readable(StreamId::new(3))]);
    // A stream without data is announced when there is some.
    peer.send(peer::syn(5, b""));
    peer.accept();
    assert_eq!(peer.events(), [Event::Acceptable]);
    peer.send(peer::fin(5));
    assert_eq!(peer.events(), [Event::Readable(StreamId::new(5))]);
}

/// Ten thousand handlers start work, and are cancelled at once.
#[test]
fn l1_handlers_that_rapid_reset_starts_are_bounded() {
    let mut peer = server();
    let (mut started, mut id) = (0, 1);
    for _ in 0..10_000 {
        id += 2;
        peer.send(peer::syn(id, b"work"));
        if peer.session.accept().is_some() {
            started += 1;
            peer.send(peer::rst(id, 6));
            if let Some(stream) = peer.session.stream(StreamId::new(id)) {
                stream.release();
            }
        }
        peer.pass(Duration::from_millis(1));
    }
    // The burst, and 33 for each second.
    assert!((1000..=1040).contains(&started), "{started}");
    let reason = peer.session.close_reason();
    assert!(matches!(reason, Some(CloseReason::Violation { .. })), "{reason:?}");
}
