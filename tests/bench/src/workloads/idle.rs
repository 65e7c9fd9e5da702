//! The memory of streams and sessions that were used once and are kept open.

use std::{
    future, io,
    sync::{Arc, Mutex},
};

use super::{Plan, ping_pong::receive, request::SIZE, request::message, serve};
use crate::{
    contestants::{Acceptor, Chunk, Mux, Opener, Stream, Tuning},
    measure::{Meter, Outcome, resident},
    runtime::Runtime,
};

/// Things kept open.
type Kept<T> = Arc<Mutex<Vec<T>>>;

fn keep<T>(kept: &Kept<T>, thing: T) {
    kept.lock().expect("no holder of the list panics").push(thing);
}

/// Answers one message on each stream, and keeps the stream.
pub(crate) async fn server<R: Runtime, A: Acceptor>(rt: R, acceptor: A, plan: Plan) {
    let kept = Arc::new(Mutex::new(Vec::with_capacity(plan.idle)));
    serve(rt, acceptor, move |mut stream| {
        let kept = Arc::clone(&kept);
        async move {
            answer(&mut stream).await?;
            keep(&kept, stream);
            Ok(())
        }
    })
    .await;
}

async fn answer<S: Stream>(stream: &mut S) -> io::Result<()> {
    let mut chunk = Chunk::new(SIZE);
    let mut answered = 0;
    while answered < SIZE {
        match stream.recv(&mut chunk).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => answered += n,
        }
        stream.send_back(&mut chunk).await?;
    }
    stream.flush().await
}

/// Sends a message and waits for it to come back.
pub(crate) async fn ask<S: Stream>(stream: &mut S, number: usize) -> io::Result<()> {
    let request = message(number as u64);
    stream.send(request).await?;
    stream.flush().await?;
    receive(stream, request, &mut Chunk::new(SIZE)).await
}

/// Opens streams in one session, one after the other.
pub(crate) async fn streams<O: Opener>(mut opener: O, plan: Plan) -> io::Result<Outcome> {
    let mut kept = Vec::with_capacity(plan.idle);
    let mut first = opener.open().await?;
    ask(&mut first, 0).await?;
    let before = resident()?;
    let meter = Meter::start();
    for number in 0..plan.idle {
        let mut stream = opener.open().await?;
        ask(&mut stream, number).await?;
        kept.push(stream);
    }
    let usage = meter.stop();
    let outcome = cost(kept.len(), before, usage)?;
    drop((first, kept));
    Ok(outcome)
}

fn cost(count: usize, before: u64, usage: crate::measure::Usage) -> io::Result<Outcome> {
    Ok(Outcome {
        ops: count as u64,
        resident: Some(resident()?.saturating_sub(before)),
        usage,
        ..Outcome::default()
    })
}

/// Accepts sessions, answers one message on the one stream of each, and keeps both.
pub(crate) async fn session_server<R, M, Io>(rt: R, io: Io) -> io::Result<()>
where
    R: Runtime,
    M: Mux<R, Io>,
    Io: Send + 'static,
{
    let acceptor = M::server(rt, io, Tuning::default()).await?;
    rt.detach(serve(rt, acceptor, |mut stream| async move {
        answer(&mut stream).await?;
        future::pending().await
    }));
    Ok(())
}

/// A session of the client and its one stream.
pub(crate) async fn session_client<R, M, Io>(
    rt: R,
    io: Io,
    number: usize,
) -> io::Result<(M::Opener, <M::Opener as Opener>::Stream)>
where
    R: Runtime,
    M: Mux<R, Io>,
    Io: Send + 'static,
{
    let mut opener = M::client(rt, io, Tuning::default()).await?;
    let mut stream = opener.open().await?;
    ask(&mut stream, number).await?;
    Ok((opener, stream))
}

/// Begins sessions over transports that `connect` makes.
pub(crate) async fn sessions<R, M, Io, C, F>(
    rt: R,
    mut connect: C,
    plan: Plan,
) -> io::Result<Outcome>
where
    R: Runtime,
    M: Mux<R, Io>,
    Io: Send + 'static,
    C: FnMut() -> F + Send,
    F: Future<Output = io::Result<Io>> + Send,
{
    let mut kept = Vec::with_capacity(plan.idle);
    let first = session_client::<R, M, Io>(rt, connect().await?, 0).await?;
    let before = resident()?;
    let meter = Meter::start();
    for number in 0..plan.idle {
        kept.push(session_client::<R, M, Io>(rt, connect().await?, number).await?);
    }
    let usage = meter.stop();
    let outcome = cost(kept.len(), before, usage)?;
    drop((first, kept));
    Ok(outcome)
}
