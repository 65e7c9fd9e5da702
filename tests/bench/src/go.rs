//! The contestants in Go: a program of its own takes their samples.

use std::{
    collections::BTreeMap,
    env, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use crate::{campaign::child, cli::SampleArgs};

/// The sources of the program.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/go");

/// The program, built at first use; `None` if Go is not installed, which is said once.
///
/// # Errors
///
/// If Go is missing although `MUXADO_REQUIRE_GO=1` is set, or the program cannot be built.
pub(crate) fn program() -> io::Result<Option<&'static Path>> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    if let Some(known) = PROGRAM.get() {
        return Ok(known.as_deref());
    }
    let found = build()?;
    if found.is_none() {
        eprintln!("The Go contestants are left out: Go is not installed (https://go.dev/dl).");
    }
    Ok(PROGRAM.get_or_init(|| found).as_deref())
}

fn build() -> io::Result<Option<PathBuf>> {
    let version = Command::new("go").arg("version").stdout(Stdio::null()).status();
    if !version.is_ok_and(|status| status.success()) {
        return if env::var("MUXADO_REQUIRE_GO").is_ok_and(|value| value == "1") {
            Err(io::Error::other("MUXADO_REQUIRE_GO=1 is set, and Go is not installed"))
        } else {
            Ok(None)
        };
    }
    let program = env::current_exe()?.with_file_name("muxado-bench-go");
    let mut command = Command::new("go");
    command.args(["build", "-trimpath", "-o"]).arg(&program).arg(".").current_dir(SOURCES);
    let output = command.output()?;
    if output.status.success() {
        Ok(Some(program))
    } else {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(io::Error::other(format!("the Go contestants do not build:\n{errors}")))
    }
}

/// The command for a sample. The program has one runtime for both ends, of two workers.
pub(crate) fn sample(program: &Path, sample: SampleArgs) -> Command {
    let mut command = Command::new(program);
    command.args(sample.common_args());
    command
}

/// The versions of Go and of the modules.
pub(crate) fn versions(program: &Path) -> io::Result<BTreeMap<String, String>> {
    let patience = std::time::Duration::from_secs(10);
    let output = child(Command::new(program).arg("--versions"), patience)?;
    Ok(serde_json::from_str(&output)?)
}
