//! Typed streams and heartbeats.

use muxado_tests::conformance::wire::{FIN, SYN, data, rst};
use muxado_tests::interop::process::Kind;

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
];

/// The type of heartbeat streams.
const HEARTBEAT: [u8; 4] = [0xff; 4];

fn split_type(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.raw(kind, &["--app", "control", "--typed"]);
    let accept = peer.call("accept", "s", plain());
    raw.send(&[data(SYN, 3, &[0, 0])]);
    // The type is incomplete, and taken for whole.
    assert!(peer.result(accept).ok);
    raw.send(&[data(0, 3, &[0, 42])]);
    assert_eq!(peer.must("read_exact", "s", count(2)).hex, "002a");
}

fn silent_stream(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.raw(kind, &["--app", "control", "--typed"]);
    raw.send(&[data(SYN, 3, b""), data(SYN, 5, &[0, 0, 0, 42])]);
    let accept = peer.call("accept", "s", plain());
    assert!(peer.result_within(accept, BLOCKED).is_none(), "the second stream is accepted");
    raw.send(&[data(0, 3, &[0, 0, 0, 7])]);
    assert_eq!(peer.result(accept).stream_type, 7);
    assert_eq!(peer.must("accept", "t", plain()).stream_type, 42);
}

fn reset_before_type(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.raw(kind, &["--app", "control", "--typed"]);
    raw.send(&[data(SYN, 3, b""), rst(3, 7), data(SYN, 5, &[0, 0, 0, 42])]);
    let accept = peer.call("accept", "s", plain());
    assert!(peer.result_within(accept, BLOCKED).is_none(), "accept returns");
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
    // What is left of its window, in frames of four zero bytes.
    until_payload(&mut raw, 3, WINDOW / 4 * 4);
    let frames: Vec<_> = raw.seen().iter().filter(|frame| data_of(3)(frame)).collect();
    assert_eq!(frames[0].payload, b"beat");
    assert!(frames[1..].iter().all(|frame| frame.payload == [0; 4]));
    assert_eq!(frames.len(), WINDOW / 4);
}
