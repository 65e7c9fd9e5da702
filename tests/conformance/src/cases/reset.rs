//! Section 4.5: RST as the endpoint receives it.

use super::super::case::{Case, Stop, Verdict, run};
use super::super::probe::Probe;
use super::super::wire::{self, FIN};
use super::{blocked_writer, check_length};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "reset/unknown",
        "4.7",
        "RST on streams that were never opened, of both parities",
        "nothing, session alive",
        run!(unknown),
    ),
    Case::must(
        "reset/finished",
        "4.7",
        "RST on a stream that both ends have finished",
        "nothing, session alive",
        run!(finished),
    ),
    Case::must(
        "reset/not-answered",
        "4.5",
        "RST on an open stream",
        "no RST comes back, session alive",
        run!(not_answered),
    ),
    Case::must(
        "reset/silences",
        "4.5",
        "RST and then credit on a stream whose writer is blocked",
        "not a byte more, session alive",
        run!(silences),
    ),
    Case::must(
        "reset/unread-data",
        "4.5",
        "100,000 bytes and RST at once",
        "no RST comes back, session alive",
        run!(unread_data),
    ),
    Case::must(
        "reset/behind-fin",
        "4.5",
        "a request, FIN and RST at once",
        "no RST comes back, session alive",
        run!(behind_fin),
    ),
    Case::must(
        "reset/any-code",
        "10.1",
        "RST with codes 0, 1, 16, 255, 0xdeadbeef and 0xffffffff",
        "session alive",
        run!(any_code),
    ),
    Case::must(
        "reset/twice",
        "4.5",
        "two RSTs on one stream",
        "nothing, session alive",
        run!(twice),
    ),
    Case::must(
        "reset/data-after",
        "4.7",
        "DATA and FIN on a stream after the suite's own RST",
        "at most RST(4), session alive",
        run!(data_after),
    ),
    Case::must(
        "reset/frees",
        "4.5",
        "600 streams, each opened and reset",
        "session alive: a stream that was reset takes no place",
        run!(frees),
    ),
    Case::must(
        "reset/id-zero",
        "3.4",
        "RST on stream 0",
        "GOAWAY(1), end of transport",
        run!(id_zero),
    ),
];

/// Checks that the endpoint has not sent RST on a stream, and that the session is alive.
async fn unanswered(mut p: Probe, id: u32) -> Verdict {
    p.alive().await?;
    let stream = p.record.stream(id);
    if stream.resets.is_empty() {
        Ok("no RST, session alive".into())
    } else {
        Err(Stop::failed("no RST", stream.to_string()))
    }
}

async fn unknown(mut p: Probe) -> Verdict {
    let [ours, theirs] = [p.far_id(), p.their_id()];
    p.send([wire::rst(ours, 8), wire::rst(theirs, 8)].concat()).await?;
    p.alive().await?;
    for id in [ours, theirs] {
        let stream = p.record.stream(id);
        if !stream.is_silent() {
            return Err(Stop::failed("nothing on the stream", stream.to_string()));
        }
    }
    Ok("nothing, session alive".into())
}

async fn finished(mut p: Probe) -> Verdict {
    let id = p.request(b"done").await?;
    p.echo_and_fin(id, b"done").await?;
    p.send(wire::rst(id, 6)).await?;
    unanswered(p, id).await
}

async fn not_answered(mut p: Probe) -> Verdict {
    let id = p.open(b"a").await?;
    p.echo(id, b"a").await?;
    p.send(wire::rst(id, 6)).await?;
    unanswered(p, id).await
}

async fn silences(mut p: Probe) -> Verdict {
    let (id, _) = blocked_writer(&mut p).await?;
    let before = p.record.stream(id).data.len();
    p.send([wire::rst(id, 6), wire::wndinc(id, 10_000)].concat()).await?;
    p.alive().await?;
    check_length(&p, id, before)?;
    Ok("nothing, session alive".into())
}

async fn unread_data(mut p: Probe) -> Verdict {
    let id = p.new_id();
    let frames = [p.opening(id, 0, &[0; 100_000]), wire::rst(id, 6)].concat();
    p.send(frames).await?;
    unanswered(p, id).await
}

async fn behind_fin(mut p: Probe) -> Verdict {
    let id = p.new_id();
    let frames = [p.opening(id, FIN, b"request"), wire::rst(id, 6)].concat();
    p.send(frames).await?;
    unanswered(p, id).await
}

async fn any_code(mut p: Probe) -> Verdict {
    for code in [0, 1, 16, 255, 0xdead_beef, 0xffff_ffff] {
        let id = p.open(b"a").await?;
        p.echo(id, b"a").await?;
        p.send(wire::rst(id, code)).await?;
        p.alive().await?;
    }
    Ok("session alive".into())
}

async fn twice(mut p: Probe) -> Verdict {
    let id = p.open(b"a").await?;
    p.echo(id, b"a").await?;
    p.send(wire::rst(id, 6).repeat(2)).await?;
    unanswered(p, id).await
}

async fn data_after(mut p: Probe) -> Verdict {
    let id = p.open(b"a").await?;
    p.echo(id, b"a").await?;
    p.send([wire::rst(id, 6), wire::data(0, id, b"late"), wire::data(FIN, id, &[])].concat())
        .await?;
    p.alive().await?;
    let resets = &p.record.stream(id).resets;
    if resets.iter().all(|&code| code == 4) {
        Ok(format!("{} times RST(4), session alive", resets.len()))
    } else {
        Err(Stop::failed("at most RST(4)", format!("RSTs {resets:?}")))
    }
}

async fn frees(mut p: Probe) -> Verdict {
    for _ in 0..20 {
        for _ in 0..30 {
            let id = p.open(b"a").await?;
            p.send(wire::rst(id, 6)).await?;
        }
        p.alive().await?;
    }
    Ok("session alive".into())
}

async fn id_zero(mut p: Probe) -> Verdict {
    p.send(wire::rst(0, 6)).await?;
    Ok(p.session_error(&[1]).await?.to_string())
}
