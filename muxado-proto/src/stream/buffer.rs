//! The bytes of one direction of a stream: a queue of chunks with a tail that small writes join.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{Buf, Bytes, BytesMut};
use core::fmt;

use crate::config::BLOCK;
use crate::transmit::{JOIN_LIMIT, Transmit};

/// Smaller chunks are joined as if they had been copied in.
pub(crate) const CHUNK_MIN: usize = 512;

/// The first memory of a tail.
const TAIL_MIN: usize = 64;

/// A tail with more memory than this is kept for bulk only.
const SMALL_TAIL: usize = 1024;

/// Queues with small tails that the pool keeps.
const POOLED: usize = 64;

/// The most places for chunks that a queue in the pool keeps.
const POOLED_CHUNKS: usize = 16;

/// A byte queue.
#[derive(Default)]
#[cfg_attr(feature = "audit", derive(Clone))]
struct Chunks {
    chunks: VecDeque<Bytes>,
    /// Logically behind all of `chunks`; what is before `start` has been consumed. An index is
    /// cheaper than to advance the tail, and gives its memory back as soon as it is empty.
    tail: BytesMut,
    start: usize,
    len: usize,
    /// The tail has, or is the rest of, more than [`SMALL_TAIL`].
    large: bool,
}

impl fmt::Debug for Chunks {
    /// Shows how much it holds, and none of it: it is payload, and so is what it held before.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len)
    }
}

/// A byte queue that owns no memory while it is empty: an idle stream costs one pointer.
#[derive(Debug, Default)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(crate) struct Buffer(Option<Box<Chunks>>);

/// Spare queues of a session, so that a stream in steady state allocates nothing.
#[derive(Debug, Default)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(crate) struct Pool {
    #[allow(clippy::vec_box, reason = "the boxes move to buffers")]
    small: Vec<Box<Chunks>>,
    /// One with a large tail. Parts of it may be under way: then it is taken and not used again.
    large: Option<Box<Chunks>>,
    /// The fewest of `small` that were left at any time since [`Self::shrink_to_use`]: so many have
    /// not been needed.
    unused: usize,
    /// Whether `large` has not been needed since then.
    large_unused: bool,
}

impl Pool {
    /// A queue that will be given `count` bytes.
    fn take(&mut self, count: usize) -> Box<Chunks> {
        if count > SMALL_TAIL {
            if let Some(large) = self.large.take() {
                return large;
            }
        }
        let spare = self.small.pop().unwrap_or_default();
        self.unused = self.unused.min(self.small.len());
        spare
    }

    fn give(&mut self, mut chunks: Box<Chunks>) {
        chunks.tail.clear();
        chunks.start = 0;
        chunks.len = 0;
        if chunks.large || chunks.chunks.capacity() > 0 {
            chunks = match self.shrink(chunks) {
                Some(chunks) => chunks,
                None => return,
            };
        }
        if self.small.len() < POOLED {
            self.small.push(chunks);
        }
    }

    /// Keeps a queue that was used for bulk, or makes a small one of it.
    fn shrink(&mut self, mut chunks: Box<Chunks>) -> Option<Box<Chunks>> {
        chunks.chunks.clear();
        if chunks.chunks.capacity() > POOLED_CHUNKS {
            chunks.chunks = VecDeque::new();
        }
        if chunks.large {
            if self.large.is_none() {
                self.large = Some(chunks);
                self.large_unused = false;
                return None;
            }
            chunks.tail = BytesMut::new();
            chunks.large = false;
        }
        Some(chunks)
    }

    /// Whether it keeps anything: a session at rest should not.
    pub(crate) fn keeps_any(&self) -> bool {
        self.large.is_some() || !self.small.is_empty()
    }

    /// Gives back what nobody has needed since the last time.
    pub(crate) fn shrink_to_use(&mut self) {
        let kept = self.small.len().saturating_sub(self.unused);
        self.small.truncate(kept);
        if core::mem::replace(&mut self.large_unused, true) {
            self.large = None;
        }
        self.unused = self.small.len();
        if self.small.is_empty() {
            self.small.shrink_to_fit();
        }
    }
}

impl Buffer {
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |chunks| chunks.len)
    }

    pub(crate) const fn is_empty(&self) -> bool {
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
    #[inline]
    pub(crate) fn push_copy(&mut self, bytes: &[u8], pool: &mut Pool) {
        if !bytes.is_empty() {
            self.0.get_or_insert_with(|| pool.take(bytes.len())).push_copy(bytes);
        }
    }

    /// Appends without a copy, unless the chunk is so small that its handle would outweigh it.
    pub(crate) fn push_chunk(&mut self, chunk: Bytes, pool: &mut Pool) {
        if chunk.len() < CHUNK_MIN {
            return self.push_copy(&chunk, pool);
        }
        let inner = self.0.get_or_insert_with(|| pool.take(0));
        inner.seal();
        inner.len = inner.len.saturating_add(chunk.len());
        inner.chunks.push_back(chunk);
    }

    /// Copies from the front without consuming; returns the count.
    pub(crate) fn peek(&self, out: &mut [u8]) -> usize {
        let Some(inner) = &self.0 else { return 0 };
        let mut done = 0usize;
        for piece in inner.chunks.iter().map(|c| &c[..]).chain([inner.unread_tail()]) {
            let Some(room) = out.get_mut(done..) else { break };
            done = done.saturating_add(copy(piece, room));
        }
        done
    }

    /// Copies from the front and consumes; returns the count.
    pub(crate) fn read(&mut self, out: &mut [u8], pool: &mut Pool) -> usize {
        let Some(inner) = self.0.as_mut() else { return 0 };
        let mut done = 0usize;
        while let Some(room) = out.get_mut(done..).filter(|room| !room.is_empty()) {
            let count = copy(inner.front(), room);
            inner.consume(count);
            done = done.saturating_add(count);
            if inner.len == 0 {
                break;
            }
        }
        self.give_back_if_empty(pool);
        done
    }

    /// Takes at most `max` bytes that lie together off the front, without a copy.
    pub(crate) fn pop(&mut self, max: usize, pool: &mut Pool) -> Option<Bytes> {
        let piece = self.0.as_mut().filter(|_| max > 0)?.pop(max);
        self.give_back_if_empty(pool);
        Some(piece)
    }

    /// Moves `count` bytes from the front to the end of a batch: by copy if they are few,
    /// otherwise chained.
    pub(crate) fn transmit(&mut self, count: usize, out: &mut Transmit, pool: &mut Pool) {
        let Some(inner) = self.0.as_mut() else { return };
        let mut left = count;
        while left > 0 && inner.len > 0 {
            let front = inner.front();
            let here = front.len().min(left);
            if here <= JOIN_LIMIT {
                out.join(front.get(..here).unwrap_or_default());
                inner.consume(here);
            } else {
                out.push_chunk(inner.pop(here));
            }
            left = left.saturating_sub(here);
        }
        self.give_back_if_empty(pool);
    }

    fn give_back_if_empty(&mut self, pool: &mut Pool) {
        if self.0.as_ref().is_some_and(|inner| inner.len == 0) {
            self.clear(pool);
        }
    }
}

#[cfg(feature = "audit")]
impl Pool {
    pub(crate) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        let Self { small, large, unused, large_unused } = self;
        digest.value(&[small.len(), *unused]);
        digest.value(&[large.is_some(), *large_unused]);
    }
}

impl Chunks {
    fn unread_tail(&self) -> &[u8] {
        self.tail.get(self.start..).unwrap_or_default()
    }

    /// The bytes at the front that lie together; empty if the queue is.
    fn front(&self) -> &[u8] {
        match self.chunks.front() {
            Some(chunk) => chunk,
            None => self.unread_tail(),
        }
    }

    #[inline]
    fn push_copy(&mut self, bytes: &[u8]) {
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

    /// The bytes that can be put into the tail as it is.
    fn room(&self) -> usize {
        self.tail.capacity().saturating_sub(self.tail.len())
    }

    /// Makes some room in the tail, if possible for `wanted` bytes. A tail takes at most a block
    /// of memory; then it becomes a chunk, and another begins.
    fn make_room(&mut self, wanted: usize) {
        let (used, unread) = (self.tail.len(), self.unread_tail().len());
        if self.start > 0 && unread <= self.start {
            self.tail.copy_within(self.start.., 0);
            self.tail.truncate(unread);
            self.start = 0;
        } else if used > 0 && self.tail.capacity() <= BLOCK / 2 {
            let most = BLOCK.saturating_sub(used);
            self.tail.reserve(wanted.max(used).min(most));
        } else if used > 0 && self.room() == 0 {
            self.seal();
        }
        if self.tail.is_empty() && self.room() < wanted {
            // What is behind so much more is not the end of it.
            let likely = wanted.max(self.chunks.back().map_or(TAIL_MIN, Bytes::len));
            self.tail.reserve(likely.min(BLOCK));
        }
        self.large |= self.tail.capacity() > SMALL_TAIL;
    }

    /// Makes the tail a chunk, so that order is kept when something is put behind it.
    fn seal(&mut self) {
        let unread = self.unread_tail().len();
        if unread > 0 {
            let chunk = self.split_tail(unread);
            self.chunks.push_back(chunk);
        }
    }

    /// Takes `count` bytes off the front of the tail, at most those that are there.
    fn split_tail(&mut self, count: usize) -> Bytes {
        let start = core::mem::take(&mut self.start);
        let end = start.saturating_add(count).min(self.tail.len());
        let mut piece = self.tail.split_to(end).freeze();
        piece.advance(start.min(end));
        piece
    }

    /// Takes at most `max` bytes that lie together off the front.
    fn pop(&mut self, max: usize) -> Bytes {
        let piece = match self.chunks.front_mut() {
            Some(front) if front.len() > max => front.split_to(max),
            Some(_) => self.chunks.pop_front().unwrap_or_default(),
            None => self.split_tail(max),
        };
        self.len = self.len.saturating_sub(piece.len());
        piece
    }

    /// Consumes `count` bytes, at most those of [`front`](Self::front).
    fn consume(&mut self, count: usize) {
        let count = match self.chunks.front_mut() {
            Some(front) => {
                let count = count.min(front.len());
                front.advance(count);
                if front.is_empty() {
                    self.chunks.pop_front();
                }
                count
            }
            None => {
                let end = self.start.saturating_add(count).min(self.tail.len());
                let count = end.saturating_sub(self.start);
                self.start = end;
                count
            }
        };
        self.len = self.len.saturating_sub(count);
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
    fn memory_is_used_again_when_its_parts_have_gone() {
        let (mut buffer, mut pool) = (Buffer::default(), Pool::default());
        let mut through = |fill: u8| {
            buffer.push_copy(&vec![fill; 16 << 10], &mut pool);
            buffer.pop(16 << 10, &mut pool).unwrap()
        };
        let first = through(1);
        let place = first.as_ptr();
        let second = through(2);
        assert_ne!(second.as_ptr(), place);
        assert!(first.iter().all(|&byte| byte == 1) && second.iter().all(|&byte| byte == 2));
        let place = second.as_ptr();
        drop((first, second));
        assert_eq!(through(3).as_ptr(), place);
    }

    #[test]
    fn only_small_chunks_are_copied_on_their_way_in() {
        let (mut buffer, mut pool) = (Buffer::default(), Pool::default());
        for (size, copied) in [(CHUNK_MIN - 1, true), (CHUNK_MIN, false)] {
            let chunk = Bytes::from(vec![1; size]);
            buffer.push_chunk(chunk.clone(), &mut pool);
            let out = buffer.pop(size, &mut pool).unwrap();
            assert_eq!((out.len(), out.as_ptr() != chunk.as_ptr()), (size, copied));
        }
    }

    #[test]
    fn only_small_parts_are_copied_on_their_way_out() {
        let (mut buffer, mut pool, mut out) = (Buffer::default(), Pool::default(), Transmit::new());
        let (small, large) = (Bytes::from(vec![1; 600]), Bytes::from(vec![2; 60_000]));
        buffer.push_chunk(small.clone(), &mut pool);
        buffer.push_chunk(large.clone(), &mut pool);
        buffer.transmit(60_600, &mut out, &mut pool);
        let pieces: Vec<*const u8> = out.slices().map(<[u8]>::as_ptr).collect();
        assert_eq!(pieces.len(), 2);
        assert_eq!((pieces[0] == small.as_ptr(), pieces[1] == large.as_ptr()), (false, true));
    }

    #[test]
    fn spare_memory_that_is_not_used_goes() {
        let mut pool = Pool::default();
        let spare = |pool: &Pool| (pool.small.len(), pool.large.is_some());
        let use_at_once = |count: usize, bytes: &[u8], pool: &mut Pool| {
            let mut buffers: Vec<Buffer> = (0..count).map(|_| Buffer::default()).collect();
            buffers.iter_mut().for_each(|buffer| buffer.push_copy(bytes, pool));
            buffers.iter_mut().for_each(|buffer| assert_eq!(buffer.clear(pool), bytes.len()));
        };
        use_at_once(10, &[0; 100], &mut pool);
        use_at_once(1, &[0; 5000], &mut pool);
        pool.shrink_to_use();
        assert_eq!(spare(&pool), (9, true));
        use_at_once(4, &[0; 100], &mut pool);
        pool.shrink_to_use();
        assert_eq!(spare(&pool), (4, false));
        assert!(pool.keeps_any());
        pool.shrink_to_use();
        assert_eq!(spare(&pool), (0, false));
        assert!(!pool.keeps_any());
    }

    #[test]
    fn an_empty_buffer_is_a_pointer() {
        assert_eq!(size_of::<Buffer>(), size_of::<usize>());
    }
}
