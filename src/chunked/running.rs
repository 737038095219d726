//! An operation that this process works on: its books, and the calls that wait for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;
use super::outcome::Outcome;
use super::output::Output;
use crate::base::advice::Advice;
use crate::base::ids::JobId;
use crate::base::lock::Lock;
use crate::base::text::Room;
use crate::caller::{Caller, DEFAULT_CHARS, Progress};
use crate::checkpoints::CheckpointError;
use crate::checkpoints::checkpoint::Checkpoint;
use crate::checkpoints::plan::Plan;
use crate::jobs::Jobs;
use crate::jobs::control::explain_queue;
use crate::wire::event::Reruns;
use crate::wire::job::Job;
use crate::wire::state::JobState;

/// Left of a call for fetching pictures and logs.
const RESERVE: Duration = Duration::from_secs(1);
/// Left of that for the operation to report what keeps it from the runtime.
const TROUBLE_RESERVE: Duration = Duration::from_millis(500);
/// Less than this is not worth a request.
const MIN_LOOK: Duration = Duration::from_millis(50);

/// How a call ends, or the operation itself.
#[derive(Debug)]
pub(super) enum End {
    Finished,
    /// A job runs on.
    Deadline,
    /// A job has not begun; what it waits for, where that is known.
    Queued(Option<Advice>),
    Cancelled,
    /// The checkpoint says why.
    Stopped,
    /// The runtime does not know the job, and sending it again is for a call to decide.
    Unsent,
    /// The books hold the state; the next call resumes from there.
    Trouble(CheckpointError),
}

impl End {
    /// The end of a call that finds nothing of the operation running.
    pub(super) fn at_rest(checkpoint: &Checkpoint) -> Self {
        if checkpoint.is_finished() {
            Self::Finished
        } else if checkpoint.stop.is_some() {
            Self::Stopped
        } else {
            Self::Unsent
        }
    }
}

/// The state of an operation, and its output since the last answer.
pub(super) struct Books {
    pub(super) ledger: Ledger,
    pub(super) output: Output,
    /// The job as last heard of.
    pub(super) job: Option<Job>,
    /// The newest event that was taken.
    pub(super) seen: u64,
    /// What the job ran in vain, once it has ended.
    pub(super) reruns: Option<Reruns>,
    /// The error that currently keeps the operation from the runtime.
    pub(super) trouble: Option<CheckpointError>,
    is_over: bool,
    /// What it was to replace is there again.
    gave_way: bool,
    /// How it ended, until a call has said so.
    end: Option<End>,
}

const BACK_AGAIN: &str = "None of its iterations is done, so what was kept under this name before is there again, and is what a call with \
    checkpoint_name alone reads or resumes. To start over, call with all of the plan, corrected where it failed, and restart: true.";

/// One operation, worked on by a task of its own for as long as this process lives.
pub(super) struct Running {
    pub(super) plan: Plan,
    books: Lock<Books>,
    changed: watch::Sender<()>,
    /// Until when the calls wait that are there.
    waiting: Lock<Vec<Instant>>,
    /// A call has come.
    pub(super) attended: Notify,
    /// A call wants the operation to run; else what runs is followed, and nothing is sent before it was found running.
    is_asked_for: AtomicBool,
    /// Ends the operation: its job is interrupted.
    pub(super) stop: CancellationToken,
}

/// Takes a call's deadline back when the call is over.
struct Attendance<'a>(&'a Running, Instant);

impl Drop for Attendance<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock();
        if let Some(at) = waiting.iter().position(|until| *until == self.1) {
            waiting.swap_remove(at);
        }
    }
}

impl Running {
    pub(super) fn new(plan: Plan, ledger: Ledger, is_asked_for: bool) -> Arc<Self> {
        Arc::new(Self {
            plan,
            books: Lock::new(Books {
                ledger,
                output: Output::new(),
                job: None,
                seen: 0,
                reruns: None,
                trouble: None,
                is_over: false,
                gave_way: false,
                end: None,
            }),
            changed: watch::Sender::new(()),
            waiting: Lock::default(),
            attended: Notify::new(),
            is_asked_for: AtomicBool::new(is_asked_for),
            stop: CancellationToken::new(),
        })
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock()
    }

    /// From now on the operation is to run on by itself.
    pub(super) fn ask(&self) {
        self.is_asked_for.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_asked_for(&self) -> bool {
        self.is_asked_for.load(Ordering::Relaxed)
    }

    /// The job in flight.
    pub(super) fn job(&self) -> Option<JobId> {
        let books = self.books();
        let flight = books.ledger.checkpoint.in_flight.as_ref();
        flight.map(|flight| flight.job_id)
    }

    pub(super) fn is_over(&self) -> bool {
        self.books().is_over
    }

    /// Whether it has ended and no call has said how.
    pub(super) fn has_news(&self) -> bool {
        self.books().end.is_some()
    }

    /// Whether a call that comes now wants it to continue: it was interrupted, or its job was lost before this process followed it.
    pub(super) fn is_to_be_resumed(&self) -> bool {
        let books = self.books();
        let stop = books.ledger.checkpoint.stop.as_ref();
        let is_unsent = matches!(books.end, Some(End::Unsent));
        books.is_over && (is_unsent || stop.is_some_and(|stop| stop.interrupted))
    }

    /// Has the skipped iterations run again, unless the work is over.
    pub(super) fn retry(&self) {
        let mut books = self.books();
        if !books.is_over {
            books.ledger.ask_retry();
        }
    }

    /// Whether it has ended before any of it was done, and what it was to replace is there again.
    pub(super) fn gave_way(&self) -> bool {
        self.books().gave_way
    }

    /// Whether its job made the session.
    pub(super) fn made_session(&self) -> bool {
        self.books().job.as_ref().is_some_and(|job| job.new_session)
    }

    /// Wakes the calls that wait.
    pub(super) fn changed(&self) {
        self.changed.send_replace(());
    }

    /// Until when the runtime is asked for those who wait; none where no call does.
    pub(super) fn latest_deadline(&self) -> Option<Instant> {
        let soon = Instant::now() + MIN_LOOK;
        let waiting = self.waiting.lock();
        waiting.iter().copied().filter(|until| *until > soon).max()
    }

    /// The work has ended; others may work on the operation from now on.
    pub(super) fn end(&self, end: End) {
        let mut books = self.books();
        books.gave_way = books.ledger.give_way().unwrap_or_else(|error| {
            tracing::warn!(operation = %self.plan.name, %error, "what was to be replaced could not be put back yet");
            false
        });
        books.ledger.close();
        books.is_over = true;
        books.end = Some(end);
        drop(books);
        self.changed();
    }

    /// Waits for the end of the operation, as long as the caller can; the user's stop ends it. None for a caller that has left.
    pub(super) async fn wait(&self, caller: &Caller<'_>) -> Option<End> {
        let before = |left: Duration| {
            let deadline = caller.deadline;
            deadline.checked_sub(left).unwrap_or(deadline)
        };
        let patience = caller.patience.min(before(RESERVE));
        let _attendance = self.attend(patience);
        let latest = patience.max(before(TROUBLE_RESERVE).min(patience + TROUBLE_RESERVE));
        let mut changed = self.changed.subscribe();
        let mut reported = None;
        loop {
            if caller.left.is_cancelled() {
                return None;
            }
            if let Some(end) = self.look(caller, &mut reported) {
                return Some(end);
            }
            tokio::select! {
                biased;
                () = caller.cancelled.cancelled(), if !self.stop.is_cancelled() => self.stop.cancel(),
                () = caller.left.cancelled() => {}
                // The sender is held by `self`.
                _ = changed.changed() => {}
                () = sleep_until(latest) => return Some(self.books().unfinished()),
            }
        }
    }

    /// Reports what is new; the end, when it has come.
    fn look(&self, caller: &Caller<'_>, reported: &mut Option<u64>) -> Option<End> {
        let mut books = self.books();
        let checkpoint = &books.ledger.checkpoint;
        let total = checkpoint.total;
        let done = total.saturating_sub(checkpoint.remaining());
        if reported.replace(done).is_some_and(|before| before != done) {
            (caller.report)(Progress::Count { done, total });
        }
        let has_arrived = books.job.is_some() || books.trouble.is_some() || books.is_over;
        if let Some(turn) = caller.turn.filter(|_| has_arrived) {
            turn.pass();
        }
        if books.is_over {
            return Some(books.take_end());
        }
        let may_pass = |error: &CheckpointError| matches!(error, CheckpointError::Runtime(error) if error.is_transient());
        let trouble = books.trouble.take_if(|error| !may_pass(error));
        trouble.map(End::Trouble)
    }

    fn attend(&self, until: Instant) -> Attendance<'_> {
        self.waiting.lock().push(until);
        self.attended.notify_one();
        Attendance(self, until)
    }

    /// Makes the answer of a call, with all output since the last one.
    pub(super) async fn outcome(&self, end: End, jobs: &Jobs, caller: &Caller<'_>) -> Outcome {
        let room = match end {
            End::Finished | End::Deadline | End::Queued(_) => caller.room,
            End::Cancelled | End::Stopped | End::Unsent | End::Trouble(_) => caller.error_room,
        };
        let deadline = caller.deadline;
        let (mut output, mut job) = self.take_output();
        let cluster = job.as_mut().and_then(|job| job.cluster.take());
        let end = match (end, job.filter(|job| job.state == JobState::Queued)) {
            (End::Deadline, Some(job)) => End::Queued(explain_queue(&job)),
            (end, _) => end,
        };
        output.keep(jobs, room, deadline).await;
        let mut books = self.books();
        // What is answered is on disk; where it cannot be, the work itself will say so.
        if let Err(error) = books.ledger.settle() {
            tracing::warn!(operation = %self.plan.name, %error, "a checkpoint could not be saved");
        }
        let mut notes = std::mem::take(&mut books.ledger.notes);
        if let (End::Deadline | End::Queued(_), Some(trouble)) = (&end, jobs.trouble()) {
            notes.push(format!(
                "the runtime does not answer now ({trouble}): this is what was seen before, and whether the operation still runs there is not known"
            ));
        }
        let (checkpoint, results) = (&books.ledger.checkpoint, books.ledger.folder().results());
        let mut outcome = Outcome::new(end, checkpoint, &results, notes, (output, room));
        outcome.facts.cluster = cluster;
        if books.gave_way {
            // The way on from what it would have kept is none.
            outcome.facts.hint = Some(BACK_AGAIN.into());
            outcome.facts.next_command = None;
        }
        outcome
    }

    /// How the operation stands, with nothing of what it printed.
    pub(super) fn as_kept(&self) -> Outcome {
        let books = self.books();
        Outcome::read(&books.ledger.checkpoint, &books.ledger.folder().results())
    }

    fn take_output(&self) -> (Output, Option<Job>) {
        let mut books = self.books();
        let output = books.take_output();
        let seen = books.seen;
        books.ledger.show(seen);
        (output, books.job.clone())
    }

    /// Fetches pictures while the machine is there: it may have gone when the next call comes.
    pub(super) async fn keep(&self, jobs: &Jobs, deadline: Instant) {
        let mut output = self.books().take_output();
        output
            .keep(jobs, Room::for_chars(DEFAULT_CHARS), deadline)
            .await;
        self.books().output = output;
    }
}

impl Books {
    /// The output so far; what follows is of the same job.
    fn take_output(&mut self) -> Output {
        let next = self.output.next();
        std::mem::replace(&mut self.output, next)
    }

    /// How it stands for a call that waits no longer.
    fn unfinished(&mut self) -> End {
        if self.ledger.checkpoint.is_finished() {
            return End::Finished;
        }
        self.trouble.take().map_or(End::Deadline, End::Trouble)
    }

    /// How the operation ended, for one call; for later ones, how it stands.
    fn take_end(&mut self) -> End {
        let end = self.end.take();
        end.unwrap_or_else(|| End::at_rest(&self.ledger.checkpoint))
    }
}
