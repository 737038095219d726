//! `/sessions`, `/variables`, `/cleanup`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    Starting,
    Idle,
    Busy,
    /// No kernel now; the next job starts one.
    Dead,
}

/// Whether the executor accepts `name` for a session: 1 to 64 letters, digits, `_` and `-`.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    (1..=64).contains(&name.len()) && name.chars().all(is_plain)
}

/// The name of the session in a Jupyter server's kernel, by the id that the server gives it.
#[must_use]
pub fn name_of_adopted(kernel: &str) -> String {
    format!("kernel-{kernel}")
}

/// The id that a Jupyter server gave to the kernel of the session with this name; none for a session with a kernel of its own.
#[must_use]
pub fn kernel_of_adopted(name: &str) -> Option<&str> {
    let id = name.strip_prefix("kernel-")?;
    let is_id = id.len() == 36 && Uuid::try_parse(id).is_ok_and(|found| found.to_string() == id);
    is_id.then_some(id)
}

/// A named kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    pub name: String,
    pub state: SessionState,
    /// The id of the Jupyter server's kernel that it uses; none where the kernel is the executor's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_job: Option<String>,
    pub queued_jobs: u64,
    pub execution_count: u64,
    /// Seconds since its last job ended; null while it is not idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_sec: Option<f64>,
    /// Resident memory of the kernel and its child processes; null without a kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<f64>,
}

/// `GET /sessions`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionList {
    pub sessions: Vec<Session>,
}

/// The reply to `POST /sessions/{name}/restart`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Restarted {
    pub session: Session,
    /// Jobs that ran or waited there.
    pub ended_jobs: Vec<String>,
}

/// The reply to `DELETE /sessions/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Jobs that ran or waited there.
    pub ended_jobs: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variable {
    pub name: String,
    #[serde(rename = "type")]
    pub type_name: String,
    pub shape: Option<Vec<u64>>,
    pub length: Option<u64>,
    pub bytes: Option<u64>,
    pub repr: String,
}

/// The source of a list of variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariableSource {
    Live,
    /// As of the last idle moment: the kernel is busy.
    Snapshot,
    /// The session has no kernel.
    None,
}

/// The reply to `GET /variables`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variables {
    pub session: String,
    pub kernel_id: Option<String>,
    pub source: VariableSource,
    pub as_of: Option<String>,
    pub variables: Vec<Variable>,
    pub total: u64,
}

/// The body of `POST /cleanup`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanupRequest {
    pub session: String,
    pub temp_files: bool,
    /// Only these; all of them where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variables: Option<Vec<String>>,
}

/// The reply to `POST /cleanup`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cleanup {
    pub session: String,
    pub cleared_variables: Vec<String>,
    /// Other variables that hold a considerable part of what was cleared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_by: Vec<String>,
    pub collected_objects: u64,
    pub cuda_cache_emptied: bool,
    pub figures_closed: u64,
    pub deleted_files: Vec<String>,
    /// Memory available on the machine before the cleanup.
    pub memory_before_gb: f64,
    pub memory_after_gb: f64,
    /// Memory that the session's Python process gave back.
    pub freed_mb: f64,
}
