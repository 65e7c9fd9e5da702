//! Streams with a type.

use std::time::Duration;

use muxado_proto::{Config, Event, OpenError, StreamId, StreamType};
use muxado_tests::peer::{self, Peer};

fn server() -> Peer {
    Peer::of_server(Config::builder().typed(true).build().expect("valid"))
}

#[test]
fn a_stream_is_accepted_with_its_type() {
    let mut peer = server();
    peer.send(peer::syn(3, &[0, 0, 0, 42]));
    assert_eq!(peer.events(), [Event::Acceptable]);
    let id = peer.accept();
    assert_eq!(peer.stream(id).stream_type(), Some(StreamType(42)));
    peer.send(peer::data_fin(3, b"request"));
    assert_eq!(peer.read(id), (b"request".to_vec(), Ok(())));
    // The acceptor sends no type.
    peer.write(id, b"reply");
    let frames = peer.receive();
    assert_eq!(frames.last().map(|frame| frame.payload.as_slice()), Some(&b"reply"[..]));
}

#[test]
fn a_type_arrives_in_any_pieces() {
    let bytes = [1, 2, 3, 4, b'd', b'a', b't', b'a'];
    for first in 0..=8 {
        for second in first..=8 {
            let mut peer = server();
            peer.send(peer::syn(3, &bytes[..first]));
            peer.send(peer::data(3, &bytes[first..second]));
            peer.send(peer::data_fin(3, &bytes[second..]));
            let id = peer.accept();
            assert_eq!(peer.stream(id).stream_type(), Some(StreamType(0x0102_0304)));
            assert_eq!(peer.read(id), (b"data".to_vec(), Ok(())), "{first} {second}");
        }
    }
}

#[test]
fn nothing_is_told_of_a_stream_before_its_type_is_there() {
    let mut peer = server();
    peer.send(peer::syn(3, b"\0\0\0"));
    assert_eq!(peer.events(), []);
    peer.send(peer::rst(3, 6));
    assert_eq!(peer.events(), []);
    assert_eq!(peer.session.accept(), None);
}

#[test]
fn the_bytes_of_the_type_cost_credit_and_are_granted_back() {
    let mut peer = server();
    peer.send(peer::syn(3, &[0, 0, 0, 1]));
    let id = peer.accept();
    assert_eq!(peer.stream(id).stats().receive_credit, 262_140);
    peer.receive();
    peer.pass(Duration::from_millis(5));
    peer.expect(&["WNDINC id=3 inc=4"]);

    let mut peer = Peer::of_client(Config::builder().typed(true).build().expect("valid"));
    let id = peer.session.open_typed(StreamType(1)).expect("open").get();
    peer.receive();
    assert_eq!(peer.stream(id).stats().send_credit, 262_140);
}

#[test]
fn streams_are_accepted_in_the_order_of_their_types() {
    let mut peer = server();
    for id in [3, 5, 7] {
        peer.send(peer::syn(id, b"\0\0\0"));
    }
    for id in [5, 7, 3] {
        peer.send(peer::data(id, b"\x01"));
    }
    assert_eq!([peer.accept(), peer.accept(), peer.accept()], [5, 7, 3]);
}

#[test]
fn a_late_type_has_its_time_from_the_syn() {
    let mut peer = server();
    peer.send(peer::syn(3, b""));
    peer.pass(Duration::from_secs(4));
    peer.send(peer::syn(5, b""));
    peer.pass(Duration::from_secs(4));
    peer.send(peer::data(3, b"\0\0\0"));
    peer.pass(Duration::from_secs(2));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=6"));
    peer.pass(Duration::from_millis(3999));
    peer.expect_silence();
    peer.pass(Duration::from_millis(1));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=5 code=6"));
    peer.expect_rest();
}

#[test]
fn typed_and_untyped_do_not_mix() {
    let mut peer = server();
    assert_eq!(peer.session.open(), Err(OpenError::WrongType));
    let mut peer = Peer::of_server(Config::default());
    assert_eq!(peer.session.open_typed(StreamType(1)), Err(OpenError::WrongType));
}

#[test]
fn the_window_of_a_typed_session_has_room_for_the_type() {
    assert!(Config::builder().typed(true).send_window(3).build().is_err());
    assert!(Config::builder().typed(true).send_window(4).build().is_ok());
    assert!(Config::builder().typed(false).send_window(3).build().is_ok());
}

/// Data in one piece with its type was not reported as readable.
#[test]
fn data_behind_a_type_is_reported() {
    let frame = peer::syn(3, b"\0\0\0\x2adata");
    let readable = |cuts: &[&[u8]]| {
        let config = Config::builder().typed(true).build().expect("valid");
        let mut peer = Peer::of_server(config);
        for cut in cuts {
            peer.send(cut);
        }
        assert_eq!(peer.events(), [Event::Acceptable]);
        peer.accept();
        peer.events().contains(&Event::Readable(StreamId::new(3)))
    };
    assert!(readable(&[&frame[..12], &frame[12..]]));
    assert!(readable(&[&frame]));
}

#[test]
fn names_and_numbers_convert() {
    use muxado_proto::{StreamId, Warning};
    assert_eq!(u32::from(StreamType::from(7)), 7);
    assert_eq!(StreamType(7).to_string(), "0x00000007");
    assert_eq!((u32::from(StreamId::new(9)), StreamId::new(9).to_string()), (9, "9".to_owned()));
    assert!(Warning::TypedPeer.to_string().contains("typed"));
    assert!(Warning::UnknownGreeting.to_string().contains("unknown type"));
}

/// The first frame of a stream that is refused may contain its type in pieces, and more.
#[test]
fn a_stream_that_is_refused_by_its_type_is_refused_once() {
    let config = Config::builder().typed(true).max_inbound_streams(1).build().expect("valid");
    let mut peer = Peer::of_server(config);
    peer.send(peer::syn(3, &[0, 0, 0, 7]));
    let bytes = peer::syn(5, &[0, 0, 0, 7, 1, 2, 3, 4]);
    bytes.chunks(3).for_each(|piece| peer.send(piece));
    peer.expect(&["RST id=5 code=5"]);
    assert_eq!(peer.session.stats().streams_refused, 1);
}

/// What is still collected when nobody accepts may be a heartbeat; at the end it is refused.
#[test]
fn a_stream_without_its_type_is_refused_at_the_end_only() {
    let mut peer = Peer::of_server(Config::builder().typed(true).build().expect("valid"));
    peer.send(peer::syn(3, b"ab"));
    peer.session.set_accepting(false);
    peer.expect_silence();
    let now = peer.now();
    peer.session.close(now, muxado_proto::ErrorCode::NO_ERROR, "");
    assert!(peer.hear().contains(&"RST id=3 code=5".to_owned()));
}
