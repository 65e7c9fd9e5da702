//! Who sends next.

use std::time::Duration;

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
fn streams_take_turns_of_a_segment() {
    let mut peer = bulk(3);
    let turns = |ids: &[u32]| ids.iter().flat_map(|&id| [id; 4]).collect::<Vec<_>>();
    assert_eq!(ids(&batch(&mut peer, 24 * 16_360)), turns(&[3, 5, 7, 3, 5, 7]));
    // A shorter batch ends a turn.
    assert_eq!(ids(&batch(&mut peer, 2 * 16_360)), [3, 3]);
    assert_eq!(ids(&batch(&mut peer, 2 * 16_360)), [5, 5]);
}

#[test]
fn small_messages_go_before_bulk() {
    let mut peer = bulk(4);
    let small = peer.open();
    let mut waited = Vec::new();
    for _ in 0..24 {
        peer.write(small, b"message");
        let mut frames = 0;
        while ids(&batch(&mut peer, 1)) != [small] {
            frames += 1;
        }
        waited.push(frames);
    }
    // Streams that are all new take turns, here of one frame because a batch is no longer.
    assert!(waited.iter().all(|&frames| frames <= 4), "{waited:?}");
    assert_eq!(waited[4..], [0; 20]);
}

#[test]
fn small_messages_do_not_keep_bulk_from_sending() {
    let mut peer = bulk(1);
    batch(&mut peer, 4 * 16_360);
    let small: Vec<u32> = (0..4).map(|_| peer.open()).collect();
    let mut sent = Vec::new();
    while sent.iter().filter(|&&id| id == 3).count() < 12 {
        small.iter().for_each(|&id| peer.write(id, b"message"));
        sent.extend(ids(&batch(&mut peer, 40)));
    }
    let bulk: Vec<usize> = (0..sent.len()).filter(|&at| sent[at] == 3).collect();
    // A batch is as long as two of the messages, so bulk gets one frame each time.
    assert!(bulk.windows(2).all(|pair| pair[1] - pair[0] <= 193), "{bulk:?}");
    assert_eq!(bulk[0], 192);
}

/// A slow transport takes less than a turn in a batch.
#[test]
fn bulk_has_its_part_beside_messages_in_short_batches() {
    for (size, message) in [(512, 300), (512, 16_000), (1250, 16_000), (12_500, 40_000)] {
        let config = Config::builder().send_window(i32::MAX as u32).build().expect("valid");
        let mut peer = Peer::of_client(config);
        let bulk = peer.open();
        peer.write(bulk, &[0; 262_144]);
        while !batch(&mut peer, 65_440).is_empty() {}
        let messages = [peer.open(), peer.open()];
        let mut sent = [0, 0];
        while sent[0] + sent[1] < 4_000_000 {
            for id in messages {
                if peer.stream(id).stats().send_buffered == 0 {
                    peer.write(id, &vec![0; message]);
                }
            }
            while peer.stream(bulk).write(&[0; 65_536]).is_ok() {}
            for frame in batch(&mut peer, size) {
                sent[usize::from(frame.id() == bulk)] += frame.payload.len();
            }
        }
        let part = sent[1] as f64 / (sent[0] + sent[1]) as f64;
        assert!(part > 0.2, "{part} for bulk, messages of {message} in batches of {size}");
    }
}

/// A stream that waits for credit has its time limit recorded when its turn comes, and sends nothing.
#[test]
fn a_stream_without_credit_takes_nobodys_turn() {
    let turns = [None, Some(Duration::from_secs(1000))].map(|limit| {
        let window = 65_440 + 16_360;
        let config = Config::builder().send_window(window).stream_stall_timeout(limit).build();
        let mut peer = Peer::of_client(config.expect("valid"));
        for _ in 0..8 {
            let id = peer.open();
            peer.write(id, &[0; 131_072]);
        }
        (0..8).for_each(|_| drop(batch(&mut peer, 65_440)));
        let small: Vec<u32> = (0..4).map(|_| peer.open()).collect();
        let mut order = Vec::new();
        for _ in 0..1000 {
            small.iter().for_each(|&id| peer.write(id, b"message"));
            order.extend(ids(&batch(&mut peer, 40)));
        }
        (0..order.len()).filter(|&at| !small.contains(&order[at])).collect::<Vec<_>>()
    });
    assert_eq!(turns[0], turns[1]);
    assert!(turns[0].len() >= 6, "{turns:?}");
}

#[test]
fn a_stream_that_was_idle_for_a_while_is_new_again() {
    let mut peer = bulk(3);
    batch(&mut peer, 12 * 16_360);
    let large = peer.open();
    // It is as much as a turn: the next message comes at once, and waits for its turn.
    peer.write(large, &[0; 65_440]);
    assert_eq!(ids(&batch(&mut peer, 4 * 16_360)), [large; 4]);
    peer.write(large, b"message");
    let order = ids(&batch(&mut peer, 13 * 16_360));
    assert_eq!(order.iter().position(|&id| id == large), Some(12), "after a turn of each other");
    peer.receive();
    for id in [3, 5, 7] {
        peer.send(peer::wnd_inc(id, 262_144));
        peer.write(id, &[0; 262_144]);
    }
    peer.write(large, &[0; 65_440]);
    assert_eq!(batch(&mut peer, 16 * 16_360).len(), 16);
    (0..4).for_each(|_| drop(batch(&mut peer, 16_360)));
    peer.write(large, b"message");
    assert_eq!(ids(&batch(&mut peer, 1)), [large]);
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
    assert_eq!(ids(&batch(&mut peer, 16_360)), [3]);
    assert_eq!(ids(&batch(&mut peer, 16_360)), [5]);
    peer.stream(5).set_priority(Priority::new(4));
    assert_eq!(ids(&batch(&mut peer, 2 * 16_360)), [5, 5]);
    peer.stream(3).set_priority(Priority::new(5));
    assert_eq!(ids(&batch(&mut peer, 2 * 16_360)), [3, 3]);
    peer.stream(3).set_priority(Priority::new(4));
    assert_eq!(ids(&batch(&mut peer, 8 * 16_360)), [5, 5, 5, 5, 3, 3, 3, 3]);
    // One that waits for its turn does not become new.
    peer.stream(5).set_priority(Priority::HIGHEST);
    for _ in 0..4 {
        assert_eq!(ids(&batch(&mut peer, 10)), [5]);
    }
    peer.stream(5).set_priority(Priority::new(4));
    peer.stream(3).set_priority(Priority::new(2));
    peer.stream(3).set_priority(Priority::new(4));
    assert_eq!(ids(&batch(&mut peer, 16_360)), [5]);
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
fn the_priority_of_a_stream_with_nothing_to_send_gives_nothing_to_do() {
    let mut peer = Peer::with_streams(Config::default(), &[3]);
    peer.stream(3).set_priority(Priority::HIGHEST);
    assert!(!peer.session.wants_transmit());
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
