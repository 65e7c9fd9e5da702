//! Section 7.6: the transport ends.

use super::super::case::{Case, Verdict, run};
use super::super::probe::Probe;
use super::super::wire::{self, SYN};

pub(super) const CASES: &[Case] = &[
    Case::should(
        "end/idle",
        "7.6",
        "the end of the transport on an idle session",
        "the endpoint ends the transport too",
        run!(idle),
    ),
    Case::should(
        "end/open-streams",
        "7.6",
        "the end of the transport while streams are open",
        "the endpoint ends the transport too",
        run!(open_streams),
    ),
    Case::should(
        "end/inside-header",
        "7.6",
        "the end of the transport inside a header",
        "the endpoint ends the transport too",
        run!(inside_header),
    ),
    Case::should(
        "end/inside-payload",
        "7.6",
        "the end of the transport inside a payload",
        "the endpoint ends the transport too",
        run!(inside_payload),
    ),
];

async fn ends(mut p: Probe) -> Verdict {
    p.shut_down().await;
    p.over().await?;
    Ok(p.record.state())
}

async fn idle(mut p: Probe) -> Verdict {
    p.alive().await?;
    ends(p).await
}

async fn open_streams(mut p: Probe) -> Verdict {
    for _ in 0..5 {
        let id = p.open(b"open").await?;
        p.echo(id, b"open").await?;
    }
    ends(p).await
}

async fn inside_header(mut p: Probe) -> Verdict {
    p.alive().await?;
    let frame = p.syn(0, p.far_id(), b"cut");
    p.send_raw(&frame[..5]).await?;
    ends(p).await
}

async fn inside_payload(mut p: Probe) -> Verdict {
    p.alive().await?;
    p.send_raw(wire::header(wire::DATA, SYN, p.far_id(), 1_000)).await?;
    p.send_raw([0; 10]).await?;
    ends(p).await
}
