//! Too many streams, too often, and with invalid ids.

use bytes::Buf;
use muxado_proto::{Config, Event, Role, Session, Timestamp, Transmit};
use muxado_tests::peer::{self, Peer};

use crate::meter::Meter;

#[test]
fn stream_flood_beyond_the_backlog() {
    let meter = Meter::start();
    let config = Config::builder().accept_backlog(128).build().expect("valid");
    let mut peer = Peer::of_server(config);
    let mut id = 1;
    meter.assert_flat(100, 256 << 10, |_| {
        for _ in 0..1000 {
            id += 2;
            peer.send(peer::syn(id, b"x"));
        }
        let answers = peer.hear();
        assert!(answers.iter().all(|frame| frame.ends_with(" code=9")));
        assert!(answers.len() >= 1000 - 128);
    });
    assert_eq!(peer.session.stats().backlog, 128);
    assert_eq!(peer.session.close_reason(), None);
    // The streams in the backlog are served normally.
    assert_eq!(peer.accept(), 3);
    assert_eq!(peer.read(3).0, b"x");
    peer.expect_alive(id + 2);
}

#[test]
fn stream_flood_beyond_the_concurrent_streams() {
    let _meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    for n in 0..1024 {
        peer.send(peer::syn(3 + 2 * n, b"x"));
        peer.accept();
    }
    peer.expect_silence();
    for n in 1024..2000 {
        let id = 3 + 2 * n;
        peer.send(peer::syn(id, b"x"));
        peer.expect(&[&format!("RST id={id} code=5")]);
    }
    // A place is free when the stream has ended both ways.
    peer.stream(3).release();
    peer.send(peer::fin(3));
    peer.receive();
    peer.expect_alive(9999);
}

/// The peer never ends a stream that was answered and dropped here.
#[test]
fn streams_that_the_peer_never_ends() {
    let meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    let mut id = 1;
    meter.assert_flat(1000, 256 << 10, |_| {
        for _ in 0..1000 {
            id += 2;
            peer.send(peer::syn(id, b"?"));
            if peer.session.accept().is_some() {
                peer.write(id, b"answer");
                peer.stream(id).release();
            }
        }
        let refused = |frame: &String| frame.starts_with("RST ") && !frame.ends_with(" code=5");
        assert!(!peer.hear().iter().any(refused));
    });
    assert_eq!(peer.session.stats().given_up_streams, 1024);
    assert_eq!(peer.session.close_reason(), None);
    // After a time they are reset, and others are admitted.
    peer.pass(Config::default().given_up_timeout());
    let told = peer.hear().iter().filter(|frame| frame.ends_with(" code=4")).count();
    assert_eq!((told, peer.session.stats().open_streams), (1024, 0));
    peer.expect_alive(id + 2);
}

#[test]
fn duplicate_syn() {
    let _meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b"x"));
    peer.accept();
    peer.send(peer::syn(3, b"y").repeat(100));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=1"));
    assert_eq!(peer.session.accept(), None);
    peer.expect_alive(5);
}

#[test]
fn reused_syn() {
    let _meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    // Finished by both; reset by the peer; with an expired tombstone.
    for n in 0..3000 {
        peer.send(peer::syn_fin(3 + 2 * n, b""));
        let id = peer.accept();
        peer.stream(id).release();
        peer.receive();
    }
    for id in [3, 5, 3001, 6001] {
        peer.send(peer::syn(id, b"again"));
        peer.expect(&[&format!("RST id={id} code=1")]);
        // Once.
        peer.send(peer::data(id, b"more"));
        peer.send(peer::syn(id, b"again"));
        peer.expect_silence();
    }
    assert_eq!(peer.session.accept(), None);
    peer.expect_alive(6003);
}

#[test]
fn reused_syn_flood_ends_the_session() {
    let _meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    for n in 0..200 {
        peer.send(peer::syn_fin(3 + 2 * n, b""));
        let id = peer.accept();
        peer.stream(id).release();
    }
    peer.receive();
    peer.send((0..101).flat_map(|n| peer::syn(3 + 2 * n, b"")).collect::<Vec<_>>());
    peer.expect_session_error(10);
}

#[test]
fn gap_bomb() {
    let meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    let mut id = 1u32;
    // Every second id, a million times: as many gaps as can be.
    meter.assert_flat(1000, 256 << 10, |_| {
        for _ in 0..1000 {
            id += 4;
            peer.send(peer::syn_fin(id, b""));
            let id = peer.accept();
            peer.stream(id).release();
            peer.receive();
        }
    });
    assert_eq!(peer.session.close_reason(), None);
    // The latest gaps are open, the oldest are not.
    peer.expect_alive(id - 2);
    peer.send(peer::syn(7, b""));
    peer.expect(&["RST id=7 code=1"]);
}

#[test]
fn id_exhaustion_by_the_peer() {
    let _meter = Meter::start();
    let mut peer = Peer::of_server(Config::default());
    for id in [0x7fff_fffb, 0x7fff_fffd, 0x7fff_ffff] {
        peer.expect_alive(id);
    }
    // There is no id above it: with the top bit masked this one is used, or it is 1.
    peer.send(peer::syn(0xffff_ffff, b""));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=2147483647 code=1"));
    peer.expect_alive(0x8000_0001 & 0x7fff_ffff);
    let now = peer.now();
    peer.session.go_away(now, 0.into(), "");
    assert_eq!(peer.hear()[0], "GOAWAY last=2147483647 code=0 text=\"\"");
}

#[test]
fn data_on_ids_this_side_will_open() {
    let _meter = Meter::start();
    let mut peer = Peer::of_client(Config::default());
    // The peer sends on stream 3 before it exists, and then makes its tombstone expire.
    peer.send(peer::data(3, b"?"));
    peer.expect(&["RST id=3 code=4"]);
    assert_eq!(peer.open(), 3);
    peer.write(3, b"hello");
    peer.expect(&["DATA id=3 len=5 SYN"]);
    for n in 0..3000 {
        peer.send(peer::syn_fin(2 + 2 * n, b""));
        let id = peer.accept();
        peer.stream(id).reset(6.into());
        peer.stream(id).release();
        peer.receive();
    }
    peer.send(peer::data(3, b"reply"));
    assert_eq!(peer.read(3).0, b"reply");
    peer.stream(3).release();
    assert_eq!(peer.hear().last().map(String::as_str), Some("DATA id=3 len=0 FIN"));
    peer.send(peer::fin(3));
    assert_eq!(peer.session.stats().open_streams, 0);
}

/// The output and the events of a session that gets `input` in pieces of `size`.
fn play(key: u8, input: &[u8], size: usize) -> (Vec<u8>, Vec<Event>) {
    let now = Timestamp::ZERO;
    let mut session = Session::new(Role::Server, Config::default().into(), now, [key; 16].into());
    let (mut out, mut events) = (Transmit::new(), Vec::new());
    for piece in input.chunks(size) {
        session.handle_slice(now, piece);
        while session.poll_transmit(now, &mut out, 4096) > 0 {}
        events.extend(std::iter::from_fn(|| session.poll_event()));
        while let Some(id) = session.accept() {
            if id.get() % 3 == 0 {
                session.stream(id).expect("accepted just now").reset(6.into());
            }
        }
    }
    (out.copy_to_bytes(out.remaining()).to_vec(), events)
}

#[test]
fn adversarial_ids_and_nondeterminism() {
    let _meter = Meter::start();
    // Ids at every stride that could be bad for a hash table of any size.
    let strides = (1..31).map(|bits| 1u32 << bits);
    let ids =
        strides.flat_map(|stride| (0..40).map(move |n| (stride.wrapping_mul(n) & 0x7fff_ffff) | 1));
    let input: Vec<u8> = ids
        .flat_map(|id| [peer::syn(id, b"ab"), peer::data(id, b"c"), peer::wnd_inc(id, 1)].concat())
        .collect();
    let (said, events) = play(7, &input, 1000);
    assert!(!said.is_empty() && !events.is_empty());
    assert_eq!(play(7, &input, 1000), (said.clone(), events));
    // Nor does it depend on the seed of the hash.
    assert_eq!(play(8, &input, 1000).0, said);
}
