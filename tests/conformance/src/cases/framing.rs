//! Section 2: frames in any chunking, flags, sizes.

use super::super::case::{Case, Verdict, run};
use super::super::probe::{Probe, pattern};
use super::super::wire::{self, FIN, RST, SYN, WNDINC};
use super::{blocked_writer, comes_to};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "framing/echo",
        "2.3",
        "SYN, DATA and FIN, each in a frame and a write of its own",
        "the bytes come back, then FIN",
        run!(echo),
    ),
    Case::must(
        "framing/byte-by-byte",
        "2.8",
        "every byte of the frames in a write of its own",
        "the bytes come back, then FIN",
        run!(byte_by_byte),
    ),
    Case::must(
        "framing/joined",
        "2.8",
        "the frames of 20 streams in one write",
        "every stream is echoed and ended",
        run!(joined),
    ),
    Case::must(
        "framing/split-header",
        "2.8",
        "a frame cut at every byte of its header",
        "every stream is echoed and ended",
        run!(split_header),
    ),
    Case::must(
        "framing/split-payload",
        "2.8",
        "frames on one stream, cut at every byte of their payload",
        "the bytes come back, then FIN",
        run!(split_payload),
    ),
    Case::must(
        "framing/sizes",
        "2.3",
        "DATA frames of 1 to 500 bytes on one stream",
        "the bytes come back, then FIN",
        run!(sizes),
    ),
    Case::must(
        "framing/large",
        "2.3",
        "one DATA frame as large as the window",
        "the bytes come back, then FIN",
        run!(large),
    ),
    Case::must(
        "framing/interleaved",
        "2.3",
        "frames of 16 streams in turn",
        "every stream gets its own bytes back",
        run!(interleaved),
    ),
    Case::must(
        "framing/empty-data",
        "2.3",
        "empty DATA without FIN between two others",
        "it changes nothing",
        run!(empty_data),
    ),
    Case::must(
        "framing/empty-syn",
        "4.2",
        "SYN without payload, then DATA and FIN",
        "the bytes come back, then FIN",
        run!(empty_syn),
    )
    .untyped(),
    Case::must(
        "framing/undefined-flags",
        "2.2",
        "DATA with flag bits 0x4 and 0x8 set",
        "they are ignored",
        run!(undefined_flags),
    ),
    Case::must(
        "framing/undefined-flags-control",
        "2.2",
        "WNDINC and RST with flag bits 0x4 and 0x8 set",
        "they are ignored, the frames are not",
        run!(undefined_flags_control),
    ),
    Case::should(
        "framing/syn-bit-on-control",
        "2.2",
        "RST and WNDINC with the SYN bit on unknown streams, then DATA there",
        "no stream is created: RST(4)",
        run!(syn_bit_on_control),
    ),
];

async fn echo(mut p: Probe) -> Verdict {
    let id = p.open(b"hi").await?;
    p.send(wire::data(0, id, b"!")).await?;
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, b"hi!").await?;
    Ok("3 bytes, FIN".into())
}

async fn byte_by_byte(mut p: Probe) -> Verdict {
    let id = p.new_id();
    let payload = pattern(id, 100);
    for byte in p.opening(id, FIN, &payload) {
        p.send_raw([byte]).await?;
        tokio::task::yield_now().await;
    }
    p.echo_and_fin(id, &payload).await?;
    Ok("100 bytes, FIN".into())
}

async fn joined(mut p: Probe) -> Verdict {
    let ids: Vec<u32> = (0..20).map(|_| p.new_id()).collect();
    let frames: Vec<u8> = ids.iter().flat_map(|&id| p.opening(id, FIN, &pattern(id, 50))).collect();
    p.send(frames).await?;
    for id in ids {
        p.echo_and_fin(id, &pattern(id, 50)).await?;
    }
    Ok("20 streams echoed".into())
}

async fn split_header(mut p: Probe) -> Verdict {
    for cut in 1..wire::HEADER {
        let id = p.new_id();
        let frames = p.opening(id, FIN, b"cut");
        p.send_cut(&frames, cut).await?;
        p.echo_and_fin(id, b"cut").await?;
    }
    Ok("7 streams echoed".into())
}

async fn split_payload(mut p: Probe) -> Verdict {
    const LENGTH: usize = 20;
    let id = p.open(&[]).await?;
    let payload = pattern(id, LENGTH * LENGTH);
    for (cut, piece) in payload.chunks(LENGTH).enumerate() {
        p.send_cut(&wire::data(0, id, piece), wire::HEADER + cut).await?;
    }
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, &payload).await?;
    Ok(format!("{} bytes, FIN", payload.len()))
}

async fn sizes(mut p: Probe) -> Verdict {
    let id = p.open(&[]).await?;
    let payload = pattern(id, (1..=500).sum());
    let mut frames = Vec::new();
    let mut rest = &payload[..];
    for len in 1..=500 {
        let (piece, after) = rest.split_at(len);
        frames.extend(wire::data(0, id, piece));
        rest = after;
    }
    p.send(frames).await?;
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, &payload).await?;
    Ok(format!("{} bytes, FIN", payload.len()))
}

async fn large(mut p: Probe) -> Verdict {
    let len = p.settings.window - p.prefix_len();
    let id = p.new_id();
    let payload = pattern(id, len as usize);
    p.send(p.opening(id, 0, &payload)).await?;
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, &payload).await?;
    Ok(format!("{len} bytes, FIN"))
}

async fn interleaved(mut p: Probe) -> Verdict {
    let mut ids = Vec::new();
    for _ in 0..16 {
        ids.push(p.open(&[]).await?);
    }
    let payloads: Vec<Vec<u8>> = ids.iter().map(|&id| pattern(id, 5_000)).collect();
    let mut frames = Vec::new();
    for at in (0..5_000).step_by(100) {
        for (&id, payload) in ids.iter().zip(&payloads) {
            frames.extend(wire::data(0, id, &payload[at..at + 100]));
        }
    }
    p.send(frames).await?;
    for (&id, payload) in ids.iter().zip(&payloads) {
        p.send(wire::data(FIN, id, &[])).await?;
        p.echo_and_fin(id, payload).await?;
    }
    Ok("16 streams echoed".into())
}

async fn empty_data(mut p: Probe) -> Verdict {
    let id = p.open(b"a").await?;
    let empty = wire::data(0, id, &[]);
    p.send([empty.clone(), wire::data(0, id, b"b"), empty].concat()).await?;
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, b"ab").await?;
    Ok("2 bytes, FIN".into())
}

async fn empty_syn(mut p: Probe) -> Verdict {
    let id = p.new_id();
    p.send(wire::data(SYN, id, &[])).await?;
    p.alive().await?;
    p.send(wire::data(0, id, b"later")).await?;
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, b"later").await?;
    Ok("5 bytes, FIN".into())
}

async fn undefined_flags(mut p: Probe) -> Verdict {
    let id = p.new_id();
    p.send(p.syn(0xc, id, b"one")).await?;
    p.send(wire::data(0x8, id, b"two")).await?;
    p.send(wire::data(FIN | 0x4, id, b"three")).await?;
    p.echo_and_fin(id, b"onetwothree").await?;
    Ok("11 bytes, FIN".into())
}

async fn undefined_flags_control(mut p: Probe) -> Verdict {
    let (id, payload) = blocked_writer(&mut p).await?;
    let before = p.record.stream(id).data.len();
    p.send(wire::frame(WNDINC, 0xc, id, &10_u32.to_be_bytes())).await?;
    comes_to(&mut p, id, &payload, before + 10).await?;
    p.send(wire::frame(RST, 0xc, id, &6_u32.to_be_bytes())).await?;
    p.send(wire::wndinc(id, 1_000)).await?;
    comes_to(&mut p, id, &payload, before + 10).await?;
    Ok("10 bytes for the WNDINC, none after the RST".into())
}

async fn syn_bit_on_control(mut p: Probe) -> Verdict {
    let id = p.new_id();
    p.send(wire::frame(WNDINC, SYN, id, &1_u32.to_be_bytes())).await?;
    p.send(wire::data(0, id, b"data")).await?;
    p.reset_with(id, 4).await?;
    let id = p.new_id();
    p.send(wire::frame(RST, SYN, id, &8_u32.to_be_bytes())).await?;
    p.send(wire::data(0, id, b"data")).await?;
    p.reset_with(id, 4).await?;
    p.alive().await?;
    Ok("RST(4) twice, session alive".into())
}
