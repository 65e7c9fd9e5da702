//! Tables.

use std::{collections::BTreeSet, fmt::Write as _};

use comfy_table::{CellAlignment, Table, presets};
use strum::IntoEnumIterator as _;

use crate::{
    contestants::Contestant,
    goals,
    record::Record,
    relay,
    runtime::Placement,
    summary::{Event, Metric, Spread, Standing, events},
    workloads::{Workload, beside::Small, peak},
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
        goal_table(&mut text, style, &events, ours);
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
                event_table(&mut text, style, event);
            }
        }
        grid(&mut text, style, &here, |payload| payload <= 1024);
        grid(&mut text, style, &here, |payload| payload > 1024);
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

fn table(style: Style, header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(match style {
        Style::Terminal => presets::UTF8_FULL_CONDENSED,
        Style::Markdown => presets::ASCII_MARKDOWN,
    });
    table.set_header(header);
    table
}

fn put(text: &mut String, mut table: Table, left: usize) {
    for (at, column) in table.column_iter_mut().enumerate() {
        if at >= left {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    write_line(text, format_args!("{table}"));
}

fn goal_table(text: &mut String, style: Style, events: &[Event], ours: Contestant) {
    let goals = goals::judge(events, ours);
    if goals.is_empty() {
        return;
    }
    section(text, &format!("Goals, {ours}"));
    let mut rows = table(style, &["workload", "goal", "seen", "met"]);
    for goal in goals {
        rows.add_row([
            goal.what,
            goal.wanted,
            goal.seen,
            (if goal.met { "yes" } else { "no" }).into(),
        ]);
    }
    put(text, rows, 1);
}

fn event_table(text: &mut String, style: Style, event: &Event) {
    let metric = Metric::of(event.workload);
    let apart = event.distance.map_or_else(String::new, |apart| {
        format!(" CPUs {:.0} ({:.0} – {:.0}) ns apart.", apart.median, apart.min, apart.max)
    });
    let sentence = explain(event.workload);
    write_line(text, format_args!("\n### {}\n\n{sentence}.{apart}\n", event.workload));
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
    let best = event.best(|contestant| !contestant.raw()).map(|(contestant, _)| contestant);
    for standing in &event.standings {
        let name = standing.contestant.to_string();
        let bold = style == Style::Markdown && best == Some(standing.contestant);
        let mut row = vec![if bold { format!("**{name}**") } else { name }];
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
fn ranged(spread: Option<Spread>) -> String {
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
        ratio(event.raw()),
        ratio(event.best_peer().map(|(_, median)| median)),
    ]
}

fn grid(text: &mut String, style: Style, events: &[&Event], wanted: impl Fn(u64) -> bool) {
    let cells: Vec<(&Event, u32, u64)> = events
        .iter()
        .filter_map(|event| match event.workload {
            Workload::Echo { streams, payload } if wanted(payload) => {
                Some((*event, streams, payload))
            }
            _ => None,
        })
        .collect();
    let Some(&(first, ..)) = cells.first() else { return };
    let metric = Metric::of(first.workload);
    write_line(
        text,
        format_args!(
            "\n### echo\n\nStreams at once × payload of each, echoed: {}. In bold the best multiplexer.\n",
            metric.unit()
        ),
    );
    let names: Vec<_> = cells
        .iter()
        .map(|(event, ..)| event.workload.to_string().trim_start_matches("echo/").to_owned())
        .collect();
    let mut header = vec!["contestant"];
    header.extend(names.iter().map(String::as_str));
    let mut rows = table(style, &header);
    for contestant in Contestant::iter() {
        if !cells.iter().any(|(event, ..)| event.has(contestant)) {
            continue;
        }
        let figures = cells.iter().map(|(event, ..)| event.median(contestant));
        let mut row = vec![contestant.to_string()];
        row.extend(figures.zip(&cells).map(|(figure, (event, ..))| {
            let best = event.best(|contestant| !contestant.raw()).map(|(best, _)| best);
            match figure.map(number) {
                None if event.has(contestant) => "fails".to_owned(),
                None => String::new(),
                Some(figure) if best != Some(contestant) => figure,
                Some(figure) if style == Style::Markdown => format!("**{figure}**"),
                Some(figure) => format!("{figure}*"),
            }
        }));
        rows.add_row(row);
    }
    put(text, rows, 1);
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

/// A workload in a sentence.
fn explain(workload: Workload) -> String {
    match workload {
        Workload::Echo { .. } => "Streams that echo a payload".to_owned(),
        Workload::Request { inflight } => format!(
            "Open a stream, send 64 bytes, half-close, read 64 bytes to the end; {inflight} in flight"
        ),
        Workload::EchoWhileReading { streams, payload } => format!(
            "{streams} stream{} at once echo {payload} bytes each: a task writes 32 KiB at a time, \
             another reads",
            if streams == 1 { "" } else { "s" },
        ),
        Workload::Burst => "A thousand requests of 64 bytes that begin at once, each on a stream of \
             its own: the time until all are answered"
            .to_owned(),
        Workload::Sessions { count } => format!(
            "Resident memory for a session of one stream that was used once, over a pipe in memory, \
             {count} of them"
        ),
        Workload::Streams { count } => format!(
            "A request on one more stream, then bulk on one more, while {count} streams are open in \
             the session"
        ),
        Workload::Peak => format!(
            "Resident memory for a session after a peak: {} sessions over pipes in memory, at the \
             peak each with {} streams of {} KiB unread",
            peak::SESSIONS,
            peak::STREAMS,
            peak::UNREAD / 1024
        ),
        Workload::PingPong => "64 bytes there and back on one stream".to_owned(),
        Workload::Bulk { streams, write } => format!(
            "Bytes one way on {streams} stream{}, in writes of {} KiB",
            if streams == 1 { "" } else { "s" },
            write / 1024
        ),
        Workload::IdleStreams => {
            "Resident memory for a stream that was used once, many of them in one session".to_owned()
        }
        Workload::IdleSessions { tcp } => format!(
            "Resident memory for a session of one stream that was used once, {}",
            if tcp { "over TCP" } else { "over a pipe in memory" }
        ),
        Workload::Unread => {
            "Bytes one way on eight streams, in writes of 64 KiB, while a ninth is full and never read"
                .to_owned()
        }
        Workload::Beside(beside) => format!(
            "{}, while {} {} bulk{}",
            match beside.small {
                Small::Echo => "8 bytes there and back on one stream",
                Small::Request => {
                    "Open a stream, send 64 bytes, half-close, read 64 bytes to the end"
                }
            },
            if beside.bulk == 1 { "another stream".to_owned() } else { format!("{} others", beside.bulk) },
            if beside.bulk == 1 { "carries" } else { "carry" },
            if beside.both_ways { " both ways" } else { " the way of the requests" },
        ),
        Workload::Link => format!(
            "Bytes one way on one stream over a link of {} ms round trip and {:.0} MB/s, once it has \
             had some seconds to get going",
            2 * relay::DELAY.as_millis(),
            relay::BANDWIDTH as f64 / 1e6
        ),
    }
}
