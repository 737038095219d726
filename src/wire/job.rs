//! `/jobs`.

use serde::{Deserialize, Serialize};

use super::event::Event;
use super::state::{JobState, Reason};
use crate::base::ids::JobId;

/// The body of `PUT /jobs/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRequest {
    pub code: String,
    pub session: String,
    /// Seconds of run time, 1 to 43,200, not counting the time in the queue; for each step of a loop.
    pub timeout_sec: u64,
    #[serde(rename = "loop", skip_serializing_if = "Option::is_none")]
    pub iterations: Option<Iterations>,
    /// The code runs in this kernel or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_id: Option<String>,
    /// Where the kernels of the session start, if this makes it and the folder exists; by default in the content root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The user can be asked: `input()` asks.
    #[serde(default, skip_serializing_if = "is_no")]
    pub answers: bool,
}

/// What a job's code asks the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// A later question of the job has a higher number.
    pub number: u64,
    /// At most 2,000 characters; may be empty.
    pub prompt: String,
}

/// The body of `POST /jobs/{id}/input`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRequest {
    pub number: u64,
    /// One line; none without an answer.
    pub value: Option<String>,
    /// Why there is no value, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<NoAnswer>,
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoAnswer {
    /// The user declined.
    Declined,
    /// The input ended: EOFError.
    End,
}

/// Makes `code` the body of `for i in range(start, stop)`, which runs step by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Iterations {
    pub start: u64,
    pub stop: u64,
    /// Iterations of the whole operation, for progress.
    pub total: u64,
    pub on_error: OnError,
    /// Iterations a step, 1 to 100,000; none for all in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u64>,
    /// Where the iterations run, if not in the session's kernel: `local`, `local:WORKERS`, `dask`, an address, or a variable of the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Code that runs once in each worker process of the cluster. A job's description leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_setup: Option<String>,
    /// Code that runs once before the first iteration, in a step of its own. A job's description leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<String>,
    /// The iterations themselves, `stop` of them, of which the other fields count. A job's description leaves them out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Vec<u64>>,
}

/// Whether a failing iteration ends the operation, or is recorded, and the next one runs.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    #[default]
    Stop,
    Skip,
}

/// A job as the executor reports it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub session: String,
    pub state: JobState,
    pub reason: Option<Reason>,
    #[serde(default)]
    pub code_head: String,
    pub timeout_sec: f64,
    #[serde(default, rename = "loop")]
    pub iterations: Option<Iterations>,
    /// The loop's iterations before this number are reported, on a cluster as many; none where there is no loop.
    #[serde(default)]
    pub completed: Option<u64>,
    pub created_at: String,
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
    pub execution_time_sec: Option<f64>,
    /// New at every start of the session's kernel: same id, same variables.
    pub kernel_id: Option<String>,
    #[serde(default)]
    pub boot_id: String,
    #[serde(default)]
    pub variables_lost: bool,
    /// Beside `kernel_died`: how the kernel's process ended.
    #[serde(default)]
    pub kernel_exit: Option<KernelExit>,
    /// The `seq` of the newest event.
    pub last_seq: u64,
    pub log_bytes: u64,
    /// Length of the log when the job ended; anything after it was printed later, by a background thread or child process.
    #[serde(default)]
    pub log_bytes_at_end: Option<u64>,
    pub queue_position: Option<u64>,
    /// Beside a `queue_position`: the job that runs in its session.
    #[serde(default)]
    pub behind: Option<JobId>,
    /// Sending the job made its session.
    #[serde(default)]
    pub new_session: bool,
    /// What the code waits for an answer to.
    #[serde(default)]
    pub asking: Option<Question>,
    /// The cluster that the running loop runs on, once it is reached.
    #[serde(default)]
    pub cluster: Option<ClusterView>,
    /// False where output may be missing, which an executor's never is.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub output_complete: bool,
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_yes(complete: &bool) -> bool {
    *complete
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_no(answers: &bool) -> bool {
    !answers
}

/// The cluster of a running loop, as last seen: about once a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterView {
    /// The scheduler's address.
    pub scheduler: String,
    /// The address of dask's own dashboard, as seen from the runtime.
    pub dashboard: Option<String>,
    pub worker_count: u64,
    pub threads: u64,
    /// In use by the worker processes.
    pub memory_bytes: u64,
    pub limit_bytes: Option<u64>,
    /// The loop's tasks that a worker has begun, and that have not come back.
    pub tasks_running: u64,
    /// The loop's tasks that are sent and not begun.
    pub tasks_waiting: u64,
    /// At most 8 of them, those whose memory is fullest.
    pub workers: Vec<ClusterWorker>,
}

/// A worker process of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterWorker {
    pub name: String,
    pub threads: u64,
    pub memory_bytes: u64,
    pub limit_bytes: Option<u64>,
    /// Of all who use the cluster.
    pub tasks_running: u64,
    pub tasks_waiting: u64,
}

/// How a kernel's process ended, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelExit {
    /// Such as `SIGKILL`; none if it exited by itself.
    pub signal: Option<String>,
    /// The exit code; none if a signal ended it.
    pub code: Option<i64>,
    /// The system ended it, certainly or probably, because memory ran out.
    #[serde(default)]
    pub out_of_memory: bool,
    /// The process that all kernels are forked from was killed or crashed, and its kernels ended with it.
    #[serde(default, skip_serializing_if = "is_no")]
    pub orphaned: bool,
}

/// `GET /jobs`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobList {
    pub jobs: Vec<Job>,
}

/// A page of a job's events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventPage {
    pub job: Job,
    pub events: Vec<Event>,
    /// The `after` of the next call.
    pub next: u64,
    /// Further events are available already.
    pub more: bool,
}

/// `{"job": …}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobReply {
    pub job: Job,
}

/// The names that a cell defines and uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellNames {
    /// Set, deleted or changed in place.
    pub defines: Vec<String>,
    /// Read from before.
    pub uses: Vec<String>,
    /// The text does not tell all of them.
    pub opaque: bool,
}

/// The body of `POST /consents`: what the user has agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentRequest {
    pub statement: String,
}

/// The body of `POST /names`: sources of cells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamesRequest {
    pub cells: Vec<String>,
}

/// The reply to `POST /names`, in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamesReply {
    pub cells: Vec<CellNames>,
}
