//! The memory of sessions after a peak: whether it returns to that of idle sessions.

use std::{collections::BTreeMap, future::Future, io, sync::LazyLock, time::Duration};

use tokio::sync::watch;

use super::{
    Plan,
    idle::{ask, session_client},
    request::SIZE,
    serve,
};
use crate::{
    contestants::{Chunk, Mux, Opener, RecvHalf as _, SendHalf as _, Tuning},
    measure::{Meter, Outcome, resident},
    pattern::{Check, HOLD, pattern},
    runtime::Runtime,
};

/// Sessions at once.
pub(crate) const SESSIONS: usize = 1000;
/// Streams of a session at the peak.
pub(crate) const STREAMS: usize = 4;
/// Bytes that arrive on each of them before any is read.
pub(crate) const UNREAD: usize = 32 * 1024;
/// Freed blocks of at least this many bytes return to the system: otherwise the allocator keeps what was
/// freed, and the memory in use does not show. It does so at every contestant in Rust.
pub(crate) const RETURNED: usize = 8 * 1024;
/// Buffers may be kept for this long after the peak.
const COOL: Duration = Duration::from_secs(1);

/// The number of the message of a stream that is no part of the peak: it does not begin with
/// [`HOLD`].
const CALM: usize = 0;

/// Whether the peak is over: then the server reads. Both ends are in this process.
static OVER: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::Sender::new(false));

/// Accepts a session. It answers messages, and lets the streams of the peak wait.
pub(crate) async fn session_server<R, M, Io>(rt: R, io: Io, plan: Plan) -> io::Result<()>
where
    R: Runtime,
    M: Mux<R, Io>,
    Io: Send + 'static,
{
    let acceptor = M::server(rt, io, Tuning::default()).await?;
    rt.detach(serve(rt, acceptor, move |mut stream| async move {
        let mut chunk = Chunk::new(SIZE);
        let mut n = stream.recv(&mut chunk).await?;
        if chunk.bytes().first() == Some(&HOLD) {
            let mut check = Check::new(plan.thoroughness);
            check.piece(&chunk.bytes()[1..])?;
            OVER.subscribe().wait_for(|over| *over).await.map_err(io::Error::other)?;
            // Thousands of these run at once: a large buffer for each would be the peak.
            while stream.recv(&mut chunk).await? > 0 {
                check.piece(chunk.bytes())?;
            }
            return stream.finish().await;
        }
        while n > 0 {
            stream.send_back(&mut chunk).await?;
            stream.flush().await?;
            n = stream.recv(&mut chunk).await?;
        }
        stream.finish().await
    }));
    Ok(())
}

/// Begins the sessions, leads them through a peak, and looks at the memory.
pub(crate) async fn client<R, M, Io, C, F>(rt: R, mut connect: C) -> io::Result<Outcome>
where
    R: Runtime,
    M: Mux<R, Io>,
    Io: Send + 'static,
    C: FnMut() -> F + Send,
    F: Future<Output = io::Result<Io>> + Send,
{
    let first = session_client::<R, M, Io>(rt, connect().await?, CALM).await?;
    let before = resident()?;
    let meter = Meter::start();
    let mut sessions = Vec::with_capacity(SESSIONS);
    for _ in 0..SESSIONS {
        sessions.push(session_client::<R, M, Io>(rt, connect().await?, CALM).await?);
    }
    let idle = resident()?;

    let mut busy = Vec::with_capacity(SESSIONS * STREAMS);
    for (opener, stream) in &mut sessions {
        for _ in 0..STREAMS {
            let mut stream = opener.open().await?;
            stream.send(&[HOLD]).await?;
            stream.send(pattern(0, UNREAD)).await?;
            stream.flush().await?;
            busy.push(stream);
        }
        // The answer comes after what was sent before has arrived.
        ask(stream, CALM).await?;
    }
    let peak = resident()?;

    OVER.send_replace(true);
    for mut stream in busy {
        stream.finish().await?;
        let mut chunk = Chunk::new(SIZE);
        while stream.recv(&mut chunk).await? > 0 {}
    }
    for (_, stream) in &mut sessions {
        ask(stream, CALM).await?;
    }
    rt.sleep(COOL).await;
    let after = resident()?;
    let usage = meter.stop();
    drop((first, sessions));
    let each = |bytes: u64| bytes.saturating_sub(before) as f64 / SESSIONS as f64;
    Ok(Outcome {
        ops: SESSIONS as u64,
        resident: Some(after.saturating_sub(before)),
        usage,
        also: BTreeMap::from([
            ("before".to_owned(), each(idle)),
            ("at the peak".to_owned(), each(peak)),
        ]),
        ..Outcome::default()
    })
}
