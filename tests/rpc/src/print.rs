//! What is seen on the terminal.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use console::style;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressState, ProgressStyle};

use crate::options::{Load, Output};
use crate::report::{End, Quantiles, Report, Summary};

/// Width of the first column.
const NAME: usize = 24;

impl Output {
    /// A bar for the answers of `ends` ends; hidden without a terminal.
    #[must_use]
    pub fn progress(&self, load: &Load, ends: u64) -> ProgressBar {
        if self.quiet || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let (bar, template) = if load.seconds.is_some() {
            (ProgressBar::no_length(), "{spinner} {human_pos} answers  {rate}  {elapsed}")
        } else {
            let bar = ProgressBar::new(load.requests.saturating_mul(ends));
            (bar, "{wide_bar:.cyan/dim} {human_pos}/{human_len} answers  {rate}  {elapsed}")
        };
        let style = ProgressStyle::with_template(template).expect("the template is well-formed");
        bar.with_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
            // An error does not matter here.
            let _ = write!(out, "{}/s", whole(state.per_sec()));
        }))
    }
}

/// A rate without fractions.
fn whole(rate: f64) -> HumanCount {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    HumanCount(rate.round() as u64)
}

/// Prints the address on which this process listens, because the port may have been chosen freely.
///
/// # Errors
///
/// When standard output is closed.
pub fn listening(output: Output, address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if output.json {
        writeln!(out, "{}", serde_json::json!({ "listening": address }))?;
    } else {
        writeln!(out, "listening on {address}")?;
    }
    out.flush()
}

/// Prints the summary of the session whose server listened at `address`; returns whether it
/// succeeded, for the exit code.
///
/// # Errors
///
/// When standard output is closed.
pub fn print(output: Output, address: SocketAddr, end: End) -> io::Result<bool> {
    let summary = &Summary::new(address, end);
    let mut out = io::stdout().lock();
    if output.json {
        serde_json::to_writer(&mut out, summary)?;
        writeln!(out)?;
    } else if !output.quiet {
        out.write_all(table(summary).as_bytes())?;
    }
    for end in [&summary.client, &summary.server] {
        if let Some(error) = &end.first_error {
            eprintln!("{} errors at the {}, the first: {error}", end.errors, end.role);
        }
    }
    if !summary.success {
        eprintln!("{}", style("failed").red().bold().for_stderr());
    }
    Ok(summary.success)
}

fn table(summary: &Summary) -> String {
    let Summary { client, server, traffic, .. } = summary;
    let mut text = String::new();
    let title = style("muxado rpc").bold();
    let header = format!(
        "{:NAME$} {:>9} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "count", "errors", "p50", "p90", "p99", "p99.9", "max"
    );
    let answers = HumanCount(client.answers + server.answers);
    let rate = whole(summary.streams_per_second);
    let most = [client, server].map(|end| HumanCount(end.most_in_flight.into()));
    let result: Result<(), fmt::Error> = (|| {
        writeln!(text, "\n{title}  {}", runtimes(summary))?;
        writeln!(text, "\n{}", style(header).dim())?;
        rows(&mut text, "client asks server", client)?;
        rows(&mut text, "server asks client", server)?;
        writeln!(text)?;
        let seconds = summary.seconds;
        let streams = style(format!("{rate} streams/s")).bold();
        writeln!(text, "{answers} requests in {seconds:.2} s: {streams}")?;
        writeln!(
            text,
            "open at once: at most {} streams of the client and {} of the server",
            most[0], most[1]
        )?;
        for (name, bytes, frames) in [
            ("client to server", traffic.bytes_to_server, traffic.frames_to_server),
            ("server to client", traffic.bytes_to_client, traffic.frames_to_client),
        ] {
            writeln!(text, "{name}: {} in {} frames", HumanBytes(bytes), HumanCount(frames))?;
        }
        writeln!(text, "{}", summary.closed)
    })();
    result.expect("a string takes all that is written to it");
    text
}

fn runtimes(summary: &Summary) -> String {
    let Summary { address, client, server, .. } = summary;
    format!("client on {}, server on {} at {address}", client.runtime, server.runtime)
}

fn rows(text: &mut String, name: &str, end: &Report) -> fmt::Result {
    row(text, name, Some(end.errors), &end.latency_ns)?;
    row(text, "  wait for a stream", None, &end.wait_ns)?;
    row(text, "  heartbeat round trip", None, &end.rtt_ns)
}

fn row(text: &mut String, name: &str, errors: Option<u64>, times: &Quantiles) -> fmt::Result {
    let count = HumanCount(times.count).to_string();
    let errors = errors.map(|errors| HumanCount(errors).to_string()).unwrap_or_default();
    write!(text, "{name:NAME$} {count:>9} {errors:>7}")?;
    for nanos in [times.p50, times.p90, times.p99, times.p99_9, times.max] {
        let time = if times.count == 0 { "-".to_owned() } else { human(nanos) };
        write!(text, " {time:>9}")?;
    }
    writeln!(text)
}

/// Three digits and a unit.
fn human(nanos: u64) -> String {
    let time = Duration::from_nanos(nanos);
    let digits = match nanos.checked_ilog10() {
        None | Some(..3) => 0,
        // Three digits in all: with one digit before the decimal point, two after it, and so on.
        Some(exponent) => 2 - (exponent % 3) as usize,
    };
    let text = format!("{time:.digits$?}");
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    format!("{number} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        for (nanos, text) in [
            (0, "0 ns"),
            (7, "7 ns"),
            (1_234, "1.23 µs"),
            (56_789, "56.8 µs"),
            (987_654, "988 µs"),
            (4_000_000, "4.00 ms"),
            (61_000_000_000, "61.0 s"),
        ] {
            assert_eq!(human(nanos), text);
        }
    }
}
