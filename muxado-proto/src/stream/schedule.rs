//! The queues of streams, and the order in which streams send.
//!
//! Queues are intrusive: a stream contains the links, so entering and leaving a queue takes
//! constant time and no memory, and a stream that ends can leave all of them. A queue is a circle,
//! so a session stores only where it begins.

use core::fmt;

use super::key::Key;
use super::{Owner, Stream};
use crate::config::DEFAULT_FRAME;

/// The payload of one turn: four full frames, a segment of loopback.
pub(crate) const TURN: u32 = 4 * DEFAULT_FRAME;

/// A stream that has sent this much since it had nothing to send is no longer new.
const NEW: u16 = TURN as u16;

/// How urgent a stream's data is. Classes are strict: as long as a stream of a higher class can
/// send, those below wait. Within a class streams take turns of 65 440 bytes; one that had nothing to
/// send goes before those that have had a turn, and small messages always do.
///
/// Room in the session's send buffer is kept for higher classes, so an urgent writer does not wait for
/// the bulk of others, in whatever order the application writes.
///
/// ```
/// use muxado_proto::Priority;
///
/// assert!(Priority::HIGHEST > Priority::DEFAULT);
/// assert_eq!(Priority::new(200), Priority::HIGHEST);
/// assert_eq!((Priority::LOWEST.get(), Priority::default().get()), (0, 3));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// Served last: 0.
    pub const LOWEST: Self = Self(0);
    /// The class of a new stream: 3.
    pub const DEFAULT: Self = Self(3);
    /// Served first: 7.
    pub const HIGHEST: Self = Self(7);

    /// How many classes there are.
    pub(super) const COUNT: usize = 8;

    /// A class from 0 to 7; larger numbers count as 7.
    #[must_use]
    pub const fn new(class: u8) -> Self {
        if class > 7 { Self::HIGHEST } else { Self(class) }
    }

    /// The number of the class.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A pair of links in every stream. Queues that exclude each other share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// The ready queues and the stalled one.
    Data = 0,
    Event = 1,
    /// An RST or a WNDINC, to be sent now, soon, or when it destroys no answer.
    Control = 2,
    /// The stream waits for its type, to be accepted, for space in the session's send buffer, for
    /// the transport to take the last output, or for its end.
    Wait = 3,
}

impl Link {
    pub(crate) const COUNT: usize = 4;

    pub(crate) const ALL: [Self; Self::COUNT] =
        [Self::Data, Self::Event, Self::Control, Self::Wait];
}

/// A queue of streams. Queues with an urgency are in that order; queues that share a link are
/// adjacent, and so are those whose length is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queue {
    /// Heartbeats to send; before all data.
    Beat,
    /// Data or a FIN to send, at [`Priority::HIGHEST`], of a stream that had none before.
    New7,
    /// The same, of a stream that has had its first turn.
    Ready7,
    /// The same pairs, in the classes below.
    New6,
    Ready6,
    New5,
    Ready5,
    New4,
    Ready4,
    New3,
    Ready3,
    New2,
    Ready2,
    New1,
    Ready1,
    New0,
    Ready0,
    /// Data to send and no credit, oldest first. Used only with a stall limit.
    Stalled,
    /// An event to report.
    Event,
    /// An RST or a WNDINC to send.
    Control,
    /// Credit owed and the buffer empty.
    Owed,
    /// The peer may still be reading a complete answer, and this side has no reader: nothing is
    /// sent for a while. Oldest first.
    Spared,
    /// Inbound, typed, and the type has not arrived; oldest first.
    Untyped,
    /// Inbound, and not accepted yet.
    Accept,
    /// Released and sent, and the peer has not ended it; oldest first.
    GivenUp,
    /// The writer waits for space in the session's send buffer.
    Budget,
    /// The rest of its output is in the batch that the driver is writing, and the application waits
    /// for that.
    Taking,
}

impl Queue {
    pub(crate) const COUNT: usize = 27;

    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Beat,
        Self::New7,
        Self::Ready7,
        Self::New6,
        Self::Ready6,
        Self::New5,
        Self::Ready5,
        Self::New4,
        Self::Ready4,
        Self::New3,
        Self::Ready3,
        Self::New2,
        Self::Ready2,
        Self::New1,
        Self::Ready1,
        Self::New0,
        Self::Ready0,
        Self::Stalled,
        Self::Event,
        Self::Control,
        Self::Owed,
        Self::Spared,
        Self::Untyped,
        Self::Accept,
        Self::GivenUp,
        Self::Budget,
        Self::Taking,
    ];

    /// The queue of streams of this class with data or a FIN to send.
    #[inline]
    #[allow(clippy::indexing_slicing, reason = "a priority is below the number of classes")]
    pub(crate) const fn ready(priority: Priority, new: bool) -> Self {
        const NEW: [Queue; Priority::COUNT] = [
            Queue::New0,
            Queue::New1,
            Queue::New2,
            Queue::New3,
            Queue::New4,
            Queue::New5,
            Queue::New6,
            Queue::New7,
        ];
        const READY: [Queue; Priority::COUNT] = [
            Queue::Ready0,
            Queue::Ready1,
            Queue::Ready2,
            Queue::Ready3,
            Queue::Ready4,
            Queue::Ready5,
            Queue::Ready6,
            Queue::Ready7,
        ];
        let class = (priority.0 & 7) as usize;
        if new { NEW[class] } else { READY[class] }
    }

    /// The place of this queue in [`Self::ALL`].
    #[inline]
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    #[inline]
    pub(crate) const fn link(self) -> Link {
        match self.index() {
            ..=17 => Link::Data,
            18 => Link::Event,
            19..=21 => Link::Control,
            _ => Link::Wait,
        }
    }

    /// The counter of a queue whose length is limited.
    #[inline]
    pub(super) const fn counter(self) -> Option<usize> {
        match self {
            Self::Untyped => Some(0),
            Self::Accept => Some(1),
            Self::GivenUp => Some(2),
            _ => None,
        }
    }

    /// For a ready queue, how many are more urgent.
    #[inline]
    pub(crate) const fn urgency(self) -> Option<u32> {
        if self.index() < Self::Stalled.index() { Some(self.index() as u32) } else { None }
    }

    /// The class of a ready queue: 0 for heartbeats, then 1 for the most urgent data.
    #[inline]
    pub(crate) const fn class(self) -> usize {
        self.index().div_ceil(2)
    }

    /// The ready queue with that many before it.
    #[inline]
    pub(crate) fn ready_at(urgency: u32) -> Option<Self> {
        let queue = Self::ALL.get(urgency as usize).copied();
        queue.filter(|queue| queue.urgency().is_some())
    }
}

impl Stream {
    /// The ready queue this stream belongs in.
    pub(crate) const fn ready_queue(&self) -> Queue {
        match self.owner {
            Owner::Beats | Owner::Echo => Queue::Beat,
            _ => Queue::ready(self.priority, self.sent_since_idle < NEW),
        }
    }
}

/// The links of one stream.
#[derive(Debug)]
#[cfg_attr(feature = "audit", derive(Clone))]
pub(crate) struct Links {
    /// `(prev, next)` by [`Link`].
    pairs: [(Key, Key); Link::COUNT],
    /// For each link, the queue that the stream is in, as its index plus one.
    inside: [u8; Link::COUNT],
}

#[allow(clippy::indexing_slicing, reason = "a `Link` is below the length of both arrays")]
impl Links {
    pub(super) const NONE: Self =
        Self { pairs: [(Key::NONE, Key::NONE); Link::COUNT], inside: [0; Link::COUNT] };

    #[inline]
    const fn tag(queue: Queue) -> u8 {
        (queue.index() as u8).saturating_add(1)
    }

    /// The queue that the stream is in through this link.
    #[inline]
    pub(crate) fn queue(&self, link: Link) -> Option<Queue> {
        let index = usize::from(self.inside[link as usize].checked_sub(1)?);
        Queue::ALL.get(index).copied()
    }

    /// Whether the stream is in no queue.
    #[inline]
    pub(crate) fn is_free(&self) -> bool {
        self.inside == [0; Link::COUNT]
    }

    /// Whether the stream is in this queue.
    #[inline]
    pub(crate) const fn is_in(&self, queue: Queue) -> bool {
        self.inside[queue.link() as usize] == Self::tag(queue)
    }

    /// Whether the stream is in a queue through this link.
    #[inline]
    pub(crate) const fn is_linked(&self, link: Link) -> bool {
        self.inside[link as usize] != 0
    }

    /// Enters a queue between two neighbours; `false` if the link is taken.
    #[inline]
    pub(super) const fn enter(&mut self, queue: Queue, prev: Key, next: Key) -> bool {
        let link = queue.link() as usize;
        if self.inside[link] != 0 {
            return false;
        }
        self.inside[link] = Self::tag(queue);
        self.pairs[link] = (prev, next);
        true
    }

    /// Leaves a queue; returns its neighbours there, `None` if it was not in it.
    #[inline]
    pub(super) const fn leave(&mut self, queue: Queue) -> Option<(Key, Key)> {
        let link = queue.link() as usize;
        if self.inside[link] != Self::tag(queue) {
            return None;
        }
        self.inside[link] = 0;
        Some(self.pairs[link])
    }

    /// The previous stream in the queue of this link. The one before the first is the last.
    #[inline]
    pub(super) const fn prev(&self, link: Link) -> Key {
        self.pairs[link as usize].0
    }

    /// The next stream in the queue of this link. The one after the last is the first.
    #[cfg(feature = "audit")]
    pub(super) const fn next(&self, link: Link) -> Key {
        self.pairs[link as usize].1
    }

    #[cfg(feature = "audit")]
    pub(crate) fn digest(&self, digest: &mut crate::digest::Digest<'_>) {
        let Self { pairs, inside } = self;
        for (pair, &inside) in pairs.iter().zip(inside) {
            digest.number(inside.into());
            // The links of a stream outside of a queue are stale.
            if inside != 0 {
                digest.value(pair);
            }
        }
    }

    #[inline]
    pub(super) const fn set_next(&mut self, link: Link, key: Key) {
        self.pairs[link as usize].1 = key;
    }

    #[inline]
    pub(super) const fn set_prev(&mut self, link: Link, key: Key) {
        self.pairs[link as usize].0 = key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_know_their_places() {
        for (index, queue) in Queue::ALL.into_iter().enumerate() {
            assert_eq!(queue.index(), index);
            assert_eq!(Queue::ready_at(index as u32), queue.urgency().and(Some(queue)));
            let link = match queue {
                Queue::Stalled => Link::Data,
                Queue::Event => Link::Event,
                Queue::Control | Queue::Owed | Queue::Spared => Link::Control,
                _ if queue.urgency().is_some() => Link::Data,
                _ => Link::Wait,
            };
            assert_eq!(queue.link(), link);
        }
        assert_eq!(Queue::ready_at(u32::BITS), None);
        assert_eq!(Queue::Beat.class(), 0);
        for class in 0..=7 {
            let [new, old] = [true, false].map(|new| Queue::ready(Priority::new(class), new));
            let place = 8 - u32::from(class);
            assert_eq!((new.urgency(), old.urgency()), (Some(2 * place - 1), Some(2 * place)));
            assert_eq!((new.class(), old.class()), (place as usize, place as usize));
        }
    }
}
