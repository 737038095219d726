//! The facts about a transfer that is looked up by its id.

use serde_json::{Map, Value, json};

use super::running::{Ended, Failure, Report};
use crate::base::advice::{Advice, Step};
use crate::base::causes::sentence;
use crate::base::ids::JobId;

/// The state of a transfer, or its result.
#[derive(Debug, Clone)]
pub struct Look {
    /// `success`, `state` (`running`, `succeeded`, `failed`), `job_id`, the report's fields; for a failed one `code`, `error`, `hint`, `retryable`.
    pub facts: Value,
}

impl Look {
    /// Describes a transfer by its worded report.
    pub(super) fn of<R: Report>(id: JobId, report: &R, ended: Option<&Ended<R>>) -> Self {
        let report = serde_json::to_value(report).unwrap_or_default();
        let head = match ended {
            None => json!({"success": true, "state": "running", "job_id": id}),
            Some(Ok(())) => json!({"success": true, "state": "succeeded", "job_id": id}),
            Some(Err(error)) => failed(id, error),
        };
        let mut facts = Map::new();
        for part in [head, report] {
            let Value::Object(part) = part else { continue };
            for (name, value) in part {
                facts.entry(name).or_insert(value);
            }
        }
        if let Some(Err(_)) = ended {
            // The error replaces the progress.
            facts.retain(|name, _| {
                !matches!(
                    name.as_str(),
                    "status" | "message" | "problem" | "next_step"
                )
            });
        }
        Self::from_facts(Value::Object(facts))
    }

    /// Repeats recorded facts.
    pub(super) fn from_facts(facts: Value) -> Self {
        Self { facts }
    }

    /// Describes a transfer that another bridge is running.
    pub(super) fn elsewhere(id: JobId) -> Self {
        let later = Advice::from("Call ")
            + Step::Output { job: None }
            + " again later to see how it ended.";
        Self::from_facts(json!({
            "success": true, "state": "running", "job_id": id,
            "message": "Another smart-colab process on this computer is running this transfer.",
            "next_step": later,
        }))
    }

    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.facts["success"] == false
    }
}

fn failed(id: JobId, error: &impl Failure) -> Value {
    json!({
        "success": false, "state": "failed", "job_id": id, "code": error.code(), "error": sentence(error),
        "hint": error.remedy(), "retryable": error.is_retryable(),
    })
}
