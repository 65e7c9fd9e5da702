//! Section 9: the endpoint answers heartbeats.

use super::super::case::{Case, Stop, Verdict, run};
use super::super::probe::{HEARTBEAT, Probe, pattern};
use super::super::wire::{self, FIN, Header, SYN};
use super::blocked_writer;

pub(super) const CASES: &[Case] = &[
    Case::must(
        "heartbeat/echo",
        "9.1",
        "a heartbeat stream, and on it three beats one after the other",
        "each is echoed",
        run!(echo),
    )
    .typed(),
    Case::must(
        "heartbeat/with-type",
        "9.3",
        "type and first beat in one SYN frame",
        "the beat is echoed",
        run!(with_type),
    )
    .typed(),
    Case::must(
        "heartbeat/several",
        "9.3",
        "three beats in one frame",
        "all twelve bytes are echoed",
        run!(several),
    )
    .typed(),
    Case::must(
        "heartbeat/split",
        "9.3",
        "a beat in frames of one and of three bytes",
        "it is echoed, and nothing else",
        run!(split),
    )
    .typed(),
    Case::must(
        "heartbeat/across",
        "9.3",
        "two beats in frames of six and of two bytes",
        "both are echoed, and nothing else",
        run!(across),
    )
    .typed(),
    Case::should(
        "heartbeat/no-part",
        "9.3",
        "three bytes of a beat, a request on another stream, the last byte",
        "no echo of the part, then the whole beat",
        run!(no_part),
    )
    .typed(),
    Case::must(
        "heartbeat/fin",
        "9.3",
        "a beat, then FIN on the heartbeat stream",
        "no flood of frames, session alive",
        run!(fin),
    )
    .typed(),
    Case::should(
        "heartbeat/fin-answered",
        "9.3",
        "a beat, then FIN on the heartbeat stream",
        "the endpoint ends its half too",
        run!(fin_answered),
    )
    .typed(),
    Case::must(
        "heartbeat/reset",
        "9.2",
        "RST on the heartbeat stream, then another one",
        "beats on the new one are echoed",
        run!(reset),
    )
    .typed(),
    Case::should(
        "heartbeat/two-streams",
        "11.1",
        "two heartbeat streams",
        "beats on both are echoed",
        run!(two_streams),
    )
    .typed(),
    Case::must(
        "heartbeat/many-streams",
        "11.1",
        "30 heartbeat streams",
        "answered or refused, session alive",
        run!(many_streams),
    )
    .typed(),
    Case::must(
        "heartbeat/while-blocked",
        "6.2",
        "a beat while a writer of the endpoint has no credit",
        "it is echoed",
        run!(while_blocked),
    )
    .typed(),
    Case::must(
        "heartbeat/during-bulk",
        "6.2",
        "beats between the frames of 2 MiB",
        "each is echoed",
        run!(during_bulk),
    )
    .typed(),
    Case::must(
        "heartbeat/own-stream",
        "8.2",
        "nothing: the endpoint may send heartbeats of its own",
        "the first id of its role, SYN with the whole type, no FIN",
        run!(own_stream),
    )
    .typed(),
    Case::should(
        "heartbeat/own-type-alone",
        "8.2",
        "nothing: the endpoint may send heartbeats of its own",
        "SYN with the type, and beats in frames of their own",
        run!(own_type_alone),
    )
    .typed(),
    Case::must(
        "heartbeat/credit",
        "5.1",
        "70,000 beats, sixteen at a time: more than the window",
        "the responder gives credit and echoes all of them",
        run!(credit),
    )
    .typed(),
];

/// Opens a heartbeat stream.
async fn start(p: &mut Probe) -> Result<u32, Stop> {
    let id = p.new_id();
    p.send(wire::data(SYN, id, &HEARTBEAT.to_be_bytes())).await?;
    Ok(id)
}

async fn echo(mut p: Probe) -> Verdict {
    let id = start(&mut p).await?;
    let beats = pattern(id, 12);
    for n in 1..=3 {
        p.send(wire::data(0, id, &beats[4 * n - 4..4 * n])).await?;
        p.echo(id, &beats[..4 * n]).await?;
    }
    Ok("3 beats echoed".into())
}

async fn with_type(mut p: Probe) -> Verdict {
    let id = p.new_id();
    p.send(wire::data(SYN, id, &[&HEARTBEAT.to_be_bytes()[..], b"beat"].concat())).await?;
    p.echo(id, b"beat").await?;
    Ok("1 beat echoed".into())
}

/// Sends `pieces` on a heartbeat stream and expects exactly them.
async fn pieces(mut p: Probe, pieces: &[&[u8]]) -> Verdict {
    let id = start(&mut p).await?;
    for piece in pieces {
        p.send(wire::data(0, id, piece)).await?;
        p.received().await?;
    }
    let beats = pieces.concat();
    p.echo(id, &beats).await?;
    p.alive().await?;
    p.echo(id, &beats).await?;
    Ok(format!("{} bytes echoed", beats.len()))
}

async fn several(p: Probe) -> Verdict {
    pieces(p, &[b"beatbeatBEAT"]).await
}

async fn split(p: Probe) -> Verdict {
    pieces(p, &[b"b", b"eat"]).await
}

async fn across(p: Probe) -> Verdict {
    pieces(p, &[b"beatBE", b"AT"]).await
}

async fn no_part(mut p: Probe) -> Verdict {
    let id = start(&mut p).await?;
    p.send(wire::data(0, id, b"bea")).await?;
    p.alive().await?;
    p.echo(id, &[]).await?;
    p.send(wire::data(0, id, b"t")).await?;
    p.echo(id, b"beat").await?;
    Ok("1 beat echoed".into())
}

async fn beat_and_fin(p: &mut Probe) -> Result<u32, Stop> {
    let id = start(p).await?;
    p.send(wire::data(0, id, b"beat")).await?;
    p.echo(id, b"beat").await?;
    p.send(wire::data(FIN, id, &[])).await?;
    Ok(id)
}

async fn fin(mut p: Probe) -> Verdict {
    let id = beat_and_fin(&mut p).await?;
    p.alive().await?;
    p.alive().await?;
    p.echo(id, b"beat").await?;
    Ok("no further beat, session alive".into())
}

async fn fin_answered(mut p: Probe) -> Verdict {
    let id = beat_and_fin(&mut p).await?;
    p.until("FIN or RST", |record| {
        let stream = record.stream(id);
        stream.fins > 0 || !stream.resets.is_empty() || stream.data.len() > 4
    })
    .await?;
    p.echo(id, b"beat").await?;
    Ok(p.record.stream(id).to_string())
}

async fn reset(mut p: Probe) -> Verdict {
    let id = start(&mut p).await?;
    p.send(wire::data(0, id, b"beat")).await?;
    p.echo(id, b"beat").await?;
    p.send(wire::rst(id, 6)).await?;
    let id = start(&mut p).await?;
    p.send(wire::data(0, id, b"BEAT")).await?;
    p.echo(id, b"BEAT").await?;
    Ok("beats on both echoed".into())
}

async fn two_streams(mut p: Probe) -> Verdict {
    let ids = [start(&mut p).await?, start(&mut p).await?];
    for id in ids {
        p.send(wire::data(0, id, &pattern(id, 4))).await?;
    }
    for id in ids {
        p.echo(id, &pattern(id, 4)).await?;
    }
    Ok("beats on both echoed".into())
}

async fn many_streams(mut p: Probe) -> Verdict {
    let mut ids = Vec::new();
    for _ in 0..30 {
        let id = start(&mut p).await?;
        p.send(wire::data(0, id, b"beat")).await?;
        ids.push(id);
    }
    for &id in &ids {
        p.until(&format!("an echo or RST on stream {id}"), |record| {
            let stream = record.stream(id);
            stream.data.len() >= 4 || !stream.resets.is_empty()
        })
        .await?;
    }
    p.alive().await?;
    let answered = ids.iter().filter(|&&id| p.record.stream(id).data == b"beat").count();
    Ok(format!("{answered} answered, {} refused", ids.len() - answered))
}

async fn while_blocked(mut p: Probe) -> Verdict {
    blocked_writer(&mut p).await?;
    let id = start(&mut p).await?;
    p.send(wire::data(0, id, b"beat")).await?;
    p.echo(id, b"beat").await?;
    Ok("1 beat echoed".into())
}

async fn during_bulk(mut p: Probe) -> Verdict {
    let beats = start(&mut p).await?;
    let id = p.open(&[]).await?;
    let payload = pattern(id, 2 << 20);
    let mut sent = Vec::new();
    for piece in payload.chunks(100_000) {
        p.send_within_credit(id, piece).await?;
        p.send(wire::data(0, beats, &piece[..4])).await?;
        sent.extend_from_slice(&piece[..4]);
        p.echo(beats, &sent).await?;
    }
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, &payload).await?;
    Ok(format!("{} beats echoed", sent.len() / 4))
}

/// The header of the first frame of the endpoint's own stream. The only streams
/// that an endpoint which echoes opens are its heartbeats.
async fn own_syn(p: &mut Probe) -> Result<Header, Stop> {
    // One peer opens it a little after the session has begun.
    for _ in 0..5 {
        p.alive().await?;
    }
    let own = p.their_id() % 2;
    let opened = p.record.streams().find(|(id, _)| id % 2 == own);
    let first = opened.and_then(|(id, _)| p.record.headers_of(id).next());
    first.ok_or_else(|| Stop::Skipped("it sends no heartbeats, or only later".into()))
}

async fn own_stream(mut p: Probe) -> Verdict {
    let syn = own_syn(&mut p).await?;
    let first_id = if syn.id % 2 == 0 { 2 } else { 3 };
    let data = &p.record.stream(syn.id).data;
    let is_heartbeat = data.starts_with(&HEARTBEAT.to_be_bytes()) && syn.length >= 4;
    if syn.kind == wire::DATA && syn.flags == SYN && syn.id == first_id && is_heartbeat {
        Ok(syn.to_string())
    } else {
        Err(Stop::failed(format!("SYN with the type on stream {first_id}"), syn.to_string()))
    }
}

async fn own_type_alone(mut p: Probe) -> Verdict {
    let syn = own_syn(&mut p).await?;
    if syn.length == 4 {
        Ok(syn.to_string())
    } else {
        Err(Stop::failed("SYN with 4 bytes", syn.to_string()))
    }
}

async fn credit(mut p: Probe) -> Verdict {
    let id = start(&mut p).await?;
    let beats = pattern(id, 280_000);
    let mut echoed = 0;
    for group in beats.chunks(64) {
        p.send_within_credit(id, group).await?;
        echoed += group.len();
        p.until("the echo of sixteen beats", |record| record.stream(id).data.len() >= echoed)
            .await?;
    }
    p.echo(id, &beats).await?;
    Ok("70000 beats echoed".into())
}
