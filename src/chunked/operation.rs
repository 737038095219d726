//! The work on one operation: see to the job in flight, or send one for all that is left, until the plan is done or cannot be resumed by itself.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::losses::Losses;
use super::reader::JobReader;
use super::running::{End, Running};
use super::stop;
use crate::base::ids::JobId;
use crate::caller::{Caller, Progress};
use crate::checkpoints::CheckpointError;
use crate::checkpoints::checkpoint::Flight;
use crate::jobs::Jobs;
use crate::jobs::follow::{Ended, Followed};
use crate::runtime::RuntimeError;
use crate::wire::job::Job;
use crate::wire::state::{JobState, Reason};

/// How long one attempt to reach the runtime lasts while no call waits.
const UNATTENDED_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two attempts while the runtime cannot be reached and no call waits.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(5);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);
/// For the pictures of an operation that has ended.
const KEEP_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a job that was stopped is followed, to see its end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// Machines that may go away without one more iteration done.
const MAX_LOSSES: u32 = 3;

pub(super) struct Operation {
    jobs: Arc<Jobs>,
    running: Arc<Running>,
    /// The job that this process follows, and the cursor to follow it from.
    followed: Option<(JobId, u64)>,
    losses: Losses,
    delay: Duration,
}

impl Operation {
    pub(super) fn new(jobs: Arc<Jobs>, running: Arc<Running>) -> Self {
        Self {
            jobs,
            running,
            followed: None,
            losses: Losses::default(),
            delay: MIN_RETRY_DELAY,
        }
    }

    pub(super) async fn run(mut self) {
        let end = loop {
            match self.step().await {
                Ok(None) => {
                    self.running.books().trouble = None;
                    self.delay = MIN_RETRY_DELAY;
                }
                Ok(Some(end)) => break end,
                Err(error) if is_passing(&error) => self.pause(error).await,
                Err(error) => break End::Trouble(error),
            }
            self.running.changed();
        };
        let deadline = (self.running.latest_deadline()).unwrap_or(Instant::now() + KEEP_TIMEOUT);
        self.running.keep(&self.jobs, deadline).await;
        self.running.end(end);
    }

    /// One look at the job in flight, or its being sent; nothing to return means that there is more to do.
    async fn step(&mut self) -> Result<Option<End>, CheckpointError> {
        let flight = self.running.books().ledger.checkpoint.in_flight.clone();
        if let Some(flight) = flight {
            return self.follow(flight).await;
        }
        let flight = {
            let ledger = &mut self.running.books().ledger;
            ledger.advance_retry()?;
            let end = if ledger.checkpoint.is_finished() {
                Some(End::Finished)
            } else if self.running.stop.is_cancelled() {
                Some(End::Cancelled)
            } else {
                (!self.running.is_asked_for()).then_some(End::Unsent)
            };
            if end.is_some() {
                ledger.settle()?;
                return Ok(end);
            }
            let checkpoint = &ledger.checkpoint;
            let flight = Flight::new(checkpoint.kernel_id.is_some(), checkpoint.retry.is_some());
            // First the checkpoint, then the job: whatever comes after a crash knows what to look for.
            ledger.launch(&flight)?;
            flight
        };
        self.send(flight).await
    }

    /// Waits for a job of the operation.
    fn caller(&self) -> Caller<'static> {
        let unattended = || Instant::now() + UNATTENDED_TIMEOUT;
        let until = self.running.latest_deadline().unwrap_or_else(unattended);
        Caller::until(until).cancelled_by(&self.running.stop)
    }

    async fn send(&mut self, flight: Flight) -> Result<Option<End>, CheckpointError> {
        self.begin(&flight);
        let request = {
            let (plan, ledger) = (&self.running.plan, &mut self.running.books().ledger);
            let missing = if flight.is_retry {
                Vec::new()
            } else {
                ledger.missing()
            };
            ledger.call_again()?;
            ledger.bound(plan.is_unordered(), missing.last().map(|last| last + 1))?;
            plan.request(&ledger.checkpoint, &flight, missing)
        };
        // The answer is not held: other calls of the session may wait for this one's arrival.
        let caller = self.caller().at_most(Duration::ZERO);
        let mut reader = JobReader::new(&self.running);
        let id = flight.job_id;
        let sent = self.jobs.run_part(id, &request, &caller, &mut reader).await;
        match &sent {
            Err(RuntimeError::Refused(problem)) if problem.is_by_policy() => {
                self.running.books().ledger.take_back()?;
            }
            _ => self.running.books().ledger.arrive(),
        }
        let followed = sent?;
        match reader.done(&self.jobs, followed)? {
            Some(followed) => self.land(followed).await,
            None => self.lose(),
        }
    }

    fn begin(&mut self, flight: &Flight) {
        self.followed = Some((flight.job_id, flight.cursor));
        let mut books = self.running.books();
        books.output.begin(flight.job_id);
        books.seen = flight.cursor;
    }

    async fn follow(&mut self, mut flight: Flight) -> Result<Option<End>, CheckpointError> {
        let id = flight.job_id;
        let known = self.followed.filter(|(followed, _)| *followed == id);
        let Some((_, after)) = known else {
            return self.find_again(flight).await;
        };
        let (caller, mut reader) = (self.caller(), JobReader::new(&self.running));
        let running = &self.running;
        let report = |progress: Progress<'_>| JobReader::note(running, &progress);
        let caller = caller.with_report(&report);
        let followed = (self.jobs.follow_part(id, after, &caller, &mut reader)).await;
        match reader.done(&self.jobs, followed)? {
            Some(followed) => self.land(followed).await,
            // It never arrived, or went with its machine. Under its own id it runs once whatever became of the first try, and without a
            // setup of its own it runs in the kernel of the setup or not at all.
            None => {
                flight.cursor = after;
                self.send(flight).await
            }
        }
    }

    /// A job that an earlier process recorded, and may or may not have sent. To a call, an interrupt that came before it is no news.
    async fn find_again(&mut self, mut flight: Flight) -> Result<Option<End>, CheckpointError> {
        let (first_state, running) = (OnceLock::new(), &self.running);
        let report = |progress: Progress<'_>| {
            JobReader::note(running, &progress);
            if let Progress::Job { job, .. } = progress {
                first_state.get_or_init(|| job.state);
            }
        };
        let id = flight.job_id;
        self.running.books().output.begin(id);
        self.running.books().seen = flight.cursor;
        let (caller, mut reader) = (self.caller(), JobReader::new(&self.running));
        let caller = caller.with_report(&report);
        let followed = (self
            .jobs
            .follow_part(id, flight.cursor, &caller, &mut reader))
        .await;
        let Some(followed) = reader.done(&self.jobs, followed)? else {
            if !self.running.is_asked_for() {
                return Ok(Some(End::Unsent));
            }
            return self.send(flight).await;
        };
        let was_interrupted = first_state.get() == Some(&JobState::Interrupted);
        if was_interrupted && !flight.cancelled && self.running.is_asked_for() {
            let ledger = &mut self.running.books().ledger;
            flight.cancelled = true;
            if let Some(flight) = &mut ledger.checkpoint.in_flight {
                flight.cancelled = true;
            }
            ledger.notes.push(format!(
                "job {id} was interrupted before this call, which continued from iteration {}",
                ledger.checkpoint.completed
            ));
        }
        self.land(followed).await
    }

    /// Acts on the result of one look at the job.
    async fn land(&mut self, followed: Followed) -> Result<Option<End>, CheckpointError> {
        let id = followed.id;
        // A job that has not been seen yet is still to be found again.
        if followed.job.is_some() {
            self.followed = Some((id, followed.next));
        }
        // What was found running is resumed by itself from now on.
        if (followed.job.as_ref()).is_some_and(|job| !job.state.is_final()) {
            self.running.ask();
        }
        if let (Ended::Finished, Some(job)) = (&followed.ended, &followed.job) {
            return self.finish(job);
        }
        let is_finished = self.running.books().ledger.checkpoint.is_finished();
        if matches!(followed.ended, Ended::Cancelled) && !is_finished {
            return self.stop(id, followed.next).await;
        }
        let mut books = self.running.books();
        if is_finished {
            // The job's own end is no news any more.
            books.output.job_runs = false;
            books.ledger.land(None)?;
            return Ok(None);
        }
        match followed.ended {
            Ended::Finished | Ended::Full | Ended::Deadline | Ended::Left | Ended::Cancelled => {
                Ok(None)
            }
            Ended::Trouble(error) => {
                books.ledger.save()?;
                Err(error.into())
            }
        }
    }

    /// Ends the job and waits for its end; one that does not stop at once is recorded as interrupted all the same.
    async fn stop(&mut self, id: JobId, after: u64) -> Result<Option<End>, CheckpointError> {
        self.jobs.interrupt_later(id);
        {
            let ledger = &mut self.running.books().ledger;
            if let Some(flight) = &mut ledger.checkpoint.in_flight {
                flight.cancelled = true;
            }
            ledger.save()?;
        }
        let soon = Instant::now() + STOP_TIMEOUT;
        let until = (self.running.latest_deadline()).map_or(soon, |deadline| deadline.min(soon));
        let (caller, mut reader) = (Caller::until(until), JobReader::new(&self.running));
        let followed = (self.jobs.follow_part(id, after, &caller, &mut reader)).await;
        let followed = reader.done(&self.jobs, followed)?;
        if let Some(Followed {
            ended: Ended::Finished,
            job: Some(job),
            ..
        }) = followed
        {
            return self.finish(&job);
        }
        let mut books = self.running.books();
        let checkpoint = &mut books.ledger.checkpoint;
        let flight = checkpoint.in_flight.as_ref();
        checkpoint.stop = flight.map(|flight| {
            let next = checkpoint.current(flight.is_retry);
            stop::unseen(flight, next.unwrap_or(checkpoint.completed))
        });
        books.ledger.save()?;
        Ok(Some(End::Stopped))
    }

    /// The job is over, and all that it reported is in the books.
    fn finish(&mut self, job: &Job) -> Result<Option<End>, CheckpointError> {
        let mut books = self.running.books();
        let Some(flight) = books.ledger.checkpoint.in_flight.clone() else {
            return Ok(None);
        };
        let reruns = books.reruns.take();
        let checkpoint = &mut books.ledger.checkpoint;
        checkpoint.reruns += reruns.unwrap_or_default();
        if job.variables_lost {
            checkpoint.kernel_id = None;
        }
        let next = checkpoint.current(flight.is_retry);
        let is_done = next.is_none();
        let completed = next.unwrap_or(checkpoint.completed);
        let explain = |error| stop::explain(&flight, job, completed, error);
        let stop = match job.state {
            JobState::Lost => {
                drop(books);
                return self.lose();
            }
            // Whatever befell it came after its last iteration.
            JobState::Succeeded | JobState::Failed | JobState::TimedOut | JobState::Interrupted
                if is_done =>
            {
                None
            }
            // The next job runs the rest.
            JobState::Succeeded if flight.until.is_some_and(|until| until <= completed) => None,
            // An earlier call was stopped; this one goes on.
            JobState::Interrupted if flight.cancelled && !self.running.stop.is_cancelled() => None,
            JobState::Succeeded if job.variables_lost => Some(explain(None)),
            JobState::Succeeded => Some(stop::incomplete(
                &flight,
                "a loop succeeded without reporting all of its iterations",
            )),
            JobState::Failed if flight.is_looping && job.reason == Some(Reason::KernelDied) => {
                let unknown = stop::unknown_reruns(&flight);
                self.losses.count(completed + checkpoint.ahead, true);
                books.ledger.notes.extend(unknown);
                if self.losses.processes == 1 {
                    let why = explain(None);
                    let note = format!(
                        "{}: the setup runs again, and then iteration {completed}",
                        why.error
                    );
                    books.ledger.notes.push(note);
                    None
                } else {
                    Some(explain(None))
                }
            }
            JobState::Queued
            | JobState::Running
            | JobState::Failed
            | JobState::Interrupted
            | JobState::TimedOut => Some(explain(books.output.error())),
        };
        books.output.job_runs = false;
        let end = stop.is_some().then_some(End::Stopped);
        match stop {
            Some(stop) => books.ledger.land(Some(stop))?,
            None => books.ledger.land_unsaved(),
        }
        Ok(end)
    }

    /// The machine or the kernel has gone with the job: what it proved counts, the rest runs again after a new setup.
    fn lose(&mut self) -> Result<Option<End>, CheckpointError> {
        let mut books = self.running.books();
        let checkpoint = &mut books.ledger.checkpoint;
        checkpoint.kernel_id = None;
        let flight = checkpoint.in_flight.as_ref();
        let unknown = flight.and_then(stop::unknown_reruns);
        let is_retry = flight.is_some_and(|flight| flight.is_retry);
        let next = checkpoint.current(is_retry);
        let completed = next.unwrap_or(checkpoint.completed);
        self.losses.count(completed + checkpoint.ahead, false);
        books.ledger.notes.extend(unknown);
        books.ledger.land(None)?;
        books.output.job_runs = false;
        let is_hopeless = self.losses.machines > MAX_LOSSES;
        Ok(is_hopeless.then(|| End::Trouble(RuntimeError::Replaced.into())))
    }

    /// Until a call comes, or a while, longer each time.
    async fn pause(&mut self, error: CheckpointError) {
        tracing::debug!(operation = %self.running.plan.name, %error, "an operation cannot be followed at present");
        self.running.books().trouble = Some(error);
        self.running.changed();
        tokio::select! {
            () = self.running.attended.notified() => {}
            () = self.running.stop.cancelled() => {}
            () = sleep(self.delay) => {}
        }
        self.delay = (self.delay * 2).min(MAX_RETRY_DELAY);
    }
}

/// Whether the work can go on once the runtime can be reached again.
fn is_passing(error: &CheckpointError) -> bool {
    let CheckpointError::Runtime(error) = error else {
        return false;
    };
    let is_by_policy = matches!(error, RuntimeError::Refused(problem) if problem.is_by_policy());
    !is_by_policy
        && !matches!(
            error,
            RuntimeError::EndedWithClient
                | RuntimeError::OtherClient { .. }
                | RuntimeError::Cancelled
        )
}
