//! Which ready streams have the next turn.

use super::schedule::{Priority, Queue};

/// How much new streams send ahead of older ones of their class, in KiB that are begun: three turns.
/// Then one of the older streams has a turn.
const AHEAD: u8 = 192;

/// Which ready queues are not empty, and whose turn it is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ready {
    /// One bit for each queue, the most urgent lowest.
    bits: u32,
    /// The queues of new streams that have sent so much that an older stream has the next turn.
    due: u32,
    /// How much the new streams of each class have sent since an older stream, which waited, had a
    /// turn, in KiB that were begun.
    ahead: [u8; Priority::COUNT],
}

impl Ready {
    /// The queues of new streams. The next bit is that of the older streams of the class.
    const NEW: u32 = 0b1010_1010_1010_1010;

    /// Notes whether a queue is empty, if it is a ready queue.
    #[inline]
    pub(super) fn note(&mut self, queue: Queue, empty: bool) {
        if let Some(urgency) = queue.urgency() {
            let bit = Self::bit(urgency);
            if empty {
                self.bits &= !bit;
            } else {
                self.bits |= bit;
            }
        }
    }

    /// The most urgent ready queue that is not empty.
    #[inline]
    pub(super) fn most_urgent(&self) -> Option<Queue> {
        Queue::ready_at(self.bits.trailing_zeros())
    }

    /// The queue whose turn it is: the most urgent one, but new streams do not keep the older ones of
    /// their class from sending.
    #[inline]
    pub(super) fn next(&self) -> Option<Queue> {
        Queue::ready_at((self.bits & !(self.due & self.older_wait())).trailing_zeros())
    }

    /// The queues of new streams whose class has older streams that wait.
    #[inline]
    pub(super) const fn older_wait(&self) -> u32 {
        (self.bits >> 1) & Self::NEW
    }

    /// Whether older streams wait, or have waited: most sessions have none.
    #[inline]
    pub(super) const fn counts_turns(&self) -> bool {
        self.older_wait() != 0 || u64::from_ne_bytes(self.ahead) != 0
    }

    /// A stream from this queue has had a turn, and sent so many bytes.
    pub(super) fn had_turn(&mut self, queue: Queue, bytes: usize) {
        let Some(place) = queue.class().checked_sub(1) else { return };
        let Some(ahead) = self.ahead.get_mut(place) else { return };
        let bit = Self::bit(queue.urgency().unwrap_or_default());
        let new = (bit | bit >> 1) & Self::NEW;
        let begun = u8::try_from(bytes >> 10).unwrap_or(AHEAD).saturating_add(1);
        *ahead = if bit & Self::NEW == 0 {
            // A batch may have ended the turn early: it makes up for three times what it has sent.
            ahead.saturating_sub(begun.saturating_mul(3))
        } else if self.bits & (bit << 1) == 0 {
            0
        } else {
            ahead.saturating_add(begun)
        };
        if *ahead >= AHEAD {
            self.due |= new;
        } else {
            self.due &= !new;
        }
    }

    /// Whether the queue of that urgency is not empty.
    #[cfg(feature = "audit")]
    pub(super) fn has(&self, urgency: u32) -> bool {
        self.bits & Self::bit(urgency) != 0
    }

    #[inline]
    fn bit(urgency: u32) -> u32 {
        1u32.checked_shl(urgency).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn the_queues_of_new_streams_are_before_those_of_older_ones() {
        for class in 0..=7 {
            let [new, old] = [true, false].map(|new| Queue::ready(Priority::new(class), new));
            let bits = [new, old].map(|queue| Ready::bit(queue.urgency().unwrap()));
            assert_eq!((Ready::NEW & bits[0], Ready::NEW & bits[1]), (bits[0], 0));
            assert_eq!(bits[1], bits[0] << 1);
        }
    }

    /// Whose turn it is, as long as all these queues have streams, and what each sends in a turn.
    fn turns(queues: &[(Queue, usize)], count: usize) -> Vec<Queue> {
        let mut ready = Ready::default();
        queues.iter().for_each(|&(queue, _)| ready.note(queue, false));
        let turn = |_| {
            let next = ready.next().unwrap();
            let bytes = queues.iter().find(|&&(queue, _)| queue == next).unwrap().1;
            ready.had_turn(next, bytes);
            next
        };
        (0..count).map(turn).collect()
    }

    #[test]
    fn new_streams_go_first_and_older_ones_have_turns_between() {
        // One of four full turns is an older stream's.
        let full = turns(&[(Queue::New3, 65_472), (Queue::Ready3, 65_472)], 9);
        let old = (0..9).filter(|&turn| full[turn] == Queue::Ready3).collect::<Vec<_>>();
        assert_eq!(old, [3, 7]);
        // Of small messages, 192 go ahead.
        let small = turns(&[(Queue::New0, 20), (Queue::Ready0, 65_472)], 400);
        let old = (0..400).filter(|&turn| small[turn] == Queue::Ready0).collect::<Vec<_>>();
        assert_eq!(old, [192, 385]);
        // More urgent ones go first, whatever is new in the classes below.
        let apart = [(Queue::Ready5, 1), (Queue::New4, 65_440), (Queue::Ready4, 1)];
        assert_eq!(turns(&apart, 70), [Queue::Ready5; 70]);
        // What has gone ahead where no older stream waits does not count.
        let mut ready = Ready::default();
        ready.note(Queue::New7, false);
        ready.had_turn(Queue::New7, 1 << 30);
        ready.note(Queue::Ready7, false);
        assert_eq!(ready.next(), Some(Queue::New7));
    }

    #[test]
    fn the_classes_count_apart() {
        let mut ready = Ready::default();
        for queue in [Queue::New3, Queue::Ready3] {
            ready.note(queue, false);
        }
        (0..3).for_each(|_| ready.had_turn(Queue::New3, 65_440));
        for (queue, bytes) in [(Queue::Beat, 12), (Queue::New7, 100), (Queue::Ready7, 100)] {
            ready.note(queue, false);
            assert_eq!(ready.next(), Some(queue));
            ready.had_turn(queue, bytes);
            ready.note(queue, true);
        }
        assert_eq!(ready.next(), Some(Queue::Ready3));
    }
}
