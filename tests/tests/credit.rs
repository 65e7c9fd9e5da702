//! The credit that a peer waits for.

use std::time::Duration;

use muxado_proto::Config;
use muxado_tests::peer::{self, Peer};
use muxado_tests::vectors::Frame;

const WINDOW: u32 = 262_144;
const TICK: Duration = Duration::from_millis(10);

/// A shrinking window withheld all credit from a peer that discards credit above its initial
/// window.
#[test]
fn a_peer_that_clamps_its_credit_is_not_starved_by_a_window_that_shrinks() {
    let config = Config::builder()
        .session_receive_buffer(4 * u64::from(WINDOW))
        .overcommit(true)
        .build()
        .expect("valid");
    let mut peer = Peer::of_server(config);
    peer.send(peer::syn(3, b""));
    assert_eq!(peer.accept(), 3);
    // Like ngrok: never more than a window of credit, used in one frame.
    let mut credit = WINDOW;
    let mut sent = 0;
    let mut round = |peer: &mut Peer, count: u32, credit: &mut u32| {
        let count = count.min(*credit);
        if count > 0 {
            peer.send(peer::data(3, &vec![0; count as usize]));
            *credit -= count;
        }
        while let Ok(Some(_)) = peer.stream(3).read_chunk(usize::MAX) {}
        for _ in 0..2 {
            for frame in peer.receive() {
                if frame.kind() == Frame::WNDINC && frame.id() == 3 {
                    *credit = credit.saturating_add(frame.word(0)).min(WINDOW);
                }
            }
            peer.pass(TICK);
        }
        sent += count;
        count
    };
    for _ in 0..20 {
        assert!(round(&mut peer, WINDOW, &mut credit) > 0);
    }
    assert!(peer.session.stats().window_growth > 0, "it has grown");
    for id in [5, 7, 9] {
        peer.send(peer::syn(id, b""));
        peer.accept();
    }
    for n in 0..20 {
        assert!(round(&mut peer, WINDOW, &mut credit) > 0, "starved in round {n}");
    }
}

/// The same with default settings: many uploads over a link of a millisecond.
#[test]
fn default_settings_do_not_starve_clamping_peers() {
    let mut peer = Peer::of_server(Config::default());
    let mut credit = std::collections::BTreeMap::new();
    for streams in [100u32, 100, 100, 100, 256, 256, 256, 256] {
        for n in 0..streams {
            let id = 3 + 2 * n;
            credit.entry(id).or_insert_with(|| {
                peer.send(peer::syn(id, b""));
                peer.accept();
                WINDOW
            });
        }
        for (&id, credit) in &mut credit {
            let mut left = *credit;
            while left > 0 {
                let count = left.min(16_384);
                peer.send(peer::data(id, &vec![0; count as usize]));
                left -= count;
                while let Ok(Some(_)) = peer.stream(id).read_chunk(usize::MAX) {}
            }
            *credit = 0;
        }
        for _ in 0..2 {
            for frame in peer.receive() {
                if frame.kind() == Frame::WNDINC {
                    let credit = credit.get_mut(&frame.id()).expect("a stream");
                    *credit = credit.saturating_add(frame.word(0)).min(WINDOW);
                }
            }
            peer.pass(TICK);
        }
    }
    assert!(credit.values().all(|&credit| credit > 0));
}

/// Credit for what arrived between the release of a stream and its FIN was never granted.
#[test]
fn what_arrives_between_release_and_fin_is_granted() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b""));
    assert_eq!(peer.accept(), 3);
    peer.write(3, b"reply");
    peer.stream(3).release();
    // A peer whose own window is 64 KiB: now it waits for credit.
    peer.send(peer::data(3, &vec![0; 65_536]));
    peer.expect(&["DATA id=3 len=5 FIN"]);
    peer.pass(Duration::from_millis(100));
    peer.expect(&["WNDINC id=3 inc=65536"]);
}

#[test]
fn what_a_finished_reader_leaves_unread_is_granted() {
    for (unread, answer) in [(&b"left"[..], &["WNDINC id=3 inc=4"][..]), (b"", &[])] {
        let mut peer = Peer::with_streams(Config::default(), &[3]);
        peer.stream(3).finish().unwrap();
        peer.expect(&["DATA id=3 len=0 FIN"]);
        if !unread.is_empty() {
            peer.send(peer::data(3, unread));
        }
        peer.stream(3).release();
        peer.expect(answer);
    }
}

/// A refusal did not wake a writer that wakes only for credit.
#[test]
fn a_refusal_wakes_a_writer_that_may_be_out_of_credit() {
    // The backlog is full.
    let mut peer = Peer::of_server(Config::builder().accept_backlog(1).build().expect("valid"));
    peer.send(peer::syn(3, b""));
    peer.send(peer::syn(5, &vec![0; WINDOW as usize]));
    assert_eq!(peer.hear(), ["WNDINC id=5 inc=1", "RST id=5 code=9"]);
}

#[test]
fn data_for_a_reader_that_has_gone_wakes_a_writer_that_is_out_of_credit() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b""));
    peer.accept();
    peer.write(3, b"413");
    peer.stream(3).release();
    peer.receive();
    peer.send(peer::data(3, &vec![0; WINDOW as usize]));
    // The reader of the answer comes first.
    peer.expect_silence();
    peer.pass(Duration::from_millis(100));
    assert_eq!(peer.hear(), ["WNDINC id=3 inc=1", "RST id=3 code=4"]);
}
