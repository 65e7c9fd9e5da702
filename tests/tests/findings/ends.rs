//! The reported end of a session: T1 to T4, T8.

use std::error::Error as _;
use std::io;

use muxado_proto::{CloseReason, Config, CutBy, ErrorCode, ReadError, Transmit, WriteError};
use muxado_tests::peer::{self, Peer};

use crate::pair::{NO_ERROR, PAD, Pair, broken, cut, reason, remote, seconds};

/// Writes as much of `data` as is taken.
fn write_some(peer: &mut Peer, id: u32, data: &[u8]) -> usize {
    match peer.stream(id).write(data) {
        Ok(count) => count,
        Err(WriteError::Blocked) => 0,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn t1_a_close_that_cuts_says_so_at_both_ends() {
    let mut pair = Pair::at_defaults();
    let id = pair.stream();
    let data = vec![7; 500_000];
    let mut sent = 0;
    while sent < data.len() {
        sent += write_some(&mut pair.client, id, &data[sent..]);
        pair.settle();
    }
    pair.client.stream(id).finish().expect("it is open");
    pair.close_client();
    // The server never reads.
    pair.pass(seconds(9));
    assert_eq!(pair.client.session.close_reason(), None);
    pair.pass(seconds(2));
    pair.settle_to_the_end();
    assert_eq!(reason(&pair.client), cut(1, CutBy::Time));
    assert_eq!(pair.client.session.stats().streams_cut, 1);
    let told = remote(ErrorCode::WRITE_TIMEOUT, "1 stream was cut: not finished in time");
    assert_eq!(reason(&pair.server), told);
    // The received bytes are read, and do not count as complete.
    let (bytes, end) = pair.server.read(id);
    assert!(bytes.len() < data.len());
    assert_eq!(end, Err(ReadError::SessionClosed(told)));
}

#[test]
fn t1_the_second_go_away_has_its_pad() {
    let mut peer = Peer::of_client(Config::default());
    let ids = [peer.open(), peer.open()];
    for id in ids {
        peer.write(id, b"request");
    }
    peer.session.close(peer.now(), ErrorCode(77), "bye");
    peer.receive();
    peer.pass(seconds(1));
    peer.expect(&["GOAWAY last=0 code=77 text=\"bye\"", PAD]);
    peer.pass(seconds(10));
    peer.expect(&["GOAWAY last=0 code=13 text=\"2 streams were cut: not finished in time\"", PAD]);
    assert_eq!(reason(&peer), CloseReason::Local { code: ErrorCode(77) });
    assert_eq!(peer.session.stats().streams_cut, 2);
}

/// A client that sends `size` bytes and closes, and a server that reads `step` bytes per second.
fn upload_to_a_slow_reader(size: usize, step: usize) -> (Pair, usize, u32) {
    let mut pair = Pair::at_defaults();
    let id = pair.stream();
    let data = vec![7; size];
    let (mut sent, mut read, mut time) = (0, 0, 0);
    let mut closed = false;
    while pair.client.session.close_reason().is_none() && time < 1000 {
        if sent < data.len() {
            sent += write_some(&mut pair.client, id, &data[sent..]);
        } else {
            pair.client.stream(id).finish().expect("it is open");
        }
        if !closed {
            closed = true;
            pair.close_client();
        }
        pair.settle();
        let mut buffer = vec![0; step];
        read += match pair.server.stream(id).read(&mut buffer) {
            Ok(count) => count,
            Err(error) => panic!("{error} after {read} bytes"),
        };
        if read == data.len() {
            pair.server.stream(id).finish().expect("it is open");
        }
        pair.pass(seconds(1));
        time += 1;
    }
    pair.settle_to_the_end();
    (pair, read, time)
}

#[test]
fn t2_a_drain_that_makes_progress_goes_on() {
    let (pair, read, time) = upload_to_a_slow_reader(3_000_000, 100_000);
    assert_eq!(read, 3_000_000);
    assert!(time > 25, "it took {time} s");
    assert!(reason(&pair.client).is_clean(), "{}", reason(&pair.client));
    assert!(reason(&pair.server).is_clean(), "{}", reason(&pair.server));
}

#[test]
fn t2_a_drain_that_takes_too_long_is_cut_and_says_so() {
    let (pair, _, time) = upload_to_a_slow_reader(10_000_000, 20_000);
    assert!((300..310).contains(&time), "it took {time} s");
    assert_eq!(reason(&pair.client), cut(1, CutBy::Time));
    assert!(!reason(&pair.server).is_clean());
}

/// A client with one stream that the peer does not finish, closing.
fn closing_client(config: Config) -> Peer {
    let mut peer = Peer::of_client(config);
    let id = peer.open();
    peer.write(id, b"request");
    peer.stream(id).finish().expect("it is open");
    peer.receive();
    peer.session.close(peer.now(), NO_ERROR, "");
    peer
}

#[test]
fn t3_a_transport_that_fails_while_a_close_drains_is_no_clean_end() {
    let mut peer = closing_client(Config::default());
    let error = broken();
    peer.session.handle_transport_error(peer.now(), error.clone());
    assert_eq!(reason(&peer), cut(1, CutBy::TransportError(error)));
    assert!(peer.session.is_finished());
}

#[test]
fn t3_a_transport_that_ends_while_a_close_drains_is_no_clean_end() {
    let mut peer = closing_client(Config::default());
    peer.shut();
    assert_eq!(reason(&peer), cut(1, CutBy::TransportEof));
    // Within a frame of a stream that was about to arrive.
    let mut peer = Peer::of_client(Config::default());
    peer.send(&peer::syn(2, b"data")[..5]);
    peer.session.close(peer.now(), NO_ERROR, "");
    peer.shut();
    assert_eq!(reason(&peer), CloseReason::TransportEof);
}

#[test]
fn t3_a_transport_that_stalls_while_a_close_drains_is_no_clean_end() {
    let config = Config::builder().drain_timeout(seconds(100)).build().expect("valid");
    let mut peer = Peer::of_client(config);
    let id = peer.open();
    peer.write(id, b"request");
    peer.stream(id).finish().expect("it is open");
    let mut out = Transmit::new();
    assert!(peer.session.poll_transmit(peer.now(), &mut out, 1000) > 0);
    peer.session.close(peer.now(), NO_ERROR, "");
    peer.pass(seconds(30));
    assert_eq!(reason(&peer), cut(1, CutBy::WriteStalled));
}

#[test]
fn t3_what_the_transport_has_not_taken_is_cut() {
    for taken in [false, true] {
        let mut peer = Peer::of_client(Config::default());
        let id = peer.open();
        peer.write(id, b"request");
        peer.receive();
        peer.send(peer::fin(id));
        peer.session.close(peer.now(), NO_ERROR, "");
        peer.stream(id).finish().expect("it is open");
        // The FIN, and with it the end of the stream, is in a batch that may or may not be sent.
        let mut out = Transmit::new();
        assert!(peer.session.poll_transmit(peer.now(), &mut out, 1000) > 0);
        assert_eq!(peer.session.close_reason(), None);
        if taken {
            peer.expect(&["GOAWAY last=0 code=0 text=\"\"", PAD, PAD]);
        }
        let error = broken();
        peer.session.handle_transport_error(peer.now(), error.clone());
        let expected = if taken {
            CloseReason::Local { code: NO_ERROR }
        } else {
            cut(1, CutBy::TransportError(error))
        };
        assert_eq!(reason(&peer), expected);
    }
}

#[test]
fn t3_a_reset_or_nonsense_behind_the_go_away_is_quiet_when_nothing_is_open() {
    let ends: [fn(&mut Peer); 4] = [
        |peer| peer.session.handle_transport_error(peer.now(), broken()),
        |peer| peer.send(peer::header(9, 2, 0, 7)),
        |peer| {
            peer.send([0, 0, 9]);
            peer.shut();
            peer.receive();
        },
        |peer| {
            peer.send([0, 0, 9]);
            peer.pass(seconds(40));
        },
    ];
    for (number, end) in ends.into_iter().enumerate() {
        for open in [false, true] {
            let mut peer = Peer::of_client(Config::default());
            if open {
                let id = peer.open();
                peer.write(id, b"request");
            }
            peer.receive();
            peer.send(peer::go_away(3, 0, b"bye"));
            end(&mut peer);
            let end = reason(&peer);
            assert_eq!(end == remote(NO_ERROR, "bye"), !open, "{number}: {end}");
            assert_eq!(end.is_clean(), !open, "{number}: {end}");
        }
    }
}

#[test]
fn t4_a_later_go_away_makes_the_reason_worse() {
    let mut pair = Pair::at_defaults();
    pair.stream();
    let now = pair.server.now();
    pair.server.session.go_away(now, NO_ERROR, "bye");
    pair.settle();
    pair.server.session.abort(now, ErrorCode::INTERNAL, "disk full");
    pair.settle_to_the_end();
    assert_eq!(reason(&pair.client), remote(ErrorCode::INTERNAL, "disk full"));
    assert_eq!(reason(&pair.server), CloseReason::Local { code: ErrorCode::INTERNAL });
}

#[test]
fn t4_no_go_away_counts_after_our_close_was_flushed() {
    let mut peer = Peer::of_client(Config::default());
    peer.session.close(peer.now(), NO_ERROR, "");
    peer.expect(&["GOAWAY last=0 code=0 text=\"\"", PAD, PAD]);
    peer.events();
    peer.send(peer::go_away(0, 2, b"disk full"));
    assert_eq!(reason(&peer), CloseReason::Local { code: NO_ERROR });
    assert_eq!(peer.session.received_go_away(), None);
    assert_eq!(peer.events(), []);
}

#[test]
fn t8_the_error_of_the_transport_is_in_the_chain() {
    let mut peer = Peer::of_client(Config::default());
    let id = peer.open();
    peer.write(id, b"request");
    peer.session.handle_transport_error(peer.now(), broken());
    let error = peer.stream(id).write(b"x").expect_err("the session is over");
    let source = error.source().and_then(|reason| reason.source()).expect("a cause");
    let cause = source.downcast_ref::<io::Error>().expect("an io::Error");
    assert_eq!(cause.kind(), io::ErrorKind::ConnectionReset);
    assert!(error.to_string().contains("reset"), "{error}");
}
