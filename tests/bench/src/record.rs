//! The result file of a benchmark: every sample, and the context of the measurement.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, BufWriter, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{
    contestants::Contestant,
    machine::{Machine, Noise},
    measure::Outcome,
    runtime::Placement,
    workloads::Workload,
};

/// A benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// When it began, UTC.
    pub(crate) began: String,
    /// How many seconds it took.
    pub(crate) took: f64,
    /// Where it ran.
    pub(crate) machine: Machine,
    /// The versions of the compared packages.
    pub(crate) versions: BTreeMap<String, String>,
    /// How it was called.
    pub(crate) command: String,
    /// The samples, in the order in which they were taken.
    pub(crate) samples: Vec<Sample>,
    /// System calls, if they were counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) calls: Vec<Calls>,
    /// The benchmark of the core alone, if it was run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) core: Vec<CoreFigure>,
}

/// A sample.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Who.
    pub(crate) contestant: Contestant,
    /// What.
    pub(crate) workload: Workload,
    /// Where its ends ran.
    pub(crate) placement: Placement,
    /// What it gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<Outcome>,
    /// Why it gave nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
    /// What else went on.
    pub(crate) noise: Noise,
}

/// System calls of both ends per operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Calls {
    /// Who.
    pub(crate) contestant: Contestant,
    /// What.
    pub(crate) workload: Workload,
    /// Where its ends ran.
    pub(crate) placement: Placement,
    /// How many.
    pub(crate) per_op: f64,
}

/// A figure of the core alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CoreFigure {
    /// What was measured.
    pub(crate) name: String,
    /// How much it was.
    pub(crate) value: f64,
    /// Of what.
    pub(crate) unit: String,
}

impl Record {
    /// Reads a record.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_reader(BufReader::new(File::open(path)?))?)
    }

    /// Writes the record.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        serde_json::to_writer_pretty(&mut file, self)?;
        writeln!(file)?;
        file.flush()
    }
}
