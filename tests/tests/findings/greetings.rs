//! Peers that do not match, and the messages that say so: T9 to T11, T16.

use muxado_proto::{Config, Event, Heartbeat, ReadError, Role, Warning};
use muxado_tests::peer::{self, Peer};

use crate::pair::{reason, seconds};

#[test]
fn t9_two_ends_of_one_role_are_told_so() {
    for role in [Role::Client, Role::Server] {
        let [mut one, mut other] = [0; 2].map(|_| Peer::of(role, Config::default()));
        let id = one.open();
        one.write(id, b"hello");
        other.send(one.receive_bytes());
        let what = reason(&other).to_string();
        let question = format!("are both ends {}s?", format!("{role:?}").to_lowercase());
        assert!(what.contains(&question), "{what}");
        one.send(other.receive_bytes());
        let error = one.stream(id).write(b"x").expect_err("it was not let in");
        assert!(error.to_string().contains(&question), "{error}");
        let (_, end) = one.read(id);
        let end = end.expect_err("it was not let in");
        assert!(end.to_string().contains(&question), "{end}");
        one.shut();
        one.receive();
        assert_eq!(end, ReadError::SessionClosed(reason(&one)));
    }
}

#[test]
fn t10_an_untyped_end_notices_a_typed_peer() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, &[0xff; 4]));
    peer.send(peer::data(3, b"beat"));
    let warning = Event::Warning(Warning::TypedPeer);
    assert!(peer.events().contains(&warning));
    // Others begin with four bytes, too.
    for (first, second) in [(&[0xff; 4], &b"beats"[..]), (&[0, 0, 0, 7], b"beat")] {
        let mut peer = Peer::of_server(Config::default());
        peer.send([peer::syn(3, first), peer::data(3, second)].concat());
        assert!(!peer.events().contains(&warning));
    }
    // The beat is on the same stream, and the type is all of the first frame.
    let mut peer = Peer::of_server(Config::default());
    peer.send([peer::syn(5, b""), peer::syn(3, &[0xff; 4]), peer::data(5, b"beat")].concat());
    assert!(!peer.events().contains(&warning));
    let mut peer = Peer::of_server(Config::default());
    let bytes = peer::syn(3, b"\xff\xff\xff\xffbeat");
    [&bytes[..12], &bytes[12..]].into_iter().for_each(|piece| peer.send(piece));
    assert!(!peer.events().contains(&warning));
}

#[test]
fn t10_the_end_of_a_silent_session_has_a_text() {
    let heartbeat = Some(Heartbeat::default());
    let config = Config::builder().typed(true).heartbeat(heartbeat).build().expect("valid");
    let mut peer = Peer::of_client(config);
    for _ in 0..40 {
        peer.pass(seconds(1));
        let said = peer.hear().join(" ");
        if let Some((_, text)) = said.split_once("GOAWAY last=0 code=13 text=") {
            assert!(text.contains("are both ends typed?"), "{text}");
            return;
        }
    }
    panic!("it goes on");
}

#[test]
fn t11_another_protocol_is_named_at_once_whichever_side_dialed() {
    let beginnings: [(&[u8], &str); 8] = [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\0\0\0\0", "TLS"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
        (b"SSH-2.0-OpenSSH_9.7\r\n", "SSH"),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 5000 443\r\n", "PROXY"),
        (b"\0\x01\0\x01\0\0\0\x01\0\x04\0\0", "yamux"),
        (&[0; 64], "zeros"),
    ];
    for (bytes, name) in beginnings {
        for role in [Role::Client, Role::Server] {
            for piece in [1, 3, bytes.len()] {
                let mut peer = Peer::of(role, Config::default());
                for bytes in bytes.chunks(piece) {
                    peer.send(bytes);
                }
                let end = reason(&peer).to_string();
                assert!(end.contains(name), "{end}");
                let said = peer.hear();
                assert!(said[0].starts_with("GOAWAY last=0 code=1 ") && said[0].contains(name));
            }
        }
    }
}

#[test]
fn t11_unknown_types_are_skipped_as_before() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::frame(7, 0, 0, b"what is this?"));
    assert_eq!(peer.events(), [Event::Warning(Warning::UnknownGreeting)]);
    peer.expect_alive(3);
    // A GOAWAY of zeros in pieces is not recognised as a beginning of zeros.
    let mut peer = Peer::of_server(Config::default());
    let bytes = peer::go_away(0, 0, &[0; 20]);
    peer.send(&bytes[..8]);
    for byte in &bytes[8..] {
        peer.send([*byte]);
    }
    assert_eq!(peer.session.close_reason(), None);
}

#[test]
fn t16_a_reader_that_has_stopped_is_told_that() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b"hello"));
    let id = peer.accept();
    peer.stream(id).stop();
    assert_eq!(peer.read(id), (Vec::new(), Err(ReadError::Stopped)));
    assert_eq!(ReadError::Stopped.to_string(), "this side has stopped reading the stream");
    peer.send(peer::fin(3));
    assert_eq!(peer.read(id).1, Err(ReadError::Stopped));
}
