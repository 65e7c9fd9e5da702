//! Every time limit: nothing happens before it, it acts at its end, and it acts when the session is
//! called much later.

use std::time::Duration;

use muxado_proto::{
    CloseReason, Config, ConfigBuilder, CutBy, ErrorCode, Event, Heartbeat, StreamType,
};
use muxado_tests::peer::{self, Peer};

const SECOND: Duration = Duration::from_secs(1);

/// Checks a limit of so much time. `begin` makes a session in which it has just begun; `acts` says
/// whether it has acted.
#[track_caller]
fn check(time: Duration, begin: impl Fn() -> Peer, acts: impl Fn(&mut Peer) -> bool) {
    let mut early = begin();
    early.jump(time - Duration::from_nanos(1));
    assert!(!acts(&mut early), "before the end of {time:?}");
    early.jump(Duration::from_nanos(1));
    assert!(acts(&mut early), "at the end of {time:?}");
    for late in [Duration::from_nanos(1), time] {
        let mut peer = begin();
        peer.jump(time + late);
        assert!(acts(&mut peer), "{late:?} after the end of {time:?}");
    }
}

/// Whether the session says this. It says nothing else.
fn says(peer: &mut Peer, frames: &[&str]) -> bool {
    let heard = peer.hear();
    assert!(heard.is_empty() || heard == frames, "{heard:?}");
    !heard.is_empty()
}

/// Whether the session has ended, for this reason.
fn ends(peer: &mut Peer, reason: &CloseReason) -> bool {
    peer.session.close_reason().is_some_and(|found| {
        assert_eq!(found, reason);
        true
    })
}

fn server(config: ConfigBuilder) -> Peer {
    Peer::of_server(config.build().expect("valid"))
}

fn client(config: ConfigBuilder) -> Peer {
    Peer::of_client(config.build().expect("valid"))
}

/// A session with a stream of the peer, accepted.
fn with_stream(config: ConfigBuilder) -> Peer {
    let mut peer = server(config);
    peer.send(peer::syn(3, b"?"));
    assert_eq!(peer.accept(), 3);
    assert_eq!(peer.read(3).0, b"?");
    peer.expect_silence();
    peer.pass(SECOND);
    peer.expect(&["WNDINC id=3 inc=1"]);
    peer.events();
    peer
}

#[test]
fn a_stream_has_to_say_its_type() {
    let begin = || {
        let mut peer = server(Config::builder().typed(true).typed_timeout(7 * SECOND));
        peer.send(peer::syn(3, b"abc"));
        peer
    };
    check(7 * SECOND, begin, |peer| says(peer, &["WNDINC id=3 inc=1", "RST id=3 code=6"]));
}

#[test]
fn a_stream_that_only_the_peer_uses_ends() {
    let begin = || {
        let mut peer = with_stream(Config::builder().given_up_timeout(7 * SECOND));
        peer.stream(3).release();
        peer.expect(&["DATA id=3 len=0 FIN"]);
        peer
    };
    check(7 * SECOND, begin, |peer| says(peer, &["RST id=3 code=4"]));
}

#[test]
fn a_stream_without_credit_is_reset() {
    let begin = || {
        let config = Config::builder().send_window(10).stream_stall_timeout(Some(7 * SECOND));
        let mut peer = with_stream(config);
        peer.write(3, &[0; 11]);
        peer.expect(&["DATA id=3 len=10"]);
        peer
    };
    check(7 * SECOND, begin, |peer| says(peer, &["RST id=3 code=13"]));
}

#[test]
fn the_reader_of_an_answer_is_spared() {
    let begin = || {
        let mut peer = with_stream(Config::builder());
        peer.send(peer::data(3, b"unread"));
        peer.write(3, b"answer");
        peer.stream(3).release();
        peer.expect(&["DATA id=3 len=6 FIN"]);
        peer
    };
    let spared = Duration::from_millis(100);
    check(spared, begin, |peer| says(peer, &["WNDINC id=3 inc=6"]));
}

#[test]
fn owed_credit_is_granted() {
    let delay = Duration::from_millis(7);
    let begin = || {
        let mut peer = with_stream(Config::builder().update_delay(delay));
        peer.send(peer::data(3, b"read"));
        assert_eq!(peer.read(3).0, b"read");
        peer.expect_silence();
        peer
    };
    check(delay, begin, |peer| says(peer, &["WNDINC id=3 inc=4"]));
}

#[test]
fn an_unanswered_stream_counts_for_a_while() {
    let begin = || {
        let config = Config::builder().max_unanswered_streams(Some(1));
        let mut peer = client(config.unanswered_timeout(7 * SECOND));
        let id = peer.open();
        peer.write(id, b"x");
        peer.receive();
        assert!(!peer.session.notify_when_open());
        peer
    };
    check(7 * SECOND, begin, |peer| {
        let told = peer.events().contains(&Event::OpenReady);
        assert_eq!(told, peer.session.can_open());
        told
    });
}

#[test]
fn a_silent_peer_ends_the_session_if_asked() {
    let begin = || {
        let mut peer = server(Config::builder().idle_timeout(Some(7 * SECOND)));
        peer.jump(SECOND);
        peer.send(peer::syn(3, b"x"));
        // Input without a byte shows nothing.
        peer.jump(Duration::from_millis(6900));
        peer.send(b"");
        peer
    };
    let left = Duration::from_millis(100);
    check(left, begin, |peer| ends(peer, &CloseReason::IdleTimeout));
}

#[test]
fn a_transport_that_takes_nothing_ends_the_session() {
    let begin = || {
        let mut peer = with_stream(Config::builder().write_stall_timeout(7 * SECOND));
        peer.write(3, b"x");
        assert_eq!(peer.batch(usize::MAX), 9);
        peer
    };
    check(7 * SECOND, begin, |peer| ends(peer, &CloseReason::WriteStalled));
}

#[test]
fn a_frame_that_stops_ends_the_session() {
    let begin = || {
        let mut peer = with_stream(Config::builder().frame_stall_timeout(7 * SECOND));
        peer.send(&peer::data(3, b"half")[..10]);
        peer
    };
    check(7 * SECOND, begin, |peer| ends(peer, &CloseReason::FrameStalled));
}

#[test]
fn a_drain_that_does_not_move_is_cut() {
    let cut = CloseReason::Cut { streams: 1, by: CutBy::Time };
    let begin = || {
        let mut peer = with_stream(Config::builder().drain_timeout(7 * SECOND));
        let now = peer.now();
        peer.session.go_away(now, ErrorCode::NO_ERROR, "bye");
        peer.receive();
        peer
    };
    check(7 * SECOND, begin, |peer| ends(peer, &cut));
}

#[test]
fn a_drain_that_moves_is_cut_as_well() {
    let cut = CloseReason::Cut { streams: 1, by: CutBy::Time };
    let begin = || {
        let config = Config::builder().drain_timeout(4 * SECOND).drain_limit(7 * SECOND);
        let mut peer = with_stream(config);
        let now = peer.now();
        peer.session.go_away(now, ErrorCode::NO_ERROR, "bye");
        for _ in 0..6 {
            peer.receive();
            peer.jump(SECOND);
            peer.send(peer::data(3, b"x"));
        }
        peer
    };
    check(SECOND, begin, |peer| ends(peer, &cut));
}

#[test]
fn the_transport_is_given_up_a_while_after_the_end() {
    let begin = || {
        let mut peer = server(Config::builder().linger_timeout(7 * SECOND));
        let now = peer.now();
        peer.session.abort(now, ErrorCode::INTERNAL, "");
        peer.receive();
        peer
    };
    check(7 * SECOND, begin, |peer| peer.session.is_finished());
}

#[test]
fn a_beat_is_sent_and_missed_in_time() {
    let beats = Heartbeat::new().with_interval(7 * SECOND).with_tolerance(3 * SECOND);
    let config = || Config::builder().typed(true).heartbeat(Some(beats));
    let first = || {
        let mut peer = client(config());
        peer.jump(Duration::ZERO);
        peer.expect(&["DATA id=3 len=4 SYN", "DATA id=3 len=4"]);
        peer
    };
    check(3 * SECOND, first, |peer| ends(peer, &CloseReason::HeartbeatTimeout));
    let next = || {
        let mut peer = client(config());
        peer.jump(Duration::ZERO);
        let value = peer.receive().pop().expect("a beat").payload;
        peer.send(peer::data(3, &value));
        assert!(peer.events().contains(&Event::Pong { rtt: Duration::ZERO }));
        peer
    };
    check(7 * SECOND, next, |peer| {
        let beat = peer.hear().last().is_some_and(|frame| frame == "DATA id=3 len=4");
        assert_eq!(beat, peer.session.stats().beats_sent == 2);
        beat
    });
}

/// Heartbeats that the application asks for have the default tolerance, and end nothing.
#[test]
fn a_ping_is_missed_in_time() {
    let begin = || {
        let mut peer = client(Config::builder().typed(true));
        let now = peer.now();
        peer.session.open_typed(StreamType(1)).expect("open");
        peer.session.ping(now).expect("typed");
        peer.receive();
        peer
    };
    check(15 * SECOND, begin, |peer| {
        assert_eq!(peer.session.close_reason(), None);
        peer.events().contains(&Event::HeartbeatMissed)
    });
}

/// A peer that goes away, has nothing open and does not end the transport.
#[test]
fn a_peer_that_has_gone_away_is_not_waited_for() {
    let reason = CloseReason::Remote { code: ErrorCode::NO_ERROR, text: "bye".into() };
    let begin = || {
        let mut peer = server(Config::builder().drain_timeout(7 * SECOND));
        peer.send(peer::go_away(0, 0, b"bye"));
        peer.expect_silence();
        peer
    };
    check(7 * SECOND, begin, |peer| {
        peer.receive();
        ends(peer, &reason)
    });
}
