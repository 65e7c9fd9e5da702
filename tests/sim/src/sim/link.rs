//! One direction of a transport: it delays and splits bytes, and may lose them.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, Bytes};
use muxado_proto::Timestamp;

use super::source::Source;

/// The properties of a direction of the transport.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Bytes that it holds before its writer has to wait.
    pub capacity: usize,
    /// From the writer to the reader.
    pub latency: Duration,
    /// Bytes per millisecond; 0 for no limit.
    pub bandwidth: u64,
    /// The largest piece that is written or read at once.
    pub piece: usize,
    /// One write in this many starts a stall; 0 for none.
    pub stalls: u64,
    /// How long a stall lasts at most.
    pub stall: Duration,
    /// Where it breaks, if it does.
    pub fault: Option<Fault>,
}

impl Shape {
    /// Whether bytes pass nearly one by one.
    pub const fn is_narrow(&self) -> bool {
        self.capacity <= 100 || self.piece <= 10
    }
}

/// An unexpected end of the transport.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// After this many bytes.
    pub at: u64,
    /// As an end of file instead of an error.
    pub eof: bool,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Bytes.
    Bytes(Bytes),
    /// The writer has ended.
    Eof,
    /// The transport has failed.
    Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    None,
    /// After the queued bytes.
    Eof,
    Error,
    /// The reader knows.
    Told,
}

/// One direction.
#[derive(Debug)]
pub struct Link {
    shape: Shape,
    queue: VecDeque<(Timestamp, Bytes)>,
    queued: usize,
    /// When the last byte has passed the bottleneck.
    passed: Timestamp,
    stalled_until: Timestamp,
    carried: u64,
    end: End,
    /// Nobody reads any more.
    abandoned: bool,
}

impl Link {
    /// An empty link.
    pub const fn new(shape: Shape) -> Self {
        Self {
            shape,
            queue: VecDeque::new(),
            queued: 0,
            passed: Timestamp::ZERO,
            stalled_until: Timestamp::ZERO,
            carried: 0,
            end: End::None,
            abandoned: false,
        }
    }

    /// Takes a piece from the front of `out`. `Err` means that the transport is broken.
    #[allow(clippy::result_unit_err, reason = "it has failed, and nothing more is known")]
    pub fn write(
        &mut self,
        now: Timestamp,
        source: &mut Source<'_>,
        out: &mut impl Buf,
    ) -> Result<Bytes, ()> {
        if self.abandoned || self.end != End::None {
            return Err(());
        }
        let room = self.shape.capacity.saturating_sub(self.queued);
        if now < self.stalled_until || room == 0 || !out.has_remaining() {
            return Ok(Bytes::new());
        }
        if self.shape.stalls > 0 && source.one_in(self.shape.stalls) {
            self.stalled_until = now + source.duration(self.shape.stall);
        }
        let mut count = out.remaining().min(room).min(self.shape.piece);
        if self.shape.piece < usize::MAX {
            count = count.min(source.size(count));
        }
        let bytes = out.copy_to_bytes(count);
        let mut kept = bytes.clone();
        if let Some(fault) = self.shape.fault {
            let left = fault.at.saturating_sub(self.carried);
            if left <= bytes.len() as u64 {
                kept.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                self.end = if fault.eof { End::Eof } else { End::Error };
            }
        }
        self.carried += kept.len() as u64;
        let passing = match self.shape.bandwidth {
            0 => Duration::ZERO,
            rate => Duration::from_nanos(kept.len() as u64 * 1_000_000 / rate),
        };
        self.passed = self.passed.max(now) + passing;
        self.queued += kept.len();
        if !kept.is_empty() {
            self.queue.push_back((self.passed + self.shape.latency, kept));
        }
        Ok(bytes)
    }

    /// What has arrived, a piece at a time.
    pub fn read(&mut self, now: Timestamp, source: &mut Source<'_>) -> Option<Arrival> {
        if let Some((at, bytes)) = self.queue.front_mut() {
            if *at > now {
                return None;
            }
            let count = if self.shape.piece < usize::MAX {
                source.size(bytes.len().min(self.shape.piece))
            } else {
                bytes.len()
            };
            let piece = bytes.split_to(count);
            if bytes.is_empty() {
                self.queue.pop_front();
            }
            self.queued -= piece.len();
            return Some(Arrival::Bytes(piece));
        }
        match std::mem::replace(&mut self.end, End::Told) {
            End::None => {
                self.end = End::None;
                None
            }
            End::Eof => Some(Arrival::Eof),
            End::Error => Some(Arrival::Error),
            End::Told => None,
        }
    }

    /// The writer ends its side: the reader finds the end after the queued bytes.
    pub fn shut(&mut self) {
        if self.end == End::None {
            self.end = End::Eof;
        }
    }

    /// The reader drops the transport.
    pub fn abandon(&mut self) {
        self.abandoned = true;
        self.queue.clear();
        self.queued = 0;
    }

    /// When something happens by itself: an arrival, or the end of a stall.
    pub fn next(&self, now: Timestamp, waiting: bool) -> Option<Timestamp> {
        if self.abandoned {
            return None;
        }
        let arrival = self.queue.front().map(|(at, _)| *at);
        let end = matches!(self.end, End::Eof | End::Error).then_some(now);
        let stall = (waiting && self.stalled_until > now).then_some(self.stalled_until);
        arrival.or(end).into_iter().chain(stall).min()
    }

    /// Whether nothing is on its way.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether it broke before its writer ended it.
    pub fn is_broken(&self) -> bool {
        self.shape.fault.is_some_and(|fault| self.carried >= fault.at)
    }
}
