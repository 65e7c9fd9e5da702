//! Typed streams and heartbeats.

use core::time::Duration;

use muxado_conformance::wire::{FIN, Frame, SYN, data, rst};
use muxado_interop::control::Call;
use muxado_interop::process::Kind;
use muxado_interop::tap::From;
use muxado_tokio::{CloseReason, Config, ErrorCode, Heartbeat, StreamType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::lab::*;

pub(crate) const HAZARDS: &[Hazard] = &[
    Hazard { name: "peer: a type in two frames is misread", peers: BOTH_GO, run: split_type },
    Hazard {
        name: "peer: a stream without its type holds up the others",
        peers: ALL,
        run: silent_stream,
    },
    Hazard {
        name: "peer: a reset stream without its type hangs accept",
        peers: ONLY_NGROK,
        run: reset_before_type,
    },
    Hazard {
        name: "peer: a wrong echo half-closes its heartbeat stream",
        peers: GO2,
        run: wrong_echo_fin,
    },
    Hazard {
        name: "peer: FIN on a heartbeat stream makes it flood",
        peers: ONLY_NGROK,
        run: heartbeat_flood,
    },
    Hazard { name: "ours: the type travels whole, with the SYN", peers: ALL, run: type_in_syn },
    Hazard {
        name: "ours: a stream without its type holds up no other",
        peers: ALL,
        run: not_held_up,
    },
    Hazard {
        name: "ours: a heartbeat stream the peer half-closes ends alone",
        peers: GO2,
        run: fin_on_heartbeat,
    },
    Hazard {
        name: "ours: a heartbeat stream the peer answers is never half-closed",
        peers: ALL,
        run: no_fin_on_heartbeat,
    },
    Hazard {
        name: "ours: heartbeats are answered though nothing is accepted",
        peers: ALL,
        run: answers_without_accept,
    },
    Hazard { name: "ours: a beat on demand is answered", peers: GO2, run: beat_on_demand },
    Hazard {
        name: "ours: a peer that does not accept is found by its heartbeat",
        peers: ALL,
        run: finds_the_silent,
    },
];

/// The type of heartbeat streams.
const HEARTBEAT: [u8; 4] = [0xff; 4];

fn split_type(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.raw(kind, &["--app", "control", "--typed"]);
    let accept = peer.call("accept", "s", plain());
    raw.send(&[data(SYN, 3, &[0, 0])]);
    // The type is incomplete, but accepted as complete.
    assert!(peer.result(accept).ok);
    raw.send(&[data(0, 3, &[0, 42])]);
    assert_eq!(peer.must("read_exact", "s", count(2)).hex, "002a");
}

fn silent_stream(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.raw(kind, &["--app", "control", "--typed"]);
    raw.send(&[data(SYN, 3, b""), data(SYN, 5, &[0, 0, 0, 42])]);
    let accept = peer.call("accept", "s", plain());
    assert!(blocks(&mut peer, &mut raw, accept, 99), "the second stream is accepted");
    raw.send(&[data(0, 3, &[0, 0, 0, 7])]);
    assert_eq!(peer.result(accept).stream_type, 7);
    assert_eq!(peer.must("accept", "t", plain()).stream_type, 42);
}

fn reset_before_type(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.raw(kind, &["--app", "control", "--typed"]);
    raw.send(&[data(SYN, 3, b""), rst(3, 7), data(SYN, 5, &[0, 0, 0, 42])]);
    let accept = peer.call("accept", "s", plain());
    assert!(blocks(&mut peer, &mut raw, accept, 99), "accept returns");
}

fn wrong_echo_fin(lab: &Lab, kind: Kind) {
    let (_peer, mut raw) = lab.raw(kind, &["--heartbeat", "20,10000"]);
    let syn = raw.until("the heartbeat stream", |frame| frame.header.is_data_with(SYN));
    assert_eq!(syn.payload, HEARTBEAT);
    let id = syn.header.id;
    let beat = raw.until("a beat", data_of(id));
    let wrong: Vec<u8> = beat.payload.iter().map(|byte| !byte).collect();
    raw.send(&[data(0, id, &wrong)]);
    raw.until("the FIN", fin_of(id));
    // The session goes on.
    raw.send(&[data(SYN, 3, &[0, 0, 0, 42]), data(0, 3, b"ealive")]);
    until_payload(&mut raw, 3, 5);
}

fn heartbeat_flood(lab: &Lab, kind: Kind) {
    let (_peer, mut raw) = lab.raw(kind, &["--heartbeat", "60000,60000"]);
    raw.send(&[data(SYN, 3, &HEARTBEAT), data(0, 3, b"beat")]);
    until_payload(&mut raw, 3, 4);
    raw.send(&[data(FIN, 3, b"")]);
    // The rest of its window, in frames of four zero bytes.
    until_payload(&mut raw, 3, WINDOW / 4 * 4);
    let frames: Vec<_> = raw.seen().iter().filter(|frame| data_of(3)(frame)).collect();
    assert_eq!(frames[0].payload, b"beat");
    assert!(frames[1..].iter().all(|frame| frame.payload == [0; 4]));
    assert_eq!(frames.len(), WINDOW / 4);
}

fn type_in_syn(lab: &Lab, kind: Kind) {
    let config = Config::builder().typed(true);
    let mut ours = lab.ours(kind, &["--app", "control", "--typed"], config);
    // Not even a reset overtakes the type: either nothing is sent, or the type first.
    let reset = ours.wait(ours.session.open_typed(StreamType(42))).expect("a stream opens");
    reset.reset(ErrorCode::STREAM_CANCELLED);
    let mut stream = ours.wait(ours.session.open_typed(StreamType(43))).expect("a stream opens");
    ours.wait(stream.write_all(b"hi")).expect("it takes data");
    while ours.peer.must("accept", "s", plain()).stream_type != 43 {}
    assert_eq!(ours.peer.must("read_exact", "s", count(2)).hex, "6869");
    for (id, stream_type) in [(reset.id().get(), 42), (stream.id().get(), 43)] {
        if let Some(first) = ours.sent().iter().find(|frame| frame.header.id == id) {
            assert!(first.header.is_data_with(SYN) && first.header.flags & FIN == 0);
            assert!(first.payload.starts_with(&[0, 0, 0, stream_type]), "{:?}", first.payload);
        }
    }
}

fn not_held_up(lab: &Lab, kind: Kind) {
    let config = Config::builder().typed(true);
    // An untyped peer can send half of a type.
    let mut ours = lab.ours(kind, &["--app", "control"], config);
    ours.peer.must("open", "slow", plain());
    ours.peer.must("write", "slow", hex("0000"));
    ours.peer.must("open", "fast", plain());
    ours.peer.must("write", "fast", hex("0000002a"));
    let fast = ours.wait(ours.session.accept()).expect("the complete one is accepted");
    assert_eq!(fast.stream_type(), Some(StreamType(42)));
    ours.peer.must("write", "slow", hex("0007"));
    ours.peer.must("write", "slow", hex("6869"));
    let mut slow = ours.wait(ours.session.accept()).expect("the other one follows");
    assert_eq!(slow.stream_type(), Some(StreamType(7)));
    let mut data = [0; 2];
    ours.wait(slow.read_exact(&mut data)).expect("it has data");
    assert_eq!(&data, b"hi");
}

/// The peer's heartbeat stream is the first it opens.
const THEIR_HEARTBEAT: u32 = 2;

fn fin_on_heartbeat(lab: &Lab, kind: Kind) {
    // The echo is changed in transit; then this peer half-closes the stream.
    let spoil = |from, mut frame: Frame| {
        if from == From::Dialer && data_of(THEIR_HEARTBEAT)(&frame) {
            frame.payload.iter_mut().for_each(|byte| *byte = !*byte);
        }
        frame
    };
    let config = Config::builder().typed(true);
    let arguments = ["--app", "serve", "--heartbeat", "20,60000"];
    let ours = lab.ours_changed(kind, &arguments, config, Box::new(spoil));
    ours.receives("FIN on the heartbeat stream", fin_of(THEIR_HEARTBEAT));
    let mut stream = ours.wait(ours.session.open_typed(StreamType(42))).expect("a stream opens");
    ours.wait(stream.write_all(b"ehello")).expect("it takes data");
    let mut echo = [0; 5];
    ours.wait(stream.read_exact(&mut echo)).expect("it is echoed");
    assert_eq!(&echo, b"hello");
    let beats = ours.sent().iter().filter(|frame| data_of(THEIR_HEARTBEAT)(frame)).count();
    assert!(beats <= 2, "{beats} frames on a heartbeat stream with one beat");
}

fn heartbeat(interval: u64, tolerance: u64) -> Option<Heartbeat> {
    let [interval, tolerance] = [interval, tolerance].map(Duration::from_millis);
    Some(Heartbeat::new().with_interval(interval).with_tolerance(tolerance))
}

fn no_fin_on_heartbeat(lab: &Lab, kind: Kind) {
    let config = Config::builder().typed(true).heartbeat(heartbeat(10, 10_000));
    let ours = lab.ours(kind, &["--app", "serve", "--heartbeat", "60000,60000"], config);
    for _ in 0..5 {
        ours.wait(ours.session.ping()).expect("the peer answers");
    }
    let is_beat =
        |frame: &Frame| frame.header.is_data_with(SYN) && frame.payload.starts_with(&HEARTBEAT);
    let id = ours.sends("the heartbeat stream", is_beat).header.id;
    assert!(ours.wait(ours.session.close()).is_clean());
    assert!(!ours.sent().iter().any(fin_of(id)), "the heartbeat stream was half-closed");
    // Nothing but echoes has come back.
    let beats = payload(&ours.sent(), id);
    let echoes = payload(&ours.tap.sent_by(From::Listener), id);
    assert!(echoes.len() >= 5 * 4 && beats[4..].starts_with(&echoes), "{echoes:?} for {beats:?}");
}

fn answers_without_accept(lab: &Lab, kind: Kind) {
    let config = Config::builder().typed(true);
    let mut ours = lab.ours(kind, &["--app", "control", "--heartbeat", "20,60000"], config);
    let beats = ours.peer.must("beats", "", Call { count: 3, ..plain() });
    assert!(beats.beats >= 3 && beats.beat_timeouts == 0);
}

fn beat_on_demand(lab: &Lab, kind: Kind) {
    let config = Config::builder().typed(true);
    let mut ours = lab.ours(kind, &["--app", "control", "--heartbeat", "60000,60000"], config);
    for _ in 0..3 {
        ours.peer.must("beat", "", plain());
    }
}

fn finds_the_silent(lab: &Lab, kind: Kind) {
    let config = Config::builder().typed(true).heartbeat(heartbeat(50, 300));
    let ours = lab.ours(kind, &["--app", "control", "--heartbeat", "60000,60000"], config);
    assert_eq!(ours.wait(ours.session.closed()), CloseReason::HeartbeatTimeout);
}
