//! The programs of this repository that cargo builds, for tests and commands that start them.
//!
//! They are built with the caller's settings, so shared parts are already built: after the README's
//! command for all tests nothing is left to build.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Builds all examples of the workspace; returns their programs by name.
///
/// # Errors
///
/// If cargo cannot run, or the build fails.
pub fn examples() -> io::Result<HashMap<String, PathBuf>> {
    build(&["--workspace", "--examples"], callers_profile())
}

/// Builds one example of a package in a profile of the workspace.
///
/// # Errors
///
/// If cargo cannot run, or the build fails.
pub fn example(package: &str, name: &str, profile: &str) -> io::Result<PathBuf> {
    let what = ["--package", package, "--example", name];
    let mut programs = build(&what, profile)?;
    programs.remove(name).ok_or_else(|| io::Error::other(format!("cargo has built no {name}")))
}

/// Builds one of the programs of a package.
///
/// # Errors
///
/// If cargo cannot run, or the build fails.
pub fn binary(package: &str, name: &str) -> io::Result<PathBuf> {
    let mut programs = build(&["--package", package, "--bin", name], callers_profile())?;
    programs.remove(name).ok_or_else(|| io::Error::other(format!("cargo has built no {name}")))
}

/// The profile of the running program, or one much like it.
const fn callers_profile() -> &'static str {
    if cfg!(debug_assertions) { "dev" } else { "release" }
}

fn build(what: &[&str], profile: &str) -> io::Result<HashMap<String, PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.arg("build").args(what).args(["--all-features", "--quiet", "--message-format", "json"]);
    command.arg("--manifest-path").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    command.arg("--target-dir").arg(target()?).args(["--profile", profile]);
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("cargo cannot build {}", what.join(" "))));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let messages = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    Ok(messages.filter_map(|message| program(&message)).collect())
}

/// The target directory of the running program, which is `PROFILE/PROGRAM` or
/// `PROFILE/deps/PROGRAM` in it.
fn target() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let mut profiles = program.ancestors().skip(1).filter(|path| !path.ends_with("deps"));
    let target = profiles.nth(1).map(Path::to_owned);
    target.ok_or_else(|| io::Error::other("this program is in no target directory"))
}

/// The name and the path of a program that cargo reports as built.
fn program(message: &Value) -> Option<(String, PathBuf)> {
    let path = message["executable"].as_str()?;
    Some((message["target"]["name"].as_str()?.to_owned(), path.into()))
}
