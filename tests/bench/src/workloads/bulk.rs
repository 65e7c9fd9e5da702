//! Bulk: bytes one way.

use std::{io, sync::Arc};

use super::{Plan, serve, wrong};
use crate::{
    contestants::{Acceptor, Chunk, Opener, RecvHalf as _, SendHalf, Stream},
    measure::{Budget, Clock, Meter, Outcome},
    pattern::{Check, Thoroughness, pattern},
    runtime::Runtime,
};

/// Bytes of the buffer that is read into.
pub(crate) const READ: usize = 64 * 1024;

/// Receives: checks each stream to its end and answers with the number of its bytes.
pub(crate) async fn server<R: Runtime, A: Acceptor>(rt: R, acceptor: A, plan: Plan) {
    serve(rt, acceptor, move |stream| sink(stream, plan.thoroughness)).await;
}

/// Receives one stream.
pub(crate) async fn sink<S: Stream>(stream: S, thoroughness: Thoroughness) -> io::Result<()> {
    sink_rest(stream, Check::new(thoroughness)).await
}

/// Receives the rest of a stream that was begun.
pub(crate) async fn sink_rest<S: Stream>(mut stream: S, mut check: Check) -> io::Result<()> {
    let mut chunk = Chunk::new(READ);
    while stream.recv(&mut chunk).await? > 0 {
        check.piece(chunk.bytes())?;
    }
    acknowledge(&mut stream, check.seen()).await
}

/// Answers with a number of bytes, as text. It is leaked, once for each stream, because what is
/// sent lives forever.
pub(crate) async fn acknowledge<S: SendHalf>(stream: &mut S, bytes: u64) -> io::Result<()> {
    stream.send_last(Box::leak(bytes.to_string().into_boxed_str()).as_bytes()).await
}

/// Sends, on `streams` streams with writes of `write` bytes.
pub(crate) async fn client<R: Runtime, O: Opener>(
    rt: R,
    opener: O,
    streams: u32,
    write: u32,
    plan: Plan,
) -> io::Result<Outcome> {
    phase(rt, &opener, streams, write, plan.budget.warm_up()).await?;
    let meter = Meter::start();
    let bytes = phase(rt, &opener, streams, write, plan.budget).await?;
    Ok(Outcome { ops: bytes / u64::from(write), bytes, usage: meter.stop(), ..Outcome::default() })
}

/// Sends until the budget is spent and every byte has been acknowledged.
pub(crate) async fn phase<R: Runtime, O: Opener>(
    rt: R,
    opener: &O,
    streams: u32,
    write: u32,
    budget: Budget,
) -> io::Result<u64> {
    let clock = Arc::new(budget.start());
    let senders: Vec<_> = (0..streams)
        .map(|_| {
            let (mut opener, clock) = (opener.clone(), Arc::clone(&clock));
            rt.spawn(async move {
                let mut stream = opener.open().await?;
                let sent = pour(&mut stream, write, &clock).await?;
                stream.finish().await?;
                let mut chunk = Chunk::new(READ);
                let mut answer = Vec::new();
                while stream.recv(&mut chunk).await? > 0 {
                    answer.extend_from_slice(chunk.bytes());
                }
                if answer == sent.to_string().as_bytes() {
                    Ok(sent)
                } else {
                    Err(wrong(format!("{sent} bytes were sent, {answer:?} were acknowledged")))
                }
            })
        })
        .collect();
    let mut sent = 0;
    for sender in senders {
        sent += sender.await?;
    }
    Ok(sent)
}

/// Bytes between two reads of the clock, so that they do not slow down small writes.
const BETWEEN_LOOKS: u64 = 64 * 1024;

/// Sends the pattern until the budget is spent, and returns the number of bytes.
pub(crate) async fn pour<S: SendHalf>(
    stream: &mut S,
    write: u32,
    clock: &Clock,
) -> io::Result<u64> {
    let mut sent = 0;
    let writes = (BETWEEN_LOOKS / u64::from(write)).max(1);
    while clock.take() {
        for _ in 0..writes {
            stream.send(pattern(sent, write as usize)).await?;
            sent += u64::from(write);
        }
    }
    Ok(sent)
}
