//! Checkpoints on this computer, by name: the progress of a chunked operation, or the result of a run of code.
//!
//! - `name`: which names there may be; `folder`: the files of one name;
//! - [`plan`]: what an operation is to do; `checkpoint`: its state, as it stands on disk; `ahead`: iterations that finished
//!   before an earlier one; `retry`: skipped iterations that run again; `replaced`: what one that starts over replaces; `run`: a run's
//!   record, likewise;
//! - `keeping`: runs of code under a name, from before they are sent until all of theirs is here;
//! - [`report`]: one of them, as it is read; [`shelf`]: all of them, in a list, and removing one.
//!
//! May import `base`, `wire`, `edge`, `runtime`, `connection`, `caller`, `jobs`, `transfer`; knows nothing of MCP, nor of how an operation runs.

pub(crate) mod ahead;
pub(crate) mod checkpoint;
mod cluster;
mod error;
pub(crate) mod folder;
mod keeping;
mod name;
pub mod plan;
mod replaced;
pub mod report;
pub(crate) mod retry;
mod run;
pub mod shelf;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::jobs::Jobs;
use crate::runtime::RuntimeError;
pub use error::CheckpointError;
use folder::Folder;
pub use keeping::{Keeping, NamedRun};
pub use name::Name;
use report::CheckpointReport;

/// Characters of a wrong argument that its error repeats.
const MAX_SHOWN_CHARS: usize = 64;

/// A job, or an operation whose jobs change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    Job(JobId),
    Operation(Name),
}

/// All that is kept under names in one folder.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    jobs: Arc<Jobs>,
    dir: PathBuf,
}

impl Checkpoints {
    /// Keeps checkpoints in `dir`, which is created with the first one.
    #[must_use]
    pub fn new(jobs: Arc<Jobs>, dir: PathBuf) -> Self {
        Self { jobs, dir }
    }

    /// Reports the checkpoint of a name. A result whose code was still running is refreshed within the caller's deadline.
    ///
    /// # Errors
    /// [`CheckpointError::NotFound`], with the existing names; `Corrupt` and `OtherVersion` for a file that cannot be read.
    pub async fn get(
        &self,
        operation: &str,
        caller: &Caller<'_>,
    ) -> Result<CheckpointReport, CheckpointError> {
        let name = Name::new(operation)?;
        let folder = self.folder(&name);
        if let Some(checkpoint) = folder.load()? {
            return report::report_operation(&checkpoint, &folder);
        }
        if let Some(report) = self.result(&name, &folder, caller).await? {
            return Ok(report);
        }
        Err(self.not_found(operation))
    }

    pub(crate) fn not_found(&self, operation: &str) -> CheckpointError {
        CheckpointError::NotFound {
            operation: operation.to_owned(),
            known: folder::list_names(&self.dir),
        }
    }

    /// Parses the id of a job, or the name of a checkpoint. Reads the disk.
    ///
    /// # Errors
    /// [`CheckpointError::Invalid`] for what can be neither.
    pub fn named(&self, text: &str) -> Result<Named, CheckpointError> {
        if let Ok(id) = text.parse() {
            return Ok(Named::Job(id));
        }
        let Ok(name) = Name::new(text) else {
            let shown: String = text.chars().take(MAX_SHOWN_CHARS).collect();
            return Err(CheckpointError::Invalid(format!(
                "{shown:?} is neither a job_id (the UUID that an earlier answer named) nor a checkpoint's name"
            )));
        };
        let newest = self.folder(&name).run_ids().into_iter().next();
        Ok(newest.map_or(Named::Operation(name), Named::Job))
    }

    /// Returns the job that a model names by its id or by the name under which it runs. Reads the disk.
    ///
    /// # Errors
    /// [`CheckpointError::NotFound`], with the names there are; [`CheckpointError::Invalid`] if nothing of the operation runs.
    pub fn job_named(&self, text: &str) -> Result<JobId, CheckpointError> {
        let name = match self.named(text)? {
            Named::Job(id) => return Ok(id),
            Named::Operation(name) => name,
        };
        let Some(checkpoint) = self.folder(&name).load()? else {
            return Err(self.not_found(text));
        };
        let flight = checkpoint.in_flight.map(|flight| flight.job_id);
        flight.ok_or_else(|| CheckpointError::Invalid(format!("{text:?} has no job that runs")))
    }

    /// The job under a name: of an operation that is under way, or the newest run. None if nothing runs. Reads the disk.
    #[must_use]
    pub fn job_of(&self, name: &Name) -> Option<JobId> {
        let folder = self.folder(name);
        let Some(checkpoint) = folder.load().ok().flatten() else {
            return folder.run_ids().into_iter().next();
        };
        let flight = checkpoint.in_flight.as_ref().map(|flight| flight.job_id);
        flight.filter(|_| checkpoint.is_under_way())
    }

    /// Whether a chunked operation has this name. Reads the disk.
    #[must_use]
    pub fn is_operation(&self, name: &Name) -> bool {
        self.folder(name)
            .load()
            .is_ok_and(|checkpoint| checkpoint.is_some())
    }

    /// The names of all checkpoints, sorted. Reads the disk.
    #[must_use]
    pub fn known(&self) -> Vec<String> {
        folder::list_names(&self.dir)
    }

    /// When the checkpoint `name` was last changed, by this process or another; none if there is none. Reads the disk.
    #[must_use]
    pub fn changed(&self, name: &Name) -> Option<SystemTime> {
        self.folder(name).changed()
    }

    pub(crate) fn folder(&self, name: &Name) -> Folder {
        Folder::new(&self.dir, name)
    }

    /// Refuses if `error` means that `job` may be running elsewhere: the local executor is not ready or does not know it, and that of another
    /// client has it.
    pub(crate) fn refuse_other_client(
        &self,
        operation: &str,
        job: JobId,
        error: &RuntimeError,
    ) -> Result<(), CheckpointError> {
        let may_run = matches!(error, RuntimeError::OtherClient { .. })
            || (matches!(error, RuntimeError::Starting { .. })
                && self.jobs.other_client(job).is_some());
        if may_run {
            return Err(CheckpointError::RunsInOtherClient {
                operation: operation.to_owned(),
                job,
            });
        }
        Ok(())
    }
}
