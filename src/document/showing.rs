//! Showing what a cell prints while it runs, where its notebook can be changed under the eyes of others.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Documents;
use super::edit::Target;
use super::trail::Trail;
use crate::base::ids::JobId;

/// For the last update.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A cell whose outputs are shown as they come.
#[derive(Debug, Clone)]
pub(super) struct Showing {
    pub(super) job: JobId,
    /// Where the job was sent.
    pub(super) place: String,
    /// The notebook.
    pub(super) path: String,
    pub(super) cell: Target,
    /// The version of the cell that the job runs.
    pub(super) version: String,
    pub(super) trail: Trail,
    pub(super) stop: CancellationToken,
}

/// The work on one, which its token ends.
#[derive(Debug)]
pub(super) struct Worker {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Documents {
    /// Shows the outputs of a job in its cell as they come, until they are written. Does nothing if they are shown already.
    pub fn show(self: &Arc<Self>, path: &str, cell: Target, version: &str, job: JobId) {
        let stop = CancellationToken::new();
        let showing = Showing {
            job,
            place: self.jobs.place(),
            path: path.to_owned(),
            cell,
            version: version.to_owned(),
            trail: Trail::of(&self.folder, job),
            stop: stop.clone(),
        };
        let documents = self.clone();
        let work = async move { documents.store.show(&showing).await };
        let mut shown = self.shown.lock();
        shown.entry(job).or_insert_with(|| Worker {
            stop,
            task: tokio::spawn(work),
        });
    }

    /// Ends the showing of a job's outputs; what is shown then is complete, or the server cannot be reached.
    pub(super) async fn stop_showing(&self, job: JobId) {
        let worker = self.shown.lock().remove(&job);
        if let Some(Worker { stop, mut task }) = worker {
            stop.cancel();
            if timeout(STOP_TIMEOUT, &mut task).await.is_err() {
                task.abort();
            }
        }
    }

    /// Leaves the outputs of a job in its cell as they are: none will be written.
    pub async fn leave_shown(&self, path: &str, cell: &Target, job: JobId, deadline: Instant) {
        self.stop_showing(job).await;
        let trail = Trail::of(&self.folder, job);
        if trail.is_there() {
            if let Err(error) = self.store.rest(path, cell, deadline).await {
                tracing::debug!(%error, %job, "a cell is left as if it ran");
            }
            trail.end();
        }
    }
}
