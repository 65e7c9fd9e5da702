//! The core alone: two directly connected sessions in memory, one thread, no I/O and no runtime.
//!
//! `cargo bench -p muxado-bench` prints speed, allocations and, if valgrind is installed,
//! instructions counted by callgrind. `-- --into bench.json` also adds the figures to a record of
//! `muxado-bench`.

use std::{
    env,
    fs::File,
    io::{self, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use clap::{Parser, ValueEnum};
use comfy_table::{CellAlignment, Table, presets};
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

#[path = "../../instructions/src/bin/counted/pair.rs"]
#[allow(dead_code, reason = "the counted program uses more of it")]
mod pair;

use pair::{BULK, MESSAGE, Pair, STREAMS, read, write};

/// The core alone.
#[derive(Debug, Parser)]
struct Cli {
    /// Also add the figures to this record of `muxado-bench`.
    #[arg(long)]
    into: Option<PathBuf>,
    /// Milliseconds to measure each speed.
    #[arg(long, default_value_t = 1000)]
    time: u64,
    /// Only run this scenario for this many rounds; used to run under callgrind.
    #[arg(long, hide = true, num_args = 2, value_names = ["SCENARIO", "ROUNDS"])]
    exec: Option<Vec<String>>,
    /// Cargo adds this.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What the two sessions do in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// A message of 64 bytes on each of 64 streams.
    SmallFrames,
    /// 64 KiB on one stream, copied in and out.
    Bulk,
    /// 64 KiB on one stream, as chunks.
    BulkChunks,
    /// 64 streams: open, 64 bytes, half-close; accept, 64 bytes back, close; close.
    OpenClose,
}

/// Bytes of payload in a frame of the default configuration.
const FRAME: usize = 16 * 1024;

impl Scenario {
    fn pair(self) -> Pair {
        match self {
            Self::SmallFrames => Pair::with_streams(STREAMS),
            Self::Bulk | Self::BulkChunks => Pair::with_streams(1),
            Self::OpenClose => Pair::new(false),
        }
    }

    fn round(self, pair: &mut Pair) {
        match self {
            Self::SmallFrames => pair.small_frames(),
            Self::Bulk => pair.bulk_copied(),
            Self::BulkChunks => pair.bulk_chunks(),
            Self::OpenClose => pair.streams(),
        }
    }

    /// The description of one operation, and how many make a round.
    fn operation(self) -> (&'static str, u64) {
        match self {
            Self::SmallFrames => ("frame of 64 bytes", STREAMS as u64),
            Self::Bulk | Self::BulkChunks => ("frame of 16 KiB", (BULK / FRAME) as u64),
            Self::OpenClose => ("stream, opened and closed", STREAMS as u64),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::SmallFrames => "frames of 64 bytes on 64 streams",
            Self::Bulk => "bulk on one stream, by copy",
            Self::BulkChunks => "bulk on one stream, as chunks",
            Self::OpenClose => "open, 64 bytes there and back, close",
        }
    }

    /// A pair that is warmed up for this scenario.
    fn warm(self) -> Pair {
        let mut pair = self.pair();
        for _ in 0..200 {
            self.round(&mut pair);
        }
        pair
    }
}

/// A figure.
struct Figure {
    name: String,
    value: f64,
    unit: String,
}

/// The CPU time of this thread. The thread never waits, so on an idle machine this is the
/// wall-clock time, and on a busy one it is the better measure.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    Duration::from(time.expect("a thread may ask for its own time"))
}

fn speed(scenario: Scenario, time: Duration) -> Figure {
    let mut pair = scenario.warm();
    // Five stretches, the median of them.
    let mut rates: Vec<f64> = (0..5)
        .map(|_| {
            let (began, mut rounds) = (cpu_time(), 0u64);
            while cpu_time() - began < time / 5 {
                for _ in 0..20 {
                    scenario.round(&mut pair);
                }
                rounds += 20;
            }
            rounds as f64 / (cpu_time() - began).as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    let rate = rates[rates.len() / 2];
    let (value, unit) = match scenario {
        Scenario::Bulk | Scenario::BulkChunks => (rate * BULK as f64 / 1e9, "GB/s"),
        Scenario::SmallFrames => (rate * scenario.operation().1 as f64 / 1e6, "million frames/s"),
        Scenario::OpenClose => (rate * scenario.operation().1 as f64 / 1e6, "million streams/s"),
    };
    Figure { name: scenario.name().to_owned(), value, unit: unit.to_owned() }
}

fn allocations(scenario: Scenario) -> Figure {
    const ROUNDS: u64 = 500;
    let mut pair = scenario.warm();
    let counted = allocation_counter::measure(|| {
        for _ in 0..ROUNDS {
            scenario.round(&mut pair);
        }
    });
    let (operation, each) = scenario.operation();
    Figure {
        name: scenario.name().to_owned(),
        value: counted.count_total as f64 / (ROUNDS * each) as f64,
        unit: format!("allocations for each {operation}, both ends"),
    }
}

/// Bytes and allocations of an idle open stream.
fn idle_stream() -> Vec<Figure> {
    const COUNT: usize = 1000;
    let mut pair = Pair::new(false);
    pair.ids.reserve(COUNT);
    pair.accepted.reserve(COUNT);
    let kept = allocation_counter::measure(|| {
        for _ in 0..COUNT {
            let id = pair.client.open().expect("there is room for this stream");
            write(&mut pair.client, id, &pair.buffer[..MESSAGE]);
            pair.settle();
            let there = pair.server.accept().expect("the stream has arrived");
            read(&mut pair.server, there, &mut pair.scratch[..MESSAGE]);
            write(&mut pair.server, there, &pair.buffer[..MESSAGE]);
            pair.settle();
            read(&mut pair.client, id, &mut pair.scratch[..MESSAGE]);
        }
    });
    let name = "an idle stream, used once, in the core";
    vec![
        Figure {
            name: name.to_owned(),
            value: kept.bytes_current as f64 / COUNT as f64,
            unit: "bytes kept, both ends".to_owned(),
        },
        Figure {
            name: name.to_owned(),
            value: kept.count_total as f64 / COUNT as f64,
            unit: "allocations, both ends".to_owned(),
        },
    ]
}

/// The scenarios with instruction counts. Bulk has none: a copy is one instruction for the CPU, but
/// one per byte under callgrind.
const COUNTED: [Scenario; 2] = [Scenario::SmallFrames, Scenario::OpenClose];

/// Instructions per operation, if valgrind is installed: those of many rounds minus those of few.
fn instructions(scenario: Scenario) -> io::Result<Option<Figure>> {
    const FEW: u64 = 300;
    const MORE: u64 = 1300;
    let (Some(few), Some(more)) = (callgrind(scenario, FEW)?, callgrind(scenario, MORE)?) else {
        return Ok(None);
    };
    let (operation, each) = scenario.operation();
    Ok(Some(Figure {
        name: scenario.name().to_owned(),
        value: (more - few) as f64 / ((MORE - FEW) * each) as f64,
        unit: format!("instructions for each {operation}, both ends"),
    }))
}

fn callgrind(scenario: Scenario, rounds: u64) -> io::Result<Option<u64>> {
    let scenario = scenario.to_possible_value().map(|v| v.get_name().to_owned());
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe()?)
        .arg("--exec")
        .args(scenario)
        .arg(rounds.to_string())
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else { return Ok(None) };
    let report = String::from_utf8_lossy(&output.stderr);
    Ok(report.lines().find_map(|line| line.split("Collected :").nth(1)?.trim().parse().ok()))
}

fn print(figures: &[Figure]) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(["what", "figure", "unit"]);
    for figure in figures {
        table.add_row([&figure.name, &format!("{:.3}", figure.value), &figure.unit]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
}

/// Puts the figures into a record, replacing earlier ones.
fn store(figures: &[Figure], into: &Path) -> io::Result<()> {
    let mut record: Value = serde_json::from_reader(BufReader::new(File::open(into)?))?;
    record["core"] = figures
        .iter()
        .map(|f| json!({ "name": f.name, "value": f.value, "unit": f.unit }))
        .collect();
    let mut file = BufWriter::new(File::create(into)?);
    serde_json::to_writer_pretty(&mut file, &record)?;
    writeln!(file)?;
    file.flush()
}

fn main() -> io::Result<()> {
    let cli = Cli::parse();
    if let Some(exec) = &cli.exec {
        let scenario = Scenario::from_str(&exec[0], false).map_err(io::Error::other)?;
        let rounds: u64 = exec[1].parse().map_err(io::Error::other)?;
        let mut pair = scenario.pair();
        (0..rounds).for_each(|_| scenario.round(&mut pair));
        return Ok(());
    }
    let scenarios = Scenario::value_variants();
    let time = Duration::from_millis(cli.time);
    let mut figures: Vec<Figure> = scenarios.iter().map(|s| speed(*s, time)).collect();
    figures.extend(scenarios.iter().map(|s| allocations(*s)));
    figures.extend(idle_stream());
    for scenario in COUNTED {
        match instructions(scenario)? {
            Some(figure) => figures.push(figure),
            None => {
                eprintln!("Instructions are not counted: there is no valgrind here.");
                break;
            }
        }
    }
    print(&figures);
    if let Some(into) = &cli.into {
        store(&figures, into)?;
    }
    Ok(())
}
