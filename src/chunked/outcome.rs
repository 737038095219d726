//! The outcome of one call of an operation.

use serde::Serialize;

use super::ledger::Ledger;
use super::operation::End;
use super::output::Output;
use crate::base::advice::{Advice, Step};
use crate::base::fault::Fault;
use crate::checkpoints::checkpoint::Skipped;
use crate::jobs::keep::Kept;

/// Skipped iterations listed in an answer.
const MAX_SKIPPED_SHOWN: usize = 20;

/// The text, the kept files, and the facts.
#[derive(Debug)]
pub struct Outcome {
    pub text: String,
    pub kept: Kept,
    pub facts: Facts,
}

/// The last line of the answer. Fields that do not apply are absent.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    pub success: bool,
    /// `succeeded`, `running` (a job is running), `queued` (its job waits for other code), `paused` (nothing runs now), `failed`, `interrupted`.
    pub state: &'static str,
    pub operation: String,
    /// Iterations before this number are done.
    pub completed: u64,
    pub total: u64,
    pub remaining: u64,
    pub progress_pct: f64,
    pub can_continue: bool,
    /// Absent if the same call would only fail again: then the hint names the choices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_command: Option<Advice>,
    pub skipped_count: u64,
    /// The first of them; `get_checkpoint` lists more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    pub session: String,
    /// Path of the file with a JSON line for each iteration.
    pub results: String,
    /// Paths of the logs of this call's jobs, if the text omits something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Advice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Advice>,
}

impl Outcome {
    pub(super) fn of(end: End, ledger: Ledger, mut output: Output) -> Self {
        let queue = output.queue.take();
        let checkpoint = &ledger.checkpoint;
        let (job_id, job_runs) = (output.job.map(|id| id.to_string()), output.job_runs);
        let (text, kept) = output.finish();
        let can_continue = checkpoint.can_continue();
        let again = Advice::from("Call ")
            + Step::RunChunked
            + format!(
                " again with the same arguments (checkpoint_name {:?}).",
                checkpoint.name.as_str()
            );
        let mut facts = Facts {
            success: true,
            state: "succeeded",
            operation: checkpoint.name.to_string(),
            completed: checkpoint.completed,
            total: checkpoint.total,
            remaining: checkpoint.remaining(),
            progress_pct: checkpoint.progress_pct(),
            can_continue,
            next_command: can_continue.then_some(again),
            skipped_count: checkpoint.skipped_count,
            skipped: (checkpoint.skipped.iter())
                .take(MAX_SKIPPED_SHOWN)
                .cloned()
                .collect(),
            job_id,
            session: checkpoint.session.clone(),
            results: ledger.folder().results().display().to_string(),
            logs: (kept.logs.iter())
                .map(|path| path.display().to_string())
                .collect(),
            code: None,
            error: None,
            hint: None,
            retryable: None,
            notes: (ledger.notes.into_iter().map(Advice::from))
                .chain(kept.all_notes())
                .chain(checkpoint.marked_note().map(Advice::from))
                .collect(),
        };
        let unfinished = if job_runs { "running" } else { "paused" };
        match end {
            End::Finished => {
                let how = if checkpoint.ended_by_break {
                    "The loop ended by break."
                } else {
                    "All iterations are done."
                };
                let when = if facts.job_id.is_none() {
                    " They were done before this call, so nothing ran."
                } else {
                    ""
                };
                facts.hint =
                    Some(format!("{how}{when} A call with restart: true would start over.").into());
            }
            End::Deadline if queue.is_some() => {
                facts.state = "queued";
                facts.hint = queue;
            }
            End::Deadline => facts.state = unfinished,
            End::Cancelled => facts.fail(
                "interrupted",
                "cancelled",
                "the call was cancelled",
                "The completed iterations are kept.",
                true,
            ),
            End::Stopped => {
                if let Some(stop) = &checkpoint.stop {
                    let state = if stop.interrupted {
                        "interrupted"
                    } else {
                        "failed"
                    };
                    facts.fail(
                        state,
                        &stop.code,
                        &stop.error,
                        stop.hint.clone(),
                        stop.retryable,
                    );
                }
            }
            End::Trouble(error) => {
                let hint = Advice::from("The completed iterations are kept.").then(error.remedy());
                facts.fail(
                    unfinished,
                    error.code(),
                    &error.to_string(),
                    hint,
                    error.is_retryable(),
                );
            }
        }
        Self { text, kept, facts }
    }
}

impl Facts {
    fn fail(
        &mut self,
        state: &'static str,
        code: &str,
        error: &str,
        hint: impl Into<Advice>,
        retryable: bool,
    ) {
        self.success = false;
        self.state = state;
        self.code = Some(code.to_owned());
        self.error = Some(error.to_owned());
        self.hint = Some(hint.into());
        self.retryable = Some(retryable);
        self.next_command.take_if(|_| !retryable);
    }
}
