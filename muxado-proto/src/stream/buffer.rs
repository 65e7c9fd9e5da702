//! The bytes of one direction of a stream: a queue of chunks, and a tail that collects small
//! writes.

mod chunks;
mod pool;

use alloc::boxed::Box;
use bytes::Bytes;

use crate::transmit::{JOIN_LIMIT, Transmit};
use chunks::Chunks;
pub(crate) use chunks::{HEADS, REMNANT, SLACK};
pub(crate) use pool::Pool;

/// Smaller chunks are copied into the tail.
pub(crate) const CHUNK_MIN: usize = 512;

/// How much is in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Size {
    /// Its bytes.
    pub(crate) bytes: u64,
    /// The memory it keeps alive, without bytes that the application has taken.
    pub(crate) held: u64,
}

/// A byte queue that owns no memory while it is empty: an idle stream costs one pointer.
#[derive(Debug, Default)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(crate) struct Buffer(Option<Box<Chunks>>);

impl Buffer {
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |chunks| chunks.len())
    }

    /// Whether it has something if it has memory, and the stored sums are those of its parts.
    #[cfg(any(feature = "audit", test))]
    pub(crate) fn is_sound(&self) -> bool {
        self.0.as_ref().is_none_or(|chunks| chunks.len() > 0 && chunks.is_sound())
    }

    /// Its bytes, and the memory it keeps alive.
    pub(crate) fn size(&self) -> Size {
        self.0.as_ref().map_or(Size::default(), |chunks| Size {
            bytes: chunks.len() as u64,
            held: chunks.held() as u64,
        })
    }

    /// Copies chunks that keep more memory alive than their size, about `most` bytes of them, if
    /// that gains something. When everything is compacted, a buffer holds at most [`SLACK`] and a
    /// [`HEADS`]th more than its bytes. Returns how many bytes were copied.
    pub(crate) fn compact(&mut self, most: usize) -> usize {
        match self.0.as_mut().filter(|chunks| chunks.is_loose()) {
            Some(chunks) => chunks.compact(most),
            None => 0,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Drops the contents; returns their size in bytes.
    pub(crate) fn clear(&mut self, pool: &mut Pool) -> usize {
        match self.0.take() {
            Some(chunks) => {
                let len = chunks.len();
                pool.give(chunks);
                len
            }
            None => 0,
        }
    }

    /// Appends by copy.
    #[inline]
    pub(crate) fn push_copy(&mut self, bytes: &[u8], pool: &mut Pool) {
        if !bytes.is_empty() {
            self.0.get_or_insert_with(|| pool.take(bytes.len())).push_copy(bytes);
        }
    }

    /// Appends without a copy, unless the chunk is smaller than the cost of its handle: then it is
    /// copied and returned. Dropping it may run code of the application.
    pub(crate) fn push_chunk(&mut self, chunk: Bytes, pool: &mut Pool) -> Option<Bytes> {
        if chunk.len() < CHUNK_MIN {
            self.push_copy(&chunk, pool);
            return Some(chunk);
        }
        self.0.get_or_insert_with(|| pool.take(0)).push_chunk(chunk);
        None
    }

    /// Appends a part of an input without a copy, unless it is small.
    pub(crate) fn push_slice(&mut self, part: &[u8], input: &Bytes, pool: &mut Pool) {
        if part.len() < CHUNK_MIN {
            return self.push_copy(part, pool);
        }
        self.0.get_or_insert_with(|| pool.take(0)).push_slice(part, input);
    }

    /// Copies from the front without consuming; returns the count.
    pub(crate) fn peek(&self, out: &mut [u8]) -> usize {
        let Some(inner) = &self.0 else { return 0 };
        let mut done = 0usize;
        for piece in inner.pieces() {
            let Some(room) = out.get_mut(done..).filter(|room| !room.is_empty()) else { break };
            done = done.saturating_add(copy(piece, room));
        }
        done
    }

    /// Copies from the front and consumes; returns the count.
    pub(crate) fn read(&mut self, out: &mut [u8], pool: &mut Pool) -> usize {
        let (max, mut done) = (out.len(), 0usize);
        let put = |piece: &[u8]| {
            done = done.saturating_add(copy(piece, out.get_mut(done..).unwrap_or_default()));
        };
        self.read_to(max, put, pool)
    }

    /// Passes at most `max` bytes from the front to `put`, piece by piece, and consumes them;
    /// returns the count.
    pub(crate) fn read_to(
        &mut self,
        max: usize,
        mut put: impl FnMut(&[u8]),
        pool: &mut Pool,
    ) -> usize {
        let Some(inner) = self.0.as_mut() else { return 0 };
        let mut done = 0usize;
        while done < max {
            done = done.saturating_add(inner.take_to(max.saturating_sub(done), &mut put));
            if inner.len() == 0 {
                self.give_back(pool);
                break;
            }
        }
        done
    }

    /// Takes at most `max` contiguous bytes from the front, without a copy.
    pub(crate) fn pop(&mut self, max: usize, pool: &mut Pool) -> Option<Bytes> {
        let inner = self.0.as_mut().filter(|_| max > 0)?;
        let piece = inner.pop(max);
        if inner.len() == 0 {
            self.give_back(pool);
        }
        Some(piece)
    }

    /// Moves `count` bytes from the front to the end of a batch: copied if they are few, otherwise
    /// chained.
    pub(crate) fn transmit(&mut self, count: usize, out: &mut Transmit, pool: &mut Pool) {
        let Some(inner) = self.0.as_mut() else { return };
        let mut left = count;
        while left > 0 {
            let here = inner.front().len().min(left);
            if here <= JOIN_LIMIT || inner.is_remnant(here) {
                inner.take_to(here, |piece| out.join(piece));
            } else {
                out.push_chunk(inner.pop(here));
            }
            left = left.saturating_sub(here);
            if inner.len() == 0 {
                return self.give_back(pool);
            }
        }
    }

    /// It is empty.
    #[inline]
    fn give_back(&mut self, pool: &mut Pool) {
        if let Some(chunks) = self.0.take() {
            pool.give(chunks);
        }
    }
}

/// Copies as much as fits; returns the count.
fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let count = from.len().min(to.len());
    if let (Some(to), Some(from)) = (to.get_mut(..count), from.get(..count)) {
        to.copy_from_slice(from);
    }
    count
}

#[cfg(test)]
mod tests;
