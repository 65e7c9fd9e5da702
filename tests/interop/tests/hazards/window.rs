//! Credit.

use muxado_conformance::wire::{SYN, WNDINC, data, wndinc};
use muxado_interop::process::{Kind, Peer};
use muxado_interop::raw::Raw;
use muxado_interop::tap::From;
use muxado_tokio::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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
    Hazard {
        name: "ours: a larger window does not starve a peer that loses credit",
        peers: ONLY_NGROK,
        run: does_not_starve,
    },
    Hazard { name: "ours: tiny reads make few increments, none of 0", peers: ALL, run: tiny_reads },
    Hazard {
        name: "ours: a peer that does not read is not overrun",
        peers: ALL,
        run: does_not_overrun,
    },
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
    assert!(blocks(&mut peer, &mut raw, write, 99), "the write is not blocked");
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

fn does_not_starve(lab: &Lab, kind: Kind) {
    let config = Config::builder().receive_window(8 << 20).auto_tune(false).overcommit(true);
    let mut ours = lab.ours(kind, &["--app", "control"], config);
    ours.peer.must("open", "s", plain());
    let write = ours.peer.call("write", "s", count(4 << 20));
    let mut stream = ours.wait(ours.session.accept()).expect("it is accepted");
    let mut data = vec![1; 4 << 20];
    ours.wait(stream.read_exact(&mut data)).expect("all of it comes");
    assert!(data.iter().all(|&byte| byte == 0));
    assert!(ours.peer.result(write).ok);
}

fn tiny_reads(lab: &Lab, kind: Kind) {
    const LENGTH: usize = 500_000;
    let mut ours = lab.ours(kind, &["--app", "control"], Config::builder());
    ours.peer.must("open", "s", plain());
    let write = ours.peer.call("write", "s", count(LENGTH));
    let mut stream = ours.wait(ours.session.accept()).expect("it is accepted");
    ours.wait(async {
        for _ in 0..LENGTH {
            stream.read_exact(&mut [1]).await.expect("all of it comes");
        }
    });
    assert!(ours.peer.result(write).ok);
    ours.audit();
    let increments = ours.sent().iter().filter(|frame| frame.header.kind == WNDINC).count();
    assert!(increments < 100, "{increments} increments for {LENGTH} bytes");
}

fn does_not_overrun(lab: &Lab, kind: Kind) {
    const LENGTH: usize = 1_000_000;
    let mut ours = lab.ours(kind, &["--app", "control"], Config::builder());
    let mut stream = ours.wait(ours.session.open()).expect("a stream opens");
    let id = stream.id().get();
    let write = ours.spawn(async move {
        stream.write_all(&[0; LENGTH]).await.expect("it takes data");
        stream.shutdown().await.expect("it can be half-closed");
        stream
    });
    ours.peer.must("accept", "s", plain());
    // After a whole window was sent, a new stream shows that no more data follows.
    ours.payload(From::Dialer, id, WINDOW);
    ours.assert_alive();
    assert_eq!(payload(&ours.sent(), id).len(), WINDOW);
    assert_eq!(ours.peer.ask("drain", "s", plain()).n, LENGTH as u64);
    ours.wait(write).expect("the writer is done");
}
