//! Memory that a driver needs only while something moves. It belongs to the thread: ten thousand
//! idle sessions share one set per worker thread.

use alloc::boxed::Box;
use core::cell::Cell;

use bytes::Bytes;

use super::loans::Loan;
use super::wake::Wakes;
use crate::Transmit;

/// The maximum memory that a batch of output may keep for reuse.
const KEPT_OUTPUT: usize = 512 << 10;

std::thread_local! {
    static SPARE: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// The working memory of a driver during one poll.
#[derive(Debug)]
pub(super) struct Scratch {
    /// The buffer to read into, unless it is lent out.
    read: Option<Loan>,
    /// An empty batch with memory for the next one.
    pub(super) out: Option<Box<Transmit>>,
    pub(super) wakes: Wakes,
}

impl Scratch {
    pub(super) fn borrow() -> Box<Self> {
        // While a thread is destroyed there is no spare, so a new one is created.
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        spare.unwrap_or_else(|| Box::new(Self { read: None, out: None, wakes: Wakes::default() }))
    }

    pub(super) fn give_back(mut self: Box<Self>) {
        self.out = self.out.take().filter(|out| out.capacity() <= KEPT_OUTPUT);
        let _no_thread = SPARE.try_with(|spare| spare.set(Some(self)));
    }

    /// The buffer to read into.
    pub(super) fn buffer(&mut self) -> &mut [u8] {
        self.read.get_or_insert_with(Loan::new).bytes_mut()
    }

    /// The bytes read, to be copied.
    pub(super) fn filled(&self, count: usize) -> &[u8] {
        let bytes = self.read.as_ref().map_or(&[][..], Loan::bytes);
        bytes.get(..count).unwrap_or(bytes)
    }

    /// The bytes read, to be kept.
    pub(super) fn lend(&mut self, count: usize) -> Bytes {
        self.read.take().map_or_else(Bytes::new, |loan| loan.share(count))
    }
}
