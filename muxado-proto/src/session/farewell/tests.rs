//! The reason of the end can change to an error and never back; and what the drain waits for.

use super::*;

const CODE: ErrorCode = ErrorCode::INTERNAL;
const NONE: ErrorCode = ErrorCode::NO_ERROR;
const NOW: Timestamp = Timestamp::ZERO;

fn local(code: ErrorCode) -> CloseReason {
    CloseReason::Local { code }
}

fn remote(code: ErrorCode, text: &'static str) -> CloseReason {
    CloseReason::Remote { code, text: text.into() }
}

/// The reason of the end if nothing is cut.
fn reason(farewell: &Farewell) -> CloseReason {
    farewell.reason_after(CloseReason::Abandoned, CutBy::Time, 0)
}

#[test]
fn the_first_reason_of_the_end_stands() {
    let mut farewell = Farewell::new();
    assert!(farewell.end(CloseReason::HeartbeatTimeout));
    assert!(!farewell.end(CloseReason::TransportEof));
    assert_eq!(farewell.reason(), Some(&CloseReason::HeartbeatTimeout));
    assert!(!farewell.drain(CODE, Bytes::new(), NOW));
    assert!(!farewell.drain_for_peer(NOW));
}

/// An end that is not graceful has cut something: what the peer still sends is not read, but only
/// counted.
#[test]
fn the_last_pad_is_awaited_only_after_a_graceful_end() {
    for reason in [local(NONE), remote(NONE, "bye")] {
        let mut farewell = Farewell::new();
        assert!(!farewell.awaits_pad());
        assert!(farewell.end(reason) && farewell.awaits_pad());
        farewell.on_late_go_away();
        farewell.on_pad();
        assert!(farewell.awaits_pad(), "the first pad says that no SYN follows");
        farewell.on_pad();
        assert!(!farewell.awaits_pad());
    }
    for reason in [local(CODE), remote(CODE, "disk full"), CloseReason::HeartbeatTimeout] {
        let mut farewell = Farewell::new();
        assert!(farewell.end(reason) && !farewell.awaits_pad());
    }
}

#[test]
fn a_peer_may_send_a_window_after_the_end_and_no_more() {
    let mut farewell = Farewell::new();
    for _ in 0..10 {
        farewell.discard(100, 1000);
        assert!(farewell.wants_input());
    }
    farewell.discard(1, 1000);
    assert!(!farewell.wants_input());
}

#[test]
fn a_reason_of_this_side_replaces_that_of_the_peer() {
    let mut farewell = Farewell::new();
    assert!(farewell.on_go_away(NONE, "bye".into()));
    assert!(farewell.drain_for_peer(NOW));
    assert!(!farewell.refuses_streams());
    assert!(farewell.drain(CODE, Bytes::new(), NOW));
    assert!(farewell.refuses_streams());
    assert_eq!(reason(&farewell), local(CODE));
}

#[test]
fn t4_a_later_go_away_makes_the_reason_worse_and_never_better() {
    let mut farewell = Farewell::new();
    assert!(farewell.on_go_away(NONE, "bye".into()));
    assert!(farewell.drain_for_peer(NOW));
    assert_eq!(reason(&farewell), remote(NONE, "bye"));
    assert!(farewell.on_go_away(CODE, "disk full".into()));
    assert_eq!(reason(&farewell), remote(CODE, "disk full"));
    assert!(farewell.on_go_away(NONE, "never mind".into()));
    assert!(farewell.drain(NONE, Bytes::new(), NOW));
    assert_eq!(reason(&farewell), remote(CODE, "disk full"));

    let mut farewell = Farewell::new();
    assert!(farewell.drain(NONE, Bytes::new(), NOW));
    assert!(farewell.on_go_away(CODE, "disk full".into()));
    assert_eq!(reason(&farewell), remote(CODE, "disk full"));
    let mut farewell = Farewell::new();
    assert!(farewell.drain(ErrorCode(77), Bytes::new(), NOW));
    assert!(farewell.on_go_away(CODE, "disk full".into()));
    assert_eq!(reason(&farewell), local(ErrorCode(77)));
}

#[test]
fn what_is_cut_is_told_unless_the_reason_is_an_error_already() {
    let cut = CloseReason::Cut { streams: 2, by: CutBy::TransportEof };
    let after = |farewell: &Farewell, streams| {
        farewell.reason_after(CloseReason::TransportEof, CutBy::TransportEof, streams)
    };
    let mut farewell = Farewell::new();
    assert_eq!(after(&farewell, 2), CloseReason::TransportEof);
    assert!(farewell.drain(NONE, Bytes::new(), NOW));
    assert_eq!(after(&farewell, 2), cut);
    assert_eq!(after(&farewell, 0), local(NONE));
    let mut farewell = Farewell::new();
    assert!(farewell.drain(CODE, Bytes::new(), NOW));
    assert_eq!(after(&farewell, 2), local(CODE));
}

#[test]
fn an_orderly_end_is_announced_once_and_before_any_other() {
    let mut farewell = Farewell::new();
    assert!(farewell.drain(CODE, "first".into(), NOW));
    farewell.announce();
    farewell.insist(ErrorCode::WRITE_TIMEOUT, "cut".into());
    assert_eq!(farewell.take_due(), Some((CODE, "first".into())));
    farewell.announce();
    assert_eq!(farewell.take_due(), Some((ErrorCode::WRITE_TIMEOUT, "cut".into())));
    assert!(!farewell.is_due());
    farewell.insist(CODE, Bytes::new());
    assert!(farewell.is_due());
}

#[test]
fn a_peer_may_send_a_few_go_aways() {
    let mut farewell = Farewell::new();
    for _ in 0..MAX_GO_AWAYS {
        assert!(farewell.on_go_away(CODE, Bytes::new()));
    }
    assert!(!farewell.on_go_away(CODE, Bytes::new()));
}

#[test]
fn a_drain_ends_when_nothing_moves_or_it_takes_too_long() {
    let config = Config::builder().announce_close(false).build().unwrap();
    let at = Timestamp::from_millis;
    let step = |farewell: &Farewell, millis| farewell.drain_step(at(millis), &config, false);
    let mut farewell = Farewell::new();
    assert!(farewell.drain(NONE, Bytes::new(), NOW));
    assert_eq!(step(&farewell, 9_999), DrainStep::Wait(at(10_000)));
    farewell.moved(at(9_000));
    assert_eq!(step(&farewell, 10_000), DrainStep::Wait(at(19_000)));
    assert_eq!(step(&farewell, 19_000), DrainStep::Cut);
    farewell.moved(at(299_000));
    assert_eq!(step(&farewell, 299_000), DrainStep::Wait(at(300_000)));
    assert_eq!(step(&farewell, 300_000), DrainStep::Cut);
}

#[test]
fn a_close_is_announced_when_nothing_moves() {
    let config = Config::default();
    let at = Timestamp::from_millis;
    let step = |farewell: &Farewell, millis| farewell.drain_step(at(millis), &config, false);
    let mut farewell = Farewell::new();
    assert!(farewell.drain(NONE, Bytes::new(), NOW));
    farewell.moved(at(50));
    assert_eq!(step(&farewell, 100), DrainStep::Wait(at(150)));
    assert_eq!(step(&farewell, 150), DrainStep::Announce);
    farewell.announce();
    assert_eq!(step(&farewell, 150), DrainStep::Wait(at(10_050)));
}

/// The limit on the whole drain comes before the announcement, which would start another wait.
#[test]
fn a_drain_that_moves_until_its_limit_is_cut_although_it_was_not_announced() {
    let config = Config::default();
    let at = Timestamp::from_millis;
    let mut farewell = Farewell::new();
    assert!(farewell.drain(NONE, Bytes::new(), NOW));
    farewell.moved(at(299_990));
    assert_eq!(farewell.drain_step(at(299_999), &config, false), DrainStep::Wait(at(300_000)));
    assert_eq!(farewell.drain_step(at(300_000), &config, false), DrainStep::Cut);
}

#[test]
fn a_peer_that_goes_away_and_leaves_nothing_open_has_the_session_finished() {
    let config = Config::default();
    let at = Timestamp::from_millis;
    let mut farewell = Farewell::new();
    assert!(farewell.on_go_away(NONE, "bye".into()));
    assert!(farewell.drain_for_peer(NOW));
    let step = |farewell: &Farewell, millis, idle| farewell.drain_step(at(millis), &config, idle);
    assert_eq!(step(&farewell, 9_999, true), DrainStep::Wait(at(10_000)));
    assert_eq!(step(&farewell, 10_000, true), DrainStep::Finish);
    // Open streams have the time of a whole drain.
    assert_eq!(step(&farewell, 10_000, false), DrainStep::Wait(at(300_000)));
    assert_eq!(step(&farewell, 300_000, false), DrainStep::Cut);
    // What the transport does not take after that is cut.
    farewell.refuse_streams();
    assert_eq!(step(&farewell, 10_000, true), DrainStep::Cut);
}
