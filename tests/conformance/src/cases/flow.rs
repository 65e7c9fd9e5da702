//! Section 5: credit, to the byte, in both directions.

use super::super::case::{Case, Stop, Verdict, run};
use super::super::probe::{OUR_WINDOW, Probe, pattern};
use super::super::wire::{self, DATA, FIN, MAX_LENGTH, SYN};
use super::{blocked_writer, check_length, exhausted_window, step};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "flow/window-full",
        "5.3",
        "all of the credit used while the application is stuck, then credit for it",
        "no RST; everything comes back once there is credit",
        run!(window_full),
    ),
    Case::must(
        "flow/one-byte-over",
        "5.3",
        "all of the credit used while the application is stuck, and one byte more",
        "RST(3), session alive",
        run!(one_byte_over),
    ),
    Case::must(
        "flow/frame-over",
        "5.3",
        "all of the credit used while the application is stuck, and 100,000 bytes more",
        "RST(3), the payload is skipped, session alive",
        run!(frame_over),
    ),
    Case::should(
        "flow/first-frame-over",
        "5.3",
        "a new stream with a frame of one byte more than the window",
        "RST(3), session alive",
        run!(first_frame_over),
    ),
    Case::must(
        "flow/syn-payload-counts",
        "5.1",
        "a window used up from the payload of the SYN frame on, and one byte more",
        "RST(3), session alive",
        run!(syn_payload_counts),
    ),
    Case::must(
        "flow/largest-frame",
        "5.3",
        "a frame of 16 MiB - 1, written in pieces",
        "RST(3), the payload is skipped, session alive",
        run!(largest_frame),
    ),
    Case::should(
        "flow/header-first",
        "5.3",
        "the header of a frame of 16 MiB - 1, without its payload",
        "RST(3) before the payload is there",
        run!(header_first),
    ),
    Case::must(
        "flow/after-violation",
        "4.7",
        "DATA and FIN on a stream after its RST(3)",
        "session alive",
        run!(after_violation),
    ),
    Case::must(
        "flow/sender-stops",
        "5.2",
        "more to echo than the suite's window, without credit",
        "exactly 262144 bytes",
        run!(sender_stops),
    ),
    Case::must(
        "flow/sender-steps",
        "5.2",
        "credit of 1, 2, 3, 1000 bytes for a blocked writer",
        "exactly as many bytes each time",
        run!(sender_steps),
    ),
    Case::must(
        "flow/credit-adds-up",
        "5.5",
        "100 times credit of 10 bytes for a blocked writer",
        "exactly 1000 bytes",
        run!(credit_adds_up),
    ),
    Case::must(
        "flow/credit-ahead",
        "5.6",
        "credit of 262144 bytes before any data",
        "524288 bytes come without more credit",
        run!(credit_ahead),
    ),
    Case::must(
        "flow/fin-needs-no-credit",
        "5.2",
        "exactly as much to echo as the suite's window, and FIN",
        "all of it and FIN, without credit",
        run!(fin_needs_no_credit),
    ),
    Case::must(
        "flow/blocked-alone",
        "5.1",
        "a stream whose writer is blocked, and 200,000 bytes on another",
        "the other is echoed",
        run!(blocked_alone),
    ),
    Case::must(
        "flow/bulk",
        "5.4",
        "4 MiB on one stream",
        "the bytes come back, then FIN",
        run!(bulk),
    ),
    Case::must(
        "flow/bulk-8",
        "5.4",
        "1 MiB on each of 8 streams",
        "the bytes come back, then FIN",
        run!(bulk_8),
    ),
];

async fn window_full(mut p: Probe) -> Verdict {
    let (id, payload) = exhausted_window(&mut p, 0).await?;
    let resets = &p.record.stream(id).resets;
    if !resets.is_empty() {
        return Err(Stop::failed("no RST within the window", format!("RSTs {resets:?}")));
    }
    p.granting = true;
    p.send(wire::data(FIN, id, &[])).await?;
    p.send(wire::wndinc(id, payload.len().try_into().unwrap_or(wire::MAX_31))).await?;
    p.echo_and_fin(id, &payload).await?;
    Ok(format!("{} bytes, FIN", payload.len()))
}

/// Sends `extra` bytes beyond the credit of a stream and expects RST(3).
async fn overrun(p: &mut Probe, in_syn: usize, extra: usize) -> Result<u32, Stop> {
    let (id, _) = exhausted_window(p, in_syn).await?;
    // Credit can be in flight at the same time as the bytes. Then they were no violation, and the
    // next ones are.
    for _ in 0..64 {
        if !p.is_overdrawn(id) {
            let credit = usize::try_from(p.credit(id)).unwrap_or(usize::MAX);
            p.send(wire::data(0, id, &vec![0; credit + extra])).await?;
        }
        p.alive().await?;
        if !p.record.stream(id).resets.is_empty() {
            p.reset_with(id, 3).await?;
            return Ok(id);
        }
    }
    Err(Stop::failed("RST(3)", "bytes beyond the credit are accepted"))
}

async fn one_byte_over(mut p: Probe) -> Verdict {
    overrun(&mut p, 0, 1).await?;
    p.alive().await?;
    Ok("RST(3), session alive".into())
}

async fn frame_over(mut p: Probe) -> Verdict {
    overrun(&mut p, 0, 100_000).await?;
    p.alive().await?;
    Ok("RST(3), session alive".into())
}

async fn first_frame_over(mut p: Probe) -> Verdict {
    let id = p.new_id();
    let len = p.settings.window - p.prefix_len() + 1;
    p.send(p.syn(0, id, &vec![0; len as usize])).await?;
    p.reset_with(id, 3).await?;
    p.alive().await?;
    Ok("RST(3), session alive".into())
}

async fn syn_payload_counts(mut p: Probe) -> Verdict {
    overrun(&mut p, 100_000, 1).await?;
    p.alive().await?;
    Ok("RST(3), session alive".into())
}

async fn largest_frame(mut p: Probe) -> Verdict {
    p.granting = false;
    let id = p.open(&[]).await?;
    p.send_raw(wire::header(DATA, 0, id, MAX_LENGTH)).await?;
    let mut left = MAX_LENGTH as usize;
    let piece = vec![0; 65_536];
    while left > 0 {
        let len = left.min(piece.len());
        p.send_raw(&piece[..len]).await?;
        left -= len;
    }
    p.reset_with(id, 3).await?;
    p.alive().await?;
    Ok("RST(3), session alive".into())
}

async fn header_first(mut p: Probe) -> Verdict {
    let id = p.new_id();
    p.send_raw(wire::header(DATA, SYN, id, MAX_LENGTH)).await?;
    p.reset_with(id, 3).await?;
    Ok("RST(3)".into())
}

async fn after_violation(mut p: Probe) -> Verdict {
    let id = overrun(&mut p, 0, 1).await?;
    p.send(wire::data(0, id, b"more").repeat(3)).await?;
    p.send(wire::data(FIN, id, &[])).await?;
    p.alive().await?;
    Ok("session alive".into())
}

async fn sender_stops(mut p: Probe) -> Verdict {
    let (id, _) = blocked_writer(&mut p).await?;
    check_length(&p, id, OUR_WINDOW as usize)?;
    Ok("262144 bytes".into())
}

async fn sender_steps(mut p: Probe) -> Verdict {
    let (id, payload) = blocked_writer(&mut p).await?;
    for increment in [1, 2, 3, 1_000] {
        step(&mut p, id, &payload, increment).await?;
    }
    Ok("1, 2, 3, 1000 bytes".into())
}

async fn credit_adds_up(mut p: Probe) -> Verdict {
    let (id, payload) = blocked_writer(&mut p).await?;
    p.send(wire::wndinc(id, 10).repeat(100)).await?;
    let total = OUR_WINDOW as usize + 1_000;
    p.echo(id, &payload[..total]).await?;
    p.alive().await?;
    check_length(&p, id, total)?;
    Ok("1000 bytes".into())
}

async fn credit_ahead(mut p: Probe) -> Verdict {
    p.granting = false;
    let id = p.open(&[]).await?;
    p.send(wire::wndinc(id, OUR_WINDOW)).await?;
    let payload = pattern(id, 2 * OUR_WINDOW as usize);
    p.send_within_credit(id, &payload).await?;
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, &payload).await?;
    Ok("524288 bytes, FIN".into())
}

async fn fin_needs_no_credit(mut p: Probe) -> Verdict {
    p.granting = false;
    let id = p.open(&[]).await?;
    let payload = pattern(id, OUR_WINDOW as usize);
    p.send_within_credit(id, &payload).await?;
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, &payload).await?;
    Ok("262144 bytes, FIN".into())
}

async fn blocked_alone(mut p: Probe) -> Verdict {
    blocked_writer(&mut p).await?;
    let id = p.open(&[]).await?;
    let payload = pattern(id, 200_000);
    p.send_within_credit(id, &payload).await?;
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, &payload).await?;
    Ok("200000 bytes, FIN".into())
}

async fn bulk(mut p: Probe) -> Verdict {
    let id = p.open(&[]).await?;
    let payload = pattern(id, 4 << 20);
    p.send_within_credit(id, &payload).await?;
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, &payload).await?;
    Ok("4 MiB, FIN".into())
}

async fn bulk_8(mut p: Probe) -> Verdict {
    let mut streams = Vec::new();
    for _ in 0..8 {
        let id = p.open(&[]).await?;
        streams.push((id, pattern(id, 1 << 20)));
    }
    for at in (0..1 << 20).step_by(65_536) {
        for (id, payload) in &streams {
            p.send_within_credit(*id, &payload[at..at + 65_536]).await?;
        }
    }
    for (id, payload) in &streams {
        p.send(wire::data(FIN, *id, &[])).await?;
        p.echo_and_fin(*id, payload).await?;
    }
    Ok("8 times 1 MiB, FIN".into())
}
