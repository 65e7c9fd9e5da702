//! On the core, in virtual time.

use std::time::Duration;

use muxado_proto::Config;
use muxado_tests::honest::{Leave, Load, Order, Pair, fast};
use muxado_tests::sim::Shape;

/// Runs a load between two ends with the same settings, and expects that nothing was refused.
fn run(config: &Config, load: Load, both: bool, limit: Duration) -> Pair {
    let mut pair = Pair::new([config.clone(), config.clone()], fast(), load, both);
    if let Err(what) = pair.run(limit) {
        panic!("{what}");
    }
    for side in [0, 1] {
        assert_eq!(pair.session(side).stats().streams_refused, 0, "by side {side}");
        assert_eq!(pair.session(side).audit(), Ok(()));
    }
    pair
}

fn defaults(load: Load, both: bool, limit: Duration) -> Pair {
    run(&Config::default(), load, both, limit)
}

#[test]
fn a_hundred_thousand_cancelled_downloads() {
    let leave = Some((100, Leave::Drop));
    let load = Load { at_once: 64, request: 1, answer: 2000, leave, ..Load::small(100_000) };
    let mut pair = defaults(load, false, Duration::from_secs(2));
    assert_eq!(pair.session(0).stats().streams_opened, 100_000);
}

#[test]
fn downloads_cancelled_with_most_of_the_answer_unsent() {
    // A transport that holds little.
    let narrow = Shape { capacity: 2000, ..fast() };
    for leave in [Leave::Drop, Leave::Reset] {
        let leave = Some((100, leave));
        let load = Load { at_once: 64, request: 1, answer: 20_000, leave, ..Load::small(5000) };
        let mut pair = Pair::new([Config::default(), Config::default()], narrow, load, true);
        assert_eq!(pair.run(Duration::from_secs(600)), Ok(()));
    }
}

#[test]
fn downloads_cancelled_by_a_reset_with_all_streams_in_use() {
    let leave = Some((100, Leave::Reset));
    let hold = Duration::from_millis(3);
    let load = Load { at_once: 1024, answer: 300_000, leave, hold, ..Load::small(5000) };
    defaults(load, true, Duration::from_secs(2));
}

#[test]
fn as_many_streams_as_allowed_with_slow_handlers() {
    for (think, hold) in [(0, 5), (5, 0), (5, 100)] {
        let [think, hold] = [think, hold].map(Duration::from_millis);
        let load = Load { at_once: 1024, think, hold, ..Load::small(5120) };
        let pair = defaults(load, true, Duration::from_secs(5));
        assert_eq!(pair.server(1).accepted, 5120);
    }
}

#[test]
fn a_thousand_streams_in_one_burst_from_either_end() {
    defaults(Load::small(1000), true, Duration::from_millis(10));
    let large = Load { request: 20_000, answer: 20_000, ..Load::small(1000) };
    defaults(large, true, Duration::from_secs(1));
}

#[test]
fn two_thousand_streams_given_up_at_once() {
    for leave in [Leave::Drop, Leave::Reset] {
        let leave = Some((1000, leave));
        let load = Load { at_once: 1000, answer: 200_000, leave, ..Load::small(3000) };
        defaults(load, true, Duration::from_secs(5));
    }
}

#[test]
fn ids_opened_and_abandoned_in_any_order() {
    for order in [Order::EvenThenOdd, Order::Abandoning(1), Order::Abandoning(7)] {
        defaults(Load { order, ..Load::small(1000) }, true, Duration::from_millis(100));
    }
    let config = Config::builder().max_inbound_streams(5000).max_outbound_streams(5000);
    let config = config.session_receive_buffer(3 << 30);
    let order = Order::EvenThenOdd;
    run(
        &config.build().expect("valid"),
        Load { order, ..Load::small(5000) },
        true,
        Duration::from_secs(1),
    );
}
