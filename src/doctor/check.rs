//! One check, and a chain of checks that depend on each other.

use crate::base::advice::Advice;
use crate::base::causes::sentence;
use crate::base::fault::Fault;
use crate::runtime::RuntimeError;

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Ok,
    /// Something works, but not as it should.
    Warning,
    Failed,
    /// Not needed here, or impossible after the failure of another check.
    Skipped,
}

impl State {
    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One thing that was looked at. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The stable name; several checks may share one.
    pub name: String,
    pub state: State,
    /// For people.
    pub seen: String,
    /// Empty where nothing has to be done.
    pub remedy: Advice,
}

impl Check {
    pub(super) fn ok(name: &str, seen: impl Into<String>) -> Self {
        Self::new(name, State::Ok, seen, "")
    }

    pub(super) fn warning(name: &str, seen: impl Into<String>, remedy: impl Into<Advice>) -> Self {
        Self::new(name, State::Warning, seen, remedy)
    }

    pub(super) fn failed(name: &str, seen: impl Into<String>, remedy: impl Into<Advice>) -> Self {
        Self::new(name, State::Failed, seen, remedy)
    }

    /// For an error that has a remedy of its own.
    pub(super) fn fault(name: &str, error: &impl Fault) -> Self {
        Self::failed(name, sentence(error), error.remedy())
    }

    pub(super) fn skipped(name: &str, why: impl Into<String>) -> Self {
        Self::new(name, State::Skipped, why, "")
    }

    /// A check that did not end in time.
    pub(super) fn late(name: &str) -> Self {
        let remedy =
            "A program or a disk of this computer may hang. Look which, then run this again.";
        Self::failed(name, "this did not end in time", remedy)
    }

    fn new(name: &str, state: State, seen: impl Into<String>, remedy: impl Into<Advice>) -> Self {
        Self {
            name: name.to_owned(),
            state,
            seen: seen.into(),
            remedy: remedy.into(),
        }
    }
}

/// The reason why the rest of a chain is skipped.
pub(super) type Reason = String;

/// Checks of which each needs those before it.
#[derive(Debug)]
pub(super) struct Chain {
    names: &'static [&'static str],
    checks: Vec<Check>,
}

impl Chain {
    pub(super) fn new(names: &'static [&'static str]) -> Self {
        let checks = Vec::new();
        Self { names, checks }
    }

    pub(super) fn add(&mut self, check: Check) {
        self.checks.push(check);
    }

    pub(super) fn ok(&mut self, name: &str, seen: impl Into<String>) {
        self.add(Check::ok(name, seen));
    }

    /// Adds a failed check and returns why the rest is skipped.
    pub(super) fn fail(
        &mut self,
        name: &str,
        seen: impl Into<String>,
        remedy: impl Into<Advice>,
    ) -> Reason {
        self.add(Check::failed(name, seen, remedy));
        format!("needs {name}")
    }

    /// The same for an error of a runtime. Nothing was sent here whose fate would matter.
    pub(super) fn fault(&mut self, name: &str, error: &RuntimeError) -> Reason {
        self.fail(name, sentence(error), error.next_step())
    }

    /// The first name whose check was not added.
    pub(super) fn next(&self) -> &'static str {
        let is_next = |name: &&&str| self.checks.iter().all(|check| check.name != **name);
        self.names.iter().find(is_next).copied().unwrap_or_default()
    }

    /// Returns all checks, in the order of their names; those that were not added are skipped.
    pub(super) fn end(mut self, reason: &str) -> Vec<Check> {
        for name in self.names {
            if self.checks.iter().all(|check| check.name != *name) {
                self.checks.push(Check::skipped(name, reason));
            }
        }
        let place = |check: &Check| self.names.iter().position(|name| *name == check.name);
        self.checks.sort_by_key(place);
        self.checks
    }
}
