//! What was promised is kept.

use muxado_proto::Config;
use muxado_tests::peer::{self, Peer};

/// Uploads of 200 kB each within their windows, and a reader that comes when all have arrived.
fn uploads_with_a_late_reader(streams: u32) {
    const UPLOAD: usize = 200_000;
    let mut peer = Peer::of_server(Config::default());
    let ids = || (0..streams).map(|n| 3 + 2 * n);
    let payload = |id: u32| vec![u8::try_from(id % 251).expect("small"); UPLOAD];
    for id in ids() {
        peer.send(peer::syn(id, &[]));
    }
    for id in ids() {
        peer.send(peer::data(id, &payload(id)));
        peer.send(peer::fin(id));
    }
    peer.expect_silence();
    for id in ids() {
        assert_eq!(peer.accept(), id);
        let (bytes, end) = peer.read(id);
        assert!(bytes == payload(id), "stream {id} has lost something");
        end.expect("a clean end");
        peer.stream(id).finish();
        peer.stream(id).release();
    }
    let answers = peer.hear();
    assert!(answers.iter().all(|frame| frame.ends_with("len=0 FIN")), "{answers:?}");
    assert_eq!(answers.len(), streams as usize);
}

#[test]
fn l4_three_hundred_uploads_with_a_late_reader() {
    uploads_with_a_late_reader(300);
}

#[test]
fn l4_six_hundred_uploads_with_a_late_reader() {
    uploads_with_a_late_reader(600);
}

#[test]
fn l4_a_thousand_uploads_with_a_late_reader() {
    uploads_with_a_late_reader(1000);
}

#[test]
fn l4_windows_that_have_grown_take_nothing_from_streams_that_come_later() {
    // Few streams, and a budget for growth that they all compete for.
    let config = Config::builder()
        .max_inbound_streams(8)
        .max_outbound_streams(8)
        .session_receive_buffer(23 * 262_144);
    let mut peer = Peer::of_server(config.build().expect("valid"));
    peer.send(peer::syn(3, &[]));
    assert_eq!(peer.accept(), 3);
    for _ in 0..20 {
        let credit = peer.stream(3).stats().receive_credit;
        peer.send(peer::data(3, &vec![0; credit as usize]));
        assert_eq!(peer.read(3).0.len(), credit as usize);
        peer.receive();
    }
    let grown = peer.session.stats().window_growth;
    assert!((1..=2 * 262_144).contains(&grown), "{grown}");
    for n in 1..8 {
        let id = 3 + 2 * n;
        peer.send(peer::syn(id, &[]));
        assert_eq!(peer.accept(), id);
    }
    for n in 0..8 {
        let id = 3 + 2 * n;
        let credit = peer.stream(id).stats().receive_credit;
        peer.send(peer::data(id, &vec![0; credit as usize]));
    }
    peer.expect_silence();
}
