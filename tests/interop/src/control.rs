//! `--app control`: single calls on the implementation, as lines of JSON on standard input.

use std::collections::HashMap;
use std::io::{self, BufRead as _};
use std::sync::{Arc, Mutex, PoisonError};

use async_lock::Mutex as AsyncMutex;
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use serde::{Deserialize, Serialize};

use super::endpoint::{Accepted, Endpoint, MuxStream};
use super::hex;
use super::peer::Peer;
use super::report::{CallResult, Line, print_line};

/// One call. The result has the same id.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Call {
    /// Told back in the result.
    pub id: u64,
    /// The name of the call.
    pub call: String,
    /// The name under which a stream is kept.
    pub stream: String,
    /// What to write.
    pub hex: String,
    /// How much to read, how many zero bytes to write, or how many beats to wait for.
    pub count: usize,
    /// The type to open a stream with.
    #[serde(rename = "type")]
    pub stream_type: u32,
    /// The error code of a GOAWAY.
    pub code: u32,
    /// The debug text of a GOAWAY.
    pub text: String,
}

/// The two halves of a stream, so that a blocked read does not block a write. Closing needs both.
struct Named<S: MuxStream> {
    reader: AsyncMutex<Option<S::Reader>>,
    writer: AsyncMutex<Option<S::Writer>>,
}

type Streams<S> = Arc<Mutex<HashMap<String, Arc<Named<S>>>>>;

/// Makes the calls from standard input, each in its own task, so that a blocked call does not delay
/// others. The end of the input closes the session.
pub(super) async fn run<E: Endpoint>(peer: Peer<E>) {
    let (sender, receiver) = async_channel::unbounded();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send_blocking(line).is_err() {
                return;
            }
        }
    });
    let streams: Streams<E::Stream> = Arc::default();
    while let Ok(line) = receiver.recv().await {
        match serde_json::from_str::<Call>(&line) {
            Err(error) => peer.report.fail(format!("command {line:?}: {error}")),
            Ok(call) => {
                let (peer, streams) = (peer.clone(), streams.clone());
                E::spawn(async move {
                    let mut result = CallResult { id: call.id, ..CallResult::default() };
                    let made = make(&peer, &call, &streams, &mut result).await;
                    result.ok = made.is_ok();
                    if let Err(error) = made {
                        result.code = E::error_code(&error).unwrap_or(u32::MAX);
                        result.error = error.to_string();
                    }
                    print_line(&Line::Result(Box::new(result)));
                });
            }
        }
    }
    peer.session.close().await;
}

async fn make<E: Endpoint>(
    peer: &Peer<E>,
    call: &Call,
    streams: &Streams<E::Stream>,
    result: &mut CallResult,
) -> io::Result<()> {
    let mut keep = |stream: E::Stream| {
        result.stream_id = stream.id();
        let (reader, writer) = stream.halves();
        let named = Arc::new(Named {
            reader: AsyncMutex::new(Some(reader)),
            writer: AsyncMutex::new(Some(writer)),
        });
        lock(streams).insert(call.stream.clone(), named);
    };
    match call.call.as_str() {
        "open" => keep(peer.session.open(None).await?),
        "open_typed" => keep(peer.session.open(Some(call.stream_type)).await?),
        "accept" => match peer.session.accept().await {
            Accepted::Stream(stream, stream_type) => {
                keep(stream);
                result.stream_type = stream_type;
            }
            Accepted::Failed(error) => return Err(error),
            Accepted::SessionOver => return Err(io::Error::other("the session is over")),
        },
        "go_away" => peer.session.go_away(call.code, call.text.clone()).await?,
        "close_session" => peer.session.close().await,
        "wait" => peer.ended.wait().await,
        "beats" => loop {
            let changed = peer.report.beat.listen();
            {
                let summary = peer.report.summary();
                (result.beats, result.beat_timeouts) = (summary.beats, summary.beat_timeouts);
            }
            if result.beats >= call.count as u64 {
                break;
            }
            changed.await;
        },
        "close" => {
            let named = lock(streams).remove(&call.stream).ok_or_else(unknown)?;
            drop((named.reader.lock().await.take(), named.writer.lock().await.take()));
        }
        _ => {
            let named = lock(streams).get(&call.stream).cloned().ok_or_else(unknown)?;
            return make_on_stream(call, &named, result).await;
        }
    }
    Ok(())
}

async fn make_on_stream<S: MuxStream>(
    call: &Call,
    named: &Named<S>,
    result: &mut CallResult,
) -> io::Result<()> {
    match call.call.as_str() {
        "write" => {
            let data = match call.count {
                0 => hex::decode(&call.hex).ok_or_else(|| io::Error::other("not hex"))?,
                count => vec![0; count],
            };
            let mut writer = named.writer.lock().await;
            let writer = writer.as_mut().ok_or_else(unknown)?;
            // An empty write is a real call.
            result.n = writer.write(&data).await? as u64;
            while (result.n as usize) < data.len() {
                result.n += writer.write(&data[result.n as usize..]).await? as u64;
            }
            writer.flush().await
        }
        "close_write" => named.writer.lock().await.as_mut().ok_or_else(unknown)?.close().await,
        "read" | "read_exact" => {
            let mut buffer = vec![0; call.count];
            let mut reader = named.reader.lock().await;
            let reader = reader.as_mut().ok_or_else(unknown)?;
            let mut n = reader.read(&mut buffer).await?;
            while call.call == "read_exact" && n < buffer.len() {
                match reader.read(&mut buffer[n..]).await? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    more => n += more,
                }
            }
            result.n = n as u64;
            result.hex = hex::encode(&buffer[..n]);
            Ok(())
        }
        "drain" => {
            let mut reader = named.reader.lock().await;
            let reader = reader.as_mut().ok_or_else(unknown)?;
            let mut buffer = vec![0; 64 * 1024];
            loop {
                match reader.read(&mut buffer).await? {
                    0 => return Ok(()),
                    n => result.n += n as u64,
                }
            }
        }
        other => Err(io::Error::other(format!("unknown call {other:?}"))),
    }
}

fn unknown() -> io::Error {
    io::Error::other("no such stream")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
