//! With the presets, between two ends of ours.

use std::time::Duration;

use muxado_proto::Config;
use muxado_tests::honest::{Leave, Load, Order, fast};

use crate::core::Case;

/// Runs a load with each preset, in both directions.
fn with_each(load: Load, closing: bool, limit: Duration) {
    for config in [Config::builder(), Config::for_go(), Config::for_ngrok()] {
        Case { config: &config, link: fast(), load, both: true, closing, limit }.run();
    }
}

#[test]
fn each_preset_opens_all_streams_in_one_burst() {
    with_each(Load::small(1000), false, Duration::from_secs(1));
}

#[test]
fn each_preset_cancels_downloads() {
    for leave in [Leave::Drop, Leave::Reset] {
        let leave = Some((100, leave));
        let load = Load { at_once: 64, request: 1, answer: 2000, leave, ..Load::small(5000) };
        with_each(load, false, Duration::from_secs(2));
    }
}

#[test]
fn each_preset_keeps_all_streams_open_with_slow_handlers() {
    let [think, hold] = [5, 100].map(Duration::from_millis);
    let load = Load { at_once: 1024, think, hold, ..Load::small(3000) };
    with_each(load, false, Duration::from_secs(10));
}

#[test]
fn each_preset_uploads_to_late_readers() {
    let late = Duration::from_secs(5);
    let load = Load { request: 200_000, late, ..Load::small(240) };
    with_each(load, false, Duration::from_secs(30));
}

#[test]
fn each_preset_gives_streams_up_and_abandons_ids() {
    let leave = Some((1000, Leave::Drop));
    let load = Load { at_once: 1000, answer: 200_000, leave, ..Load::small(2000) };
    with_each(load, false, Duration::from_secs(5));
    let load = Load { order: Order::Abandoning(7), ..Load::small(1000) };
    with_each(load, false, Duration::from_secs(1));
}

#[test]
fn each_preset_drains_at_both_ends() {
    let load = Load { request: 20_000, answer: 20_000, ..Load::small(60) };
    with_each(load, true, Duration::from_secs(5));
}
