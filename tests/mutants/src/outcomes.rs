//! A file with the outcome of each mutant, written as they come.
//!
//! A line is the outcome, a space and what identifies the mutant. The last line of a mutant counts.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::campaign::Outcome;
use crate::list::Mutant;

/// Outcomes of this run and of earlier ones.
#[derive(Debug)]
pub struct Outcomes {
    file: File,
    earlier: HashMap<String, Outcome>,
}

impl Outcomes {
    /// Opens the file. `keep`: what earlier runs have written counts.
    pub fn open(path: &Path, keep: bool) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("{path:?}: {error}");
        if !keep && path.exists() {
            fs::remove_file(path).map_err(failed)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        let text = fs::read_to_string(path).map_err(failed)?;
        let earlier = text.lines().filter_map(|line| {
            let (outcome, mutant) = line.split_once(' ')?;
            Some((mutant.to_owned(), parse(outcome)?))
        });
        Ok(Self { file, earlier: earlier.collect() })
    }

    /// What an earlier run has found.
    pub fn earlier(&self, mutant: &Mutant) -> Option<Outcome> {
        self.earlier.get(&name(mutant)).copied()
    }

    /// Writes an outcome.
    pub fn note(&self, mutant: &Mutant, outcome: Outcome) -> Result<(), String> {
        let line = format!("{outcome:?} {}\n", name(mutant));
        (&self.file).write_all(line.as_bytes()).map_err(|error| format!("outcomes: {error}"))
    }
}

/// What identifies a mutant when lines have moved. The column is for several on a line.
fn name(mutant: &Mutant) -> String {
    let (file, change, line) = mutant.identity();
    format!("{file}: {change}, at column {} of `{line}`", mutant.start.1)
}

fn parse(outcome: &str) -> Option<Outcome> {
    match outcome {
        "Failed" => Some(Outcome::Failed),
        "TooLong" => Some(Outcome::TooLong),
        "Survived" => Some(Outcome::Survived),
        "Unreached" => Some(Outcome::Unreached),
        _ => None,
    }
}
