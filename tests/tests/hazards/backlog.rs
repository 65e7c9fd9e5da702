//! Streams nobody has accepted, and too many of them.

use muxado_tests::conformance::wire::{SYN, data, rst};
use muxado_tests::interop::process::Kind;

use crate::lab::*;

pub(crate) const HAZARDS: &[Hazard] = &[
    Hazard {
        name: "peer: a refused stream stays in its table",
        peers: BOTH_GO,
        run: refused_entry_leaks,
    },
    Hazard {
        name: "peer: a full backlog stalls everything",
        peers: ONLY_NGROK,
        run: full_backlog_stalls,
    },
    Hazard {
        name: "peer: too many streams kill its reader unseen",
        peers: ONLY_NGROK,
        run: too_many_streams,
    },
];

/// The ids of the client's first streams.
fn ids(streams: u32) -> impl Iterator<Item = u32> {
    (0..streams).map(|n| 3 + 2 * n)
}

fn refused_entry_leaks(lab: &Lab, kind: Kind) {
    let (_peer, mut raw) = lab.control(kind);
    let syns: Vec<_> = ids(129).map(|id| data(SYN, id, b"x")).collect();
    raw.send(&syns);
    let refused = ids(129).last().expect("there are some");
    assert_eq!(raw.until("a refusal", rst_of(refused)).u32_at(0), Some(9));
    // DATA for a stream that is gone draws RST; here it is taken in silence.
    let unknown = 9999;
    raw.send(&[data(0, refused, b"x"), data(0, unknown, b"x")]);
    raw.until("an RST", rst_of(unknown));
    assert_eq!(raw.seen().iter().filter(|frame| rst_of(refused)(frame)).count(), 1);
    // An RST in return frees the entry.
    raw.send(&[rst(refused, 9), data(0, refused, b"x")]);
    assert_eq!(raw.until("an RST", rst_of(refused)).u32_at(0), Some(4));
}

fn full_backlog_stalls(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.control(kind);
    raw.send(&[data(SYN, 3, b"x")]);
    peer.must("accept", "s", plain());
    peer.must("read_exact", "s", count(1));
    let syns: Vec<_> = ids(71).skip(1).map(|id| data(SYN, id, b"x")).collect();
    raw.send(&syns);
    raw.send(&[data(0, 3, b"late")]);
    let read = peer.call("read_exact", "s", count(4));
    assert!(peer.result_within(read, BLOCKED).is_none(), "the data is not held up");
    for n in 0..70 {
        peer.must("accept", &format!("t{n}"), plain());
    }
    assert_eq!(peer.result(read).hex, "6c617465");
}

fn too_many_streams(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.control(kind);
    for (n, id) in ids(512).enumerate() {
        raw.send(&[data(SYN, id, b"x")]);
        peer.must("accept", &format!("s{n}"), plain());
    }
    raw.send(&[data(SYN, 3 + 2 * 512, b"x")]);
    assert!(!peer.ask("accept", "last", plain()).ok, "the session lives");
    raw.until_end();
    assert!(!raw.seen().iter().any(is_goaway), "it has said something");
}
