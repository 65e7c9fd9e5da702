//! Request and response, one stream per request.

use std::{io, sync::Arc};

use super::{Plan, serve, wrong};
use crate::{
    contestants::{Acceptor, Chunk, Opener, SendHalf as _, Stream},
    measure::{Budget, Meter, Outcome, Recorder},
    pattern::pattern,
    runtime::Runtime,
};

/// Bytes of a request and of a response.
pub(crate) const SIZE: usize = 64;

/// Serves requests: reads each to its end and sends it back.
pub(crate) async fn server<R: Runtime, A: Acceptor>(rt: R, acceptor: A) {
    serve(rt, acceptor, |mut stream| async move {
        let mut request = read_message(&mut stream).await?;
        stream.send_back_last(&mut request).await
    })
    .await;
}

/// Makes requests, `inflight` at a time.
pub(crate) async fn client<R: Runtime, O: Opener>(
    rt: R,
    opener: O,
    inflight: u32,
    plan: Plan,
) -> io::Result<Outcome> {
    phase(rt, &opener, inflight, plan.budget.warm_up()).await?;
    let meter = Meter::start();
    let recorder = phase(rt, &opener, inflight, plan.budget).await?;
    Ok(Outcome {
        ops: recorder.count(),
        bytes: recorder.count() * SIZE as u64,
        usage: meter.stop(),
        latency: recorder.latency(),
        ..Outcome::default()
    })
}

async fn phase<R: Runtime, O: Opener>(
    rt: R,
    opener: &O,
    inflight: u32,
    budget: Budget,
) -> io::Result<Recorder> {
    let clock = Arc::new(budget.start());
    let workers: Vec<_> = (0..inflight)
        .map(|worker| {
            let (mut opener, clock) = (opener.clone(), Arc::clone(&clock));
            rt.spawn(async move {
                let mut recorder = Recorder::new();
                let mut number = u64::from(worker);
                while clock.take() {
                    recorder.time(exchange(&mut opener, number)).await?;
                    number += u64::from(inflight);
                }
                Ok::<_, io::Error>(recorder)
            })
        })
        .collect();
    let mut all = Recorder::new();
    for worker in workers {
        all.add(&worker.await?);
    }
    Ok(all)
}

/// Makes one request.
pub(crate) async fn exchange<O: Opener>(opener: &mut O, number: u64) -> io::Result<()> {
    let request = message(number);
    let mut stream = opener.open().await?;
    stream.send_last(request).await?;
    let response = read_message(&mut stream).await?;
    if response.bytes() == request { Ok(()) } else { Err(wrong("a response is not its request")) }
}

/// The message of a number: 1023 different ones, each at a cache line of the pattern.
pub(crate) fn message(number: u64) -> &'static [u8] {
    pattern(number.wrapping_mul(SIZE as u64), SIZE)
}

/// Reads a message and the end of the stream after it.
async fn read_message<S: Stream>(stream: &mut S) -> io::Result<Chunk> {
    let mut message = Chunk::new(SIZE);
    let mut more = Chunk::new(SIZE);
    stream.recv(&mut message).await?;
    while stream.recv(&mut more).await? > 0 {
        message.append(&more)?;
    }
    match message.bytes().len() {
        SIZE => Ok(message),
        other => Err(wrong(format!("a message has {other} bytes"))),
    }
}
