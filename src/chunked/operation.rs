//! The loop: follow the job in flight, and send the next one, until the plan is done or the call must end.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;

use super::ledger::Ledger;
use super::output::Output;
use super::plan::Plan;
use super::reader::BatchReader;
use super::stop;
use crate::caller::{Caller, Progress};
use crate::checkpoints::CheckpointError;
use crate::checkpoints::checkpoint::{Flight, Work};
use crate::jobs::Jobs;
use crate::jobs::follow::{Ended, Followed};
use crate::runtime::RuntimeError;
use crate::wire::job::Job;
use crate::wire::state::JobState;

/// Time of the call reserved for fetching pictures and logs.
const RESERVE: Duration = Duration::from_secs(1);
/// Machines that may be lost during one call before it fails.
const MAX_LOSSES: u32 = 3;

/// Why a call ended.
#[derive(Debug)]
pub(super) enum End {
    Finished,
    /// A job is still running.
    Deadline,
    Cancelled,
    /// The checkpoint says why.
    Stopped,
    /// The progress is recorded; the next call continues from there.
    Trouble(CheckpointError),
}

pub(super) struct Operation<'a> {
    pub(super) jobs: &'a Jobs,
    pub(super) plan: &'a Plan,
    pub(super) caller: &'a Caller<'a>,
    pub(super) ledger: Ledger,
    pub(super) output: Output,
    losses: u32,
}

impl<'a> Operation<'a> {
    pub(super) fn new(
        jobs: &'a Jobs,
        plan: &'a Plan,
        caller: &'a Caller<'a>,
        ledger: Ledger,
    ) -> Self {
        Self {
            jobs,
            plan,
            caller,
            ledger,
            output: Output::new(),
            losses: 0,
        }
    }

    pub(super) async fn run(&mut self) -> End {
        loop {
            match self.step().await {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(error) => return End::Trouble(error),
            }
        }
    }

    /// Runs one job from its sending or rediscovery to its end; `None` means that there is more to do.
    async fn step(&mut self) -> Result<Option<End>, CheckpointError> {
        if let Some(mut flight) = self.ledger.checkpoint.in_flight.clone() {
            let followed = self.find_again(&mut flight).await?;
            return self.land(flight, followed).await;
        }
        let end = if self.ledger.checkpoint.is_finished() {
            Some(End::Finished)
        } else if self.caller.cancelled.is_cancelled() {
            Some(End::Cancelled)
        } else {
            (Instant::now() >= self.until()).then_some(End::Deadline)
        };
        if end.is_some() {
            self.ledger.settle()?;
            return Ok(end);
        }
        let flight = Flight::new(self.next_work());
        // First the checkpoint, then the job: after a crash the next call knows its id.
        self.ledger.launch(&flight)?;
        let followed = self.send(&flight).await?;
        self.land(flight, followed).await
    }

    fn next_work(&self) -> Work {
        let checkpoint = &self.ledger.checkpoint;
        if checkpoint.kernel_id.is_none() {
            return Work::Setup;
        }
        let start = checkpoint.completed;
        let stop = (start + self.plan.batch_size).min(self.plan.n_iterations);
        Work::Batch { start, stop }
    }

    /// When to stop following jobs.
    fn until(&self) -> Instant {
        let deadline = self.caller.deadline;
        deadline.checked_sub(RESERVE).unwrap_or(deadline)
    }

    /// The caller of one job of the operation; the operation's own caller hears only of iterations.
    fn job_caller(&self) -> Caller<'a> {
        Caller::until(self.until())
            .cancelled_by(&self.caller.cancelled)
            .in_turn(self.caller.turn)
    }

    async fn send(&mut self, flight: &Flight) -> Result<Option<Followed>, CheckpointError> {
        self.output.begin(flight.job_id);
        let kernel_id = self.ledger.checkpoint.kernel_id.as_deref();
        let request = self.plan.request(flight.work, kernel_id);
        let caller = self.job_caller();
        let mut reader = BatchReader::new(self.caller, &mut self.ledger, &mut self.output);
        let running = self
            .jobs
            .run_part(flight.job_id, &request, &caller, &mut reader);
        let followed = running.await?;
        reader.done(self.jobs, followed)
    }

    /// Follows a job that an earlier call recorded, and may not have sent. An interrupt before this call does not stop the operation.
    async fn find_again(
        &mut self,
        flight: &mut Flight,
    ) -> Result<Option<Followed>, CheckpointError> {
        if let Some(turn) = self.caller.turn {
            turn.pass();
        }
        self.output.begin(flight.job_id);
        let first_state = OnceLock::new();
        let report = |progress: Progress<'_>| {
            if let Progress::Job { job, .. } = progress {
                first_state.get_or_init(|| job.state);
            }
        };
        let caller = self.job_caller().with_report(&report);
        let mut reader = BatchReader::new(self.caller, &mut self.ledger, &mut self.output);
        let (id, after) = (flight.job_id, flight.cursor);
        let following = self.jobs.follow_part(id, after, &caller, &mut reader);
        let followed = following.await;
        let followed = reader.done(self.jobs, followed)?;
        if first_state.get() == Some(&JobState::Interrupted) && !flight.cancelled {
            flight.cancelled = true;
            self.ledger.notes.push(format!(
                "job {} was interrupted before this call, which continued from iteration {}",
                flight.job_id, self.ledger.checkpoint.completed
            ));
        }
        match followed {
            Some(followed) => Ok(Some(followed)),
            // It never arrived, or was lost with its machine. Under the same id it runs once whatever happened to the first try, and a batch
            // runs in the kernel of the setup or not at all.
            None => self.send(flight).await,
        }
    }

    async fn land(
        &mut self,
        mut flight: Flight,
        followed: Option<Followed>,
    ) -> Result<Option<End>, CheckpointError> {
        let Some(followed) = followed else {
            return self.lose().await;
        };
        flight.cursor = followed.next;
        let end = match (followed.ended, followed.job) {
            (Ended::Finished, Some(job)) => return self.finish(&flight, &job).await,
            // All iterations are done: the job's own end does not matter.
            _ if self.ledger.checkpoint.is_finished() => {
                self.ledger.land(None)?;
                self.output.job_runs = false;
                self.keep().await;
                return Ok(None);
            }
            (Ended::Finished | Ended::Full | Ended::Deadline, job) => {
                if let Some(job) = job {
                    self.output.queue = self.jobs.explain_queue(&job, self.caller.deadline).await;
                }
                End::Deadline
            }
            (Ended::Cancelled, _) => {
                self.jobs.interrupt_later(flight.job_id);
                flight.cancelled = true;
                End::Cancelled
            }
            (Ended::Trouble(error), _) => End::Trouble(error.into()),
        };
        self.ledger.checkpoint.in_flight = Some(flight);
        self.ledger.save()?;
        self.keep().await;
        Ok(Some(end))
    }

    /// Evaluates a job that has ended and whose events are all recorded.
    async fn finish(&mut self, flight: &Flight, job: &Job) -> Result<Option<End>, CheckpointError> {
        let checkpoint = &mut self.ledger.checkpoint;
        if job.variables_lost {
            checkpoint.kernel_id = None;
        }
        let is_done = match flight.work {
            Work::Setup => false,
            Work::Batch { stop, .. } => checkpoint.completed >= stop || checkpoint.is_finished(),
        };
        let stop = match (job.state, flight.work) {
            (JobState::Lost, _) => return self.lose().await,
            (JobState::Succeeded, Work::Setup) if job.variables_lost => {
                Some(stop::explain(flight, job, checkpoint.completed, None))
            }
            (JobState::Succeeded, Work::Setup) => {
                checkpoint.kernel_id.clone_from(&job.kernel_id);
                job.kernel_id
                    .is_none()
                    .then(|| stop::incomplete(flight, "it reported no kernel for a job that ran"))
            }
            (JobState::Succeeded, Work::Batch { .. }) => (!is_done).then(|| {
                stop::incomplete(
                    flight,
                    "a batch succeeded without reporting all of its iterations",
                )
            }),
            (JobState::Interrupted, _) if flight.cancelled || checkpoint.is_finished() => None,
            // The failure came after its last iteration.
            (JobState::Failed | JobState::TimedOut, _) if is_done => None,
            (
                JobState::Queued
                | JobState::Running
                | JobState::Failed
                | JobState::Interrupted
                | JobState::TimedOut,
                _,
            ) => Some(stop::explain(
                flight,
                job,
                checkpoint.completed,
                self.output.error(),
            )),
        };
        let end = stop.is_some().then_some(End::Stopped);
        match stop {
            Some(stop) => self.ledger.land(Some(stop))?,
            None => self.ledger.land_unsaved(),
        }
        self.keep().await;
        Ok(end)
    }

    /// Handles a job lost with its machine or kernel: its recorded iterations count, the rest runs again after a new setup.
    async fn lose(&mut self) -> Result<Option<End>, CheckpointError> {
        self.ledger.checkpoint.kernel_id = None;
        self.ledger.land(None)?;
        self.output.job_runs = false;
        self.keep().await;
        self.losses += 1;
        Ok((self.losses > MAX_LOSSES).then(|| End::Trouble(RuntimeError::Replaced.into())))
    }

    async fn keep(&mut self) {
        self.output.keep(self.jobs, self.caller.deadline).await;
    }
}
