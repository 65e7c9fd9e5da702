//! Too many streams that were not accepted.

use muxado_conformance::wire::{self, SYN, data, rst};
use muxado_interop::process::{Kind, LIMIT};
use muxado_tokio::{Config, ErrorCode, ReadError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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
    Hazard {
        name: "ours: no more streams than the peer's backlog holds",
        peers: ALL,
        run: respects_backlog,
    },
    Hazard {
        name: "ours: a refusal is answered, which frees the entry",
        peers: BOTH_GO,
        run: answers_refusal,
    },
    Hazard {
        name: "ours: no more streams than the peer survives",
        peers: ONLY_NGROK,
        run: respects_table,
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
    // DATA for a stream that is gone causes RST; here it is silently ignored.
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

fn respects_backlog(lab: &Lab, kind: Kind) {
    let (config, backlog) =
        if kind == NGROK { (Config::for_ngrok(), 64) } else { (Config::for_go(), 128) };
    // However long it takes to open them, all of them count.
    let config = config.unanswered_timeout(LIMIT);
    let mut ours = lab.ours(kind, &["--app", "control"], config);
    let mut streams = Vec::new();
    for _ in 0..backlog {
        let mut stream = ours.wait(ours.session.open()).expect("a stream opens");
        ours.wait(stream.write_all(b"x")).expect("it takes data");
        streams.push(stream);
    }
    let session = ours.session.clone();
    let mut one_more = Box::pin(session.open());
    assert!(ours.is_pending(&mut one_more), "one more is opened");
    // Reading is an answer.
    ours.peer.must("accept", "s", plain());
    ours.peer.must("read_exact", "s", count(1));
    ours.wait(one_more).expect("one more is opened");
    let frames = ours.tap.sent_by(muxado_interop::tap::From::Listener);
    assert!(!frames.iter().any(|frame| frame.header.kind == wire::RST), "some were refused");
}

fn answers_refusal(lab: &Lab, kind: Kind) {
    let mut ours = lab.ours(kind, &["--app", "control"], Config::builder());
    let mut streams = Vec::new();
    for _ in 0..129 {
        let mut stream = ours.wait(ours.session.open()).expect("a stream opens");
        ours.wait(stream.write_all(b"x")).expect("it takes data");
        streams.push(stream);
    }
    let mut refused = streams.pop().expect("there are some");
    let error = ours.wait(refused.read(&mut [0])).expect_err("it is refused");
    let error = error.get_ref().and_then(|error| error.downcast_ref::<ReadError>());
    assert_eq!(error, Some(&ReadError::Reset(ErrorCode::ACCEPT_QUEUE_FULL)));
    ours.sends("an RST in return", rst_of(refused.id().get()));
    // The rest is served, and so are new ones.
    for n in 0..128 {
        ours.peer.must("accept", &format!("s{n}"), plain());
    }
    ours.assert_alive();
}

fn respects_table(lab: &Lab, kind: Kind) {
    let ours = lab.ours(kind, &["--app", "echo"], Config::for_ngrok());
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            let session = ours.session.clone();
            ours.spawn(async move {
                let mut stream = session.open().await.expect("a stream opens in its turn");
                stream.write_all(b"hello").await.expect("it takes data");
                stream.shutdown().await.expect("it can be half-closed");
                let mut echo = Vec::new();
                stream.read_to_end(&mut echo).await.expect("it is echoed");
                assert_eq!(echo, b"hello");
            })
        })
        .collect();
    for task in tasks {
        ours.wait(task).expect("the stream does all it should");
    }
    assert_eq!(ours.session.close_reason(), None);
}
