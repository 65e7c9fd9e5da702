//! Section 2.7: frame types 4 to 15 are skipped.

use super::super::case::{Case, Stop, Verdict, run};
use super::super::probe::{Probe, pattern};
use super::super::wire::{self, FIN, TOP_BIT};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "unknown-type/empty",
        "2.7",
        "an empty frame of each unknown type",
        "skipped, session alive",
        run!(empty),
    ),
    Case::must(
        "unknown-type/payload",
        "2.7",
        "a frame of each unknown type with 100 bytes",
        "skipped, session alive",
        run!(payload),
    ),
    Case::must(
        "unknown-type/large",
        "2.7",
        "a frame of unknown type with 200,000 bytes",
        "skipped, session alive",
        run!(large),
    ),
    Case::must(
        "unknown-type/any-id-and-flags",
        "2.7",
        "unknown types with all flags, on id 0, of either parity and with the top bit",
        "skipped, session alive",
        run!(any_id_and_flags),
    ),
    Case::must(
        "unknown-type/frames-inside",
        "2.7",
        "an unknown type whose payload looks like frames",
        "skipped, none of them is taken for one",
        run!(frames_inside),
    ),
    Case::must(
        "unknown-type/byte-by-byte",
        "2.8",
        "a frame of unknown type, every byte in a write of its own",
        "skipped, session alive",
        run!(byte_by_byte),
    ),
    Case::must(
        "unknown-type/between",
        "2.7",
        "unknown types between the frames of a stream, and on it",
        "the stream is echoed and ended",
        run!(between),
    ),
];

async fn skipped(mut p: Probe, frames: Vec<u8>) -> Verdict {
    p.send(frames).await?;
    p.alive().await?;
    if let Some(goaway) = p.record.goaways.first() {
        return Err(Stop::failed("no GOAWAY", goaway.to_string()));
    }
    Ok("session alive".into())
}

async fn empty(p: Probe) -> Verdict {
    skipped(p, (4..=15).flat_map(|kind| wire::frame(kind, 0, 0, &[])).collect()).await
}

async fn payload(p: Probe) -> Verdict {
    skipped(p, (4..=15).flat_map(|kind| wire::frame(kind, 0, 0, &[0xff; 100])).collect()).await
}

async fn large(p: Probe) -> Verdict {
    skipped(p, wire::frame(7, 0, 0, &pattern(7, 200_000))).await
}

async fn any_id_and_flags(p: Probe) -> Verdict {
    let ids = [0, p.far_id(), p.their_id(), p.far_id() | TOP_BIT, u32::MAX];
    skipped(p, ids.into_iter().flat_map(|id| wire::frame(9, 0xf, id, b"skip me")).collect()).await
}

async fn frames_inside(mut p: Probe) -> Verdict {
    let id = p.new_id();
    let inside = [p.opening(id, FIN, b"hidden"), wire::goaway(0, 0, &[])].concat();
    p.send(wire::frame(5, 0, 0, &inside)).await?;
    p.alive().await?;
    let stream = p.record.stream(id);
    if stream.is_silent() {
        Ok("session alive".into())
    } else {
        Err(Stop::failed("nothing on the stream inside", stream.to_string()))
    }
}

async fn byte_by_byte(mut p: Probe) -> Verdict {
    for byte in wire::frame(12, 3, 0, &[0xaa; 50]) {
        p.send_raw([byte]).await?;
    }
    p.alive().await?;
    Ok("session alive".into())
}

async fn between(mut p: Probe) -> Verdict {
    let id = p.open(b"one").await?;
    let unknown = wire::frame(8, 0xf, id, b"not DATA");
    let frames = [
        unknown.clone(),
        wire::data(0, id, b"two"),
        unknown.clone(),
        wire::data(FIN, id, b"three"),
        unknown,
    ];
    p.send(frames.concat()).await?;
    p.echo_and_fin(id, b"onetwothree").await?;
    p.alive().await?;
    Ok("11 bytes, FIN".into())
}
