//! Section 5.4: WNDINC as the endpoint sends it.

use super::super::case::{Case, Stop, Verdict, run};
use super::super::probe::{Probe, pattern};
use super::super::wire::{self, FIN, MAX_31, TOP_BIT};
use super::traffic;

pub(super) const CASES: &[Case] = &[
    Case::must(
        "grant/never-zero",
        "5.4",
        "traffic of every kind",
        "no WNDINC has increment 0",
        run!(never_zero),
    ),
    Case::must(
        "grant/no-top-bit",
        "2.5",
        "traffic of every kind",
        "no WNDINC has the top bit set",
        run!(no_top_bit),
    ),
    Case::must(
        "grant/bounded",
        "5.4",
        "4 MiB on one stream",
        "the credit outstanding never exceeds 2^31 - 1",
        run!(bounded),
    ),
    Case::must(
        "grant/at-128-KiB",
        "5.4",
        "131072 bytes, all echoed, and nothing more",
        "a WNDINC: a sender with half the window goes on",
        run!(at_128_kib),
    ),
    Case::must(
        "grant/window-used",
        "5.4",
        "as many bytes as the window, all echoed, and nothing more",
        "at least 131072 bytes of credit",
        run!(window_used),
    ),
    Case::must(
        "grant/small-sender",
        "5.6",
        "1 MiB from a sender that believes in a window of 65536",
        "the bytes come back, then FIN",
        run!(small_sender),
    ),
    Case::must(
        "grant/smallest-sender",
        "5.6",
        "20,000 bytes from a sender that believes in a window of 1000",
        "the bytes come back, then FIN",
        run!(smallest_sender),
    ),
    Case::should(
        "grant/drained",
        "5.4",
        "1000 bytes, all echoed, and nothing more",
        "soon, credit for 1000 bytes",
        run!(drained),
    ),
    Case::must(
        "grant/no-leak",
        "5.4",
        "1 MiB in frames of 1 to 16384 bytes, all echoed",
        "at least 131072 bytes of credit are left in the end",
        run!(no_leak),
    ),
    Case::should(
        "grant/joined",
        "5.4",
        "1000 frames of one byte in one write",
        "at most 100 WNDINCs",
        run!(joined),
    ),
    Case::should(
        "grant/not-each-read",
        "5.4",
        "500 one-byte messages, each after the echo of the one before",
        "fewer than 250 WNDINCs",
        run!(not_each_read),
    ),
    Case::should(
        "grant/none-after-fin",
        "5.4",
        "a small request and FIN at once",
        "no WNDINC: nobody will use the credit",
        run!(none_after_fin),
    ),
    Case::should(
        "grant/none-after-reset",
        "5.4",
        "1000 bytes and RST at once",
        "no WNDINC: nobody will use the credit",
        run!(none_after_reset),
    ),
];

fn increments(p: &Probe) -> impl Iterator<Item = u32> {
    p.record.streams().flat_map(|(_, stream)| stream.grants.iter().copied())
}

async fn never_zero(mut p: Probe) -> Verdict {
    traffic(&mut p).await?;
    if increments(&p).any(|increment| increment & MAX_31 == 0) {
        return Err(Stop::failed("no increment of 0", "one"));
    }
    Ok(format!("{} WNDINCs", increments(&p).count()))
}

async fn no_top_bit(mut p: Probe) -> Verdict {
    traffic(&mut p).await?;
    if let Some(increment) = increments(&p).find(|increment| increment & TOP_BIT != 0) {
        return Err(Stop::failed("31 bits", format!("{increment:#x}")));
    }
    Ok(format!("{} WNDINCs", increments(&p).count()))
}

async fn bounded(mut p: Probe) -> Verdict {
    let id = p.open(&[]).await?;
    let payload = pattern(id, 4 << 20);
    let mut most = 0;
    for piece in payload.chunks(65_536) {
        p.send_within_credit(id, piece).await?;
        most = most.max(p.credit(id));
    }
    p.echo(id, &payload).await?;
    most = most.max(p.credit(id));
    if most > u64::from(MAX_31) {
        return Err(Stop::failed("at most 2^31 - 1", most.to_string()));
    }
    Ok(format!("at most {most} bytes of credit"))
}

async fn at_128_kib(mut p: Probe) -> Verdict {
    let id = p.new_id();
    let payload = pattern(id, 131_072);
    p.send(p.opening(id, 0, &payload)).await?;
    p.echo(id, &payload).await?;
    p.until("WNDINC", |record| record.stream(id).granted() > 0).await?;
    Ok(format!("{} bytes of credit", p.record.stream(id).granted()))
}

async fn window_used(mut p: Probe) -> Verdict {
    let len = p.settings.window - p.prefix_len();
    let id = p.open(&[]).await?;
    let payload = pattern(id, len as usize);
    p.send_within_credit(id, &payload).await?;
    p.echo(id, &payload).await?;
    p.until("credit of at least 131072 bytes", |record| record.stream(id).granted() >= 131_072)
        .await?;
    Ok(format!("{} bytes of credit", p.record.stream(id).granted()))
}

/// Sends like a peer that was configured with a different window.
async fn send_believing(p: &mut Probe, window: u32, total: usize) -> Verdict {
    let id = p.open(&[]).await?;
    let payload = pattern(id, total);
    let mut sent = u64::from(p.prefix_len());
    let mut rest = &payload[..];
    while !rest.is_empty() {
        p.until("credit on the stream", |record| {
            u64::from(window) + record.stream(id).granted() > sent
        })
        .await?;
        let credit = u64::from(window) + p.record.stream(id).granted() - sent;
        let credit = usize::try_from(credit).unwrap_or(usize::MAX);
        let (piece, after) = rest.split_at(rest.len().min(credit).min(16_384));
        p.send(wire::data(0, id, piece)).await?;
        sent += piece.len() as u64;
        rest = after;
    }
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, &payload).await?;
    Ok(format!("{total} bytes, FIN, {} WNDINCs", p.record.stream(id).grants.len()))
}

async fn small_sender(mut p: Probe) -> Verdict {
    send_believing(&mut p, 65_536, 1 << 20).await
}

async fn smallest_sender(mut p: Probe) -> Verdict {
    send_believing(&mut p, 1_000, 20_000).await
}

async fn drained(mut p: Probe) -> Verdict {
    let id = p.new_id();
    let payload = pattern(id, 1_000);
    p.send(p.opening(id, 0, &payload)).await?;
    p.echo(id, &payload).await?;
    let echoed = std::time::Instant::now();
    p.until("credit for 1000 bytes", |record| record.stream(id).granted() >= 1_000).await?;
    Ok(format!(
        "{} bytes of credit, {} ms after the echo",
        p.record.stream(id).granted(),
        echoed.elapsed().as_millis()
    ))
}

async fn no_leak(mut p: Probe) -> Verdict {
    let id = p.open(&[]).await?;
    let payload = pattern(id, 1 << 20);
    let mut rest = &payload[..];
    for len in [1, 7, 100, 1_000, 5_000, 16_384].into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(rest.len().min(len));
        p.send_within_credit(id, piece).await?;
        rest = after;
    }
    p.echo(id, &payload).await?;
    let due = payload.len() as u64 + 131_072 - u64::from(p.settings.window);
    p.until("131072 bytes of credit left", |record| record.stream(id).granted() >= due).await?;
    Ok(format!("{} bytes of credit left", p.credit(id)))
}

async fn joined(mut p: Probe) -> Verdict {
    let id = p.open(&[]).await?;
    let payload = pattern(id, 1_000);
    let frames: Vec<u8> = payload.chunks(1).flat_map(|byte| wire::data(0, id, byte)).collect();
    p.send(frames).await?;
    p.echo(id, &payload).await?;
    p.alive().await?;
    at_most(&p, id, 100)
}

async fn not_each_read(mut p: Probe) -> Verdict {
    let id = p.open(&[]).await?;
    let payload = pattern(id, 500);
    for (n, byte) in payload.chunks(1).enumerate() {
        p.send(wire::data(0, id, byte)).await?;
        p.echo(id, &payload[..=n]).await?;
    }
    p.alive().await?;
    at_most(&p, id, 249)
}

fn at_most(p: &Probe, id: u32, most: usize) -> Verdict {
    match p.record.stream(id).grants.len() {
        count if count <= most => Ok(format!("{count} WNDINCs")),
        count => Err(Stop::failed(format!("at most {most} WNDINCs"), count.to_string())),
    }
}

async fn none_after_fin(mut p: Probe) -> Verdict {
    let id = p.request(b"request").await?;
    p.echo_and_fin(id, b"request").await?;
    p.alive().await?;
    at_most(&p, id, 0)
}

async fn none_after_reset(mut p: Probe) -> Verdict {
    let id = p.new_id();
    let frames = [p.opening(id, 0, &[0; 1_000]), wire::rst(id, 6)].concat();
    p.send(frames).await?;
    p.alive().await?;
    p.alive().await?;
    at_most(&p, id, 0)
}
