//! The outcome of one call of an operation.

use std::path::Path;

use serde::Serialize;

use super::output::Output;
use super::running::End;
use crate::base::advice::{Advice, Step};
use crate::base::fault::Fault;
use crate::base::text::Room;
use crate::checkpoints::checkpoint::{Checkpoint, Skipped};
use crate::jobs::body::Part;
use crate::jobs::keep::Kept;
use crate::wire::event::Reruns;
use crate::wire::job::ClusterView;

/// Skipped iterations listed in an answer.
const MAX_SKIPPED_SHOWN: usize = 20;

/// The facts, the output, and the kept files.
#[derive(Debug)]
pub struct Outcome {
    pub body: Vec<Part>,
    pub kept: Kept,
    pub facts: Facts,
    /// The call itself failed, at the runtime or the disk, rather than the operation.
    pub is_troubled: bool,
}

/// The first line of the answer. Fields that do not apply are absent.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    pub success: bool,
    /// `succeeded`, `running` (a job is running), `queued` (its job waits for other code), `paused` (nothing runs now), `failed`, `interrupted`.
    pub state: &'static str,
    pub operation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// The cursor of the job in flight, to pass to `get_output` with its `job_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Iterations before this number are done.
    pub completed: u64,
    /// Iterations beyond that which are done, too, on a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ahead: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reruns: Option<Reruns>,
    pub total: u64,
    pub remaining: u64,
    pub progress_pct: f64,
    pub can_continue: bool,
    /// Absent if the same call would only fail again: then the hint names the choices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_command: Option<Advice>,
    pub skipped_count: u64,
    /// The first 20 of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    pub session: String,
    /// The cluster that the iterations run on now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterView>,
    /// The call made the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_session: Option<bool>,
    /// Path of the file with a JSON line for each iteration.
    pub results: String,
    /// Paths of the logs of this call's jobs, if the text omits something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Advice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Advice>,
}

impl Outcome {
    /// `end`: how the call ended; `results`: the file of them.
    pub(super) fn new(
        end: End,
        checkpoint: &Checkpoint,
        results: &Path,
        notes: Vec<String>,
        (output, room): (Output, Room),
    ) -> Self {
        let (job_id, job_runs) = (output.job.map(|id| id.to_string()), output.job_runs);
        let (body, kept) = output.finish(room);
        let mut facts = Facts {
            success: true,
            state: "succeeded",
            operation: checkpoint.name.to_string(),
            job_id,
            next: (checkpoint.in_flight.as_ref()).map(|flight| flight.cursor),
            code: None,
            error: None,
            completed: checkpoint.completed,
            ahead: checkpoint.ahead_if_any(),
            reruns: checkpoint.reruns_if_any(),
            total: checkpoint.total,
            remaining: checkpoint.remaining(),
            progress_pct: checkpoint.progress_pct(),
            can_continue: checkpoint.can_continue(),
            next_command: next_command(checkpoint, &end, job_runs),
            skipped_count: checkpoint.all_skipped(),
            skipped: (checkpoint.skipped.iter())
                .take(MAX_SKIPPED_SHOWN)
                .cloned()
                .collect(),
            session: checkpoint.session.clone(),
            cluster: None,
            new_session: None,
            results: results.display().to_string(),
            logs: (kept.logs.iter())
                .map(|path| path.display().to_string())
                .collect(),
            hint: None,
            retryable: None,
            notes: (notes.into_iter().map(Advice::from))
                .chain(kept.all_notes())
                .chain(checkpoint.marked_note().map(Advice::from))
                .collect(),
        };
        let is_troubled = matches!(end, End::Trouble(_));
        facts.end(end, checkpoint, job_runs);
        Self {
            body,
            kept,
            facts,
            is_troubled,
        }
    }
}

impl Outcome {
    /// An operation as it stands on disk, with nothing of what it printed.
    pub(super) fn read(checkpoint: &Checkpoint, results: &Path) -> Self {
        let end = End::at_rest(checkpoint);
        let output = (Output::new(), Room::for_chars(0));
        Self::new(end, checkpoint, results, Vec::new(), output)
    }

    /// For one that another process of this computer follows.
    pub(super) fn followed_elsewhere(mut self, checkpoint: &Checkpoint) -> Self {
        let Some(flight) = checkpoint
            .in_flight
            .as_ref()
            .filter(|_| checkpoint.is_under_way())
        else {
            return self;
        };
        self.facts.state = "running";
        self.facts.job_id = Some(flight.job_id.to_string());
        let name = checkpoint.name.as_str();
        self.facts.next_command = Some(Advice::from(Step::output(name)) + " waits for more.");
        let note = Advice::from(
            "another smart-colab process on this computer follows it and keeps its results; what it prints is shown by ",
        ) + Step::output(flight.job_id);
        self.facts.notes.push(note);
        self
    }
}

/// The next command: follow an operation that runs by itself, or resume one that does not.
fn next_command(checkpoint: &Checkpoint, end: &End, job_runs: bool) -> Option<Advice> {
    if !checkpoint.can_continue() {
        return None;
    }
    let name = checkpoint.name.as_str();
    let runs = matches!(end, End::Deadline | End::Queued(_))
        || (job_runs && matches!(end, End::Trouble(_)));
    Some(if runs {
        Advice::from(Step::output(name))
            + " waits for more: it runs on by itself, whether or not anything calls."
    } else {
        Advice::from("Call ")
            + Step::RunChunked
            + format!(" with checkpoint_name {name:?} alone to go on.")
    })
}

impl Facts {
    fn end(&mut self, end: End, checkpoint: &Checkpoint, job_runs: bool) {
        let unfinished = if job_runs { "running" } else { "paused" };
        match end {
            End::Finished => {
                let how = if checkpoint.ended_by_break {
                    "The loop ended by break."
                } else {
                    "All iterations are done."
                };
                let when = if self.job_id.is_none() {
                    " That was so before: nothing ran now."
                } else {
                    ""
                };
                let next = if self.skipped_count > 0 {
                    "A call with retry_skipped: true runs the skipped ones again"
                } else {
                    "A call with restart: true starts over"
                };
                self.hint = Some(format!("{how}{when} {next}.").into());
            }
            End::Queued(ahead) => {
                self.state = "queued";
                self.hint = ahead;
            }
            End::Deadline => self.state = "running",
            End::Unsent => self.state = "paused",
            End::Cancelled => self.fail(
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
                    self.fail(
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
                self.fail(
                    unfinished,
                    error.code(),
                    &error.to_string(),
                    hint,
                    error.is_retryable(),
                );
            }
        }
    }

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
