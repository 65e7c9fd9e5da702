//! The bytes of one direction of a stream: a queue of chunks with a tail that small writes join.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{Buf, Bytes, BytesMut};

use crate::config::BLOCK;
use crate::transmit::{JOIN_LIMIT, Transmit};

/// Small pieces are joined up to this size, then the tail becomes a chunk.
const TAIL_LIMIT: usize = 16 << 10;

/// Smaller chunks are joined as if they had been copied in.
pub(crate) const CHUNK_MIN: usize = 512;

/// A tail larger than this is not kept when its buffer goes back to the pool.
const POOLED_TAIL: usize = 256;

/// Buffers the pool keeps.
const POOLED: usize = 64;

/// A byte queue. `tail` is logically behind all of `chunks`.
#[derive(Debug, Default)]
struct Chunks {
    chunks: VecDeque<Bytes>,
    tail: BytesMut,
    len: usize,
    /// The tail may be a small rest of a large allocation.
    large: bool,
}

/// A byte queue that owns no memory while it is empty: an idle stream costs one pointer.
#[derive(Debug, Default)]
pub(crate) struct Buffer(Option<Box<Chunks>>);

/// Spare buffers of a session, so that a stream in steady state allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Pool(
    #[allow(clippy::vec_box, reason = "the boxes move to buffers")] Vec<Box<Chunks>>,
);

impl Pool {
    fn take(&mut self) -> Box<Chunks> {
        self.0.pop().unwrap_or_default()
    }

    fn give(&mut self, mut chunks: Box<Chunks>) {
        if self.0.len() < POOLED {
            chunks.chunks.clear();
            chunks.tail.clear();
            chunks.len = 0;
            if core::mem::take(&mut chunks.large) {
                chunks.tail = BytesMut::new();
            }
            if chunks.chunks.capacity() > 16 {
                chunks.chunks = VecDeque::new();
            }
            self.0.push(chunks);
        }
    }
}

impl Buffer {
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |chunks| chunks.len)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Drops the contents; returns how many bytes they were.
    pub(crate) fn clear(&mut self, pool: &mut Pool) -> usize {
        match self.0.take() {
            Some(chunks) => {
                let len = chunks.len;
                pool.give(chunks);
                len
            }
            None => 0,
        }
    }

    /// Appends by copy.
    pub(crate) fn push_copy(&mut self, bytes: &[u8], pool: &mut Pool) {
        if bytes.is_empty() {
            return;
        }
        let inner = self.0.get_or_insert_with(|| pool.take());
        inner.len = inner.len.saturating_add(bytes.len());
        let mut rest = bytes;
        while !rest.is_empty() {
            if inner.tail.len() >= TAIL_LIMIT {
                inner.seal();
                // One allocation for several chunks, if there are several.
                let wanted = rest.len().min(BLOCK);
                if inner.tail.capacity() < wanted.min(TAIL_LIMIT) {
                    inner.tail.reserve(wanted);
                }
            }
            let room = TAIL_LIMIT.saturating_sub(inner.tail.len());
            let (head, tail) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            inner.tail.extend_from_slice(head);
            inner.large |= inner.tail.len() > POOLED_TAIL;
            rest = tail;
        }
    }

    /// Appends without a copy, unless the chunk is so small that its handle would outweigh it.
    pub(crate) fn push_chunk(&mut self, chunk: Bytes, pool: &mut Pool) {
        if chunk.len() < CHUNK_MIN {
            return self.push_copy(&chunk, pool);
        }
        let inner = self.0.get_or_insert_with(|| pool.take());
        inner.len = inner.len.saturating_add(chunk.len());
        inner.seal();
        inner.chunks.push_back(chunk);
    }

    /// The bytes at the front that lie together; empty if the buffer is.
    pub(crate) fn front(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |inner| inner.chunks.front().map_or(&inner.tail[..], |c| c))
    }

    /// Copies from the front without consuming; returns the count.
    pub(crate) fn peek(&self, out: &mut [u8]) -> usize {
        let Some(inner) = &self.0 else { return 0 };
        let mut done = 0usize;
        for piece in inner.chunks.iter().map(|c| &c[..]).chain([&inner.tail[..]]) {
            let Some(room) = out.get_mut(done..) else { break };
            let count = piece.len().min(room.len());
            if let (Some(to), Some(from)) = (room.get_mut(..count), piece.get(..count)) {
                to.copy_from_slice(from);
            }
            done = done.saturating_add(count);
        }
        done
    }

    /// Copies from the front and consumes; returns the count.
    pub(crate) fn read(&mut self, out: &mut [u8], pool: &mut Pool) -> usize {
        let mut done = 0usize;
        while let Some(room) = out.get_mut(done..) {
            let front = self.front();
            let count = front.len().min(room.len());
            if count == 0 {
                break;
            }
            if let (Some(to), Some(from)) = (room.get_mut(..count), front.get(..count)) {
                to.copy_from_slice(from);
            }
            self.consume_front(count, pool);
            done = done.saturating_add(count);
        }
        done
    }

    /// Takes at most `max` bytes that lie together off the front, without a copy.
    pub(crate) fn pop(&mut self, max: usize, pool: &mut Pool) -> Option<Bytes> {
        let inner = self.0.as_mut().filter(|_| max > 0)?;
        let piece = match inner.chunks.front_mut() {
            Some(front) if front.len() > max => front.split_to(max),
            Some(_) => inner.chunks.pop_front()?,
            None => inner.tail.split_to(max.min(inner.tail.len())).freeze(),
        };
        inner.len = inner.len.saturating_sub(piece.len());
        self.give_back_if_empty(pool);
        Some(piece)
    }

    /// Moves `count` bytes from the front to the end of a batch: by copy if they are few,
    /// otherwise chained.
    pub(crate) fn transmit(&mut self, count: usize, out: &mut Transmit, pool: &mut Pool) {
        let mut left = count;
        while left > 0 {
            let front = self.front();
            let here = front.len().min(left);
            if here == 0 {
                break;
            }
            if here <= JOIN_LIMIT {
                out.join(front.get(..here).unwrap_or_default());
                self.consume_front(here, pool);
            } else if let Some(piece) = self.pop(here, pool) {
                out.push_chunk(piece);
            }
            left = left.saturating_sub(here);
        }
    }

    /// Consumes `count` bytes, at most those of [`front`](Self::front).
    fn consume_front(&mut self, count: usize, pool: &mut Pool) {
        let Some(inner) = self.0.as_mut() else { return };
        let count = match inner.chunks.front_mut() {
            Some(front) => {
                let count = count.min(front.len());
                front.advance(count);
                if front.is_empty() {
                    inner.chunks.pop_front();
                }
                count
            }
            None => {
                let count = count.min(inner.tail.len());
                inner.tail.advance(count);
                count
            }
        };
        inner.len = inner.len.saturating_sub(count);
        self.give_back_if_empty(pool);
    }

    fn give_back_if_empty(&mut self, pool: &mut Pool) {
        if self.0.as_ref().is_some_and(|inner| inner.len == 0) {
            self.clear(pool);
        }
    }
}

impl Chunks {
    /// Makes the tail a chunk, so that order is kept when something is put behind it.
    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Op {
        Copy(usize),
        Chunk(usize),
        Read(usize),
        Pop(usize),
        Transmit(usize),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            (0usize..40_000).prop_map(Op::Copy),
            (0usize..5000).prop_map(Op::Chunk),
            (0usize..9000).prop_map(Op::Read),
            (0usize..9000).prop_map(Op::Pop),
            (0usize..9000).prop_map(Op::Transmit),
        ]
    }

    proptest! {
        #[test]
        fn is_a_byte_queue(ops in proptest::collection::vec(op(), 0..60)) {
            let (mut buffer, mut pool) = (Buffer::default(), Pool::default());
            let mut model: VecDeque<u8> = VecDeque::new();
            let mut next = 0u8;
            let mut fresh = |n: usize| -> Vec<u8> {
                (0..n).map(|_| { next = next.wrapping_add(1); next }).collect()
            };
            for op in ops {
                match op {
                    Op::Copy(n) => {
                        let bytes = fresh(n);
                        buffer.push_copy(&bytes, &mut pool);
                        model.extend(&bytes);
                    }
                    Op::Chunk(n) => {
                        let bytes = fresh(n);
                        model.extend(&bytes);
                        buffer.push_chunk(bytes.into(), &mut pool);
                    }
                    Op::Read(n) => {
                        let (mut seen, mut got) = (vec![0; n], vec![0; n]);
                        let peeked = buffer.peek(&mut seen);
                        let count = buffer.read(&mut got, &mut pool);
                        prop_assert_eq!(count, n.min(model.len()));
                        prop_assert_eq!(peeked, count);
                        prop_assert_eq!(&seen, &got);
                        let expected: Vec<u8> = model.drain(..count).collect();
                        prop_assert_eq!(&got[..count], &expected[..]);
                    }
                    Op::Pop(n) => {
                        if let Some(piece) = buffer.pop(n, &mut pool) {
                            prop_assert!(!piece.is_empty() && piece.len() <= n);
                            let expected: Vec<u8> = model.drain(..piece.len()).collect();
                            prop_assert_eq!(&piece[..], &expected[..]);
                        } else {
                            prop_assert!(n == 0 || model.is_empty());
                        }
                    }
                    Op::Transmit(n) => {
                        let n = n.min(model.len());
                        let mut out = Transmit::new();
                        buffer.transmit(n, &mut out, &mut pool);
                        let expected: Vec<u8> = model.drain(..n).collect();
                        prop_assert_eq!(&out.copy_to_bytes(n)[..], &expected[..]);
                        prop_assert!(out.is_empty());
                    }
                }
                prop_assert_eq!(buffer.len(), model.len());
                prop_assert_eq!(buffer.is_empty(), model.is_empty());
            }
        }
    }

    #[test]
    fn an_empty_buffer_is_a_pointer() {
        assert_eq!(size_of::<Buffer>(), size_of::<usize>());
    }
}
