//! The pending work of a session after each call, exactly.

use bytes::{Buf, Bytes};
use muxado_proto::{CloseReason, Config, ErrorCode, Event, ReadError, Transmit, WriteError};
use muxado_tests::peer::{self, Peer};

/// A server with these streams open and accepted, and nothing to send.
fn with_streams(config: Config, ids: &[u32]) -> Peer {
    let mut peer = Peer::of_server(config);
    for &id in ids {
        peer.send(peer::syn(id, b""));
        assert_eq!(peer.accept(), id);
    }
    peer.events();
    peer.expect_silence();
    peer
}

/// How many bytes one batch of at most `max` has.
fn batch(peer: &mut Peer, max: usize) -> usize {
    let mut out = Transmit::new();
    let grown = peer.session.poll_transmit(peer.now(), &mut out, max);
    assert_eq!(grown, out.remaining());
    grown
}

#[test]
fn a_batch_ends_as_soon_as_it_is_as_long_as_asked_for() {
    let control: &[fn(&mut Peer, u32)] = &[
        |peer, id| peer.stream(id).reset(ErrorCode(9)),
        |peer, id| peer.send(peer::data(id + 100, b"?")),
        |peer, id| {
            peer.send(peer::data(id, &[0; 131_072]));
            assert_eq!(peer.read(id).0.len(), 131_072);
        },
    ];
    for work in control {
        let ids = [3, 5, 7];
        let mut peer = with_streams(Config::default(), &ids);
        ids.into_iter().for_each(|id| work(&mut peer, id));
        assert_eq!(batch(&mut peer, 0), 0);
        // Frames of 12 bytes: what is begun is finished.
        assert_eq!(batch(&mut peer, 12), 12);
        assert_eq!(batch(&mut peer, 13), 24);
        assert_eq!(batch(&mut peer, 100), 0);
    }
}

#[test]
fn an_abandoned_session_tells_everybody_and_says_nothing() {
    let mut peer = with_streams(Config::default(), &[3]);
    peer.write(3, b"never sent");
    peer.session.abandon();
    assert_eq!(peer.session.close_reason(), Some(&CloseReason::Abandoned));
    assert_eq!(peer.events().last(), Some(&Event::Closed(CloseReason::Abandoned)));
    assert_eq!(peer.read(3).1, Err(ReadError::SessionClosed(CloseReason::Abandoned)));
    let refused = Err(WriteError::SessionClosed(CloseReason::Abandoned));
    assert_eq!(peer.stream(3).write(b"x"), refused);
    peer.expect_rest();
    assert!(peer.session.is_finished());
}

#[test]
fn a_session_that_is_over_owes_nothing_and_arms_no_timer_for_it() {
    let mut peer = with_streams(Config::default(), &[3]);
    peer.send(peer::data(3, b"little"));
    assert_eq!(peer.read(3).0, b"little");
    peer.session.abort(peer.now(), ErrorCode::INTERNAL, "");
    peer.receive();
    // The only deadline is that of the peer to end the transport.
    let linger = Config::default().linger_timeout();
    assert_eq!(peer.session.poll_timeout(), Some(peer.now() + linger));
}

#[test]
fn taking_nothing_leaves_nothing_to_do() {
    let mut peer = with_streams(Config::default(), &[3]);
    peer.stream(3).stop();
    assert!(!peer.session.wants_transmit());
    peer.expect_silence();
    assert_eq!(peer.session.poll_timeout(), None);
}

#[test]
fn a_stream_that_both_have_finished_leaves_its_place() {
    let config = Config::builder().max_outbound_streams(1).build().expect("valid");
    let mut peer = Peer::of_client(config);
    for id in [3, 5, 7] {
        assert_eq!(peer.open(), id);
        peer.write(id, b"?");
        peer.stream(id).finish().unwrap();
        peer.receive();
        peer.send(peer::fin(id));
        assert_eq!(peer.read(id), (Vec::new(), Ok(())));
        assert!(peer.session.can_open(), "stream {id} is over");
        peer.stream(id).release();
    }
}

#[test]
fn writers_wait_for_a_fair_part_of_the_sessions_buffer() {
    const BUFFER: u32 = 64 << 10;
    let config = Config::builder().session_send_buffer(BUFFER).send_buffer(BUFFER);
    let config = config.max_frame_size(4096).build().expect("valid");
    let mut peer = with_streams(config, &[3, 5]);
    peer.write(3, &vec![1; BUFFER as usize]);
    peer.write(5, &[2; 4096]);
    assert_eq!(peer.stream(5).write(b"x"), Err(WriteError::Blocked));
    let mut frames = 0;
    let mut told = Vec::new();
    while batch(&mut peer, 1) > 0 {
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
    peer.stream(3).set_priority(muxado_proto::Priority::HIGHEST);
    assert_eq!(peer.stream(5).write(b"x"), Err(WriteError::Blocked));
    let mut free = Vec::new();
    while batch(&mut peer, 1) > 0 {
        let left = peer.session.stats().send_buffered;
        let writable = peer.events().contains(&Event::Writable(peer.stream(5).id()));
        free.extend(writable.then(|| u64::from(BUFFER) - left));
    }
    assert_eq!(free, [u64::from(BUFFER / 2)]);
}

#[test]
fn a_refused_stream_is_answered_even_if_all_of_it_was_sent() {
    let mut peer = Peer::of_client(Config::default());
    assert_eq!(peer.open(), 3);
    peer.write(3, b"all");
    peer.stream(3).finish().unwrap();
    peer.receive();
    peer.send(peer::rst(3, ErrorCode::ACCEPT_QUEUE_FULL.0));
    peer.expect(&["RST id=3 code=4"]);
    // Once.
    peer.send(peer::rst(3, ErrorCode::ACCEPT_QUEUE_FULL.0));
    peer.expect_silence();
}

#[test]
fn what_a_finished_reader_leaves_unread_is_granted() {
    for (unread, answer) in [(&b"left"[..], &["WNDINC id=3 inc=4"][..]), (b"", &[])] {
        let mut peer = with_streams(Config::default(), &[3]);
        peer.stream(3).finish().unwrap();
        peer.expect(&["DATA id=3 len=0 FIN"]);
        if !unread.is_empty() {
            peer.send(peer::data(3, unread));
        }
        peer.stream(3).release();
        peer.expect(answer);
    }
}

#[test]
fn a_writer_is_told_when_half_of_its_buffer_is_free() {
    let config = Config::builder().send_buffer(64 << 10).max_frame_size(4096);
    let mut peer = with_streams(config.build().expect("valid"), &[3]);
    peer.write(3, &[0; 64 << 10]);
    assert_eq!(peer.stream(3).write(b"x"), Err(WriteError::Blocked));
    let mut left = Vec::new();
    while batch(&mut peer, 1) > 0 {
        let told = !peer.events().is_empty();
        left.extend(told.then(|| peer.stream(3).stats().send_buffered));
    }
    assert_eq!(left, [32 << 10]);
}

#[test]
fn a_large_payload_is_a_part_of_the_input() {
    for size in [512, 16 << 10] {
        let mut peer = with_streams(Config::default(), &[3]);
        let input = Bytes::from(peer::data(3, &vec![7; size]));
        peer.send_bytes(input.clone());
        let chunk = peer.stream(3).read_chunk(usize::MAX).expect("data").expect("data");
        assert_eq!((chunk.len(), chunk.as_ptr()), (size, input[8..].as_ptr()));
    }
}
