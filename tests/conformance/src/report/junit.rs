//! JUnit XML, which continuous integration systems read.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::super::case::Class;
use super::super::runner::{Outcome, Status};

/// The report as JUnit XML, one suite per section. A failed SHOULD is reported as skipped, with
/// what was observed: it does not make the run a failure.
pub fn junit(outcomes: &[Outcome]) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("muxado-conformance");
    for section in outcomes.chunk_by(|a, b| section(a) == section(b)) {
        let mut suite = TestSuite::new(section.first().map_or("", self::section));
        suite.add_test_cases(section.iter().map(test_case));
        report.add_test_suite(suite);
    }
    report.to_string()
}

fn section(outcome: &Outcome) -> &'static str {
    outcome.name.split_once('/').map_or(outcome.name, |(section, _)| section)
}

fn test_case(outcome: &Outcome) -> TestCase {
    let mut status = match (outcome.status, outcome.class) {
        (Status::Passed, _) => TestCaseStatus::success(),
        (Status::Failed, Class::Must) => TestCaseStatus::non_success(NonSuccessKind::Failure),
        (Status::Error, _) => TestCaseStatus::non_success(NonSuccessKind::Error),
        (Status::Failed, Class::Should) | (Status::Skipped, _) => TestCaseStatus::skipped(),
    };
    if outcome.status != Status::Passed {
        status.set_message(format!("expected {}, seen {}", outcome.expected, outcome.seen));
        status.set_description(outcome.trace.join("\n"));
    }
    let mut case = TestCase::new(outcome.name, status);
    case.set_classname(format!("{} §{}", outcome.class, outcome.rule));
    case.set_time(Duration::from_millis(outcome.milliseconds));
    case
}
