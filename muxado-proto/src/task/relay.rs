//! Copies bytes between a stream and any other byte stream, in both directions at once.

use alloc::collections::VecDeque;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};

use super::Transport;
use super::endings::Ending;
use super::error::{Error, ReadError, WriteError, error_code};
use super::loans::{BUFFER, Loan};
use super::stream::Stream;
use crate::{ErrorCode, StreamEnd};

/// Chunks, and bytes in them, that are read from the stream for one write.
const CHUNKS: usize = 16;
const GATHERED: usize = 128 << 10;

/// Reads that fill at least this much of a buffer are passed on as a part of it; smaller ones are
/// copied, so that they do not keep a whole buffer alive.
const SHARE_MIN: usize = BUFFER / 2;

/// Calls of one poll before it yields.
const TURN: usize = 64;

/// The bytes that a relay has moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Relayed {
    /// Bytes that were read from the stream and written to the other side.
    pub from_stream: u64,
    /// Bytes that were read from the other side and written to the stream.
    pub to_stream: u64,
}

/// Why a relay ended before both directions had ended.
///
/// ```
/// use muxado_proto::task::{RelayError, RelayFault};
///
/// fn log(error: &RelayError) {
///     let moved = error.relayed();
///     match error.fault() {
///         RelayFault::Read(_) | RelayFault::Write(_) => println!("the stream failed: {error}"),
///         RelayFault::Other(_) => println!("the other side failed: {error}"),
///         _ => println!("{error}"),
///     }
///     println!("{} bytes out, {} bytes in", moved.from_stream, moved.to_stream);
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum RelayFault {
    /// The stream was reset, or its session has ended.
    Read(ReadError),
    /// The stream was reset, or its session has ended.
    Write(WriteError),
    /// The other side failed.
    Other(io::Error),
}

/// A relay has ended before both directions had ended. Both sides were reset.
#[derive(Debug)]
pub struct RelayError {
    relayed: Relayed,
    fault: RelayFault,
}

impl RelayError {
    /// The bytes that were moved until then.
    #[must_use]
    pub const fn relayed(&self) -> Relayed {
        self.relayed
    }

    /// What was wrong.
    #[must_use]
    pub const fn fault(&self) -> &RelayFault {
        &self.fault
    }
}

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            RelayFault::Read(error) => fmt::Display::fmt(error, f),
            RelayFault::Write(error) => fmt::Display::fmt(error, f),
            RelayFault::Other(error) => write!(f, "the other side of the relay failed: {error}"),
        }
    }
}

impl core::error::Error for RelayError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(match &self.fault {
            RelayFault::Read(error) => error,
            RelayFault::Write(error) => error,
            RelayFault::Other(error) => error,
        })
    }
}

impl From<RelayError> for io::Error {
    fn from(error: RelayError) -> Self {
        match error.fault {
            RelayFault::Read(error) => error.into(),
            RelayFault::Write(error) => error.into(),
            RelayFault::Other(error) => error,
        }
    }
}

impl From<RelayError> for Error {
    fn from(error: RelayError) -> Self {
        match error.fault {
            RelayFault::Read(error) => error.into(),
            RelayFault::Write(error) => error.into(),
            RelayFault::Other(error) => error.into(),
        }
    }
}

/// From the stream to the other side.
#[derive(Debug)]
enum Outward {
    /// `unflushed`: something was written and has to be flushed.
    Open {
        chunks: VecDeque<Bytes>,
        unflushed: bool,
    },
    /// The stream has ended; the other side has to learn of it.
    Ending,
    Done,
}

/// From the other side to the stream.
#[derive(Debug)]
enum Inward {
    /// Bytes read that the stream has not taken.
    Open(Bytes),
    Done,
}

/// Relays between a stream and another byte stream: see the adapters' `relay`.
///
/// Dropping it before it has ended resets both sides.
#[must_use = "a relay does nothing unless it is polled"]
pub struct Relay<T> {
    stream: Stream,
    ending: Ending,
    other: T,
    /// Makes the other side's end an abnormal one.
    reset: fn(&mut T, ErrorCode),
    outward: Outward,
    inward: Inward,
    relayed: Relayed,
    over: bool,
}

impl<T> fmt::Debug for Relay<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("relayed", &self.relayed).finish_non_exhaustive()
    }
}

impl<T> Relay<T> {
    /// A relay. `reset` is called on the other side before it is dropped, so that its peer sees a
    /// reset and not an end.
    pub fn new(stream: Stream, other: T, reset: fn(&mut T, ErrorCode)) -> Self {
        let outward = Outward::Open { chunks: VecDeque::new(), unflushed: false };
        let inward = Inward::Open(Bytes::new());
        let relayed = Relayed { from_stream: 0, to_stream: 0 };
        let ending = stream.ending();
        Self { stream, ending, other, reset, outward, inward, relayed, over: false }
    }

    /// Whether the stream was reset or its session has ended. This is checked while nothing is read
    /// from the stream.
    fn poll_broken(&mut self, cx: &Context<'_>) -> Option<RelayFault> {
        let reads = matches!(&self.outward, Outward::Open { chunks, .. } if chunks.is_empty());
        if reads {
            return None;
        }
        match self.ending.poll(cx) {
            Poll::Ready(StreamEnd::Reset(code)) => Some(RelayFault::Read(ReadError::Reset(code))),
            Poll::Ready(StreamEnd::SessionClosed(reason)) => {
                Some(RelayFault::Read(ReadError::SessionClosed(reason)))
            }
            Poll::Ready(_) | Poll::Pending => None,
        }
    }

    /// Ends both sides, so that the side that has not failed learns of the failure.
    fn cut(&mut self, code: ErrorCode) {
        self.over = true;
        self.stream.reset(code);
        (self.reset)(&mut self.other, code);
    }
}

impl<T: Transport> Relay<T> {
    fn poll_outward(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RelayFault>> {
        for _ in 0..TURN {
            match &mut self.outward {
                Outward::Open { chunks, unflushed } => {
                    if chunks.is_empty() {
                        match self.stream.poll_read_chunk(cx, GATHERED) {
                            Poll::Ready(Ok(Some(chunk))) => chunks.push_back(chunk),
                            Poll::Ready(Ok(None)) => {
                                self.outward = Outward::Ending;
                                continue;
                            }
                            Poll::Ready(Err(error)) => {
                                return Poll::Ready(Err(RelayFault::Read(error)));
                            }
                            Poll::Pending => {
                                if *unflushed && self.other.poll_flush(cx)?.is_ready() {
                                    *unflushed = false;
                                }
                                return Poll::Pending;
                            }
                        }
                    }
                    gather(&mut self.stream, cx, chunks);
                    let count = ready!(write(&mut self.other, cx, chunks)?);
                    *unflushed = true;
                    let count = u64::try_from(count).unwrap_or(u64::MAX);
                    self.relayed.from_stream = self.relayed.from_stream.saturating_add(count);
                }
                Outward::Ending => {
                    ready!(self.other.poll_flush(cx))?;
                    ready!(self.other.poll_shutdown(cx))?;
                    self.outward = Outward::Done;
                }
                Outward::Done => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_inward(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RelayFault>> {
        for _ in 0..TURN {
            let Inward::Open(chunk) = &mut self.inward else { return Poll::Ready(Ok(())) };
            if chunk.is_empty() {
                let mut loan = Loan::new();
                let count = match ready!(self.other.poll_read(cx, loan.bytes_mut())) {
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Poll::Ready(Err(RelayFault::Other(error))),
                };
                *chunk = if count >= SHARE_MIN {
                    loan.share(count)
                } else {
                    Bytes::copy_from_slice(loan.bytes().get(..count).unwrap_or_default())
                };
                if chunk.is_empty() {
                    self.stream.finish().map_err(RelayFault::Write)?;
                    self.inward = Inward::Done;
                    continue;
                }
            }
            let before = chunk.len();
            let written = self.stream.poll_write_chunk(cx, chunk);
            let count = u64::try_from(before.saturating_sub(chunk.len())).unwrap_or(u64::MAX);
            self.relayed.to_stream = self.relayed.to_stream.saturating_add(count);
            ready!(written).map_err(RelayFault::Write)?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Takes more ready chunks from the stream, to write them together.
fn gather(stream: &mut Stream, cx: &Context<'_>, chunks: &mut VecDeque<Bytes>) {
    let mut held: usize = chunks.iter().fold(0, |sum, chunk| sum.saturating_add(chunk.len()));
    while held < GATHERED && chunks.len() < CHUNKS {
        // The end and errors are reported again when these are written.
        let most = GATHERED.saturating_sub(held);
        let Poll::Ready(Ok(Some(chunk))) = stream.poll_read_chunk(cx, most) else { break };
        held = held.saturating_add(chunk.len());
        chunks.push_back(chunk);
    }
}

/// Writes from the front of the chunks, and drops what was written.
fn write(
    other: &mut impl Transport,
    cx: &mut Context<'_>,
    chunks: &mut VecDeque<Bytes>,
) -> Poll<io::Result<usize>> {
    let mut slices = [IoSlice::new(&[]); CHUNKS];
    let count = chunks.len().min(CHUNKS);
    for (slice, chunk) in slices.iter_mut().zip(chunks.iter()) {
        *slice = IoSlice::new(chunk);
    }
    let written = match ready!(other.poll_write(cx, slices.get(..count).unwrap_or(&slices))) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Poll::Ready(Ok(0)),
        Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        result => result?,
    };
    let mut left = written;
    while let Some(front) = chunks.front_mut().filter(|_| left > 0) {
        let part = front.len().min(left);
        front.advance(part);
        left = left.saturating_sub(part);
        if front.is_empty() {
            chunks.pop_front();
        }
    }
    Poll::Ready(Ok(written))
}

impl From<io::Error> for RelayFault {
    fn from(error: io::Error) -> Self {
        Self::Other(error)
    }
}

impl RelayFault {
    /// The code for the side that has not failed.
    fn code(&self) -> ErrorCode {
        let code = match self {
            Self::Read(error) => error.code(),
            Self::Write(error) => error.code(),
            Self::Other(error) => error_code(error),
        };
        code.unwrap_or(ErrorCode::STREAM_RESET)
    }
}

impl<T: Transport + Unpin> Future for Relay<T> {
    type Output = Result<Relayed, RelayError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (outward, inward) = (self.poll_outward(cx), self.poll_inward(cx));
        let fault = match (outward, inward) {
            (Poll::Ready(Err(fault)), _) | (_, Poll::Ready(Err(fault))) => fault,
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => {
                self.over = true;
                return Poll::Ready(Ok(self.relayed));
            }
            _ => match self.poll_broken(cx) {
                Some(fault) => fault,
                None => return Poll::Pending,
            },
        };
        self.cut(fault.code());
        Poll::Ready(Err(RelayError { relayed: self.relayed, fault }))
    }
}

impl<T> Drop for Relay<T> {
    fn drop(&mut self) {
        if !self.over {
            self.cut(ErrorCode::STREAM_CANCELLED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_mark_finds_the_cause() {
        fn question(fault: RelayFault) -> Result<(), Error> {
            Err(RelayError { relayed: Relayed::default(), fault })?;
            Ok(())
        }
        let code = ErrorCode(77);
        let cause = |fault| question(fault).unwrap_err();
        assert_eq!(cause(RelayFault::Read(ReadError::Reset(code))).code(), Some(code));
        assert_eq!(cause(RelayFault::Write(WriteError::ResetLocally(code))).code(), Some(code));
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(matches!(cause(RelayFault::Other(refused)), Error::Io(_)));
    }
}
