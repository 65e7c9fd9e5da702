//! The same applications on an adapter.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Leave, Load, Order, is_payload, payload};
use crate::runtime::face::*;
use crate::runtime::{Reader, Runtime, Writer, yield_now};

/// Reads up to `count` bytes and compares them; returns how many there were.
async fn read(
    reader: &mut impl Reader,
    id: u32,
    answers: bool,
    count: usize,
) -> Result<usize, String> {
    let mut buf = vec![0; 16 << 10];
    let mut done = 0;
    while done < count {
        let most = buf.len().min(count - done);
        match reader.recv(&mut buf[..most]).await {
            Ok(0) => break,
            Ok(more) if is_payload(id, answers, done, &buf[..more]) => done += more,
            Ok(_) => return Err(format!("stream {id}: wrong bytes at {done}")),
            Err(error) => return Err(format!("stream {id} after {done}: {error}")),
        }
    }
    Ok(done)
}

async fn write(
    writer: &mut impl Writer,
    id: u32,
    answers: bool,
    count: usize,
) -> Result<(), String> {
    let mut done = 0;
    while done < count {
        let data = payload(id, answers, done);
        let most = data.len().min(count - done);
        match writer.send(&data[..most]).await {
            Ok(more) => done += more,
            Err(error) => return Err(format!("stream {id} at {done}: {error}")),
        }
    }
    Ok(())
}

/// Opens streams, sends requests, and reads the answers, as the load prescribes.
///
/// # Panics
///
/// If a stream does not end as expected.
pub async fn call_all<R: Runtime>(session: &R::Session, load: Load) {
    let left = Arc::new(AtomicU32::new(load.streams));
    let workers: Vec<_> = (0..load.at_once.min(load.streams))
        .map(|_| {
            let (session, left) = (session.clone(), Arc::clone(&left));
            R::spawn(async move {
                let less = |left: u32| left.checked_sub(1);
                while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
                    call::<R>(&session, load).await.expect("an honest stream");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await;
    }
}

async fn call<R: Runtime>(session: &R::Session, load: Load) -> Result<(), String> {
    if let Order::Abandoning(count) = load.order {
        for _ in 0..count {
            drop(session.open().await.map_err(|error| error.to_string())?);
        }
    }
    let mut stream = session.open().await.map_err(|error| error.to_string())?;
    let id = stream.id().get();
    if load.order == Order::EvenThenOdd && id % 4 >= 2 {
        for _ in 0..10 {
            yield_now().await;
        }
    }
    write(&mut stream, id, false, load.request).await?;
    stream.half_close().await.map_err(|error| error.to_string())?;
    let (wanted, leave) = load.leave.unwrap_or((load.answer, Leave::Drop));
    let got = read(&mut stream, id, true, wanted).await?;
    if got < wanted {
        return Err(format!("stream {id} ends at {got}"));
    }
    if load.leave.is_none() && read(&mut stream, id, true, 1).await? > 0 {
        return Err(format!("stream {id} goes on"));
    }
    if leave == Leave::Reset {
        stream.reset(muxado_proto::ErrorCode::STREAM_CANCELLED);
    }
    Ok(())
}

/// Accepts streams and answers them, until the session is over. Late readers wait until all
/// streams of the load have come in.
///
/// # Panics
///
/// If a stream does not end as expected.
pub async fn serve<R: Runtime>(session: R::Session, load: Load) {
    let (mut handlers, mut waiting) = (Vec::new(), Vec::new());
    let mut accepted = 0;
    while let Ok(stream) = session.accept().await {
        accepted += 1;
        waiting.push(stream);
        if !load.late.is_zero() && accepted < load.streams {
            continue;
        }
        handlers.extend(waiting.drain(..).map(|stream| {
            R::spawn(async move {
                let handled = handle::<R>(stream, load).await;
                // A request may fail at any point after its opener has left.
                assert!(load.leave.is_some() || handled.is_ok(), "{handled:?}");
            })
        }));
    }
    for handler in handlers {
        handler.await;
    }
}

/// Reads a request and answers it.
///
/// # Errors
///
/// What went wrong.
pub async fn handle<R: Runtime>(mut stream: R::Stream, load: Load) -> Result<(), String> {
    let id = stream.id().get();
    let got = read(&mut stream, id, false, usize::MAX).await?;
    if got != load.request {
        return Err(format!("request {id} ends at {got}"));
    }
    write(&mut stream, id, true, load.answer).await?;
    stream.half_close().await.map_err(|error| error.to_string())?;
    if !load.hold.is_zero() {
        // No clock: others get so many turns.
        for _ in 0..100 {
            yield_now().await;
        }
    }
    Ok(())
}
