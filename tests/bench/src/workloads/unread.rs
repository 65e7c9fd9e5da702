//! One stream that is never read, while eight others move bytes.

use std::{future, io, sync::Arc, time::Duration};

use super::{
    Plan,
    bulk::{self, READ},
    serve,
};
use crate::{
    contestants::{Acceptor, Chunk, Opener, RecvHalf as _, SendHalf as _},
    measure::{Budget, Meter, Outcome},
    pattern::{Check, HOLD},
    runtime::{Runtime, within},
};

/// The streams that are read.
const STREAMS: u32 = 8;
/// Bytes of a write.
const WRITE: u32 = 64 * 1024;
/// Time beyond the budget after which the read streams count as blocked.
const PATIENCE: Duration = Duration::from_secs(2);

/// Receives, except on a stream that asks to be held.
pub(crate) async fn server<R: Runtime, A: Acceptor>(rt: R, acceptor: A, plan: Plan) {
    serve(rt, acceptor, move |mut stream| async move {
        let mut check = Check::new(plan.thoroughness);
        let mut chunk = Chunk::new(READ);
        while stream.recv(&mut chunk).await? > 0 {
            if chunk.bytes().first() == Some(&HOLD) && check.seen() == 0 {
                return future::pending().await;
            }
            check.piece(chunk.bytes())?;
        }
        bulk::acknowledge(&mut stream, check.seen()).await
    })
    .await;
}

/// During the warm-up it fills the unread stream, then it measures the others.
pub(crate) async fn client<R: Runtime, O: Opener>(
    rt: R,
    opener: O,
    plan: Plan,
) -> io::Result<Outcome> {
    let mut held = opener.clone().open().await?;
    held.send(&[HOLD]).await?;
    let forever = Arc::new(Budget::Time(Duration::from_secs(3600)).start());
    rt.detach(async move { drop(bulk::pour(&mut held, WRITE, &forever).await) });
    let Budget::Time(time) = plan.budget else {
        return Err(io::Error::other("this workload is not counted in operations"));
    };
    rt.sleep(time / 2).await;

    let meter = Meter::start();
    let moved = within(rt, time + PATIENCE, async {
        bulk::phase(rt, &opener, STREAMS, WRITE, plan.budget).await
    })
    .await;
    let usage = meter.stop();
    Ok(match moved {
        Some(bytes) => {
            let bytes = bytes?;
            Outcome { ops: bytes / u64::from(WRITE), bytes, usage, ..Outcome::default() }
        }
        None => Outcome { usage, note: Some("blocked".to_owned()), ..Outcome::default() },
    })
}
