//! Section 7.3: GOAWAY as the endpoint receives it.

use super::super::case::{Case, Stop, Verdict, run};
use super::super::probe::{Probe, pattern};
use super::super::wire::{self, FIN, GOAWAY};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "goaway/streams-run-on",
        "7.3",
        "GOAWAY without text while a stream is open, then DATA and FIN on it",
        "the bytes come back, then FIN",
        run!(streams_run_on),
    ),
    Case::must(
        "goaway/streams-run-on-padded",
        "7.2",
        "the same with the pad frame behind the GOAWAY",
        "the bytes come back, then FIN",
        run!(streams_run_on_padded),
    ),
    Case::must(
        "goaway/text",
        "7.3",
        "GOAWAY with 100 bytes of text and the pad frame",
        "the open stream runs on",
        run!(text),
    ),
    Case::should(
        "goaway/long-text",
        "7.3",
        "GOAWAY with 65,536 bytes of text and the pad frame",
        "the open stream runs on",
        run!(long_text),
    ),
    Case::must(
        "goaway/bulk",
        "7.3",
        "GOAWAY and the pad frame in the middle of 1 MiB",
        "the bytes come back, then FIN",
        run!(bulk),
    ),
    Case::must(
        "goaway/burst",
        "7.3",
        "SYN, DATA, FIN, GOAWAY and the pad frame in one write",
        "the bytes come back, then FIN",
        run!(burst),
    ),
    Case::should(
        "goaway/second",
        "7.3",
        "a second GOAWAY",
        "the open stream runs on",
        run!(second),
    ),
    Case::must(
        "goaway/empty",
        "2.6",
        "GOAWAY without payload",
        "GOAWAY(1) or (8), end of transport",
        run!(empty),
    ),
    Case::must(
        "goaway/short",
        "2.6",
        "GOAWAY with 7 bytes of payload",
        "GOAWAY(1) or (8), end of transport",
        run!(short),
    ),
    Case::should(
        "goaway/stream-id",
        "2.6",
        "GOAWAY on a stream id other than 0",
        "GOAWAY(1) or (8), end of transport",
        run!(stream_id),
    ),
    Case::should(
        "goaway/then-nonsense",
        "7.3",
        "GOAWAY and behind it eight bytes that are no frame, as one peer sends",
        "a quiet end: no error is answered",
        run!(then_nonsense),
    ),
];

/// Opens a stream, sends `goaway`, and checks that the stream completes.
async fn run_on(mut p: Probe, goaway: Vec<u8>) -> Verdict {
    let id = p.open(b"before").await?;
    p.echo(id, b"before").await?;
    p.send(goaway).await?;
    p.send(wire::data(0, id, b", after")).await?;
    p.echo(id, b"before, after").await?;
    p.send(wire::data(FIN, id, b"!")).await?;
    p.echo_and_fin(id, b"before, after!").await?;
    Ok("14 bytes, FIN".into())
}

async fn streams_run_on(p: Probe) -> Verdict {
    run_on(p, wire::goaway(0, 0, &[])).await
}

async fn streams_run_on_padded(p: Probe) -> Verdict {
    run_on(p, [wire::goaway(0, 0, &[]), wire::pad()].concat()).await
}

async fn text(p: Probe) -> Verdict {
    run_on(p, [wire::goaway(0, 0, &[b'x'; 100]), wire::pad()].concat()).await
}

async fn long_text(p: Probe) -> Verdict {
    run_on(p, [wire::goaway(0, 0, &[b'x'; 65_536]), wire::pad()].concat()).await
}

async fn second(p: Probe) -> Verdict {
    let goaway = [wire::goaway(0, 0, b"soon"), wire::pad()].concat();
    run_on(p, goaway.repeat(2)).await
}

async fn bulk(mut p: Probe) -> Verdict {
    let id = p.open(&[]).await?;
    let payload = pattern(id, 1 << 20);
    let (before, after) = payload.split_at(300_000);
    p.send_within_credit(id, before).await?;
    p.send([wire::goaway(0, 0, &[]), wire::pad()].concat()).await?;
    p.send_within_credit(id, after).await?;
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, &payload).await?;
    Ok("1 MiB, FIN".into())
}

async fn burst(mut p: Probe) -> Verdict {
    let id = p.new_id();
    let payload = pattern(id, 5_000);
    let frames = [p.opening(id, FIN, &payload), wire::goaway(0, 0, &[]), wire::pad()].concat();
    p.send(frames).await?;
    p.echo_and_fin(id, &payload).await?;
    Ok("5000 bytes, FIN".into())
}

async fn malformed(mut p: Probe, frame: Vec<u8>) -> Verdict {
    let id = p.open(b"x").await?;
    p.echo(id, b"x").await?;
    p.send(frame).await?;
    Ok(p.session_error(&[1, 8]).await?.to_string())
}

async fn empty(p: Probe) -> Verdict {
    malformed(p, wire::frame(GOAWAY, 0, 0, &[])).await
}

async fn short(p: Probe) -> Verdict {
    malformed(p, wire::frame(GOAWAY, 0, 0, &[0; 7])).await
}

async fn stream_id(p: Probe) -> Verdict {
    malformed(p, wire::frame(GOAWAY, 0, 2, &[0; 8])).await
}

async fn then_nonsense(mut p: Probe) -> Verdict {
    let id = p.open(b"x").await?;
    p.echo(id, b"x").await?;
    // Read as a header these are: WNDINC on stream 0x74686973, 9 bytes long.
    let nonsense = b"\x00\x00\x09\x20this";
    p.send([&wire::goaway(0, 0, &[])[..], nonsense].concat()).await?;
    p.shut_down().await;
    p.over().await?;
    match p.record.goaways.iter().find(|goaway| matches!(goaway.code, 1 | 8)) {
        None => Ok(p.record.state()),
        Some(error) => Err(Stop::failed("no error", error.to_string())),
    }
}
