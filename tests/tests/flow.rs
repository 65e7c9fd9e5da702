//! Receive windows that grow.

use std::time::Duration;

use muxado_proto::{Config, ConfigBuilder};
use muxado_tests::peer::{self, Peer};

const WINDOW: u32 = 262_144;

fn with_stream(config: ConfigBuilder) -> Peer {
    let mut peer = Peer::of_server(config.build().expect("valid"));
    peer.send(peer::syn(3, b""));
    assert_eq!(peer.accept(), 3);
    peer
}

fn window(peer: &mut Peer) -> u32 {
    peer.stream(3).stats().receive_window
}

/// The peer uses all its credit, and the reader keeps up.
fn use_up_credit(peer: &mut Peer, id: u32) {
    let mut credit = peer.stream(id).stats().receive_credit as usize;
    while credit > 0 {
        let count = credit.min(8192);
        peer.send(peer::data(id, &vec![0; count]));
        assert_eq!(peer.read(id).0.len(), count);
        credit -= count;
    }
    peer.receive();
}

/// The peer uses all its credit, receives no grant in the meantime, and continues when it has one.
fn run_out_of_credit(peer: &mut Peer, id: u32) {
    use_up_credit(peer, id);
    peer.pass(Duration::from_millis(10));
    peer.receive();
    peer.send(peer::data(id, b"1"));
    assert_eq!(peer.read(id).0, b"1");
    peer.receive();
}

/// The peer sends frames of one size, with pauses, and the reader keeps up.
fn flow(peer: &mut Peer, frames: usize, size: usize, pause: Duration) {
    for _ in 0..frames {
        peer.send(peer::data(3, &vec![0; size]));
        assert_eq!(peer.read(3).0.len(), size);
        peer.pass(pause);
        peer.receive();
    }
}

#[test]
fn a_window_grows_when_the_peer_waited_for_credit_and_the_reader_had_drained() {
    let mut peer = with_stream(Config::builder());
    run_out_of_credit(&mut peer, 3);
    let grown = window(&mut peer);
    assert_eq!(grown, 2 * WINDOW);
    // The credit is granted: the peer may now send that much.
    assert_eq!(peer.stream(3).stats().receive_credit, grown);
    assert_eq!(peer.session.stats().window_growth, u64::from(WINDOW));
}

#[test]
fn a_window_does_not_grow_for_a_reader_that_is_behind() {
    let mut peer = with_stream(Config::builder());
    for _ in 0..100 {
        let credit = peer.stream(3).stats().receive_credit;
        peer.send(peer::data(3, &vec![0; credit as usize]));
        // It reads most of the data, never all.
        let held = peer.stream(3).stats().receive_buffered as usize;
        let mut buf = vec![0; held - 1];
        assert_eq!(peer.stream(3).read(&mut buf), Ok(held - 1));
        peer.receive();
    }
    assert_eq!(window(&mut peer), WINDOW);
}

#[test]
fn a_window_does_not_grow_while_the_peer_has_credit() {
    let mut peer = with_stream(Config::builder());
    flow(&mut peer, 1000, 10_007, Duration::from_millis(5));
    assert_eq!(window(&mut peer), WINDOW);
}

#[test]
fn windows_grow_a_little_on_a_short_link() {
    let mut peer = with_stream(Config::builder());
    peer.send(peer::syn(5, b""));
    peer.accept();
    // Full frames end at every limit, because the limits are multiples of their size.
    for _ in 0..100 {
        for id in [3, 5] {
            use_up_credit(&mut peer, id);
            peer.pass(Duration::from_micros(400));
        }
    }
    let sizes = [3, 5].map(|id| peer.stream(id).stats().receive_window);
    assert_eq!(sizes.iter().sum::<u32>(), 5 * WINDOW);
    assert_eq!(peer.session.stats().window_growth, u64::from(3 * WINDOW));
}

#[test]
fn small_windows_stay_small_on_a_short_link() {
    for first in [1, 3, 1000] {
        let mut peer = with_stream(Config::builder().receive_window(first));
        for _ in 0..100 {
            use_up_credit(&mut peer, 3);
            peer.pass(Duration::from_micros(400));
        }
        assert_eq!(window(&mut peer), 4 * first);
    }
}

#[test]
fn a_window_does_not_grow_for_a_peer_that_has_credit_left() {
    // Its frames end at every limit, but it has received the next grant before.
    let mut peer = with_stream(Config::builder());
    flow(&mut peer, 100, 16_384, Duration::from_micros(400));
    assert_eq!(window(&mut peer), WINDOW);
}

#[test]
fn a_window_does_not_grow_for_a_reader_that_comes_late() {
    let mut peer = with_stream(Config::builder());
    for _ in 0..10 {
        peer.send(peer::data(3, &[0; WINDOW as usize]));
        peer.pass(Duration::from_secs(1));
        assert_eq!(peer.read(3).0.len(), WINDOW as usize);
        peer.receive();
    }
    assert_eq!(window(&mut peer), WINDOW);
}

#[test]
fn a_window_does_not_grow_when_its_reader_goes_away() {
    for release in [false, true] {
        let mut peer = with_stream(Config::builder());
        // The peer has waited, but the reader goes away before it reads again.
        use_up_credit(&mut peer, 3);
        peer.send(peer::data(3, &[0; WINDOW as usize]));
        if release {
            peer.stream(3).release()
        } else {
            peer.stream(3).stop()
        }
        assert_eq!(peer.session.stats().window_growth, 0);
        assert_eq!(peer.hear().first(), Some(&format!("WNDINC id=3 inc={WINDOW}")));
    }
}

#[test]
fn a_stream_that_was_read_to_its_end_gives_its_growth_back() {
    let mut peer = with_stream(Config::builder());
    for _ in 0..3 {
        use_up_credit(&mut peer, 3);
    }
    assert!(peer.session.stats().window_growth > 0);
    peer.send(peer::data(3, b"unread"));
    peer.send(peer::fin(3));
    assert!(peer.session.stats().window_growth > 0);
    assert_eq!(peer.read(3).0, b"unread");
    assert_eq!(peer.session.stats().window_growth, 0);
}

#[test]
fn windows_that_grew_on_a_short_link_cost_no_stream_its_life() {
    let config = Config::builder()
        .session_receive_buffer(4 * u64::from(WINDOW))
        .overcommit(true)
        .max_inbound_streams(4);
    let mut peer = with_stream(config);
    for _ in 0..100 {
        use_up_credit(&mut peer, 3);
    }
    for id in [5, 7, 9] {
        peer.send(peer::syn(id, b""));
        peer.accept();
    }
    // One window less than all: the growth is taken from the rest.
    for id in [3, 5, 7] {
        let credit = peer.stream(id).stats().receive_credit;
        peer.send(peer::data(id, &vec![0; credit as usize]));
    }
    peer.send(peer::data(9, &vec![0; WINDOW as usize * 15 / 16]));
    peer.expect_silence();
}

#[test]
fn a_window_grows_up_to_its_limit() {
    let mut peer = with_stream(Config::builder().max_receive_window(1_000_000));
    for _ in 0..10 {
        run_out_of_credit(&mut peer, 3);
        assert!(window(&mut peer) <= 1_000_000);
    }
    assert_eq!(window(&mut peer), 1_000_000);
}

#[test]
fn windows_grow_within_the_budget_of_the_session_and_give_it_back() {
    let mut peer = with_stream(Config::builder().window_budget(WINDOW + 1000));
    for id in [5, 7] {
        peer.send(peer::syn(id, b""));
        peer.accept();
    }
    for id in [3, 5, 7] {
        run_out_of_credit(&mut peer, id);
    }
    let sizes = [3, 5, 7].map(|id| peer.stream(id).stats().receive_window);
    assert_eq!(sizes, [2 * WINDOW, WINDOW + 1000, WINDOW]);
    peer.stream(3).release();
    peer.receive();
    assert_eq!(peer.session.stats().window_growth, 1000);
    run_out_of_credit(&mut peer, 7);
    assert_eq!(peer.stream(7).stats().receive_window, 2 * WINDOW);
    for id in [5, 7] {
        peer.stream(id).reset(6.into());
        peer.stream(id).release();
    }
    peer.receive();
    assert_eq!(peer.session.stats().window_growth, 0);
}

#[test]
fn windows_that_grow_leave_room_for_the_others() {
    // After they have grown, nothing is read, and the peer fills what it was granted.
    let mut peer = with_stream(
        Config::builder().session_receive_buffer(4 * u64::from(WINDOW)).overcommit(true),
    );
    for _ in 0..10 {
        run_out_of_credit(&mut peer, 3);
    }
    peer.pass(Duration::from_millis(10));
    peer.receive();
    assert_eq!(peer.session.stats().window_growth, u64::from(2 * WINDOW));
    peer.send(peer::syn(5, b""));
    peer.accept();
    for id in [3, 5] {
        let credit = peer.stream(id).stats().receive_credit;
        peer.send(peer::data(id, &vec![0; credit as usize]));
    }
    peer.expect_silence();
    assert_eq!(peer.session.stats().receive_buffered, u64::from(4 * WINDOW));
}

#[test]
fn windows_shrink_when_more_streams_rely_on_theirs() {
    let mut peer = with_stream(
        Config::builder().session_receive_buffer(4 * u64::from(WINDOW)).overcommit(true),
    );
    for _ in 0..10 {
        run_out_of_credit(&mut peer, 3);
    }
    assert_eq!(peer.session.stats().window_growth, u64::from(2 * WINDOW));
    for id in [5, 7, 9] {
        peer.send(peer::syn(id, b""));
        peer.accept();
    }
    run_out_of_credit(&mut peer, 3);
    peer.pass(Duration::from_millis(10));
    peer.receive();
    assert_eq!((window(&mut peer), peer.session.stats().window_growth), (WINDOW, 0));
    // All of them together fit, to the byte.
    for id in [3, 5, 7, 9] {
        let credit = peer.stream(id).stats().receive_credit;
        assert_eq!(credit, WINDOW);
        peer.send(peer::data(id, &vec![0; credit as usize]));
    }
    peer.expect_silence();
    assert_eq!(peer.session.stats().receive_buffered, u64::from(4 * WINDOW));
}

#[test]
fn growth_can_be_switched_off() {
    let mut peer = with_stream(Config::builder().auto_tune(false));
    for _ in 0..20 {
        run_out_of_credit(&mut peer, 3);
    }
    assert_eq!(window(&mut peer), WINDOW);
}

#[test]
fn a_grown_window_is_granted_to_the_byte() {
    let mut peer = with_stream(Config::builder());
    run_out_of_credit(&mut peer, 3);
    let credit = peer.stream(3).stats().receive_credit;
    peer.send(peer::data(3, &vec![0; credit as usize]));
    peer.expect_silence();
    peer.send(peer::data(3, b"1"));
    assert_eq!(peer.hear().last().map(String::as_str), Some("RST id=3 code=3"));
}

#[test]
fn credit_is_conserved_to_the_byte() {
    let mut peer = with_stream(Config::builder().auto_tune(false));
    let (mut credit, mut sent, mut read) = (u64::from(WINDOW), 0u64, 0u64);
    for n in 1u64..3000 {
        let count = (n * 7919 % 9000).min(credit);
        peer.send(peer::data(3, &vec![0; usize::try_from(count).expect("small")]));
        (sent, credit) = (sent + count, credit - count);
        let mut buf = vec![0; usize::try_from(n * 104_729 % 9000).expect("small")];
        read += peer.stream(3).read(&mut buf).unwrap_or(0) as u64;
        peer.pass(Duration::from_millis(n % 4));
        credit += peer.receive().iter().map(|frame| u64::from(frame.word(0))).sum::<u64>();
        assert_eq!(credit, u64::from(peer.stream(3).stats().receive_credit));
        assert!(credit + (sent - read) <= u64::from(WINDOW));
    }
    read += peer.read(3).0.len() as u64;
    credit += peer.receive().iter().map(|frame| u64::from(frame.word(0))).sum::<u64>();
    peer.pass(Duration::from_millis(5));
    credit += peer.receive().iter().map(|frame| u64::from(frame.word(0))).sum::<u64>();
    assert_eq!((credit, read), (u64::from(WINDOW), sent));
}
