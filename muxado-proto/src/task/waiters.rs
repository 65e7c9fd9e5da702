//! Tasks that wait for the same thing, in order.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::task::Waker;

use super::wake::Wakes;

/// The place of one waiter, kept in its future.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    place: Option<u64>,
    /// The place outlives its waiter: waking it may have no effect.
    lasting: bool,
}

impl Ticket {
    pub(super) const fn lasting() -> Self {
        Self { place: None, lasting: true }
    }

    /// Whether its owner waits.
    pub(super) const fn waits(&self) -> bool {
        self.place.is_some()
    }
}

/// Waiters in order of arrival; allocated for the first one.
#[derive(Debug, Default)]
pub(super) struct Waiters(Option<Box<Line>>);

#[derive(Debug)]
struct Line {
    next: u64,
    /// By place, ascending. Most enter at the back and leave at the front.
    queue: VecDeque<(u64, Waker, bool)>,
}

impl Line {
    /// With room for one, because usually one task accepts.
    fn new() -> Box<Self> {
        Box::new(Self { next: 0, queue: VecDeque::with_capacity(1) })
    }

    /// Where a place is in the queue, or where it would be.
    fn find(&self, place: u64) -> Result<usize, usize> {
        self.queue.binary_search_by_key(&place, |&(place, ..)| place)
    }
}

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|line| line.queue.is_empty())
    }

    /// Waits, or continues to wait in the same place. Returns the previous waker, to be dropped
    /// after the lock.
    #[must_use = "wakers are dropped without the lock"]
    pub(super) fn wait(&mut self, ticket: &mut Ticket, waker: &Waker) -> Option<Waker> {
        let line = self.0.get_or_insert_with(Line::new);
        let place = *ticket.place.get_or_insert_with(|| {
            line.next = line.next.wrapping_add(1);
            line.next
        });
        match line.find(place) {
            Ok(index) => {
                let (_, current, _) = line.queue.get_mut(index)?;
                let changed = !current.will_wake(waker);
                changed.then(|| core::mem::replace(current, waker.clone()))
            }
            Err(index) => {
                line.queue.insert(index, (place, waker.clone(), ticket.lasting));
                None
            }
        }
    }

    fn remove(&mut self, place: u64) -> Option<Waker> {
        let line = self.0.as_mut()?;
        let index = line.find(place).ok()?;
        line.queue.remove(index).map(|(_, waker, _)| waker)
    }

    /// Wakes the waiter that has waited longest, and also the next if waking that one may have no
    /// effect.
    pub(super) fn wake_one(&mut self, wakes: &mut Wakes) {
        let Some(line) = &mut self.0 else { return };
        while let Some((_, waker, lasting)) = line.queue.pop_front() {
            wakes.push(waker);
            if !lasting {
                break;
            }
        }
    }

    pub(super) fn wake_all(&mut self, wakes: &mut Wakes) {
        if let Some(line) = &mut self.0 {
            wakes.extend(line.queue.drain(..).map(|(_, waker, _)| waker));
        }
    }

    /// The waiter has what it waited for. Returns its waker, to be dropped after the lock.
    #[must_use = "wakers are dropped without the lock"]
    pub(super) fn done(&mut self, ticket: &mut Ticket) -> Option<Waker> {
        ticket.place.take().and_then(|place| self.remove(place))
    }

    /// The waiter goes away; if it had been woken, the next one gets its turn. Returns its waker,
    /// to be dropped after the lock.
    #[must_use = "wakers are dropped without the lock"]
    pub(super) fn leave(&mut self, ticket: &mut Ticket, wakes: &mut Wakes) -> Option<Waker> {
        let own = self.remove(ticket.place.take()?);
        if own.is_none() {
            self.wake_one(wakes);
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_is_not_used_is_passed_on() {
        let (mut first, mut second) = (Ticket::default(), Ticket::default());
        let (mut waiters, mut wakes) = (Waiters::default(), Wakes::default());
        drop(waiters.wait(&mut first, Waker::noop()));
        drop(waiters.wait(&mut second, Waker::noop()));
        drop(waiters.wait(&mut first, Waker::noop()));
        waiters.wake_one(&mut wakes);
        assert_eq!(wakes.len(), 1);
        drop(waiters.leave(&mut first, &mut wakes));
        assert_eq!(wakes.len(), 2);
        assert!(waiters.is_empty());
        drop(waiters.leave(&mut first, &mut wakes));
        assert_eq!(wakes.len(), 2);
    }

    #[test]
    fn one_that_leaves_the_queue_wakes_nobody() {
        let (mut first, mut second) = (Ticket::default(), Ticket::default());
        let (mut waiters, mut wakes) = (Waiters::default(), Wakes::default());
        drop(waiters.wait(&mut first, Waker::noop()));
        drop(waiters.wait(&mut second, Waker::noop()));
        drop(waiters.leave(&mut first, &mut wakes));
        assert_eq!(wakes.len(), 0);
        waiters.wake_one(&mut wakes);
        drop(waiters.done(&mut second));
        drop(waiters.leave(&mut second, &mut wakes));
        assert_eq!(wakes.len(), 1);
    }
}
