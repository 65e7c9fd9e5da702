//! Outcomes as text, JSON and JUnit XML.

mod junit;

use std::fmt;

use serde::Serialize;

use super::case::Class;
use super::runner::{Outcome, Status};
use super::settings::Settings;

pub use junit::junit;

/// The results of the cases of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Cases that passed.
    pub passed: usize,
    /// Cases that failed, including those without a connection.
    pub failed: usize,
    /// Cases that do not apply to the endpoint.
    pub skipped: usize,
}

impl Count {
    /// Counts the outcomes of `class`.
    pub fn of(outcomes: &[Outcome], class: Class) -> Self {
        let mut count = Self::default();
        for outcome in outcomes.iter().filter(|outcome| outcome.class == class) {
            match outcome.status {
                Status::Passed => count.passed += 1,
                Status::Failed | Status::Error => count.failed += 1,
                Status::Skipped => count.skipped += 1,
            }
        }
        count
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// The line of one case.
pub fn line(outcome: &Outcome) -> String {
    let status = match outcome.status {
        Status::Passed => "pass",
        Status::Failed => "FAIL",
        Status::Skipped => "skip",
        Status::Error => "ERROR",
    };
    format!(
        "{status:<5} {class:<6} {name:<31} §{rule:<5} {given} | expected: {expected} | seen: {seen}",
        class = outcome.class,
        name = outcome.name,
        rule = outcome.rule,
        given = outcome.given,
        expected = outcome.expected,
        seen = match &outcome.wanted {
            Some(wanted) => format!("{} instead of {wanted}", outcome.seen),
            None => outcome.seen.clone(),
        },
    )
}

/// The last lines of a report.
pub fn summary(outcomes: &[Outcome]) -> String {
    format!(
        "MUST: {}\nSHOULD: {}",
        Count::of(outcomes, Class::Must),
        Count::of(outcomes, Class::Should)
    )
}

#[derive(Serialize)]
struct Report<'a> {
    role: super::settings::Role,
    typed: bool,
    must: Count,
    should: Count,
    cases: &'a [Outcome],
}

/// The report as JSON.
pub fn json(settings: &Settings, outcomes: &[Outcome]) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&Report {
        role: settings.role,
        typed: settings.typed,
        must: Count::of(outcomes, Class::Must),
        should: Count::of(outcomes, Class::Should),
        cases: outcomes,
    })
}
