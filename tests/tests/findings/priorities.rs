//! W13: who is served first does not depend on the order in which an application answers events.

use std::collections::HashMap;

use bytes::Buf;
use muxado_proto::{Config, Event, Priority, Transmit};
use muxado_tests::peer::Peer;
use muxado_tests::vectors::Frame;

/// The frames of one batch of about `max` bytes.
fn batch(peer: &mut Peer, max: usize) -> Vec<Frame> {
    let mut out = Transmit::new();
    peer.session.poll_transmit(peer.now(), &mut out, max);
    let mut bytes = out.copy_to_bytes(out.remaining()).to_vec();
    std::iter::from_fn(|| Frame::take(&mut bytes)).collect()
}

/// In which order an application answers its events.
#[derive(Debug, Clone, Copy)]
enum Answers {
    InOrder,
    NewestFirst,
    /// Shuffled, by this seed.
    Shuffled(u64),
}

/// Streams that always have more to write, more than the session holds, of an application that
/// answers events in some order.
struct Writers {
    peer: Peer,
    answers: Answers,
    random: u64,
    sent: HashMap<u32, u64>,
}

impl Writers {
    /// Writers of these classes. The peer grants all the credit that there is.
    fn new(classes: impl IntoIterator<Item = Priority>, answers: Answers) -> Self {
        let config = Config::builder().send_window(i32::MAX as u32).build().expect("valid");
        let peer = Peer::of_client(config);
        let seed = if let Answers::Shuffled(seed) = answers { seed } else { 0 };
        let mut writers = Self { peer, answers, random: seed, sent: HashMap::new() };
        let ids: Vec<u32> = classes.into_iter().map(|class| writers.open(class)).collect();
        ids.into_iter().for_each(|id| writers.write(id));
        writers
    }

    fn open(&mut self, class: Priority) -> u32 {
        let id = self.peer.open();
        self.peer.stream(id).set_priority(class);
        id
    }

    /// Writes what is taken.
    fn write(&mut self, id: u32) {
        while self.peer.stream(id).write(&[0; 32 << 10]).is_ok() {}
    }

    /// The application answers its events each time when the transport has taken so many bytes.
    fn run(&mut self, turns: u32, bytes: usize) {
        for _ in 0..turns {
            for frame in batch(&mut self.peer, bytes) {
                *self.sent.entry(frame.id()).or_default() += frame.payload.len() as u64;
            }
            let mut ids: Vec<u32> = self.peer.events().iter().filter_map(writable).collect();
            match self.answers {
                Answers::InOrder => {}
                Answers::NewestFirst => ids.reverse(),
                Answers::Shuffled(_) => ids.sort_by_cached_key(|_| self.random()),
            }
            ids.into_iter().for_each(|id| self.write(id));
        }
    }

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.random >> 33
    }

    fn sent_by(&self, ids: &[u32]) -> u64 {
        ids.iter().filter_map(|id| self.sent.get(id)).sum()
    }
}

fn writable(event: &Event) -> Option<u32> {
    if let Event::Writable(id) = event { Some(id.get()) } else { None }
}

const ORDERS: [Answers; 6] = [
    Answers::InOrder,
    Answers::NewestFirst,
    Answers::Shuffled(1),
    Answers::Shuffled(2),
    Answers::Shuffled(3),
    Answers::Shuffled(4),
];

#[test]
fn w13_an_urgent_writer_gets_all_it_wants_in_whatever_order_events_are_answered() {
    for (urgent, bulk, bytes) in
        [(7, 3, 64 << 10), (7, 3, 256 << 10), (4, 3, 256 << 10), (1, 0, 128 << 10)]
    {
        for answers in ORDERS {
            let classes = [[bulk; 100], [bulk; 100]].concat();
            let mut writers = Writers::new(classes.into_iter().map(Priority::new), answers);
            writers.run(100, bytes);
            let id = writers.open(Priority::new(urgent));
            writers.write(id);
            writers.sent.clear();
            writers.run(300, bytes);
            let (own, all) = (writers.sent_by(&[id]), writers.sent.values().sum::<u64>());
            let cell = format!("{urgent} over {bulk}, {bytes} a turn, {answers:?}");
            // In its first turns it has to wait until the bulk that was written before makes room.
            assert!(own * 100 >= all * 98, "{cell}: {own} of {all}");
            writers.sent.clear();
            writers.run(100, bytes);
            let (own, all) = (writers.sent_by(&[id]), writers.sent.values().sum::<u64>());
            assert!(own * 1000 >= all * 995, "{cell}, later: {own} of {all}");
        }
    }
}
