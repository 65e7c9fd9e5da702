//! The oracle: records what two applications did, and decides what each of them may see.
//!
//! It does not depend on the implementation. The simulator reports to it every byte that was
//! accepted for writing or delivered to a reader, every end of a direction and every RST on the
//! wire; it rejects everything that is not allowed.
//!
//! It checks this promise: everything that was accepted for writing on a stream arrives, in order
//! and before the end, unless one side reset the stream, its reader left, or the transport or the
//! session ended too early.

use std::collections::BTreeMap;

use muxado_proto::{CloseReason, ErrorCode, ReadError, StreamEnd, WriteError};

use crate::sim::payload;

/// What one side has done with one stream, and what it has seen.
#[derive(Debug, Clone, Default)]
pub struct Half {
    /// This side has opened or accepted the stream.
    pub accepted: bool,
    /// Bytes the session accepted for writing.
    pub written: u64,
    /// Bytes the application was given.
    pub read: u64,
    /// The application has finished or released the stream.
    pub finished: bool,
    /// The application no longer reads: it stopped, reset or released.
    pub left: bool,
    /// The application has released the stream.
    pub released: bool,
    /// The application has reset the stream, with this code.
    pub reset: Option<ErrorCode>,
    /// The application has seen the end of the stream.
    pub ended: bool,
    /// SYN of this side is on the wire.
    pub syn_sent: bool,
    /// FIN of this side is on the wire.
    pub fin_sent: bool,
    /// RST of this side is on the wire.
    pub rst_sent: Option<ErrorCode>,
    /// That RST went out instead of a FIN.
    pub cut: bool,
    /// The stream was dropped without being announced, so nothing was sent.
    pub silent: bool,
    /// The stream of the peer has been announced to this side's session.
    pub known: bool,
    /// The error with which reading ended, if not with the end of the stream.
    pub read_error: Option<ReadError>,
}

/// One stream, its halves by side.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    /// Its type, in a typed session.
    pub kind: Option<u32>,
    /// What each side did.
    pub halves: [Half; 2],
}

/// What one side did with the session.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// The codes with which the application has begun to end the session.
    pub closing: Vec<ErrorCode>,
    /// Why it is over.
    pub over: Option<CloseReason>,
    /// How many streams it has opened.
    pub opened: u64,
    /// Its limits: streams in the backlog, open streams.
    pub limits: [u32; 2],
    /// A peer that keeps to other rules.
    pub foreign: bool,
}

/// Everything both applications did.
#[derive(Debug, Default)]
pub struct Model {
    /// The streams, by id.
    pub streams: BTreeMap<u32, Stream>,
    /// The sides.
    pub sides: [Side; 2],
    /// Clocks leap, so time limits on streams may be exceeded.
    pub leaps: bool,
}

/// An error describes what a side saw and should not have seen.
pub type Verdict = Result<(), String>;

impl Model {
    fn half(&mut self, id: u32, side: usize) -> &mut Half {
        &mut self.streams.entry(id).or_default().halves[side]
    }

    /// A side has opened a stream.
    pub fn opened(&mut self, id: u32, side: usize, kind: Option<u32>) -> Verdict {
        self.sides[side].opened += 1;
        // An id that was never on the wire is reused when its stream is gone.
        let free = |stream: &Stream| {
            let half = &stream.halves[side];
            half.released && !half.syn_sent
        };
        if !self.streams.get(&id).is_none_or(free) {
            return Err(format!("id {id} was given out twice"));
        }
        self.streams.insert(id, Stream { kind, ..Stream::default() });
        self.half(id, side).accepted = true;
        Ok(())
    }

    /// A side has accepted a stream.
    pub fn accepted(&mut self, id: u32, side: usize, kind: Option<u32>) -> Verdict {
        match self.streams.get_mut(&id) {
            None => Err(format!("stream {id} was accepted, but nobody opened it")),
            Some(stream) if stream.kind != kind => {
                Err(format!("stream {id} has type {:?}, accepted as {kind:?}", stream.kind))
            }
            Some(stream) if stream.halves[side].accepted => {
                Err(format!("stream {id} was accepted twice"))
            }
            Some(stream) => {
                stream.halves[side].accepted = true;
                Ok(())
            }
        }
    }

    /// A side has sent the SYN of a stream.
    pub fn syn_sent(&mut self, id: u32, side: usize) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.halves[side].syn_sent = true;
        }
    }

    /// A SYN has reached the session of a side.
    pub fn announced(&mut self, id: u32, side: usize) {
        // A side that ends the session refuses the stream, if it still can.
        let open = self.sides[side].over.is_none() && self.sides[side].closing.is_empty();
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.halves[side].known |= open;
        }
    }

    /// How many streams an orderly end may cut at a side though the transport is whole: those that it
    /// has opened and of which the peer did not hear before it began to end the session, and those
    /// that it has given up with data unread, as long as the RST that says so has not left.
    pub fn may_be_cut(&self, side: usize) -> u32 {
        let cut = self.streams.iter().filter(|(id, stream)| {
            let (own, peer) = (&stream.halves[side], &stream.halves[1 - side]);
            // Client is side 0 and opens odd ids.
            let opener = usize::from(*id % 2 == 0);
            let unheard = opener == side && !peer.known && !peer.accepted;
            let untold = own.left && own.read < peer.written && own.rst_sent.is_none();
            unheard || untold
        });
        u32::try_from(cut.count()).unwrap_or(u32::MAX)
    }

    /// The session took `count` bytes of a side's payload.
    pub fn wrote(&mut self, id: u32, side: usize, count: usize) {
        self.half(id, side).written += count as u64;
    }

    /// A side has written its last byte.
    pub fn finished(&mut self, id: u32, side: usize) {
        self.half(id, side).finished = true;
    }

    /// A side reads no more.
    pub fn left(&mut self, id: u32, side: usize) {
        self.half(id, side).left = true;
    }

    /// A side has given the stream up.
    pub fn released(&mut self, id: u32, side: usize) {
        let half = self.half(id, side);
        half.silent |= !half.finished && half.written == 0;
        half.finished = true;
        // A reader that has read to the end misses nothing by leaving.
        half.left |= !half.ended && half.read_error.is_none();
        half.released = true;
    }

    /// A side has reset the stream.
    pub fn reset(&mut self, id: u32, side: usize, code: ErrorCode) {
        let half = self.half(id, side);
        let code = if code == ErrorCode::NO_ERROR { ErrorCode::STREAM_RESET } else { code };
        half.reset.get_or_insert(code);
        half.left = true;
    }

    /// A side was given these bytes.
    pub fn read(&mut self, id: u32, side: usize, bytes: &[u8]) -> Verdict {
        let peer = 1 - side;
        let from = self.half(id, side).read;
        let written = self.half(id, peer).written;
        if from + bytes.len() as u64 > written {
            return Err(format!("stream {id}: side {side} read more than the {written} written"));
        }
        for (at, &byte) in (from..).zip(bytes) {
            if byte != payload(id, peer, at) {
                return Err(format!("stream {id}: side {side} read a wrong byte at {at}"));
            }
        }
        let half = self.half(id, side);
        if half.ended || half.read_error.is_some() {
            return Err(format!("stream {id}: side {side} read data behind the end"));
        }
        half.read += bytes.len() as u64;
        Ok(())
    }

    /// A side was told that the stream has ended.
    pub fn ended(&mut self, id: u32, side: usize) -> Verdict {
        let peer = self.half(id, 1 - side).clone();
        let half = self.half(id, side);
        if let Some(error) = half.read_error.as_ref().filter(|_| !half.left) {
            return Err(format!("stream {id}: side {side} saw the end after {error:?}"));
        }
        half.ended = true;
        if !peer.finished {
            return Err(format!("stream {id}: side {side} saw an end that nobody wrote"));
        }
        if !half.left && half.read != peer.written {
            return Err(format!(
                "stream {id}: side {side} saw the end at {} of {}",
                half.read, peer.written
            ));
        }
        Ok(())
    }

    /// A side failed to read.
    pub fn read_failed(&mut self, id: u32, side: usize, error: ReadError) -> Verdict {
        let half = self.half(id, side);
        // A later GOAWAY of the peer may change the cause of a session's end.
        let over = |error: &ReadError| matches!(error, ReadError::SessionClosed(_));
        let other = half
            .read_error
            .as_ref()
            .is_some_and(|earlier| *earlier != error && !(over(earlier) && over(&error)));
        if (half.ended || other) && !half.left {
            return Err(format!(
                "stream {id}: side {side} got {error:?} after {:?}",
                half.read_error
            ));
        }
        half.read_error = Some(error.clone());
        let (own, stopped, unwritten) = (half.reset, half.left, half.written == 0);
        half.silent |= unwritten && error == ReadError::ResetLocally(ErrorCode::SESSION_CLOSED);
        let excused = match &error {
            ReadError::Reset(code) => self.may_be_told(id, side, *code),
            ReadError::ResetLocally(code) => {
                own == Some(*code) || self.is_unannounced(side, unwritten, *code)
            }
            ReadError::Stopped => stopped,
            ReadError::SessionClosed(reason) => self.is_end(side, reason),
            _ => false,
        };
        let left = self.half(id, side).left;
        if excused || left {
            return Ok(());
        }
        Err(format!("stream {id}: side {side} could not read: {error:?}"))
    }

    /// A side failed to write.
    pub fn write_failed(&mut self, id: u32, side: usize, error: &WriteError) -> Verdict {
        let half = self.half(id, side);
        let (own, left, unwritten) = (half.reset, half.left, half.written == 0);
        let excused = match error {
            WriteError::Finished => half.finished,
            WriteError::ResetLocally(code) => {
                own == Some(*code)
                    || (left && *code == ErrorCode::STREAM_CLOSED)
                    || self.is_unannounced(side, unwritten, *code)
            }
            WriteError::Reset(code) => self.may_be_told(id, side, *code),
            WriteError::SessionClosed(reason) => self.is_end(side, reason),
            _ => false,
        };
        if excused {
            return Ok(());
        }
        Err(format!("stream {id}: side {side} could not write: {error:?}"))
    }

    /// Whether a stream may have been reset because it was not written to when its side began to end
    /// the session.
    fn is_unannounced(&self, side: usize, unwritten: bool, code: ErrorCode) -> bool {
        unwritten && code == ErrorCode::SESSION_CLOSED && !self.sides[side].closing.is_empty()
    }

    /// Whether this is why the session of a side has ended, or why its peer has gone away.
    fn is_end(&self, side: usize, reason: &CloseReason) -> bool {
        let peer = &self.sides[1 - side];
        let told = match reason {
            CloseReason::Remote { code, .. } => {
                *code != ErrorCode::NO_ERROR
                    && (peer.foreign || peer.over.is_some() || peer.closing.contains(code))
            }
            _ => false,
        };
        told || self.sides[side].over.as_ref() == Some(reason)
    }

    /// Whether a side may learn that its stream was reset with this code.
    fn may_be_told(&self, id: u32, side: usize, code: ErrorCode) -> bool {
        let Some(stream) = self.streams.get(&id) else { return false };
        let peer = &self.sides[1 - side];
        let gone = code == ErrorCode::REMOTE_GONE_AWAY
            && (peer.foreign || peer.over.is_some() || !peer.closing.is_empty());
        gone || stream.halves[1 - side].rst_sent == Some(code)
    }

    /// A side was told that the transport has taken everything of a stream that it has finished.
    pub fn flushed(&self, id: u32, side: usize) -> Verdict {
        match self.streams.get(&id) {
            Some(stream) if stream.halves[side].fin_sent => Ok(()),
            stream => Err(format!("stream {id}: side {side} has flushed too early: {stream:?}")),
        }
    }

    /// A side was told how a stream has ended.
    pub fn over(&self, id: u32, side: usize, end: &StreamEnd) -> Verdict {
        let half = self.streams.get(&id).map(|stream| stream.halves[side].clone());
        let half = half.unwrap_or_default();
        let excused = match end {
            StreamEnd::Finished => half.fin_sent && half.finished,
            StreamEnd::Reset(code) => self.may_be_told(id, side, *code),
            StreamEnd::ResetLocally(code) => {
                // Data that arrives on a stream that was finished and is not read causes an RST,
                // which may not have been sent yet.
                let heard = self.streams.get(&id).is_some_and(|it| it.halves[1 - side].written > 0);
                let by_rule = half.finished && half.left && heard;
                half.reset == Some(*code)
                    || half.rst_sent == Some(*code)
                    || by_rule && *code == ErrorCode::STREAM_CLOSED
            }
            StreamEnd::SessionClosed(reason) => self.sides[side].over.as_ref() == Some(reason),
            _ => false,
        };
        if excused {
            return Ok(());
        }
        Err(format!("stream {id}: side {side} is told that it has ended: {end:?}: {half:?}"))
    }

    /// A side has sent FIN.
    pub fn fin_sent(&mut self, id: u32, side: usize) -> Verdict {
        let half = self.half(id, side);
        half.fin_sent = true;
        if half.finished {
            return Ok(());
        }
        Err(format!("stream {id}: side {side} sent a FIN that nobody asked for"))
    }

    /// A side has sent an RST: it needs a reason.
    pub fn rst_sent(&mut self, id: u32, side: usize, code: ErrorCode) -> Verdict {
        let own = self.sides[side].clone();
        let peer = self.sides[1 - side].clone();
        let refused = self.half(id, 1 - side).rst_sent == Some(ErrorCode::ACCEPT_QUEUE_FULL);
        let leaps = self.leaps;
        let half = self.half(id, side);
        half.rst_sent.get_or_insert(code);
        half.cut |= !half.fin_sent;
        let justified = match code {
            ErrorCode::STREAM_CLOSED => {
                half.left || half.released || refused || half.rst_sent != Some(code)
            }
            ErrorCode::ACCEPT_QUEUE_FULL => peer.opened > u64::from(own.limits[0]),
            ErrorCode::STREAM_REFUSED => {
                !own.closing.is_empty() || peer.opened > u64::from(own.limits[1])
            }
            ErrorCode::STREAM_CANCELLED => leaps,
            _ => false,
        };
        if justified || half.reset == Some(code) || peer.foreign {
            return Ok(());
        }
        Err(format!("stream {id}: side {side} sent RST with code {} for no reason", code.0))
    }

    /// At the end: whether every promise was kept. With `faulty` the transport broke, or an
    /// application aborted, and only data that arrived is checked.
    pub fn settle(&self, faulty: bool) -> Verdict {
        for (id, stream) in &self.streams {
            for (writer, reader) in [(0, 1), (1, 0)] {
                let (from, to) = (&stream.halves[writer], &stream.halves[reader]);
                if to.left {
                    continue;
                }
                let unsent =
                    !from.fin_sent && (from.reset.is_some() || from.silent && !from.syn_sent);
                // A stream that was not accepted is removed when it is reset.
                let unseen = !to.accepted && from.rst_sent.is_some();
                let broken = unsent || unseen || from.cut || to.rst_sent.is_some();
                let late = !self.sides[reader].closing.is_empty() && !to.known && !to.accepted;
                if from.finished && !to.ended && !(faulty || broken || late) {
                    return Err(format!("stream {id}: side {reader} misses something: {stream:?}"));
                }
            }
        }
        Ok(())
    }
}
