//! Rules 1, 2, 8 and 12: how streams begin, end, and are refused.

use muxado_proto::{Config, ErrorCode, Event, OpenError, ReadError, WriteError};
use muxado_tests::peer::{self, Peer};

#[test]
fn rule_01_never_sends_syn_fin() {
    let mut peer = Peer::of_client(Config::default());
    let written = peer.open();
    peer.write(written, b"hi");
    peer.stream(written).finish().unwrap();
    let unwritten = peer.open();
    peer.stream(unwritten).finish().unwrap();
    let dropped = peer.open();
    peer.write(dropped, b"bye");
    peer.stream(dropped).release();
    peer.expect(&[
        "DATA id=3 len=2 SYN",
        "DATA id=3 len=0 FIN",
        "DATA id=5 len=0 SYN",
        "DATA id=5 len=0 FIN",
        "DATA id=7 len=3 SYN",
        "DATA id=7 len=0 FIN",
    ]);
}

#[test]
fn rule_01_a_dropped_unwritten_stream_sends_nothing() {
    let mut peer = Peer::of_client(Config::default());
    let id = peer.open();
    peer.expect_silence();
    peer.stream(id).release();
    peer.expect_silence();
    let id = peer.open();
    peer.stream(id).reset(ErrorCode::STREAM_CANCELLED);
    peer.stream(id).release();
    peer.expect_silence();
    assert_eq!(peer.session.stats().open_streams, 0);
}

#[test]
fn rule_01_accepts_syn_fin_and_replies() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn_fin(5, b"req"));
    assert_eq!(peer.accept(), 5);
    assert_eq!(peer.read(5), (b"req".to_vec(), Ok(())));
    peer.write(5, b"reply");
    peer.stream(5).finish().unwrap();
    peer.expect(&["DATA id=5 len=5 FIN"]);
}

#[test]
fn rule_02_accepts_a_bare_fin() {
    let mut peer = Peer::of_server(Config::default());
    for id in (3..5000).step_by(2) {
        peer.send(peer::fin(id));
    }
    peer.expect_silence();
    peer.expect_alive(5001);
}

#[test]
fn rule_02_accepts_duplicate_and_late_fins() {
    let mut peer = Peer::of_server(Config::default());
    // On an open stream, a stream finished by both sides, a dropped one; then on one that is gone.
    peer.send(peer::syn_fin(3, b"x"));
    let id = peer.accept();
    for step in 0..4 {
        for _ in 0..1000 {
            peer.send(peer::fin(id));
        }
        match step {
            0 => assert_eq!(peer.read(id), (b"x".to_vec(), Ok(()))),
            1 => {
                peer.stream(id).finish().unwrap();
                peer.expect(&["DATA id=3 len=0 FIN"]);
            }
            2 => peer.stream(id).release(),
            _ => {}
        }
        peer.expect_silence();
    }
    // And on one that this side has reset.
    peer.send(peer::syn(5, b"x"));
    let id = peer.accept();
    peer.stream(id).reset(ErrorCode::STREAM_CANCELLED);
    peer.receive();
    for _ in 0..1000 {
        peer.send(peer::fin(id));
    }
    peer.expect_silence();
    peer.expect_alive(7);
}

#[test]
fn rule_02_accepts_wnd_inc_and_rst_on_unknown_and_closed_streams() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn_fin(3, b""));
    let id = peer.accept();
    peer.stream(id).release();
    peer.expect(&["DATA id=3 len=0 FIN"]);
    // Closed, never opened by the peer, never opened by this side, far away.
    for id in [3, 5, 2, 0x7fff_ffff] {
        for _ in 0..2000 {
            peer.send(peer::wnd_inc(id, 1));
            peer.send(peer::rst(id, 4));
        }
    }
    peer.expect_silence();
    peer.expect_alive(5);
}

#[test]
fn rule_08_never_sends_rst_with_code_0() {
    let mut peer = Peer::of_client(Config::default());
    let id = peer.open();
    peer.write(id, b"x");
    peer.receive();
    peer.stream(id).reset(ErrorCode::NO_ERROR);
    peer.expect(&["RST id=3 code=7"]);
}

#[test]
fn rule_08_any_other_code_goes_out_as_it_is() {
    let mut peer = Peer::of_client(Config::default());
    for code in [1, 6, 255, 0xdead_beef, u32::MAX] {
        let id = peer.open();
        peer.write(id, b"x");
        peer.receive();
        peer.stream(id).reset(ErrorCode(code));
        peer.expect(&[&format!("RST id={id} code={code}")]);
    }
}

#[test]
fn rule_08_wakes_a_writer_without_credit_before_the_rst() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, &vec![0; 262_144]));
    let id = peer.accept();
    peer.stream(id).reset(ErrorCode::STREAM_CANCELLED);
    peer.expect(&["WNDINC id=3 inc=1", "RST id=3 code=6"]);
}

#[test]
fn rule_08_wakes_a_writer_whose_own_window_is_smaller() {
    // Its window is 64 KiB, so it waits, although this side would accept more.
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, &vec![0; 65_536]));
    let id = peer.accept();
    peer.stream(id).reset(ErrorCode::STREAM_CANCELLED);
    peer.expect(&["WNDINC id=3 inc=1", "RST id=3 code=6"]);
}

#[test]
fn rule_08_wakes_nobody_who_has_finished_writing() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn_fin(3, &vec![0; 262_144]));
    let id = peer.accept();
    peer.stream(id).reset(ErrorCode::STREAM_CANCELLED);
    peer.expect(&["RST id=3 code=6"]);
}

#[test]
fn rule_08_answers_rst_9_with_one_rst() {
    let mut peer = Peer::of_client(Config::default());
    let id = peer.open();
    peer.write(id, b"x");
    peer.expect(&["DATA id=3 len=1 SYN"]);
    peer.send(peer::rst(id, 9));
    peer.expect(&["RST id=3 code=4"]);
    assert_eq!(peer.read(id).1, Err(ReadError::Reset(ErrorCode::ACCEPT_QUEUE_FULL)));
    assert_eq!(peer.stream(id).write(b"y"), Err(WriteError::Reset(ErrorCode::ACCEPT_QUEUE_FULL)));
    peer.send(peer::rst(id, 9));
    peer.expect_silence();
    // No other code is answered.
    let id = peer.open();
    peer.write(id, b"x");
    peer.receive();
    peer.send(peer::rst(id, 5));
    peer.expect_silence();
}

#[test]
fn rule_08_answers_rst_9_for_a_stream_already_dropped() {
    let mut peer = Peer::of_client(Config::default());
    let id = peer.open();
    peer.write(id, b"x");
    peer.stream(id).release();
    peer.expect(&["DATA id=3 len=1 SYN", "DATA id=3 len=0 FIN"]);
    peer.send(peer::rst(id, 9));
    peer.expect(&["RST id=3 code=4"]);
    peer.send(peer::rst(id, 9));
    peer.expect_silence();
}

#[test]
fn rule_12_opens_no_more_streams_than_configured() {
    let config = Config::builder().max_outbound_streams(2).build().expect("valid");
    let mut peer = Peer::of_client(config);
    let (first, second) = (peer.open(), peer.open());
    peer.events();
    assert_eq!(peer.session.open(), Err(OpenError::Blocked));
    peer.stream(first).release();
    assert_eq!(peer.events(), [Event::OpenReady]);
    assert_eq!(peer.open(), first, "the peer has never heard of it");
    assert_eq!(peer.session.open(), Err(OpenError::Blocked));
    peer.write(second, b"x");
    peer.receive();
    peer.send(peer::rst(second, 5));
    peer.stream(second).release();
    assert!(peer.events().contains(&Event::OpenReady));
    assert_eq!(peer.open(), 7);
}

#[test]
fn rule_12_opens_no_more_unanswered_streams_than_configured() {
    let config = Config::builder().max_unanswered_streams(Some(2)).build().expect("valid");
    let mut peer = Peer::of_client(config);
    for answer in [peer::wnd_inc, |id, _| peer::data(id, b"!"), |id, _| peer::fin(id), peer::rst] {
        let (first, second) = (peer.open(), peer.open());
        peer.write(first, b"x");
        peer.write(second, b"x");
        peer.receive();
        assert_eq!(peer.session.open(), Err(OpenError::Blocked));
        peer.events();
        peer.send(answer(first, 1));
        assert!(peer.events().contains(&Event::OpenReady));
        let third = peer.open();
        assert_eq!(peer.session.open(), Err(OpenError::Blocked));
        for id in [first, second, third] {
            peer.stream(id).reset(ErrorCode::STREAM_CANCELLED);
            peer.stream(id).release();
        }
        peer.receive();
    }
}

#[test]
fn rule_12_streams_given_up_count_while_the_peer_has_them() {
    let config = Config::builder().max_unanswered_streams(Some(2)).max_outbound_streams(3);
    let mut peer = Peer::of_client(config.build().expect("valid"));
    let give_up = |peer: &mut Peer| {
        let id = peer.open();
        peer.write(id, b"x");
        peer.stream(id).release();
        peer.receive();
        id
    };
    let (first, second) = (give_up(&mut peer), give_up(&mut peer));
    peer.events();
    assert_eq!(peer.session.open(), Err(OpenError::Blocked), "two are unanswered");
    peer.send(peer::wnd_inc(first, 1));
    assert_eq!(peer.events(), [Event::OpenReady]);
    let third = give_up(&mut peer);
    peer.send(peer::wnd_inc(third, 1));
    assert_eq!(peer.session.open(), Err(OpenError::Blocked), "the peer has three");
    peer.send(peer::fin(first));
    assert_eq!(peer.events(), [Event::OpenReady]);
    let fourth = give_up(&mut peer);
    for end in [peer::rst(second, 6), peer::data(third, b"for nobody")] {
        assert_eq!(peer.session.open(), Err(OpenError::Blocked));
        peer.send(end);
        peer.receive();
        assert!(peer.events().contains(&Event::OpenReady));
        let id = give_up(&mut peer);
        peer.send(peer::wnd_inc(id, 1));
    }
    assert_eq!(peer.session.open(), Err(OpenError::Blocked));
    peer.send(peer::go_away(third, 0, b""));
    assert_eq!(peer.session.open(), Err(OpenError::GoingAway), "not blocked by {fourth}");
}

#[test]
fn rule_12_the_presets_keep_to_the_backlogs_of_known_peers() {
    for (preset, unanswered) in [(Config::for_go(), 128), (Config::for_ngrok(), 64)] {
        let mut peer = Peer::of_client(preset.build().expect("a preset is valid"));
        for _ in 0..unanswered {
            let id = peer.open();
            peer.write(id, b"x");
        }
        assert_eq!(peer.session.open(), Err(OpenError::Blocked));
    }
    let ngrok = Config::for_ngrok().build().expect("a preset is valid");
    assert!(ngrok.max_open_streams().is_some_and(|open| open < 512));
}

#[test]
fn rule_12_refuses_what_exceeds_the_backlog() {
    let config = Config::builder().accept_backlog(128).build().expect("valid");
    let mut peer = Peer::of_server(config);
    for n in 0..128 {
        peer.send(peer::syn(3 + 2 * n, b"x"));
    }
    peer.expect_silence();
    peer.send(peer::syn(259, b"one too many"));
    peer.expect(&["RST id=259 code=9"]);
    assert_eq!(peer.session.stats().backlog, 128);
    // The stream is really gone: later frames are late, and their bytes are not stored.
    peer.send(peer::data(259, b"more"));
    peer.send(peer::fin(259));
    peer.expect_silence();
    assert_eq!(peer.session.stats().receive_buffered, 128);
    // A place in the backlog is free as soon as a stream is accepted.
    assert_eq!(peer.accept(), 3);
    peer.send(peer::syn(261, b"x"));
    peer.expect_silence();
    assert_eq!(peer.session.stats().backlog, 128);
}
