//! Section 11: many streams, many frames. Honest traffic passes, and excess is refused stream by
//! stream.

use super::super::case::{Case, Stop, Verdict, run};
use super::super::probe::{HEARTBEAT, Probe, pattern};
use super::super::wire::{self, FIN, SYN};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "limits/60-streams",
        "11.1",
        "60 streams open at once",
        "all are echoed and ended",
        run!(streams_60),
    ),
    Case::should(
        "limits/1000-streams",
        "11.1",
        "1000 streams open at once, opened 50 at a time",
        "all are echoed and ended",
        run!(streams_1000),
    ),
    Case::must(
        "limits/too-many-streams",
        "11.1",
        "2000 streams open at once, opened 50 at a time",
        "echoed or refused with RST(5) or (9), session alive",
        run!(too_many_streams),
    ),
    Case::must(
        "limits/burst",
        "4.3",
        "300 SYNs in one write",
        "echoed or refused with RST(5) or (9), session alive",
        run!(burst),
    ),
    Case::should(
        "limits/heartbeat",
        "9.3",
        "streams, 50 at a time, until one is refused or 2000 are open; then a heartbeat and a beat",
        "the beat is echoed",
        run!(heartbeat),
    )
    .typed(),
    Case::must(
        "limits/sequence",
        "11.2",
        "2000 requests, 50 in flight",
        "all are answered",
        run!(sequence),
    ),
    Case::must(
        "limits/tiny-frames",
        "11.2",
        "20,000 bytes in frames of one byte",
        "the bytes come back, then FIN",
        run!(tiny_frames),
    ),
    Case::must(
        "limits/empty-frames",
        "11.2",
        "90 empty DATA frames on an open stream",
        "session alive",
        run!(empty_frames),
    ),
    Case::must(
        "limits/late-frames",
        "11.2",
        "1000 times FIN, WNDINC and RST for streams that are gone",
        "nothing, session alive",
        run!(late_frames),
    ),
];

async fn streams_60(mut p: Probe) -> Verdict {
    let mut streams = Vec::new();
    for _ in 0..60 {
        let id = p.new_id();
        streams.push((id, pattern(id, 100)));
        p.send(p.opening(id, 0, &streams[streams.len() - 1].1)).await?;
    }
    for (id, payload) in &streams {
        p.echo(*id, payload).await?;
    }
    for (id, payload) in &streams {
        p.send(wire::data(FIN, *id, &[])).await?;
        p.echo_and_fin(*id, payload).await?;
    }
    Ok("60 streams echoed".into())
}

/// The results of streams that were opened together.
#[derive(Default)]
struct Opened {
    accepted: Vec<u32>,
    refused: usize,
}

impl Opened {
    /// Opens `count` streams in one write and waits until each is echoed or
    /// refused.
    async fn open(&mut self, p: &mut Probe, count: usize) -> Result<(), Stop> {
        let ids: Vec<u32> = (0..count).map(|_| p.new_id()).collect();
        p.send(ids.iter().flat_map(|&id| p.opening(id, 0, b"open")).collect::<Vec<u8>>()).await?;
        for id in ids {
            p.until(&format!("an echo or RST on stream {id}"), |record| {
                let stream = record.stream(id);
                stream.data.len() >= 4 || !stream.resets.is_empty()
            })
            .await?;
            match p.record.stream(id).resets[..] {
                [] => self.accepted.push(id),
                [code @ (5 | 9), ..] => {
                    self.refused += 1;
                    if code == 9 {
                        // One peer keeps the stream until this answer.
                        p.send(wire::rst(id, 6)).await?;
                    }
                }
                ref other => {
                    let seen = format!("RSTs {other:?} on stream {id}");
                    return Err(Stop::failed("an echo, RST(5) or RST(9)", seen));
                }
            }
        }
        Ok(())
    }

    /// Finishes the accepted streams and proves that the session is alive.
    async fn finish(self, p: &mut Probe) -> Verdict {
        for &id in &self.accepted {
            p.send(wire::data(FIN, id, &[])).await?;
        }
        for &id in &self.accepted {
            p.echo_and_fin(id, b"open").await?;
        }
        p.alive().await?;
        Ok(format!("{} echoed, {} refused, session alive", self.accepted.len(), self.refused))
    }
}

async fn streams_1000(mut p: Probe) -> Verdict {
    let mut opened = Opened::default();
    for _ in 0..20 {
        opened.open(&mut p, 50).await?;
    }
    if opened.refused > 0 {
        return Err(Stop::failed("1000 streams", format!("{} refused", opened.refused)));
    }
    opened.finish(&mut p).await
}

async fn too_many_streams(mut p: Probe) -> Verdict {
    let mut opened = Opened::default();
    for _ in 0..40 {
        opened.open(&mut p, 50).await?;
    }
    opened.finish(&mut p).await
}

async fn heartbeat(mut p: Probe) -> Verdict {
    let mut opened = Opened::default();
    for _ in 0..40 {
        opened.open(&mut p, 50).await?;
        if opened.refused > 0 {
            break;
        }
    }
    let id = p.new_id();
    p.send(wire::data(SYN, id, &HEARTBEAT.to_be_bytes())).await?;
    p.send(wire::data(0, id, b"beat")).await?;
    p.echo(id, b"beat").await?;
    opened.finish(&mut p).await
}

async fn burst(mut p: Probe) -> Verdict {
    let mut opened = Opened::default();
    opened.open(&mut p, 300).await?;
    opened.finish(&mut p).await
}

async fn sequence(mut p: Probe) -> Verdict {
    for _ in 0..40 {
        let ids: Vec<u32> = (0..50).map(|_| p.new_id()).collect();
        p.send(ids.iter().flat_map(|&id| p.opening(id, FIN, b"next")).collect::<Vec<u8>>()).await?;
        for id in ids {
            p.echo_and_fin(id, b"next").await?;
        }
    }
    Ok("2000 streams echoed".into())
}

async fn tiny_frames(mut p: Probe) -> Verdict {
    let id = p.open(&[]).await?;
    let payload = pattern(id, 20_000);
    let frames: Vec<u8> = payload.chunks(1).flat_map(|byte| wire::data(0, id, byte)).collect();
    p.send(frames).await?;
    p.send(wire::data(FIN, id, &[])).await?;
    p.echo_and_fin(id, &payload).await?;
    Ok("20000 bytes, FIN".into())
}

async fn empty_frames(mut p: Probe) -> Verdict {
    let id = p.open(b"a").await?;
    p.send(wire::data(0, id, &[]).repeat(90)).await?;
    p.alive().await?;
    p.send(wire::data(FIN, id, b"b")).await?;
    p.echo_and_fin(id, b"ab").await?;
    Ok("session alive".into())
}

async fn late_frames(mut p: Probe) -> Verdict {
    let first = p.far_id();
    let ids = (0..1000).map(|n| first + 2 * n);
    let frames = ids
        .clone()
        .flat_map(|id| [wire::data(FIN, id, &[]), wire::wndinc(id, 1), wire::rst(id, 6)].concat());
    p.send(frames.collect::<Vec<u8>>()).await?;
    p.alive().await?;
    match ids.map(|id| p.record.stream(id)).find(|stream| !stream.is_silent()) {
        None => Ok("nothing, session alive".into()),
        Some(stream) => Err(Stop::failed("nothing on those streams", stream.to_string())),
    }
}
