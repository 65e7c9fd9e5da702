//! Very many streams in one session: what opening and closing one more costs, and what sending costs,
//! by the number of streams that are open.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use super::{
    Plan, bulk,
    ping_pong::receive,
    request::{SIZE, message},
    serve, wrong,
};
use crate::{
    contestants::{Acceptor, Chunk, Opener, RecvHalf as _, SendHalf as _},
    measure::{Meter, Outcome, Recorder, resident},
    pattern::{Check, HOLD},
    runtime::Runtime,
};

/// The message of a stream that is kept open.
static KEPT: [u8; SIZE] = [HOLD; SIZE];
/// Tasks that open streams at the same time.
const OPENERS: usize = 64;
/// Bytes of a write of bulk.
const WRITE: u32 = 64 * 1024;

type Shared<T> = Arc<Mutex<Vec<T>>>;

/// Answers a stream that is to be kept, and keeps it. Takes all others to their end.
pub(crate) async fn server<R: Runtime, A: Acceptor>(rt: R, acceptor: A, count: u32, plan: Plan) {
    let kept: Shared<A::Stream> = Arc::new(Mutex::new(Vec::with_capacity(count as usize)));
    serve(rt, acceptor, move |mut stream| {
        let kept = Arc::clone(&kept);
        async move {
            let mut chunk = Chunk::new(SIZE);
            let mut check = Check::new(plan.thoroughness);
            if stream.recv(&mut chunk).await? > 0 {
                if chunk.bytes()[0] == HOLD {
                    stream.send_back(&mut chunk).await?;
                    stream.flush().await?;
                    kept.lock().expect("no holder of the list panics").push(stream);
                    return Ok(());
                }
                check.piece(chunk.bytes())?;
                // Short streams end here; a stream of bulk gets a larger buffer.
                if stream.recv(&mut chunk).await? > 0 {
                    check.piece(chunk.bytes())?;
                    return bulk::sink_rest(stream, check).await;
                }
            }
            bulk::acknowledge(&mut stream, check.seen()).await
        }
    })
    .await;
}

/// Opens the streams, then measures with all of them open.
pub(crate) async fn client<R: Runtime, O: Opener>(
    rt: R,
    mut opener: O,
    count: u32,
    plan: Plan,
) -> io::Result<Outcome> {
    let first = keep(&mut opener).await?;
    once(&mut opener).await?;
    let before = resident()?;
    let kept = open(rt, &opener, count as usize).await?;
    let grown = resident()?.saturating_sub(before);

    let mut recorder = Recorder::new();
    let clock = plan.budget.start();
    let meter = Meter::start();
    while clock.take() {
        recorder.time(once(&mut opener)).await?;
    }
    let usage = meter.stop();

    let meter = Meter::start();
    let bytes = bulk::phase(rt, &opener, 1, WRITE, plan.budget).await?;
    let moved = meter.stop();
    drop((first, kept));
    Ok(Outcome {
        ops: recorder.count(),
        bytes,
        usage,
        latency: recorder.latency(),
        also: BTreeMap::from([
            ("bytes a stream".to_owned(), grown as f64 / f64::from(count)),
            ("bulk MB/s".to_owned(), bytes as f64 / moved.wall / 1e6),
        ]),
        ..Outcome::default()
    })
}

async fn open<R: Runtime, O: Opener>(
    rt: R,
    opener: &O,
    count: usize,
) -> io::Result<Vec<Vec<O::Stream>>> {
    let openers: Vec<_> = (0..OPENERS)
        .map(|part| {
            let mut opener = opener.clone();
            let share = count * (part + 1) / OPENERS - count * part / OPENERS;
            rt.spawn(async move {
                let mut kept = Vec::with_capacity(share);
                for _ in 0..share {
                    kept.push(keep(&mut opener).await?);
                }
                Ok::<_, io::Error>(kept)
            })
        })
        .collect();
    let mut all = Vec::with_capacity(OPENERS);
    for opener in openers {
        all.push(opener.await?);
    }
    Ok(all)
}

/// Opens a stream that both ends keep.
async fn keep<O: Opener>(opener: &mut O) -> io::Result<O::Stream> {
    let mut stream = opener.open().await?;
    stream.send(&KEPT).await?;
    stream.flush().await?;
    receive(&mut stream, &KEPT, &mut Chunk::new(SIZE)).await?;
    Ok(stream)
}

/// Opens a stream, sends a message to its end and reads the answer to its end.
async fn once<O: Opener>(opener: &mut O) -> io::Result<()> {
    let mut stream = opener.open().await?;
    stream.send_last(message(0)).await?;
    let mut chunk = Chunk::new(SIZE);
    let mut answer = Vec::new();
    while stream.recv(&mut chunk).await? > 0 {
        answer.extend_from_slice(chunk.bytes());
    }
    if answer == SIZE.to_string().as_bytes() {
        Ok(())
    } else {
        Err(wrong("a wrong count came back"))
    }
}
