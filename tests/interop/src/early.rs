//! Answers that come before their request was read to its end.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::io::{AsyncWriteExt as _, copy};

use super::drive::{each, open, seed, within};
use super::endpoint::{Endpoint, MuxStream as _};
use super::options::Request;
use super::pattern::Checker;
use super::peer::{Flag, Peer};
use super::serve::{At as _, Trouble, command, read_u32, read_u64};

/// The length of an early answer.
const ANSWER: u64 = 16 << 10;
/// What may be sent before any of it is read.
const FIRST_WINDOW: usize = 256 << 10;
/// The size of the writes of a request that goes on.
const SLICE: usize = 256;
/// The length of a request that is complete.
const REQUEST: u64 = 10_000;

/// Tells each answer, by its seed, when to begin.
#[derive(Debug, Default)]
pub(super) struct Starts(Mutex<HashMap<u64, Arc<Flag>>>);

impl Starts {
    fn of(&self, seed: u64) -> Arc<Flag> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(seed).or_default().clone()
    }
}

/// Waits for the word to begin, answers, half-closes, and drops the stream after the delay.
pub(super) async fn answer<E: Endpoint>(
    peer: &Peer<E>,
    mut stream: E::Stream,
) -> Result<(), Trouble> {
    let seed = read_u64(&mut stream).await.at("early answer")?;
    let delay = read_u32(&mut stream).await.at("early answer")?;
    peer.starts.of(seed).wait().await;
    peer.io().write_pattern(&mut stream, seed, 0, ANSWER).await?;
    stream.close().await.at("early answer: half-close")?;
    if delay > 0 {
        E::sleep(Duration::from_millis(delay.into())).await;
    }
    Ok(())
}

/// Lets an answer begin.
pub(super) async fn begin<E: Endpoint>(
    peer: &Peer<E>,
    mut stream: E::Stream,
) -> Result<(), Trouble> {
    let seed = read_u64(&mut stream).await.at("begin")?;
    peer.starts.of(seed).notify();
    Ok(())
}

/// Asks for early answers, and counts as a reset whatever a reader gets instead of the whole answer
/// and its end.
pub(super) async fn drive<E: Endpoint>(peer: &Peer<E>) {
    each(peer, ask).await;
}

async fn ask<E: Endpoint>(peer: Peer<E>, index: usize) -> Result<(), Trouble> {
    let stream = open(&peer, index).await?;
    let (mut reader, mut writer) = stream.halves();
    let seed = seed(&peer, index);
    let mut request = vec![command::EARLY];
    request.extend(seed.to_be_bytes());
    request.extend(peer.options.delay.to_be_bytes());
    writer.write_all(&request).await.at("first write")?;
    // Writers are left to themselves: one that is out of credit may stay so until the session ends.
    match peer.options.request {
        Request::Complete => {
            peer.io().write_pattern(&mut writer, seed, 0, REQUEST).await?;
            writer.close().await.at("half-close")?;
            say_begin(&peer, index, seed).await?;
        }
        Request::Flowing => {
            say_begin(&peer, index, seed).await?;
            E::spawn(async move { while writer.write_all(&[0; SLICE]).await.is_ok() {} });
        }
        Request::Blocked => {
            let rest = vec![0; FIRST_WINDOW - request.len()];
            writer.write_all(&rest).await.at("fill the window")?;
            E::spawn(async move {
                // It ends as the peer likes.
                let _ = copy(&rest[..], &mut writer).await;
            });
            say_begin(&peer, index, seed).await?;
        }
    }
    let mut checker = Checker::new(seed, 0);
    let read = within::<E, _>(peer.io().read_all(&mut reader, &mut checker)).await;
    match read.ok_or(Trouble::new("the answer does not end"))? {
        Ok(()) => checker.verdict(ANSWER).map_err(Trouble::new),
        Err(Trouble { error: Some(error), .. }) => {
            peer.report.reset(E::error_code(&error));
            Ok(())
        }
        Err(trouble) => Err(trouble),
    }
}

/// Has the peer begin an answer.
async fn say_begin<E: Endpoint>(peer: &Peer<E>, index: usize, seed: u64) -> Result<(), Trouble> {
    let mut stream = open(peer, index).await?;
    let mut word = vec![command::BEGIN];
    word.extend(seed.to_be_bytes());
    stream.write_all(&word).await.at("begin")?;
    stream.close().await.at("begin: half-close")
}
