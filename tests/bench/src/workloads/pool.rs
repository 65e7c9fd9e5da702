//! Request and response over a pool of open TCP connections: the alternative without a multiplexer.
//!
//! A connection of the pool has no half-close to mark the end of a message, so messages here have a
//! fixed size, and finding the end costs nothing.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use super::{
    Plan,
    ping_pong::receive,
    request::{SIZE, message},
};
use crate::{
    contestants::{Chunk, SendHalf as _, raw::Socket},
    measure::{Budget, Meter, Outcome, Recorder},
};

type Pool<R> = Arc<Mutex<Vec<<R as Socket>::Stream>>>;

/// Makes requests, `inflight` at a time.
pub(crate) async fn client<R: Socket>(
    rt: R,
    to: SocketAddr,
    inflight: u32,
    plan: Plan,
) -> io::Result<Outcome> {
    let pool = Pool::<R>::default();
    phase(rt, to, &pool, inflight, plan.budget.warm_up()).await?;
    let meter = Meter::start();
    let recorder = phase(rt, to, &pool, inflight, plan.budget).await?;
    Ok(Outcome {
        ops: recorder.count(),
        bytes: recorder.count() * SIZE as u64,
        usage: meter.stop(),
        latency: recorder.latency(),
        ..Outcome::default()
    })
}

async fn phase<R: Socket>(
    rt: R,
    to: SocketAddr,
    pool: &Pool<R>,
    inflight: u32,
    budget: Budget,
) -> io::Result<Recorder> {
    let clock = Arc::new(budget.start());
    let workers: Vec<_> = (0..inflight)
        .map(|worker| {
            let (pool, clock) = (Arc::clone(pool), Arc::clone(&clock));
            rt.spawn(async move {
                let mut recorder = Recorder::new();
                let mut chunk = Chunk::new(SIZE);
                let mut number = u64::from(worker);
                while clock.take() {
                    recorder.time(exchange(rt, to, &pool, message(number), &mut chunk)).await?;
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

async fn exchange<R: Socket>(
    rt: R,
    to: SocketAddr,
    pool: &Pool<R>,
    request: &'static [u8],
    chunk: &mut Chunk,
) -> io::Result<()> {
    let poisoned = "no holder of the pool panics";
    let pooled = pool.lock().expect(poisoned).pop();
    let mut stream = match pooled {
        Some(stream) => stream,
        None => R::stream(rt.connect(to).await?),
    };
    stream.send(request).await?;
    receive(&mut stream, request, chunk).await?;
    pool.lock().expect(poisoned).push(stream);
    Ok(())
}
