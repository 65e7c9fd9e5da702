//! Section 4.4: each end finishes its own direction.

use super::super::case::{Case, Stop, Verdict, run};
use super::super::probe::{Probe, pattern};
use super::super::wire::{self, FIN};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "half-close/syn-fin",
        "4.2",
        "SYN and FIN in one frame, with payload",
        "the bytes come back, then FIN: the reply direction lives",
        run!(syn_fin),
    ),
    Case::must(
        "half-close/syn-fin-no-payload",
        "4.2",
        "SYN and FIN in one frame, without data",
        "FIN",
        run!(syn_fin_no_payload),
    ),
    Case::must(
        "half-close/syn-then-fin",
        "4.4",
        "SYN with payload, then an empty FIN",
        "the bytes come back, then FIN",
        run!(syn_then_fin),
    ),
    Case::must(
        "half-close/data-with-fin",
        "4.4",
        "FIN on a frame with payload",
        "the payload comes back, then FIN",
        run!(data_with_fin),
    ),
    Case::must(
        "half-close/reply-after-fin",
        "4.4",
        "200,000 bytes and FIN at once",
        "the whole reply comes although the request has ended",
        run!(reply_after_fin),
    ),
    Case::must(
        "half-close/waits",
        "4.4",
        "DATA without FIN",
        "the bytes come back without FIN",
        run!(waits),
    ),
    Case::must(
        "half-close/fin-twice",
        "4.4",
        "a second FIN, before and after the endpoint's own",
        "nothing, session alive",
        run!(fin_twice),
    ),
    Case::must(
        "half-close/bare-fin",
        "4.7",
        "an empty FIN on 100 streams that never were",
        "nothing, session alive",
        run!(bare_fin),
    ),
    Case::must(
        "half-close/data-after-fin",
        "4.7",
        "DATA on a stream after its FIN",
        "RST(4), session alive",
        run!(data_after_fin),
    ),
    Case::should(
        "half-close/data-after-fin-once",
        "4.7",
        "several DATA frames on a stream after its FIN",
        "one RST(4)",
        run!(data_after_fin_once),
    ),
    Case::must(
        "half-close/empty-after-fin",
        "4.7",
        "empty DATA without FIN on a stream after its FIN",
        "nothing or RST(4), session alive",
        run!(empty_after_fin),
    ),
];

async fn syn_fin(mut p: Probe) -> Verdict {
    let id = p.new_id();
    p.send(p.syn(FIN, id, b"request")).await?;
    p.echo_and_fin(id, b"request").await?;
    p.alive().await?;
    Ok("7 bytes, FIN".into())
}

async fn syn_fin_no_payload(mut p: Probe) -> Verdict {
    let id = p.new_id();
    p.send(p.syn(FIN, id, &[])).await?;
    p.echo_and_fin(id, &[]).await?;
    p.alive().await?;
    Ok("FIN".into())
}

async fn syn_then_fin(mut p: Probe) -> Verdict {
    let id = p.request(b"request").await?;
    p.echo_and_fin(id, b"request").await?;
    Ok("7 bytes, FIN".into())
}

async fn data_with_fin(mut p: Probe) -> Verdict {
    let id = p.open(b"one").await?;
    p.send(wire::data(FIN, id, b"two")).await?;
    p.echo_and_fin(id, b"onetwo").await?;
    Ok("6 bytes, FIN".into())
}

async fn reply_after_fin(mut p: Probe) -> Verdict {
    let id = p.new_id();
    let payload = pattern(id, 200_000);
    p.send(p.opening(id, FIN, &payload)).await?;
    p.echo_and_fin(id, &payload).await?;
    Ok("200000 bytes, FIN".into())
}

async fn waits(mut p: Probe) -> Verdict {
    let id = p.open(b"more to come").await?;
    p.echo(id, b"more to come").await?;
    p.alive().await?;
    if p.record.stream(id).fins > 0 {
        return Err(Stop::failed("no FIN before the peer's", "FIN"));
    }
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, b"more to come").await?;
    Ok("FIN only after the peer's".into())
}

async fn fin_twice(mut p: Probe) -> Verdict {
    let id = p.open(b"x").await?;
    let fin = wire::data(FIN, id, &[]);
    p.send([fin.clone(), fin.clone()].concat()).await?;
    p.echo_and_fin(id, b"x").await?;
    p.send(fin).await?;
    p.alive().await?;
    no_resets(&p, id)
}

async fn bare_fin(mut p: Probe) -> Verdict {
    let first = p.far_id();
    let ids = (0..100).map(|n| first + 2 * n);
    let fins: Vec<u8> = ids.clone().flat_map(|id| wire::data(FIN, id, &[])).collect();
    p.send(fins).await?;
    p.alive().await?;
    match ids.map(|id| p.record.stream(id)).find(|stream| !stream.is_silent()) {
        None => Ok("nothing, session alive".into()),
        Some(stream) => Err(Stop::failed("nothing on those streams", stream.to_string())),
    }
}

async fn data_after_fin(mut p: Probe) -> Verdict {
    let id = p.new_id();
    let frames = [p.opening(id, FIN, b"x"), wire::data(0, id, b"late")].concat();
    p.send(frames).await?;
    p.reset_with(id, 4).await?;
    p.alive().await?;
    Ok("RST(4), session alive".into())
}

async fn data_after_fin_once(mut p: Probe) -> Verdict {
    let id = p.new_id();
    let late = wire::data(0, id, b"late").repeat(5);
    p.send([p.opening(id, FIN, b"x"), late].concat()).await?;
    p.reset_with(id, 4).await?;
    p.alive().await?;
    match p.record.stream(id).resets.len() {
        1 => Ok("one RST(4)".into()),
        several => Err(Stop::failed("one RST(4)", format!("{several} RSTs"))),
    }
}

async fn empty_after_fin(mut p: Probe) -> Verdict {
    let id = p.request(b"x").await?;
    p.send(wire::data(0, id, &[])).await?;
    p.alive().await?;
    match p.record.stream(id).resets[..] {
        [] => Ok("nothing, session alive".into()),
        [4] => Ok("RST(4), session alive".into()),
        ref other => Err(Stop::failed("nothing or RST(4)", format!("RSTs {other:?}"))),
    }
}

fn no_resets(p: &Probe, id: u32) -> Verdict {
    let stream = p.record.stream(id);
    if stream.resets.is_empty() {
        Ok("no RST, session alive".into())
    } else {
        Err(Stop::failed("no RST", stream.to_string()))
    }
}
