//! What heartbeats and `Debug` output tell about the secret and the payload: nothing.

use std::collections::HashSet;
use std::fmt::Debug;

use bytes::Bytes;
use muxado_proto::decode::Decoder;
use muxado_proto::{Config, Role, Transmit};
use muxado_tests::peer::{self, Peer};

/// A payload that no message contains by chance.
pub const PAYLOAD: &[u8] = b"xyzzy-plugh-xyzzy";

/// Asserts that the `Debug` output of a value contains no payload, in any notation.
#[track_caller]
pub fn shows_no_payload(value: &dyn Debug) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        let dense: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        assert!(!text.contains("xyzzy"), "{text}");
        // `x`, `y`, `z` as a list of numbers, in decimal and in hexadecimal.
        assert!(!dense.contains("120,121,122"), "{text}");
        assert!(!dense.to_lowercase().contains("78797a"), "{text}");
    }
}

#[test]
fn s3_debug_shows_no_payload() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, PAYLOAD));
    let large = Bytes::from(PAYLOAD.repeat(1000));
    peer.send_bytes(peer::data(3, &large).into());
    assert_eq!(peer.accept(), 3);
    let mut stream = peer.stream(3);
    stream.write(PAYLOAD).expect("room");
    stream.write_chunk(&mut large.clone()).expect("room");
    shows_no_payload(&stream);
    shows_no_payload(&peer.session);
    let mut out = Transmit::new();
    peer.session.poll_transmit(peer.now(), &mut out, usize::MAX);
    assert!(out.len() > large.len());
    shows_no_payload(&out);
    // Bytes that were read and sent leave memory behind.
    peer.read(3).1.expect_err("it goes on");
    shows_no_payload(&peer.session);
    let mut decoder = Decoder::new(100);
    let frames = [peer::data(3, PAYLOAD), peer::header(20, 3, 0, 0).to_vec(), PAYLOAD.to_vec()];
    let bytes = frames.concat();
    let mut input = &bytes[..];
    while let Some(item) = decoder.decode(&mut input) {
        shows_no_payload(&item);
        shows_no_payload(&decoder);
    }
    shows_no_payload(&decoder);
}

/// The values of the first beats of a session with this key.
fn beats(key: [u8; 16]) -> Vec<Vec<u8>> {
    let config = Config::builder().typed(true).build().expect("valid");
    let mut peer = Peer::with_key(Role::Client, config, key.into());
    let mut values = Vec::new();
    for _ in 0..3 {
        peer.session.ping(peer.now()).expect("typed");
        let beat = peer.receive().pop().expect("a beat").payload;
        peer.send(peer::data(3, &beat));
        values.push(beat);
    }
    values
}

#[test]
fn s1_beats_of_keys_that_differ_in_one_bit_have_nothing_in_common() {
    let mut seen: HashSet<Vec<u8>> = beats([0; 16]).into_iter().collect();
    for bit in 0..128 {
        let mut key = [0; 16];
        key[bit / 8] = 1 << (bit % 8);
        for value in beats(key) {
            assert_eq!(value.len(), 4);
            assert!(seen.insert(value), "a beat of another key");
        }
    }
}

#[test]
fn s3_debug_shows_no_secret() {
    // Only a typed session has a key for its heartbeats.
    let config = Config::builder().typed(true).build().expect("valid");
    let mut peer = Peer::with_key(Role::Server, config, [0xab; 16].into());
    peer.send(peer::syn(3, b"\0\0\0\x07secret"));
    assert_eq!(peer.accept(), 3);
    for text in [format!("{:?}", peer.session), format!("{:?}", peer.stream(3))] {
        assert!(!text.contains("secret"), "{text}");
        assert!(text.contains("IdKey(..)") && text.contains("BeatKey(..)"), "{text}");
    }
}
