//! One stream over a link of long delay and fixed bandwidth.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{Plan, bulk::READ, serve};
use crate::{
    contestants::{Acceptor, Chunk, Opener, RecvHalf as _},
    measure::{Budget, Meter, Outcome},
    pattern::Check,
    runtime::Runtime,
};

/// Bytes of a write.
const WRITE: u32 = 64 * 1024;
/// The factor for a budget of time, because a second is only ten round trips.
const STRETCH: u32 = 4;

/// What has arrived. Both ends are in this process, so the client can look at it.
static ARRIVED: AtomicU64 = AtomicU64::new(0);

/// Receives, and keeps the count.
pub(crate) async fn server<R: Runtime, A: Acceptor>(rt: R, acceptor: A, plan: Plan) {
    serve(rt, acceptor, move |mut stream| async move {
        let mut check = Check::new(plan.thoroughness);
        let mut chunk = Chunk::new(READ);
        loop {
            let n = stream.recv(&mut chunk).await?;
            if n == 0 {
                return Ok(());
            }
            check.piece(chunk.bytes())?;
            ARRIVED.fetch_add(n as u64, Ordering::Relaxed);
        }
    })
    .await;
}

/// Sends endlessly. The result is what arrives in the second half of the time; in the first half
/// windows grow.
pub(crate) async fn client<R: Runtime, O: Opener>(
    rt: R,
    mut opener: O,
    plan: Plan,
) -> io::Result<Outcome> {
    let Budget::Time(time) = plan.budget else {
        return Err(io::Error::other("this workload is not counted in operations"));
    };
    let half = (time * STRETCH).max(Duration::from_secs(1));
    let mut stream = opener.open().await?;
    let clock = Budget::Time(half * 2).start();
    rt.detach(async move {
        if let Err(error) = super::bulk::pour(&mut stream, WRITE, &clock).await {
            eprintln!("client: {error}");
        }
    });
    rt.sleep(half).await;
    let before = ARRIVED.load(Ordering::Relaxed);
    let meter = Meter::start();
    rt.sleep(half).await;
    let bytes = ARRIVED.load(Ordering::Relaxed) - before;
    let usage = meter.stop();
    let whole = (before + bytes) as f64 / (2.0 * half.as_secs_f64()) / 1e6;
    Ok(Outcome {
        ops: bytes / u64::from(WRITE),
        bytes,
        usage,
        note: Some(format!("{whole:.1} MB/s from the first byte on")),
        ..Outcome::default()
    })
}
