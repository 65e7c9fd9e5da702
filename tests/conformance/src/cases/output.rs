//! Checks of the endpoint's own frames, after traffic of every kind.

use super::super::case::{Case, Stop, Verdict, run};
use super::super::probe::Probe;
use super::super::record::Record;
use super::super::wire::{self, FIN, SYN};
use super::traffic;

pub(super) const CASES: &[Case] = &[
    Case::must(
        "output/no-syn",
        "4.3",
        "streams that the endpoint accepts",
        "none of its frames on them has SYN",
        run!(no_syn),
    ),
    Case::must(
        "output/no-syn-fin",
        "4.2",
        "traffic of every kind",
        "no frame has both SYN and FIN",
        run!(no_syn_fin),
    ),
    Case::must(
        "output/ids",
        "3.4",
        "traffic of every kind",
        "no id has its top bit set, and none is unknown to the peer",
        run!(ids),
    ),
    Case::must(
        "output/control-lengths",
        "2.4",
        "traffic of every kind",
        "RST and WNDINC have a payload of 4 bytes",
        run!(control_lengths),
    ),
    Case::must(
        "output/known-types",
        "2.7",
        "traffic of every kind",
        "no frame of an unknown type",
        run!(known_types),
    ),
    Case::must(
        "output/nothing-after-fin",
        "4.4",
        "traffic of every kind",
        "no byte on a stream after its FIN",
        run!(nothing_after_fin),
    ),
    Case::should(
        "output/flags",
        "2.2",
        "traffic of every kind",
        "no undefined flag, no flag on RST and WNDINC",
        run!(flags),
    ),
    Case::should(
        "output/one-fin",
        "4.4",
        "streams that both ends finish",
        "one FIN per stream",
        run!(one_fin),
    ),
    Case::should(
        "output/no-empty-data",
        "2.3",
        "traffic of every kind",
        "no DATA without payload, SYN and FIN",
        run!(no_empty_data),
    ),
    Case::should(
        "output/frame-size",
        "6.1",
        "traffic of every kind",
        "DATA frames of at most 16 KiB, so that streams interleave",
        run!(frame_size),
    ),
];

/// Checks every frame that came.
async fn every_frame(
    mut p: Probe,
    wanted: &str,
    fault: impl Fn(&Record, wire::Header) -> bool,
) -> Verdict {
    traffic(&mut p).await?;
    let mut headers = p.record.frames.iter().map(|frame| frame.header);
    match headers.find(|&header| fault(&p.record, header)) {
        Some(header) => Err(Stop::failed(wanted, header.to_string())),
        None => Ok(format!("{} frames", p.record.frames.len())),
    }
}

async fn no_syn(p: Probe) -> Verdict {
    let own = p.their_id() % 2;
    every_frame(p, "no SYN", move |_, header| header.id % 2 != own && header.is_data_with(SYN))
        .await
}

async fn no_syn_fin(p: Probe) -> Verdict {
    every_frame(p, "no SYN|FIN", |_, header| header.is_data_with(SYN | FIN)).await
}

async fn ids(mut p: Probe) -> Verdict {
    traffic(&mut p).await?;
    let own = p.their_id() % 2;
    let beyond = p.new_id();
    for (id, _) in p.record.streams() {
        let known = if id % 2 == own {
            p.record.headers_of(id).any(|header| header.is_data_with(SYN))
        } else {
            id < beyond
        };
        if id == 0 || !known {
            return Err(Stop::failed("known ids", format!("a frame on stream {id}")));
        }
    }
    Ok(format!("{} frames", p.record.frames.len()))
}

async fn control_lengths(p: Probe) -> Verdict {
    every_frame(p, "4 bytes", |_, header| {
        matches!(header.kind, wire::RST | wire::WNDINC) && header.length != 4
    })
    .await
}

async fn known_types(p: Probe) -> Verdict {
    every_frame(p, "types 0 to 3", |_, header| header.kind > wire::GOAWAY).await
}

async fn nothing_after_fin(mut p: Probe) -> Verdict {
    traffic(&mut p).await?;
    for (id, _) in p.record.streams() {
        let mut after =
            p.record.headers_of(id).skip_while(|header| !header.is_data_with(FIN)).skip(1);
        if let Some(late) = after.find(|header| header.kind == wire::DATA && header.length > 0) {
            return Err(Stop::failed("nothing after FIN", late.to_string()));
        }
    }
    Ok(format!("{} frames", p.record.frames.len()))
}

async fn flags(p: Probe) -> Verdict {
    every_frame(p, "defined flags only", |_, header| match header.kind {
        wire::DATA => header.flags & !(SYN | FIN) != 0,
        _ => header.flags != 0,
    })
    .await
}

async fn one_fin(mut p: Probe) -> Verdict {
    traffic(&mut p).await?;
    // A second FIN may arrive some time after the first.
    for _ in 0..3 {
        p.alive().await?;
    }
    let most = p.record.streams().map(|(_, stream)| stream.fins).max().unwrap_or(0);
    if most == 1 {
        Ok("one each".into())
    } else {
        Err(Stop::failed("one FIN per stream", format!("{most} on one stream")))
    }
}

async fn no_empty_data(p: Probe) -> Verdict {
    every_frame(p, "no empty DATA", |_, header| {
        header.kind == wire::DATA && header.length == 0 && header.flags & (SYN | FIN) == 0
    })
    .await
}

async fn frame_size(mut p: Probe) -> Verdict {
    traffic(&mut p).await?;
    let largest = p.record.streams().map(|(_, stream)| stream.largest).max().unwrap_or(0);
    if largest <= 16_384 {
        Ok(format!("at most {largest} bytes"))
    } else {
        Err(Stop::failed("at most 16384 bytes", format!("{largest} bytes")))
    }
}
