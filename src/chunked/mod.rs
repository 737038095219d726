//! Loops that survive: a plan runs in batches, a checkpoint is written after each, and whoever calls again goes on where it stopped.
//!
//! - [`plan`]: what is to be done, and what makes two calls the same operation;
//! - `operation`: the loop over setup and batches; `reader` takes what one job tells;
//! - `ledger`: the books while a call works; `checkpoint`, `folder`: what stands on disk;
//! - `outcome`, [`report`]: what the model sees;
//! - `keeping`, `result`: runs of code that `run_code_long` keeps under a name;
//! - [`shelf`]: all that is kept, in a list, and removing it.
//!
//! **A checkpoint says `completed: k` only when the iterations before `k` finished**, and names the job in flight before it is sent.
//!
//! May import `base`, `wire`, `edge`, `runtime`, `jobs`, `transfer`; knows nothing of MCP.

mod checkpoint;
mod error;
mod folder;
mod keeping;
mod ledger;
mod operation;
mod outcome;
mod output;
pub mod plan;
mod reader;
pub mod report;
mod result;
pub mod shelf;
mod stop;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::base::ids::JobId;
use crate::jobs::Jobs;
use crate::jobs::follow::Watch as JobWatch;
use crate::runtime::RuntimeError;
pub use error::ChunkedError;
use folder::Folder;
pub use keeping::Keeping;
use ledger::Claim;
use operation::Operation;
pub use outcome::{Facts, Outcome};
use plan::{Name, Plan};
use report::CheckpointReport;
pub use watch::Watch;

/// Runs operations and knows what earlier ones have reached.
#[derive(Debug, Clone)]
pub struct Chunked {
    jobs: Arc<Jobs>,
    checkpoint_dir: PathBuf,
}

impl Chunked {
    /// Checkpoints are kept in `checkpoint_dir`, which is made when the first one is written.
    #[must_use]
    pub fn new(jobs: Arc<Jobs>, checkpoint_dir: PathBuf) -> Self {
        Self {
            jobs,
            checkpoint_dir,
        }
    }

    /// Starts an operation or goes on with it, for as many batches as fit until the watch's deadline. With `restart` it begins anew.
    ///
    /// # Errors
    /// When nothing could be begun. Later trouble is in the outcome, beside what was done.
    pub async fn run(
        &self,
        plan: &Plan,
        restart: bool,
        watch: &Watch<'_>,
    ) -> Result<Outcome, ChunkedError> {
        plan.validate()?;
        let folder = self.folder(&plan.name);
        if !folder.records().is_empty() {
            return Err(ChunkedError::Taken {
                name: plan.name.to_string(),
            });
        }
        let claim = Claim::take(folder, plan, restart)?;
        if let Some(job) = claim.replaced_job {
            match self.jobs.interrupt(job, watch.deadline).await {
                Ok(_) => {}
                // A job that is not known any more needs no interrupt.
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    self.refuse_other_client(&plan.name.to_string(), job, &error)?;
                    return Err(error.into());
                }
            }
        }
        let mut operation = Operation::new(&self.jobs, plan, watch, claim.open()?);
        let end = operation.run().await;
        Ok(Outcome::of(end, operation.ledger, operation.output))
    }

    /// What is kept under a name. A result whose code was still running is read anew, within the watch's deadline.
    ///
    /// # Errors
    /// [`ChunkedError::NotFound`], with the names there are; `Corrupt` and `OtherVersion` for a file that cannot be read.
    pub async fn checkpoint(
        &self,
        operation: &str,
        watch: &JobWatch<'_>,
    ) -> Result<CheckpointReport, ChunkedError> {
        let name = Name::new(operation)?;
        let folder = self.folder(&name);
        if let Some(checkpoint) = folder.load()? {
            return report::of_operation(&checkpoint, &folder.results());
        }
        if let Some(report) = self.result(&name, &folder, watch).await? {
            return Ok(report);
        }
        Err(ChunkedError::NotFound {
            operation: operation.to_owned(),
            known: folder::known(&self.checkpoint_dir),
        })
    }

    /// The names under which something is kept, sorted. Reads the disk.
    #[must_use]
    pub fn known(&self) -> Vec<String> {
        folder::known(&self.checkpoint_dir)
    }

    /// When what is kept under `name` was last changed, by this process or another; none where nothing is kept. Reads the disk.
    #[must_use]
    pub fn changed(&self, name: &Name) -> Option<SystemTime> {
        self.folder(name).changed()
    }

    /// Refuses where `error` means that `job` may run elsewhere: the local executor, as far as it is there, does not know it, and another
    /// client's has it.
    fn refuse_other_client(
        &self,
        operation: &str,
        job: JobId,
        error: &RuntimeError,
    ) -> Result<(), ChunkedError> {
        let may_run = matches!(error, RuntimeError::OtherClient { .. })
            || (matches!(error, RuntimeError::Starting { .. })
                && self.jobs.connection().other_client(job).is_some());
        if may_run {
            return Err(ChunkedError::RunsInOtherClient {
                operation: operation.to_owned(),
                job,
            });
        }
        Ok(())
    }

    fn folder(&self, name: &Name) -> Folder {
        Folder::new(&self.checkpoint_dir, name)
    }
}
