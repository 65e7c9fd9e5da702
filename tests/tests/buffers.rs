//! Buffers: when a writer may write, when it is told, and what is copied.

use std::time::Duration;

use bytes::Bytes;
use muxado_proto::{Config, Event, Priority, StreamId, WriteError};
use muxado_tests::peer::{self, Peer};

#[test]
fn writers_wait_for_a_fair_part_of_the_sessions_buffer() {
    const BUFFER: u32 = 64 << 10;
    let config = Config::builder().session_send_buffer(BUFFER).send_buffer(BUFFER);
    let config = config.max_frame_size(4096).build().expect("valid");
    let mut peer = Peer::with_streams(config, &[3, 5]);
    peer.stream(3).set_priority(Priority::HIGHEST);
    peer.stream(5).set_priority(Priority::HIGHEST);
    peer.write(3, &vec![1; BUFFER as usize]);
    peer.write(5, &[2; 4096]);
    assert_eq!(peer.stream(5).write(b"x"), Err(WriteError::Blocked));
    let mut frames = 0;
    let mut told = Vec::new();
    while peer.batch(1) > 0 {
        frames += 1;
        told.extend(
            peer.events().contains(&Event::Writable(peer.stream(5).id())).then_some(frames),
        );
    }
    assert_eq!(frames, 17);
    // By its own frame, the second of all: then there is space for it again, independent of the
    // others.
    assert_eq!(told, [2]);

    // A writer without data of its own is woken when half of the buffer is free.
    peer.write(3, &vec![1; BUFFER as usize]);
    peer.write(5, &[2; 4096]);
    peer.stream(5).set_priority(Priority::new(6));
    assert_eq!(peer.stream(5).write(b"x"), Err(WriteError::Blocked));
    let mut free = Vec::new();
    while peer.batch(1) > 0 {
        let left = peer.session.stats().send_buffered;
        let writable = peer.events().contains(&Event::Writable(peer.stream(5).id()));
        free.extend(writable.then(|| u64::from(BUFFER) - left));
    }
    assert_eq!(free, [u64::from(BUFFER / 2)]);
}

#[test]
fn a_writer_is_told_when_half_of_its_buffer_is_free() {
    let config = Config::builder().send_buffer(64 << 10).max_frame_size(4096);
    let mut peer = Peer::with_streams(config.build().expect("valid"), &[3]);
    peer.write(3, &[0; 64 << 10]);
    assert_eq!(peer.stream(3).write(b"x"), Err(WriteError::Blocked));
    let mut left = Vec::new();
    while peer.batch(1) > 0 {
        let told = !peer.events().is_empty();
        left.extend(told.then(|| peer.stream(3).stats().send_buffered));
    }
    assert_eq!(left, [32 << 10]);
}

/// With a stall limit, writers were not woken when the session's buffer had room.
#[test]
fn a_limit_on_stalls_does_not_keep_writers_waiting() {
    let heard = |limit| {
        let config = Config::builder()
            .send_window(20_000)
            .send_buffer(100_000)
            .session_send_buffer(200_000)
            .stream_stall_timeout(limit)
            .build()
            .expect("valid");
        let mut peer = Peer::of_client(config);
        let (a, b, c) = (peer.open(), peer.open(), peer.open());
        // b has no credit left, and 8000 bytes wait for it.
        peer.write(b, &[0; 28_000]);
        peer.receive();
        peer.write(a, &[0; 100_000]);
        let room = peer.stream(c).room().expect("room");
        peer.write(c, &vec![0; room]);
        assert_eq!(peer.stream(b).write(&[0; 8000]), Err(WriteError::Blocked));
        peer.events();
        peer.receive();
        assert!(peer.stream(b).room().is_ok());
        peer.events().contains(&Event::Writable(StreamId::new(b)))
    };
    assert!(heard(None));
    assert!(heard(Some(Duration::from_secs(3600))));
}

#[test]
fn a_large_payload_is_a_part_of_the_input() {
    for size in [512, 16 << 10] {
        let mut peer = Peer::with_streams(Config::default(), &[3]);
        let input = Bytes::from(peer::data(3, &vec![7; size]));
        peer.send_bytes(input.clone());
        let chunk = peer.stream(3).read_chunk(usize::MAX).expect("data").expect("data");
        assert_eq!((chunk.len(), chunk.as_ptr()), (size, input[8..].as_ptr()));
    }
}

#[test]
fn chunks_are_taken_until_there_are_enough_or_nobody_wants_more() {
    for (max, wanted, expected) in [
        (0, 9, &[][..]),
        (999, 9, &[999]),
        (1000, 9, &[1000]),
        (1001, 9, &[1000, 1]),
        (9999, 9, &[1000, 1000, 1000]),
        (9999, 2, &[1000, 1000]),
    ] {
        let mut peer = Peer::with_streams(Config::default(), &[3]);
        (0..3).for_each(|_| peer.send(peer::data(3, &[7; 1000])));
        let mut taken = Vec::new();
        let count = peer.stream(3).take_chunks(max, |chunk| {
            taken.push(chunk.len());
            taken.len() < wanted
        });
        assert_eq!((count, &taken[..]), (expected.iter().sum(), expected));
        assert_eq!(peer.read(3).0.len(), 3000 - count);
    }
}
