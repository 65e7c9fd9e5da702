//! The short table for a README.

use crate::{
    contestants::Contestant,
    record::Record,
    report::{Style, put, ranged, table},
    runtime::Placement,
    summary::{Metric, events},
    workloads::{
        Workload,
        beside::{Beside, Small},
    },
};

/// The workloads of the short table for a README, and what each is.
fn highlights() -> Vec<(Workload, &'static str)> {
    let bulk = |streams, write| Workload::Bulk { streams, write };
    let beside = |small, bulk| Workload::Beside(Beside { small, bulk, both_ways: false });
    let (kib, mib) = (1024, 1024 * 1024);
    vec![
        (Workload::Request { inflight: 64 }, "request and response of 64 B, 64 at once"),
        (Workload::Request { inflight: 1 }, "the same, one at a time"),
        (Workload::PingPong, "ping-pong of 64 B"),
        (Workload::Burst, "1000 requests that begin at once, until all are answered"),
        (bulk(1, kib), "bulk, 1 stream, writes of 1 KiB"),
        (bulk(1, 64 * kib), "bulk, 1 stream, writes of 64 KiB"),
        (bulk(8, 64 * kib), "bulk, 8 streams, writes of 64 KiB"),
        (bulk(8, mib), "bulk, 8 streams, writes of 1 MiB"),
        (Workload::Unread, "bulk, 8 streams, while a ninth is full and unread"),
        (Workload::Link, "bulk, 1 stream over a link of 100 ms and 25 MB/s"),
        (beside(Small::Echo, 1), "8 B there and back beside a stream of bulk"),
        (beside(Small::Echo, 8), "8 B there and back beside 8 streams of bulk"),
        (Workload::Echo { streams: 1, payload: 1 }, "echo, 1 stream of 1 B"),
        (Workload::Echo { streams: 8, payload: mib.into() }, "echo, 8 streams of 1 MiB"),
        (Workload::Echo { streams: 64, payload: mib.into() }, "echo, 64 streams of 1 MiB"),
        (Workload::IdleStreams, "memory of an idle stream"),
        (Workload::IdleSessions { tcp: false }, "memory of an idle session, over a pipe"),
    ]
}

/// The short table for a README, of the first runtime.
pub(crate) fn render(record: &Record) -> String {
    let events = events(record);
    let mut rows = table(
        Style::Markdown,
        &["workload", "", "muxado-tokio", "muxado-smol", "TCP", "best of the peers"],
    );
    for (workload, what) in highlights() {
        let event = events
            .iter()
            .find(|event| (event.workload, event.placement) == (workload, Placement::Shared));
        let Some(event) = event else { continue };
        let figure = |who| ranged(event.spread(who));
        let peer = event
            .best_peer(Contestant::MuxadoTokio)
            .map_or_else(String::new, |(who, _)| format!("{} {who}", figure(who)));
        rows.add_row([
            what.to_owned(),
            Metric::of(workload).unit().to_owned(),
            figure(Contestant::MuxadoTokio),
            figure(Contestant::MuxadoSmol),
            figure(Contestant::Tcp),
            peer,
        ]);
    }
    let mut text = format!("Under {}, {}:\n\n", record.machine.congestion, record.began);
    put(&mut text, rows, 2);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::record;

    #[test]
    fn the_table_for_a_readme_names_the_best_peer() {
        let text = render(&record());
        assert!(text.starts_with("Under bbr, "), "{text}");
        assert!(text.contains("400 (400 – 400) go-yamux"), "{text}");
    }
}
