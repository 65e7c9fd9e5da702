//! Section 8: streams that begin with a type.

use super::super::case::{Case, Stop, Verdict, run};
use super::super::probe::{Probe, STREAM_TYPE, pattern};
use super::super::wire::{self, FIN, SYN};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "typed/alone-in-syn",
        "8.2",
        "the type in the SYN frame, data in its own",
        "the data comes back without the type, then FIN",
        run!(alone_in_syn),
    )
    .typed(),
    Case::must(
        "typed/with-data",
        "8.3",
        "type and data in one SYN frame",
        "the data comes back without the type, then FIN",
        run!(with_data),
    )
    .typed(),
    Case::must(
        "typed/empty-syn",
        "8.3",
        "an empty SYN, then the whole type",
        "the stream works",
        run!(empty_syn),
    )
    .typed(),
    Case::must(
        "typed/split-2-2",
        "8.3",
        "the type in two frames of two bytes",
        "the stream works",
        run!(split_2_2),
    )
    .typed(),
    Case::must(
        "typed/split-with-data",
        "8.3",
        "three bytes of the type, then one and the data",
        "the stream works",
        run!(split_with_data),
    )
    .typed(),
    Case::must(
        "typed/byte-by-byte",
        "8.3",
        "the type and the data in frames of one byte",
        "the stream works",
        run!(byte_by_byte),
    )
    .typed(),
    Case::must(
        "typed/any-type",
        "8.1",
        "the types 0, 1, 0x7fffffff, 0x80000000 and 0xfffffffe",
        "all are the application's: echoed",
        run!(any_type),
    )
    .typed(),
    Case::must(
        "typed/silent-stream",
        "8.3",
        "five SYNs without their type, then a stream with its",
        "the last one is echoed: silence delays nobody",
        run!(silent_stream),
    )
    .typed(),
    Case::must(
        "typed/late-type",
        "8.3",
        "a SYN without its type, another stream, then the type",
        "both are echoed",
        run!(late_type),
    )
    .typed(),
    Case::must(
        "typed/syn-fin",
        "8.3",
        "SYN and FIN without a type",
        "session alive",
        run!(syn_fin),
    )
    .typed(),
    Case::must(
        "typed/part-then-fin",
        "8.3",
        "two bytes of the type, then FIN",
        "session alive",
        run!(part_then_fin),
    )
    .typed(),
    Case::must(
        "typed/part-then-reset",
        "8.3",
        "two bytes of the type, then RST",
        "session alive",
        run!(part_then_reset),
    )
    .typed(),
    Case::must(
        "typed/type-counts",
        "5.1",
        "type and data that fill the window together",
        "everything comes back",
        run!(type_counts),
    )
    .typed(),
];

const TYPE: [u8; 4] = STREAM_TYPE.to_be_bytes();

async fn works(mut p: Probe, frames: Vec<u8>, id: u32, data: &[u8]) -> Verdict {
    p.send(frames).await?;
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, data).await?;
    p.alive().await?;
    Ok(format!("{} bytes, FIN", data.len()))
}

async fn alone_in_syn(mut p: Probe) -> Verdict {
    let id = p.new_id();
    let frames = [wire::data(SYN, id, &TYPE), wire::data(0, id, b"data")].concat();
    works(p, frames, id, b"data").await
}

async fn with_data(mut p: Probe) -> Verdict {
    let id = p.new_id();
    let frames = wire::data(SYN, id, &[&TYPE[..], b"data"].concat());
    works(p, frames, id, b"data").await
}

async fn empty_syn(mut p: Probe) -> Verdict {
    let id = p.new_id();
    let frames = [wire::data(SYN, id, &[]), wire::data(0, id, &TYPE), wire::data(0, id, b"data")];
    works(p, frames.concat(), id, b"data").await
}

async fn split_2_2(mut p: Probe) -> Verdict {
    let id = p.new_id();
    p.send(wire::data(SYN, id, &TYPE[..2])).await?;
    p.received().await?;
    let frames = [wire::data(0, id, &TYPE[2..]), wire::data(0, id, b"data")].concat();
    works(p, frames, id, b"data").await
}

async fn split_with_data(mut p: Probe) -> Verdict {
    let id = p.new_id();
    let (begin, end) = TYPE.split_at(3);
    p.send(wire::data(SYN, id, begin)).await?;
    p.received().await?;
    works(p, wire::data(0, id, &[end, b"data"].concat()), id, b"data").await
}

async fn byte_by_byte(mut p: Probe) -> Verdict {
    let id = p.new_id();
    let mut flags = SYN;
    for byte in [&TYPE[..], b"data"].concat() {
        p.send(wire::data(flags, id, &[byte])).await?;
        p.received().await?;
        flags = 0;
    }
    works(p, Vec::new(), id, b"data").await
}

async fn any_type(mut p: Probe) -> Verdict {
    for value in [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe_u32] {
        let id = p.new_id();
        p.send(wire::data(SYN, id, &value.to_be_bytes())).await?;
        p.send([wire::data(0, id, b"data"), wire::data(FIN, id, &[])].concat()).await?;
        p.echo_and_fin(id, b"data").await?;
    }
    Ok("5 streams echoed".into())
}

async fn silent_stream(mut p: Probe) -> Verdict {
    for _ in 0..5 {
        let id = p.new_id();
        p.send(wire::data(SYN, id, &[])).await?;
    }
    p.alive().await?;
    Ok("the other stream echoed".into())
}

async fn late_type(mut p: Probe) -> Verdict {
    let id = p.new_id();
    p.send(wire::data(SYN, id, &TYPE[..1])).await?;
    p.alive().await?;
    works(p, wire::data(0, id, &[&TYPE[1..], b"data"].concat()), id, b"data").await
}

/// Sends a stream that never gets its type, and expects no effect on other streams.
async fn survives(mut p: Probe, id: u32, frames: Vec<u8>) -> Verdict {
    p.send(frames).await?;
    p.alive().await?;
    let stream = p.record.stream(id);
    if stream.data.is_empty() {
        Ok("session alive".into())
    } else {
        Err(Stop::failed("no data on a stream without type", stream.to_string()))
    }
}

async fn syn_fin(mut p: Probe) -> Verdict {
    let id = p.new_id();
    survives(p, id, wire::data(SYN | FIN, id, &[])).await
}

async fn part_then_fin(mut p: Probe) -> Verdict {
    let id = p.new_id();
    survives(p, id, [wire::data(SYN, id, &TYPE[..2]), wire::data(FIN, id, &[])].concat()).await
}

async fn part_then_reset(mut p: Probe) -> Verdict {
    let id = p.new_id();
    survives(p, id, [wire::data(SYN, id, &TYPE[..2]), wire::rst(id, 6)].concat()).await
}

async fn type_counts(mut p: Probe) -> Verdict {
    let id = p.new_id();
    let payload = pattern(id, p.settings.window as usize - 4);
    works(p, wire::data(SYN, id, &[&TYPE[..], &payload].concat()), id, &payload).await
}
