//! Resumable loops: a plan runs in batches, a checkpoint is written after each, and a repeated call continues where the last one stopped.
//!
//! - [`plan`]: the work, and what makes two calls the same operation;
//! - `operation`: the loop over setup and batches; `reader` records the events of one job;
//! - `ledger`: the files while a call works; their format is in `checkpoints`;
//! - `outcome`: the answer; `output`: its text and pictures; `stop`: why an operation stopped.
//!
//! **A checkpoint says `completed: k` only when the iterations before `k` finished**, and names the job in flight before it is sent.
//!
//! May import `base`, `wire`, `edge`, `runtime`, `connection`, `caller`, `jobs`, `checkpoints`; knows nothing of MCP.

mod ledger;
mod operation;
mod outcome;
mod output;
pub mod plan;
mod reader;
mod stop;

use std::sync::Arc;

use crate::caller::Caller;
use crate::checkpoints::{CheckpointError, Checkpoints};
use crate::jobs::Jobs;
use crate::runtime::RuntimeError;
use ledger::Claim;
use operation::Operation;
pub use outcome::{Facts, Outcome};
use plan::Plan;

/// Runs operations, and continues those of earlier calls.
#[derive(Debug)]
pub struct Chunked {
    jobs: Arc<Jobs>,
    checkpoints: Checkpoints,
}

impl Chunked {
    #[must_use]
    pub fn new(jobs: Arc<Jobs>, checkpoints: Checkpoints) -> Self {
        Self { jobs, checkpoints }
    }

    /// Starts or continues an operation, for as many batches as fit until the caller's deadline. With `restart` it starts over.
    ///
    /// # Errors
    /// When nothing could be started. Later failures are in the outcome, beside the progress.
    pub async fn run(
        &self,
        plan: &Plan,
        restart: bool,
        caller: &Caller<'_>,
    ) -> Result<Outcome, CheckpointError> {
        plan.validate()?;
        let folder = self.checkpoints.folder(&plan.name);
        if !folder.records().is_empty() {
            return Err(CheckpointError::Taken {
                name: plan.name.to_string(),
            });
        }
        let claim = Claim::take(folder, plan, restart)?;
        if let Some(job) = claim.replaced_job {
            match self.jobs.interrupt(job, caller.deadline).await {
                Ok(_) => {}
                // An unknown job needs no interrupt, and one on another machine does not affect this operation.
                Err(error)
                    if error.is_not_found() || matches!(error, RuntimeError::Elsewhere { .. }) => {}
                Err(error) => {
                    let name = plan.name.as_str();
                    self.checkpoints.refuse_other_client(name, job, &error)?;
                    return Err(error.into());
                }
            }
        }
        let mut operation = Operation::new(&self.jobs, plan, caller, claim.open()?);
        let end = operation.run().await;
        Ok(Outcome::of(end, operation.ledger, operation.output))
    }
}
