//! GOAWAY and the end of sessions.

use muxado_tests::conformance::wire::{self, FIN, SYN, data, goaway, pad};
use muxado_tests::interop::process::{Kind, Peer};
use muxado_tests::interop::raw::Raw;

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
];

/// A stream that is echoed, and what is sent behind a GOAWAY on it.
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
    assert!(!peer.ask("write", "s", hex("6869")).ok, "it can still write");
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
    assert_eq!(peer.ask("open", "s", plain()).code, 11);
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
