//! SYN, FIN and their combinations.

use muxado_conformance::wire::{self, FIN, SYN, data};
use muxado_interop::process::Kind;
use muxado_tokio::{Config, ErrorCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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
    Hazard { name: "ours: SYN and FIN travel apart", peers: ALL, run: apart },
    Hazard {
        name: "ours: SYN|FIN from the peer is answered",
        peers: BOTH_GO,
        run: answers_syn_fin,
    },
    Hazard {
        name: "ours: a stream that lost its SYN harms no other",
        peers: BOTH_GO,
        run: survives_lost_syn,
    },
    Hazard { name: "ours: an empty first write keeps its SYN", peers: ALL, run: keeps_its_syn },
    Hazard {
        name: "ours: an empty SYN from the peer is accepted",
        peers: ONLY_NGROK,
        run: accepts_empty_syn,
    },
    Hazard { name: "ours: a bare FIN is overlooked", peers: ONLY_NGROK, run: overlooks_bare_fin },
    Hazard {
        name: "ours: a FIN that comes twice is overlooked",
        peers: BOTH_GO,
        run: overlooks_second_fin,
    },
    Hazard {
        name: "ours: a dropped stream that never wrote sends nothing",
        peers: ALL,
        run: drops_in_silence,
    },
    Hazard { name: "ours: the peer's streams may come in any order", peers: ALL, run: any_order },
    Hazard { name: "ours: nothing is sent that some peer cannot stand", peers: ALL, run: audit },
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

fn apart(lab: &Lab, kind: Kind) {
    let mut ours = lab.ours(kind, &["--app", "control"], Config::builder());
    for (name, request) in [("empty", ""), ("request", "req")] {
        let mut stream = ours.wait(ours.session.open()).expect("a stream opens");
        ours.wait(stream.write_all(request.as_bytes())).expect("it takes data");
        ours.wait(stream.shutdown()).expect("it can be half-closed");
        ours.peer.must("accept", name, plain());
        assert_eq!(ours.peer.ask("drain", name, plain()).n, request.len() as u64);
        ours.peer.must("write", name, hex("6869"));
        let mut reply = [0; 2];
        ours.wait(stream.read_exact(&mut reply)).expect("the peer can reply");
        assert_eq!(&reply, b"hi");
    }
    ours.audit();
}

fn answers_syn_fin(lab: &Lab, kind: Kind) {
    let mut ours = lab.ours(kind, &["--app", "control"], Config::builder());
    ours.peer.must("open", "s", plain());
    ours.peer.must("close_write", "s", plain());
    ours.receives("SYN|FIN", |frame| frame.header.is_data_with(SYN | FIN));
    let mut stream = ours.wait(ours.session.accept()).expect("it is accepted");
    assert_eq!(ours.wait(stream.read(&mut [0])).expect("it has ended"), 0);
    ours.wait(stream.write_all(b"hi")).expect("it takes a reply");
    assert_eq!(ours.peer.must("read_exact", "s", count(2)).hex, "6869");
    ours.assert_alive();
}

fn survives_lost_syn(lab: &Lab, kind: Kind) {
    let mut ours = lab.ours(kind, &["--app", "control"], Config::builder());
    ours.peer.must("open", "s", plain());
    ours.peer.must("write", "s", hex(""));
    ours.peer.must("write", "s", hex("6869"));
    let rst = ours.sends("an RST", rst_of(2));
    assert_eq!(rst.u32_at(0), Some(ErrorCode::STREAM_CLOSED.0));
    ours.peer.must("open", "t", plain());
    ours.peer.must("write", "t", hex("6f6b"));
    let mut stream = ours.wait(ours.session.accept()).expect("the next one is accepted");
    let mut data = [0; 2];
    ours.wait(stream.read_exact(&mut data)).expect("it has data");
    assert_eq!(&data, b"ok");
    ours.assert_alive();
}

fn keeps_its_syn(lab: &Lab, kind: Kind) {
    let mut ours = lab.ours(kind, &["--app", "control"], Config::builder());
    let mut stream = ours.wait(ours.session.open()).expect("a stream opens");
    assert_eq!(ours.wait(stream.write(b"")).expect("nothing is a write as well"), 0);
    ours.wait(stream.write_all(b"hi")).expect("it takes data");
    ours.peer.must("accept", "s", plain());
    assert_eq!(ours.peer.must("read_exact", "s", count(2)).hex, "6869");
}

fn accepts_empty_syn(lab: &Lab, kind: Kind) {
    let mut ours = lab.ours(kind, &["--app", "control"], Config::builder());
    ours.peer.must("open", "s", plain());
    ours.peer.must("write", "s", hex(""));
    ours.receives("an empty SYN", |frame| {
        frame.header.is_data_with(SYN) && frame.header.length == 0
    });
    let mut stream = ours.wait(ours.session.accept()).expect("it is accepted");
    ours.peer.must("write", "s", hex("6869"));
    let mut data = [0; 2];
    ours.wait(stream.read_exact(&mut data)).expect("it has data");
    assert_eq!(&data, b"hi");
}

fn overlooks_bare_fin(lab: &Lab, kind: Kind) {
    let mut ours = lab.ours(kind, &["--app", "control"], Config::builder());
    ours.peer.must("open", "s", plain());
    ours.peer.must("close", "s", plain());
    let fin = ours.receives("a bare FIN", |frame| frame.header.is_data_with(FIN));
    assert_eq!(fin.header.flags, FIN);
    ours.assert_alive();
    assert!(!ours.sent().iter().any(rst_of(fin.header.id)), "it was answered");
}

fn overlooks_second_fin(lab: &Lab, kind: Kind) {
    let mut ours = lab.ours(kind, &["--app", "control"], Config::builder());
    ours.peer.must("open", "s", plain());
    ours.peer.must("write", "s", hex("6869"));
    ours.peer.must("close_write", "s", plain());
    let mut stream = ours.wait(ours.session.accept()).expect("it is accepted");
    let mut data = Vec::new();
    ours.wait(stream.read_to_end(&mut data)).expect("it ends well");
    assert_eq!(data, b"hi");
    ours.peer.must("close", "s", plain());
    ours.wait(stream.shutdown()).expect("it can be half-closed");
    ours.assert_alive();
    let frames = ours.tap.sent_by(muxado_interop::tap::From::Listener);
    assert_eq!(frames.iter().filter(|frame| fin_of(2)(frame)).count(), 2);
    assert!(!ours.sent().iter().any(rst_of(2)), "it was answered");
}

fn drops_in_silence(lab: &Lab, kind: Kind) {
    let mut ours = lab.ours(kind, &["--app", "control"], Config::builder());
    let stream = ours.wait(ours.session.open()).expect("a stream opens");
    let id = stream.id().get();
    drop(stream);
    ours.assert_alive();
    // The next stream gets the same id, because the peer has never seen it.
    let sent = ours.sent();
    let first = sent.iter().find(|frame| frame.header.id == id).expect("the id is used again");
    assert_eq!(first.payload, b"alive", "it has sent something");
}

fn any_order(lab: &Lab, kind: Kind) {
    let mut ours = lab.ours(kind, &["--app", "control"], Config::builder());
    for name in ["first", "second"] {
        ours.peer.must("open", name, plain());
    }
    for (name, id) in [("second", 4), ("first", 2)] {
        ours.peer.must("write", name, hex("6869"));
        let mut stream = ours.wait(ours.session.accept()).expect("it is accepted");
        assert_eq!(stream.id().get(), id);
        let mut data = [0; 2];
        ours.wait(stream.read_exact(&mut data)).expect("it has data");
        ours.peer.must("close", name, plain());
    }
    // The most recent id is not the highest.
    ours.session.go_away(ErrorCode::NO_ERROR, "draining");
    assert_eq!(ours.sends("a GOAWAY", is_goaway).u32_at(0), Some(4));
}

/// Many small streams, bulk, tiny reads, resets and a close, through the tap.
fn audit(lab: &Lab, kind: Kind) {
    let config = if kind == NGROK { Config::for_ngrok() } else { Config::for_go() };
    let ours = lab.ours(kind, &["--app", "echo"], config);
    let streams: Vec<_> = (0..200_usize)
        .map(|index| {
            let session = ours.session.clone();
            ours.spawn(async move {
                let stream = session.open().await.expect("a stream opens");
                let length = if index % 50 == 0 { 1 << 20 } else { 100 * (index % 7) };
                let (mut reader, mut writer) = stream.into_split();
                if index % 11 == 10 {
                    writer.write_all(b"to be reset").await.expect("it takes data");
                    return writer.reset(ErrorCode::STREAM_CANCELLED);
                }
                let write = async {
                    writer.write_all(&vec![index as u8; length]).await.expect("it takes data");
                    writer.shutdown().await.expect("it can be half-closed");
                };
                let read = async {
                    let mut buffer = vec![0; if index % 3 == 0 { 7 } else { 64 * 1024 }];
                    let mut count = 0;
                    while let n @ 1.. = reader.read(&mut buffer).await.expect("it has data") {
                        assert!(buffer[..n].iter().all(|&byte| byte == index as u8));
                        count += n;
                    }
                    assert_eq!(count, length);
                };
                tokio::join!(write, read);
            })
        })
        .collect();
    for stream in streams {
        ours.wait(stream).expect("the stream does all it should");
    }
    let reason = ours.wait(ours.session.close());
    assert!(reason.is_clean(), "{reason}");
    ours.audit();
}
