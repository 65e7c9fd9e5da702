//! Buffers that are needed only while something moves. They belong to the thread: ten thousand idle
//! sessions share one set for each worker.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::task::Waker;

use bytes::{Bytes, BytesMut};

use crate::Transmit;

/// Bytes of one buffer: what is read at once, and the largest piece of a write that is copied at
/// once.
pub(super) const BUFFER: usize = 64 << 10;

/// Buffers a thread lends and keeps an eye on: 2 MiB, the windows of eight streams. Those it loses
/// sight of cost a new one each, and the zeros in it.
const LENT: usize = 32;

/// The most memory a batch of output may keep for the next one.
const KEPT_OUTPUT: usize = 512 << 10;

std::thread_local! {
    static SPARE: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
    static LENDER: RefCell<Vec<Bytes>> = const { RefCell::new(Vec::new()) };
}

/// What a driver works with during one poll.
#[derive(Debug)]
pub(super) struct Scratch {
    /// [`BUFFER`] initialised bytes, or none while they are lent out.
    read: BytesMut,
    /// An empty batch with memory for the next one.
    pub(super) out: Option<Box<Transmit>>,
    pub(super) wakes: Vec<Waker>,
}

impl Scratch {
    pub(super) fn borrow() -> Box<Self> {
        // During the destruction of a thread there is no spare; a new one does.
        SPARE.try_with(Cell::take).ok().flatten().unwrap_or_else(|| {
            Box::new(Self { read: BytesMut::new(), out: None, wakes: Vec::new() })
        })
    }

    pub(super) fn give_back(mut self: Box<Self>) {
        self.out = self.out.take().filter(|out| out.capacity() <= KEPT_OUTPUT);
        let _no_thread = SPARE.try_with(|spare| spare.set(Some(self)));
    }

    /// The read buffer.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        if self.read.is_empty() {
            self.read = take();
        }
        &mut self.read
    }

    /// What has been read, to be copied.
    pub(super) fn filled(&self, count: usize) -> &[u8] {
        self.read.get(..count).unwrap_or(&self.read)
    }

    /// What has been read, to be kept; the buffer comes back when nobody has a part of it.
    pub(super) fn lend(&mut self, count: usize) -> Bytes {
        lend(core::mem::take(&mut self.read), count)
    }
}

/// Copies the front of `data`, as much as one buffer holds, into a buffer that comes back when
/// nobody has a part of it.
pub(super) fn copy(data: &[u8]) -> Bytes {
    let mut buffer = take();
    let count = data.len().min(buffer.len());
    if let (Some(to), Some(from)) = (buffer.get_mut(..count), data.get(..count)) {
        to.copy_from_slice(from);
    }
    lend(buffer, count)
}

/// A buffer of initialised bytes: one that was lent and is free again, or a new one.
fn take() -> BytesMut {
    let returned = LENDER.try_with(|lender| {
        let mut lender = lender.borrow_mut();
        // The one lent last is the one most likely to be in the cache still.
        for index in (0..lender.len()).rev() {
            let candidate = core::mem::take(lender.get_mut(index)?);
            match candidate.try_into_mut() {
                Ok(buffer) => {
                    lender.remove(index);
                    return Some(buffer);
                }
                Err(in_use) => *lender.get_mut(index)? = in_use,
            }
        }
        None
    });
    returned.ok().flatten().unwrap_or_else(|| BytesMut::zeroed(BUFFER))
}

fn lend(buffer: BytesMut, count: usize) -> Bytes {
    let whole = buffer.freeze();
    let part = whole.slice(..count.min(whole.len()));
    let _no_thread = LENDER.try_with(|lender| {
        let mut lender = lender.borrow_mut();
        if lender.len() >= LENT {
            lender.remove(0);
        }
        lender.push(whole);
    });
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back() {
        let first = copy(b"one");
        let place = first.as_ptr();
        let second = copy(b"two");
        assert_ne!(second.as_ptr(), place);
        assert_eq!((&first[..], &second[..]), (&b"one"[..], &b"two"[..]));
        drop(first);
        let third = copy(b"three");
        assert_eq!((third.as_ptr(), &third[..]), (place, &b"three"[..]));
    }

    #[test]
    fn no_more_than_a_few_are_watched() {
        let held: Vec<Bytes> = (0..100).map(|_| copy(b"x")).collect();
        assert_eq!(held.len(), 100);
        LENDER.with(|lender| assert_eq!(lender.borrow().len(), LENT));
    }
}
