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
fn reason(closing: &Closing) -> CloseReason {
    closing.reason_after(CloseReason::Abandoned, CutBy::Time, 0)
}

#[test]
fn the_first_reason_of_the_end_stands() {
    let mut closing = Closing::new();
    assert!(closing.end(CloseReason::HeartbeatTimeout));
    assert!(!closing.end(CloseReason::TransportEof));
    assert_eq!(closing.reason(), Some(&CloseReason::HeartbeatTimeout));
    assert!(!closing.drain(CODE, Bytes::new(), NOW));
    assert!(!closing.drain_for_peer(NOW));
}

/// An end that is not graceful has cut something: what the peer still sends is not read, but only
/// counted.
#[test]
fn the_last_pad_is_awaited_only_after_a_graceful_end() {
    for reason in [local(NONE), remote(NONE, "bye")] {
        let mut closing = Closing::new();
        assert!(!closing.awaits_pad());
        assert!(closing.end(reason) && closing.awaits_pad());
        closing.on_late_go_away();
        closing.on_pad();
        assert!(closing.awaits_pad(), "the first pad says that no SYN follows");
        closing.on_pad();
        assert!(!closing.awaits_pad());
    }
    for reason in [local(CODE), remote(CODE, "disk full"), CloseReason::HeartbeatTimeout] {
        let mut closing = Closing::new();
        assert!(closing.end(reason) && !closing.awaits_pad());
    }
}

#[test]
fn a_peer_may_send_a_window_after_the_end_and_no_more() {
    let mut closing = Closing::new();
    for _ in 0..10 {
        closing.discard(100, 1000);
        assert!(closing.wants_input());
    }
    closing.discard(1, 1000);
    assert!(!closing.wants_input());
}

#[test]
fn a_reason_of_this_side_replaces_that_of_the_peer() {
    let mut closing = Closing::new();
    assert!(closing.on_go_away(NONE, "bye".into()));
    assert!(closing.drain_for_peer(NOW));
    assert!(!closing.refuses_streams());
    assert!(closing.drain(CODE, Bytes::new(), NOW));
    assert!(closing.refuses_streams());
    assert_eq!(reason(&closing), local(CODE));
}

#[test]
fn t4_a_later_go_away_makes_the_reason_worse_and_never_better() {
    let mut closing = Closing::new();
    assert!(closing.on_go_away(NONE, "bye".into()));
    assert!(closing.drain_for_peer(NOW));
    assert_eq!(reason(&closing), remote(NONE, "bye"));
    assert!(closing.on_go_away(CODE, "disk full".into()));
    assert_eq!(reason(&closing), remote(CODE, "disk full"));
    assert!(closing.on_go_away(NONE, "never mind".into()));
    assert!(closing.drain(NONE, Bytes::new(), NOW));
    assert_eq!(reason(&closing), remote(CODE, "disk full"));

    let mut closing = Closing::new();
    assert!(closing.drain(NONE, Bytes::new(), NOW));
    assert!(closing.on_go_away(CODE, "disk full".into()));
    assert_eq!(reason(&closing), remote(CODE, "disk full"));
    let mut closing = Closing::new();
    assert!(closing.drain(ErrorCode(77), Bytes::new(), NOW));
    assert!(closing.on_go_away(CODE, "disk full".into()));
    assert_eq!(reason(&closing), local(ErrorCode(77)));
}

#[test]
fn what_is_cut_is_told_unless_the_reason_is_an_error_already() {
    let cut = CloseReason::Cut { streams: 2, by: CutBy::TransportEof };
    let after = |closing: &Closing, streams| {
        closing.reason_after(CloseReason::TransportEof, CutBy::TransportEof, streams)
    };
    let mut closing = Closing::new();
    assert_eq!(after(&closing, 2), CloseReason::TransportEof);
    assert!(closing.drain(NONE, Bytes::new(), NOW));
    assert_eq!(after(&closing, 2), cut);
    assert_eq!(after(&closing, 0), local(NONE));
    let mut closing = Closing::new();
    assert!(closing.drain(CODE, Bytes::new(), NOW));
    assert_eq!(after(&closing, 2), local(CODE));
}

#[test]
fn an_orderly_end_is_announced_once_and_before_any_other() {
    let mut closing = Closing::new();
    assert!(closing.drain(CODE, "first".into(), NOW));
    closing.announce();
    closing.insist(ErrorCode::WRITE_TIMEOUT, "cut".into());
    assert_eq!(closing.take_due(), Some((CODE, "first".into())));
    closing.announce();
    assert_eq!(closing.take_due(), Some((ErrorCode::WRITE_TIMEOUT, "cut".into())));
    assert!(!closing.is_due());
    closing.insist(CODE, Bytes::new());
    assert!(closing.is_due());
}

#[test]
fn a_peer_may_send_a_few_go_aways() {
    let mut closing = Closing::new();
    for _ in 0..MAX_GO_AWAYS {
        assert!(closing.on_go_away(CODE, Bytes::new()));
    }
    assert!(!closing.on_go_away(CODE, Bytes::new()));
}

#[test]
fn a_drain_ends_when_nothing_moves_or_it_takes_too_long() {
    let config = Config::builder().announce_close(false).build().unwrap();
    let at = Timestamp::from_millis;
    let step = |closing: &Closing, millis| closing.drain_step(at(millis), &config, false);
    let mut closing = Closing::new();
    assert!(closing.drain(NONE, Bytes::new(), NOW));
    assert_eq!(step(&closing, 9_999), DrainStep::Wait(at(10_000)));
    closing.moved(at(9_000));
    assert_eq!(step(&closing, 10_000), DrainStep::Wait(at(19_000)));
    assert_eq!(step(&closing, 19_000), DrainStep::Cut);
    closing.moved(at(299_000));
    assert_eq!(step(&closing, 299_000), DrainStep::Wait(at(300_000)));
    assert_eq!(step(&closing, 300_000), DrainStep::Cut);
}

#[test]
fn a_close_is_announced_when_nothing_moves() {
    let config = Config::default();
    let at = Timestamp::from_millis;
    let step = |closing: &Closing, millis| closing.drain_step(at(millis), &config, false);
    let mut closing = Closing::new();
    assert!(closing.drain(NONE, Bytes::new(), NOW));
    closing.moved(at(50));
    assert_eq!(step(&closing, 100), DrainStep::Wait(at(150)));
    assert_eq!(step(&closing, 150), DrainStep::Announce);
    closing.announce();
    assert_eq!(step(&closing, 150), DrainStep::Wait(at(10_050)));
}

/// The limit on the whole drain comes before the announcement, which would start another wait.
#[test]
fn a_drain_that_moves_until_its_limit_is_cut_although_it_was_not_announced() {
    let config = Config::default();
    let at = Timestamp::from_millis;
    let mut closing = Closing::new();
    assert!(closing.drain(NONE, Bytes::new(), NOW));
    closing.moved(at(299_990));
    assert_eq!(closing.drain_step(at(299_999), &config, false), DrainStep::Wait(at(300_000)));
    assert_eq!(closing.drain_step(at(300_000), &config, false), DrainStep::Cut);
}

#[test]
fn a_peer_that_goes_away_and_leaves_nothing_open_has_the_session_finished() {
    let config = Config::default();
    let at = Timestamp::from_millis;
    let mut closing = Closing::new();
    assert!(closing.on_go_away(NONE, "bye".into()));
    assert!(closing.drain_for_peer(NOW));
    let step = |closing: &Closing, millis, idle| closing.drain_step(at(millis), &config, idle);
    assert_eq!(step(&closing, 9_999, true), DrainStep::Wait(at(10_000)));
    assert_eq!(step(&closing, 10_000, true), DrainStep::Finish);
    // Open streams have the time of a whole drain.
    assert_eq!(step(&closing, 10_000, false), DrainStep::Wait(at(300_000)));
    assert_eq!(step(&closing, 300_000, false), DrainStep::Cut);
    // What the transport does not take after that is cut.
    closing.refuse_streams();
    assert_eq!(step(&closing, 10_000, true), DrainStep::Cut);
}
