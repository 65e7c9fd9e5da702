//! RST.

use core::time::Duration;

use muxado_conformance::wire::{SYN, WNDINC, data, rst, wndinc};
use muxado_interop::process::{Kind, Peer};
use muxado_interop::raw::Raw;
use muxado_interop::tap::From;
use muxado_tokio::{Config, ErrorCode, WriteError};
use tokio::io::AsyncWriteExt as _;

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
    Hazard { name: "ours: RST never says 0", peers: ALL, run: never_says_0 },
    Hazard { name: "ours: a reset wakes the peer's blocked writer", peers: ALL, run: reset_wakes },
    Hazard {
        name: "ours: a stream the peer has closed ends in an error, alone",
        peers: ALL,
        run: closed_by_peer,
    },
];

/// Opens another stream, which shows that everything sent before was handled.
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
    assert!(blocks(&mut peer, &mut raw, write, 99), "the writer has woken");
}

/// A fast ngrok writer spends the increment before it sees the RST, and sleeps again: the test only
/// shows that it wakes at all.
fn increment_wakes(lab: &Lab, kind: Kind) {
    let woken = (0..5).find_map(|_| {
        let (mut peer, mut raw, write) = blocked_writer(lab, kind);
        raw.send(&[wndinc(3, 1), rst(3, 7)]);
        peer.result_within(write, Duration::from_secs(5))
    });
    assert!(woken.is_some_and(|result| !result.ok), "no writer has woken, or a write succeeded");
}

fn closed_stream_resets(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.control(kind);
    raw.send(&[data(SYN, 3, b"x")]);
    peer.must("accept", "s", plain());
    peer.must("close", "s", plain());
    raw.until("FIN", fin_of(3));
    // ngrok's crate removes the stream from its table only some time after the FIN.
    barrier(&mut peer, &mut raw, 5);
    raw.send(&[data(0, 3, b"y")]);
    assert_eq!(raw.until("an RST", rst_of(3)).u32_at(0), Some(4));
}

fn never_says_0(lab: &Lab, kind: Kind) {
    let mut ours = lab.ours(kind, &["--app", "control"], Config::builder());
    let mut stream = ours.wait(ours.session.open()).expect("a stream opens");
    ours.wait(stream.write_all(b"x")).expect("it takes data");
    ours.peer.must("accept", "s", plain());
    stream.reset(ErrorCode::NO_ERROR);
    let rst = ours.sends("an RST", rst_of(stream.id().get()));
    assert!(rst.u32_at(0).is_some_and(|code| code != 0));
    ours.assert_alive();
    assert!(!ours.peer.ask("write", "s", hex("6869")).ok, "it can still write");
}

fn reset_wakes(lab: &Lab, kind: Kind) {
    let mut ours = lab.ours(kind, &["--app", "control"], Config::builder());
    ours.peer.must("open", "s", plain());
    let write = ours.peer.call("write", "s", count(WINDOW + 1000));
    let stream = ours.wait(ours.session.accept()).expect("it is accepted");
    ours.payload(From::Listener, 2, WINDOW);
    // Frames that passed the tap before this have arrived, too.
    ours.assert_alive();
    assert_eq!(stream.stats().receive_buffered as usize, WINDOW);
    stream.reset(ErrorCode::STREAM_CANCELLED);
    assert!(!ours.peer.result(write).ok, "the write has succeeded");
    ours.assert_alive();
    let increment = ours.sent().iter().position(|f| f.header.kind == WNDINC && f.header.id == 2);
    let rst = ours.sent().iter().position(rst_of(2));
    assert!(increment.is_some() && increment < rst, "no increment before the RST");
}

fn closed_by_peer(lab: &Lab, kind: Kind) {
    let mut ours = lab.ours(kind, &["--app", "control"], Config::builder());
    let mut stream = ours.wait(ours.session.open()).expect("a stream opens");
    ours.wait(stream.write_all(b"x")).expect("it takes data");
    ours.peer.must("accept", "s", plain());
    ours.peer.must("close", "s", plain());
    let id = stream.id().get();
    ours.receives("FIN", fin_of(id));
    let error = loop {
        if let Err(error) = ours.wait(stream.write_all(b"y")) {
            break error;
        }
        ours.assert_alive();
    };
    let error = error.get_ref().and_then(|error| error.downcast_ref::<WriteError>());
    assert_eq!(error, Some(&WriteError::Reset(ErrorCode::STREAM_CLOSED)));
    ours.assert_alive();
}
