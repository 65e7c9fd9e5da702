//! All streams of a session: a slab with intrusive queues, and what is known of their ids.

#[cfg(feature = "audit")]
mod audit;
#[cfg(feature = "audit")]
mod digest;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;

use super::Stream;
use super::entries::{Entries, Entry};
use super::key::Key;
use super::ready::Ready;
use super::schedule::{Link, Queue};
use super::slab::Slab;
use crate::frame::StreamId;
use crate::secret::IdKey;
use crate::time::Timestamp;

/// The streams, by key and by id; see the module.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(crate) struct Store {
    slab: Slab<Stream>,
    entries: Entries,
    /// The first stream of each queue. A queue is a circle: the last stream is before the first.
    first: [Key; Queue::COUNT],
    /// The stalled streams, ordered by the start of their wait. The queue has a different order: a
    /// stream that stalls again may have waited for longer than streams before it.
    #[allow(clippy::box_collection, reason = "most sessions never have any")]
    stalled: Option<Box<BTreeSet<(Timestamp, u32)>>>,
    /// How many streams are in each queue whose length is limited.
    lens: [u32; 3],
    ready: Ready,
}

impl Store {
    pub(crate) fn new(key: IdKey, max_tombstones: u32) -> Self {
        Self {
            slab: Slab::default(),
            entries: Entries::new(key, max_tombstones),
            first: [Key::NONE; Queue::COUNT],
            stalled: None,
            lens: [0; 3],
            ready: Ready::default(),
        }
    }

    /// The record of a stream, if it still has one. Where it must have one, [`live`](Self::live) says
    /// so.
    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&Stream> {
        self.slab.get(key.number())
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Stream> {
        self.slab.get_mut(key.number())
    }

    /// The record of a stream that has one, because nothing since it was found can have removed it.
    /// With the feature `audit` a missing record panics; without, what was to be done is left out.
    #[inline]
    pub(crate) fn live(&self, key: Key) -> Option<&Stream> {
        let stream = self.get(key);
        #[cfg(feature = "audit")]
        assert!(stream.is_some(), "{key:?} has no record");
        stream
    }

    /// [`live`](Self::live), to change it.
    #[inline]
    pub(crate) fn live_mut(&mut self, key: Key) -> Option<&mut Stream> {
        let stream = self.get_mut(key);
        #[cfg(feature = "audit")]
        assert!(stream.is_some(), "{key:?} has no record");
        stream
    }

    #[inline]
    pub(crate) fn entry(&self, id: StreamId) -> Option<Entry> {
        self.entries.get(id)
    }

    #[inline]
    pub(crate) fn key(&self, id: StreamId) -> Option<Key> {
        match self.entry(id) {
            Some(Entry::Live(key)) => Some(key),
            _ => None,
        }
    }

    /// All keys in use, in slab order: the order does not depend on the ids' hashes.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + use<> {
        (0..self.slab.end()).map(Key::new)
    }

    /// All keys in use are those of numbers below this one.
    pub(crate) fn end(&self) -> u32 {
        self.slab.end()
    }

    /// The key of a number, whether it is in use or not.
    pub(crate) const fn key_at(&self, number: u32) -> Key {
        Key::new(number)
    }

    pub(crate) fn insert(&mut self, stream: Stream) -> Key {
        let id = stream.id;
        let key = Key::new(self.slab.insert(stream));
        self.entries.insert(id, key);
        key
    }

    /// Removes a stream from the slab and all queues. With `remembered` its id gets a tombstone.
    pub(crate) fn remove(&mut self, key: Key, remembered: bool) {
        let Some(stream) = self.get(key) else { return };
        let id = stream.id;
        if !stream.links.is_free() {
            self.unlink_all(key);
        }
        self.slab.remove(key.number());
        if remembered {
            self.entries.bury(id);
        } else {
            self.entries.forget(id);
        }
    }

    fn unlink_all(&mut self, key: Key) {
        for link in Link::ALL {
            let queue = self.get(key).and_then(|stream| stream.links.queue(link));
            if let Some(queue) = queue {
                self.unlink_from(queue, key);
            }
        }
    }

    /// Whether there is unused memory.
    pub(crate) fn keeps_spare(&self) -> bool {
        self.slab.keeps_spare()
    }

    /// Frees unused memory.
    pub(crate) fn shrink(&mut self) {
        self.slab.shrink();
    }

    /// Records a tombstone for an id without a stream; the oldest is removed to make room.
    pub(crate) fn bury(&mut self, id: StreamId) {
        if self.entry(id).is_none() {
            self.entries.bury(id);
        }
    }

    /// The first stream of a queue, [`Key::NONE`] if it is empty.
    #[inline]
    const fn first(&self, queue: Queue) -> Key {
        #[allow(clippy::indexing_slicing, reason = "the index of a queue is below their count")]
        self.first[queue.index()]
    }

    #[inline]
    const fn set_first(&mut self, queue: Queue, key: Key) {
        #[allow(clippy::indexing_slicing, reason = "the index of a queue is below their count")]
        let first = &mut self.first[queue.index()];
        *first = key;
    }

    /// The first stream of a queue, if there is one.
    #[inline]
    pub(crate) fn front(&self, queue: Queue) -> Option<Key> {
        let first = self.first(queue);
        (first != Key::NONE).then_some(first)
    }

    /// Whether a queue has no stream.
    #[inline]
    pub(crate) fn is_empty(&self, queue: Queue) -> bool {
        self.first(queue) == Key::NONE
    }

    /// How many streams are in a queue whose length is limited; 0 for other queues.
    pub(crate) fn len(&self, queue: Queue) -> u32 {
        queue.counter().and_then(|counter| self.lens.get(counter).copied()).unwrap_or(0)
    }

    /// Notes that a stream has entered a queue or left it.
    #[inline]
    fn count_len(&mut self, queue: Queue, change: impl FnOnce(u32) -> u32) {
        if let Some(len) = queue.counter().and_then(|counter| self.lens.get_mut(counter)) {
            *len = change(*len);
        }
    }

    /// Whether the stream is in this queue.
    #[inline]
    pub(crate) fn is_in(&self, queue: Queue, key: Key) -> bool {
        self.get(key).is_some_and(|stream| stream.links.is_in(queue))
    }

    /// Appends a stream to a queue, unless it is already in one with that link.
    pub(crate) fn push(&mut self, queue: Queue, key: Key) {
        debug_assert!(queue != Queue::Stalled, "`stall` also notes since when the stream waits");
        let _entered = self.join(queue, key);
    }

    /// Puts a stream at the front of a queue, unless it is already in one with that link.
    pub(crate) fn push_front(&mut self, queue: Queue, key: Key) {
        if self.join(queue, key) {
            self.set_first(queue, key);
        }
    }

    /// Puts a stream among the stalled, unless it is there or ready.
    pub(crate) fn stall(&mut self, key: Key) {
        if self.join(Queue::Stalled, key) {
            let since = self.get(key).map(|stream| stream.waits_since).unwrap_or_default();
            self.stalled.get_or_insert_default().insert((since, key.number()));
        }
    }

    /// A stream is stalled no more.
    fn forget_stalled(&mut self, key: Key) {
        let since = self.get(key).map(|stream| stream.waits_since).unwrap_or_default();
        if let Some(stalled) = &mut self.stalled {
            stalled.remove(&(since, key.number()));
            if stalled.is_empty() {
                self.stalled = None;
            }
        }
    }

    /// A stream enters a queue behind the last one; `false` if its link is taken.
    #[inline]
    fn join(&mut self, queue: Queue, key: Key) -> bool {
        match self.front(queue) {
            Some(first) => self.enter_between(queue, key, first),
            None => self.enter_alone(queue, key),
        }
    }

    /// A stream enters an empty queue; `false` if its link is taken.
    #[inline]
    fn enter_alone(&mut self, queue: Queue, key: Key) -> bool {
        let entered = self.enter(queue, key, key, key);
        if entered {
            self.set_first(queue, key);
            self.ready.note(queue, false);
        }
        entered
    }

    /// A stream enters a queue between its last stream and its first; `false` if its link is taken.
    fn enter_between(&mut self, queue: Queue, key: Key, first: Key) -> bool {
        let link = queue.link();
        let last = self.get(first).map_or(first, |stream| stream.links.prev(link));
        if !self.enter(queue, key, last, first) {
            return false;
        }
        if let Some(stream) = self.get_mut(last) {
            stream.links.set_next(link, key);
        }
        if let Some(stream) = self.get_mut(first) {
            stream.links.set_prev(link, key);
        }
        true
    }

    /// A stream enters a queue between two others; `false` if its link is taken.
    #[inline]
    fn enter(&mut self, queue: Queue, key: Key, prev: Key, next: Key) -> bool {
        let stream = self.get_mut(key);
        let entered = stream.is_some_and(|stream| stream.links.enter(queue, prev, next));
        if entered {
            self.count_len(queue, |len| len.saturating_add(1));
        }
        entered
    }

    /// Takes the stream at the front of a queue. Stalled streams are taken in another order:
    /// [`first_stalled`](Self::first_stalled).
    #[inline]
    pub(crate) fn pop(&mut self, queue: Queue) -> Option<Key> {
        debug_assert!(queue != Queue::Stalled, "the first in this queue has not waited longest");
        let first = self.front(queue)?;
        self.leave(queue, first);
        Some(first)
    }

    /// The stalled stream that has waited longest, and since when.
    pub(crate) fn first_stalled(&self) -> Option<(Timestamp, Key)> {
        self.stalled.as_ref()?.first().map(|&(since, number)| (since, Key::new(number)))
    }

    /// Takes a stream out of a queue, if it is there.
    #[inline]
    pub(crate) fn unlink(&mut self, queue: Queue, key: Key) {
        if self.is_in(queue, key) {
            self.unlink_from(queue, key);
        }
    }

    fn unlink_from(&mut self, queue: Queue, key: Key) {
        if queue == Queue::Stalled {
            self.forget_stalled(key);
        }
        self.leave(queue, key);
    }

    /// A stream leaves a queue that it is in.
    #[inline]
    fn leave(&mut self, queue: Queue, key: Key) {
        let Some(stream) = self.get_mut(key) else { return };
        let Some((prev, next)) = stream.links.leave(queue) else { return };
        if next == key {
            self.set_first(queue, Key::NONE);
            self.ready.note(queue, true);
        } else {
            self.close_gap(queue, key, prev, next);
        }
        self.count_len(queue, |len| {
            debug_assert!(len > 0, "what leaves a queue was counted");
            len.saturating_sub(1)
        });
    }

    /// A stream has left a queue in which others remain.
    fn close_gap(&mut self, queue: Queue, key: Key, prev: Key, next: Key) {
        let link = queue.link();
        if let Some(stream) = self.get_mut(prev) {
            stream.links.set_next(link, next);
        }
        if let Some(stream) = self.get_mut(next) {
            stream.links.set_prev(link, prev);
        }
        if self.first(queue) == key {
            self.set_first(queue, next);
        }
    }

    /// Takes a stream out of the queue that it is in through a link, if any.
    pub(crate) fn unlink_any(&mut self, link: Link, key: Key) {
        if let Some(queue) = self.get(key).and_then(|stream| stream.links.queue(link)) {
            self.unlink(queue, key);
        }
    }

    /// The most urgent ready queue that is not empty.
    #[inline]
    pub(crate) fn most_urgent(&self) -> Option<Queue> {
        self.ready.most_urgent()
    }

    /// Takes the ready stream whose turn it is, and says from which queue.
    #[inline]
    pub(crate) fn pop_ready(&mut self) -> Option<(Queue, Key)> {
        let queue = self.ready.next()?;
        Some((queue, self.pop(queue)?))
    }

    /// Whether streams wait that have had a turn.
    #[inline]
    pub(crate) const fn older_streams_wait(&self) -> bool {
        self.ready.older_wait() != 0
    }

    /// A stream taken from this ready queue has had its turn: the output grew from one length to the
    /// other.
    #[inline]
    pub(crate) fn had_turn(&mut self, queue: Queue, before: usize, after: usize) {
        // A stream without credit sends nothing, and has had no turn.
        if after > before && self.ready.counts_turns() {
            self.ready.had_turn(queue, after.saturating_sub(before));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::secret::SessionKey;
    use crate::stream::Owner;
    use crate::stream::state::SendState;

    fn store() -> Store {
        Store::new(SessionKey::new([7; 16]).id_map(), 4)
    }

    fn id(number: u32) -> StreamId {
        StreamId::new(2 * number + 1)
    }

    fn stream(number: u32) -> Stream {
        Stream::new(id(number), Owner::Application, SendState::Open, &Config::default())
    }

    #[test]
    fn a_tombstone_replaces_no_entry() {
        let mut store = store();
        let key = store.insert(stream(1));
        for number in [1, 2, 2] {
            store.bury(id(number));
        }
        assert_eq!(store.entry(id(1)), Some(Entry::Live(key)));
        assert_eq!(store.entry(id(2)), Some(Entry::Reset));
        store.remove(key, true);
        assert_eq!((store.entry(id(1)), store.get(key).is_none()), (Some(Entry::Reset), true));
    }

    #[test]
    fn streams_leave_a_queue_from_anywhere() {
        for leaves in 0..3 {
            let mut store = store();
            let mut keys: alloc::vec::Vec<Key> =
                (0..3).map(|number| store.insert(stream(number))).collect();
            keys.iter().for_each(|&key| store.push(Queue::Accept, key));
            // Twice is once.
            store.push(Queue::Accept, keys[0]);
            assert_eq!((store.len(Queue::Accept), store.front(Queue::Accept)), (3, Some(keys[0])));
            store.unlink(Queue::Accept, keys[leaves]);
            store.unlink(Queue::Accept, keys[leaves]);
            let left = keys.remove(leaves);
            assert!(!store.is_in(Queue::Accept, left) && store.len(Queue::Accept) == 2);
            store.push_front(Queue::Accept, left);
            keys.insert(0, left);
            let order: alloc::vec::Vec<Key> =
                core::iter::from_fn(|| store.pop(Queue::Accept)).collect();
            assert_eq!(order, keys);
            assert_eq!((store.len(Queue::Accept), store.pop(Queue::Accept)), (0, None));
        }
    }

    #[test]
    fn the_stalled_are_ordered_by_their_wait() {
        let mut store = store();
        for (number, since) in [(0, 30), (1, 10), (2, 20)] {
            let key = store.insert(stream(number));
            store.get_mut(key).unwrap().waits_since = Timestamp::from_millis(since);
            store.stall(key);
        }
        for (since, number) in [(10, 1), (20, 2), (30, 0)] {
            let key = store.key(id(number)).unwrap();
            assert_eq!(store.first_stalled(), Some((Timestamp::from_millis(since), key)));
            store.remove(key, false);
        }
        assert_eq!(store.first_stalled(), None);
    }
}
