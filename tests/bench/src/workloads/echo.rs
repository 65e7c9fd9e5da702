//! The grid of the Go reference's benchmark: streams that echo a payload.

use std::io;

use futures_util::future;

use super::{Plan, bulk::READ, serve, wrong};
use crate::{
    contestants::{Acceptor, Chunk, Opener, RecvHalf, SendHalf, Stream as _},
    measure::{Budget, Meter, Outcome, Recorder},
    pattern::{Check, LONGEST, Thoroughness, pattern},
    runtime::Runtime,
};

/// Up to this size a payload is sent whole before the echo is read: it fits any window.
const SENT_FIRST: u64 = 16 * 1024;
/// Bytes of a write of a longer payload.
const WRITE: u64 = 256 * 1024;

fn read_size(payload: u64) -> usize {
    usize::try_from(payload).map_or(READ, |payload| payload.clamp(64, READ))
}

/// Echoes every stream until its end.
pub(crate) async fn server<R: Runtime, A: Acceptor>(rt: R, acceptor: A, payload: u64) {
    serve(rt, acceptor, move |mut stream| async move {
        let mut chunk = Chunk::new(read_size(payload));
        while stream.recv(&mut chunk).await? > 0 {
            stream.send_back(&mut chunk).await?;
        }
        stream.finish().await
    })
    .await;
}

/// Opens `streams` streams at once, again and again.
pub(crate) async fn client<R: Runtime, O: Opener>(
    rt: R,
    opener: O,
    streams: u32,
    payload: u64,
    plan: Plan,
) -> io::Result<Outcome> {
    // One round of a huge cell is as long as many rounds of a small one, so it needs no warm-up.
    if payload * u64::from(streams) < 512 * 1024 * 1024 {
        rounds(rt, &opener, streams, payload, plan.budget.warm_up(), plan.thoroughness).await?;
    }
    let meter = Meter::start();
    let recorder = rounds(rt, &opener, streams, payload, plan.budget, plan.thoroughness).await?;
    Ok(Outcome {
        ops: recorder.count() * u64::from(streams),
        bytes: recorder.count() * u64::from(streams) * payload,
        usage: meter.stop(),
        latency: recorder.latency(),
        ..Outcome::default()
    })
}

async fn rounds<R: Runtime, O: Opener>(
    rt: R,
    opener: &O,
    streams: u32,
    payload: u64,
    budget: Budget,
    thoroughness: Thoroughness,
) -> io::Result<Recorder> {
    let clock = budget.start();
    let mut recorder = Recorder::new();
    while clock.take() {
        recorder
            .time(async {
                let echoes: Vec<_> = (0..streams)
                    .map(|_| rt.spawn(echo(opener.clone(), payload, thoroughness)))
                    .collect();
                for echo in echoes {
                    echo.await?;
                }
                Ok(())
            })
            .await?;
    }
    Ok(recorder)
}

async fn echo<O: Opener>(
    mut opener: O,
    payload: u64,
    thoroughness: Thoroughness,
) -> io::Result<()> {
    let mut stream = opener.open().await?;
    if payload <= SENT_FIRST {
        stream.send_last(pattern(0, payload as usize)).await?;
        return read_back(&mut stream, payload, thoroughness).await;
    }
    let (mut recv, mut send) = stream.split();
    future::try_join(write(&mut send, payload), read_back(&mut recv, payload, thoroughness))
        .await?;
    Ok(())
}

async fn write<S: SendHalf>(stream: &mut S, payload: u64) -> io::Result<()> {
    const { assert!(WRITE <= LONGEST as u64) };
    let mut sent = 0;
    while sent < payload {
        let len = WRITE.min(payload - sent);
        stream.send(pattern(sent, len as usize)).await?;
        sent += len;
    }
    stream.finish().await
}

async fn read_back<S: RecvHalf>(
    stream: &mut S,
    payload: u64,
    thoroughness: Thoroughness,
) -> io::Result<()> {
    let mut check = Check::new(thoroughness);
    let mut chunk = Chunk::new(read_size(payload));
    while stream.recv(&mut chunk).await? > 0 {
        check.piece(chunk.bytes())?;
    }
    match check.seen() {
        seen if seen == payload => Ok(()),
        seen => Err(wrong(format!("{seen} of {payload} bytes came back"))),
    }
}
