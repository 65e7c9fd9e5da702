//! GOAWAY and the end of sessions.

use core::time::Duration;

use muxado_conformance::wire::{self, FIN, SYN, data, goaway, pad};
use muxado_interop::process::{Kind, Peer};
use muxado_interop::raw::Raw;
use muxado_interop::tap::From;
use muxado_tokio::{
    CloseReason, Config, CutBy, ErrorCode, Heartbeat, OpenError, ReadError, Stream,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::lab::*;

pub(crate) const HAZARDS: &[Hazard] = &[
    Hazard { name: "peer: it reads eight bytes past a GOAWAY", peers: GO, run: over_reads },
    Hazard { name: "peer: it reads a GOAWAY to its end", peers: GO2, run: reads_right },
    Hazard {
        name: "peer: a pad makes up for the bytes read past a GOAWAY",
        peers: BOTH_GO,
        run: pad_helps,
    },
    Hazard {
        name: "peer: its GOAWAY leaves eight bytes out of its length",
        peers: ONLY_NGROK,
        run: malformed_goaway,
    },
    Hazard {
        name: "peer: a short GOAWAY text kills its writer",
        peers: ONLY_NGROK,
        run: short_text,
    },
    Hazard {
        name: "peer: gone away, it takes refused payload for frames",
        peers: BOTH_GO,
        run: refused_payload,
    },
    Hazard {
        name: "peer: streams end in an error when the session ends in a burst",
        peers: BOTH_GO,
        run: burst,
    },
    Hazard {
        name: "peer: streams can be opened after its session has died",
        peers: ONLY_NGROK,
        run: opens_when_dead,
    },
    Hazard {
        name: "peer: opening on a dead session is told as gone away",
        peers: GO2,
        run: gone_away_when_dead,
    },
    Hazard { name: "peer: the end of the transport is answered", peers: BOTH_GO, run: answers_eof },
    Hazard { name: "ours: streams go on behind a GOAWAY of ours", peers: BOTH_GO, run: goes_away },
    Hazard {
        name: "ours: none is opened behind the peer's GOAWAY, the rest go on",
        peers: BOTH_GO,
        run: peer_goes_away,
    },
    Hazard { name: "ours: a malformed GOAWAY is a quiet end", peers: ONLY_NGROK, run: quiet_end },
    Hazard {
        name: "ours: a peer that fell silent is found by its heartbeat",
        peers: ONLY_NGROK,
        run: finds_the_dead,
    },
    Hazard {
        name: "ours: closing in order gives the peer data and EOF",
        peers: ALL,
        run: closes_in_order,
    },
    Hazard {
        name: "ours: written, dropped and closed at once, a stream still arrives",
        peers: ALL,
        run: closes_behind_a_drop,
    },
    Hazard {
        name: "ours: what arrived before the peer's close can be read",
        peers: BOTH_GO,
        run: reads_to_the_end,
    },
    Hazard {
        name: "ours: closing ends though the peer keeps the transport",
        peers: ONLY_NGROK,
        run: does_not_linger,
    },
];

/// A stream that is echoed, and DATA on it after a GOAWAY.
fn goaway_then_data(lab: &Lab, kind: Kind, between: Vec<u8>) -> (Peer, Raw) {
    let (peer, mut raw) = lab.raw(kind, &["--app", "echo"]);
    raw.send(&[data(SYN, 3, b"one")]);
    until_payload(&mut raw, 3, 3);
    raw.send(&[goaway(0, 0, b"bye"), between, data(0, 3, b"twotwotwotwotwotwo")]);
    (peer, raw)
}

fn over_reads(lab: &Lab, kind: Kind) {
    let (_peer, mut raw) = goaway_then_data(lab, kind, Vec::new());
    raw.shut_down();
    raw.until_end();
    assert_eq!(payload(raw.seen(), 3), b"one");
}

fn reads_right(lab: &Lab, kind: Kind) {
    let (_peer, mut raw) = goaway_then_data(lab, kind, Vec::new());
    until_payload(&mut raw, 3, 3 + 18);
}

fn pad_helps(lab: &Lab, kind: Kind) {
    let (_peer, mut raw) = goaway_then_data(lab, kind, pad());
    until_payload(&mut raw, 3, 3 + 18);
    // New streams are served as well.
    raw.send(&[data(SYN, 5, b"three")]);
    until_payload(&mut raw, 5, 5);
}

fn malformed_goaway(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.control(kind);
    peer.must("go_away", "", bye("draining"));
    let goaway = raw.until("a GOAWAY", is_goaway);
    assert_eq!(goaway.header.length, 8, "the length counts the text alone");
}

fn short_text(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.control(kind);
    raw.send(&[data(SYN, 3, b"x")]);
    peer.must("accept", "s", plain());
    peer.must("go_away", "", bye("bye"));
    // It notices a moment later, and accepts a write or two until then.
    let fails = (0..1000).any(|_| !peer.ask("write", "s", hex("6869")).ok);
    assert!(fails, "it can still write");
    raw.shut_down();
    drop(peer);
    raw.until_end();
    assert!(raw.seen().is_empty(), "it has sent {:?}", raw.seen());
}

fn refused_payload(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.control(kind);
    peer.must("go_away", "", bye("draining"));
    raw.until("a GOAWAY", is_goaway);
    // The payload of the refused stream is itself a frame, DATA on stream 0.
    raw.send(&[data(SYN, 3, &data(0, 0, b""))]);
    assert_eq!(raw.until("a refusal", rst_of(3)).u32_at(0), Some(5));
    assert_eq!(raw.until("a GOAWAY", is_goaway).u32_at(4), Some(1));
}

fn burst(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.control(kind);
    raw.send(&[data(SYN, 3, b"one")]);
    peer.must("accept", "s", plain());
    raw.send(&[data(0, 3, b"two"), data(FIN, 3, b""), goaway(0, 0, b"bye")]);
    raw.shut_down();
    peer.ask("wait", "", plain());
    assert_eq!(peer.must("read_exact", "s", count(6)).hex, "6f6e6574776f");
    let end = peer.ask("read", "s", count(1));
    assert_eq!((end.ok, end.code), (false, 14), "{}", end.error);
}

fn opens_when_dead(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.control(kind);
    raw.send(&[data(SYN, 3, b"x")]);
    peer.must("accept", "s", plain());
    peer.must("read_exact", "s", count(1));
    raw.send(&[goaway(0, 0, b"bye")]);
    // All streams read the end.
    assert_eq!(peer.must("read", "s", count(1)).n, 0);
    peer.must("open", "t", plain());
}

fn gone_away_when_dead(lab: &Lab, kind: Kind) {
    let (mut peer, raw) = lab.control(kind);
    raw.shut_down();
    peer.ask("wait", "", plain());
    // It chooses between two things that are both ready, so that an open may still succeed.
    let refused = (0..30).map(|n| peer.ask("open", &format!("s{n}"), plain())).find(|got| !got.ok);
    assert_eq!(refused.expect("30 streams opened").code, 11);
}

fn answers_eof(lab: &Lab, kind: Kind) {
    let (_peer, mut raw) = lab.control(kind);
    raw.shut_down();
    let goaway = raw.until("a GOAWAY", is_goaway);
    assert_eq!(goaway.u32_at(4), Some(15));
    assert_eq!(&goaway.payload[8..], b"read EOF from remote peer");
    raw.until_end();
    assert!(raw.seen().iter().all(|frame| frame.header.kind == wire::GOAWAY));
}

const NO_ERROR: ErrorCode = ErrorCode::NO_ERROR;

fn goes_away(lab: &Lab, kind: Kind) {
    let ours = lab.ours(kind, &["--app", "echo"], Config::builder());
    let mut stream = ours.wait(ours.session.open()).expect("a stream opens");
    let mut echo = [0; 3];
    ours.wait(stream.write_all(b"one")).expect("it takes data");
    ours.wait(stream.read_exact(&mut echo)).expect("it is echoed");
    ours.session.go_away(NO_ERROR, "draining");
    ours.sends("a pad", |frame| frame.header.kind == wire::PAD);
    ours.wait(stream.write_all(b"two")).expect("it takes data");
    ours.wait(stream.read_exact(&mut echo)).expect("it is echoed");
    assert_eq!(&echo, b"two");
    ours.wait(stream.shutdown()).expect("it can be half-closed");
    assert_eq!(ours.wait(stream.read(&mut echo)).expect("it ends well"), 0);
    assert_eq!(ours.wait(ours.session.closed()), CloseReason::Local { code: NO_ERROR });
    ours.audit();
}

fn peer_goes_away(lab: &Lab, kind: Kind) {
    let mut ours = lab.ours(kind, &["--app", "control"], Config::builder());
    let mut stream = ours.wait(ours.session.open()).expect("a stream opens");
    ours.wait(stream.write_all(b"one")).expect("it takes data");
    ours.peer.must("accept", "s", plain());
    ours.peer.must("go_away", "", bye("draining"));
    // A byte after the GOAWAY shows that the GOAWAY has arrived.
    ours.peer.must("write", "s", hex("00"));
    ours.wait(stream.read_exact(&mut [1])).expect("the stream goes on");
    assert_eq!(ours.wait(ours.session.open()).err(), Some(OpenError::GoingAway));
    ours.wait(stream.write_all(b"two")).expect("it takes data");
    assert_eq!(ours.peer.must("read_exact", "s", count(6)).hex, "6f6e6574776f");
    ours.peer.must("close", "s", plain());
    ours.wait(stream.shutdown()).expect("it can be half-closed");
    drop(stream);
    let reason = CloseReason::Remote { code: NO_ERROR, text: "draining".into() };
    assert_eq!(ours.wait(ours.session.closed()), reason);
}

fn quiet_end(lab: &Lab, kind: Kind) {
    let config = Config::builder().drain_timeout(BLOCKED).drain_limit(BLOCKED);
    let mut ours = lab.ours(kind, &["--app", "control"], config);
    let mut stream = ours.wait(ours.session.open()).expect("a stream opens");
    ours.wait(stream.write_all(b"x")).expect("it takes data");
    ours.peer.must("accept", "s", plain());
    ours.peer.must("go_away", "", bye("draining"));
    // The stream may continue, but the peer writes no more.
    let error = ours.wait(stream.read(&mut [0])).expect_err("there is nothing to read");
    let error = error.get_ref().and_then(|error| error.downcast_ref::<ReadError>());
    let reason = ours.wait(ours.session.closed());
    // There is no violation, and the stream is reported as cut.
    assert_eq!(reason, CloseReason::Cut { streams: 1, by: CutBy::Time });
    assert_eq!(error, Some(&ReadError::SessionClosed(reason)));
}

fn finds_the_dead(lab: &Lab, kind: Kind) {
    let heartbeat = Heartbeat::new()
        .with_interval(Duration::from_millis(50))
        .with_tolerance(Duration::from_secs(3)); // it may wait long for a processor
    let config = Config::builder().typed(true).heartbeat(Some(heartbeat));
    let mut ours = lab.ours(kind, &["--app", "control", "--heartbeat", "60000,60000"], config);
    // Beats are answered only while the peer accepts.
    ours.peer.call("accept", "s", plain());
    ours.wait(ours.session.ping()).expect("the peer answers");
    ours.peer.must("go_away", "", bye("bye"));
    assert_eq!(ours.wait(ours.session.closed()), CloseReason::HeartbeatTimeout);
}

fn closes_in_order(lab: &Lab, kind: Kind) {
    closes(lab, kind, |ours, mut stream| {
        ours.wait(stream.shutdown()).expect("it can be half-closed");
        Some(stream)
    });
}

fn closes_behind_a_drop(lab: &Lab, kind: Kind) {
    closes(lab, kind, |_, stream| {
        drop(stream);
        None
    });
}

fn closes(lab: &Lab, kind: Kind, done: impl FnOnce(&mut Ours, Stream) -> Option<Stream>) {
    let config = Config::builder().drain_timeout(Duration::from_secs(60));
    let mut ours = lab.ours(kind, &["--app", "control"], config);
    let mut stream = ours.wait(ours.session.open()).expect("a stream opens");
    let id = stream.id().get();
    ours.wait(stream.write_all(b"data")).expect("it takes data");
    let _kept = done(&mut ours, stream);
    let session = ours.session.clone();
    let closing = ours.spawn(async move { session.close().await });
    ours.peer.must("accept", "s", plain());
    assert_eq!(ours.peer.must("read_exact", "s", count(4)).hex, "64617461");
    // EOF, which Go reports as an error of the stream, and not the end of the session.
    let end = ours.peer.ask("read", "s", count(1));
    assert_eq!(end.n, 0);
    assert!(end.ok || end.error == "EOF", "{}", end.error);
    ours.peer.must("close", "s", plain());
    ours.receives("FIN", fin_of(id));
    if kind == NGROK {
        // It keeps the transport until the test drops it.
        ours.peer.must("close_session", "", plain());
    }
    assert_eq!(ours.wait(closing).expect("closing ends"), CloseReason::Local { code: NO_ERROR });
    let frames = ours.tap.frames();
    let fin = frames.iter().position(|seen| seen.from == From::Listener && fin_of(id)(&seen.frame));
    let goaway = frames.iter().position(|seen| seen.from == From::Dialer && is_goaway(&seen.frame));
    // A peer that drops its transport with the stream may disconnect before the GOAWAY is sent.
    let in_order = fin.is_some() && goaway.is_none_or(|at| fin < Some(at));
    assert!(in_order, "the GOAWAY came before the end of the stream: {frames:?}");
}

fn reads_to_the_end(lab: &Lab, kind: Kind) {
    const LENGTH: usize = 200_000;
    let mut ours = lab.ours(kind, &["--app", "control"], Config::builder());
    ours.peer.must("open", "s", plain());
    ours.peer.must("write", "s", count(LENGTH));
    ours.peer.must("close_session", "", plain());
    let reason = CloseReason::Cut { streams: 1, by: CutBy::TransportEof };
    let mut stream = ours.wait(ours.session.accept()).expect("it is accepted");
    // Credit for what is read would reach a closed socket. The reset in return destroys what the peer's
    // system has not sent yet.
    ours.payload(From::Listener, stream.id().get(), LENGTH);
    let mut data = Vec::new();
    let error = ours.wait(stream.read_to_end(&mut data)).expect_err("there was no FIN");
    assert_eq!(data.len(), LENGTH);
    let error = error.get_ref().and_then(|error| error.downcast_ref::<ReadError>());
    assert_eq!(error, Some(&ReadError::SessionClosed(reason.clone())));
    assert_eq!(ours.wait(ours.session.closed()), reason);
}

fn does_not_linger(lab: &Lab, kind: Kind) {
    let config = Config::builder().linger_timeout(BLOCKED);
    let mut ours = lab.ours(kind, &["--app", "control"], config);
    ours.assert_alive();
    ours.peer.must("close", "alive", plain());
    assert_eq!(ours.wait(ours.session.close()), CloseReason::Local { code: NO_ERROR });
    // The peer does not even notice.
    ours.peer.must("open", "t", plain());
}
