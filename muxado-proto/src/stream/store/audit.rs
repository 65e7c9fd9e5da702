//! Compares the counters of the store with values computed from the slab.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use super::Store;
use crate::stream::entries::Entry;
use crate::stream::key::Key;
use crate::stream::schedule::{Link, Queue};
use crate::stream::{Edge, Owner, Stream};

type Finding = Result<(), String>;

fn check(ok: bool, what: impl FnOnce() -> String) -> Finding {
    if ok { Ok(()) } else { Err(what()) }
}

impl Store {
    /// Every stream with its key.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (Key, &Stream)> {
        self.keys().filter_map(|key| self.get(key).map(|stream| (key, stream)))
    }

    /// Finds the first wrong counter. `sending`: streams that can send have to be ready.
    pub(crate) fn audit(&self, sending: bool) -> Finding {
        self.audit_slab()?;
        self.audit_ids()?;
        let mut inside = [0usize; Queue::COUNT];
        for (_, stream) in self.streams() {
            for queue in Link::ALL.into_iter().filter_map(|link| stream.links.queue(link)) {
                if let Some(count) = inside.get_mut(queue.index()) {
                    *count = count.saturating_add(1);
                }
            }
            Self::audit_membership(stream, sending)?;
        }
        for (queue, inside) in Queue::ALL.into_iter().zip(inside) {
            self.audit_queue(queue, inside)?;
        }
        Ok(())
    }

    fn audit_slab(&self) -> Finding {
        let used = self.streams().count();
        let live = self.slab.len();
        check(live == used, || format!("{live} live streams, {used} in the slab"))?;
        check(self.slab.is_sound(), || "the bits of the slab differ from its places".into())
    }

    fn audit_ids(&self) -> Finding {
        for (key, stream) in self.streams() {
            let entry = self.entry(stream.id);
            check(entry == Some(Entry::Live(key)), || {
                format!("stream {} at {key:?} is mapped to {entry:?}", stream.id)
            })?;
        }
        self.entries.audit(self.slab.len())
    }

    fn audit_queue(&self, queue: Queue, inside: usize) -> Finding {
        let link = queue.link();
        let first = self.front(queue);
        let (mut at, mut count) = (first, 0usize);
        while let Some(key) = at {
            let Some(stream) = self.get(key) else {
                return Err(format!("{queue:?} leads to a free place {key:?}"));
            };
            check(stream.links.queue(link) == Some(queue), || {
                format!("stream {} is in {queue:?} and does not know it", stream.id)
            })?;
            let next = stream.links.next(link);
            let back = self.get(next).map(|stream| stream.links.prev(link));
            check(back == Some(key), || format!("{queue:?} is broken after stream {}", stream.id))?;
            at = Some(next).filter(|&next| Some(next) != first);
            count = count.saturating_add(1);
            check(count <= self.slab.len(), || format!("{queue:?} does not end where it begins"))?;
        }
        check(count == inside, || format!("{inside} streams say {queue:?}, it has {count}"))?;
        if queue == Queue::Stalled {
            let known = self.streams().filter(|(_, stream)| stream.links.is_in(queue));
            let known = known.map(|(key, stream)| (stream.waits_since, key.number()));
            let ordered = self.stalled.as_deref().cloned().unwrap_or_default();
            check(known.collect::<BTreeSet<_>>() == ordered, || {
                format!("{:?} are ordered, {count} are stalled", self.stalled)
            })?;
        }
        if queue.counter().is_some() {
            let len = usize::try_from(self.len(queue)).unwrap_or(usize::MAX);
            check(len == count, || format!("{queue:?} counts {len}, it has {count}"))?;
        }
        if let Some(urgency) = queue.urgency() {
            let ready = self.ready.has(urgency);
            check(ready == (count > 0), || format!("the ready bit of {queue:?} is {ready}"))?;
        }
        Ok(())
    }

    /// The state of a stream determines its queues.
    fn audit_membership(stream: &Stream, sending: bool) -> Finding {
        let id = stream.id;
        let wrong = |what: &str| Err(format!("stream {id}: {what}: {stream:?}"));
        if !stream.outgoing.is_sound() || !stream.incoming.is_sound() {
            return wrong("a buffer has lost count");
        }
        let inside = |queue: Queue| stream.links.queue(queue.link()) == Some(queue);
        if inside(Queue::Event) != stream.edges.are_raised() {
            return wrong("events and the event queue differ");
        }
        if !stream.edges.are_sound() {
            return wrong("reports an edge and waits for it");
        }
        if stream.edges.are_raised() && stream.owner != Owner::Application {
            return wrong("has events that nobody can get");
        }
        if inside(Queue::Accept) != (stream.owner == Owner::Backlog) {
            return wrong("backlog and owner differ");
        }
        if inside(Queue::Untyped) != (stream.owner == Owner::Untyped) {
            return wrong("untyped queue and owner differ");
        }
        if inside(Queue::GivenUp) != (sending && stream.is_given_up()) && sending {
            return wrong("given up and its queue differ");
        }
        if inside(Queue::Budget) && !stream.edges.are_watched(Edge::Writable) {
            return wrong("waits for room that nobody wants");
        }
        if sending && stream.can_send() && !inside(stream.ready_queue()) {
            return wrong("can send and is not ready");
        }
        if stream.is_ready() && !inside(stream.ready_queue()) {
            return wrong("stands in the ready queue of another priority");
        }
        if inside(Queue::Stalled) && !stream.is_stalled() {
            return wrong("stands among the stalled streams");
        }
        if stream.send.owes_rst() && !inside(Queue::Control) {
            return wrong("owes an RST and is not in the control queue");
        }
        if inside(Queue::Control) && !stream.send.owes_rst() && !stream.recv.is_open() {
            return wrong("has nothing to do in the control queue");
        }
        if inside(Queue::Spared)
            && (!stream.may_spoil_an_answer() || inside(Queue::Control))
            && sending
        {
            return wrong("is spared, and can spoil no answer or is to be answered");
        }
        if inside(Queue::Owed) && (!stream.recv.is_open() || inside(Queue::Control)) {
            return wrong("has nothing to do in the queue of owed credit");
        }
        Ok(())
    }
}
