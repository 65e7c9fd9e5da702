//! Output on its way to the transport.

use alloc::collections::VecDeque;
use bytes::{Buf, Bytes, BytesMut};

/// Payloads up to this size are copied behind their headers; larger ones are chained.
///
/// One entry of a vectored write costs about as much as copying this many bytes.
pub(crate) const JOIN_LIMIT: usize = 1024;

#[derive(Debug)]
enum Segment {
    /// The next `usize` bytes of `joined`.
    Joined(usize),
    /// A payload of its own.
    Chunk(Bytes),
}

/// A batch of output, owned by whoever writes it: [`Session::poll_transmit`] appends frames, the
/// [`Buf`] side hands them to the transport.
///
/// Headers and small payloads are joined in one buffer, large payloads are chained without a copy,
/// so a vectored write takes a whole batch in one system call. A batch keeps its memory when it
/// has been written, for the next one.
///
/// ```
/// use bytes::Buf;
/// use muxado_proto::{Config, Role, Session, Timestamp, Transmit};
///
/// let mut session = Session::new(Role::Client, Config::default().into(), Timestamp::ZERO, 7);
/// let id = session.open()?;
/// session.stream(id).unwrap().write(b"hi").unwrap();
/// let mut out = Transmit::new();
/// assert_eq!(session.poll_transmit(Timestamp::ZERO, &mut out, usize::MAX), 10);
/// assert_eq!(out.chunk(), b"\0\0\x02\x12\0\0\0\x03hi");
/// # Ok::<(), muxado_proto::OpenError>(())
/// ```
///
/// [`Session::poll_transmit`]: crate::Session::poll_transmit
#[derive(Debug, Default)]
pub struct Transmit {
    segments: VecDeque<Segment>,
    joined: BytesMut,
    len: usize,
}

impl Transmit {
    /// An empty batch, without memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes not yet written.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether everything has been written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory the batch keeps for reuse, payload chunks not counted.
    #[must_use]
    pub fn capacity(&self) -> usize {
        let segments = self.segments.capacity().saturating_mul(size_of::<Segment>());
        self.joined.capacity().saturating_add(segments)
    }

    /// Appends bytes by copy.
    pub(crate) fn join(&mut self, bytes: &[u8]) {
        self.joined.extend_from_slice(bytes);
        self.grow(bytes.len());
    }

    fn grow(&mut self, added: usize) {
        if added == 0 {
            return;
        }
        if let Some(Segment::Joined(len)) = self.segments.back_mut() {
            *len = len.saturating_add(added);
        } else {
            self.segments.push_back(Segment::Joined(added));
        }
        self.len = self.len.saturating_add(added);
    }

    /// Appends a payload without a copy, unless it is so small that a copy is cheaper.
    pub(crate) fn push_chunk(&mut self, chunk: Bytes) {
        if chunk.len() <= JOIN_LIMIT {
            self.join(&chunk);
        } else {
            self.len = self.len.saturating_add(chunk.len());
            self.segments.push_back(Segment::Chunk(chunk));
        }
    }
}

impl Buf for Transmit {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        match self.segments.front() {
            Some(Segment::Joined(len)) => self.joined.get(..*len).unwrap_or_default(),
            Some(Segment::Chunk(chunk)) => chunk,
            None => &[],
        }
    }

    /// # Panics
    ///
    /// Never: advancing beyond the end stops at the end.
    fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let Some(front) = self.segments.front_mut() else { break };
            let step = match front {
                Segment::Joined(len) => {
                    let step = count.min(*len);
                    *len = len.saturating_sub(step);
                    self.joined.advance(step.min(self.joined.len()));
                    if *len == 0 {
                        self.segments.pop_front();
                    }
                    step
                }
                Segment::Chunk(chunk) => {
                    let step = count.min(chunk.len());
                    chunk.advance(step);
                    if chunk.is_empty() {
                        self.segments.pop_front();
                    }
                    step
                }
            };
            self.len = self.len.saturating_sub(step);
            count = count.saturating_sub(step);
        }
        if self.len == 0 {
            self.joined.clear();
        }
    }
}

impl Transmit {
    /// What comes next, piece by piece, for a vectored write.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.joined[..];
        self.segments.iter().map(move |segment| match segment {
            Segment::Joined(len) => {
                let (head, tail) = rest.split_at_checked(*len).unwrap_or((rest, &[]));
                rest = tail;
                head
            }
            Segment::Chunk(chunk) => chunk,
        })
    }
}

#[cfg(feature = "task")]
impl Transmit {
    /// Fills `slices` with what comes next, for a vectored write; returns how many were filled.
    #[must_use]
    pub fn io_slices<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let mut filled = 0usize;
        for (slot, slice) in slices.iter_mut().zip(self.slices()) {
            *slot = std::io::IoSlice::new(slice);
            filled = filled.saturating_add(1);
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in(
            pieces in proptest::collection::vec((any::<bool>(), 0usize..3000), 0..20),
            steps in proptest::collection::vec(1usize..2000, 1..8),
        ) {
            let mut transmit = Transmit::new();
            let mut expected: Vec<u8> = Vec::new();
            for (index, (chained, len)) in pieces.iter().enumerate() {
                let bytes = vec![u8::try_from(index).unwrap(); *len];
                expected.extend_from_slice(&bytes);
                if *chained { transmit.push_chunk(bytes.into()) } else { transmit.join(&bytes) }
            }
            prop_assert_eq!(transmit.len(), expected.len());
            let mut seen = Vec::new();
            for step in steps.iter().cycle() {
                if transmit.is_empty() { break; }
                let chunk = transmit.chunk();
                prop_assert!(!chunk.is_empty());
                let count = (*step).min(chunk.len());
                seen.extend_from_slice(&chunk[..count]);
                transmit.advance(count);
            }
            prop_assert_eq!(seen, expected);
            prop_assert!(transmit.chunk().is_empty());
        }
    }
}
