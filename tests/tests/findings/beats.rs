//! Heartbeats, and the silence that they find.

mod lanes;

use std::time::Duration;

use muxado_proto::{CloseReason, Config, Event, Heartbeat, StreamType};
use muxado_tests::peer::{self, Peer};
use muxado_tests::vectors::Frame;

use lanes::Lanes;

fn heartbeat() -> Config {
    let config = Config::builder().typed(true).heartbeat(Some(Heartbeat::default()));
    config.build().expect("valid")
}

/// Bytes per second, from a bad mobile link to a fast local one.
const RATES: [u64; 6] = [5_000, 17_000, 125_000, 1_000_000, 125_000_000, 1_000_000_000];

/// Bytes that the transport swallows.
const QUEUES: [usize; 5] = [4 << 10, 16 << 10, 64 << 10, 1 << 20, 4 << 20];

/// Every link of the grid.
fn links() -> impl Iterator<Item = (u64, usize)> {
    RATES.into_iter().flat_map(|rate| QUEUES.into_iter().map(move |queue| (rate, queue)))
}

#[test]
fn l8_an_upload_outlives_its_heartbeats_on_every_link() {
    const TIME: Duration = Duration::from_secs(200);
    for (rate, queue) in links() {
        let mut lanes = Lanes::new(heartbeat(), rate, queue);
        let total = (32 << 20).min(rate * 1000);
        lanes.upload(total);
        lanes.run(TIME);
        assert_eq!(lanes.client.session.close_reason(), None, "{rate} B/s, {queue} B");
        assert_eq!(lanes.server.session.close_reason(), None, "{rate} B/s, {queue} B");
        // If the queue holds less than the bytes in flight, the queue is the bottleneck.
        let carried = rate.min(queue as u64 * 200) * TIME.as_secs() * 8 / 10;
        let expected = total.min(carried);
        assert!(lanes.received >= expected, "{rate} B/s, {queue} B: {}", lanes.received);
    }
}

/// The server's application does not read, so nothing is granted: only the heartbeat comes back,
/// and only when everything before it has arrived.
fn swallowed(streams: u64, rate: u64, queue: usize) -> Lanes {
    let mut lanes = Lanes::new(heartbeat(), rate, queue);
    lanes.reads = false;
    lanes.run(Duration::from_secs(1));
    for _ in 0..streams {
        lanes.upload(1 << 20);
    }
    lanes.run(Duration::from_secs(1200));
    lanes
}

#[test]
fn l8_a_window_that_a_queue_has_swallowed_delays_the_heartbeat() {
    for (rate, queue) in links() {
        let lanes = swallowed(1, rate, queue);
        assert_eq!(lanes.client.session.close_reason(), None, "{rate} B/s, {queue} B");
        assert!(lanes.client.session.stats().beats_returned > 1);
    }
}

/// If data is in transit for longer than five tolerances without a sign of life, a heartbeat at its
/// defaults cannot distinguish the peer from a dead one.
#[test]
fn l8_the_links_on_which_a_silent_peer_is_taken_for_dead_are_these() {
    let mut beyond = Vec::new();
    for (rate, queue) in links() {
        let lanes = swallowed(16, rate, queue);
        match lanes.client.session.close_reason() {
            None => {}
            Some(CloseReason::HeartbeatTimeout) => beyond.push((rate, queue)),
            other => panic!("{rate} B/s, {queue} B: {other:?}"),
        }
    }
    assert_eq!(beyond, [(5_000, 1 << 20), (5_000, 4 << 20), (17_000, 4 << 20)]);
}

#[test]
fn l8_a_peer_that_falls_silent_is_found_in_time() {
    let found = Heartbeat::default().interval + Heartbeat::default().tolerance;
    for (rate, queue) in links() {
        for millis in [0, 4_321] {
            let mut lanes = Lanes::new(heartbeat(), rate, queue);
            lanes.upload((4 << 20).min(rate * 30));
            while !lanes.is_written() {
                lanes.run(Duration::from_secs(10));
            }
            // Everything has arrived, and a heartbeat has come back since then.
            let drained = queue as u64 * 1000 / rate;
            lanes.run(Duration::from_millis(drained + 30_000 + millis));
            assert_eq!(lanes.client.session.close_reason(), None, "{rate} B/s, {queue} B");
            let silent = lanes.now;
            lanes.dead = true;
            lanes.run(Duration::from_secs(1000));
            let reason = lanes.client.session.close_reason();
            assert_eq!(reason, Some(&CloseReason::HeartbeatTimeout), "{rate} B/s, {queue} B");
            assert!(lanes.now - silent <= found, "{rate} B/s, {queue} B: {:?}", lanes.now - silent);
        }
    }
}

/// A peer that dies in the middle of an upload is detected when the queue is full, or when the
/// tolerance and its extension are over, whichever is first.
#[test]
fn l8_a_peer_that_dies_during_an_upload_is_found_all_the_same() {
    for (rate, queue) in links() {
        let mut lanes = Lanes::new(heartbeat(), rate, queue);
        lanes.upload(32 << 20);
        lanes.run(Duration::from_millis(3500));
        lanes.dead = true;
        let silent = lanes.now;
        lanes.run(Duration::from_secs(1000));
        assert!(lanes.client.session.close_reason().is_some(), "{rate} B/s, {queue} B");
        let limit = Duration::from_secs(10 + 5 * 15);
        assert!(lanes.now - silent <= limit, "{rate} B/s, {queue} B: {:?}", lanes.now - silent);
    }
}

/// Output that goes into free buffer space is no sign of life: an application that keeps writing
/// does not keep a dead peer alive.
#[test]
fn l8_a_writer_does_not_keep_a_dead_peer_alive() {
    let mut peer = Peer::of_client(heartbeat());
    peer.pass(Duration::ZERO);
    let beat = peer.receive().pop().expect("a beat").payload;
    peer.send(peer::data(3, &beat));
    let id = peer.session.open_typed(StreamType(1)).expect("open").get();
    let mut seconds = 0;
    while peer.session.close_reason().is_none() {
        peer.write(id, b"are you there?");
        peer.receive_bytes();
        peer.pass(Duration::from_secs(1));
        seconds += 1;
        assert!(seconds <= 26, "taken for alive");
    }
    assert_eq!(peer.session.close_reason(), Some(&CloseReason::HeartbeatTimeout));
}

#[test]
fn l8_a_frame_that_arrives_in_drops_is_no_sign_of_life_for_ever() {
    let mut peer = Peer::of_client(heartbeat());
    peer.pass(Duration::ZERO);
    peer.receive();
    peer.send(peer::header(1000, 1, 2, 2));
    let mut seconds = 0;
    while peer.session.close_reason().is_none() {
        peer.send([0]);
        peer.pass(Duration::from_secs(1));
        seconds += 1;
    }
    assert_eq!(seconds, 15, "one frame is one sign");
}

/// A session whose limits on the streams of the peer leave no room.
fn full(backlog: u32, inbound: u32) -> Peer {
    let config = Config::builder().typed(true).accept_backlog(backlog).max_inbound_streams(inbound);
    let mut peer = Peer::of_server(config.build().expect("valid"));
    for n in 0..backlog.min(inbound) {
        peer.send(peer::syn(101 + 2 * n, &[0, 0, 0, 1]));
    }
    peer.receive();
    peer
}

#[test]
fn l7_a_heartbeat_is_answered_whatever_the_backlog_and_the_stream_limit() {
    for (backlog, inbound, code) in [(2, 100, 9), (100, 2, 5), (100, 0, 5)] {
        let mut peer = full(backlog, inbound);
        let open = peer.session.stats().open_streams;
        peer.send(peer::syn(3, &[0xff; 4]));
        peer.send(peer::data(3, b"beat"));
        peer.expect(&["DATA id=3 len=4"]);
        peer.send(peer::syn(5, b"\xff\xff\xff\xffBEAT"));
        assert_eq!(peer.receive()[0].payload, b"BEAT");
        // Nothing else is admitted, and a type that is split in two is refused like any other.
        peer.send(peer::syn(7, &[0, 0, 0, 1]));
        peer.expect(&[&format!("RST id=7 code={code}")]);
        peer.send(peer::syn(9, &[0xff; 3]));
        peer.expect(&[&format!("RST id=9 code={code}")]);
        assert_eq!(peer.session.stats().open_streams, open);
        assert_eq!(peer.session.audit(), Ok(()));
    }
}

#[test]
fn l7_nothing_is_kept_of_a_stream_before_its_type_is_read() {
    let mut peer = full(100, 0);
    let syn = peer::syn(3, b"\xff\xff\xff\xffbe");
    for byte in &syn[..11] {
        peer.send([*byte]);
        assert_eq!(peer.session.audit(), Ok(()));
        assert_eq!(peer.session.stats().streams_accepted, 0);
    }
    peer.send(&syn[11..]);
    assert_eq!(peer.session.stats().streams_accepted, 1);
    peer.send(peer::data(3, b"at"));
    assert_eq!(peer.receive()[0].payload, b"beat");
    // Everything that it sends counts against its credit.
    let length = 262_144 - 4 - 2 - 2;
    let mut beats = Vec::new();
    for chunk in vec![0; length].chunks(64) {
        peer.send(peer::data(3, chunk));
        beats.extend(peer.receive());
        assert_eq!(peer.session.audit(), Ok(()));
    }
    assert!(beats.iter().any(|frame| frame.meaning().starts_with("WNDINC id=3")));
    // The time limit on a frame also limits the type.
    let mut peer = full(100, 0);
    peer.send(&syn[..10]);
    peer.pass(Duration::from_secs(30));
    assert_eq!(peer.session.close_reason(), Some(&CloseReason::FrameStalled));
}

#[test]
fn l7_responders_stay_few() {
    let mut peer = full(100, 0);
    for id in [3, 5, 7, 9, 11] {
        peer.send(peer::syn(id, b"\xff\xff\xff\xffbeat"));
    }
    peer.expect(&[
        "RST id=11 code=5",
        "DATA id=3 len=4",
        "DATA id=5 len=4",
        "DATA id=7 len=4",
        "DATA id=9 len=4",
    ]);
    peer.send(peer::fin(5));
    peer.expect(&["DATA id=5 len=0 FIN"]);
    peer.send(peer::syn_fin(13, b"\xff\xff\xff\xffbeat"));
    peer.expect(&["DATA id=13 len=4 FIN"]);
    peer.send(peer::syn_fin(15, &[0xff; 4]));
    peer.expect(&["DATA id=15 len=0 FIN"]);
    assert_eq!(peer.session.audit(), Ok(()));
}

#[test]
fn l7_a_session_that_closes_still_answers() {
    let mut peer = Peer::of_server(Config::builder().typed(true).build().expect("valid"));
    peer.send(peer::syn(3, &[0, 0, 0, 1]));
    assert_eq!(peer.accept(), 3);
    peer.session.close(peer.now(), 0.into(), "");
    peer.receive();
    peer.send(peer::syn(5, b"\xff\xff\xff\xffbeat"));
    assert_eq!(peer.receive()[0].payload, b"beat");
    assert_eq!(peer.session.close_reason(), None);
}

#[test]
fn w6_a_peer_that_has_vanished_is_found_on_an_untyped_session() {
    let limit = Duration::from_secs(60);
    let config = || Config::builder().idle_timeout(Some(limit)).build().expect("valid");
    // With a stream that waits for an answer, and without one.
    for (open, code) in [(true, 13), (false, 0)] {
        let mut peer = Peer::of_client(config());
        if open {
            let id = peer.open();
            peer.write(id, b"are you there?");
            peer.receive();
        }
        peer.pass(limit - Duration::from_nanos(1));
        assert_eq!(peer.session.close_reason(), None);
        peer.send(peer::wnd_inc(3, 1));
        peer.pass(limit - Duration::from_nanos(1));
        assert_eq!(peer.session.close_reason(), None);
        assert_eq!(peer.session.audit(), Ok(()));
        peer.pass(Duration::from_nanos(1));
        assert_eq!(peer.session.close_reason(), Some(&CloseReason::IdleTimeout));
        let go_away = peer.receive().into_iter().find(|frame| frame.kind() == Frame::GOAWAY);
        assert_eq!(go_away.expect("a GOAWAY").word(4), code);
    }
    // Output of this side is no sign of life of the peer.
    let mut peer = Peer::of_client(config());
    let id = peer.open();
    for _ in 0..60 {
        assert_eq!(peer.session.close_reason(), None);
        peer.write(id, b"are you there?");
        peer.receive();
        peer.pass(Duration::from_secs(1));
    }
    assert_eq!(peer.session.close_reason(), Some(&CloseReason::IdleTimeout));
    // Without a limit nothing is missed.
    let mut peer = Peer::of_client(Config::default());
    peer.pass(Duration::from_secs(1_000_000));
    assert_eq!(peer.session.close_reason(), None);
}

#[test]
fn heartbeats_are_counted_and_told_one_by_one() {
    let heartbeat = Heartbeat::new().with_close_on_timeout(false);
    let config = Config::builder().typed(true).heartbeat(Some(heartbeat)).build().expect("valid");
    let mut peer = Peer::of_client(config);
    let mut rtts = Vec::new();
    for millis in [3, 5, 7] {
        peer.pass(Duration::ZERO);
        let beat = peer.receive().pop().expect("a beat").payload;
        peer.pass(Duration::from_millis(millis));
        peer.send(peer::data(3, &beat));
        rtts.extend(peer.events());
        peer.pass(Duration::from_millis(10_000 - millis));
    }
    let pong = |millis| Event::Pong { rtt: Duration::from_millis(millis) };
    assert_eq!(rtts, [pong(3), pong(5), pong(7)]);
    peer.receive();
    peer.pass(Duration::from_secs(15));
    assert_eq!(peer.events(), [Event::HeartbeatMissed]);
    peer.send(peer::syn(2, b"\xff\xff\xff\xffbeatbeat"));
    let stats = peer.session.stats();
    assert_eq!((stats.beats_sent, stats.beats_returned, stats.beats_missed), (4, 3, 1));
    assert_eq!(stats.beats_answered, 2);
}
