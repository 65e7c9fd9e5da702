//! Two writers on a new stream: Go decides which one sends the SYN before it decides which one
//! writes first.
//!
//! It happens to about one stream in a thousand, if both writers begin at once, and to none on one
//! processor: the race window is a few instructions. On a machine where other programs keep the
//! processors, it may not happen before the peer's time is up. Then these tests show nothing, and say so.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use muxado_conformance::wire::{self, SYN, rst};
use muxado_interop::process::{Kind, LIMIT};
use muxado_tokio::{Config, ErrorCode};
use tokio::io::AsyncReadExt as _;

use crate::lab::*;

pub(crate) const HAZARDS: &[Hazard] = &[
    Hazard {
        name: "peer: with two writers, data can come before its SYN",
        peers: BOTH_GO,
        run: data_before_syn,
    },
    Hazard {
        name: "ours: a stream whose data came before its SYN fails alone",
        peers: BOTH_GO,
        run: fails_alone,
    },
];

/// Maximum number of streams. The peer stops when its session ends. On a busy machine the writers
/// seldom run at the same time, and then it takes more streams, each of which takes longer.
const STREAMS: usize = 1_000_000;

/// Says that there was no race, in the time that the peer has.
fn no_race(began: Instant, streams: usize) {
    assert!(began.elapsed() > LIMIT / 2, "the session has ended early, after {streams} streams");
    eprintln!("skipped: no race in {streams} streams, the processors are busy");
}

/// What the peer sends when there was no race in any of them.
const NO_RACE: &[u8] = b"no race";

fn data_before_syn(lab: &Lab, kind: Kind) {
    let (mut peer, mut raw) = lab.control(kind);
    peer.call("race", "", count(STREAMS));
    let (mut seen, began) = (BTreeSet::new(), Instant::now());
    let id = loop {
        let Some(frame) = raw.next_frame() else {
            return no_race(began, seen.len());
        };
        assert_ne!(frame.payload, NO_RACE);
        if frame.header.kind == wire::DATA && seen.insert(frame.header.id) {
            if frame.header.flags & SYN == 0 {
                break frame.header.id;
            }
            // So that it does not disturb later streams.
            raw.send(&[rst(frame.header.id, 6)]);
        }
    };
    let syn = raw.until("the SYN", |frame| frame.header.id == id && frame.header.flags & SYN != 0);
    assert_eq!(syn.header.kind, wire::DATA);
}

fn fails_alone(lab: &Lab, kind: Kind) {
    let mut ours = lab.ours(kind, &["--app", "control"], Config::builder());
    let session = ours.session.clone();
    let streams = ours.spawn(async move {
        while let Ok(mut stream) = session.accept().await {
            let mut both = Vec::new();
            if let Err(error) = stream.read_to_end(&mut both).await {
                // The test is over; a stream that begins with its SYN is complete.
                assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{error}");
                return;
            }
            assert_eq!(both, b"xx", "{}", String::from_utf8_lossy(&both));
            drop(stream);
        }
    });
    let began = Instant::now();
    ours.peer.call("race", "", count(STREAMS));
    let session = ours.session.clone();
    let stats = ours.wait(async {
        let ended = || session.close_reason().is_some() || began.elapsed() > LIMIT * 3 / 4;
        while session.stats().resets_sent == 0 && !ended() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        session.stats()
    });
    if stats.resets_sent == 0 {
        return no_race(began, usize::try_from(stats.streams_accepted).expect("it fits"));
    }
    let rst = ours.sends("an RST", |frame| frame.header.kind == wire::RST);
    assert_eq!(rst.u32_at(0), Some(ErrorCode::STREAM_CLOSED.0));
    let first = ours.receives("its first frame", data_of(rst.header.id));
    assert_eq!(first.header.flags & SYN, 0, "a stream with its SYN in front was reset");
    ours.assert_alive();
    ours.session.abort(ErrorCode::NO_ERROR, "enough");
    ours.wait(streams).expect("no stream but that one has failed");
}
