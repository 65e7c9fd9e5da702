//! Output for the transport.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{Buf, Bytes};
use core::fmt;

use crate::frame::HEADER_LEN;

/// Payloads up to this size are copied after their headers; larger ones are chained.
///
/// One entry of a vectored write costs about as much as copying this many bytes.
pub(crate) const JOIN_LIMIT: usize = 1024;

/// A separate payload.
struct Chained {
    /// How much of `joined` precedes it.
    at: usize,
    chunk: Bytes,
}

/// A batch of output, owned by the caller: [`Session::poll_transmit`] appends frames, and the
/// caller writes them to the transport through [`Buf`].
///
/// Headers and small payloads are joined in one buffer, large payloads are chained without a copy,
/// so one vectored write takes a whole batch. A written batch keeps its memory for reuse.
///
/// ```
/// use bytes::Buf;
/// use muxado_proto::{Config, Role, Session, SessionKey, Timestamp, Transmit};
///
/// let key = SessionKey::new([7; 16]);
/// let mut session = Session::new(Role::Client, Config::default().into(), Timestamp::ZERO, key);
/// let id = session.open()?;
/// session.stream(id).unwrap().write(b"hi").unwrap();
/// let mut out = Transmit::new();
/// assert_eq!(session.poll_transmit(Timestamp::ZERO, &mut out, usize::MAX), 10);
/// assert_eq!(out.chunk(), b"\0\0\x02\x12\0\0\0\x03hi");
///
/// // Written: the memory stays for the next batch.
/// out.advance(10);
/// assert!(out.is_empty() && out.capacity() >= 10);
/// # Ok::<(), muxado_proto::OpenError>(())
/// ```
///
/// [`Session::poll_transmit`]: crate::Session::poll_transmit
#[derive(Default)]
pub struct Transmit {
    /// Headers and small payloads; what is before `start` has been written.
    joined: Vec<u8>,
    start: usize,
    chained: VecDeque<Chained>,
    len: usize,
}

impl fmt::Debug for Transmit {
    /// Shows only how much there is to write, because the bytes are payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transmit").field("len", &self.len).finish_non_exhaustive()
    }
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

    /// Bytes of memory that the batch keeps for reuse, without payload chunks.
    #[must_use]
    pub fn capacity(&self) -> usize {
        let chained = self.chained.capacity().saturating_mul(size_of::<Chained>());
        self.joined.capacity().saturating_add(chained)
    }

    /// Appends bytes by copy.
    #[inline]
    pub(crate) fn join(&mut self, bytes: &[u8]) {
        if self.joined.capacity().saturating_sub(self.joined.len()) < bytes.len() {
            self.drop_written();
        }
        self.joined.extend_from_slice(bytes);
        self.len = self.len.saturating_add(bytes.len());
    }

    /// Appends a header.
    #[inline]
    pub(crate) fn join_header(&mut self, header: [u8; HEADER_LEN]) {
        let len = self.joined.len();
        if self.joined.capacity().saturating_sub(len) < HEADER_LEN {
            return self.join(&header);
        }
        self.joined.extend_from_slice(&header);
        self.len = self.len.saturating_add(HEADER_LEN);
    }

    /// Appends a payload without a copy, unless it is so small that a copy is cheaper.
    pub(crate) fn push_chunk(&mut self, chunk: Bytes) {
        if chunk.len() <= JOIN_LIMIT {
            self.join(&chunk);
        } else {
            self.len = self.len.saturating_add(chunk.len());
            self.chained.push_back(Chained { at: self.joined.len(), chunk });
        }
    }

    /// Frees the space of written bytes, if they are most of the buffer.
    fn drop_written(&mut self) {
        if self.start > self.joined.len() / 2 {
            self.joined.drain(..self.start);
            for chained in &mut self.chained {
                chained.at = chained.at.saturating_sub(self.start);
            }
            self.start = 0;
        }
    }
}

impl Buf for Transmit {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        match self.chained.front() {
            Some(Chained { at, chunk }) if *at <= self.start => chunk,
            Some(Chained { at, .. }) => self.joined.get(self.start..*at).unwrap_or_default(),
            None => self.joined.get(self.start..).unwrap_or_default(),
        }
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        self.io_slices(slices)
    }

    /// # Panics
    ///
    /// Never panics: advancing beyond the end stops at the end.
    fn advance(&mut self, mut count: usize) {
        if count >= self.len {
            // Most batches are written at once.
            self.chained.clear();
            self.joined.clear();
            (self.start, self.len) = (0, 0);
            return;
        }
        while count > 0 {
            let step = match self.chained.front_mut() {
                Some(Chained { at, chunk }) if *at <= self.start => {
                    let whole = chunk.len();
                    if count < whole {
                        chunk.advance(count);
                    } else {
                        self.chained.pop_front();
                    }
                    count.min(whole)
                }
                next => {
                    let end = next.map_or(self.joined.len(), |next| next.at);
                    let step = count.min(end.saturating_sub(self.start));
                    self.start = self.start.saturating_add(step);
                    step
                }
            };
            self.len = self.len.saturating_sub(step);
            count = count.saturating_sub(step);
        }
    }
}

impl Transmit {
    /// The unwritten bytes, piece by piece, for a vectored write.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = self.start;
        let chained = self.chained.iter().map(|next| (next.at, &next.chunk[..]));
        let end = (self.joined.len(), &[][..]);
        let pairs = chained.chain([end]).map(move |(at, chunk)| {
            let joined = self.joined.get(from..at).unwrap_or_default();
            from = at;
            [joined, chunk]
        });
        pairs.flatten().filter(|piece| !piece.is_empty())
    }
}

#[cfg(feature = "std")]
impl Transmit {
    /// Fills `slices` with the next unwritten bytes, for a vectored write; returns how many were
    /// filled.
    ///
    /// ```
    /// use bytes::Buf;
    /// use std::io::{IoSlice, Write};
    /// use muxado_proto::Transmit;
    ///
    /// fn send(out: &mut Transmit, socket: &mut impl Write) -> std::io::Result<()> {
    ///     let mut slices = [IoSlice::new(&[]); 16];
    ///     let filled = out.io_slices(&mut slices);
    ///     let written = socket.write_vectored(&slices[..filled])?;
    ///     out.advance(written);
    ///     Ok(())
    /// }
    /// # send(&mut Transmit::new(), &mut Vec::new())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn io_slices<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let (mut from, mut filled) = (self.start, 0usize);
        let mut put = |slice: &'a [u8]| {
            if let Some(slot) = slices.get_mut(filled).filter(|_| !slice.is_empty()) {
                *slot = std::io::IoSlice::new(slice);
                filled = filled.saturating_add(1);
            }
        };
        for Chained { at, chunk } in &self.chained {
            put(self.joined.get(from..*at).unwrap_or_default());
            put(chunk);
            from = *at;
        }
        put(self.joined.get(from..).unwrap_or_default());
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn a_batch_that_is_never_quite_written_does_not_grow() {
        let mut transmit = Transmit::new();
        assert_eq!(transmit.capacity(), 0);
        transmit.join(&[0; 500]);
        for _ in 0..10_000 {
            transmit.join(&[1; 1000]);
            transmit.advance(1000);
            assert_eq!(transmit.len(), 500);
        }
        assert!((500..10_000).contains(&transmit.capacity()), "{}", transmit.capacity());
        for _ in 0..10_000 {
            transmit.join_header([2; HEADER_LEN]);
            transmit.advance(HEADER_LEN);
            assert_eq!(transmit.len(), 500);
        }
        assert!((500..10_000).contains(&transmit.capacity()), "{}", transmit.capacity());
    }

    #[test]
    fn debug_shows_how_much_there_is_to_write() {
        let mut transmit = Transmit::new();
        transmit.join(b"secret");
        assert_eq!(alloc::format!("{transmit:?}"), "Transmit { len: 6, .. }");
    }

    #[test]
    fn large_chunks_are_not_copied_and_small_ones_are() {
        let (small, large) = (Bytes::from(vec![1; 16]), Bytes::from(vec![2; 64 << 10]));
        let mut transmit = Transmit::new();
        transmit.push_chunk(small.clone());
        transmit.push_chunk(large.clone());
        transmit.push_chunk(small.clone());
        let pieces: Vec<&[u8]> = transmit.slices().collect();
        assert_eq!(pieces, [&small[..], &large[..], &small[..]]);
        let shared: Vec<bool> = [&small, &large, &small]
            .iter()
            .zip(&pieces)
            .map(|(chunk, piece)| chunk.as_ptr() == piece.as_ptr())
            .collect();
        assert_eq!(shared, [false, true, false]);
        transmit.advance(16 + (64 << 10) + 15);
        assert_eq!(transmit.slices().collect::<Vec<_>>(), [[1]]);
    }

    #[cfg(feature = "std")]
    #[test]
    fn as_many_slices_are_filled_as_there_are() {
        let lengths = |transmit: &Transmit| {
            let mut slices = [std::io::IoSlice::new(&[]); 4];
            let filled = transmit.io_slices(&mut slices);
            let mut same = [std::io::IoSlice::new(&[]); 4];
            assert_eq!(transmit.chunks_vectored(&mut same), filled);
            assert_eq!(same.map(|slice| slice.len()), slices.map(|slice| slice.len()));
            (filled, slices.map(|slice| slice.len()))
        };
        let mut transmit = Transmit::new();
        assert_eq!(lengths(&transmit), (0, [0; 4]));
        for _ in 0..5 {
            transmit.push_chunk(vec![0; 64 << 10].into());
        }
        assert_eq!(lengths(&transmit), (4, [64 << 10; 4]));
        transmit.advance(4 * (64 << 10));
        assert_eq!(lengths(&transmit), (1, [64 << 10, 0, 0, 0]));
    }

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
