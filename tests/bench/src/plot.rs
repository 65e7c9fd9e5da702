//! Plots: bar charts for the most important workloads.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use plotters::{
    coord::Shift,
    prelude::{DrawingArea, IntoDrawingArea as _, PathElement, RGBColor, Rectangle, SVGBackend},
    style::{
        Color as _, FontStyle, IntoFont as _, TextStyle, WHITE,
        text_anchor::{HPos, Pos, VPos},
    },
};

use crate::{
    contestants::Contestant,
    record::Record,
    runtime::Placement,
    summary::{Event, Metric, Standing, events},
    workloads::Workload,
};

const WIDTH: i32 = 760;
const ROW: i32 = 26;
const TOP: i32 = 58;
const BOTTOM: i32 = 14;
const LABELS: i32 = 150;
const BARS: i32 = 480;

const INK: RGBColor = RGBColor(0x24, 0x29, 0x2F);
const FAINT: RGBColor = RGBColor(0x6E, 0x77, 0x81);
const OURS: RGBColor = RGBColor(0x0B, 0x6E, 0x4F);
const PEERS: RGBColor = RGBColor(0x8A, 0xA4, 0xBF);
const RAW: RGBColor = RGBColor(0xC9, 0xCF, 0xD6);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The charts, their files and titles.
fn charts() -> Vec<(&'static str, Workload, &'static str)> {
    let (kib, mib) = (1024, 1024 * 1024);
    vec![
        ("request", Workload::Request { inflight: 64 }, "Requests, 64 in flight"),
        ("request-latency", Workload::Request { inflight: 1 }, "A request, one in flight"),
        ("ping-pong", Workload::PingPong, "64 bytes there and back on one stream"),
        (
            "bulk",
            Workload::Bulk { streams: 8, write: 64 * kib },
            "Bulk, 8 streams, writes of 64 KiB",
        ),
        (
            "bulk-large",
            Workload::Bulk { streams: 8, write: mib },
            "Bulk, 8 streams, writes of 1 MiB",
        ),
        (
            "bulk-small",
            Workload::Bulk { streams: 1, write: kib },
            "Bulk, 1 stream, writes of 1 KiB",
        ),
        ("unread", Workload::Unread, "Bulk on 8 streams while a ninth is never read"),
        ("link", Workload::Link, "One stream over a link of 100 ms and 25 MB/s"),
        ("idle-streams", Workload::IdleStreams, "Memory of an idle stream"),
        ("idle-sessions", Workload::IdleSessions { tcp: false }, "Memory of an idle session"),
    ]
}

/// Draws the charts with figures, and returns their files.
pub(crate) fn draw(record: &Record, into: &Path) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(into)?;
    let events = events(record);
    let mut files = Vec::new();
    for (name, workload, title) in charts() {
        let event = events
            .iter()
            .find(|event| event.workload == workload && event.placement == Placement::Shared);
        let Some(event) = event else { continue };
        let file = into.join(format!("{name}.svg"));
        chart(event, title, &record.began, &file).map_err(io::Error::other)?;
        files.push(file);
    }
    Ok(files)
}

/// The font, as SVG passes it on to the viewer.
fn font(size: i32, color: &'static RGBColor, bold: bool, pos: HPos) -> TextStyle<'static> {
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    TextStyle::from(("sans-serif", size, style).into_font())
        .color(color)
        .pos(Pos::new(pos, VPos::Center))
}

type Drawn = Result<(), Box<dyn std::error::Error + Send + Sync>>;

fn chart(event: &Event, title: &str, date: &str, file: &Path) -> Drawn {
    let metric = Metric::of(event.workload);
    let mut standings: Vec<&Standing> = event.standings.iter().collect();
    standings.sort_by(|a, b| {
        let key = |s: &Standing| s.value.map_or(f64::NEG_INFINITY, |v| metric.ratio(v.median, 1.0));
        key(b).total_cmp(&key(a))
    });
    let greatest = standings.iter().filter_map(|s| s.value).map(|v| v.max).fold(0.0, f64::max);
    let height = TOP + ROW * standings.len() as i32 + BOTTOM;
    let area = SVGBackend::new(file, (WIDTH as u32, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    area.draw_text(title, &font(17, &INK, true, HPos::Left), (12, 20))?;
    let better = if metric.more_is_better() { "more is better" } else { "less is better" };
    let day = date.split('T').next().unwrap_or(date);
    let subtitle = format!(
        "{}; {better}; median of the samples, line from least to greatest; {day}",
        metric.unit()
    );
    area.draw_text(&subtitle, &font(12, &FAINT, false, HPos::Left), (12, 41))?;
    for (row, standing) in standings.into_iter().enumerate() {
        bar(&area, TOP + ROW * row as i32, standing, greatest)?;
    }
    area.present()?;
    Ok(())
}

fn bar(area: &Area<'_>, top: i32, standing: &Standing, greatest: f64) -> Drawn {
    let contestant = standing.contestant;
    let middle = top + ROW / 2;
    let label = font(13, &INK, contestant.ours(), HPos::Right);
    area.draw_text(&contestant.to_string(), &label, (LABELS - 8, middle))?;
    let Some(value) = standing.value else {
        let note = standing.note.as_deref().unwrap_or("no figure");
        area.draw_text(note, &font(12, &FAINT, false, HPos::Left), (LABELS + 4, middle))?;
        return Ok(());
    };
    let x = |figure: f64| LABELS + (figure / greatest * f64::from(BARS)) as i32;
    let fill = color(contestant).filled();
    area.draw(&Rectangle::new([(LABELS, top + 4), (x(value.median), top + ROW - 4)], fill))?;
    let spread = vec![(x(value.min), middle), (x(value.max), middle)];
    area.draw(&PathElement::new(spread, INK.stroke_width(1)))?;
    let digits = if value.median < 10.0 {
        2
    } else if value.median < 100.0 {
        1
    } else {
        0
    };
    let text = format!("{:.digits$}", value.median);
    area.draw_text(&text, &font(12, &INK, false, HPos::Left), (x(value.max) + 8, middle))?;
    Ok(())
}

fn color(contestant: Contestant) -> RGBColor {
    match contestant {
        _ if contestant.ours() => OURS,
        _ if contestant.raw() => RAW,
        _ => PEERS,
    }
}
