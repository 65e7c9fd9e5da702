//! SYN, FIN and their combinations.

use muxado_tests::conformance::wire::{self, FIN, SYN, data};
use muxado_tests::interop::process::Kind;

use crate::lab::*;

pub(crate) const HAZARDS: &[Hazard] = &[
    Hazard { name: "peer: SYN|FIN kills its write half", peers: BOTH_GO, run: syn_fin_silences },
    Hazard { name: "peer: SYN|FIN is answered", peers: ONLY_NGROK, run: syn_fin_is_answered },
    Hazard { name: "peer: an empty first write loses the SYN", peers: BOTH_GO, run: lost_syn },
    Hazard {
        name: "peer: a stream that never wrote ends in a bare FIN",
        peers: ONLY_NGROK,
        run: bare_fin,
    },
    Hazard {
        name: "peer: half-close without a write is SYN|FIN",
        peers: BOTH_GO,
        run: sends_syn_fin,
    },
    Hazard {
        name: "peer: a second SYN replaces the stream",
        peers: &[Kind::Go, NGROK],
        run: second_syn_replaces,
    },
    Hazard { name: "peer: a second SYN ends the session", peers: GO2, run: second_syn_kills },
    Hazard {
        name: "peer: an unknown frame type ends the session",
        peers: ONLY_NGROK,
        run: unknown_type_kills,
    },
];

fn syn_fin_silences(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.control(kind);
    raw.send(&[data(SYN | FIN, 3, b"req")]);
    peer.must("accept", "s", plain());
    assert_eq!(peer.must("read_exact", "s", count(3)).hex, "726571");
    assert!(!peer.ask("write", "s", hex("6869")).ok, "it can reply to SYN|FIN");
    // The same with SYN and FIN apart.
    raw.send(&[data(SYN, 5, b"req"), data(FIN, 5, b"")]);
    peer.must("accept", "t", plain());
    peer.must("write", "t", hex("6869"));
    assert_eq!(raw.until("a reply", data_of(5)).payload, b"hi");
}

fn syn_fin_is_answered(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.control(kind);
    raw.send(&[data(SYN | FIN, 3, b"req")]);
    peer.must("accept", "s", plain());
    peer.must("write", "s", hex("6869"));
    assert_eq!(raw.until("a reply", data_of(3)).payload, b"hi");
}

fn lost_syn(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.control(kind);
    peer.must("open", "s", plain());
    peer.must("write", "s", hex(""));
    peer.must("write", "s", hex("6869"));
    let first = raw.next_frame().expect("the write goes out");
    assert_eq!((first.header.kind, first.header.flags, first.header.id), (wire::DATA, 0, 2));
}

fn bare_fin(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.control(kind);
    peer.must("open", "s", plain());
    peer.must("close", "s", plain());
    let first = raw.next_frame().expect("the FIN goes out");
    assert_eq!((first.header.kind, first.header.flags, first.header.id), (wire::DATA, FIN, 2));
}

fn sends_syn_fin(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.control(kind);
    peer.must("open", "s", plain());
    peer.must("close_write", "s", plain());
    let first = raw.next_frame().expect("the half-close goes out");
    assert_eq!((first.header.flags, first.header.length), (SYN | FIN, 0));
    // And FIN again when it closes.
    peer.must("close", "s", plain());
    assert_eq!(raw.until("a second FIN", fin_of(2)).header.flags, FIN);
}

fn second_syn_replaces(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.control(kind);
    raw.send(&[data(SYN, 3, b"one"), data(SYN, 3, b"two")]);
    peer.must("accept", "first", plain());
    peer.must("accept", "second", plain());
    // Two handles, and both write on the id.
    peer.must("write", "first", hex("61"));
    peer.must("write", "second", hex("62"));
    until_payload(&mut raw, 3, 2);
    let mut both = payload(raw.seen(), 3);
    both.sort_unstable();
    assert_eq!(both, b"ab");
}

fn second_syn_kills(lab: &Lab, kind: Kind) {
    let (_peer, mut raw) = lab.control(kind);
    raw.send(&[data(SYN, 3, b"one"), data(SYN, 3, b"two")]);
    assert_eq!(raw.until("a GOAWAY", is_goaway).u32_at(4), Some(1));
    raw.until_end();
}

fn unknown_type_kills(lab: &Lab, kind: Kind) {
    let (_peer, mut raw) = lab.control(kind);
    raw.send(&[wire::frame(7, 0, 0, b"")]);
    let goaway = raw.until("a GOAWAY", is_goaway);
    assert_eq!(goaway.u32_at(4), Some(1));
}
