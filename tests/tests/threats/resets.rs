//! Streams that the peer opens only to end them.

use std::time::Duration;

use muxado_proto::{CloseReason, Config, ErrorCode, ReadError};
use muxado_tests::peer::{self, Peer};

use crate::meter::Meter;

fn was_too_much(peer: &Peer) -> bool {
    matches!(
        peer.session.close_reason(),
        Some(CloseReason::Violation { code: ErrorCode::ENHANCE_YOUR_CALM, .. })
    )
}

#[test]
fn rapid_reset_at_once() {
    let meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    for n in 0..1000 {
        peer.send([peer::syn(3 + 2 * n, b"work"), peer::rst(3 + 2 * n, 6)].concat());
        // The stream has left the queue: the application never sees it.
        assert_eq!(peer.session.accept(), None);
        assert_eq!(peer.session.stats().open_streams, 0);
    }
    assert_eq!(peer.session.close_reason(), None);
    assert!(meter.held() < 128 << 10, "{}", meter.held());
    let mut frames = 1000;
    while !was_too_much(&peer) {
        frames += 1;
        peer.send([peer::syn(3 + 2 * frames, b"work"), peer::rst(3 + 2 * frames, 6)].concat());
    }
    assert_eq!(frames, 1001);
    peer.expect_session_error(10);
}

/// A peer that does not want the rest of an answer does no harm, even if it may reset no more.
#[test]
fn resets_of_answers_that_have_begun_are_free() {
    let _meter = Meter::start(); // so that nothing else is measured meanwhile
    let mut peer = Peer::of_server(Config::default());
    let mut ids = (3..).step_by(2);
    let mut next = || ids.next().expect("there are many");
    for _ in 0..1000 {
        let id = next();
        peer.send([peer::syn(id, b"work"), peer::rst(id, 6)].concat());
    }
    for _ in 0..10 {
        let id = next();
        peer.send(peer::syn(id, b"work"));
        assert_eq!(peer.accept(), id);
        peer.write(id, b"a part");
        peer.receive();
        peer.send(peer::rst(id, 6));
        assert_eq!(peer.session.close_reason(), None);
        peer.stream(id).release();
        // The answer has earned another one.
        let id = next();
        peer.send([peer::syn(id, b"work"), peer::rst(id, 6)].concat());
        assert_eq!(peer.session.close_reason(), None);
    }
    let id = next();
    peer.send([peer::syn(id, b"work"), peer::rst(id, 6)].concat());
    assert!(was_too_much(&peer));
}

#[test]
fn rapid_reset_a_million_times_within_the_rate() {
    let meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    let mut id = 3;
    meter.assert_flat(1000, 128 << 10, |_| {
        for _ in 0..50 {
            let mut batch = Vec::new();
            for _ in 0..20 {
                batch.extend(peer::syn(id, b"work"));
                batch.extend(peer::rst(id, 6));
                id += 2;
            }
            peer.send(batch);
            peer.pass(Duration::from_millis(610));
        }
        assert_eq!(peer.session.accept(), None);
        assert_eq!(peer.session.stats().open_streams, 0);
    });
    assert_eq!(peer.session.stats().streams_accepted, 1_000_000);
    peer.expect_alive(id);
}

#[test]
fn rapid_reset_frees_no_slot_while_a_handle_is_held() {
    let meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    let mut held = Vec::new();
    for n in 0..3000 {
        let id = 3 + 2 * n;
        peer.send(peer::syn(id, b"work"));
        if let Some(accepted) = peer.session.accept() {
            held.push(accepted.get());
            peer.send(peer::rst(id, 6));
        } else if n < 2048 {
            // It waits for a slot. A reset in the meantime does not free one.
            peer.expect_silence();
        } else {
            peer.expect(&[&format!("RST id={id} code=5")]);
        }
        peer.pass(Duration::from_millis(100));
    }
    // At most as many handles as there may be streams.
    assert_eq!(held.len(), 1024);
    let stats = peer.session.stats();
    assert_eq!((stats.ended_streams, stats.open_streams, stats.backlog), (1024, 1024, 1024));
    assert!(meter.held() < 1 << 20, "{}", meter.held());
    let reset = Err(ReadError::Reset(ErrorCode::STREAM_CANCELLED));
    assert_eq!(peer.read(held[0]), (b"work".to_vec(), reset));
    for n in 1024..2048 {
        peer.send(peer::rst(3 + 2 * n, 6));
        peer.pass(Duration::from_millis(100));
    }
    for id in held {
        peer.stream(id).release();
    }
    let stats = peer.session.stats();
    assert_eq!((stats.ended_streams, stats.open_streams), (0, 0));
    peer.expect_alive(99_999);
}

#[test]
fn made_you_reset_frees_no_slot_while_a_handle_is_held() {
    let _meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    // Each of these makes this side send the RST.
    let faults: [fn(u32) -> Vec<u8>; 4] = [
        |id| peer::header(262_145, 1, 0, id).into_iter().chain(vec![0; 262_145]).collect(),
        |id| peer::wnd_inc(id, 0),
        |id| [peer::fin(id), peer::data(id, b"x")].concat(),
        |id| peer::syn(id, b"again"),
    ];
    let mut held = 0;
    for n in 0..1200 {
        let id = 3 + 2 * n;
        peer.send(peer::syn(id, b""));
        held += u32::from(peer.session.accept().is_some());
        if n < 64 || !n.is_multiple_of(4) {
            peer.send(faults[n as usize % 4](id));
        }
        assert!(peer.hear().last().is_some_and(|frame| frame.starts_with("RST ")) || n % 4 == 0);
        peer.pass(Duration::from_millis(100));
    }
    assert_eq!(held, 1024);
    let stats = peer.session.stats();
    assert!(stats.ended_streams > 700, "{stats:?}");
    assert_eq!(peer.session.close_reason(), None);
}

#[test]
fn made_you_reset_shares_the_limit_of_rapid_reset() {
    let _meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    let mut frames = 0;
    while !was_too_much(&peer) {
        let id = 3 + 2 * frames;
        peer.send(peer::syn(id, b""));
        let handle = peer.accept();
        // In turns: the peer resets, or makes this side reset.
        let end = if frames % 2 == 0 { peer::rst(id, 6) } else { peer::wnd_inc(id, 0) };
        peer.send(end);
        if !was_too_much(&peer) {
            peer.stream(handle).release();
            peer.receive();
            frames += 1;
        }
    }
    assert_eq!(frames, 1000);
    peer.expect_session_error(10);
}

#[test]
fn one_faulty_stream_does_not_use_up_the_limit() {
    let _meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    // DATA after a FIN, repeatedly, on streams in every state of the other half.
    for (id, finished) in [(3, false), (5, true)] {
        peer.send(peer::syn(id, b"kept"));
        peer.accept();
        if finished {
            peer.stream(id).finish().unwrap();
            peer.receive();
        }
        peer.send(peer::fin(id));
        peer.send(peer::data(id, b"x").repeat(5000));
        assert_eq!(peer.hear(), [format!("RST id={id} code=4")]);
        assert_eq!(peer.read(id), (b"kept".to_vec(), Ok(())));
    }
    peer.expect_alive(7);
}
