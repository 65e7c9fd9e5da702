//! Section 3: stream ids, their order, parity and reuse.

use super::super::case::{Case, Stop, Verdict, run};
use super::super::probe::{Probe, pattern};
use super::super::settings::Role;
use super::super::wire::{self, FIN, MAX_31, TOP_BIT};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "ids/first",
        "3.1",
        "the first stream of a session has the first id of its role",
        "it is accepted",
        run!(first),
    ),
    Case::should("ids/one", "3.1", "a client's SYN on stream 1", "it is accepted", run!(one)),
    Case::must("ids/gaps", "3.3", "SYNs on ids far apart", "all are accepted", run!(gaps)),
    Case::must(
        "ids/out-of-order",
        "3.3",
        "a SYN on an id below one already seen",
        "both are accepted",
        run!(out_of_order),
    ),
    Case::must(
        "ids/descending",
        "3.3",
        "50 SYNs in descending order of ids",
        "all are accepted",
        run!(descending),
    ),
    Case::must(
        "ids/maximum",
        "2.1",
        "the largest 31-bit id of the role",
        "it is accepted",
        run!(maximum),
    ),
    Case::must(
        "ids/top-bit-syn",
        "3.4",
        "SYN on an id with the top bit set",
        "the bit is ignored, the stream works",
        run!(top_bit_syn),
    ),
    Case::must(
        "ids/top-bit-data",
        "3.4",
        "DATA and FIN on an open stream with the top bit set",
        "the bit is ignored",
        run!(top_bit_data),
    ),
    Case::must(
        "ids/zero-syn",
        "3.4",
        "SYN on stream 0",
        "GOAWAY(1), end of transport",
        run!(zero_syn),
    ),
    Case::must(
        "ids/zero-data",
        "3.4",
        "DATA on stream 0",
        "GOAWAY(1), end of transport",
        run!(zero_data),
    ),
    Case::must(
        "ids/zero-top-bit",
        "3.4",
        "SYN on stream 0 with the top bit set",
        "GOAWAY(1), end of transport",
        run!(zero_top_bit),
    ),
    Case::must(
        "ids/wrong-parity",
        "3.2",
        "SYN on an id of the endpoint's role",
        "GOAWAY(1), end of transport",
        run!(wrong_parity),
    ),
    Case::should(
        "ids/wrong-parity-data",
        "4.7",
        "DATA on an id of the endpoint's role that it never opened",
        "RST(4), session alive",
        run!(wrong_parity_data),
    ),
    Case::must(
        "ids/open-not-replaced",
        "3.5",
        "SYN on a stream that is open",
        "an RST or GOAWAY; the stream is not replaced",
        run!(open_not_replaced),
    ),
    Case::should(
        "ids/open-reset",
        "3.5",
        "SYN on a stream that is open",
        "RST on that stream, session alive",
        run!(open_reset),
    ),
    Case::should(
        "ids/closed-refused",
        "3.5",
        "SYN on the id of a stream that both ends have finished",
        "RST, session alive",
        run!(closed_refused),
    ),
    Case::should(
        "ids/hole-refused",
        "4.7",
        "DATA on an unknown stream, answered with RST(4), then its SYN",
        "the stream, which has a hole, is not accepted; session alive",
        run!(hole_refused),
    ),
];

async fn works(p: &mut Probe, id: u32) -> Result<(), Stop> {
    p.send(p.opening(id, FIN, &pattern(id, 20))).await?;
    p.echo_and_fin(id, &pattern(id, 20)).await
}

async fn first(mut p: Probe) -> Verdict {
    let id = p.new_id();
    works(&mut p, id).await?;
    Ok(format!("stream {id} echoed"))
}

async fn one(mut p: Probe) -> Verdict {
    if p.settings.role == Role::Client {
        return Err(Stop::Skipped("the suite is the server, and 0 is no id".into()));
    }
    works(&mut p, 1).await?;
    p.alive().await?;
    Ok("stream 1 echoed".into())
}

async fn gaps(mut p: Probe) -> Verdict {
    let first = p.new_id();
    for gap in [0, 6, 98, 10_000, 1_000_000] {
        works(&mut p, first + gap).await?;
    }
    Ok("5 streams echoed".into())
}

async fn out_of_order(mut p: Probe) -> Verdict {
    let [low, high] = [p.new_id(), p.new_id() + 4];
    works(&mut p, high).await?;
    works(&mut p, low).await?;
    Ok(format!("streams {high} and {low} echoed"))
}

async fn descending(mut p: Probe) -> Verdict {
    let first = p.new_id();
    for n in (0..50).rev() {
        works(&mut p, first + 2 * n).await?;
    }
    Ok("50 streams echoed".into())
}

async fn maximum(mut p: Probe) -> Verdict {
    let id = MAX_31 - (MAX_31 ^ p.new_id()) % 2;
    works(&mut p, id).await?;
    Ok(format!("stream {id} echoed"))
}

async fn top_bit_syn(mut p: Probe) -> Verdict {
    let id = p.new_id();
    p.send(p.syn(0, id | TOP_BIT, b"masked")).await?;
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, b"masked").await?;
    p.alive().await?;
    Ok("6 bytes, FIN".into())
}

async fn top_bit_data(mut p: Probe) -> Verdict {
    let id = p.open(b"one").await?;
    p.send(wire::data(0, id | TOP_BIT, b"two")).await?;
    p.send(wire::data(FIN, id | TOP_BIT, &[])).await?;
    p.echo_and_fin(id, b"onetwo").await?;
    p.alive().await?;
    Ok("6 bytes, FIN".into())
}

async fn zero_syn(mut p: Probe) -> Verdict {
    p.send(p.syn(0, 0, b"zero")).await?;
    Ok(p.session_error(&[1]).await?.to_string())
}

async fn zero_data(mut p: Probe) -> Verdict {
    p.send(wire::data(0, 0, b"zero")).await?;
    Ok(p.session_error(&[1]).await?.to_string())
}

async fn zero_top_bit(mut p: Probe) -> Verdict {
    p.send(p.syn(0, TOP_BIT, b"zero")).await?;
    Ok(p.session_error(&[1]).await?.to_string())
}

async fn wrong_parity(mut p: Probe) -> Verdict {
    p.send(p.syn(0, p.their_id(), b"mine")).await?;
    Ok(p.session_error(&[1]).await?.to_string())
}

async fn wrong_parity_data(mut p: Probe) -> Verdict {
    let id = p.their_id();
    p.send(wire::data(0, id, b"whose")).await?;
    p.reset_with(id, 4).await?;
    p.alive().await?;
    Ok("RST(4), session alive".into())
}

async fn open_not_replaced(mut p: Probe) -> Verdict {
    let id = p.open(b"one").await?;
    p.echo(id, b"one").await?;
    p.send(p.syn(0, id, b"two")).await?;
    p.until("RST on the stream, or GOAWAY", |record| {
        let stream = record.stream(id);
        !stream.resets.is_empty() || !record.goaways.is_empty() || stream.data.len() > 3
    })
    .await?;
    let stream = p.record.stream(id);
    if stream.data.len() > 3 {
        return Err(Stop::failed("RST on the stream, or GOAWAY", "the new payload echoed"));
    }
    Ok(match stream.resets.first() {
        Some(code) => format!("RST({code})"),
        None => p.record.state(),
    })
}

async fn open_reset(mut p: Probe) -> Verdict {
    let id = p.open(b"one").await?;
    p.echo(id, b"one").await?;
    p.send(p.syn(0, id, b"two")).await?;
    let code = p.reset(id).await?;
    p.alive().await?;
    Ok(format!("RST({code}), session alive"))
}

async fn closed_refused(mut p: Probe) -> Verdict {
    let id = p.request(b"once").await?;
    p.echo_and_fin(id, b"once").await?;
    p.send(p.syn(0, id, b"again")).await?;
    p.until("RST on the stream", |record| {
        let stream = record.stream(id);
        !stream.resets.is_empty() || stream.data.len() > 4
    })
    .await?;
    let stream = p.record.stream(id);
    let Some(&code) = stream.resets.first() else {
        return Err(Stop::failed("RST on the stream", "accepted as a new stream"));
    };
    p.alive().await?;
    Ok(format!("RST({code}), session alive"))
}

async fn hole_refused(mut p: Probe) -> Verdict {
    let id = p.new_id();
    p.send(wire::data(0, id, b"early")).await?;
    p.reset_with(id, 4).await?;
    p.send([p.syn(0, id, b"late"), wire::data(FIN, id, &[])].concat()).await?;
    for _ in 0..3 {
        p.alive().await?;
    }
    let stream = p.record.stream(id);
    if stream.frames == 0 {
        Ok(format!("{} RSTs, session alive", stream.resets.len()))
    } else {
        Err(Stop::failed("no echo", stream.to_string()))
    }
}
