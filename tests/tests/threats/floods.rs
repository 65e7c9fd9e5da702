//! Floods of tiny frames.

use std::time::Duration;

use muxado_proto::{CloseReason, Config, ErrorCode, Event};
use muxado_tests::peer::{self, Peer};

use crate::meter::Meter;

const KIB: usize = 1024;

/// Asserts that the session was ended with ENHANCE_YOUR_CALM.
#[track_caller]
fn expect_calm(peer: &mut Peer) {
    let reason = peer.session.close_reason();
    assert!(
        matches!(reason, Some(CloseReason::Violation { code: ErrorCode::ENHANCE_YOUR_CALM, .. })),
        "{reason:?}"
    );
    peer.expect_session_error(10);
}

#[test]
fn peer_never_reads_our_output() {
    let meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b""));
    let echo = peer.accept();
    peer.write(echo, &[0; 262_144]);
    let mut id = 3;
    // A million frames that each need an answer, and no answer is taken: refused streams, a stream
    // whose credit is owed, and one that has data to send.
    meter.assert_flat(1000, 640 * KIB, |_| {
        let mut batch = Vec::new();
        for _ in 0..998 {
            id += 2;
            batch.extend(peer::syn(id, b"?"));
        }
        batch.extend(peer::data(echo, b"!"));
        batch.extend(peer::wnd_inc(echo, 1));
        peer.send(batch);
        let _blocked = peer.stream(echo).write(&[0; 1000]);
        assert_eq!(peer.read(echo).0, b"!");
        peer.events();
    });
    let stats = peer.session.stats();
    assert!(stats.frames_received >= 1_000_000);
    assert!(stats.resets_dropped > 990_000);
    assert_eq!(peer.session.close_reason(), None);
    // Its output when the peer finally reads is bounded as well.
    let frames = peer.receive().iter().filter(|frame| frame.kind() != 1).count();
    assert!(frames < 1200, "{frames}");
    // And a transport that takes nothing ends the session.
    peer.write(echo, b"more");
    let mut out = muxado_proto::Transmit::new();
    let now = peer.now();
    assert!(peer.session.poll_transmit(now, &mut out, 64 * KIB) > 0);
    peer.pass(Duration::from_secs(30));
    assert_eq!(peer.session.close_reason(), Some(&CloseReason::WriteStalled));
    assert!(peer.session.is_finished());
}

#[test]
fn data_on_closed_ids_draws_one_rst_each() {
    let meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    // As many as there are tombstones, finished by this side only.
    for n in 0..1024 {
        peer.send(peer::syn(3 + 2 * n, b""));
        let id = peer.accept();
        peer.stream(id).release();
        peer.receive();
    }
    let flood: Vec<u8> = (0..1024).flat_map(|n| peer::data(3 + 2 * n, b"x")).collect();
    peer.send(&flood);
    let answers = peer.hear();
    let resets = answers.iter().filter(|frame| frame.starts_with("RST ")).count();
    // Each with the credit that wakes a writer.
    assert_eq!((answers.len(), resets), (2048, 1024));
    meter.assert_flat(1000, 200 * KIB, |_| {
        peer.send(&flood);
        peer.expect_silence();
    });
    peer.expect_alive(9999);
}

#[test]
fn data_on_ids_forgotten_long_ago_draws_few_rsts() {
    let meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    for n in 0..10_000 {
        peer.send(peer::syn(3 + 2 * n, b""));
        let id = peer.accept();
        peer.stream(id).release();
        peer.receive();
        // The peer gets one RST that says that nobody reads.
        peer.send(peer::data(id, b"x"));
        assert_eq!(peer.hear().len(), 2);
    }
    let flood: Vec<u8> = (0..8000).flat_map(|n| peer::data(3 + 2 * n, b"x")).collect();
    let mut answers = 0;
    meter.assert_flat(125, 500 * KIB, |_| {
        peer.send(&flood);
        answers += peer.receive().len();
    });
    assert_eq!(answers, 100);
    peer.expect_alive(99_999);
}

#[test]
fn data_on_ids_that_never_were_ends_the_session() {
    let _meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    let ids = (0..100).map(|n| 4 + 2 * n);
    peer.send(ids.clone().flat_map(|id| peer::data(id, b"x")).collect::<Vec<_>>());
    assert_eq!(peer.hear(), ids.map(|id| format!("RST id={id} code=4")).collect::<Vec<_>>());
    // A repetition is silent, ten per second are within the limit, one too many ends the session.
    peer.send((0..100).flat_map(|n| peer::data(4 + 2 * n, b"x")).collect::<Vec<_>>());
    peer.expect_silence();
    for n in 0..600 {
        peer.pass(Duration::from_millis(100));
        peer.send(peer::data(1001 + 2 * n, b"x"));
        assert_eq!(peer.hear().len(), 1);
    }
    peer.send((0..101).flat_map(|n| peer::data(5001 + 2 * n, b"x")).collect::<Vec<_>>());
    expect_calm(&mut peer);
}

#[test]
fn empty_data_flood() {
    let meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b""));
    let id = peer.accept();
    let held = meter.held();
    // Never queued, not even as empty chunks; a hundred per second for an hour are no fault.
    for _ in 0..3600 {
        peer.pass(Duration::from_secs(1));
        peer.send(peer::data(id, b"").repeat(100));
    }
    peer.expect_silence();
    assert!(meter.held() <= held + 64 * KIB);
    peer.pass(Duration::from_secs(1));
    peer.send(peer::data(id, b"").repeat(100));
    assert_eq!(peer.session.close_reason(), None);
    peer.send(peer::data(id, b""));
    expect_calm(&mut peer);
}

#[test]
fn empty_syn_and_fin_are_exempt() {
    let _meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    for n in 0..5000 {
        peer.send(peer::syn(3 + 2 * n, b""));
        peer.send(peer::fin(3 + 2 * n));
        let id = peer.accept();
        peer.stream(id).release();
        peer.receive();
    }
    peer.expect_alive(20_001);
}

#[test]
fn wnd_inc_0_ends_its_stream() {
    let _meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    for id in [3, 5] {
        peer.send(peer::syn(id, b""));
        peer.accept();
    }
    peer.send(peer::wnd_inc(3, 0).repeat(100_000));
    peer.expect(&["RST id=3 code=1"]);
    peer.write(5, b"alive");
    peer.expect(&["DATA id=5 len=5"]);
    peer.expect_alive(7);
}

#[test]
fn wnd_inc_flood() {
    let meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b""));
    let id = peer.accept();
    let flood = [peer::wnd_inc(3, 1), peer::wnd_inc(3, u32::MAX)].concat().repeat(500);
    meter.assert_flat(1000, 64 * KIB, |_| peer.send(&flood));
    peer.expect_silence();
    assert_eq!(peer.stream(id).stats().send_credit, 0x7fff_ffff);
    peer.expect_alive(5);
}

#[test]
fn window_overflow() {
    let _meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b""));
    let id = peer.accept();
    for _ in 0..10_000 {
        peer.send(peer::wnd_inc(3, 0x7fff_ffff));
        peer.write(id, b"x");
        peer.expect(&["DATA id=3 len=1"]);
        assert_eq!(peer.stream(id).stats().send_credit, 0x7fff_fffe);
    }
    peer.expect_alive(5);
}

#[test]
fn go_away_flood() {
    let _meter = Meter::start();
    let mut peer = Peer::of_client(Config::default());
    for _ in 0..1024 {
        let id = peer.open();
        peer.write(id, b"x");
    }
    peer.receive();
    // Each has a smaller `last`, so that there is always a stream to end.
    let flood: Vec<u8> =
        (0..100_000).flat_map(|n| peer::go_away(0x7fff_ffff - n, 0, b"")).collect();
    peer.send(flood);
    let reason = peer.session.close_reason();
    assert!(matches!(reason, Some(CloseReason::Cut { streams: 1024, .. })), "{reason:?}");
    assert!(peer.session.stats().frames_received < 20);
    let told = peer.events().into_iter().filter(|event| matches!(event, Event::GoAway { .. }));
    assert_eq!(told.count(), 1);
}

#[test]
fn huge_go_away_text() {
    let meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b"kept"));
    let id = peer.accept();
    peer.send(peer::header(0xff_ffff, 3, 0, 0));
    peer.send([0, 0, 0, 0, 0, 0, 0, 42]);
    let piece = [b'!'; 1000];
    let mut left = 0xff_ffff - 8;
    while left > 0 {
        let count = piece.len().min(left);
        peer.send(&piece[..count]);
        left -= count;
        assert!(meter.held() < 96 * KIB, "{}", meter.held());
    }
    let [Event::Readable(_), Event::GoAway { code, text }] = peer
        .events()
        .try_into()
        .map(|mut events: [Event; 3]| {
            events.sort_by_key(|event| matches!(event, Event::GoAway { .. }));
            let [_, readable, go_away] = events;
            [readable, go_away]
        })
        .expect("three events")
    else {
        panic!("other events")
    };
    assert_eq!((code, text.len()), (ErrorCode(42), 4096));
    assert_eq!(peer.read(id).0, b"kept");
}

#[test]
fn huge_unknown_frames() {
    let meter = Meter::start();
    // An occasional megabyte is skipped. The headers use up the rest of the burst.
    let mut peer = Peer::of_server(Config::default());
    for _ in 0..16 {
        peer.send(peer::frame(0xA, 0, 9, &vec![0xab; 1_000_000]));
        peer.pass(Duration::from_secs(1));
    }
    peer.expect_silence();
    peer.expect_alive(3);
    // Sixteen at once are not; nothing of them is stored.
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::header(0xff_ffff, 0xF, 0xF, 0x7fff_ffff));
    for _ in 0..256 {
        peer.send([0xab; 65_536]);
        assert!(meter.held() < 96 * KIB, "{}", meter.held());
    }
    expect_calm(&mut peer);
    // Sent slowly they pass, until the frame makes too little progress.
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::header(0xff_ffff, 0xF, 0, 0));
    for _ in 0..100 {
        peer.pass(Duration::from_secs(1));
        peer.send([0xab; 4096]);
    }
    assert_eq!(peer.session.close_reason(), None);
    peer.pass(Duration::from_secs(30));
    assert_eq!(peer.session.close_reason(), Some(&CloseReason::FrameStalled));
}
