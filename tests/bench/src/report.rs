//! Tables.

use std::{collections::BTreeSet, fmt::Write as _};

use comfy_table::{CellAlignment, Table, presets};
use strum::IntoEnumIterator as _;

use crate::{
    contestants::Contestant,
    goals,
    limits::{self, Limits},
    record::Record,
    runtime::Placement,
    summary::{Event, Metric, Spread, Standing, events},
    workloads::{
        Workload,
        explain::{explain, raised},
    },
};

/// For whom the tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Somebody at a terminal.
    Terminal,
    /// A Markdown document.
    Markdown,
}

/// All tables of a record.
pub(crate) fn render(record: &Record, style: Style) -> String {
    let events = events(record);
    let mut text = head(record);
    for ours in [Contestant::MuxadoTokio, Contestant::MuxadoSmol] {
        goal_table(&mut text, style, record, &events, ours);
    }
    for placement in [Placement::Shared, Placement::Split] {
        let here: Vec<&Event> = events.iter().filter(|e| e.placement == placement).collect();
        if here.is_empty() {
            continue;
        }
        section(
            &mut text,
            match placement {
                Placement::Shared => "One multi-thread runtime of two workers",
                Placement::Split => "Each end on a current-thread runtime of its own",
            },
        );
        for event in &here {
            if !matches!(event.workload, Workload::Echo { .. }) {
                event_table(&mut text, style, event, record.machine.limits);
            }
        }
        let payloads: BTreeSet<u64> = here
            .iter()
            .filter_map(|event| match event.workload {
                Workload::Echo { payload, .. } => Some(payload),
                _ => None,
            })
            .collect();
        for payload in payloads {
            grid(&mut text, style, &here, payload, record.machine.limits);
        }
    }
    core_table(&mut text, style, record);
    text
}

fn section(text: &mut String, title: &str) {
    write_line(text, format_args!("\n## {title}\n"));
}

fn write_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string takes any text");
}

fn head(record: &Record) -> String {
    let mut text = String::new();
    let machine = &record.machine;
    let versions: Vec<_> =
        record.versions.iter().map(|(package, version)| format!("{package} {version}")).collect();
    let steal = Spread::of(record.samples.iter().map(|sample| sample.noise.steal).collect());
    write_line(
        &mut text,
        format_args!(
            "{}, {:.0} minutes: `muxado-bench {}`.",
            record.began,
            (record.took / 60.0).ceil(),
            record.command
        ),
    );
    write_line(
        &mut text,
        format_args!(
            "{}, {} cores, {:.0} GiB, {}.",
            machine.cpu,
            machine.cores,
            machine.memory as f64 / f64::from(1 << 30),
            machine.kernel
        ),
    );
    if !machine.congestion.is_empty() {
        write_line(&mut text, format_args!("Congestion control: {}.", machine.congestion));
    }
    write_line(&mut text, format_args!("{}.", versions.join(", ")));
    let apart = record.samples.iter().filter_map(|sample| sample.noise.distance);
    if let Some(apart) = Spread::of(apart.collect()) {
        write_line(
            &mut text,
            format_args!(
                "From the first CPU to the second and back: {:.0} ns in the median sample, {:.0} to \
                 {:.0} ns in all. Where two threads work on one connection it shows in the figures.",
                apart.median, apart.min, apart.max
            ),
        );
    }
    if let Some(steal) = steal {
        write_line(
            &mut text,
            format_args!(
                "CPU time taken by the hypervisor: {:.1} % in the median sample, {:.1} % in the worst.",
                steal.median, steal.max
            ),
        );
    }
    text
}

/// An empty table.
pub(crate) fn table(style: Style, header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(match style {
        Style::Terminal => presets::UTF8_FULL_CONDENSED,
        Style::Markdown => presets::ASCII_MARKDOWN,
    });
    table.set_header(header);
    table
}

/// Writes a table; all columns but the first `left` are aligned to the right.
pub(crate) fn put(text: &mut String, mut table: Table, left: usize) {
    for (at, column) in table.column_iter_mut().enumerate() {
        if at >= left {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    write_line(text, format_args!("{table}"));
}

fn goal_table(
    text: &mut String,
    style: Style,
    record: &Record,
    events: &[Event],
    ours: Contestant,
) {
    let goals = goals::judge(events, &record.machine.congestion, ours);
    if goals.is_empty() {
        return;
    }
    section(text, &format!("Goals, {ours}"));
    let mut rows = table(style, &["workload", "goal", "seen", "missed by"]);
    for goal in goals {
        rows.add_row([
            goal.what,
            goal.wanted,
            goal.seen,
            goal.missed
                .map_or_else(|| "met".to_owned(), |by| format!("{:.0} %", (by * 100.0).ceil())),
        ]);
    }
    put(text, rows, 1);
}

fn event_table(text: &mut String, style: Style, event: &Event, limits: Option<Limits>) {
    let metric = Metric::of(event.workload);
    let apart = event.distance.map_or_else(String::new, |apart| {
        format!(" CPUs {:.0} ({:.0} – {:.0}) ns apart.", apart.median, apart.min, apart.max)
    });
    let sentence = explain(event.workload);
    write_line(
        text,
        format_args!(
            "\n### {}\n\n{sentence}.{}{apart}\n\nThe limit: {}\n",
            event.workload,
            raised(event.workload),
            limits::of(event.workload, limits)
        ),
    );
    let bulk = matches!(event.workload, Workload::Beside(_));
    let cpu = if metric == Metric::Throughput || bulk { "CPU s/GiB" } else { "CPU µs" };
    let mut header =
        vec!["contestant", metric.unit(), "least – greatest", "to TCP", "to best peer"];
    let resident = metric == Metric::Resident;
    let latency = event.standings.iter().any(|standing| standing.p99.is_some());
    let calls = event.standings.iter().any(|standing| standing.calls.is_some());
    if !resident {
        header.push(cpu);
    }
    if latency {
        header.push("p99 µs");
    }
    let also: BTreeSet<&str> = event
        .standings
        .iter()
        .flat_map(|standing| standing.also.keys())
        .map(String::as_str)
        .collect();
    header.extend(&also);
    if calls {
        header.push("calls");
    }
    header.push("");
    let mut rows = table(style, &header);
    for standing in &event.standings {
        let name = standing.contestant.to_string();
        let best = event.is_best(standing.contestant);
        let mut row = vec![marked(style, best, name)];
        row.extend(values(event, metric, standing));
        let optional =
            |shown: bool, value: Option<f64>| shown.then(|| value.map_or_else(String::new, number));
        row.extend(optional(!resident, standing.cpu));
        row.extend(latency.then(|| ranged(standing.p99)));
        row.extend(also.iter().map(|name| ranged(standing.also.get(*name).copied())));
        row.extend(optional(calls, standing.calls));
        row.push(standing.note.clone().unwrap_or_default());
        rows.add_row(row);
    }
    put(text, rows, 1);
}

/// A median with the least and the greatest.
pub(crate) fn ranged(spread: Option<Spread>) -> String {
    spread.map_or_else(String::new, |s| {
        format!("{} ({} – {})", number(s.median), number(s.min), number(s.max))
    })
}

/// The figure, its spread, and its ratios.
fn values(event: &Event, metric: Metric, standing: &Standing) -> [String; 4] {
    let Some(value) = standing.value else {
        return ["–", "", "", ""].map(str::to_owned);
    };
    let ratio = |reference: Option<f64>| {
        reference.map_or_else(String::new, |r| format!("{:.2} ×", metric.ratio(value.median, r)))
    };
    [
        number(value.median),
        format!("{} – {}", number(value.min), number(value.max)),
        ratio(event.raw(standing.contestant)),
        ratio(event.best_peer(standing.contestant).map(|(_, median)| median)),
    ]
}

/// The cells of the echo grid with one payload.
fn grid(text: &mut String, style: Style, events: &[&Event], wanted: u64, limits: Option<Limits>) {
    let cells: Vec<&Event> = events
        .iter()
        .copied()
        .filter(
            |event| matches!(event.workload, Workload::Echo { payload, .. } if payload == wanted),
        )
        .collect();
    let Some(&first) = cells.first() else { return };
    let metric = Metric::of(first.workload);
    write_line(
        text,
        format_args!(
            "\n### echo\n\nStreams at once × payload of each, echoed: {}, median (least – greatest). {} the \
             best multiplexer.\n\nThe limit: {}\n",
            metric.unit(),
            if style == Style::Markdown { "In bold" } else { "With a star" },
            limits::of(first.workload, limits)
        ),
    );
    let names: Vec<_> = cells
        .iter()
        .map(|event| event.workload.to_string().trim_start_matches("echo/").to_owned())
        .collect();
    let mut header = vec!["contestant"];
    header.extend(names.iter().map(String::as_str));
    let mut rows = table(style, &header);
    for contestant in Contestant::iter() {
        if !cells.iter().any(|event| event.has(contestant)) {
            continue;
        }
        let mut row = vec![contestant.to_string()];
        row.extend(cells.iter().map(|event| match event.spread(contestant) {
            None if event.has(contestant) => "fails".to_owned(),
            None => String::new(),
            figure => marked(style, event.is_best(contestant), ranged(figure)),
        }));
        rows.add_row(row);
    }
    put(text, rows, 1);
}

/// Marks what is best.
fn marked(style: Style, best: bool, text: String) -> String {
    match (best, style) {
        (false, _) => text,
        (true, Style::Markdown) => format!("**{text}**"),
        (true, Style::Terminal) => format!("{text}*"),
    }
}

fn core_table(text: &mut String, style: Style, record: &Record) {
    if record.core.is_empty() {
        return;
    }
    section(text, "The core alone, two sessions in memory, one thread");
    let mut rows = table(style, &["what", "figure", "unit"]);
    for figure in &record.core {
        rows.add_row([figure.name.clone(), number(figure.value), figure.unit.clone()]);
    }
    put(text, rows, 1);
}

/// Three digits, or more if there are more before the decimal point.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        medium if medium >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn record() -> Record {
        let outcome = |p50: u64, bulk: f64| {
            format!(
                r#"{{"ops": 10, "bytes": 1000000000,
                    "usage": {{"wall": 1.0, "user": 1.0, "system": 0.5, "waits": 1}},
                    "latency": {{"p50": {p50}, "p90": 1, "p99": 90000, "p999": 1, "max": 1}},
                    "also": {{"bulk MB/s": {bulk}}}}}"#
            )
        };
        let sample = |who: &str, outcome: String| {
            format!(
                r#"{{"contestant": "{who}", "workload": "beside/echo/8", "placement": "shared",
                    "outcome": {outcome}, "noise": {{"steal": 0.0, "load": 0.0}}}}"#
            )
        };
        let samples = [
            sample("muxado-tokio", outcome(100_000, 5000.0)),
            sample("muxado-tokio", outcome(120_000, 5200.0)),
            sample("go-yamux", outcome(400_000, 3000.0)),
        ];
        let text = format!(
            r#"{{"began": "2026-01-01T00:00:00Z", "took": 60.0, "command": "run", "versions": {{}},
                "machine": {{"cpu": "a CPU", "cores": 2, "kernel": "a kernel", "memory": 1,
                             "congestion": "bbr"}},
                "samples": [{}]}}"#,
            samples.join(",")
        );
        serde_json::from_str(&text).expect("it is a record")
    }

    #[test]
    fn a_table_has_ranges_percentiles_and_the_bulk_beside() {
        let text = render(&record(), Style::Markdown);
        let row = text.lines().find(|line| line.starts_with("| **muxado-tokio**"));
        let row = row.expect("ours is the best, so it is in bold");
        for cell in ["110", "100 – 120", "3.64 ×", "90.0 (90.0 – 90.0)", "5100 (5000 – 5200)"]
        {
            assert!(row.contains(cell), "{cell} is not in {row}");
        }
        assert!(text.contains("The limit: "), "{text}");
        assert!(text.contains("Congestion control: bbr."), "{text}");
    }

    #[test]
    fn a_goal_says_by_how_much_it_is_missed() {
        let mut slow = record();
        slow.samples.retain(|sample| sample.contestant == Contestant::MuxadoTokio);
        for sample in &mut slow.samples {
            let latency = sample.outcome.as_mut().and_then(|outcome| outcome.latency.as_mut());
            latency.expect("it was measured").p50 = 132_000;
        }
        let row = |record: &Record| {
            let text = render(record, Style::Markdown);
            let row = text.lines().find(|line| line.starts_with("| beside/echo/8 median "));
            row.expect("the goal is judged").to_owned()
        };
        assert!(row(&slow).contains(" 20 % |"), "{}", row(&slow));
        assert!(row(&record()).contains(" met |"), "{}", row(&record()));
    }
}
