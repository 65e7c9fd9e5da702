//! Ping-pong: one stream, one small message at a time.

use std::io;

use super::{
    Plan,
    request::{SIZE, message},
    serve, wrong,
};
use crate::{
    contestants::{Acceptor, Chunk, Opener, RecvHalf, SendHalf as _},
    measure::{Budget, Meter, Outcome, Recorder},
    runtime::Runtime,
};

/// Sends back whatever comes.
pub(crate) async fn server<R: Runtime, A: Acceptor>(rt: R, acceptor: A) {
    serve(rt, acceptor, |mut stream| async move {
        let mut chunk = Chunk::new(SIZE);
        while stream.recv(&mut chunk).await? > 0 {
            stream.send_back(&mut chunk).await?;
            stream.flush().await?;
        }
        stream.finish().await
    })
    .await;
}

/// Repeatedly sends a message and waits for it to come back.
pub(crate) async fn client<O: Opener>(mut opener: O, plan: Plan) -> io::Result<Outcome> {
    let mut stream = opener.open().await?;
    rally(&mut stream, plan.budget.warm_up()).await?;
    let meter = Meter::start();
    let recorder = rally(&mut stream, plan.budget).await?;
    Ok(Outcome {
        ops: recorder.count(),
        bytes: recorder.count() * SIZE as u64,
        usage: meter.stop(),
        latency: recorder.latency(),
        ..Outcome::default()
    })
}

async fn rally<S>(stream: &mut S, budget: Budget) -> io::Result<Recorder>
where
    S: crate::contestants::Stream,
{
    let clock = budget.start();
    let mut recorder = Recorder::new();
    let mut chunk = Chunk::new(SIZE);
    while clock.take() {
        let ping = message(recorder.count());
        recorder
            .time(async {
                stream.send(ping).await?;
                stream.flush().await?;
                receive(stream, ping, &mut chunk).await
            })
            .await?;
    }
    Ok(recorder)
}

/// Receives what must be `expected`.
pub(crate) async fn receive<S: RecvHalf>(
    stream: &mut S,
    expected: &[u8],
    chunk: &mut Chunk,
) -> io::Result<()> {
    let mut left = expected;
    while !left.is_empty() {
        if stream.recv(chunk).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left = left.strip_prefix(chunk.bytes()).ok_or_else(|| wrong("a pong is not its ping"))?;
    }
    Ok(())
}
