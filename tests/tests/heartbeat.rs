//! Heartbeats, in virtual time.

use std::time::Duration;

use muxado_proto::{CloseReason, Config, CutBy, Event, Heartbeat, PingError, StreamType};
use muxado_tests::peer::{self, Peer};
use muxado_tests::vectors::Frame;

const TYPE: [u8; 4] = [0xff; 4];

fn typed() -> Peer {
    Peer::of_client(Config::builder().typed(true).build().expect("valid"))
}

fn beating(heartbeat: Heartbeat) -> Peer {
    let config = Config::builder().typed(true).heartbeat(Some(heartbeat));
    Peer::of_client(config.build().expect("valid"))
}

/// The stream and the value of the beat that the session sends now, if any.
fn beat(peer: &mut Peer) -> Option<(u32, Vec<u8>)> {
    peer.pass(Duration::ZERO);
    let frames = peer.receive();
    let data: Vec<&Frame> = frames.iter().filter(|frame| frame.kind() == Frame::DATA).collect();
    let payload: Vec<u8> = data.iter().flat_map(|frame| frame.payload.clone()).collect();
    let id = data.first()?.id();
    let value = payload.strip_prefix(&TYPE).unwrap_or(&payload);
    assert_eq!(value.len(), 4, "one beat at a time");
    Some((id, value.to_vec()))
}

fn misses(peer: &mut Peer) -> usize {
    peer.events().iter().filter(|event| **event == Event::HeartbeatMissed).count()
}

#[test]
fn beats_follow_one_another_on_one_stream() {
    let mut peer = beating(Heartbeat::default());
    let mut values = Vec::new();
    for _ in 0..50 {
        let (id, value) = beat(&mut peer).expect("a beat");
        assert_eq!(id, 3);
        peer.pass(Duration::from_millis(40));
        peer.send(peer::data(id, &value));
        assert_eq!(peer.events(), [Event::Pong { rtt: Duration::from_millis(40) }]);
        assert_eq!(peer.session.rtt(), Some(Duration::from_millis(40)));
        values.push(value);
        peer.pass(Duration::from_millis(9960));
    }
    values.dedup();
    assert_eq!(values.len(), 50, "values differ");
    assert_eq!(peer.session.stats().open_streams, 0, "heartbeats do not count as streams");
}

#[test]
fn a_missed_beat_closes_the_session_or_only_tells() {
    let mut peer = beating(Heartbeat::default());
    beat(&mut peer).expect("a beat");
    peer.pass(Duration::from_secs(15));
    assert_eq!(misses(&mut peer), 1);
    assert_eq!(peer.session.close_reason(), Some(&CloseReason::HeartbeatTimeout));

    let mut peer = beating(Heartbeat::new().with_close_on_timeout(false));
    beat(&mut peer).expect("a beat");
    let mut last = None;
    for _ in 0..6 {
        peer.pass(Duration::from_secs(10));
        last = beat(&mut peer).or(last);
    }
    assert!(misses(&mut peer) >= 1);
    assert_eq!(peer.session.close_reason(), None);
    // A late echo still counts.
    let (id, value) = last.expect("it beats on");
    peer.send(peer::data(id, &value));
    assert!(peer.events().iter().any(|event| matches!(event, Event::Pong { .. })));
}

#[test]
fn a_peer_that_goes_on_sending_is_alive_whatever_its_echo_waits_for() {
    let mut peer = beating(Heartbeat::default());
    beat(&mut peer).expect("a beat");
    peer.send(peer::syn(2, b"before"));
    for _ in 0..5 {
        assert_eq!(misses(&mut peer), 0);
        peer.pass(Duration::from_millis(14_999));
        peer.send(peer::wnd_inc(3, 1));
    }
    // The echo will never come, although the peer is alive.
    peer.pass(Duration::from_millis(5));
    assert_eq!(misses(&mut peer), 1);
    assert_eq!(peer.session.close_reason(), None);
    // The next beat is missed in silence.
    peer.pass(Duration::from_secs(25));
    assert_eq!(misses(&mut peer), 1);
    assert_eq!(peer.session.close_reason(), Some(&CloseReason::HeartbeatTimeout));
}

#[test]
fn only_the_value_sent_is_an_echo() {
    let mut peer = beating(Heartbeat::default());
    let (id, value) = beat(&mut peer).expect("a beat");
    let wrong: Vec<u8> = value.iter().map(|byte| !byte).collect();
    peer.send(peer::data(id, &wrong));
    assert_eq!(peer.session.rtt(), None);
    peer.pass(Duration::from_secs(15));
    assert_eq!(peer.session.close_reason(), Some(&CloseReason::HeartbeatTimeout));
}

#[test]
fn an_echo_in_pieces_counts_when_it_is_whole() {
    let mut peer = beating(Heartbeat::default());
    let (id, value) = beat(&mut peer).expect("a beat");
    for byte in value {
        assert_eq!(peer.session.rtt(), None);
        peer.send(peer::data(id, &[byte]));
    }
    assert!(peer.session.rtt().is_some());
}

#[test]
fn beats_are_skipped_while_data_flows() {
    let mut peer = beating(Heartbeat::default());
    let (id, value) = beat(&mut peer).expect("a beat");
    peer.send(peer::data(id, &value));
    peer.send(peer::syn(2, &[0, 0, 0, 1]));
    let stream = peer.accept();
    for _ in 0..20 {
        peer.pass(Duration::from_secs(5));
        peer.send(peer::data(stream, b"alive"));
        assert_eq!(peer.read(stream).0, b"alive");
        assert_eq!(beat(&mut peer), None);
    }
    // Silence brings them back.
    peer.pass(Duration::from_secs(20));
    assert!(beat(&mut peer).is_some());
}

#[test]
fn a_ping_on_demand() {
    let mut peer = typed();
    peer.session.ping(peer.now()).expect("typed");
    let (id, value) = beat(&mut peer).expect("a beat");
    // One at a time: that under way serves.
    peer.session.ping(peer.now()).expect("typed");
    peer.expect_silence();
    peer.pass(Duration::from_millis(3));
    peer.send(peer::data(id, &value));
    assert_eq!(peer.events(), [Event::Pong { rtt: Duration::from_millis(3) }]);
    // Without an answer it is missed; without a configured heartbeat nothing else happens.
    peer.session.ping(peer.now()).expect("typed");
    assert_eq!(beat(&mut peer).expect("a beat").0, id);
    peer.pass(Duration::from_secs(15));
    assert_eq!(misses(&mut peer), 1);
    assert_eq!(peer.session.close_reason(), None);
    let mut untyped = Peer::of_client(Config::default());
    assert_eq!(untyped.session.ping(untyped.now()), Err(PingError::NotTyped));
}

#[test]
fn a_peer_that_ends_the_heartbeat_stream_gets_a_new_one() {
    for end in [peer::fin(3), peer::rst(3, 6)] {
        let mut peer = beating(Heartbeat::default());
        assert_eq!(beat(&mut peer).expect("a beat").0, 3);
        peer.send(end);
        assert_eq!(misses(&mut peer), 1);
        peer.receive();
        peer.pass(Duration::from_secs(10));
        assert_eq!(peer.session.close_reason(), None);
        assert_eq!(beat(&mut peer).expect("a beat").0, 5);
    }
}

#[test]
fn the_responder_ends_when_the_requester_does() {
    let mut peer = Peer::of_server(Config::builder().typed(true).build().expect("valid"));
    peer.send([peer::syn(3, &TYPE), peer::data_fin(3, b"last")].concat());
    let frames = peer.receive();
    assert_eq!(frames[0].payload, b"last");
    assert!(frames.last().is_some_and(Frame::is_fin));
    assert_eq!(peer.session.accept(), None);
}

#[test]
fn an_application_can_not_use_the_type_of_heartbeats() {
    let mut peer = typed();
    assert!(peer.session.open_typed(StreamType::HEARTBEAT).is_err());
}

#[test]
fn a_session_that_goes_away_needs_no_heartbeat() {
    let mut peer = beating(Heartbeat::default());
    beat(&mut peer).expect("a beat");
    peer.session.open_typed(StreamType(1)).expect("open");
    peer.receive();
    peer.session.go_away(peer.now(), 0.into(), "");
    peer.pass(Duration::from_secs(10));
    let cut = CloseReason::Cut { streams: 1, by: CutBy::Time };
    assert_eq!(peer.session.close_reason(), Some(&cut));
}

/// A fault of the peer on the heartbeat stream ended the session when the tolerance was over.
#[test]
fn a_fault_on_the_heartbeat_stream_ends_that_stream() {
    let config =
        Config::builder().typed(true).heartbeat(Some(Heartbeat::default())).build().expect("valid");
    let mut peer = Peer::of_client(config);
    peer.pass(Duration::from_millis(10));
    peer.receive();
    peer.send(peer::wnd_inc(3, 0));
    peer.receive();
    for _ in 0..60 {
        peer.pass(Duration::from_secs(1));
        for frame in peer.receive() {
            if frame.kind() == Frame::DATA && frame.id() > 3 && !frame.is_syn() {
                let echo = frame.to_bytes()[8..].to_vec();
                peer.send(peer::data(frame.id(), &echo));
            }
        }
    }
    assert_eq!(peer.session.close_reason(), None);
}

/// Heartbeat streams beyond the limit did not count as resets that the peer causes.
#[test]
fn refused_heartbeats_are_counted() {
    let config = Config::builder().typed(true).build().expect("valid");
    let mut peer = Peer::of_server(config);
    for n in 0..5000 {
        peer.send(peer::syn(3 + 2 * n, &[255; 4]));
        peer.receive();
    }
    assert!(peer.session.close_reason().is_some());
}

/// The first beat has used up the credit of its stream, and the peer echoes and grants nothing.
#[test]
fn a_beat_that_has_no_credit_is_given_up_with_its_stream() {
    let beats = Heartbeat::new().with_close_on_timeout(false);
    let config = Config::builder().typed(true).heartbeat(Some(beats)).send_window(8);
    let mut peer = Peer::of_client(config.build().expect("valid"));
    peer.pass(Duration::ZERO);
    let (id, value) = beat(&mut peer).expect("a beat");
    peer.send(peer::data(id, &value));
    peer.pass(beats.interval);
    peer.expect(&["WNDINC id=3 inc=4"]);
    peer.pass(5 * beats.tolerance);
    assert_eq!(misses(&mut peer), 1);
    peer.expect(&["RST id=3 code=6"]);
    peer.pass(beats.interval);
    let said = peer.hear();
    assert!(said.contains(&format!("DATA id={} len=4 SYN", id + 2)), "{said:?}");
}

/// A beat that was sent and is missed leaves its stream as it is.
#[test]
fn the_next_beat_follows_one_that_was_missed() {
    let beats = Heartbeat::new().with_close_on_timeout(false);
    let mut peer = beating(beats);
    let first = beat(&mut peer).expect("a beat");
    peer.pass(beats.tolerance);
    assert_eq!(misses(&mut peer), 1);
    let next = peer.receive();
    assert!(next.iter().all(|frame| frame.id() == first.0 && frame.kind() == 1), "{next:?}");
}

/// A beat, and its answer at once.
fn round_trip(peer: &mut Peer) {
    let (id, value) = beat(peer).expect("a beat");
    peer.send(peer::data(id, &value));
    peer.events();
}

/// How many milliseconds from now pass until the session gives up because of its heartbeat.
fn time_to_the_end(peer: &mut Peer) -> u128 {
    let begin = peer.now();
    while peer.session.close_reason().is_none() {
        let due = peer.session.poll_timeout().expect("a deadline");
        peer.pass(due - peer.now());
    }
    assert_eq!(peer.session.close_reason(), Some(&CloseReason::HeartbeatTimeout));
    (peer.now() - begin).as_millis()
}

#[test]
fn the_tolerance_begins_when_the_transport_has_the_beat() {
    let mut peer = beating(Heartbeat::default());
    peer.pass(Duration::ZERO);
    assert!(peer.batch(usize::MAX) > 0, "a beat");
    peer.pass(Duration::from_secs(9));
    peer.expect_silence();
    assert_eq!(time_to_the_end(&mut peer), 15_000);
}

#[test]
fn output_that_moves_after_a_beat_shows_that_the_other_end_reads() {
    for moves in [true, false] {
        let mut peer = beating(Heartbeat::default());
        beat(&mut peer).expect("a beat");
        let id = peer.session.open_typed(StreamType(1)).expect("open").get();
        peer.write(id, &[0; 1000]);
        assert!(peer.batch(usize::MAX) > 1000);
        peer.pass(Duration::from_secs(12));
        if moves {
            peer.session.transmitted(peer.now(), 10);
        }
        let rest = if moves { 15_000 } else { 3_000 };
        assert_eq!(time_to_the_end(&mut peer), rest, "it moves: {moves}");
    }
}

/// Until a transport has made output wait, 4 KiB a second are assumed.
#[test]
fn a_beat_waits_for_no_data_that_the_peer_has_consumed() {
    let mut peer = beating(Heartbeat::default());
    round_trip(&mut peer);
    let id = peer.session.open_typed(StreamType(1)).expect("open").get();
    peer.write(id, &[0; (40 << 10) - 4]);
    peer.receive();
    peer.pass(Duration::from_secs(5));
    peer.send(peer::wnd_inc(id, 20 << 10));
    peer.pass(Duration::from_secs(5));
    beat(&mut peer).expect("a beat");
    assert_eq!(time_to_the_end(&mut peer), 15_000 + 5_000, "20 KiB may be on their way");
}

#[test]
fn time_without_output_shows_nothing_about_the_rate() {
    let mut peer = beating(Heartbeat::default());
    round_trip(&mut peer);
    let id = peer.session.open_typed(StreamType(1)).expect("open").get();
    peer.write(id, &[0; (4 << 10) - 4]);
    assert!(peer.batch(usize::MAX) > 4 << 10);
    peer.pass(Duration::from_millis(20));
    peer.receive();
    peer.pass(Duration::from_millis(8980));
    peer.write(id, &[0; 16 << 10]);
    peer.receive();
    peer.pass(Duration::from_secs(1));
    beat(&mut peer).expect("a beat");
    assert_eq!(time_to_the_end(&mut peer), 15_000 + 5_000, "20 KiB at 4 KiB a second");
}

#[test]
fn a_part_of_a_beat_is_no_beat() {
    let beats = Heartbeat::new().with_close_on_timeout(false);
    let config = Config::builder().typed(true).heartbeat(Some(beats)).send_window(6);
    let mut peer = Peer::of_client(config.build().expect("valid"));
    peer.pass(Duration::ZERO);
    peer.expect(&["DATA id=3 len=4 SYN", "DATA id=3 len=2"]);
    peer.pass(beats.tolerance);
    assert_eq!(misses(&mut peer), 1);
    assert_eq!(peer.hear().first().map(String::as_str), Some("RST id=3 code=6"));
}
