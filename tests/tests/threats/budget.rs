//! Many hostile sessions and one honest session share a budget.

use std::time::Duration;

use bytes::Bytes;
use muxado_proto::{Config, MemoryBudget, Role};
use muxado_tests::peer::{self, Peer};

use crate::meter::Meter;

const WINDOW: u32 = 1 << 10;

fn config(budget: &MemoryBudget) -> Config {
    Config::builder()
        .receive_window(WINDOW)
        .send_window(WINDOW)
        .max_inbound_streams(128)
        .max_outbound_streams(64)
        .session_receive_buffer(197 * u64::from(WINDOW))
        .session_send_buffer(64 << 10)
        .tombstones(64)
        .pending_resets(64)
        .memory_budget(budget.clone())
        .build()
        .expect("valid")
}

/// Opens streams until one is refused, and fills the windows of the admitted ones.
fn fill(peer: &mut Peer) {
    for n in 0..128 {
        let id = 3 + 2 * n;
        peer.send_bytes(Bytes::from(peer::syn(id, &vec![7; WINDOW as usize])));
        if peer.session.stats().streams_refused > 0 {
            break;
        }
        assert_eq!(peer.accept(), id);
    }
    peer.receive();
}

#[test]
fn s4_an_honest_session_works_beside_a_thousand_that_fill_their_windows() {
    let meter = Meter::start();
    let least = config(&MemoryBudget::new(u64::MAX)).min_memory();
    let budget = MemoryBudget::new(1001 * least * 3);
    let mut hostile: Vec<Peer> = (0..1000).map(|_| Peer::of_server(config(&budget))).collect();
    for peer in &mut hostile {
        fill(peer);
        assert!(budget.reserved() <= budget.limit());
    }
    let refused = hostile.iter().filter(|peer| peer.session.stats().streams_refused > 0).count();
    println!("{refused} of them found no more memory");
    assert!(refused >= 100, "{refused}");
    assert!(budget.reserved() > budget.limit() / 8 * 6, "the budget was not used up");
    let mut honest = Peer::of_server(config(&budget));
    assert_eq!(honest.session.close_reason(), None);
    for burst in 0..2500 {
        let ids: Vec<u32> = (0..4).map(|n| 3 + 2 * (4 * burst + n)).collect();
        for &id in &ids {
            honest.send([peer::syn(id, &[1; 100]), peer::fin(id)].concat());
        }
        for &id in &ids {
            assert_eq!(honest.accept(), id);
            assert_eq!(honest.read(id).0, [1; 100]);
            honest.write(id, &[2; 100]);
            honest.stream(id).finish().expect("it is open");
            honest.stream(id).release();
        }
        let answers = honest.hear();
        assert!(answers.iter().all(|frame| frame.starts_with("DATA ")), "{answers:?}");
    }
    println!("{} reserved of {}, {} held", budget.reserved(), budget.limit(), meter.held());
    assert!(budget.reserved() <= budget.limit());
    assert!(meter.held() as u64 <= budget.limit());
    // The sessions that hold most, and whose applications do not read, finally give something up.
    let mut lost = 0;
    for _ in 0..3 {
        for peer in &mut hostile {
            peer.pass(Duration::from_secs(1));
            lost += peer.hear().iter().filter(|frame| frame.ends_with(" code=10")).count();
        }
        hostile.iter_mut().rev().take(100).for_each(|peer| peer.send(peer::syn(9999, b"more")));
    }
    assert!(lost > 0);
    drop((hostile, honest));
    assert_eq!((budget.reserved(), budget.sessions()), (0, 0));
}

#[test]
fn s4_growth_is_taken_back_and_writers_share_what_is_left() {
    let _meter = Meter::start();
    let base = Config::builder()
        .max_inbound_streams(4)
        .max_outbound_streams(4)
        .session_receive_buffer((13 * 262_144) + (8 << 20));
    let least = base.clone().build().expect("valid").min_memory();
    let budget = MemoryBudget::new(2 * least + (8 << 20));
    let config = base.memory_budget(budget.clone()).build().expect("valid");
    let mut busy = Peer::of(Role::Server, config.clone());
    let mut other = Peer::of(Role::Server, config);
    busy.send(peer::syn(3, b""));
    busy.accept();
    let fill_and_read = |peer: &mut Peer| {
        let credit = peer.stream(3).stats().receive_credit;
        peer.send(peer::data(3, &vec![0; credit as usize]));
        assert_eq!(peer.read(3).0.len(), credit as usize);
        peer.receive();
    };
    (0..10).for_each(|_| fill_and_read(&mut busy));
    assert!(busy.session.stats().window_growth > 0);
    // The other one takes the rest for what it writes, and this one gives its growth back.
    let ids: Vec<u32> = (0..4).map(|_| other.open()).collect();
    let mut written = 0;
    for &id in &ids {
        while let Ok(count) = other.stream(id).write(&[0; 65_536]) {
            written += count;
        }
    }
    assert!(written >= 4 * 4096, "{written}");
    assert!(budget.reserved() <= budget.limit());
    drop(other);
    drop(busy);
    assert_eq!(budget.reserved(), 0);
}

#[test]
fn an_application_that_peeks_and_consumes_counts_as_reading() {
    let _meter = Meter::start();
    let least = config(&MemoryBudget::new(u64::MAX)).min_memory();
    let budget = MemoryBudget::new(2 * least + 100_000);
    let mut reader = Peer::of_server(config(&budget));
    reader.send(peer::syn(3, &[7; WINDOW as usize]));
    assert_eq!(reader.accept(), 3);
    reader.pass(Duration::from_secs(1));
    assert_eq!(reader.stream(3).peek(&mut [0; 100]), 100);
    assert_eq!(reader.stream(3).consume(100), 100);
    // The other session finds no more memory: one that does not read would have to give some up.
    let mut other = Peer::of_server(config(&budget));
    fill(&mut other);
    assert!(other.session.stats().streams_refused > 0);
    reader.pass(Duration::from_secs(1));
    assert_eq!(reader.read(3).0.len(), WINDOW as usize - 100);
}
