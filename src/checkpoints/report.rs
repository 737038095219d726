//! The answer of `get_checkpoint`.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::checkpoint::{Change, Checkpoint, Skipped, Stop};
use super::error::CheckpointError;
use super::folder::Folder;
use super::plan;
use super::run::{KeptRun, Runs, Timing};
use crate::base::advice::{Advice, Step};
use crate::base::text::Excerpt;
use crate::edge::{journal, store};
use crate::wire::event::Reruns;
use crate::wire::job::OnError;

/// Newest results that a report shows; the file holds all.
const MAX_RESULTS_SHOWN: usize = 20;
const MAX_RESULT_BYTES_SHOWN: u64 = 16 * 1024;
/// Characters of the code that a report shows; the file holds all.
const MAX_CODE_CHARS_SHOWN: usize = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Made by `run_chunked_operation`.
    Chunked,
    /// Made by `run_code_long`.
    Result,
}

/// The plan of an operation: head and tail of each code, and the file with all of it.
#[derive(Debug, Serialize)]
pub struct PlanReport {
    pub setup_code: String,
    pub loop_code: String,
    pub batch_size: u64,
    pub on_error: OnError,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    pub file: String,
}

/// A checkpoint in detail. Fields of the other kind are null.
#[derive(Debug, Serialize)]
pub struct CheckpointReport {
    pub operation: String,
    pub kind: Kind,
    /// `succeeded`, `unfinished`, `failed`, `interrupted`; for a result, the state of its job.
    pub state: String,
    /// Iterations before this one finished.
    pub completed: Option<u64>,
    /// Iterations beyond that which are done, too, on a cluster; their results follow in their turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ahead: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reruns: Option<Reruns>,
    pub total: Option<u64>,
    pub remaining: Option<u64>,
    pub progress_pct: Option<f64>,
    pub can_continue: bool,
    pub skipped_count: Option<u64>,
    /// The first 20 iterations that failed and were skipped.
    pub skipped: Vec<Skipped>,
    /// The newest results, one for each iteration: `{"i": 3, "result": …}`.
    pub last_results: Vec<Value>,
    /// The file with all results.
    pub results: Option<String>,
    /// The operation's plan; its name alone resumes it.
    pub plan: Option<PlanReport>,
    /// Changes of the plan that kept the finished iterations, oldest first.
    pub history: Vec<Change>,
    /// Why the operation does not go on by itself.
    pub stop: Option<Stop>,
    /// The job in flight, or the one whose result this is.
    pub job_id: Option<String>,
    pub session: String,
    /// Head and tail of the code, and the file with all of it.
    pub code: Option<String>,
    pub code_file: Option<String>,
    /// Head and tail of the job's output, and the file with all of it.
    pub text: Option<String>,
    pub output_file: Option<String>,
    /// Pictures and other files of the job that were kept.
    pub files: Vec<String>,
    pub timing: Option<Timing>,
    /// The facts that the job ended with.
    pub facts: Option<KeptFacts>,
    /// The result of the previous run, while this one has none yet.
    pub previous: Option<Previous>,
    /// Notes on what could not be saved or fetched.
    pub notes: Vec<Advice>,
    pub updated_at: String,
    pub next_step: Advice,
}

/// Facts of an answer as they were saved. The advice in them is typed, so that a face words it.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeptFacts {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Advice>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Advice>,
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// A result that the next one will replace.
#[derive(Debug, Serialize)]
pub struct Previous {
    pub job_id: String,
    pub state: String,
    pub code_file: Option<String>,
    pub output_file: Option<String>,
    pub files: Vec<String>,
    pub timing: Timing,
}

pub(crate) fn report_operation(
    checkpoint: &Checkpoint,
    folder: &Folder,
) -> Result<CheckpointReport, CheckpointError> {
    let results = folder.results();
    let lines = journal::last_lines(
        &results,
        checkpoint.results_bytes,
        MAX_RESULTS_SHOWN,
        MAX_RESULT_BYTES_SHOWN,
    )
    .map_err(CheckpointError::disk(&results))?;
    let (state, next_step) = describe_state(checkpoint);
    Ok(CheckpointReport {
        operation: checkpoint.name.to_string(),
        kind: Kind::Chunked,
        state: state.to_owned(),
        completed: Some(checkpoint.completed),
        ahead: checkpoint.ahead_if_any(),
        reruns: checkpoint.reruns_if_any(),
        total: Some(checkpoint.total),
        remaining: Some(checkpoint.remaining()),
        progress_pct: Some(checkpoint.progress_pct()),
        can_continue: checkpoint.can_continue(),
        skipped_count: Some(checkpoint.all_skipped()),
        skipped: checkpoint.skipped.clone(),
        last_results: lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect(),
        results: Some(results.display().to_string()),
        plan: plan_of(checkpoint, folder),
        history: checkpoint.history.clone(),
        stop: checkpoint.stop.clone(),
        job_id: checkpoint
            .in_flight
            .as_ref()
            .map(|flight| flight.job_id.to_string()),
        session: checkpoint.session.clone(),
        code: None,
        code_file: None,
        text: None,
        output_file: None,
        files: Vec::new(),
        timing: None,
        facts: None,
        previous: None,
        notes: checkpoint
            .marked_note()
            .into_iter()
            .map(Advice::from)
            .collect(),
        updated_at: checkpoint.updated_at.clone(),
        next_step,
    })
}

fn plan_of(checkpoint: &Checkpoint, folder: &Folder) -> Option<PlanReport> {
    let plan = plan::kept(folder, checkpoint)?;
    Some(PlanReport {
        setup_code: excerpt(&plan.setup_code),
        loop_code: excerpt(&plan.loop_code),
        batch_size: plan.batch_size,
        cluster: plan.cluster.clone(),
        on_error: plan.on_error,
        file: folder.plan().display().to_string(),
    })
}

/// An operation's state, and what to do next.
pub(crate) fn describe_state(checkpoint: &Checkpoint) -> (&'static str, Advice) {
    match &checkpoint.stop {
        _ if checkpoint.is_finished() => (
            "succeeded",
            "All iterations are done; the results file holds the result of each.".into(),
        ),
        Some(stop) if stop.interrupted => ("interrupted", stop.hint.clone()),
        Some(stop) => ("failed", stop.hint.clone()),
        None => {
            let name = checkpoint.name.as_str();
            let again = Advice::from(Step::RunChunked)
                + format!(" with checkpoint_name {name:?} alone resumes it.");
            let next = if checkpoint.in_flight.is_some() {
                (Advice::from(Step::output(name))
                    + " follows the job under way, which runs on by itself.")
                    .then("If that was lost, ")
                    + again
            } else {
                again
            };
            ("unfinished", next)
        }
    }
}

pub(crate) fn report_result(runs: Runs) -> Result<CheckpointReport, CheckpointError> {
    let run = runs.newest;
    let path = run.code();
    let code = store::read_if_there(&path).map_err(CheckpointError::disk(&path))?;
    let state = run.state().to_owned();
    let next_step = match state.as_str() {
        "succeeded" if run.is_whole => "This is the whole result.".into(),
        "running" | "queued" => {
            Advice::from("The code is still running: ")
                + Step::Output { job: None }
                + " with the job_id waits for it; its result will be kept here."
        }
        "unknown" => "It is not known yet whether the code arrived. Call again.".into(),
        _ if run.is_whole => "Read the facts: they say what went wrong and what to do.".into(),
        _ => {
            "The code has ended, but not all of its output has been fetched yet: call again.".into()
        }
    };
    Ok(CheckpointReport {
        operation: run.name.to_string(),
        kind: Kind::Result,
        state,
        completed: None,
        ahead: None,
        reruns: None,
        total: None,
        remaining: None,
        progress_pct: None,
        can_continue: false,
        skipped_count: None,
        skipped: Vec::new(),
        last_results: Vec::new(),
        results: None,
        plan: None,
        history: Vec::new(),
        stop: None,
        code: code.map(|code| excerpt(&String::from_utf8_lossy(&code))),
        code_file: if_there(&run.code()),
        output_file: if_there(&run.output()),
        job_id: Some(run.job_id),
        session: run.session,
        text: Some(run.text),
        files: run.files,
        timing: Some(run.timing),
        facts: serde_json::from_value(run.facts).unwrap_or_default(),
        previous: runs.previous.map(Previous::of),
        notes: run.notes,
        updated_at: run.saved_at,
        next_step,
    })
}

impl Previous {
    fn of(run: KeptRun) -> Self {
        Self {
            state: run.state().to_owned(),
            code_file: if_there(&run.code()),
            output_file: if_there(&run.output()),
            job_id: run.job_id,
            files: run.files,
            timing: run.timing,
        }
    }
}

fn excerpt(code: &str) -> String {
    let mut excerpt = Excerpt::new(MAX_CODE_CHARS_SHOWN);
    excerpt.push(code);
    excerpt.render()
}

fn if_there(path: &Path) -> Option<String> {
    path.exists().then(|| path.display().to_string())
}
