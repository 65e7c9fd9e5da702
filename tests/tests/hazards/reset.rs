//! RST.

use muxado_tests::conformance::wire::{SYN, data, rst, wndinc};
use muxado_tests::interop::process::{Kind, Peer};
use muxado_tests::interop::raw::Raw;

use crate::lab::*;

pub(crate) const HAZARDS: &[Hazard] = &[
    Hazard {
        name: "peer: RST with code 0 does not stop its writer",
        peers: ONLY_NGROK,
        run: code_0_is_ignored,
    },
    Hazard {
        name: "peer: RST does not wake a blocked writer",
        peers: ONLY_NGROK,
        run: blocked_writer_sleeps,
    },
    Hazard {
        name: "peer: an increment, then RST, wakes a blocked writer",
        peers: ALL,
        run: increment_wakes,
    },
    Hazard {
        name: "peer: a closed stream answers data with RST",
        peers: ALL,
        run: closed_stream_resets,
    },
];

/// Opens another stream, which shows that what was sent before has been taken in.
fn barrier(peer: &mut Peer, raw: &mut Raw, id: u32) {
    raw.send(&[data(SYN, id, b"x")]);
    peer.must("accept", "barrier", plain());
}

fn code_0_is_ignored(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.control(kind);
    raw.send(&[data(SYN, 3, b"x"), rst(3, 0)]);
    peer.must("accept", "s", plain());
    barrier(&mut peer, &mut raw, 5);
    peer.must("write", "s", hex("6869"));
    assert_eq!(raw.until("data in spite of RST", data_of(3)).payload, b"hi");
}

/// A writer that has used up its window.
fn blocked_writer(lab: &Lab, kind: Kind) -> (Peer, Raw, u64) {
    let (mut peer, mut raw) = lab.control(kind);
    raw.send(&[data(SYN, 3, b"x")]);
    peer.must("accept", "s", plain());
    let write = peer.call("write", "s", count(WINDOW + 1000));
    until_payload(&mut raw, 3, WINDOW);
    (peer, raw, write)
}

fn blocked_writer_sleeps(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw, write) = blocked_writer(lab, kind);
    raw.send(&[rst(3, 7)]);
    barrier(&mut peer, &mut raw, 5);
    assert!(peer.result_within(write, BLOCKED).is_none(), "the writer has woken");
}

fn increment_wakes(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw, write) = blocked_writer(lab, kind);
    raw.send(&[wndinc(3, 1), rst(3, 7)]);
    assert!(!peer.result(write).ok, "the write has succeeded");
}

fn closed_stream_resets(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.control(kind);
    raw.send(&[data(SYN, 3, b"x")]);
    peer.must("accept", "s", plain());
    peer.must("close", "s", plain());
    raw.until("FIN", fin_of(3));
    // ngrok's crate takes the stream from its table only some time after the FIN.
    barrier(&mut peer, &mut raw, 5);
    raw.send(&[data(0, 3, b"y")]);
    assert_eq!(raw.until("an RST", rst_of(3)).u32_at(0), Some(4));
}
