//! The tunnel of the examples beside bore, rathole and no tunnel at all: one service, one load.
//!
//! ```sh
//! cargo install bore-cli --locked
//! cargo install rathole --no-default-features --features server,client,noise
//! cargo run --release -p muxado-tests --bin muxado-tunnels
//! ```
//!
//! Everything runs on loopback. The tunnel of the examples encrypts with TLS, and rathole-noise with
//! Noise. bore and rathole do not encrypt.

mod contestants;
mod load;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use clap::Parser;

use self::contestants::Contestant;
use self::load::Beside;

/// Measures tunnels.
#[derive(Parser)]
struct Options {
    /// How many MiB to move, each way.
    #[arg(long, default_value_t = 512)]
    mib: usize,
    /// How many connections to make one after the other, and how many echoes beside a transfer.
    #[arg(long, default_value_t = 500)]
    echoes: usize,
    /// Milliseconds between two echoes beside a transfer. With a pause, all tunnels have about as many
    /// echoes to carry.
    #[arg(long, default_value_t = 0)]
    pause: u64,
    /// How many connections to hold at once.
    #[arg(long, default_value_t = 500)]
    connections: usize,
    /// How often to measure everything; the table has the medians.
    #[arg(long, default_value_t = 3)]
    samples: usize,
    /// Only these: direct, muxado, bore, rathole, rathole-noise.
    #[arg(long)]
    only: Vec<String>,
}

/// A figure by the name of the workload, and then by that of the contestant.
type Figures = BTreeMap<(usize, &'static str), BTreeMap<&'static str, Vec<f64>>>;

#[tokio::main]
async fn main() -> io::Result<()> {
    let options = Options::parse();
    let service = load::serve()?;
    let mut figures = Figures::new();
    let mut shown = Vec::new();
    for sample in 0..options.samples {
        for contestant in Contestant::ALL {
            let name = contestant.name();
            if !options.only.is_empty() && !options.only.iter().any(|only| only == name) {
                continue;
            }
            // Started anew for every sample, one at a time: none has a neighbour.
            let Some(running) = contestant.start(service).await? else {
                eprintln!("{name}: skipped, it is not on the path");
                continue;
            };
            eprintln!("sample {} of {}: {name}", sample + 1, options.samples);
            if !shown.contains(&name) {
                shown.push(name);
            }
            for (index, (workload, figure)) in
                measure(running.address, &options).await?.into_iter().enumerate()
            {
                figures.entry((index, workload)).or_default().entry(name).or_default().push(figure);
            }
        }
    }
    print(&figures, &shown);
    Ok(())
}

async fn measure(
    address: std::net::SocketAddr,
    options: &Options,
) -> io::Result<[(&'static str, f64); 9]> {
    let bytes = options.mib << 20;
    let down = load::down(address, bytes).await?;
    let up = load::up(address, bytes).await?;
    let echo = load::connect_and_echo(address, options.echoes).await?;
    let pause = Duration::from_millis(options.pause);
    let Beside { median, ninety, rate, bulk } =
        load::echo_beside_bulk(address, options.echoes, pause).await?;
    let (took, failed) = load::at_once(address, options.connections).await?;
    Ok([
        ("from the service, MB/s", down),
        ("to the service, MB/s", up),
        ("connect and echo, median, µs", echo),
        ("echo beside a transfer, median, µs", median),
        ("the same, 90 % are faster than, µs", ninety),
        ("such echoes in a second", rate),
        ("the transfer meanwhile, MB/s", bulk),
        ("all connections at once, ms", took),
        ("of them failed", failed),
    ])
}

/// The medians, as a table in Markdown.
fn print(figures: &Figures, shown: &[&str]) {
    println!("| workload | {} |", shown.join(" | "));
    println!("|---|{}", "---|".repeat(shown.len()));
    for ((_, workload), by_name) in figures {
        let medians = shown.iter().map(|name| {
            let mut samples = by_name.get(name).cloned().unwrap_or_default();
            samples.sort_by(f64::total_cmp);
            samples.get(samples.len() / 2).map_or_else(String::new, |median| format!("{median:.0}"))
        });
        println!("| {workload} | {} |", medians.collect::<Vec<_>>().join(" | "));
    }
}
