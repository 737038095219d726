//! The loop: see to the job in flight, and send the next one, until the plan is done or the call must end.

use tokio::time::Instant;

use super::checkpoint::{Flight, Work};
use super::error::ChunkedError;
use super::ledger::Ledger;
use super::output::Output;
use super::plan::Plan;
use super::reader::{BatchReader, Landing};
use super::stop;
use super::watch::Watch;
use crate::jobs::Jobs;
use crate::jobs::follow::{self, Ended};
use crate::runtime::{RuntimeError, retry};
use crate::wire::job::Job;
use crate::wire::session::SessionState;
use crate::wire::state::JobState;

/// Machines that may go away during one call before it says so.
const LOSSES: u32 = 3;

/// Why a call ended.
#[derive(Debug)]
pub(super) enum End {
    Finished,
    /// A job goes on.
    Deadline,
    Cancelled,
    /// The checkpoint says why.
    Stopped,
    /// What is known of the operation is in the books; the next call goes on from there.
    Trouble(ChunkedError),
}

pub(super) struct Operation<'a> {
    pub(super) jobs: &'a Jobs,
    pub(super) plan: &'a Plan,
    pub(super) watch: &'a Watch<'a>,
    pub(super) ledger: Ledger,
    pub(super) output: Output,
    /// The recorded kernel was seen alive during this call.
    kernel_seen: bool,
    losses: u32,
}

impl<'a> Operation<'a> {
    pub(super) fn new(
        jobs: &'a Jobs,
        plan: &'a Plan,
        watch: &'a Watch<'a>,
        ledger: Ledger,
    ) -> Self {
        Self {
            jobs,
            plan,
            watch,
            ledger,
            output: Output::new(),
            kernel_seen: false,
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

    /// One job, from its being sent or found again to its end; nothing to say means that there is more to do.
    async fn step(&mut self) -> Result<Option<End>, ChunkedError> {
        if self.ledger.checkpoint.is_finished() && self.ledger.checkpoint.in_flight.is_none() {
            return Ok(Some(End::Finished));
        }
        if self.watch.cancelled.is_cancelled() {
            return Ok(Some(End::Cancelled));
        }
        if Instant::now() >= self.watch.until() {
            return Ok(Some(End::Deadline));
        }
        let recorded = self.ledger.checkpoint.in_flight.clone();
        let (flight, landing) = match recorded {
            Some(flight) => {
                let landing = self.find_again(&flight).await?;
                (flight, landing)
            }
            None => {
                let flight = Flight::new(self.next_work().await?);
                // First the checkpoint, then the job: whoever comes after a crash knows what to look for.
                self.ledger.launch(&flight)?;
                let landing = self.send(&flight).await?;
                (flight, landing)
            }
        };
        self.land(flight, landing).await
    }

    async fn next_work(&mut self) -> Result<Work, ChunkedError> {
        if !self.kernel_seen {
            self.kernel_seen = self.kernel_lives().await?;
        }
        if !self.kernel_seen {
            return Ok(Work::Setup);
        }
        let start = self.ledger.checkpoint.completed;
        let stop = (start + self.plan.batch_size).min(self.plan.n_iterations);
        Ok(Work::Batch { start, stop })
    }

    /// True while the session has the kernel that the setup ran in.
    async fn kernel_lives(&self) -> Result<bool, ChunkedError> {
        let Some(ours) = &self.ledger.checkpoint.kernel_id else {
            return Ok(false);
        };
        let runtime = self.jobs.connection().runtime(self.watch.until()).await?;
        let sessions =
            retry::until(self.watch.until(), runtime.address(), || runtime.sessions()).await?;
        Ok(sessions.iter().any(|session| {
            session.name == self.plan.session
                && session.state != SessionState::Dead
                && session.kernel_id.as_ref() == Some(ours)
        }))
    }

    async fn send(&mut self, flight: &Flight) -> Result<Landing, ChunkedError> {
        self.jobs.remember(flight.job_id);
        self.output.begin(flight.job_id);
        let request = flight.request(self.plan);
        let mut reader = BatchReader::new(flight, self.watch, &mut self.ledger, &mut self.output);
        let watch = self.watch.of_job();
        let followed = follow::submit(
            self.jobs.connection(),
            flight.job_id,
            &request,
            &watch,
            &mut reader,
        )
        .await?;
        reader.done(followed)
    }

    /// A job that an earlier call recorded, and may or may not have sent.
    async fn find_again(&mut self, flight: &Flight) -> Result<Landing, ChunkedError> {
        self.jobs.remember(flight.job_id);
        self.output.begin(flight.job_id);
        let mut reader = BatchReader::new(flight, self.watch, &mut self.ledger, &mut self.output);
        let watch = self.watch.of_job();
        let followed = follow::follow(
            self.jobs.connection(),
            flight.job_id,
            flight.cursor,
            &watch,
            &mut reader,
        )
        .await;
        let landing = reader.done(followed)?;
        if !matches!(landing, Landing::Unknown) {
            return Ok(landing);
        }
        // It never arrived, or went with its machine. Sent again under its own id it runs once whatever became of the first try; but a
        // batch may only run where the setup did, and only from its start.
        let may_send = match flight.work {
            Work::Setup => true,
            Work::Batch { start, .. } => {
                self.ledger.checkpoint.completed == start
                    && flight.cursor == 0
                    && self.kernel_lives().await?
            }
        };
        if may_send {
            self.send(flight).await
        } else {
            Ok(landing)
        }
    }

    async fn land(
        &mut self,
        mut flight: Flight,
        landing: Landing,
    ) -> Result<Option<End>, ChunkedError> {
        let followed = match landing {
            Landing::Followed(followed) => *followed,
            Landing::Unknown => return self.lose().await,
            Landing::Foreign => {
                self.interrupt(&flight).await?;
                return self.lose().await;
            }
        };
        flight.cursor = followed.next;
        let end = match followed.ended {
            Ended::Finished => match followed.job {
                Some(job) => return self.finish(&flight, &job).await,
                None => return self.lose().await,
            },
            Ended::Full | Ended::Deadline => End::Deadline,
            Ended::Cancelled => {
                self.jobs.interrupt_later(flight.job_id);
                flight.cancelled = true;
                End::Cancelled
            }
            Ended::Trouble(error) => End::Trouble(error.into()),
        };
        self.output.job_runs = followed.job.is_some_and(|job| !job.state.is_final());
        self.ledger.checkpoint.in_flight = Some(flight);
        self.ledger.save()?;
        self.keep().await;
        Ok(Some(end))
    }

    /// The job is over, and all that it told is in the books.
    async fn finish(&mut self, flight: &Flight, job: &Job) -> Result<Option<End>, ChunkedError> {
        let checkpoint = &mut self.ledger.checkpoint;
        let stop = match (job.state, flight.work) {
            (JobState::Succeeded, Work::Setup) => {
                checkpoint.kernel_id.clone_from(&job.kernel_id);
                self.kernel_seen = job.kernel_id.is_some();
                (!self.kernel_seen)
                    .then(|| stop::incomplete(flight, "it names no kernel for a job that ran"))
            }
            (JobState::Succeeded, Work::Batch { stop, .. }) => {
                self.kernel_seen = true;
                (checkpoint.completed < stop && !checkpoint.is_finished()).then(|| {
                    stop::incomplete(
                        flight,
                        "a batch succeeded without reporting all of its iterations",
                    )
                })
            }
            (JobState::Interrupted, _) if flight.cancelled => {
                self.kernel_seen = false;
                None
            }
            (JobState::Lost, _) => return self.lose().await,
            (
                JobState::Queued
                | JobState::Running
                | JobState::Failed
                | JobState::Interrupted
                | JobState::TimedOut,
                _,
            ) => {
                self.kernel_seen = false;
                Some(stop::explain(
                    flight,
                    job,
                    checkpoint.completed,
                    self.output.error(),
                ))
            }
        };
        let stopped = stop.is_some();
        self.ledger.land(stop)?;
        self.keep().await;
        Ok(stopped.then_some(End::Stopped))
    }

    /// The machine or the kernel has gone with the job: what it proved counts, the rest runs again after a new setup.
    async fn lose(&mut self) -> Result<Option<End>, ChunkedError> {
        self.kernel_seen = false;
        self.ledger.checkpoint.kernel_id = None;
        self.ledger.land(None)?;
        self.keep().await;
        self.losses += 1;
        Ok((self.losses > LOSSES).then(|| End::Trouble(RuntimeError::Replaced.into())))
    }

    async fn interrupt(&self, flight: &Flight) -> Result<(), ChunkedError> {
        match self.jobs.interrupt(flight.job_id, self.watch.until()).await {
            // What answers does not know the job: there is nothing to interrupt.
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn keep(&mut self) {
        self.output.keep(self.jobs, self.watch.deadline).await;
    }
}
