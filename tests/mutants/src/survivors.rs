//! The survivors that are explained, in `SURVIVORS.md`.
//!
//! An entry of the page is two lines, which name the mutant by its file, its change and the line of
//! code that is changed, and its reason:
//!
//! ```text
//! * `src/stream/window.rs`: replace > with >= in Window::is_due, at `if left > half {`.
//!   Why no test can or should notice it.
//! ```

use crate::list::Mutant;

/// A survivor with a reason.
#[derive(Debug, PartialEq, Eq)]
pub struct Survivor {
    file: String,
    change: String,
    line: String,
    /// Why it survives.
    pub reason: String,
}

impl Survivor {
    /// Whether the entry is about this mutant.
    pub fn is(&self, mutant: &Mutant) -> bool {
        mutant.identity() == (&self.file, &self.change, &self.line)
    }

    /// What identifies it.
    pub fn describe(&self) -> String {
        format!("{}: {}, at `{}`", self.file, self.change, self.line)
    }
}

/// The entry of a mutant on the page, without its reason.
pub fn entry(mutant: &Mutant) -> String {
    let file = mutant.file.trim_start_matches("muxado-proto/");
    format!("* `{file}`: {}, at `{}`.", mutant.change, mutant.line)
}

/// Reads the page.
pub fn parse(page: &str) -> Result<Vec<Survivor>, String> {
    let mut survivors: Vec<Survivor> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("* `") {
            let parts = rest.split_once("`: ").and_then(|(file, rest)| {
                let (change, line) = rest.strip_suffix("`.")?.rsplit_once(", at `")?;
                Some((file, change, line))
            });
            let (file, change, line) = parts.ok_or(format!("SURVIVORS.md: {line}"))?;
            survivors.push(Survivor {
                file: format!("muxado-proto/{file}"),
                change: change.to_owned(),
                line: line.to_owned(),
                reason: String::new(),
            });
            inside = true;
        } else if inside && line.starts_with("  ") {
            let Some(last) = survivors.last_mut() else { continue };
            last.reason.push_str(line.trim());
        } else {
            inside = false;
        }
    }
    match survivors.iter().find(|survivor| survivor.reason.is_empty()) {
        Some(survivor) => Err(format!("SURVIVORS.md: no reason for {}", survivor.describe())),
        None => Ok(survivors),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::Genre;

    #[test]
    fn an_entry_is_found_again() {
        let mutant = Mutant {
            number: 1,
            file: "muxado-proto/src/a.rs".into(),
            change: "replace > with >= in f".into(),
            genre: Genre::BinaryOperator,
            replacement: ">=".into(),
            has_switch: true,
            start: (1, 1),
            line: "if a > b {".into(),
        };
        let page = format!("# Survivors\n\n{}\n  Both are the same.\n", entry(&mutant));
        let survivors = parse(&page).expect("a page");
        assert_eq!(survivors.len(), 1);
        assert!(survivors[0].is(&mutant));
        assert_eq!(survivors[0].reason, "Both are the same.");
        assert!(parse(&entry(&mutant)).is_err(), "a reason is needed");
    }
}
