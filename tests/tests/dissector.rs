//! The Wireshark dissector agrees with our decoder on recorded sessions of every peer.
//!
//! Needs `tshark`. Without it the tests print that and pass; with `MUXADO_REQUIRE_TSHARK=1` they
//! fail.

use std::fs::File;
use std::io::{self, BufWriter};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use futures_util::future::join;
use muxado_proto::decode::{Decoder, Item};
use muxado_proto::task::{Capture, Direction};
use muxado_tests::runtime::face::*;
use muxado_tests::runtime::{Runtime, Smol, TokioSingle, Writer as _, read_to_end, write_all};
use muxado_tests::vectors::{self, Transcript};

/// Runs tshark with the dissector over a capture; returns its lines of tab-separated fields.
fn tshark(capture: &Path, filter: &str, fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let lua = Path::new(env!("CARGO_MANIFEST_DIR")).join("../muxado-proto/wireshark/muxado.lua");
    let mut command = Command::new("tshark");
    command.arg("-X").arg(format!("lua_script:{}", lua.display())).arg("-r").arg(capture);
    // The protocol cannot be recognised from a first packet of a few bytes.
    command.args(["-d", "tcp.port==1000,muxado", "-Y", filter, "-T", "fields"]);
    command.args(fields.iter().flat_map(|field| ["-e", field]));
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            let required = std::env::var_os("MUXADO_REQUIRE_TSHARK").is_some_and(|v| v == "1");
            assert!(!required, "tshark: {error}");
            eprintln!("skipped: tshark: {error}");
            return None;
        }
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !errors.contains("Lua"), "{errors}");
    let lines = String::from_utf8_lossy(&output.stdout);
    Some(lines.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

/// A file in the directory of this test's outputs.
fn capture_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The bytes of both directions, in order.
fn conversation(transcript: &Transcript) -> Vec<(Direction, Vec<u8>)> {
    let way = |end| if end == transcript.ends[0] { Direction::Sent } else { Direction::Received };
    transcript.frames().map(|(from, frame)| (way(from), frame.to_bytes())).collect()
}

/// Type, stream and length of each frame of one direction, by our decoder.
fn decoded(frames: &[(Direction, Vec<u8>)], way: Direction) -> Vec<[u32; 3]> {
    let bytes: Vec<u8> =
        frames.iter().filter(|(from, _)| *from == way).flat_map(|(_, b)| b.clone()).collect();
    let (mut decoder, mut input, mut found) = (Decoder::new(0), &bytes[..], Vec::new());
    while let Some(item) = decoder.decode(&mut input) {
        match item {
            Item::Data { id, length, .. } => found.push([1, id.get(), length]),
            Item::Rst { id, .. } => found.push([0, id.get(), 4]),
            Item::WndInc { id, .. } => found.push([2, id.get(), 4]),
            Item::GoAway { .. } => found.push([3, 0, 0]),
            Item::Unknown { header } | Item::Malformed { header, .. } => {
                let [_, _, _, kind, ..] = header.encode();
                found.push([u32::from(kind >> 4), header.id.get(), header.length]);
            }
            Item::Payload { .. } | Item::Skipped(_) => {}
            _ => unreachable!("a kind of item that this test does not know"),
        }
    }
    // The length in the GOAWAY of ngrok's crate is 8 too small: read as a header, the end of the
    // text begins a frame that never arrives.
    if decoder.is_mid_frame() {
        found.pop();
    }
    found
}

/// The dissector's output for the packets from one port.
fn dissected(lines: &[Vec<String>], connection: usize, port: u16) -> Vec<[u32; 3]> {
    let mut found = Vec::new();
    for line in lines {
        let [stream, from, kinds, ids, lengths] = &line[..] else { panic!("{line:?}") };
        if stream.parse() != Ok(connection) || from.parse() != Ok(port) {
            continue;
        }
        let numbers = |text: &str| -> Vec<u32> {
            let numbers = text.split(',').filter(|number| !number.is_empty());
            numbers.map(|number| number.parse().expect("a number")).collect()
        };
        for ((kind, id), length) in
            numbers(kinds).into_iter().zip(numbers(ids)).zip(numbers(lengths))
        {
            // The length of a GOAWAY's text is not an item of the decoder.
            let length = if kind == 3 { 0 } else { length };
            found.push([kind, id, length]);
        }
    }
    found
}

#[test]
fn it_agrees_with_the_decoder_on_every_recorded_session() {
    let transcripts = vectors::all();
    // With packets of a few bytes, and with packets of many frames.
    for (name, packet) in [("small.pcapng", 7), ("large.pcapng", 50_000)] {
        let path = capture_file(name);
        let mut bytes = Vec::new();
        for (index, transcript) in transcripts.iter().enumerate() {
            let port = u16::try_from(2000 + index).expect("a port for each");
            let ours = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
            let theirs = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1000);
            let mut capture =
                Capture::between(&mut bytes, Duration::ZERO, ours, theirs).expect("memory");
            for (step, (way, frame)) in conversation(transcript).iter().enumerate() {
                let now = Duration::from_millis(step as u64);
                // A quarter of a megabyte in tiny packets would only take time.
                let packet = if frame.len() > 4000 { 50_000 } else { packet };
                for piece in frame.chunks(packet) {
                    capture.record(now, *way, piece).expect("memory");
                }
            }
        }
        std::fs::write(&path, &bytes).expect("a file");
        let fields = ["tcp.stream", "tcp.srcport", "muxado.type", "muxado.stream", "muxado.length"];
        let Some(lines) = tshark(&path, "muxado", &fields) else { return };
        let mut compared = 0;
        for (index, transcript) in transcripts.iter().enumerate() {
            let frames = conversation(transcript);
            let port = u16::try_from(2000 + index).expect("a port for each");
            for (way, port) in [(Direction::Sent, port), (Direction::Received, 1000)] {
                let expected = decoded(&frames, way);
                assert_eq!(dissected(&lines, index, port), expected, "{name} {}", transcript.name);
                compared += expected.len();
            }
        }
        assert!(compared > 1000, "{compared} frames");
    }
}

#[test]
fn it_knows_heartbeats_errors_and_quirks() {
    let path = capture_file("quirks.pcapng");
    let mut bytes = Vec::new();
    let mut capture = Capture::new(&mut bytes, Duration::ZERO).expect("memory");
    let mut at = 0;
    let mut record = |way, frame: &[u8]| {
        at += 10;
        capture.record(Duration::from_millis(at), way, frame).expect("memory");
    };
    use Direction::{Received, Sent};
    record(Sent, b"\0\0\x04\x12\0\0\0\x03\xff\xff\xff\xff");
    record(Sent, b"\0\0\x04\x10\0\0\0\x03beat");
    record(Received, b"\0\0\x04\x10\0\0\0\x03beat");
    record(Received, b"\0\0\x03\x13\0\0\0\x02req");
    record(Sent, b"\0\0\x04\x00\0\0\0\x02\0\0\0\x09");
    record(Sent, b"\0\0\x04\x20\0\0\0\x02\0\0\0\0");
    record(Sent, b"\0\0\x0b\x30\0\0\0\0\0\0\0\x02\0\0\0\x0dbye");
    record(Sent, b"\0\0\0\xf0\0\0\0\0");
    std::fs::write(&path, &bytes).expect("a file");
    let fields = [
        "muxado.stream_type",
        "muxado.beat.rtt",
        "muxado.code",
        "muxado.text",
        "_ws.expert.message",
    ];
    let Some(lines) = tshark(&path, "muxado", &fields) else { return };
    let column = |index: usize| -> Vec<&str> {
        lines.iter().map(|line| line.get(index).map_or("", String::as_str)).collect()
    };
    assert_eq!(column(0)[0], "0xffffffff");
    assert_eq!(column(1)[2], "0.010000000", "a beat comes back after 10 ms");
    assert_eq!(column(2)[4..7], ["9", "", "13"]);
    assert_eq!(column(3)[6], "bye");
    for (index, note) in [(3, "SYN and FIN in one frame"), (5, "WNDINC of 0"), (7, "the pad")] {
        assert!(column(4)[index].contains(note), "{:?}", column(4));
    }
}

/// One request and its answer, and the end of the session.
async fn ask<R: Runtime>(client: R::Session, server: R::Session) -> io::Result<()> {
    let mut asked = client.open().await.map_err(io::Error::from)?;
    write_all(&mut asked, b"question").await?;
    asked.half_close().await?;
    let mut answering = server.accept().await.map_err(io::Error::from)?;
    read_to_end(&mut answering).await?;
    write_all(&mut answering, b"answer").await?;
    drop(answering);
    read_to_end(&mut asked).await?;
    drop(asked);
    join(client.close(), server.close()).await;
    Ok(())
}

/// A session on Tokio whose client side is tapped.
async fn tapped_on_tokio(path: &Path) -> io::Result<()> {
    use muxado_tokio::{Config, Session, Tap};

    let (client, server) = tokio::io::duplex(1 << 16);
    let client = Tap::new(client, BufWriter::new(File::create(path)?))?;
    let client = Session::client(client, Config::default());
    ask::<TokioSingle>(client, Session::server(server, Config::default())).await
}

/// The same on smol.
async fn tapped_on_smol(path: &Path) -> io::Result<()> {
    use muxado_smol::{Config, Session, Tap};

    let (client, server) = smol::net::unix::UnixStream::pair()?;
    let client = Tap::new(client, BufWriter::new(File::create(path)?))?;
    let client = Session::client(client, Config::default());
    ask::<Smol>(client, Session::server(server, Config::default())).await
}

#[test]
fn it_opens_what_a_tap_has_recorded() {
    let (tokio, smol) = (capture_file("tokio.pcapng"), capture_file("smol.pcapng"));
    TokioSingle::run(tapped_on_tokio(&tokio)).expect("an answer");
    Smol::run(tapped_on_smol(&smol)).expect("an answer");
    for path in [tokio, smol] {
        let fields = ["tcp.srcport", "muxado.type", "muxado.data", "muxado.flags.fin"];
        let Some(lines) = tshark(&path, "muxado.type == 1", &fields) else { return };
        // The payload that each side has sent, and its FIN.
        for (port, payload) in [("40000", "question"), ("40001", "answer")] {
            let sent: Vec<_> = lines.iter().filter(|line| line[0] == port).collect();
            let hex: String = payload.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert!(sent.iter().any(|line| line[2].contains(&hex)), "{payload}: {lines:?}");
            assert!(sent.iter().any(|line| line[3].contains('1')), "FIN: {lines:?}");
        }
    }
}
