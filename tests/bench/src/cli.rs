//! The command line.

use std::{env, ffi::OsString, io, path::PathBuf, process, time::Duration};

use clap::{Args, Parser, Subcommand};
use strum::IntoEnumIterator as _;

use crate::{
    campaign::option,
    congestion::Congestion,
    contestants::Contestant,
    measure::Budget,
    pattern::Thoroughness,
    runtime::Placement,
    sample::Task,
    workloads::{Plan, Workload, peak},
};

/// Compares muxado with other ways to have many streams between two processes.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take samples, print tables and write them to a file.
    Run(RunArgs),
    /// Print the tables of a file.
    Report {
        /// The file.
        record: PathBuf,
        /// Markdown, as for a README.
        #[arg(long)]
        markdown: bool,
    },
    /// Draw plots of a file.
    Plot {
        /// The file.
        record: PathBuf,
        /// The directory for the SVG files.
        #[arg(long, default_value = ".")]
        out: PathBuf,
    },
    /// Take all samples under each congestion control, and write tables and plots of both.
    Publish(PublishArgs),
    /// List contestants and workloads.
    List,
    /// Take one sample in this process and print it as JSON.
    #[command(hide = true)]
    Sample(SampleArgs),
}

/// What to publish.
#[derive(Clone, Debug, Args)]
pub(crate) struct PublishArgs {
    /// Which samples to take. `--congestion` and `--out` are not needed.
    #[command(flatten)]
    pub(crate) run: RunArgs,
    /// Under which congestion controls.
    #[arg(long, value_delimiter = ',', default_value = "cubic,bbr")]
    pub(crate) under: Vec<Congestion>,
    /// The directory for the tables, the plots and the records.
    #[arg(long, default_value = "tests/bench/figures")]
    pub(crate) into: PathBuf,
}

/// Which samples to take.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    /// Only these contestants.
    #[arg(long, value_delimiter = ',')]
    contestant: Vec<Contestant>,
    /// Only workloads that begin with one of these.
    #[arg(long, value_delimiter = ',')]
    workload: Vec<String>,
    /// Only this runtime.
    #[arg(long)]
    runtime: Option<Placement>,
    /// Samples of each contestant in each workload.
    #[arg(long, default_value_t = 3)]
    pub(crate) samples: usize,
    /// Milliseconds a sample measures, after a quarter of that to warm up.
    #[arg(long, default_value_t = 200)]
    pub(crate) time: u64,
    /// How much of the contents is compared.
    #[arg(long, default_value_t)]
    pub(crate) check: Thoroughness,
    /// How many idle streams, and how many idle sessions.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) idle: usize,
    /// The congestion control of all sockets, instead of that of the system.
    #[arg(long)]
    pub(crate) congestion: Option<Congestion>,
    /// Run every workload briefly: two short samples, no huge echoes, one runtime.
    #[arg(long)]
    quick: bool,
    /// Count system calls as well, with strace.
    #[arg(long)]
    pub(crate) syscalls: bool,
    /// The file for the samples.
    #[arg(long, default_value = "bench.json")]
    pub(crate) out: PathBuf,
}

impl RunArgs {
    /// Fills in what a quick run leaves out.
    pub(crate) fn settled(mut self) -> Self {
        if self.quick {
            self.samples = self.samples.min(2);
            self.time = self.time.min(120);
            self.runtime = self.runtime.or(Some(Placement::Shared));
        }
        self
    }

    /// The same samples under this congestion control.
    pub(crate) fn under(mut self, congestion: Congestion) -> Self {
        self.congestion = Some(congestion);
        self
    }

    /// The contestants asked for.
    pub(crate) fn contestants(&self) -> Vec<Contestant> {
        Contestant::iter()
            .filter(|c| self.contestant.is_empty() || self.contestant.contains(c))
            .collect()
    }

    /// The workloads asked for.
    pub(crate) fn workloads(&self) -> Vec<Workload> {
        let asked = |workload: &Workload| {
            let name = workload.to_string();
            if self.workload.is_empty() {
                !(self.quick && workload.is_huge())
            } else {
                self.workload.iter().any(|prefix| name.starts_with(prefix))
            }
        };
        Workload::all().into_iter().filter(asked).collect()
    }

    /// The runtimes asked for.
    pub(crate) fn placements(&self) -> Vec<Placement> {
        self.runtime.map_or_else(|| vec![Placement::Shared, Placement::Split], |one| vec![one])
    }
}

/// One sample.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct SampleArgs {
    /// Who.
    #[arg(long)]
    pub(crate) contestant: Contestant,
    /// What.
    #[arg(long)]
    pub(crate) workload: Workload,
    /// Where.
    #[arg(long)]
    pub(crate) runtime: Placement,
    /// Milliseconds to measure.
    #[arg(long, default_value_t = 250)]
    pub(crate) time: u64,
    /// Number of operations, instead of a time.
    #[arg(long)]
    pub(crate) ops: Option<u64>,
    /// How much of the contents is compared.
    #[arg(long, default_value_t)]
    pub(crate) check: Thoroughness,
    /// How many idle streams or sessions.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) idle: usize,
    /// The congestion control of all sockets.
    #[arg(long)]
    pub(crate) congestion: Option<Congestion>,
}

impl SampleArgs {
    /// The task these arguments describe.
    pub(crate) fn task(self) -> Task {
        let time = Budget::Time(Duration::from_millis(self.time));
        Task {
            contestant: self.contestant,
            workload: self.workload,
            placement: self.runtime,
            plan: Plan {
                budget: self.ops.map_or(time, Budget::Ops),
                thoroughness: self.check,
                idle: self.idle,
            },
        }
    }

    /// The command for a process that takes this sample.
    pub(crate) fn command(self) -> io::Result<process::Command> {
        let mut command = process::Command::new(env::current_exe()?);
        command.args(self.to_args());
        if self.workload == Workload::Peak {
            let returned = format!("glibc.malloc.mmap_threshold={}", peak::RETURNED);
            command.env("GLIBC_TUNABLES", returned);
        }
        Ok(command)
    }

    /// The arguments for a child process with these options.
    pub(crate) fn to_args(self) -> Vec<OsString> {
        let mut args = vec![OsString::from("sample")];
        args.extend(self.common_args());
        args.extend(option("--runtime", self.runtime));
        args.extend(option("--idle", self.idle));
        if let Some(ops) = self.ops {
            args.extend(option("--ops", ops));
        }
        args
    }

    /// The arguments that the contestants in Go take, too.
    pub(crate) fn common_args(self) -> Vec<OsString> {
        let mut args = Vec::new();
        args.extend(option("--contestant", self.contestant));
        args.extend(option("--workload", self.workload));
        args.extend(option("--time", self.time));
        args.extend(option("--check", self.check));
        if let Some(congestion) = self.congestion {
            args.extend(option("--congestion", congestion));
        }
        args
    }
}
