//! The figures, in the file and in comparison.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The cost of an operation, both ends together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    pub instructions: f64,
    pub allocations: f64,
    pub copied: f64,
    pub locks: f64,
}

/// What is recorded.
#[derive(Debug)]
pub struct Recorded {
    /// The version of the compiler, and the target.
    pub compiler: String,
    figures: BTreeMap<String, Figures>,
}

const HEAD: &str = "\
# What an operation costs, both ends together, counted by valgrind. `.ci/instructions` compares;
# `.ci/instructions --record` writes this file. CONTRIBUTING.md says when.
#
# instructions  of the program itself. What the C library does (the allocator, memcpy) differs from
#               machine to machine, so it is not in here; how often it is asked is.
# allocations   blocks of memory.
# copied        bytes that went through memcpy or memmove. Pieces of constant size that the compiler
#               copies in registers are instructions; the copies of the simulated transport itself are
#               not counted.
# locks         times a lock of the task layer was taken.
";

const COMPILER: &str = "compiler: ";

/// The text of the file.
pub fn record<'a>(
    compiler: &str,
    counted: impl Iterator<Item = (&'a str, &'a str, &'a Figures)> + Clone,
) -> String {
    let mut text = format!("{HEAD}#\n");
    for (name, operation, _) in counted.clone() {
        writeln!(text, "# {name:20}{operation}").expect("a string takes all");
    }
    writeln!(text, "\n{COMPILER}{compiler}\n").expect("a string takes all");
    writeln!(
        text,
        "# {:18}{:>14}{:>13}{:>14}{:>9}",
        "operation", "instructions", "allocations", "copied", "locks"
    )
    .expect("a string takes all");
    for (name, _, figures) in counted {
        let Figures { instructions, allocations, copied, locks } = figures;
        writeln!(
            text,
            "{name:20}{instructions:>14.1}{allocations:>13.2}{copied:>14.1}{locks:>9.2}"
        )
        .expect("a string takes all");
    }
    text
}

impl Recorded {
    /// Reads the file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut compiler = None;
        let mut figures = BTreeMap::new();
        let lines = text.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix(COMPILER) {
                compiler = Some(name.to_owned());
                continue;
            }
            let mut words = line.split_whitespace();
            let name = words.next().unwrap_or_default();
            let numbers: Vec<f64> = words.filter_map(|word| word.parse().ok()).collect();
            let [instructions, allocations, copied, locks] = numbers[..] else {
                return Err(format!("a line that is not a record: {line}"));
            };
            figures.insert(name.to_owned(), Figures { instructions, allocations, copied, locks });
        }
        let compiler = compiler.ok_or("the record names no compiler")?;
        Ok(Self { compiler, figures })
    }

    pub fn get(&self, name: &str) -> Option<&Figures> {
        self.figures.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.figures.keys().map(String::as_str)
    }
}

/// How a figure has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// By one percent at most.
    Same,
    More,
    Less,
}

impl Change {
    /// `unit` is the last digit that is recorded.
    fn of(before: f64, now: f64, unit: f64) -> Self {
        let tolerance = before / 100.0 + unit / 2.0;
        if now > before + tolerance {
            Self::More
        } else if now < before - tolerance {
            Self::Less
        } else {
            Self::Same
        }
    }
}

/// Prints how the figures of one operation have changed; `false` if one is above the recorded
/// value. Instructions are compared only if the compiler is that of the record.
pub fn judge(name: &str, before: &Figures, now: &Figures, same_compiler: bool) -> bool {
    let rows = [
        ("instructions", before.instructions, now.instructions, 0.1, same_compiler),
        ("allocations", before.allocations, now.allocations, 0.01, true),
        ("bytes copied", before.copied, now.copied, 0.1, true),
        ("locks", before.locks, now.locks, 0.01, true),
    ];
    let mut good = true;
    for (what, before, now, unit, judged) in rows {
        let said = match Change::of(before, now, unit) {
            Change::Same => continue,
            _ if !judged => "not judged: another compiler",
            Change::Less => "less: record it anew, so that it stays so",
            Change::More => {
                good = false;
                "MORE than recorded"
            }
        };
        println!("{name:20}{what:13}{before:>12.2} -> {now:>12.2}  {said}");
    }
    if good {
        println!("{name:20}ok, {:.1} instructions", now.instructions);
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIGURES: Figures =
        Figures { instructions: 1000.04, allocations: 0.0, copied: 64.0, locks: 2.5 };

    #[test]
    fn what_is_written_is_read() {
        let text = record("rustc 1", [("one", "an operation", &FIGURES)].into_iter());
        let recorded = Recorded::parse(&text).expect("it is well-formed");
        assert_eq!(recorded.compiler, "rustc 1");
        let expected = Figures { instructions: 1000.0, ..FIGURES };
        assert_eq!(recorded.get("one"), Some(&expected));
        assert_eq!(recorded.names().collect::<Vec<_>>(), ["one"]);
        assert!(Recorded::parse("one 1 2 3").is_err());
        assert!(Recorded::parse("one 1 2 3 4").is_err());
    }

    #[test]
    fn more_than_a_percent_above_is_too_much() {
        assert_eq!(Change::of(1000.0, 1010.0, 0.1), Change::Same);
        assert_eq!(Change::of(1000.0, 1010.2, 0.1), Change::More);
        assert_eq!(Change::of(1000.0, 989.8, 0.1), Change::Less);
        assert_eq!(Change::of(0.0, 0.01, 0.01), Change::More);
        let more = Figures { locks: 2.6, ..FIGURES };
        assert!(!judge("one", &FIGURES, &more, false));
        assert!(judge("one", &more, &FIGURES, false));
    }

    #[test]
    fn instructions_of_another_compiler_are_not_judged() {
        let more = Figures { instructions: 2000.0, ..FIGURES };
        assert!(!judge("one", &FIGURES, &more, true));
        assert!(judge("one", &FIGURES, &more, false));
    }
}
