//! What `run_code_long` keeps under a name.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checkpoint::now;
use super::error::ChunkedError;
use super::folder::Folder;
use super::plan::Name;
use crate::base::ids::JobId;
use crate::edge::store;
use crate::jobs::follow::Watch;
use crate::jobs::view::View;
use crate::jobs::{Jobs, Reading};

const VERSION: u64 = 1;

/// A job's output and facts, as it stands on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeptResult {
    version: u64,
    pub(super) name: Name,
    pub(super) job_id: String,
    pub(super) saved_at: String,
    pub(super) text: String,
    /// The facts that `run_code_long` answered with.
    pub(super) facts: Value,
    /// Pictures and other files that were kept.
    pub(super) files: Vec<String>,
}

impl KeptResult {
    /// Looks again at a job that was not over.
    pub(super) async fn renewed(&self, jobs: &Jobs, watch: &Watch<'_>) -> Option<View> {
        let runs = matches!(
            self.facts["state"].as_str(),
            Some("running" | "queued") | None
        );
        // With a cursor in its facts, only a part of it was read in time.
        if !runs && self.facts["next"].is_null() {
            return None;
        }
        let id: JobId = self.job_id.parse().ok()?;
        jobs.look(id, Reading::Whole, watch).await.ok()
    }
}

/// Notes a job before it is sent, so that its result is found even if the call that sent it never ends.
pub(super) fn begin(folder: &Folder, job: JobId) -> Result<(), ChunkedError> {
    let path = folder.pending();
    serde_json::to_vec(&job)
        .map_err(std::io::Error::from)
        .and_then(|bytes| store::write_atomic(&path, &bytes))
        .map_err(ChunkedError::disk(&path))
}

/// The job that was noted. A note that cannot be read is none.
pub(super) fn pending(folder: &Folder) -> Result<Option<JobId>, ChunkedError> {
    let path = folder.pending();
    let bytes = store::read_if_there(&path).map_err(ChunkedError::disk(&path))?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Forgets the note: the result is kept, or there will be none.
pub(super) fn end(folder: &Folder) -> Result<(), ChunkedError> {
    let path = folder.pending();
    store::remove_if_there(&path).map_err(ChunkedError::disk(&path))
}

pub(super) fn save(folder: &Folder, name: &Name, view: &View) -> Result<KeptResult, ChunkedError> {
    let path = folder.result();
    let kept = KeptResult {
        version: VERSION,
        name: name.clone(),
        job_id: view.summary.job_id.clone(),
        saved_at: now(),
        text: view.text.clone(),
        facts: serde_json::to_value(&view.summary).unwrap_or_default(),
        files: view
            .files
            .iter()
            .map(|file| file.path.display().to_string())
            .collect(),
    };
    serde_json::to_vec_pretty(&kept)
        .map_err(std::io::Error::from)
        .and_then(|bytes| store::write_atomic(&path, &bytes))
        .map_err(ChunkedError::disk(&path))?;
    Ok(kept)
}

pub(super) fn load(folder: &Folder) -> Result<Option<KeptResult>, ChunkedError> {
    let path = folder.result();
    let Some(bytes) = store::read_if_there(&path).map_err(ChunkedError::disk(&path))? else {
        return Ok(None);
    };
    let corrupt = |detail: String| ChunkedError::Corrupt {
        path: path.clone(),
        detail,
        previous: None,
    };
    let kept: KeptResult =
        serde_json::from_slice(&bytes).map_err(|error| corrupt(error.to_string()))?;
    if kept.version != VERSION {
        return Err(ChunkedError::OtherVersion {
            path,
            version: kept.version,
        });
    }
    Ok(Some(kept))
}
