//! Credit.

use muxado_tests::conformance::wire::{SYN, data, wndinc};
use muxado_tests::interop::process::{Kind, Peer};
use muxado_tests::interop::raw::Raw;

use crate::lab::*;

pub(crate) const HAZARDS: &[Hazard] = &[
    Hazard {
        name: "peer: an increment of 0 ends the session",
        peers: BOTH_GO,
        run: zero_increment_kills,
    },
    Hazard {
        name: "peer: credit above the initial window is lost",
        peers: ONLY_NGROK,
        run: credit_is_clamped,
    },
    Hazard {
        name: "peer: credit above the initial window counts",
        peers: BOTH_GO,
        run: credit_counts,
    },
    Hazard { name: "peer: an overrun window resets the stream", peers: ALL, run: overrun_resets },
];

fn zero_increment_kills(lab: &Lab, kind: Kind) {
    let (_peer, mut raw) = lab.control(kind);
    raw.send(&[data(SYN, 3, b"x"), wndinc(3, 0)]);
    assert_eq!(raw.until("a GOAWAY", is_goaway).u32_at(4), Some(1));
    raw.until_end();
}

/// Grants a million bytes on a stream whose window is untouched, then lets the peer write as much.
fn grant_a_million(lab: &Lab, kind: Kind) -> (Peer, Raw, u64) {
    let (mut peer, mut raw) = lab.control(kind);
    raw.send(&[data(SYN, 3, b"x"), wndinc(3, 1_000_000)]);
    peer.must("accept", "s", plain());
    // A stream accepted after the grant shows that the grant has arrived.
    raw.send(&[data(SYN, 5, b"x")]);
    peer.must("accept", "t", plain());
    let write = peer.call("write", "s", count(1_000_000));
    until_payload(&mut raw, 3, WINDOW);
    (peer, raw, write)
}

fn credit_is_clamped(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw, write) = grant_a_million(lab, kind);
    // Of the million, one window is left.
    until_payload(&mut raw, 3, 2 * WINDOW);
    assert!(peer.result_within(write, BLOCKED).is_none(), "the write is not blocked");
    peer.must("write", "t", hex("00"));
    raw.until("the other stream", data_of(5));
    assert_eq!(payload(raw.seen(), 3).len(), 2 * WINDOW);
}

fn credit_counts(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw, write) = grant_a_million(lab, kind);
    until_payload(&mut raw, 3, 1_000_000);
    assert!(peer.result(write).ok);
}

fn overrun_resets(lab: &Lab, kind: Kind) {
    let (_peer, mut raw) = lab.control(kind);
    raw.send(&[data(SYN, 3, &vec![0; WINDOW]), data(0, 3, b"x")]);
    assert_eq!(raw.until("an RST", rst_of(3)).u32_at(0), Some(3));
}
