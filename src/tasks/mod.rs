//! Finds, follows and ends a job or a transfer by its id, whichever client started it. A batch of a chunked operation is a job like any other.
//!
//! - here: following, while a [`Caller`] waits; `interrupt`: ending it;
//! - [`changes`]: whether a job's output changes, for watchers outside of a call;
//! - `error`: errors of tasks.
//!
//! May import every work floor below; knows nothing of MCP.

pub mod changes;
mod error;
mod interrupt;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::checkpoints::Checkpoints;
use crate::jobs::until::Until;
use crate::jobs::view::View;
use crate::jobs::{Jobs, Reading};
use crate::runtime::RuntimeError;
use crate::transfer::Look;
use crate::transfer::download::Downloads;
use crate::transfer::upload::Uploads;
pub use error::TaskError;
pub use interrupt::{Interrupted, Stopped, Target};

/// Jobs and transfers, by their ids.
#[derive(Debug, Clone)]
pub struct Tasks {
    jobs: Arc<Jobs>,
    checkpoints: Checkpoints,
    downloads: Arc<Downloads>,
    uploads: Arc<Uploads>,
}

/// The view of a task.
#[derive(Debug)]
pub enum Seen {
    Job(Box<View>),
    Transfer(Look),
}

impl Tasks {
    #[must_use]
    pub fn new(
        jobs: Arc<Jobs>,
        checkpoints: Checkpoints,
        downloads: Arc<Downloads>,
        uploads: Arc<Uploads>,
    ) -> Self {
        Self {
            jobs,
            checkpoints,
            downloads,
            uploads,
        }
    }

    /// Waits for output of a task, or for its end, `wait` at most; `reading` selects a job's output, and `until`
    /// ends the wait with a line of it. Resumes a transfer that an earlier process
    /// left. Cancelling the call does not stop the task.
    ///
    /// # Errors
    /// As for resuming a transfer, or as the runtime reports if nothing of a job could be read.
    pub async fn look(
        &self,
        id: JobId,
        reading: Reading,
        until: Option<Until>,
        wait: Duration,
        caller: &Caller<'_>,
    ) -> Result<Seen, TaskError> {
        let transfer = tokio::select! {
            () = caller.gone() => return Err(RuntimeError::Cancelled.into()),
            look = self.look_at_transfer(id, wait, caller) => look?,
        };
        if let Some(look) = transfer {
            return Ok(Seen::Transfer(look));
        }
        let caller = caller.clone().at_most(wait);
        let view = self.jobs.look(id, reading, until, &caller).await?;
        if view.job.as_ref().is_some_and(|job| job.state.is_final()) {
            self.checkpoints.note_end(id, &caller).await;
        }
        Ok(Seen::Job(Box::new(view)))
    }

    async fn look_at_transfer(
        &self,
        id: JobId,
        wait: Duration,
        caller: &Caller<'_>,
    ) -> Result<Option<Look>, TaskError> {
        let deadline = caller.deadline.min(Instant::now() + wait);
        let onlooker = Caller::until(deadline).with_report(caller.report);
        match self.downloads.look(id, &onlooker).await? {
            Some(look) => Ok(Some(look)),
            None => Ok(self.uploads.look(id, &onlooker).await?),
        }
    }
}
