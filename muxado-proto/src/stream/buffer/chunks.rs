//! A byte queue, and the memory it keeps alive.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{Buf, Bytes, BytesMut};
use core::fmt;

use crate::config::BLOCK;

/// The first memory of a tail.
const TAIL_MIN: usize = 64;

/// A tail with more memory than this is kept only for bulk data.
pub(super) const SMALL_TAIL: usize = 1024;

/// Unused places for chunks that a queue may keep.
pub(super) const SPARE_CHUNKS: usize = 16;

/// What a compacted queue may hold beyond its unread bytes and [`HEADS`]. It is the size of the
/// pieces into which it is copied, because the first piece may have been read in part.
pub(crate) const SLACK: usize = 8 << 10;

/// The part of [`SLACK`] that a queue needs for itself and its first places for chunks.
const OWN: usize = 512;

/// The heads of the chunks of a compacted queue take at most one part in this many of the unread
/// bytes.
pub(crate) const HEADS: usize = 64;

/// Outgoing bytes are copied if their block is more than this many times larger.
pub(crate) const REMNANT: usize = 8;

/// The allocation of an input may be this many times its length (see [`Session::handle_input`]).
///
/// [`Session::handle_input`]: crate::Session::handle_input
const INPUT_SHARE: usize = 2;

/// Contiguous bytes, and how much memory is counted for them.
#[cfg_attr(feature = "audit", derive(Clone))]
struct Chunk {
    bytes: Bytes,
    /// The memory that this queue frees with the chunk. Of several slices of one input the last one
    /// is charged for the whole input.
    charge: usize,
}

impl Chunk {
    /// Whether copying it would gain little. Only the first chunk of a queue may have been consumed
    /// in part.
    fn is_compact(&self, first: bool) -> bool {
        let len = self.bytes.len();
        let most = if first { SLACK - OWN } else { len / (2 * HEADS) };
        len >= SLACK && self.charge.checked_sub(len).is_some_and(|waste| waste <= most)
    }
}

/// A byte queue.
#[derive(Default)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(super) struct Chunks {
    chunks: VecDeque<Chunk>,
    /// The sum of what is counted for the chunks.
    charges: usize,
    /// The memory that it keeps alive beside itself. It is stored, because it is read more often
    /// than it changes.
    beside: usize,
    /// Logically after all of `chunks`; bytes before `start` have been consumed. An index is
    /// cheaper than advancing the tail, and makes all its memory usable again as soon as it is
    /// empty.
    tail: BytesMut,
    start: usize,
    len: usize,
    /// The allocation of the tail: its capacity, and what was split off its front. A tail has at
    /// most one block.
    block: u32,
    /// The allocation of the tail is, or was, larger than [`SMALL_TAIL`].
    large: bool,
}

impl fmt::Debug for Chunks {
    /// Shows only how much it holds, because its current and former contents are payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len)
    }
}

impl Chunks {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The memory it keeps alive, in bytes, without bytes that the application has taken.
    #[inline]
    pub(super) const fn held(&self) -> usize {
        self.beside.saturating_add(size_of::<Self>())
    }

    /// Whether the stored sums are those of the parts. A copy of a queue has fewer places for chunks
    /// than are counted.
    #[cfg(any(feature = "audit", test))]
    pub(super) fn is_sound(&self) -> bool {
        let bytes: usize = self.pieces().map(<[u8]>::len).sum();
        let charges: usize = self.chunks.iter().map(|chunk| chunk.charge).sum();
        let heads = self.chunks.capacity().saturating_mul(size_of::<Chunk>());
        let beside = charges.saturating_add(self.tail.capacity()).saturating_add(heads);
        bytes == self.len
            && charges == self.charges
            && beside <= self.beside
            && self.start <= self.tail.len()
            && self.block() <= BLOCK
    }

    /// The counted memory, the tail or the places for chunks have changed.
    fn recount(&mut self) {
        let heads = self.chunks.capacity().saturating_mul(size_of::<Chunk>());
        self.beside = self.charges.saturating_add(self.block()).saturating_add(heads);
    }

    /// The memory behind the tail.
    #[inline]
    fn block(&self) -> usize {
        usize::try_from(self.block).unwrap_or(usize::MAX)
    }

    /// Whether it holds enough beyond its unread bytes that compacting it gains something.
    pub(super) fn is_loose(&self) -> bool {
        let compact = self.len.saturating_add(self.len / HEADS).saturating_add(SLACK);
        self.held() > compact
    }

    /// Whether its tail is large enough for bulk data.
    pub(super) const fn is_large(&self) -> bool {
        self.large
    }

    /// Drops the contents, and keeps the memory of the tail and of some chunks.
    pub(super) fn clear(&mut self) {
        if self.chunks.capacity() > 0 {
            self.chunks.clear();
            self.charges = 0;
            self.shrink_places();
            self.recount();
        }
        self.tail.clear();
        self.start = 0;
        self.len = 0;
    }

    /// Frees the memory of the tail.
    pub(super) fn drop_tail(&mut self) {
        self.tail = BytesMut::new();
        self.start = 0;
        self.block = 0;
        self.large = false;
        self.recount();
    }

    fn unread_tail(&self) -> &[u8] {
        self.tail.get(self.start..).unwrap_or_default()
    }

    /// The pieces in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(|chunk| &chunk.bytes[..]).chain([self.unread_tail()])
    }

    /// The contiguous bytes at the front; empty if the queue is.
    #[inline]
    pub(super) fn front(&self) -> &[u8] {
        match self.chunks.front() {
            Some(chunk) => &chunk.bytes,
            None => self.unread_tail(),
        }
    }

    /// Whether the next `count` bytes are the small rest of a large block, which they would keep
    /// alive.
    pub(super) fn is_remnant(&self, count: usize) -> bool {
        let (rest, memory) = match self.chunks.front() {
            Some(chunk) => (chunk.bytes.len(), chunk.charge),
            None => (self.unread_tail().len(), self.block()),
        };
        rest == count && count.saturating_mul(REMNANT) < memory
    }

    #[inline]
    pub(super) fn push_copy(&mut self, bytes: &[u8]) {
        self.len = self.len.saturating_add(bytes.len());
        if bytes.len() <= self.room() {
            self.tail.extend_from_slice(bytes);
        } else {
            self.push_copy_growing(bytes);
        }
    }

    fn push_copy_growing(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if rest.len() > self.room() {
                self.make_room(rest.len());
            }
            let (head, tail) = rest.split_at_checked(self.room()).unwrap_or((rest, &[]));
            self.tail.extend_from_slice(head);
            rest = tail;
        }
    }

    /// Appends a chunk that shares its memory with nothing else.
    pub(super) fn push_chunk(&mut self, bytes: Bytes) {
        self.seal();
        self.len = self.len.saturating_add(bytes.len());
        let charge = bytes.len();
        self.push_back(bytes, charge);
    }

    /// Appends a part of an input. Adjacent parts of one input count once.
    pub(super) fn push_slice(&mut self, part: &[u8], input: &Bytes) {
        self.seal();
        self.len = self.len.saturating_add(part.len());
        let all = input.as_ptr_range();
        if let Some(last) = self.chunks.back_mut().filter(|last| all.contains(&last.bytes.as_ptr()))
        {
            debug_assert!(self.charges >= last.charge, "a sum includes what leaves it");
            self.charges = self.charges.saturating_sub(last.charge);
            last.charge = 0;
        }
        self.push_back(input.slice_ref(part), input.len().saturating_mul(INPUT_SHARE));
    }

    fn push_back(&mut self, bytes: Bytes, charge: usize) {
        if self.chunks.len() == self.chunks.capacity() {
            self.chunks.reserve_exact((self.chunks.len() / 4).max(4));
        }
        self.charges = self.charges.saturating_add(charge);
        self.chunks.push_back(Chunk { bytes, charge });
        self.recount();
    }

    fn pop_front(&mut self) -> Option<Bytes> {
        let chunk = self.chunks.pop_front()?;
        debug_assert!(self.charges >= chunk.charge, "a sum includes what leaves it");
        self.charges = self.charges.saturating_sub(chunk.charge);
        if self.chunks.len() < self.chunks.capacity() / 4 {
            self.shrink_places();
        }
        self.recount();
        Some(chunk.bytes)
    }

    /// Frees memory for chunks that is no longer needed.
    #[inline]
    fn shrink_places(&mut self) {
        if self.chunks.capacity() > SPARE_CHUNKS {
            self.shrink_many_places();
        }
    }

    fn shrink_many_places(&mut self) {
        let wanted = self.chunks.len().saturating_mul(2).max(SPARE_CHUNKS);
        if self.chunks.is_empty() && self.chunks.capacity() > wanted {
            self.chunks = VecDeque::new();
        } else {
            self.chunks.shrink_to(wanted);
        }
    }

    /// How many bytes fit into the tail without an allocation.
    fn room(&self) -> usize {
        self.tail.capacity().saturating_sub(self.tail.len())
    }

    /// Makes some room in the tail, if possible for `wanted` bytes. A tail has at most one block of
    /// memory; then it becomes a chunk, and a new tail begins.
    fn make_room(&mut self, wanted: usize) {
        let (used, unread, before) = (self.tail.len(), self.unread_tail().len(), self.block());
        if self.start > 0 && unread <= self.start {
            self.tail.copy_within(self.start.., 0);
            self.tail.truncate(unread);
            self.start = 0;
        } else if used > 0 && self.block() <= BLOCK / 2 {
            // Up to the end of the block. What was split off its front stays part of its memory.
            let gone = self.block().saturating_sub(self.tail.capacity());
            let most = BLOCK.saturating_sub(used).saturating_sub(gone);
            let more = wanted.max(used);
            let nearly = used.saturating_add(more) > BLOCK / 4 * 3;
            self.tail.reserve(if nearly { most } else { more.min(most) });
            self.count_block(gone);
        } else if used > 0 && self.room() == 0 {
            self.seal();
        }
        if self.tail.is_empty() && self.room() < wanted {
            // After a large tail or large chunks, expect more data.
            let last = self.chunks.back().map_or(TAIL_MIN, |last| last.bytes.len());
            let likely = wanted.max(last).max(before).min(BLOCK);
            // It does not grow, because growing may double it, beyond a block.
            if !self.tail.try_reclaim(likely) {
                self.tail = BytesMut::with_capacity(likely);
                self.block = 0;
            }
            self.count_block(0);
        }
        self.recount();
        self.large |= self.tail.capacity() > SMALL_TAIL;
    }

    /// The tail has more memory, and so much of it was split off its front.
    fn count_block(&mut self, gone: usize) {
        let memory = self.tail.capacity().saturating_add(gone);
        self.block = self.block.max(u32::try_from(memory).unwrap_or(u32::MAX));
    }

    /// Makes the tail a chunk, to keep the order when a chunk is appended.
    fn seal(&mut self) {
        let unread = self.unread_tail().len();
        if unread == 0 {
            return;
        }
        if unread < self.block() / 2 {
            // The chunk would keep too much memory alive, so it is copied and the tail is reused.
            let copied = Bytes::copy_from_slice(self.unread_tail());
            self.push_back(copied, unread);
            self.tail.clear();
            self.start = 0;
            // While a batch has its front, its end alone would be filled and copied again and again.
            if !self.tail.try_reclaim(self.block()) {
                self.drop_tail();
            }
        } else {
            let mut bytes = core::mem::take(&mut self.tail).freeze();
            bytes.advance(self.start.min(bytes.len()));
            self.push_back(bytes, self.block());
            self.drop_tail();
        }
    }

    /// Takes up to `count` bytes from the front of the tail.
    fn split_tail(&mut self, count: usize) -> Bytes {
        let start = core::mem::take(&mut self.start);
        let end = start.saturating_add(count).min(self.tail.len());
        let mut piece = self.tail.split_to(end).freeze();
        piece.advance(start.min(end));
        piece
    }

    /// Takes at most `max` contiguous bytes from the front.
    pub(super) fn pop(&mut self, max: usize) -> Bytes {
        let piece = match self.chunks.front_mut() {
            Some(front) if front.bytes.len() > max => front.bytes.split_to(max),
            Some(_) => self.pop_front().unwrap_or_default(),
            None => self.split_tail(max),
        };
        debug_assert!(self.len >= piece.len(), "the length includes what leaves it");
        self.len = self.len.saturating_sub(piece.len());
        piece
    }

    /// Passes at most `max` contiguous bytes to `put`, and consumes them; returns how many.
    #[inline]
    pub(super) fn take_to(&mut self, max: usize, put: impl FnOnce(&[u8])) -> usize {
        let count = match self.chunks.front_mut() {
            Some(front) => {
                let piece = front.bytes.get(..max).unwrap_or(&front.bytes);
                put(piece);
                let count = piece.len();
                front.bytes.advance(count);
                if front.bytes.is_empty() {
                    self.pop_front();
                }
                count
            }
            None => {
                let rest = self.tail.get(self.start..).unwrap_or_default();
                let piece = rest.get(..max).unwrap_or(rest);
                put(piece);
                let count = piece.len();
                self.start = self.start.saturating_add(count);
                count
            }
        };
        debug_assert!(self.len >= count, "the length includes what leaves it");
        self.len = self.len.saturating_sub(count);
        count
    }

    /// Copies chunks that keep more memory alive than their size into memory of the right size,
    /// from the front, about `most` bytes at most. Returns how many were copied.
    pub(super) fn compact(&mut self, most: usize) -> usize {
        let old = core::mem::take(&mut self.chunks);
        self.chunks.reserve_exact(old.len().min(self.len / SLACK).saturating_add(4));
        self.charges = 0;
        let mut copied = Pieces::default();
        for (index, chunk) in old.into_iter().enumerate() {
            if chunk.is_compact(index == 0) || copied.count >= most {
                copied.end(self);
                self.push_back(chunk.bytes, chunk.charge);
            } else {
                copied.add(&chunk.bytes, self);
            }
        }
        if copied.count < most {
            let tail = core::mem::take(&mut self.tail);
            copied.add(tail.get(self.start..).unwrap_or_default(), self);
            self.drop_tail();
        }
        copied.end(self);
        self.shrink_places();
        self.recount();
        copied.count
    }
}

/// Copies in pieces of [`SLACK`] bytes, with no spare memory.
#[derive(Default)]
struct Pieces {
    current: Vec<u8>,
    count: usize,
}

impl Pieces {
    fn add(&mut self, mut bytes: &[u8], to: &mut Chunks) {
        self.count = self.count.saturating_add(bytes.len());
        while !bytes.is_empty() {
            if self.current.capacity() == 0 {
                self.current.reserve_exact(SLACK);
            }
            let room = SLACK.saturating_sub(self.current.len());
            let (head, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.current.extend_from_slice(head);
            bytes = rest;
            if self.current.len() >= SLACK {
                to.push_back(core::mem::take(&mut self.current).into(), SLACK);
            }
        }
    }

    fn end(&mut self, to: &mut Chunks) {
        if !self.current.is_empty() {
            to.push_back(Bytes::copy_from_slice(&self.current), self.current.len());
            self.current.clear();
        }
    }
}

#[cfg(test)]
mod tests;
