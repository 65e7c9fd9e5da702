//! The mutants of the core, as cargo-mutants lists them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::sites::{self, Special};

/// A change to the core.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mutant {
    /// Its number, which the switch in the code compares with.
    pub number: u32,
    /// The file, relative to the root of the repository.
    pub file: String,
    /// What is changed, without a place: `replace + with - in Window::grow`.
    pub change: String,
    /// What kind of change it is.
    pub genre: Genre,
    /// What the code is replaced with.
    pub replacement: String,
    /// Whether it can be behind a switch.
    pub has_switch: bool,
    /// Line and column where the replaced code begins, both from 1.
    pub start: (usize, usize),
    /// The line of the change, without white space around it.
    pub line: String,
}

impl Mutant {
    /// What identifies the mutant when lines have moved.
    pub fn identity(&self) -> (&str, &str, &str) {
        (&self.file, &self.change, &self.line)
    }

    /// The place and the change.
    pub fn describe(&self) -> String {
        format!("{}:{}: {}", self.file, self.start.0, self.change)
    }
}

/// The kinds of changes that cargo-mutants makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Genre {
    /// A function returns a fixed value.
    FnValue,
    /// An operator is replaced.
    BinaryOperator,
    /// An operator is removed.
    UnaryOperator,
    /// An arm of a match is removed.
    MatchArm,
    /// The guard of an arm is `true` or `false`.
    MatchArmGuard,
    /// A field keeps the value of the base expression.
    StructField,
}

#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
    file: String,
    genre: Genre,
    replacement: String,
    span: Span,
}

#[derive(Debug, Deserialize)]
struct Span {
    start: Place,
}

#[derive(Debug, Deserialize)]
struct Place {
    line: usize,
    column: usize,
}

/// What is not tested here: the task layer, and what only tests compile (the feature `audit`).
const EXCLUDED: [&str; 6] = [
    "muxado-proto/src/task/**",
    "muxado-proto/src/digest.rs",
    "muxado-proto/src/session/audit.rs",
    "muxado-proto/src/session/fingerprint.rs",
    "muxado-proto/src/stream/store/audit.rs",
    "muxado-proto/src/stream/store/digest.rs",
];

/// Lists the mutants of the core below `root`.
pub fn list(root: &Path) -> Result<Vec<Mutant>, String> {
    let excluded = EXCLUDED.iter().flat_map(|file| ["--exclude", file]);
    let output = Command::new("cargo")
        .args(["mutants", "--list", "--json", "--package", "muxado-proto"])
        .args(excluded)
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo mutants (`cargo install cargo-mutants --locked`): {said}"));
    }
    let listed: Vec<Listed> = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("the list of cargo-mutants: {error}"))?;
    let mut sources: HashMap<String, Source> = HashMap::new();
    let mut mutants = Vec::new();
    for (listed, number) in listed.into_iter().zip(1..) {
        let source = match sources.entry(listed.file.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Source::read(&root.join(&listed.file))?),
        };
        let (line, column) = (listed.span.start.line, listed.span.start.column);
        let is_in = |special: &[RangeInclusive<usize>]| special.iter().any(|s| s.contains(&line));
        if is_in(&source.special.audit) {
            continue;
        }
        // A name is a path, a line, a column and the change.
        let change = listed.name.splitn(4, ':').last().unwrap_or_default().trim().to_owned();
        mutants.push(Mutant {
            number,
            change,
            genre: listed.genre,
            // Behind a switch, a function would return two types.
            has_switch: !listed.replacement.starts_with("::std::iter::")
                && !is_in(&source.special.constants),
            replacement: listed.replacement,
            start: (line, column),
            line: source.text.lines().nth(line - 1).unwrap_or_default().trim().to_owned(),
            file: listed.file,
        });
    }
    Ok(mutants)
}

/// Writes a list to a file.
pub fn save(mutants: &[Mutant], path: &Path) -> Result<(), String> {
    let text = serde_json::to_vec(mutants).map_err(|error| error.to_string())?;
    std::fs::write(path, text).map_err(|error| format!("{path:?}: {error}"))
}

/// Reads a list that was saved.
pub fn load(path: &Path) -> Result<Vec<Mutant>, String> {
    let text = std::fs::read(path).map_err(|error| format!("{path:?}: {error}"))?;
    serde_json::from_slice(&text).map_err(|error| format!("{path:?}: {error}"))
}

struct Source {
    text: String,
    special: Special,
}

impl Source {
    fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path:?}: {error}"))?;
        let special = sites::special(&text).map_err(|error| format!("{path:?}: {error}"))?;
        Ok(Self { text, special })
    }
}
