//! Buffers a driver needs only while it runs. They belong to the thread: ten thousand idle
//! sessions share one set for each worker.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::Cell;
use core::task::Waker;

use bytes::BytesMut;

use crate::Transmit;

/// Bytes read at once.
pub(super) const READ_SIZE: usize = 64 << 10;

/// The most memory a batch of output may keep for the next one.
const KEPT_OUTPUT: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Scratch {
    /// Always [`READ_SIZE`] initialised bytes, or none while they are lent out.
    pub(super) read: BytesMut,
    pub(super) out: Transmit,
    pub(super) wakes: Vec<Waker>,
}

std::thread_local! {
    static SPARE: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Scratch {
    pub(super) fn borrow() -> Box<Self> {
        // During the destruction of a thread there is no spare; a new one does.
        SPARE.try_with(Cell::take).ok().flatten().unwrap_or_else(|| {
            Box::new(Self { read: BytesMut::new(), out: Transmit::new(), wakes: Vec::new() })
        })
    }

    pub(super) fn give_back(mut self: Box<Self>) {
        if self.out.capacity() > KEPT_OUTPUT {
            self.out = Transmit::new();
        }
        let _no_thread = SPARE.try_with(|spare| spare.set(Some(self)));
    }

    /// The read buffer.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        if self.read.len() != READ_SIZE {
            self.read = BytesMut::zeroed(READ_SIZE);
        }
        &mut self.read
    }
}
