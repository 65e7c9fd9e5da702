//! Promised credit is honoured, and no stream is reset because others hold too much.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use muxado_proto::{Config, ErrorCode, Event, MemoryBudget, OpenError};
use muxado_tests::peer::{self, Peer};

/// Uploads of 200 kB each within their windows, and a reader that starts when all have arrived.
fn uploads_with_a_late_reader(streams: u32) {
    const UPLOAD: usize = 200_000;
    let mut peer = Peer::of_server(Config::default());
    let ids = || (0..streams).map(|n| 3 + 2 * n);
    let payload = |id: u32| vec![u8::try_from(id % 251).expect("small"); UPLOAD];
    for id in ids() {
        peer.send(peer::syn(id, &[]));
    }
    for id in ids() {
        peer.send(peer::data(id, &payload(id)));
        peer.send(peer::fin(id));
    }
    peer.expect_silence();
    for id in ids() {
        assert_eq!(peer.accept(), id);
        let (bytes, end) = peer.read(id);
        assert!(bytes == payload(id), "stream {id} has lost something");
        end.expect("a clean end");
        peer.stream(id).finish().unwrap();
        peer.stream(id).release();
    }
    let answers = peer.hear();
    assert!(answers.iter().all(|frame| frame.ends_with("len=0 FIN")), "{answers:?}");
    assert_eq!(answers.len(), streams as usize);
}

#[test]
fn l4_three_hundred_uploads_with_a_late_reader() {
    uploads_with_a_late_reader(300);
}

#[test]
fn l4_six_hundred_uploads_with_a_late_reader() {
    uploads_with_a_late_reader(600);
}

#[test]
fn l4_a_thousand_uploads_with_a_late_reader() {
    uploads_with_a_late_reader(1000);
}

#[test]
fn l4_windows_that_have_grown_take_nothing_from_streams_that_come_later() {
    // Few streams that compete for one budget of growth.
    let config = Config::builder()
        .max_inbound_streams(8)
        .max_outbound_streams(8)
        .session_receive_buffer(23 * 262_144);
    let mut peer = Peer::of_server(config.build().expect("valid"));
    peer.send(peer::syn(3, &[]));
    assert_eq!(peer.accept(), 3);
    for _ in 0..20 {
        let credit = peer.stream(3).stats().receive_credit;
        peer.send(peer::data(3, &vec![0; credit as usize]));
        assert_eq!(peer.read(3).0.len(), credit as usize);
        peer.receive();
    }
    let grown = peer.session.stats().window_growth;
    assert!((1..=2 * 262_144).contains(&grown), "{grown}");
    for n in 1..8 {
        let id = 3 + 2 * n;
        peer.send(peer::syn(id, &[]));
        assert_eq!(peer.accept(), id);
    }
    for n in 0..8 {
        let id = 3 + 2 * n;
        let credit = peer.stream(id).stats().receive_credit;
        peer.send(peer::data(id, &vec![0; credit as usize]));
    }
    peer.expect_silence();
}

/// An input that counts itself while it is alive.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}

/// Whichever way the reader goes: what it has not read is freed at once, and not copied before.
#[test]
fn w9_a_reader_dropped_with_60_mb_frees_it_at_once() {
    const UNREAD: usize = 60_000_000;
    let leave: [fn(&mut Peer); 3] = [
        |peer| peer.stream(3).release(),
        |peer| peer.stream(3).stop(),
        |peer| {
            peer.stream(3).reset(ErrorCode::STREAM_CANCELLED);
        },
    ];
    for leave in leave {
        let config = Config::builder().receive_window(64 << 20).overcommit(true);
        let mut peer = Peer::of_server(config.build().expect("valid"));
        peer.send(peer::syn(3, &[]));
        let alive = Arc::new(AtomicUsize::new(0));
        let mut sent = 0;
        while sent < UNREAD {
            let frame = peer::data(3, &[7; 60_000]);
            alive.fetch_add(frame.len(), Ordering::Relaxed);
            sent += 60_000;
            peer.send_bytes(Bytes::from_owner(Counted(frame, Arc::clone(&alive))));
        }
        assert_eq!(peer.accept(), 3);
        assert_eq!(peer.session.stats().receive_buffered, sent as u64);
        assert!(alive.load(Ordering::Relaxed) >= UNREAD, "it was copied");
        leave(&mut peer);
        assert_eq!(alive.load(Ordering::Relaxed), 0);
        assert_eq!(peer.session.stats().receive_buffered, 0);
        assert_eq!(peer.session.audit(), Ok(()));
        peer.expect_alive(5);
    }
}

#[test]
fn s4_who_waits_for_memory_is_told_when_it_may_be_there() {
    let least = Config::default().min_memory();
    let budget = MemoryBudget::new(2 * least + (100 << 10));
    let config = Config::builder().memory_budget(budget.clone()).build().expect("valid");
    let mut waits = Peer::of_client(config.clone());
    let mut holds = Peer::of_client(config);
    assert_eq!((waits.open(), holds.open()), (3, 3));
    assert_eq!(waits.session.open(), Err(OpenError::Blocked));
    assert!(!waits.events().contains(&Event::OpenReady));
    assert!(!waits.session.can_open());
    drop(holds);
    waits.pass(Duration::from_secs(1));
    assert!(waits.events().contains(&Event::OpenReady));
    assert_eq!(waits.open(), 5);
    assert!(budget.reserved() <= budget.limit());
}
