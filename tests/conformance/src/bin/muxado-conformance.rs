//! Checks a muxado endpoint against the protocol. `tests/conformance/README.md`
//! says what the endpoint has to run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, ValueEnum};
use muxado_conformance::{
    self as conformance, Case, Class, Outcome, Reach, Role, Settings, report,
};
use tokio::net::TcpListener;

/// Check a muxado endpoint against the protocol, case by case, over TCP.
///
/// The endpoint has to run an echo application: accept streams, send every byte back, half-close
/// after the peer's half-close. Every case has its own connection.
///
/// The exit code is 0 when no MUST failed, 1 when one did, and 2 when the suite could not run.
#[derive(Debug, Parser)]
#[command(name = "muxado-conformance", version)]
struct RunArgs {
    #[command(flatten)]
    reach: ReachArgs,
    /// The role of the endpoint; without it, the one that dials is the client.
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// The streams of the endpoint begin with a type.
    #[arg(long)]
    typed: bool,
    /// The receive window the endpoint is configured with, in bytes.
    #[arg(long, default_value_t = 262_144, value_parser = clap::value_parser!(u32).range(1_024..=0x7fff_ffff))]
    window: u32,
    /// Seconds to wait for an expected frame.
    #[arg(long, default_value_t = 5.0)]
    timeout: f64,
    /// Cases that run at a time.
    #[arg(long, default_value_t = 16)]
    jobs: usize,
    /// Run only the cases of this class.
    #[arg(long, value_enum)]
    class: Option<ClassArg>,
    /// Print the cases with the rules they check, and run none.
    #[arg(long)]
    list: bool,
    /// A failed SHOULD makes the exit code 1, too.
    #[arg(long)]
    strict: bool,
    /// Print only the cases that did not pass, and the summary.
    #[arg(long, short)]
    quiet: bool,
    /// Print the last frames of the cases that failed.
    #[arg(long, short)]
    verbose: bool,
    /// Write the report as JSON to this file, `-` for the standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as JUnit XML to this file, `-` for the standard output.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Run only cases whose name contains one of these.
    #[arg(value_name = "CASE")]
    filter: Vec<String>,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false, args = ["dial", "listen", "list"])]
struct ReachArgs {
    /// Dial the endpoint at this address, once for every case.
    #[arg(long, value_name = "ADDR")]
    dial: Option<String>,
    /// Listen on this address; the endpoint dials, and dials again whenever a
    /// session has ended.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ClassArg {
    Must,
    Should,
}

impl RunArgs {
    fn cases(&self) -> Vec<&'static Case> {
        let class = self.class.map(|class| match class {
            ClassArg::Must => Class::Must,
            ClassArg::Should => Class::Should,
        });
        conformance::cases::all()
            .filter(|case| self.list || case.scope.includes(self.typed))
            .filter(|case| class.is_none_or(|class| case.class == class))
            .filter(|case| {
                self.filter.is_empty() || self.filter.iter().any(|part| case.name.contains(part))
            })
            .collect()
    }

    /// Whether to print results: no report is written to standard output.
    fn prints(&self) -> bool {
        ![&self.json, &self.junit].into_iter().flatten().any(|file| file == Path::new("-"))
    }

    async fn reach(&self) -> std::io::Result<Reach> {
        match (&self.reach.dial, &self.reach.listen) {
            (Some(addr), _) => Ok(Reach::dial(addr)),
            (None, listen) => {
                let listener =
                    TcpListener::bind(listen.as_deref().unwrap_or("127.0.0.1:0")).await?;
                eprintln!("listening on {}", listener.local_addr()?);
                Ok(Reach::listen(listener))
            }
        }
    }
}

fn main() -> ExitCode {
    let args = RunArgs::parse();
    let cases = args.cases();
    if args.list {
        for case in &cases {
            println!(
                "{:<6} {:<31} §{:<5} {} | expected: {}",
                case.class, case.name, case.rule, case.given, case.expected
            );
        }
        return ExitCode::SUCCESS;
    }
    if cases.is_empty() {
        return fatal(&"no such case");
    }
    match run(&args, &cases) {
        Ok(outcomes) => exit_code(&args, &outcomes),
        Err(error) => fatal(&error),
    }
}

fn fatal(error: &impl std::fmt::Display) -> ExitCode {
    eprintln!("muxado-conformance: {error}");
    ExitCode::from(2)
}

fn exit_code(args: &RunArgs, outcomes: &[Outcome]) -> ExitCode {
    use conformance::Status::{Error, Failed};
    if outcomes.iter().all(|outcome| outcome.status == Error) {
        return fatal(&"no connection to the endpoint");
    }
    let failed = outcomes.iter().any(|outcome| {
        outcome.is_broken() || args.strict && matches!(outcome.status, Failed | Error)
    });
    ExitCode::from(u8::from(failed))
}

#[tokio::main]
async fn run(
    args: &RunArgs,
    cases: &[&'static Case],
) -> Result<Vec<Outcome>, Box<dyn std::error::Error>> {
    let role = match (args.role, &args.reach.dial) {
        (Some(role), _) => role,
        (None, Some(_)) => Role::Server,
        (None, None) => Role::Client,
    };
    let settings = Arc::new(Settings {
        role,
        typed: args.typed,
        window: args.window,
        patience: Duration::try_from_secs_f64(args.timeout)?,
    });
    let reach = args.reach().await?;
    let outcomes = conformance::run(&reach, &settings, cases, args.jobs, |outcome| {
        if args.prints() && !(args.quiet && outcome.status == conformance::Status::Passed) {
            println!("{}", report::line(outcome));
            for frame in outcome.trace.iter().filter(|_| args.verbose) {
                println!("        {frame}");
            }
        }
    })
    .await;
    if args.prints() {
        println!("{}", report::summary(&outcomes));
    }
    if let Some(file) = &args.json {
        write(file, &(report::json(&settings, &outcomes)? + "\n"))?;
    }
    if let Some(file) = &args.junit {
        write(file, &report::junit(&outcomes)?)?;
    }
    Ok(outcomes)
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    if file == Path::new("-") {
        print!("{text}");
        Ok(())
    } else {
        std::fs::write(file, text)
    }
}
