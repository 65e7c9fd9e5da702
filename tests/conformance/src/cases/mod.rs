//! All cases, by section, and their common functions.

mod end;
mod flow;
mod framing;
mod goaway;
mod goaway_sent;
mod grants;
mod half_close;
mod heartbeat;
mod hostile;
mod ids;
mod limits;
mod output;
mod reset;
mod typed;
mod unknown_stream;
mod unknown_type;
mod window;

use super::case::{Case, Stop};
use super::probe::{OUR_WINDOW, Probe, pattern};
use super::wire;

/// The sections, in the order of the report.
const SECTIONS: &[&[Case]] = &[
    framing::CASES,
    output::CASES,
    ids::CASES,
    half_close::CASES,
    unknown_stream::CASES,
    flow::CASES,
    window::CASES,
    grants::CASES,
    reset::CASES,
    goaway::CASES,
    goaway_sent::CASES,
    end::CASES,
    unknown_type::CASES,
    limits::CASES,
    typed::CASES,
    heartbeat::CASES,
    hostile::CASES,
];

/// Every case there is.
pub fn all() -> impl Iterator<Item = &'static Case> {
    SECTIONS.iter().copied().flatten()
}

/// Blocks the endpoint's writer: sends more than the suite's window lets back as an echo, and
/// grants no credit. Returns the stream and everything that was sent on it.
async fn blocked_writer(probe: &mut Probe) -> Result<(u32, Vec<u8>), Stop> {
    probe.granting = false;
    let id = probe.open(&[]).await?;
    let payload = pattern(id, OUR_WINDOW as usize + 65_536);
    probe.send_within_credit(id, &payload).await?;
    probe.echo(id, &payload[..OUR_WINDOW as usize]).await?;
    probe.alive().await?;
    check_length(probe, id, OUR_WINDOW as usize)?;
    Ok((id, payload))
}

/// Fails unless exactly `expected` bytes arrived on a stream.
fn check_length(probe: &Probe, id: u32, expected: usize) -> Result<(), Stop> {
    let stream = probe.record.stream(id);
    if stream.data.len() == expected && stream.resets.is_empty() {
        Ok(())
    } else {
        Err(Stop::failed(
            format!("{expected} bytes on stream {id}, as credit was given"),
            stream.to_string(),
        ))
    }
}

/// Grants `increment` bytes of credit on a stream whose writer is blocked, and checks that exactly
/// that many bytes arrive.
async fn step(probe: &mut Probe, id: u32, payload: &[u8], increment: u32) -> Result<(), Stop> {
    let before = probe.record.stream(id).data.len();
    probe.send(wire::wndinc(id, increment)).await?;
    comes_to(probe, id, payload, before + increment as usize).await
}

/// Waits until `total` bytes of a stream's echo have arrived, and checks that no more follow.
async fn comes_to(probe: &mut Probe, id: u32, payload: &[u8], total: usize) -> Result<(), Stop> {
    probe.echo(id, &payload[..total]).await?;
    probe.alive().await?;
    check_length(probe, id, total)
}

/// Sends on a stream until its credit is used up and the endpoint grants no more, because its
/// application is blocked in a write. The SYN frame carries the first `in_syn` bytes. Returns the
/// stream and what was sent.
async fn exhausted_window(probe: &mut Probe, in_syn: usize) -> Result<(u32, Vec<u8>), Stop> {
    /// An endpoint that takes more has no bound at all.
    const ENOUGH: usize = 8 << 20;
    probe.granting = false;
    let id = probe.new_id();
    let mut payload = pattern(id, ENOUGH);
    let mut sent = in_syn;
    probe.send(probe.syn(0, id, &payload[..in_syn])).await?;
    while let credit @ 1.. = usize::try_from(probe.credit(id)).unwrap_or(usize::MAX) {
        if sent + credit > ENOUGH {
            let seen = format!("still credit after {sent} bytes that it cannot send back");
            return Err(Stop::failed("the window to run out", seen));
        }
        for piece in payload[sent..sent + credit].chunks(16_384) {
            probe.send(wire::data(0, id, piece)).await?;
        }
        sent += credit;
        probe.alive().await?;
    }
    payload.truncate(sent);
    Ok((id, payload))
}

/// Traffic of every kind, to check the endpoint's output: small and large streams, half-closed and
/// reset.
async fn traffic(probe: &mut Probe) -> Result<(), Stop> {
    let mut streams = Vec::new();
    for len in [1, 100, 20_000, 100_000, 200_000] {
        let id = probe.open(&[]).await?;
        streams.push((id, pattern(id, len)));
    }
    for (id, payload) in &streams {
        probe.send_within_credit(*id, payload).await?;
        probe.send(wire::data(wire::FIN, *id, &[])).await?;
    }
    for (id, payload) in &streams {
        probe.echo_and_fin(*id, payload).await?;
    }
    let cancelled = probe.open(b"cancelled").await?;
    probe.send(wire::rst(cancelled, 6)).await?;
    probe.alive().await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_begin_with_their_section() {
        let mut names = BTreeSet::new();
        for section in SECTIONS {
            for case in *section {
                assert!(names.insert(case.name), "{} is there twice", case.name);
                assert_eq!(case.section(), section[0].section(), "{}", case.name);
            }
        }
    }
}
