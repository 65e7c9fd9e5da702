//! Section 5.5: WNDINC as the endpoint receives it.

use super::super::case::{Case, Stop, Verdict, run};
use super::super::probe::{OUR_WINDOW, Probe, pattern};
use super::super::wire::{self, FIN, MAX_31, TOP_BIT};
use super::{blocked_writer, step};

pub(super) const CASES: &[Case] = &[
    Case::should(
        "window/zero-survived",
        "5.5",
        "WNDINC with increment 0 on an open stream",
        "session alive",
        run!(zero_survived),
    ),
    Case::should(
        "window/zero-reset",
        "5.5",
        "WNDINC with increment 0 on an open stream",
        "RST(1) on the stream, session alive",
        run!(zero_reset),
    ),
    Case::should(
        "window/zero-unknown",
        "4.7",
        "WNDINC with increment 0 on a stream that was never opened",
        "session alive",
        run!(zero_unknown),
    ),
    Case::must(
        "window/top-bit",
        "2.5",
        "WNDINC of 10 with the top bit set, for a blocked writer",
        "the bit is ignored: exactly 10 bytes",
        run!(top_bit),
    ),
    Case::must(
        "window/saturates",
        "5.5",
        "three times the largest increment",
        "the stream works, session alive",
        run!(saturates),
    ),
    Case::should(
        "window/saturated-credit",
        "5.5",
        "three times the largest increment",
        "1,000,000 bytes come without more credit",
        run!(saturated_credit),
    ),
    Case::must(
        "window/saturates-blocked",
        "5.5",
        "three times the largest increment for a blocked writer",
        "all that is left comes",
        run!(saturates_blocked),
    ),
    Case::must(
        "window/half-closed",
        "5.5",
        "WNDINC after the suite's own FIN, for a blocked writer",
        "the rest and FIN come",
        run!(half_closed),
    ),
    Case::must(
        "window/unknown",
        "4.7",
        "WNDINC on streams that were never opened, of both parities",
        "nothing, session alive",
        run!(unknown),
    ),
    Case::must(
        "window/finished",
        "4.7",
        "WNDINC on a stream that both ends have finished",
        "nothing, session alive",
        run!(finished),
    ),
    Case::must(
        "window/reset",
        "4.7",
        "WNDINC on a stream the suite has reset",
        "nothing, session alive",
        run!(reset),
    ),
    Case::must(
        "window/id-zero",
        "3.4",
        "WNDINC on stream 0",
        "GOAWAY(1), end of transport",
        run!(id_zero),
    ),
    Case::must(
        "window/flood",
        "11.2",
        "5000 WNDINCs of one byte",
        "session alive: that is a peer that reads byte by byte",
        run!(flood),
    ),
];

async fn zero_survived(mut p: Probe) -> Verdict {
    let id = p.open(b"a").await?;
    p.send(wire::wndinc(id, 0)).await?;
    p.alive().await?;
    Ok("session alive".into())
}

async fn zero_reset(mut p: Probe) -> Verdict {
    let id = p.open(b"a").await?;
    p.send(wire::wndinc(id, 0)).await?;
    p.reset_with(id, 1).await?;
    p.alive().await?;
    Ok("RST(1), session alive".into())
}

async fn zero_unknown(mut p: Probe) -> Verdict {
    p.send(wire::wndinc(p.far_id(), 0)).await?;
    p.alive().await?;
    Ok("session alive".into())
}

async fn top_bit(mut p: Probe) -> Verdict {
    let (id, payload) = blocked_writer(&mut p).await?;
    p.send(wire::wndinc(id, TOP_BIT | 10)).await?;
    p.echo(id, &payload[..OUR_WINDOW as usize + 10]).await?;
    step(&mut p, id, &payload, 1).await?;
    Ok("10 bytes".into())
}

async fn grant_thrice(p: &mut Probe, id: u32) -> Result<(), Stop> {
    p.granting = false;
    p.send(wire::wndinc(id, MAX_31).repeat(3)).await
}

async fn saturates(mut p: Probe) -> Verdict {
    let id = p.open(b"a").await?;
    grant_thrice(&mut p, id).await?;
    p.send(wire::data(FIN, id, b"b")).await?;
    p.echo_and_fin(id, b"ab").await?;
    p.alive().await?;
    Ok("stream and session alive".into())
}

async fn saturated_credit(mut p: Probe) -> Verdict {
    let id = p.open(&[]).await?;
    grant_thrice(&mut p, id).await?;
    let payload = pattern(id, 1_000_000);
    p.send_within_credit(id, &payload).await?;
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, &payload).await?;
    Ok("1000000 bytes, FIN".into())
}

async fn saturates_blocked(mut p: Probe) -> Verdict {
    let (id, payload) = blocked_writer(&mut p).await?;
    grant_thrice(&mut p, id).await?;
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, &payload).await?;
    p.alive().await?;
    Ok(format!("{} bytes, FIN", payload.len()))
}

async fn half_closed(mut p: Probe) -> Verdict {
    let (id, payload) = blocked_writer(&mut p).await?;
    p.send(wire::data(FIN, id, &[])).await?;
    step(&mut p, id, &payload, 10).await?;
    p.send(wire::wndinc(id, OUR_WINDOW)).await?;
    p.echo_and_fin(id, &payload).await?;
    Ok(format!("{} bytes, FIN", payload.len()))
}

/// Sends WNDINC and checks that it is not answered. Some peers send an unrelated FIN in the
/// meantime.
async fn ignored(mut p: Probe, id: u32) -> Verdict {
    p.send(wire::wndinc(id, 1_000)).await?;
    p.alive().await?;
    match p.record.stream(id) {
        stream if stream.resets.is_empty() => Ok("no RST, session alive".into()),
        stream => Err(Stop::failed("no RST", stream.to_string())),
    }
}

async fn unknown(mut p: Probe) -> Verdict {
    p.send(wire::wndinc(p.their_id(), 1_000)).await?;
    let id = p.far_id();
    ignored(p, id).await
}

async fn finished(mut p: Probe) -> Verdict {
    let id = p.request(b"done").await?;
    p.echo_and_fin(id, b"done").await?;
    ignored(p, id).await
}

async fn reset(mut p: Probe) -> Verdict {
    let id = p.open(b"a").await?;
    p.echo(id, b"a").await?;
    p.send(wire::rst(id, 6)).await?;
    ignored(p, id).await
}

async fn id_zero(mut p: Probe) -> Verdict {
    p.send(wire::wndinc(0, 1)).await?;
    Ok(p.session_error(&[1]).await?.to_string())
}

async fn flood(mut p: Probe) -> Verdict {
    let id = p.open(b"a").await?;
    p.send(wire::wndinc(id, 1).repeat(5_000)).await?;
    p.alive().await?;
    p.send(wire::data(FIN, id, b"b")).await?;
    p.echo_and_fin(id, b"ab").await?;
    Ok("session alive".into())
}
