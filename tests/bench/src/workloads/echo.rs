//! The grid of the Go reference's benchmark: streams that echo a payload.

use std::io;

use futures_util::future;

use super::{bulk::READ, serve, wrong};
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
/// Bytes of a write of the variant that reads and writes in tasks of their own.
const SMALL_WRITE: u64 = 32 * 1024;

/// What each stream does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payload {
    /// Bytes.
    pub(crate) len: u64,
    /// Whether a task of its own writes, in small writes, while another reads. Otherwise one task
    /// does both.
    pub(crate) apart: bool,
    /// How much is compared.
    pub(crate) thoroughness: Thoroughness,
}

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
    payload: Payload,
    budget: Budget,
) -> io::Result<Outcome> {
    // One round of a huge cell is as long as many rounds of a small one, so it needs no warm-up.
    if payload.len * u64::from(streams) < 512 * 1024 * 1024 {
        rounds(rt, &opener, streams, payload, budget.warm_up()).await?;
    }
    let meter = Meter::start();
    let recorder = rounds(rt, &opener, streams, payload, budget).await?;
    Ok(Outcome {
        ops: recorder.count() * u64::from(streams),
        bytes: recorder.count() * u64::from(streams) * payload.len,
        usage: meter.stop(),
        latency: recorder.latency(),
        ..Outcome::default()
    })
}

async fn rounds<R: Runtime, O: Opener>(
    rt: R,
    opener: &O,
    streams: u32,
    payload: Payload,
    budget: Budget,
) -> io::Result<Recorder> {
    let clock = budget.start();
    let mut recorder = Recorder::new();
    while clock.take() {
        recorder
            .time(async {
                let echoes: Vec<_> =
                    (0..streams).map(|_| rt.spawn(echo(rt, opener.clone(), payload))).collect();
                for echo in echoes {
                    echo.await?;
                }
                Ok(())
            })
            .await?;
    }
    Ok(recorder)
}

async fn echo<R: Runtime, O: Opener>(rt: R, mut opener: O, payload: Payload) -> io::Result<()> {
    let Payload { len, apart, thoroughness } = payload;
    let mut stream = opener.open().await?;
    if len <= SENT_FIRST {
        stream.send_last(pattern(0, len as usize)).await?;
        return read_back(&mut stream, len, thoroughness).await;
    }
    let (mut recv, mut send) = stream.split();
    if apart {
        let writer = rt.spawn(async move { write(&mut send, len, SMALL_WRITE).await });
        read_back(&mut recv, len, thoroughness).await?;
        return writer.await;
    }
    let both =
        future::try_join(write(&mut send, len, WRITE), read_back(&mut recv, len, thoroughness));
    both.await?;
    Ok(())
}

async fn write<S: SendHalf>(stream: &mut S, payload: u64, each: u64) -> io::Result<()> {
    const { assert!(WRITE <= LONGEST as u64) };
    let mut sent = 0;
    while sent < payload {
        let len = each.min(payload - sent);
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
