//! What a session has to send: how long a batch is, and when nothing is left.

use std::time::Duration;

use bytes::Buf;
use muxado_proto::{Config, ErrorCode, Transmit};
use muxado_tests::peer::{self, Peer};

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
        let mut peer = Peer::with_streams(Config::default(), &ids);
        ids.into_iter().for_each(|id| work(&mut peer, id));
        assert_eq!(peer.batch(0), 0);
        // Frames of 12 bytes: what is begun is finished.
        assert_eq!(peer.batch(12), 12);
        assert_eq!(peer.batch(13), 24);
        assert_eq!(peer.batch(100), 0);
    }
}

#[test]
fn taking_nothing_leaves_nothing_to_do() {
    let mut peer = Peer::with_streams(Config::default(), &[3]);
    peer.stream(3).stop();
    assert!(!peer.session.wants_transmit());
    peer.expect_silence();
    assert_eq!(peer.session.poll_timeout(), None);
}

/// The RST of a stream found to have stalled too long waited for the next thing to send.
#[test]
fn nothing_is_left_to_send_when_poll_transmit_returns_0() {
    let limit = Duration::from_secs(30);
    let config =
        Config::builder().send_window(1000).stream_stall_timeout(Some(limit)).build().expect("ok");
    let mut peer = Peer::of_client(config);
    let id = peer.open();
    peer.write(id, &[0; 5000]);
    peer.receive();
    peer.pass(Duration::from_secs(29));
    peer.send(peer::wnd_inc(id, 100));
    peer.pass(Duration::from_secs(2));
    let (now, mut out) = (peer.now(), Transmit::new());
    while peer.session.poll_transmit(now, &mut out, 108) > 0 {
        out.advance(out.remaining());
    }
    assert!(!peer.session.wants_transmit());
    peer.expect_silence();
}
