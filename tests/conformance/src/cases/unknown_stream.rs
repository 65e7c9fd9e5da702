//! Section 4.7: frames for streams that do not exist.

use super::super::case::{Case, Stop, Verdict, run};
use super::super::probe::{Probe, pattern};
use super::super::wire::{self, FIN};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "unknown-stream/data",
        "4.7",
        "DATA on a stream that was never opened",
        "RST(4), session alive",
        run!(data),
    ),
    Case::must(
        "unknown-stream/data-with-fin",
        "4.7",
        "DATA with payload and FIN on a stream that was never opened",
        "RST(4), session alive",
        run!(data_with_fin),
    ),
    Case::must(
        "unknown-stream/large",
        "4.7",
        "200,000 bytes in one frame on a stream that was never opened",
        "RST(4), the payload is skipped, session alive",
        run!(large),
    ),
    Case::should(
        "unknown-stream/header-first",
        "4.7",
        "the header of such a frame, without its payload",
        "RST(4) before the payload is there",
        run!(header_first),
    ),
    Case::should(
        "unknown-stream/once",
        "4.7",
        "ten DATA frames on a stream that was never opened",
        "one RST(4)",
        run!(once),
    ),
    Case::must(
        "unknown-stream/several",
        "4.7",
        "DATA on 20 streams that were never opened",
        "RST(4) on each, session alive",
        run!(several),
    ),
    Case::must(
        "unknown-stream/finished",
        "4.7",
        "DATA on a stream that both ends have finished",
        "RST(4), session alive",
        run!(finished),
    ),
    Case::must(
        "unknown-stream/empty",
        "4.7",
        "DATA without payload and FIN on a stream that was never opened",
        "nothing or RST(4), session alive",
        run!(empty),
    ),
];

async fn answered(mut p: Probe, frames: Vec<u8>, id: u32) -> Verdict {
    p.send(frames).await?;
    p.reset_with(id, 4).await?;
    p.alive().await?;
    Ok("RST(4), session alive".into())
}

async fn data(p: Probe) -> Verdict {
    let id = p.far_id();
    answered(p, wire::data(0, id, b"who?"), id).await
}

async fn data_with_fin(p: Probe) -> Verdict {
    let id = p.far_id();
    answered(p, wire::data(FIN, id, b"who?"), id).await
}

async fn large(p: Probe) -> Verdict {
    let id = p.far_id();
    answered(p, wire::data(0, id, &pattern(id, 200_000)), id).await
}

async fn header_first(mut p: Probe) -> Verdict {
    let id = p.far_id();
    p.send_raw(wire::header(wire::DATA, 0, id, 100_000)).await?;
    p.reset_with(id, 4).await?;
    p.send_raw(pattern(id, 100_000)).await?;
    p.alive().await?;
    Ok("RST(4), session alive".into())
}

async fn once(mut p: Probe) -> Verdict {
    let id = p.far_id();
    p.send(wire::data(0, id, b"who?").repeat(10)).await?;
    p.reset_with(id, 4).await?;
    p.alive().await?;
    match p.record.stream(id).resets.len() {
        1 => Ok("one RST(4)".into()),
        several => Err(Stop::failed("one RST(4)", format!("{several} RSTs"))),
    }
}

async fn several(mut p: Probe) -> Verdict {
    let first = p.far_id();
    let ids = (0..20).map(|n| first + 2 * n);
    p.send(ids.clone().flat_map(|id| wire::data(0, id, b"who?")).collect::<Vec<u8>>()).await?;
    for id in ids {
        p.reset_with(id, 4).await?;
    }
    p.alive().await?;
    Ok("20 times RST(4), session alive".into())
}

async fn finished(mut p: Probe) -> Verdict {
    let id = p.request(b"done").await?;
    p.echo_and_fin(id, b"done").await?;
    answered(p, wire::data(0, id, b"late"), id).await
}

async fn empty(mut p: Probe) -> Verdict {
    let id = p.far_id();
    p.send(wire::data(0, id, &[])).await?;
    p.alive().await?;
    match p.record.stream(id).resets[..] {
        [] => Ok("nothing, session alive".into()),
        [4] => Ok("RST(4), session alive".into()),
        ref other => Err(Stop::failed("nothing or RST(4)", format!("RSTs {other:?}"))),
    }
}
