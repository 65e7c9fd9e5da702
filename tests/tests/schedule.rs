//! Who sends next.

use muxado_proto::{Config, Priority, Transmit};
use muxado_tests::peer::{self, Peer};
use muxado_tests::vectors::Frame;

use bytes::Buf;

/// A client with `streams` streams, each with a whole window to send.
fn bulk(streams: u32) -> Peer {
    let mut peer = Peer::of_client(Config::default());
    for _ in 0..streams {
        let id = peer.open();
        peer.write(id, &[0; 262_144]);
    }
    peer
}

/// The frames of one batch of about `max` bytes.
fn batch(peer: &mut Peer, max: usize) -> Vec<Frame> {
    let mut out = Transmit::new();
    peer.session.poll_transmit(peer.now(), &mut out, max);
    let mut bytes = out.copy_to_bytes(out.remaining()).to_vec();
    std::iter::from_fn(|| Frame::take(&mut bytes)).collect()
}

fn ids(frames: &[Frame]) -> Vec<u32> {
    frames.iter().map(Frame::id).collect()
}

#[test]
fn streams_take_turns() {
    let mut peer = bulk(3);
    assert_eq!(ids(&batch(&mut peer, 9 * 16_360)), [3, 5, 7, 3, 5, 7, 3, 5, 7]);
}

#[test]
fn small_messages_are_not_starved_by_bulk() {
    let mut peer = bulk(4);
    let small = peer.open();
    let mut waited = Vec::new();
    for _ in 0..12 {
        peer.write(small, b"message");
        let mut frames = 0;
        while ids(&batch(&mut peer, 1)) != [small] {
            frames += 1;
        }
        waited.push(frames);
    }
    // At most after one frame of each of the others.
    assert!(waited.iter().all(|&frames| frames <= 4), "{waited:?}");
}

#[test]
fn an_urgent_stream_goes_first_and_alone() {
    let mut peer = bulk(3);
    peer.stream(7).set_priority(Priority::HIGHEST);
    peer.stream(3).set_priority(Priority::LOWEST);
    assert_eq!(peer.stream(7).priority(), Priority::HIGHEST);
    let order = ids(&batch(&mut peer, usize::MAX));
    let expected: Vec<u32> = [7; 17].into_iter().chain([5; 17]).chain([3; 17]).collect();
    assert_eq!(order, expected);
}

#[test]
fn priorities_change_at_any_time() {
    let mut peer = bulk(2);
    assert_eq!(ids(&batch(&mut peer, 2 * 16_360)), [3, 5]);
    peer.stream(5).set_priority(Priority::new(4));
    assert_eq!(ids(&batch(&mut peer, 2 * 16_360)), [5, 5]);
    peer.stream(3).set_priority(Priority::new(5));
    assert_eq!(ids(&batch(&mut peer, 2 * 16_360)), [3, 3]);
    peer.stream(3).set_priority(Priority::new(4));
    assert_eq!(ids(&batch(&mut peer, 4 * 16_360)), [5, 3, 5, 3]);
    // Also while there is nothing to send, or no credit.
    peer.receive();
    for id in [3, 5] {
        peer.write(id, b"more");
    }
    peer.stream(3).set_priority(Priority::LOWEST);
    peer.expect_silence();
    peer.send([peer::wnd_inc(3, 10), peer::wnd_inc(5, 10)].concat());
    assert_eq!(ids(&peer.receive()), [5, 3]);
}

#[test]
fn control_overtakes_data() {
    let mut peer = bulk(2);
    batch(&mut peer, 1);
    batch(&mut peer, 1);
    peer.send(peer::data(3, &vec![0; 131_072]));
    assert_eq!(peer.read(3).0.len(), 131_072);
    peer.stream(5).reset(6.into());
    peer.session.go_away(peer.now(), 0.into(), "");
    let said: Vec<_> = batch(&mut peer, 1000).iter().map(Frame::meaning).collect();
    assert_eq!(
        said,
        [
            "GOAWAY last=0 code=0 text=\"\"",
            "UNKNOWN type=15 id=0 len=0",
            "RST id=5 code=6",
            "WNDINC id=3 inc=131072",
            "DATA id=3 len=16360",
        ]
    );
}

#[test]
fn a_stream_without_credit_holds_nobody_up() {
    let mut peer = bulk(2);
    peer.receive();
    for id in [3, 5] {
        peer.write(id, &[0; 1000]);
    }
    peer.expect_silence();
    assert!(!peer.session.wants_transmit());
    peer.send(peer::wnd_inc(5, 600));
    peer.expect(&["DATA id=5 len=600"]);
    assert!(!peer.session.wants_transmit());
}
