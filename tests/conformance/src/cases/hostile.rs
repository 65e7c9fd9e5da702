//! Section 2: impossible lengths, and input that is not muxado.

use super::super::case::{Case, Verdict, run};
use super::super::probe::{Probe, pattern};
use super::super::wire::{self, MAX_LENGTH, RST, WNDINC};

pub(super) const CASES: &[Case] = &[
    Case::should(
        "hostile/rst-3",
        "2.4",
        "RST with 3 bytes of payload",
        "GOAWAY(8), end of transport",
        run!(rst_3),
    ),
    Case::should(
        "hostile/rst-5",
        "2.4",
        "RST with 5 bytes of payload",
        "GOAWAY(8), end of transport",
        run!(rst_5),
    ),
    Case::should(
        "hostile/rst-empty",
        "2.4",
        "RST without payload",
        "GOAWAY(8), end of transport",
        run!(rst_empty),
    ),
    Case::should(
        "hostile/wndinc-3",
        "2.5",
        "WNDINC with 3 bytes of payload",
        "GOAWAY(8), end of transport",
        run!(wndinc_3),
    ),
    Case::should(
        "hostile/wndinc-8",
        "2.5",
        "WNDINC with 8 bytes of payload",
        "GOAWAY(8), end of transport",
        run!(wndinc_8),
    ),
    Case::should(
        "hostile/wndinc-unknown",
        "2.5",
        "WNDINC with 5 bytes of payload on a stream that was never opened",
        "GOAWAY(8), end of transport",
        run!(wndinc_unknown),
    ),
    Case::must(
        "hostile/wrong-length-answered",
        "2.4",
        "RST with 5 bytes of payload",
        "a GOAWAY and the end, or the session goes on in step",
        run!(wrong_length_answered),
    ),
    Case::should(
        "hostile/rst-huge",
        "2.8",
        "the header of an RST of 16 MiB - 1, without its payload",
        "GOAWAY(8), end of transport, before the payload is there",
        run!(rst_huge),
    ),
    Case::should(
        "hostile/goaway-huge",
        "2.6",
        "GOAWAY with 500,000 bytes of text while a stream is open",
        "the stream runs on, or the session ends in order",
        run!(goaway_huge),
    ),
    Case::should("hostile/http", "7.5", "an HTTP request", "GOAWAY, end of transport", run!(http)),
    Case::should(
        "hostile/tls",
        "7.5",
        "the beginning of a TLS handshake",
        "GOAWAY, end of transport",
        run!(tls),
    ),
    Case::must(
        "hostile/one-stream-suffers",
        "5.3",
        "a violation on one stream while another is open",
        "the other is echoed and ended",
        run!(one_stream_suffers),
    ),
];

async fn frame_size_error(mut p: Probe, frame: Vec<u8>) -> Verdict {
    p.send(frame).await?;
    Ok(p.session_error(&[8]).await?.to_string())
}

async fn on_open_stream(mut p: Probe, kind: u8, length: usize) -> Verdict {
    let id = p.open(b"x").await?;
    p.echo(id, b"x").await?;
    frame_size_error(p, wire::frame(kind, 0, id, &vec![1; length])).await
}

async fn rst_3(p: Probe) -> Verdict {
    on_open_stream(p, RST, 3).await
}

async fn rst_5(p: Probe) -> Verdict {
    on_open_stream(p, RST, 5).await
}

async fn rst_empty(p: Probe) -> Verdict {
    on_open_stream(p, RST, 0).await
}

async fn wndinc_3(p: Probe) -> Verdict {
    on_open_stream(p, WNDINC, 3).await
}

async fn wndinc_8(p: Probe) -> Verdict {
    on_open_stream(p, WNDINC, 8).await
}

async fn wndinc_unknown(p: Probe) -> Verdict {
    let id = p.far_id();
    frame_size_error(p, wire::frame(WNDINC, 0, id, &[1; 5])).await
}

async fn wrong_length_answered(mut p: Probe) -> Verdict {
    let id = p.open(b"x").await?;
    p.echo(id, b"x").await?;
    p.send(wire::frame(RST, 0, id, &[1; 5])).await?;
    let request = p.request(b"in step?").await?;
    p.until("a GOAWAY, or an echo", |record| {
        !record.goaways.is_empty() || record.stream(request).data == b"in step?"
    })
    .await?;
    if p.record.goaways.is_empty() {
        return Ok("the session goes on".into());
    }
    p.over().await?;
    Ok(p.record.state())
}

async fn rst_huge(mut p: Probe) -> Verdict {
    let id = p.open(b"x").await?;
    p.echo(id, b"x").await?;
    p.send_raw(wire::header(RST, 0, id, MAX_LENGTH)).await?;
    Ok(p.session_error(&[8]).await?.to_string())
}

async fn goaway_huge(mut p: Probe) -> Verdict {
    let id = p.open(b"x").await?;
    p.echo(id, b"x").await?;
    p.send([wire::goaway(0, 0, &pattern(0, 500_000)), wire::pad()].concat()).await?;
    p.send([wire::data(0, id, b"y"), wire::data(wire::FIN, id, &[])].concat()).await?;
    p.until("the echo, or the end of the transport", |record| {
        record.end.is_some() || record.stream(id).data == b"xy" && record.stream(id).fins > 0
    })
    .await?;
    Ok(if p.record.end.is_some() { p.record.state() } else { "the stream ran on".into() })
}

async fn not_muxado(mut p: Probe, bytes: &[u8]) -> Verdict {
    p.send_raw(bytes).await?;
    p.until("GOAWAY or the end of the transport", |record| {
        record.end.is_some() || !record.goaways.is_empty()
    })
    .await?;
    p.over().await?;
    Ok(p.record.state())
}

async fn http(p: Probe) -> Verdict {
    not_muxado(p, b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: conformance\r\n\r\n").await
}

async fn tls(p: Probe) -> Verdict {
    not_muxado(p, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x01\x02\x03\x04\x05\x06").await
}

async fn one_stream_suffers(mut p: Probe) -> Verdict {
    let good = p.open(b"good").await?;
    p.echo(good, b"good").await?;
    let bad = p.new_id();
    p.send(p.syn(0, bad, &vec![0; p.settings.window as usize * 2])).await?;
    p.reset_with(bad, 3).await?;
    p.send(wire::data(wire::FIN, good, b", still")).await?;
    p.echo_and_fin(good, b"good, still").await?;
    Ok("11 bytes, FIN".into())
}
