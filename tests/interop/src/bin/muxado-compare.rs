//! Runs the conformance suite against ours and every other implementation, and writes the
//! comparison page.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use muxado_interop::compare;

/// Run every case of the conformance suite against ours and all other implementations, and write
/// the comparison page.
#[derive(Debug, Parser)]
#[command(name = "muxado-compare", version)]
struct Cli {
    /// Where to write the page.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Seconds to wait for an expected frame.
    #[arg(long, default_value_t = 3.0)]
    timeout: f64,
    /// Cases that run at a time.
    #[arg(long, default_value_t = 16)]
    jobs: usize,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Cli { output, timeout, jobs } = Cli::parse();
    let patience = Duration::try_from_secs_f64(timeout)?;
    let columns = compare::compare(patience, jobs).await?;
    let command = "cargo run --release -p muxado-interop --bin muxado-compare -- \
                   --output tests/conformance/RESULTS.md";
    std::fs::write(output, compare::markdown(&columns, command)?)?;
    Ok(())
}
