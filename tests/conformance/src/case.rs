//! What a case is and how it ends.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use serde::Serialize;

use super::probe::Probe;

/// How much a failure weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Class {
    /// A peer that fails is broken: data is lost, a session ends without need, or continues when it
    /// has to end.
    Must,
    /// A quirk: wasteful or surprising, but another peer can handle it.
    Should,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
        })
    }
}

/// The sessions a case makes sense on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Typed or not.
    Any,
    /// Only where streams have no type.
    Untyped,
    /// Only where every stream begins with its type.
    Typed,
}

impl Scope {
    /// Whether a case of this scope runs on such a session.
    pub fn includes(self, typed: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Untyped => !typed,
            Self::Typed => typed,
        }
    }
}

/// Why a case ended early.
#[derive(Debug)]
pub enum Stop {
    /// The endpoint did something else than expected.
    Failed {
        /// What the case waited for or checked when it failed.
        wanted: String,
        /// What came instead.
        seen: String,
    },
    /// The case does not apply to this endpoint, for this reason.
    Skipped(String),
}

impl Stop {
    /// A failed check.
    pub fn failed(wanted: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::Failed { wanted: wanted.into(), seen: seen.into() }
    }
}

/// What a passing case has observed, or why the case did not pass.
pub type Verdict = Result<String, Stop>;

/// The body of a case, which runs on its own connection.
pub type Run = fn(Probe) -> Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// One check of one rule.
pub struct Case {
    /// `section/what`, unique.
    pub name: &'static str,
    /// How much a failure weighs.
    pub class: Class,
    /// The section of PROTOCOL.md that has the rule.
    pub rule: &'static str,
    /// What is done to the endpoint.
    pub given: &'static str,
    /// What it has to do.
    pub expected: &'static str,
    /// The sessions it makes sense on.
    pub scope: Scope,
    /// The body.
    pub run: Run,
}

impl Case {
    /// A case whose failure means that the peer is broken.
    pub const fn must(
        name: &'static str,
        rule: &'static str,
        given: &'static str,
        expected: &'static str,
        run: Run,
    ) -> Self {
        Self { name, class: Class::Must, rule, given, expected, scope: Scope::Any, run }
    }

    /// A case whose failure is a quirk.
    pub const fn should(
        name: &'static str,
        rule: &'static str,
        given: &'static str,
        expected: &'static str,
        run: Run,
    ) -> Self {
        Self { class: Class::Should, ..Self::must(name, rule, given, expected, run) }
    }

    /// The same case, for sessions without types.
    #[must_use]
    pub const fn untyped(self) -> Self {
        Self { scope: Scope::Untyped, ..self }
    }

    /// The same case, for sessions with types.
    #[must_use]
    pub const fn typed(self) -> Self {
        Self { scope: Scope::Typed, ..self }
    }

    /// The part of the name before the slash.
    pub fn section(&self) -> &'static str {
        self.name.split_once('/').map_or(self.name, |(section, _)| section)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Turns an `async fn(Probe) -> Verdict` into the [`Run`] of a case.
macro_rules! run {
    ($body:path) => {
        |probe| Box::pin($body(probe))
    };
}
pub(super) use run;
