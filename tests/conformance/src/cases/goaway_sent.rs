//! Section 7.1: GOAWAY as the endpoint sends it. It is provoked by frames that every known
//! implementation rejects.

use super::super::case::{Case, Stop, Verdict, run};
use super::super::probe::{Probe, pattern};
use super::super::record::{End, GoAway};
use super::super::wire::{self, FIN, PAD};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "goaway-sent/length",
        "7.1",
        "a session error",
        "GOAWAY whose length covers its fixed fields and its text",
        run!(length),
    ),
    Case::must(
        "goaway-sent/last",
        "7.1",
        "a session error after streams in any order of ids",
        "GOAWAY with the largest id as the last one",
        run!(last),
    ),
    Case::should(
        "goaway-sent/last-of-none",
        "7.1",
        "a session error before any stream",
        "GOAWAY with 0 as the last stream",
        run!(last_of_none),
    ),
    Case::must(
        "goaway-sent/then-end",
        "7.5",
        "a session error",
        "GOAWAY, then the end of the transport",
        run!(then_end),
    ),
    Case::should("goaway-sent/once", "7.5", "a session error", "one GOAWAY", run!(once)),
    Case::should(
        "goaway-sent/text",
        "7.1",
        "a session error",
        "a text of at most 4096 bytes, in UTF-8",
        run!(text),
    ),
];

/// Causes a session error in some known implementation at each step, without an id of the suite,
/// and returns the GOAWAY.
async fn provoke(p: &mut Probe) -> Result<GoAway, Stop> {
    let theirs = p.their_id();
    let unknown_type = wire::frame(0xe, 0, 0, &[]);
    p.send([unknown_type, wire::data(0, theirs, b"x")].concat()).await?;
    p.until("GOAWAY or RST", |record| {
        !record.goaways.is_empty() || !record.stream(theirs).resets.is_empty()
    })
    .await?;
    if p.record.goaways.is_empty() {
        p.send(p.syn(0, theirs + 2, b"x")).await?;
    }
    p.goaway().await
}

async fn length(mut p: Probe) -> Verdict {
    let goaway = provoke(&mut p).await?;
    let is_goaway = |kind: u8| kind == wire::GOAWAY;
    p.until("the end of the transport or another frame", |record| {
        let last = record.frames.last().map(|frame| frame.header.kind);
        record.end.is_some() || !last.is_some_and(is_goaway)
    })
    .await?;
    let mut after = p.record.frames.iter().skip_while(|frame| !is_goaway(frame.header.kind));
    if let Some(frame) = after.next().filter(|frame| frame.header.id != 0) {
        return Err(Stop::failed("GOAWAY on stream 0", frame.header.to_string()));
    }
    let stray = after.find(|frame| {
        frame.header.kind > wire::GOAWAY && (frame.header.kind != PAD || frame.header.length > 0)
    });
    match (stray, p.record.end) {
        (Some(frame), _) => Err(Stop::failed(
            "nothing or a frame behind the text",
            format!("{goaway}, then bytes that read as {}", frame.header),
        )),
        (None, Some(End::Truncated(bytes))) => {
            Err(Stop::failed("nothing or a frame behind the text", format!("{bytes} stray bytes")))
        }
        (None, _) => Ok(goaway.to_string()),
    }
}

async fn last(mut p: Probe) -> Verdict {
    let [low, high] = [p.new_id(), p.new_id() + 4];
    for id in [high, low] {
        p.send(p.opening(id, FIN, &pattern(id, 10))).await?;
        p.echo_and_fin(id, &pattern(id, 10)).await?;
    }
    let goaway = provoke(&mut p).await?;
    last_is(&goaway, high)
}

async fn last_of_none(mut p: Probe) -> Verdict {
    let goaway = provoke(&mut p).await?;
    last_is(&goaway, 0)
}

fn last_is(goaway: &GoAway, expected: u32) -> Verdict {
    if goaway.last == expected {
        Ok(goaway.to_string())
    } else {
        Err(Stop::failed(format!("last stream {expected}"), goaway.to_string()))
    }
}

async fn then_end(mut p: Probe) -> Verdict {
    let goaway = provoke(&mut p).await?;
    let end = p.over().await?;
    Ok(format!("{goaway}, {end}"))
}

async fn once(mut p: Probe) -> Verdict {
    provoke(&mut p).await?;
    p.over().await?;
    match p.record.goaways.len() {
        1 => Ok("one GOAWAY".into()),
        several => Err(Stop::failed("one GOAWAY", several.to_string())),
    }
}

async fn text(mut p: Probe) -> Verdict {
    let goaway = provoke(&mut p).await?;
    if goaway.debug.len() <= 4_096 && std::str::from_utf8(&goaway.debug).is_ok() {
        Ok(goaway.to_string())
    } else {
        Err(Stop::failed("at most 4096 bytes of UTF-8", goaway.to_string()))
    }
}
