//! The other side of the application: the drives on streams that this side opens.

use core::pin::pin;
use core::time::Duration;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_lock::{Barrier, Semaphore};
use futures_util::future::{self, Either, join_all};
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::crowd;
use super::early;
use super::endpoint::{Endpoint, MuxStream as _};
use super::options::{Drive, Side};
use super::pattern::{Checker, fill};
use super::peer::Peer;
use super::serve::{At as _, Trouble, command};

/// Bounds the wait for something that must happen.
const LIMIT: Duration = Duration::from_secs(10);

/// How much of the pattern [`open_answered`] exchanges.
const ANSWERED: usize = 64;

/// Does what `--drive` says.
pub(super) async fn drive<E: Endpoint>(peer: &Peer<E>) {
    match peer.options.drive.expect("there is a drive") {
        Drive::Echo => each(peer, echo).await,
        Drive::Digest => each(peer, digest).await,
        Drive::Source => each(peer, source).await,
        Drive::Requests => each(peer, requests).await,
        Drive::Typed => each(peer, typed).await,
        Drive::Hold => hold(peer).await,
        Drive::Abandon => {
            each(peer, abandon).await;
            probe(peer).await;
        }
        Drive::Refused => {
            each(peer, refused).await;
            probe(peer).await;
        }
        Drive::Shutdown => shutdown(peer).await,
        Drive::Goaway => going_away(peer, true).await,
        Drive::GoawayLocal => going_away(peer, false).await,
        Drive::Heartbeat => heartbeat(peer).await,
        Drive::Burst => crowd::burst(peer).await,
        Drive::Late => each(peer, crowd::late).await,
        Drive::Early => early::drive(peer).await,
    }
}

/// Runs one stream after the other, `--in-flight` at a time.
pub(super) async fn each<E, F>(peer: &Peer<E>, one: fn(Peer<E>, usize) -> F)
where
    E: Endpoint,
    F: Future<Output = Result<(), Trouble>> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let workers = (0..peer.options.in_flight).map(|_| {
        let (peer, next) = (peer.clone(), next.clone());
        worker::<E>(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= peer.options.streams {
                    return;
                }
                let result = one(peer.clone(), index).await;
                note(&peer, index, result);
            }
        })
    });
    join_all(workers).await;
}

/// Spawns a future and waits for its end.
pub(super) fn worker<E: Endpoint>(
    future: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = ()> {
    let (sender, receiver) = futures_channel::oneshot::channel::<()>();
    E::spawn(async move {
        future.await;
        drop(sender);
    });
    async move {
        // Dropping the sender signals the end.
        let _ = receiver.await;
    }
}

/// Counts a stream that is done, or reports why it failed.
pub(super) fn note<E>(peer: &Peer<E>, index: usize, result: Result<(), Trouble>) {
    match result {
        Ok(()) => peer.report.summary().completed += 1,
        Err(trouble) => peer.report.fail(format!("stream {index}: {trouble}")),
    }
}

/// Shows that the session still works.
async fn probe<E: Endpoint>(peer: &Peer<E>) {
    if let Err(trouble) = echo(peer.clone(), peer.options.streams).await {
        peer.report.fail(format!("probe: {trouble}"));
    }
}

/// Opens a stream; on a typed session its type depends on its index.
pub(super) async fn open<E: Endpoint>(peer: &Peer<E>, index: usize) -> Result<E::Stream, Trouble> {
    let stream_type = peer.options.is_typed().then(|| stream_type(index));
    let stream = peer.session.open(stream_type).await.at("open")?;
    peer.report.summary().opened += 1;
    Ok(stream)
}

fn stream_type(index: usize) -> u32 {
    1000 + index as u32
}

pub(super) fn seed<E>(peer: &Peer<E>, index: usize) -> u64 {
    let side = u64::from(peer.options.side() == Side::Client);
    side << 63 | (index as u64) << 32
}

/// Writes, half-closes, and checks what comes back.
pub(super) async fn echo<E: Endpoint>(peer: Peer<E>, index: usize) -> Result<(), Trouble> {
    let mut stream = open(&peer, index).await?;
    peer.io().write_all(&mut stream, &[command::ECHO]).await.at("first write")?;
    echo_rest(&peer, stream, index, 0).await
}

/// Writes the pattern from `offset` on, half-closes, and checks that all of it comes back,
/// reading and writing at the same time.
pub(super) async fn echo_rest<E: Endpoint>(
    peer: &Peer<E>,
    stream: E::Stream,
    index: usize,
    offset: u64,
) -> Result<(), Trouble> {
    let (mut reader, mut writer) = stream.halves();
    let seed = seed(peer, index);
    let mut checker = Checker::new(seed, offset);
    let io = peer.io();
    let write = async {
        io.write_pattern(&mut writer, seed, offset, peer.options.bytes).await?;
        writer.close().await.at("half-close")
    };
    let (written, read) = future::join(write, io.read_all(&mut reader, &mut checker)).await;
    read?;
    written?;
    checker.verdict(peer.options.bytes).map_err(Trouble::new)
}

async fn digest<E: Endpoint>(peer: Peer<E>, index: usize) -> Result<(), Trouble> {
    let mut stream = open(&peer, index).await?;
    let seed = seed(&peer, index);
    let mut request = vec![command::DIGEST];
    request.extend(seed.to_be_bytes());
    peer.io().write_all(&mut stream, &request).await.at("first write")?;
    peer.io().write_pattern(&mut stream, seed, 0, peer.options.bytes).await?;
    stream.close().await.at("half-close")?;
    // The reply arrives on a stream that this side has half-closed.
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.at("read the reply")?;
    let Ok([count, mismatch]) = <[u64; 2]>::try_from(
        reply.as_chunks().0.iter().copied().map(u64::from_be_bytes).collect::<Vec<_>>(),
    ) else {
        return Err(Trouble::new(format!("reply of {} bytes", reply.len())));
    };
    Checker::from_counts(count, mismatch).verdict(peer.options.bytes).map_err(Trouble::new)
}

fn source_request<E>(peer: &Peer<E>, index: usize) -> Vec<u8> {
    let mut request = vec![command::SOURCE];
    request.extend(seed(peer, index).to_be_bytes());
    request.extend(peer.options.bytes.to_be_bytes());
    request
}

async fn source<E: Endpoint>(peer: Peer<E>, index: usize) -> Result<(), Trouble> {
    let mut stream = open(&peer, index).await?;
    let request = source_request(&peer, index);
    peer.io().write_all(&mut stream, &request).await.at("first write")?;
    stream.close().await.at("half-close")?;
    let mut checker = Checker::new(seed(&peer, index), 0);
    peer.io().read_all(&mut stream, &mut checker).await?;
    checker.verdict(peer.options.bytes).map_err(Trouble::new)
}

async fn requests<E: Endpoint>(peer: Peer<E>, index: usize) -> Result<(), Trouble> {
    let mut stream = open(&peer, index).await?;
    peer.io().write_all(&mut stream, &[command::REQUESTS]).await.at("first write")?;
    let mut request = (peer.options.bytes as u32).to_be_bytes().to_vec();
    request.resize(4 + peer.options.bytes as usize, 0);
    let mut reply = vec![0; request.len()];
    for n in 0..peer.options.requests {
        fill(&mut request[4..], seed(&peer, index) + n as u64, 0);
        peer.io().write_all(&mut stream, &request).await.at(format!("request {n}"))?;
        stream.read_exact(&mut reply).await.at(format!("reply {n}"))?;
        peer.report.moved(reply.len(), 0);
        reply[4..].iter_mut().for_each(|byte| *byte = !*byte);
        if reply != request {
            return Err(Trouble::new(format!("reply {n} is wrong")));
        }
    }
    stream.close().await.at("half-close")?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.at("read to the end")?;
    if rest.is_empty() { Ok(()) } else { Err(Trouble::new("bytes after the last reply")) }
}

async fn typed<E: Endpoint>(peer: Peer<E>, index: usize) -> Result<(), Trouble> {
    let mut stream = open(&peer, index).await?;
    peer.io().write_all(&mut stream, &[command::TYPE]).await.at("first write")?;
    let mut got = [0; 4];
    stream.read_exact(&mut got).await.at("read the type")?;
    let (got, want) = (u32::from_be_bytes(got), stream_type(index));
    if got != want {
        return Err(Trouble::new(format!("the peer saw type {got:x} instead of {want:x}")));
    }
    echo_rest(&peer, stream, index, 0).await
}

/// Opens all streams, then keeps them open until all have been answered, so that `--streams` of
/// them exist at once.
async fn hold<E: Endpoint>(peer: &Peer<E>) {
    let pending = Arc::new(Semaphore::new(peer.options.pending));
    let all_answered = Arc::new(Barrier::new(peer.options.streams));
    let mut running = Vec::new();
    for index in 0..peer.options.streams {
        let answered = pending.acquire_arc().await;
        let (peer, all_answered) = (peer.clone(), all_answered.clone());
        running.push(worker::<E>(async move {
            let opened = open_answered(&peer, index).await;
            drop(answered);
            all_answered.wait().await;
            let result = match opened {
                Ok(stream) => echo_rest(&peer, stream, index, ANSWERED as u64).await,
                Err(trouble) => Err(trouble),
            };
            note(&peer, index, result);
        }));
    }
    join_all(running).await;
}

/// Opens an echo stream and exchanges the first bytes on it.
async fn open_answered<E: Endpoint>(peer: &Peer<E>, index: usize) -> Result<E::Stream, Trouble> {
    let mut stream = open(peer, index).await?;
    let mut first = vec![command::ECHO; 1 + ANSWERED];
    fill(&mut first[1..], seed(peer, index), 0);
    peer.io().write_all(&mut stream, &first).await.at("first write")?;
    let mut got = [0; ANSWERED];
    stream.read_exact(&mut got).await.at("first read")?;
    if got[..] == first[1..] { Ok(stream) } else { Err(Trouble::new("the first bytes are wrong")) }
}

/// Resets streams while the peer's data is in flight.
async fn abandon<E: Endpoint>(peer: Peer<E>, index: usize) -> Result<(), Trouble> {
    let mut stream = open(&peer, index).await?;
    let request = source_request(&peer, index);
    peer.io().write_all(&mut stream, &request).await.at("first write")?;
    stream.read_exact(&mut [0]).await.at("first read")?;
    stream.reset(peer.options.code);
    Ok(())
}

/// Writes to streams the peer resets, until the error comes. It stays far below the window and
/// makes a round trip after each write, because a peer that closes with a full unread window sends
/// nothing that would wake a writer.
async fn refused<E: Endpoint>(peer: Peer<E>, index: usize) -> Result<(), Trouble> {
    const PIECE: u64 = 512;
    const ATTEMPTS: u64 = 200;
    let mut stream = open(&peer, index).await?;
    let mut request = vec![command::RESET];
    request.extend(peer.options.code.to_be_bytes());
    if let Err(error) = peer.io().write_all(&mut stream, &request).await {
        // The peer had received everything, and its answer arrived before the call returned.
        peer.report.reset(E::error_code(&error));
        return Ok(());
    }
    for _ in 0..ATTEMPTS {
        let written = peer.io().write_pattern(&mut stream, seed(&peer, index), 0, PIECE).await;
        if let Err(Trouble { error: Some(error), .. }) = written {
            peer.report.reset(E::error_code(&error));
            return Ok(());
        }
        echo(peer.clone(), peer.options.streams).await?;
    }
    Err(Trouble::new("the peer took everything"))
}

/// Has the peer end the session once the streams are done.
async fn shutdown<E: Endpoint>(peer: &Peer<E>) {
    each(peer, echo).await;
    let asked = async {
        let mut stream = open(peer, peer.options.streams).await?;
        // The peer may act on the command before these return: then they tell the end of the session,
        // which is what the peer was asked for.
        let _ = peer.io().write_all(&mut stream, &[command::SHUTDOWN]).await;
        let _ = stream.close().await;
        within::<E, _>(peer.ended.wait()).await.ok_or(Trouble::new("the session did not end"))
    };
    if let Err(trouble) = asked.await {
        peer.report.fail(trouble.to_string());
    }
}

/// `None` when the future takes too long.
pub(super) async fn within<E: Endpoint, T>(future: impl Future<Output = T>) -> Option<T> {
    match future::select(pin!(future), pin!(E::sleep(LIMIT))).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(_) => None,
    }
}

/// Has the peer, or this side, go away while streams are running, and finishes them.
async fn going_away<E: Endpoint>(peer: &Peer<E>, ask_peer: bool) {
    let mut streams = Vec::new();
    for index in 0..peer.options.streams {
        match open_answered(peer, index).await {
            Ok(stream) => streams.push((index, stream)),
            Err(trouble) => return note(peer, index, Err(trouble)),
        }
    }
    let gone = if ask_peer {
        ask_for_go_away(peer).await
    } else {
        peer.session.go_away(0, "draining".into()).await.at("go away")
    };
    if let Err(trouble) = gone {
        return peer.report.fail(trouble.to_string());
    }
    let running = streams.into_iter().map(|(index, stream)| async move {
        note(peer, index, echo_rest(peer, stream, index, ANSWERED as u64).await);
    });
    join_all(running).await;
}

/// Asks the peer to go away. The answer follows its GOAWAY, so no stream can be opened after it.
async fn ask_for_go_away<E: Endpoint>(peer: &Peer<E>) -> Result<(), Trouble> {
    let mut stream = open(peer, peer.options.streams).await?;
    peer.io().write_all(&mut stream, &[command::GO_AWAY]).await.at("ask")?;
    stream.read_exact(&mut [0]).await.at("read the answer")?;
    stream.close().await.at("half-close")?;
    match open(peer, peer.options.streams + 1).await {
        Err(Trouble { error: Some(error), .. }) => peer.report.reset(E::error_code(&error)),
        _ => return Err(Trouble::new("a stream was opened after the peer's GOAWAY")),
    }
    Ok(())
}

async fn heartbeat<E: Endpoint>(peer: &Peer<E>) {
    let enough = async {
        loop {
            let changed = peer.report.beat.listen();
            let (beats, timeouts) = {
                let summary = peer.report.summary();
                (summary.beats, summary.beat_timeouts)
            };
            if timeouts > 0 {
                return Err(Trouble::new(format!("{timeouts} heartbeats timed out")));
            }
            if beats >= peer.options.beats {
                return Ok(());
            }
            changed.await;
        }
    };
    match within::<E, _>(enough).await {
        Some(Ok(())) => probe(peer).await,
        Some(Err(trouble)) => peer.report.fail(trouble.to_string()),
        None => peer.report.fail("too few heartbeats".into()),
    }
}

/// Tells the peer that this side's drive is done; optionally waits until the peer has received
/// that.
pub(super) async fn say_bye<E: Endpoint>(peer: &Peer<E>, wait: bool) -> Result<(), Trouble> {
    let mut stream = open(peer, peer.options.streams).await?;
    peer.io().write_all(&mut stream, &[command::BYE]).await.at("bye")?;
    stream.close().await.at("half-close")?;
    if wait {
        stream.read_to_end(&mut Vec::new()).await.at("read to the end")?;
    }
    Ok(())
}
