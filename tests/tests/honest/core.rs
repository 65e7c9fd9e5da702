//! On the core, in virtual time.

use std::time::Duration;

use muxado_proto::{Config, ConfigBuilder, Heartbeat, MemoryBudget};
use muxado_tests::honest::{Hostile, Leave, Load, Order, Pair, fast};
use muxado_tests::sim::Shape;

/// A load between two ends with the same settings.
pub struct Case<'a> {
    pub config: &'a ConfigBuilder,
    pub link: Shape,
    pub load: Load,
    /// Both ends open streams.
    pub both: bool,
    /// Both ends close when all streams are open.
    pub closing: bool,
    /// In virtual time.
    pub limit: Duration,
}

impl Case<'_> {
    /// Runs it, and again beside a hostile peer, and expects that nothing was refused.
    pub fn run(self) {
        for hostile in [false, true] {
            let mut pair = self.pair(hostile);
            if let Err(what) = pair.run(self.limit) {
                panic!("{}{what}", if hostile { "beside a hostile peer: " } else { "" });
            }
            let streams = u64::from(self.load.streams);
            for side in [0, 1] {
                let stats = pair.session(side).stats();
                assert_eq!((stats.streams_refused, stats.streams_cut), (0, 0), "by side {side}");
                let accepted = if side == 1 || self.both { streams } else { 0 };
                assert_eq!(u64::from(pair.server(side).accepted), accepted, "by side {side}");
            }
        }
    }

    fn pair(&self, hostile: bool) -> Pair {
        let config = self.config.clone().build().expect("valid");
        let mut server = config.clone();
        if hostile {
            server = with_hostile_neighbour(&config);
        }
        let mut pair = Pair::new([config, server.clone()], self.link, self.load, self.both);
        if self.closing {
            pair = pair.closing_at_both_ends();
        }
        if hostile { pair.beside(Hostile::new(server)) } else { pair }
    }
}

/// The settings of a server whose process has memory for two sessions; the other one is that of a
/// hostile peer, which uses all that it is allowed.
fn with_hostile_neighbour(config: &Config) -> Config {
    let budget = MemoryBudget::new(2 * config.max_memory());
    config.clone().into_builder().memory_budget(budget).build().expect("valid")
}

fn run(config: &ConfigBuilder, load: Load, both: bool, limit: Duration) {
    Case { config, link: fast(), load, both, closing: false, limit }.run();
}

fn defaults(load: Load, both: bool, limit: Duration) {
    run(&Config::builder(), load, both, limit);
}

#[test]
fn a_hundred_thousand_cancelled_downloads() {
    let leave = Some((100, Leave::Drop));
    let load = Load { at_once: 64, request: 1, answer: 2000, leave, ..Load::small(100_000) };
    defaults(load, false, Duration::from_secs(2));
}

#[test]
fn downloads_cancelled_with_most_of_the_answer_unsent() {
    // A transport that holds little.
    let link = Shape { capacity: 2000, ..fast() };
    for leave in [Leave::Drop, Leave::Reset] {
        let leave = Some((100, leave));
        let load = Load { at_once: 64, request: 1, answer: 20_000, leave, ..Load::small(1000) };
        let config = &Config::builder();
        let limit = Duration::from_secs(600);
        Case { config, link, load, both: true, closing: false, limit }.run();
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
        defaults(load, true, Duration::from_secs(5));
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
    run(&config, Load { order, ..Load::small(5000) }, true, Duration::from_secs(1));
}

#[test]
fn a_thousand_uploads_with_late_readers() {
    let late = Duration::from_secs(5);
    let load = Load { request: 200_000, late, ..Load::small(1000) };
    defaults(load, false, Duration::from_secs(6));
}

/// Each end has its own idea of how long a drain may stand still, and take in all. Bytes move all the
/// time, so neither cuts anything.
#[test]
fn a_drain_at_both_ends_with_different_limits() {
    let config = Config::builder();
    let hasty = config.clone().drain_timeout(Duration::from_secs(1)).build().expect("valid");
    let patient = config.drain_timeout(Duration::from_secs(60)).build().expect("valid");
    let link = Shape { bandwidth: 1000, ..fast() };
    let load = Load { request: 100_000, answer: 100_000, ..Load::small(100) };
    for [client, server] in [[&hasty, &patient], [&patient, &hasty]] {
        for hostile in [false, true] {
            let server = if hostile { with_hostile_neighbour(server) } else { server.clone() };
            let configs = [client.clone(), server.clone()];
            let mut pair = Pair::new(configs, link, load, true).closing_at_both_ends();
            if hostile {
                pair = pair.beside(Hostile::new(server));
            }
            assert_eq!(pair.run(Duration::from_secs(60)), Ok(()), "hostile: {hostile}");
            // Twenty megabytes each way, at a megabyte a second.
            assert!(pair.elapsed() > Duration::from_secs(20), "{:?}", pair.elapsed());
            assert_eq!([0, 1].map(|side| pair.session(side).stats().streams_cut), [0; 2]);
        }
    }
}

/// From 5 kB/s to 1 GB/s, with queues from 4 KiB to 4 MiB.
#[test]
fn uploads_over_every_link_with_heartbeats() {
    let config = &Config::builder().typed(true).heartbeat(Some(Heartbeat::default()));
    for rate in [5, 17, 125, 1250, 12_500, 125_000, 1_000_000] {
        for queue in [4, 16, 64, 256, 1024, 4096] {
            let queue = queue << 10;
            let latency = Duration::from_millis(10);
            let link = Shape { capacity: queue, bandwidth: rate, latency, ..fast() };
            // For some minutes at the slower rates.
            let total = (2 << 20).min(100_000 * rate);
            let request = usize::try_from(total / 4).expect("it fits");
            let load = Load { request, ..Load::small(4) };
            // What the queue holds is under way for the latency.
            let seconds = total as f64 / (1000.0 * rate as f64).min(queue as f64 * 100.0);
            let limit = Duration::from_secs_f64(seconds * 1.25 + 2.0);
            Case { config, link, load, both: false, closing: false, limit }.run();
        }
    }
}
