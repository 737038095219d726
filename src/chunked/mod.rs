//! Loops that survive: one job runs a plan on the executor, batch after batch, whether or not anything calls; this process follows it, keeps
//! its results and sends what is left anew when the job is lost.
//!
//! - [`order`]: what one call asks for;
//! - `running`: an operation that this process works on, and the calls that wait for it;
//! - `operation`: that work; `reader` takes what the job reports;
//! - `ledger`: the books meanwhile, `result_line` a line of the results; what stands on disk is in `checkpoints`;
//! - `outcome`: what the model sees; `stop`: why an operation stopped; `losses`: what went away under it.
//!
//! **A checkpoint says `completed: k` only when the iterations before `k` finished**, and names the job in flight before it is sent. What
//! finishes ahead of iteration `k`, on a cluster, is kept and counted in its turn.
//!
//! May import `base`, `wire`, `edge`, `runtime`, `connection`, `caller`, `jobs`, `checkpoints`; knows nothing of MCP.

mod ledger;
mod losses;
mod operation;
pub mod order;
mod outcome;
mod output;
mod reader;
mod result_line;
mod running;
mod stop;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::base::ids::JobId;
use crate::base::lock::Lock;
use crate::caller::{Caller, Progress};
use crate::checkpoints::checkpoint::Checkpoint;
use crate::checkpoints::folder::Folder;
use crate::checkpoints::plan::{self, Plan};
use crate::checkpoints::shelf::Deleted;
use crate::checkpoints::{CheckpointError, Checkpoints, Name};
use crate::jobs::Jobs;
use crate::runtime::RuntimeError;
use ledger::{Before, Claim};
use operation::Operation;
use order::Order;
pub use outcome::{Facts, Outcome};
use running::{End, Running};

/// Between two looks at what another process keeps.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Runs operations, and follows those that run.
#[derive(Debug)]
pub struct Chunked {
    jobs: Arc<Jobs>,
    checkpoints: Checkpoints,
    running: Lock<HashMap<String, Task>>,
}

/// An operation that this process works on, and the task that does it.
struct Task {
    running: Arc<Running>,
    work: JoinHandle<()>,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Task")
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // The job runs on; another process may follow it from now on.
        self.work.abort();
        self.running.books().ledger.close();
    }
}

impl Chunked {
    #[must_use]
    pub fn new(jobs: Arc<Jobs>, checkpoints: Checkpoints) -> Self {
        Self {
            jobs,
            checkpoints,
            running: Lock::default(),
        }
    }

    /// Starts an operation or resumes it, and waits for its end until the caller's deadline. What is not done by then runs on.
    ///
    /// # Errors
    /// When nothing could be started. Later failures are in the outcome, beside the progress.
    pub async fn run(
        &self,
        order: &Order,
        caller: &Caller<'_>,
    ) -> Result<Outcome, CheckpointError> {
        let folder = self.checkpoints.folder(&order.name);
        folder.settle(&order.name)?;
        let (plan, before) = match order.plan(&folder) {
            // While another call works on it, the next save mends the file.
            Err(error @ CheckpointError::Corrupt { .. }) => {
                let _lock = folder.lock(&order.name)?;
                return Err(folder.set_damaged_aside(error)?);
            }
            planned => planned?,
        };
        plan.validate()?;
        if let Some(running) = self.current(&order.name) {
            let is_same = before == Before::SamePlan && running.plan.is_same_work(&plan);
            let is_ended = order.retry_skipped && running.is_over();
            if is_same && !is_ended && !running.is_to_be_resumed() {
                if order.retry_skipped {
                    running.retry();
                }
                if order.cluster.is_some()
                    && plan.cluster != running.plan.cluster
                    && !running.is_over()
                {
                    let note = "cluster has no effect while the operation runs: give it to the call that goes on after it has stopped";
                    running.books().ledger.notes.push(note.to_owned());
                }
                running.ask();
                let end = self.wait(&running, caller).await;
                // Else its job was lost before this process followed it, and it had ended when the call came.
                if !matches!(end, Some(End::Unsent)) {
                    return Ok(self.outcome(&running, end, caller).await);
                }
            }
            if before == Before::SamePlan && !running.is_over() {
                let checkpoint = running.books().ledger.checkpoint.clone();
                return Err(plan.mismatch(&checkpoint));
            }
            self.end(&running, caller).await?;
        }
        let is_same = |checkpoint: &Checkpoint| plan.is_that_of(checkpoint);
        match self
            .begin(&folder, &plan, before, order.retry_skipped, caller)
            .await
        {
            Ok(running) => {
                let end = self.wait(&running, caller).await;
                let is_unbegun = running.books().ledger.is_unbegun();
                let end = match end {
                    // What the policy or the user refuses leaves nothing that could be resumed.
                    Some(End::Trouble(error)) if is_unbegun => {
                        let name = running.plan.name.as_str();
                        if running.gave_way() {
                            self.running.lock().remove(name);
                        } else {
                            self.delete(name, caller.deadline).await?;
                        }
                        return Err(error);
                    }
                    end => end,
                };
                let mut outcome = self.outcome(&running, end, caller).await;
                outcome.facts.new_session = running.made_session().then_some(true);
                Ok(outcome)
            }
            // Another process follows it, and this call wants nothing else than that it runs.
            Err(
                error @ (CheckpointError::Busy { .. } | CheckpointError::RunsInOtherClient { .. }),
            ) if before == Before::SamePlan && !order.retry_skipped => {
                match folder.load()?.filter(is_same) {
                    Some(checkpoint) => watch(&folder, checkpoint, caller).await,
                    None => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Waits for more of an operation; one that runs and that this process does not follow yet is followed from now on. Nothing is sent.
    ///
    /// # Errors
    /// [`CheckpointError::NotFound`], with the names there are; those of the disk.
    pub async fn follow(
        &self,
        name: &Name,
        caller: &Caller<'_>,
    ) -> Result<Outcome, CheckpointError> {
        if let Some(running) = self.current(name) {
            return Ok(self.look(&running, caller).await);
        }
        let folder = self.checkpoints.folder(name);
        let Some(checkpoint) = folder.load()? else {
            return Err(self.checkpoints.not_found(name.as_str()));
        };
        match self.find(folder.clone(), &checkpoint) {
            Ok(Some(running)) => Ok(self.look(&running, caller).await),
            Ok(None) => Ok(Outcome::read(&checkpoint, &folder.results())),
            Err(CheckpointError::Busy { .. } | CheckpointError::RunsInOtherClient { .. }) => {
                watch(&folder, checkpoint, caller).await
            }
            Err(error) => Err(error),
        }
    }

    /// Follows all that was running when the last process of this computer ended, so that what it did meanwhile is kept here.
    pub fn catch_up(&self) {
        for name in self.checkpoints.known() {
            let Ok(name) = Name::new(&name) else { continue };
            let folder = self.checkpoints.folder(&name);
            let found = folder.settle(&name).and_then(|()| folder.load());
            let found = found.map(|checkpoint| {
                checkpoint.map_or(Ok(None), |checkpoint| self.find(folder, &checkpoint))
            });
            match found.flatten() {
                Ok(Some(_)) => tracing::info!(operation = %name, "following an operation again"),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(operation = %name, %error, "an operation is not followed");
                }
            }
        }
    }

    /// Removes all that is kept under a name.
    ///
    /// # Errors
    /// [`CheckpointError::StillRunning`] while this process follows it; those of [`Checkpoints::delete`].
    pub async fn delete(&self, name: &str, deadline: Instant) -> Result<Deleted, CheckpointError> {
        if let Some(running) = Name::new(name).ok().and_then(|name| self.current(&name)) {
            let job = running.job();
            if let Some(job) = job.filter(|_| !running.is_over()) {
                let operation = name.to_owned();
                return Err(CheckpointError::StillRunning { operation, job });
            }
            self.running.lock().remove(name);
        }
        self.checkpoints.delete(name, deadline).await
    }

    /// Stops the operation that works with this job, which the runtime does not know, for it is about to be sent; returns its session.
    #[must_use]
    pub fn stop_unsent(&self, job: JobId) -> Option<String> {
        let tasks = self.running.lock();
        let runs_it = |running: &Running| running.job() == Some(job) && !running.is_over();
        let task = tasks.values().find(|task| runs_it(&task.running))?;
        task.running.stop.cancel();
        Some(task.running.plan.session.clone())
    }

    /// The operation that this process works on, or has worked on with an end that no call has seen.
    fn current(&self, name: &Name) -> Option<Arc<Running>> {
        let mut tasks = self.running.lock();
        let is_done = |task: &Task| task.running.is_over() && !task.running.has_news();
        if tasks.get(name.as_str()).is_some_and(is_done) {
            tasks.remove(name.as_str());
        }
        tasks.get(name.as_str()).map(|task| task.running.clone())
    }

    /// Waits with a call and answers it; the user's stop ends only the wait.
    async fn look(&self, running: &Arc<Running>, caller: &Caller<'_>) -> Outcome {
        let onlooker = caller.clone().cancelled_by(&CancellationToken::new());
        let end = tokio::select! {
            () = caller.cancelled.cancelled() => None,
            end = self.wait(running, &onlooker) => end,
        };
        self.outcome(running, end, caller).await
    }

    async fn wait(&self, running: &Arc<Running>, caller: &Caller<'_>) -> Option<End> {
        let name = running.plan.name.as_str();
        caller.or_leave(name, running.wait(caller)).await
    }

    async fn outcome(
        &self,
        running: &Arc<Running>,
        end: Option<End>,
        caller: &Caller<'_>,
    ) -> Outcome {
        match end {
            Some(end) => running.outcome(end, &self.jobs, caller).await,
            // What was printed is for a call that is answered.
            None => running.as_kept(),
        }
    }

    /// Ends what runs by another plan.
    async fn end(
        &self,
        running: &Arc<Running>,
        caller: &Caller<'_>,
    ) -> Result<(), CheckpointError> {
        running.stop.cancel();
        let waiting = Caller::until(caller.deadline);
        running.wait(&waiting).await;
        if !running.is_over() {
            let operation = running.plan.name.to_string();
            return Err(CheckpointError::Busy { operation });
        }
        self.running.lock().remove(running.plan.name.as_str());
        Ok(())
    }

    async fn begin(
        &self,
        folder: &Folder,
        plan: &Plan,
        before: Before,
        retries_skipped: bool,
        caller: &Caller<'_>,
    ) -> Result<Arc<Running>, CheckpointError> {
        if !folder.records().is_empty() {
            return Err(CheckpointError::Taken {
                name: plan.name.to_string(),
            });
        }
        if let Some(turn) = caller.turn
            && !turn.wait(caller.deadline).await
        {
            let url = self.jobs.place();
            return Err(RuntimeError::TimedOut { url }.into());
        }
        let mut claim = Claim::take(folder.clone(), plan, before)?;
        claim.retries_skipped = retries_skipped;
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
        self.start(claim, plan.clone(), true)
    }

    /// Follows the job that a checkpoint names, if it may run on by itself.
    fn find(
        &self,
        folder: Folder,
        checkpoint: &Checkpoint,
    ) -> Result<Option<Arc<Running>>, CheckpointError> {
        let kept = plan::kept(&folder, checkpoint);
        let Some(plan) = kept.filter(|_| checkpoint.is_under_way()) else {
            return Ok(None);
        };
        let claim = Claim::take(folder, &plan, Before::SamePlan)?;
        Ok(Some(self.start(claim, plan, false)?))
    }

    fn start(
        &self,
        claim: Claim,
        plan: Plan,
        is_asked_for: bool,
    ) -> Result<Arc<Running>, CheckpointError> {
        let name = plan.name.to_string();
        let running = Running::new(plan, claim.open()?, is_asked_for);
        let operation = Operation::new(self.jobs.clone(), running.clone());
        let task = Task {
            running: running.clone(),
            work: tokio::spawn(operation.run()),
        };
        self.running.lock().insert(name, task);
        Ok(running)
    }
}

/// Waits for more of an operation that another process of this computer follows, as long as the caller can: what that process has kept.
async fn watch(
    folder: &Folder,
    mut checkpoint: Checkpoint,
    caller: &Caller<'_>,
) -> Result<Outcome, CheckpointError> {
    if let Some(turn) = caller.turn {
        turn.pass();
    }
    while checkpoint.is_under_way() && Instant::now() + WATCH_INTERVAL < caller.patience {
        tokio::select! {
            () = caller.gone() => break,
            () = sleep(WATCH_INTERVAL) => {}
        }
        let Some(now) = folder.load()? else { break };
        let (done, total) = (now.completed + now.ahead, now.total);
        if done != checkpoint.completed + checkpoint.ahead {
            (caller.report)(Progress::Count { done, total });
        }
        checkpoint = now;
    }
    Ok(Outcome::read(&checkpoint, &folder.results()).followed_elsewhere(&checkpoint))
}
