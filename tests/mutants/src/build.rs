//! Writes the mutated core, leaves out what does not compile, and builds the tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::blame::{self, What};
use crate::list::Mutant;
use crate::rewrite::{Refused, rewrite};
use crate::sites;

/// A program with tests.
#[derive(Debug)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Where it is run: in its package, as cargo does.
    pub place: PathBuf,
}

/// What was built.
#[derive(Debug)]
pub struct Built {
    /// The programs with tests.
    pub programs: Vec<Program>,
    /// Mutants that do not compile.
    pub refused: Vec<u32>,
}

/// How often the compiler is asked what it does not take.
const ROUNDS: usize = 40;

/// Mutates the copy of the core in `work` and builds the tests.
pub fn build(root: &Path, work: &Path, mutants: &[Mutant]) -> Result<Built, String> {
    let mut files: BTreeMap<&str, Vec<&Mutant>> = BTreeMap::new();
    for mutant in mutants {
        files.entry(&mutant.file).or_default().push(mutant);
    }
    let mut sources = Vec::new();
    let mut refused = Refused::default();
    let fixed = mutants.iter().filter(|mutant| !mutant.has_switch);
    refused.mutants.extend(fixed.map(|mutant| mutant.number));
    for (name, mutants) in &files {
        let text = read(&root.join(name))?;
        let (sites, lost) =
            sites::find(&text, mutants).map_err(|what| format!("{name}: {what}"))?;
        if let Some(mutant) = lost.first() {
            return Err(format!("no place for {}", mutant.describe()));
        }
        sources.push((*name, text, sites));
    }
    for round in 1..=ROUNDS {
        for (name, text, sites) in &sources {
            write(&work.join(name), &rewrite(text, sites, &refused))?;
        }
        open_switch(work)?;
        let before = (refused.mutants.len(), refused.plain.len());
        let messages =
            cargo(work, &["check", "-p", "muxado-proto", "--features", "audit", "--all-targets"])?;
        let errors: Vec<&Value> = messages.iter().filter(|message| is_error(message)).collect();
        if errors.is_empty() {
            let mut numbers: Vec<u32> = refused.mutants.iter().copied().collect();
            numbers.sort_unstable();
            return Ok(Built { programs: programs(work)?, refused: numbers });
        }
        for (name, _, sites) in &sources {
            let pieces = blame::pieces(&read(&work.join(name))?);
            for &error in &errors {
                for bytes in places(error, name) {
                    match blame::innermost(&pieces, &bytes) {
                        Some(What::Mutant(number)) => {
                            refused.mutants.insert(number);
                        }
                        // The second time, all mutants of the site are at fault.
                        Some(What::Site(number)) if !refused.plain.insert(number) => {
                            let site = sites.iter().find(|site| site.mutants[0].number == number);
                            let all = site.iter().flat_map(|site| &site.mutants);
                            refused.mutants.extend(all.map(|mutant| mutant.number));
                        }
                        _ => {}
                    }
                }
            }
        }
        println!(
            "round {round}: {} errors; {} mutants refused",
            errors.len(),
            refused.mutants.len()
        );
        if before == (refused.mutants.len(), refused.plain.len()) {
            let text = errors.iter().filter_map(|error| error["message"]["rendered"].as_str());
            return Err(text.collect::<String>() + "no mutant is to blame for these errors");
        }
    }
    Err(format!("it does not compile after {ROUNDS} rounds"))
}

/// What an earlier run has built from the same core.
pub fn again(work: &Path, mutants: &[Mutant]) -> Result<Built, String> {
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    let mut refused = Vec::new();
    for mutant in mutants {
        if !texts.contains_key(mutant.file.as_str()) {
            texts.insert(&mutant.file, read(&work.join(&mutant.file))?);
        }
        if !texts[mutant.file.as_str()].contains(&crate::rewrite::switch(mutant)) {
            refused.push(mutant.number);
        }
    }
    Ok(Built { programs: programs(work)?, refused })
}

/// Adds the switch to the core.
fn open_switch(work: &Path) -> Result<(), String> {
    let source = work.join("muxado-proto/src");
    write(&source.join("switch.rs"), include_str!("switch.rs"))?;
    let path = source.join("lib.rs");
    let text = read(&path)?;
    if text.contains("mod switch;") {
        return Ok(());
    }
    let text = text.replace("#![no_std]", "#![feature(core_intrinsics, const_eval_select)]");
    write(&path, &text.replacen("\nmod config;", "\nmod config;\nmod switch;", 1))
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{path:?}: {error}"))
}

/// Writes only what has changed.
fn write(path: &Path, text: &str) -> Result<(), String> {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    std::fs::write(path, text).map_err(|error| format!("{path:?}: {error}"))
}

/// Runs cargo in the workspace; returns its messages.
fn cargo(work: &Path, arguments: &[&str]) -> Result<Vec<Value>, String> {
    let output = Command::new("cargo")
        .args(arguments)
        .arg("--message-format=json")
        // The switch is asked at run time and at compile time, which needs an intrinsic.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "--cap-lints=allow")
        .env("CARGO_TARGET_DIR", work.with_file_name("target"))
        .current_dir(work)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.lines().map(|line| serde_json::from_str(line).map_err(|e| e.to_string())).collect()
}

fn is_error(message: &Value) -> bool {
    message["reason"] == "compiler-message" && message["message"]["level"] == "error"
}

/// The bytes of a file that an error is about: where it is, or else what it mentions.
fn places(error: &Value, file: &str) -> Vec<std::ops::Range<usize>> {
    let spans = error["message"]["spans"].as_array().map_or(&[][..], Vec::as_slice);
    let of = |primary: bool| -> Vec<_> {
        let spans = spans.iter().filter(|span| {
            span["is_primary"] == primary
                && span["file_name"].as_str().is_some_and(|name| file.ends_with(name))
        });
        let bytes = |span: &Value, name: &str| {
            span[name].as_u64().and_then(|at| usize::try_from(at).ok()).unwrap_or(0)
        };
        spans.map(|span| bytes(span, "byte_start")..bytes(span, "byte_end")).collect()
    };
    let primary = of(true);
    if primary.is_empty() { of(false) } else { primary }
}

fn programs(work: &Path) -> Result<Vec<Program>, String> {
    let arguments = ["test", "--no-run", "--workspace", "--lib", "--tests"];
    let messages = cargo(work, &arguments)?;
    if let Some(error) = messages.iter().find(|message| is_error(message)) {
        return Err(error["message"]["rendered"].as_str().unwrap_or_default().to_owned());
    }
    let mut programs = Vec::new();
    for message in &messages {
        let Some(path) = message["executable"].as_str() else { continue };
        if message["profile"]["test"] != true {
            continue;
        }
        let manifest = PathBuf::from(message["manifest_path"].as_str().unwrap_or_default());
        programs.push(Program {
            name: message["target"]["name"].as_str().unwrap_or_default().to_owned(),
            path: path.into(),
            place: manifest.parent().unwrap_or(work).to_owned(),
        });
    }
    Ok(programs)
}
