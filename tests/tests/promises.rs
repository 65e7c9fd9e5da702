//! Faults that reviews have found, each with the bytes and calls that showed it: about what a peer
//! waits for, and what an application is told.

use std::time::Duration;

use bytes::Buf;
use muxado_proto::{
    CloseReason, Config, ErrorCode, Event, Heartbeat, OpenError, PingError, StreamId, Transmit,
    WriteError,
};
use muxado_tests::peer::{self, Peer};
use muxado_tests::vectors::Frame;

const WINDOW: u32 = 262_144;
const TICK: Duration = Duration::from_millis(10);

/// A shrinking window withheld all credit from a peer that discards credit above its initial
/// window.
#[test]
fn a_peer_that_clamps_its_credit_is_not_starved_by_a_window_that_shrinks() {
    let config = Config::builder()
        .session_receive_buffer(4 * u64::from(WINDOW))
        .overcommit(true)
        .build()
        .expect("valid");
    let mut peer = Peer::of_server(config);
    peer.send(peer::syn(3, b""));
    assert_eq!(peer.accept(), 3);
    // Like ngrok: never more than a window of credit, used in one frame.
    let mut credit = WINDOW;
    let mut sent = 0;
    let mut round = |peer: &mut Peer, count: u32, credit: &mut u32| {
        let count = count.min(*credit);
        if count > 0 {
            peer.send(peer::data(3, &vec![0; count as usize]));
            *credit -= count;
        }
        while let Ok(Some(_)) = peer.stream(3).read_chunk(usize::MAX) {}
        for _ in 0..2 {
            for frame in peer.receive() {
                if frame.kind() == Frame::WNDINC && frame.id() == 3 {
                    *credit = credit.saturating_add(frame.word(0)).min(WINDOW);
                }
            }
            peer.pass(TICK);
        }
        sent += count;
        count
    };
    for _ in 0..20 {
        assert!(round(&mut peer, WINDOW, &mut credit) > 0);
    }
    assert!(peer.session.stats().window_growth > 0, "it has grown");
    for id in [5, 7, 9] {
        peer.send(peer::syn(id, b""));
        peer.accept();
    }
    for n in 0..20 {
        assert!(round(&mut peer, WINDOW, &mut credit) > 0, "starved in round {n}");
    }
}

/// Credit for what arrived between the release of a stream and its FIN was never granted.
#[test]
fn what_arrives_between_release_and_fin_is_granted() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b""));
    assert_eq!(peer.accept(), 3);
    peer.write(3, b"reply");
    peer.stream(3).release();
    // A peer whose own window is 64 KiB: now it waits for credit.
    peer.send(peer::data(3, &vec![0; 65_536]));
    let mut heard = peer.hear();
    peer.pass(TICK);
    heard.extend(peer.hear());
    assert!(heard.contains(&"WNDINC id=3 inc=65536".into()), "{heard:?}");
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

/// With an outstanding heartbeat, `ping` did not see that the session was over.
#[test]
fn a_ping_is_refused_when_the_session_is_over() {
    let config = Config::builder().typed(true).build().expect("valid");
    let mut peer = Peer::of_client(config);
    let now = peer.now();
    assert_eq!(peer.session.ping(now), Ok(()));
    peer.shut();
    let refused = peer.session.ping(now);
    assert!(matches!(refused, Err(PingError::Open(OpenError::SessionClosed(_)))), "{refused:?}");
}

/// A stream that stalled again was queued after streams that had stalled later.
#[test]
fn a_stream_that_stalls_again_keeps_its_deadline() {
    let limit = Duration::from_secs(30);
    let config =
        Config::builder().send_window(1000).stream_stall_timeout(Some(limit)).build().expect("ok");
    let mut peer = Peer::of_client(config);
    let (a, b) = (peer.open(), peer.open());
    peer.write(a, &[0; 5000]);
    peer.receive();
    peer.pass(Duration::from_secs(20));
    peer.write(b, &[0; 5000]);
    peer.receive();
    peer.pass(Duration::from_secs(1));
    peer.send(peer::wnd_inc(a, 10));
    peer.receive();
    peer.pass(Duration::from_secs(10));
    // 31 s.
    let error = peer.stream(a).write(b"x");
    assert_eq!(error, Err(WriteError::ResetLocally(ErrorCode::WRITE_TIMEOUT)));
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

/// With a stall limit, writers were not woken when the session's buffer had room.
#[test]
fn a_limit_on_stalls_does_not_keep_writers_waiting() {
    let heard = |limit| {
        let config = Config::builder()
            .send_window(20_000)
            .send_buffer(100_000)
            .session_send_buffer(200_000)
            .stream_stall_timeout(limit)
            .build()
            .expect("valid");
        let mut peer = Peer::of_client(config);
        let (a, b, c) = (peer.open(), peer.open(), peer.open());
        // b has no credit left, and 8000 bytes wait for it.
        peer.write(b, &[0; 28_000]);
        peer.receive();
        peer.write(a, &[0; 100_000]);
        let room = peer.stream(c).room().expect("room");
        peer.write(c, &vec![0; room]);
        assert_eq!(peer.stream(b).write(&[0; 8000]), Err(WriteError::Blocked));
        peer.events();
        peer.receive();
        assert!(peer.stream(b).room().is_ok());
        peer.events().contains(&Event::Writable(StreamId::new(b)))
    };
    assert!(heard(None));
    assert!(heard(Some(Duration::from_secs(3600))));
}

/// A frame that stalled after a GOAWAY was answered like one before it.
#[test]
fn a_frame_that_stalls_behind_go_away_is_a_quiet_end() {
    let config = Config::builder().drain_timeout(Duration::from_secs(60)).build().expect("ok");
    let mut peer = Peer::of_client(config);
    peer.send(peer::go_away(0, 0, b""));
    peer.send([0, 0, 9]);
    peer.pass(Duration::from_secs(31));
    assert!(matches!(peer.session.close_reason(), Some(CloseReason::Remote { .. })));
    let frames = peer.receive();
    assert_eq!(frames[0].word(4), 0, "{frames:?}");
}

/// A fault of the peer on the heartbeat stream ended the session when the tolerance was over.
#[test]
fn a_fault_on_the_heartbeat_stream_ends_that_stream() {
    let config =
        Config::builder().typed(true).heartbeat(Some(Heartbeat::default())).build().expect("valid");
    let mut peer = Peer::of_client(config);
    peer.pass(TICK);
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

/// A refusal did not wake a writer that wakes only for credit.
#[test]
fn a_refusal_wakes_a_writer_that_may_be_out_of_credit() {
    // The backlog is full.
    let mut peer = Peer::of_server(Config::builder().accept_backlog(1).build().expect("valid"));
    peer.send(peer::syn(3, b""));
    peer.send(peer::syn(5, &vec![0; WINDOW as usize]));
    assert_eq!(peer.hear(), ["WNDINC id=5 inc=1", "RST id=5 code=9"]);
}

#[test]
fn data_for_a_reader_that_has_gone_wakes_a_writer_that_is_out_of_credit() {
    let mut peer = Peer::of_server(Config::default());
    peer.send(peer::syn(3, b""));
    peer.accept();
    peer.write(3, b"413");
    peer.stream(3).release();
    peer.receive();
    peer.send(peer::data(3, &vec![0; WINDOW as usize]));
    assert_eq!(peer.hear(), ["WNDINC id=3 inc=1", "RST id=3 code=4"]);
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

/// Streams that both sides had finished displaced the tombstones of others.
#[test]
fn streams_that_are_settled_do_not_push_out_those_that_are_not() {
    let mut peer = Peer::of_server(Config::builder().tombstones(8).build().expect("valid"));
    for n in 0..9 {
        let id = 3 + 2 * n;
        peer.send(peer::syn(id, b"x"));
        peer.accept();
        peer.write(id, b"reply");
        peer.stream(id).release();
        peer.receive();
        // The peer continues with the first one, and finishes the others.
        if n > 0 {
            peer.send(peer::fin(id));
        }
    }
    let now = peer.now();
    peer.session.close(now, ErrorCode::NO_ERROR, "");
    assert_eq!(peer.session.close_reason(), None, "the peer has not finished stream 3");
}

/// The same with default settings: many uploads over a link of a millisecond.
#[test]
fn default_settings_do_not_starve_clamping_peers() {
    let mut peer = Peer::of_server(Config::default());
    let mut credit = std::collections::BTreeMap::new();
    for streams in [100u32, 100, 100, 100, 256, 256, 256, 256] {
        for n in 0..streams {
            let id = 3 + 2 * n;
            credit.entry(id).or_insert_with(|| {
                peer.send(peer::syn(id, b""));
                peer.accept();
                WINDOW
            });
        }
        for (&id, credit) in &mut credit {
            let mut left = *credit;
            while left > 0 {
                let count = left.min(16_384);
                peer.send(peer::data(id, &vec![0; count as usize]));
                left -= count;
                while let Ok(Some(_)) = peer.stream(id).read_chunk(usize::MAX) {}
            }
            *credit = 0;
        }
        for _ in 0..2 {
            for frame in peer.receive() {
                if frame.kind() == Frame::WNDINC {
                    let credit = credit.get_mut(&frame.id()).expect("a stream");
                    *credit = credit.saturating_add(frame.word(0)).min(WINDOW);
                }
            }
            peer.pass(TICK);
        }
    }
    assert!(credit.values().all(|&credit| credit > 0));
}
