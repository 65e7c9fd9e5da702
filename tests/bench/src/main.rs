//! `muxado-bench`: compares muxado with its alternatives, in one run.
//!
//! `muxado-bench run` takes samples and writes them to a file; `report` and `plot` make tables and
//! pictures of such a file. Both ends of every contestant run in one process, over TCP on loopback
//! with `TCP_NODELAY`; each sample has its own process, for which this program starts itself again,
//! and the contestants take turns. The contents of every stream are checked, as `--check` says, and
//! every count is.

mod campaign;
mod cli;
mod congestion;
mod contestants;
mod go;
mod goals;
mod limits;
mod machine;
mod measure;
mod pattern;
mod plot;
mod publish;
mod readme;
mod record;
mod relay;
mod report;
mod runtime;
mod sample;
mod summary;
mod syscalls;
mod workloads;

use std::{
    io::{self, Write as _},
    process,
};

use clap::Parser as _;
use strum::IntoEnumIterator as _;

use crate::{
    cli::{Cli, Command},
    contestants::Contestant,
    record::Record,
    report::Style,
    workloads::Workload,
};

fn main() -> io::Result<()> {
    match Cli::parse().command {
        Command::Run(args) => {
            let args = args.settled();
            args.congestion.into_iter().for_each(congestion::choose);
            let record = campaign::run(&args)?;
            record.write(&args.out)?;
            print!("{}", report::render(&record, Style::Terminal));
            println!("The samples are in {}.", args.out.display());
        }
        Command::Report { record, markdown } => {
            let style = if markdown { Style::Markdown } else { Style::Terminal };
            print!("{}", report::render(&Record::read(&record)?, style));
        }
        Command::Plot { record, out } => {
            for file in plot::draw(&Record::read(&record)?, &out)? {
                println!("{}", file.display());
            }
        }
        Command::Publish(args) => publish::run(&args)?,
        Command::List => {
            println!("contestants:");
            Contestant::iter().for_each(|contestant| println!("  {contestant}"));
            println!("workloads:");
            Workload::all().iter().for_each(|workload| println!("  {workload}"));
        }
        Command::Sample(args) => {
            args.congestion.into_iter().for_each(congestion::choose);
            let outcome = sample::run(args.task())?;
            let mut stdout = io::stdout().lock();
            serde_json::to_writer(&mut stdout, &outcome)?;
            writeln!(stdout)?;
            stdout.flush()?;
            // Thousands of sessions are not closed: that would measure nothing.
            process::exit(0);
        }
    }
    Ok(())
}
