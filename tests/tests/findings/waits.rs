//! How long an end takes: L10 to L13, L15.

use std::time::Duration;

use muxado_proto::{
    CloseReason, Config, CutBy, ErrorCode, Event, ReadError, StreamId, Transmit, WriteError,
};
use muxado_tests::peer::{self, Peer};

use crate::pair::{NO_ERROR, PAD, Pair, cut, reason, remote, seconds};

#[test]
fn l10_the_end_that_was_told_does_not_hurry() {
    let slow = Config::builder().drain_timeout(seconds(60)).build().expect("valid");
    let mut pair = Pair::new(Config::default(), slow);
    let id = pair.stream();
    let now = pair.server.now();
    pair.server.session.go_away(now, NO_ERROR, "restart");
    pair.settle();
    // Nothing moves for longer than the client's own time limit.
    pair.pass(seconds(50));
    pair.server.write(id, b"the answer");
    pair.server.stream(id).finish().expect("it is open");
    pair.settle();
    assert_eq!(pair.client.read(id), (b"the answer".to_vec(), Ok(())));
    pair.client.stream(id).finish().expect("it is open");
    pair.settle_to_the_end();
    assert_eq!(reason(&pair.client), remote(NO_ERROR, "restart"));
    assert!(reason(&pair.server).is_clean());
}

#[test]
fn l10_a_session_whose_peer_went_away_and_fell_silent_ends() {
    let mut peer = Peer::of_client(Config::default());
    let id = peer.open();
    peer.write(id, b"request");
    peer.receive();
    peer.send(peer::go_away(3, 0, b"soon"));
    peer.pass(seconds(299));
    assert_eq!(peer.session.close_reason(), None);
    peer.pass(seconds(1));
    assert_eq!(reason(&peer), cut(1, CutBy::Time));
}

#[test]
fn l11_a_close_is_bounded_in_sum() {
    let mut peer = Peer::of_client(Config::default());
    let id = peer.open();
    peer.write(id, &[7; 200_000]);
    let begun = peer.now();
    peer.session.close(begun, NO_ERROR, "");
    let mut out = Transmit::new();
    assert!(peer.session.poll_transmit(begun, &mut out, 1 << 20) > 200_000);
    // The transport takes a little every nine seconds.
    while !peer.session.is_finished() {
        peer.pass(seconds(9));
        peer.session.transmitted(peer.now(), 4096);
        assert!(peer.now() - begun < seconds(320));
    }
    assert_eq!(reason(&peer), cut(1, CutBy::Time));
    assert!(peer.now() - begun >= seconds(300));
}

/// A transfer that never pauses long enough for the close to be announced.
#[test]
fn l11_a_close_is_bounded_in_sum_though_something_moves_all_the_time() {
    for announces in [true, false] {
        let config = Config::builder().announce_close(announces).build().expect("valid");
        let mut pair = Pair::new(config.clone(), config);
        let id = pair.stream();
        let begun = pair.client.now();
        pair.close_client();
        while pair.client.session.close_reason().is_none() {
            pair.client.write(id, &[7; 1000]);
            pair.settle();
            assert_eq!(pair.server.read(id).0, [7; 1000]);
            pair.pass(Duration::from_millis(50));
            assert!(pair.client.now() - begun < seconds(301));
        }
        assert!(pair.client.now() - begun >= seconds(300));
        assert_eq!(reason(&pair.client), cut(1, CutBy::Time));
        pair.settle_to_the_end();
        assert_eq!(reason(&pair.server).code(), ErrorCode::WRITE_TIMEOUT);
    }
}

#[test]
fn l11_an_abort_is_bounded_in_time_and_in_bytes() {
    for floods in [false, true] {
        let mut peer = Peer::of_client(Config::default());
        let id = peer.open();
        peer.write(id, &[7; 200_000]);
        let mut out = Transmit::new();
        assert!(peer.session.poll_transmit(peer.now(), &mut out, 1 << 20) > 200_000);
        assert_eq!(peer.read(id).1, Err(ReadError::Blocked));
        peer.events();
        let begun = peer.now();
        peer.session.abort(begun, ErrorCode::INTERNAL, "");
        // Everybody learns of it at once.
        let events = peer.events();
        assert!(events.contains(&Event::Readable(StreamId::new(id))), "{events:?}");
        assert!(events.contains(&Event::Acceptable), "{events:?}");
        assert!(matches!(events.last(), Some(Event::Closed(_))), "{events:?}");
        // The transport is arbitrarily slow, and the peer arbitrarily fast.
        let received = peer.session.stats().frames_received;
        let mut discarded = 0;
        while !peer.session.is_finished() {
            peer.session.transmitted(peer.now(), 4096);
            if floods && peer.session.wants_input() {
                let data = peer::data(id, &[7; 10_000]);
                discarded += data.len();
                peer.send(data);
            }
            peer.pass(Duration::from_millis(10));
        }
        assert!(peer.now() - begun <= seconds(2));
        assert!(discarded <= 262_144 + 10_008);
        assert_eq!(floods, !peer.session.wants_input() && discarded > 262_144);
        assert_eq!(peer.session.stats().frames_received, received);
    }
}

#[test]
fn l12_two_idle_ends_close_without_the_end_of_the_transport() {
    let mut pair = Pair::at_defaults();
    let id = pair.stream();
    pair.client.stream(id).release();
    pair.server.stream(id).release();
    pair.settle();
    pair.close_client();
    pair.settle();
    // No time has passed, and neither side has seen the end of the transport.
    assert!(pair.client.session.is_finished() && pair.server.session.is_finished());
    assert!(reason(&pair.client).is_clean() && reason(&pair.server).is_clean());
}

#[test]
fn l12_the_peer_learns_of_a_close_while_a_stream_is_kept_alive() {
    let mut pair = Pair::at_defaults();
    let id = pair.stream();
    let now = pair.server.now();
    pair.server.session.close(now, NO_ERROR, "");
    pair.client.events();
    pair.pass(Duration::from_millis(100));
    assert!(pair.client.events().iter().any(|event| matches!(event, Event::GoAway { .. })));
    // So it releases the stream that it kept for later.
    pair.client.stream(id).release();
    pair.settle();
    assert_eq!(pair.server.read(id), (Vec::new(), Ok(())));
    pair.server.stream(id).release();
    pair.settle();
    assert!(pair.client.session.is_finished() && pair.server.session.is_finished());
    assert!(reason(&pair.client).is_clean() && reason(&pair.server).is_clean());
}

#[test]
fn l12_go_away_is_behind_the_syn_of_every_stream_written_to() {
    let mut peer = Peer::of_client(Config::default());
    let ids: Vec<u32> = (0..3).map(|_| peer.open()).collect();
    peer.write(ids[2], b"two");
    peer.write(ids[0], b"one");
    peer.session.go_away(peer.now(), NO_ERROR, "");
    peer.expect(&[
        "DATA id=3 len=3 SYN",
        "DATA id=7 len=3 SYN",
        "GOAWAY last=0 code=0 text=\"\"",
        PAD,
    ]);
    // One that was not written to is no longer announced.
    assert_eq!(
        peer.stream(ids[1]).write(b"late"),
        Err(WriteError::ResetLocally(ErrorCode::SESSION_CLOSED))
    );
}

#[test]
fn l12_a_stream_opened_in_the_turn_of_the_close_is_served() {
    let mut pair = Pair::at_defaults();
    let id = pair.client.open();
    pair.client.write(id, b"last words");
    pair.client.stream(id).finish().expect("it is open");
    let now = pair.client.now();
    pair.client.session.go_away(now, NO_ERROR, "");
    pair.settle();
    assert_eq!(pair.server.accept(), id);
    assert_eq!(pair.server.read(id), (b"last words".to_vec(), Ok(())));
    pair.server.write(id, b"heard");
    pair.server.stream(id).release();
    pair.settle();
    assert_eq!(pair.client.read(id), (b"heard".to_vec(), Ok(())));
    assert!(reason(&pair.client).is_clean() && reason(&pair.server).is_clean());
    assert!(pair.client.session.is_finished() && pair.server.session.is_finished());
}

#[test]
fn l12_a_go_away_is_answered_once_and_only_when_nothing_is_open() {
    let padded = |code| {
        let pad = peer::frame(15, 0, 0, b"");
        [peer::go_away(100, code, b""), pad].concat()
    };
    let mut peer = Peer::of_client(Config::default());
    let id = peer.open();
    peer.write(id, b"request");
    peer.stream(id).finish().expect("it is open");
    peer.receive();
    peer.send(padded(0));
    peer.expect_silence();
    // A stream that nobody has accepted is open, too.
    peer.send(peer::data_fin(id, b"answer"));
    peer.expect(&["GOAWAY last=0 code=0 text=\"closed by the peer\"", PAD, PAD]);
    // More may come: the peer has not sent its last pad.
    assert!(!peer.session.is_finished());
    peer.send(peer::frame(15, 0, 0, b""));
    assert!(peer.session.is_finished());
    assert_eq!(peer.read(id), (b"answer".to_vec(), Ok(())));

    let mut peer = Peer::of_server(Config::default());
    peer.send([peer::syn_fin(3, b"request"), padded(0), padded(0)].concat());
    peer.expect_silence();
    peer.accept();
    peer.stream(3).release();
    peer.expect(&[
        "DATA id=3 len=0 FIN",
        "GOAWAY last=3 code=0 text=\"closed by the peer\"",
        PAD,
        PAD,
    ]);
    peer.shut();
    assert!(peer.session.is_finished());
}

#[test]
fn l12_without_a_pad_a_syn_may_still_be_under_way() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::go_away(0, 0, b""));
    peer.expect_silence();
    peer.send(peer::syn_fin(3, b"overtaken"));
    assert_eq!(peer.accept(), 3);
    peer.stream(3).release();
    peer.expect(&["DATA id=3 len=0 FIN"]);
    peer.pass(seconds(9));
    assert_eq!(peer.session.close_reason(), None);
    peer.shut();
    peer.receive();
    assert!(peer.session.is_finished() && reason(&peer).is_clean());
}

#[test]
fn l12_a_peer_that_gives_no_pad_is_lingered_for() {
    let mut peer = Peer::of_client(Config::default());
    peer.session.close(peer.now(), NO_ERROR, "");
    peer.receive();
    peer.send(peer::go_away(0, 0, b""));
    assert!(!peer.session.is_finished());
    peer.send(peer::frame(15, 0, 0, b""));
    // An announcement: its streams may still send. The last pad says that nothing follows.
    assert!(!peer.session.is_finished());
    peer.send(peer::frame(15, 0, 0, b""));
    assert!(peer.session.is_finished());
}

#[test]
fn l13_a_stream_that_nobody_can_accept_is_refused() {
    let mut peer = Peer::of_server(Config::default());
    peer.send([peer::syn(3, b"kept"), peer::syn(5, b"waits")].concat());
    assert_eq!(peer.accept(), 3);
    peer.session.set_accepting(false);
    peer.send(peer::syn(7, b"late"));
    peer.expect(&["RST id=7 code=5", "WNDINC id=5 inc=1", "RST id=5 code=5"]);
    // The stream in use continues without a time limit.
    peer.pass(seconds(3600));
    peer.send(peer::data_fin(3, b" alive"));
    assert_eq!(peer.read(3), (b"kept alive".to_vec(), Ok(())));
    assert_eq!(peer.session.close_reason(), None);
    peer.session.set_accepting(true);
    peer.expect_alive(9);
}

/// The peer is the one that closes, and a stream is opened before this side knows.
#[test]
fn l13_a_stream_opened_in_the_turn_in_which_the_peer_closes_is_refused() {
    for begins in [false, true] {
        let mut pair = Pair::at_defaults();
        let kept = pair.stream();
        let late = pair.client.open();
        if begins {
            pair.client.write(late, b"anybody there?");
        }
        let now = pair.server.now();
        pair.server.session.close(now, NO_ERROR, "");
        if !begins {
            pair.client.write(late, b"anybody there?");
        }
        pair.settle();
        let refused = Err(ReadError::Reset(ErrorCode::STREAM_REFUSED));
        assert_eq!(pair.client.read(late), (Vec::new(), refused));
        assert_eq!(pair.server.session.accept(), None);
        // The one in use goes on to its end, and neither side waits for anything after it.
        pair.client.write(kept, b" still");
        pair.settle();
        assert_eq!(pair.server.read(kept).0, b" still");
        for peer in [&mut pair.client, &mut pair.server] {
            peer.stream(kept).release();
        }
        pair.client.stream(late).release();
        pair.settle();
        assert!(pair.client.session.is_finished() && pair.server.session.is_finished());
        assert!(reason(&pair.client).is_clean() && reason(&pair.server).is_clean());
    }
}

#[test]
fn l13_heartbeats_are_answered_though_nobody_accepts() {
    let mut peer = Peer::of_server(Config::builder().typed(true).build().expect("valid"));
    peer.session.set_accepting(false);
    peer.send(
        [peer::syn(3, &[0xff; 4]), peer::data(3, b"beat"), peer::syn(5, &[0, 0, 0, 1])].concat(),
    );
    let said = peer.hear();
    assert!(said.contains(&"DATA id=3 len=4".into()), "{said:?}");
    assert!(said.contains(&"RST id=5 code=5".into()), "{said:?}");
}

#[test]
fn l15_a_jump_of_the_clock_in_the_middle_of_a_frame_does_no_harm() {
    let mut peer = Peer::of_server(Config::default());
    let frame = peer::syn(3, &[7; 2000]);
    peer.send(&frame[..1000]);
    peer.receive();
    // The machine was asleep. Ready input is read before deadlines are checked.
    let later = peer.now() + seconds(3600);
    peer.session.handle_slice(later, &frame[1000..1500]);
    peer.session.handle_timeout(later);
    assert_eq!(peer.session.close_reason(), None);
    peer.session.handle_slice(later + seconds(1), &frame[1500..]);
    peer.session.handle_timeout(later + seconds(3));
    assert_eq!(peer.session.close_reason(), None);
    assert_eq!(peer.session.accept().map(StreamId::get), Some(3));
}

#[test]
fn l15_a_frame_in_drops_still_has_its_time_limit() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::header(2000, 1, 2, 3));
    let begun = peer.now();
    while peer.session.close_reason().is_none() {
        peer.session.handle_slice(peer.now(), b"x");
        peer.pass(Duration::from_millis(100));
        peer.session.handle_timeout(peer.now());
        assert!(peer.now() - begun <= seconds(33));
    }
    assert_eq!(reason(&peer), CloseReason::FrameStalled);
}
