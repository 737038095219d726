//! Running code: submit it once, follow its events, show what the model should see, keep what must not be lost.
//!
//! - [`follow`]: the loop over the long poll, from a cursor to an end or a deadline;
//! - [`shown`]: translates events into changes of the visible output, for every view of them;
//! - [`collect`]: events into text, pictures and files; `display`: which MIME type of an output is shown; `pending`:
//!   displays that still change;
//! - [`view`]: the collected output as it is handed to the face; [`summary`]: its facts and hints; [`body`]: its text and pictures in order; `ending`: why a job failed, in words; `unanswered`: of code that asks; `body_line`: where;
//! - [`until`]: waits for a line of the output;
//! - [`keep`]: logs and pictures in the user's folder; [`range`]: any part of a log; [`search`]: lines of it that match;
//! - [`live`]: the output as it comes, in place of a view; [`saved`]: a session's variables, in a file;
//! - [`store`]: which jobs were sent where, for later processes; [`overview`]: those and the runtime's own list in one;
//! - `log`: a job's output as one text; `sending`: jobs on their way; `requirements`: packages that are there before, `remembered` from
//!   earlier machines;
//! - `control`: ending jobs and sessions;
//! - `kernels`: detects sessions whose variables were lost since their last job.
//!
//! May import `base`, `wire`, `edge`, `render`, `runtime`, `connection`, `caller`; knows nothing of MCP.

pub mod body;
pub(crate) mod body_line;
pub mod collect;
pub mod control;
pub(crate) mod death;
mod display;
pub(crate) mod ending;
pub mod follow;
pub mod keep;
mod kernels;
pub mod live;
mod log;
pub mod overview;
mod pending;
pub mod range;
mod remembered;
mod requirements;
pub mod saved;
pub mod search;
mod sending;
pub mod shown;
pub(crate) mod stall;
pub mod store;
pub mod summary;
mod unanswered;
pub mod until;
pub mod view;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::ids::JobId;
use crate::base::lock::Lock;
use crate::base::text::Newest;
use crate::caller::Caller;
use crate::connection::{Connection, State};
use crate::runtime::{RuntimeError, RuntimeResult};
use crate::wire::event::Event;
use crate::wire::job::{Job, JobRequest};
use crate::wire::state::JobState;
use collect::Collector;
use follow::{Ended, Followed, Reader};
use keep::{Keeper, Kept};
use kernels::Kernels;
use requirements::Requirements;
use store::{Record, Store};
use until::Until;
use view::View;

/// Ids of jobs kept in memory.
const MAX_REMEMBERED: usize = 1_000;

/// Runs code on the connected runtime.
#[derive(Debug)]
pub struct Jobs {
    connection: Arc<Connection>,
    keeper: Keeper,
    store: Store,
    /// Records of jobs that are parts of a larger task, which is listed in their place.
    parts: Store,
    kernels: Kernels,
    /// The newest jobs that the runtime reported; their ids sort by time.
    known: Lock<BTreeSet<JobId>>,
    requirements: Requirements,
}

/// How much of a job's output [`Jobs::look`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Head and tail of all output.
    Whole,
    /// Head and tail of the output after this cursor.
    From(u64),
}

/// Collects the output for an answer, which may wait for a part of it.
struct Waiting<'a> {
    collector: &'a mut Collector,
    until: Option<&'a mut Until>,
}

impl Reader for Waiting<'_> {
    fn take(&mut self, event: &Event) -> ControlFlow<()> {
        if let Some(until) = &mut self.until {
            until.take(event);
        }
        self.collector.take(event)
    }

    fn newest(&self) -> Newest {
        self.collector.newest()
    }

    fn is_satisfied(&self) -> bool {
        (self.until.as_ref()).is_some_and(|until| until.matched().is_some())
    }
}

impl Jobs {
    /// Creates the room; it keeps logs and pictures under `save_dir`, and records of sent jobs in `store_dir`.
    #[must_use]
    pub fn new(connection: Arc<Connection>, save_dir: PathBuf, store_dir: PathBuf) -> Self {
        Self {
            connection,
            keeper: Keeper::new(save_dir),
            parts: Store::new(store_dir.join("parts")),
            store: Store::new(store_dir),
            kernels: Kernels::default(),
            known: Lock::default(),
            requirements: Requirements::default(),
        }
    }

    /// Why requests are being retried now, if they are.
    pub(crate) fn trouble(&self) -> Option<String> {
        match self.connection.state() {
            state @ State::Lost { .. } => state.message(),
            State::NotConfigured | State::Starting { .. } | State::Ready => None,
        }
    }

    /// Where code is sent; empty where that is not known yet.
    pub(crate) fn place(&self) -> String {
        self.connection.place().unwrap_or_default()
    }

    /// Runs code as the job `id`, which must be a fresh one, and waits for its end until the caller's patience ends. The user's stop
    /// interrupts the job.
    ///
    /// # Errors
    /// Only when the code certainly did not start; any later failure is in the view, beside the output so far.
    pub async fn run(
        &self,
        id: JobId,
        request: &JobRequest,
        caller: &Caller<'_>,
    ) -> RuntimeResult<View> {
        let mut collector = Collector::new(caller.room);
        let submitted = self.submit(&self.store, id, request, caller, &mut collector);
        let mut followed = caller.or_leave(&id.to_string(), submitted).await?;
        self.note(&mut followed);
        if matches!(followed.ended, Ended::Cancelled) {
            self.interrupt_later(id);
        }
        let job = followed.job.as_ref();
        let is_replaced = job.is_some_and(|job| self.kernels.record_kernel(job));
        let is_first = job.is_some_and(|job| job.new_session);
        let caller = &caller.with_room_for(followed.has_failed());
        let mut view = self.view(followed, collector, Reading::Whole, caller).await;
        if is_replaced {
            view.summary.note_replaced();
        }
        view.summary.new_session = is_first.then_some(true);
        // Who sends code wants it to succeed.
        view.has_failed = !view.summary.success;
        Ok(view)
    }

    /// Reads a job's output and, while it runs, waits for more until the caller's patience ends, or until what `until` waits for has come.
    ///
    /// # Errors
    /// When nothing could be read.
    pub async fn look(
        &self,
        id: JobId,
        reading: Reading,
        mut until: Option<Until>,
        caller: &Caller<'_>,
    ) -> RuntimeResult<View> {
        let collector = Collector::new(caller.room);
        let (after, mut collector) = match reading {
            Reading::Whole => (0, collector),
            // What is waited for may come long after an answer is full.
            Reading::From(after) if until.is_some() => (after, collector),
            Reading::From(after) => (after, collector.stopping_when_full()),
        };
        let mut reader = Waiting {
            collector: &mut collector,
            until: until.as_mut(),
        };
        let mut followed = follow::follow(&self.connection, id, after, caller, &mut reader).await;
        self.note(&mut followed);
        if followed.job.is_none()
            && let Ended::Trouble(error) = followed.ended
        {
            return Err(error);
        }
        let caller = &caller.with_room_for(followed.has_failed());
        let mut view = self.view(followed, collector, reading, caller).await;
        if let Some(until) = until {
            view.summary.note_matched(until.matched());
        }
        Ok(view)
    }

    /// Runs code as the job `id`, a part of a larger task: it is recorded like any other job, but not listed. Its events go to `reader`; a
    /// "not found" is left for the caller to interpret.
    ///
    /// # Errors
    /// Only when the job certainly did not start.
    pub(crate) async fn run_part(
        &self,
        id: JobId,
        request: &JobRequest,
        caller: &Caller<'_>,
        reader: &mut dyn Reader,
    ) -> RuntimeResult<Followed> {
        let followed = self
            .submit(&self.parts, id, request, caller, reader)
            .await?;
        self.note_followed(&self.parts, &followed);
        Ok(followed)
    }

    /// Follows a job started by [`Jobs::run_part`] from the cursor `after` on.
    pub(crate) async fn follow_part(
        &self,
        id: JobId,
        after: u64,
        caller: &Caller<'_>,
        reader: &mut dyn Reader,
    ) -> Followed {
        let followed = follow::follow(&self.connection, id, after, caller, reader).await;
        self.note_followed(&self.parts, &followed);
        followed
    }

    /// Records a followed job, and classifies the error where the runtime does not know it.
    fn note(&self, followed: &mut Followed) {
        let id = followed.id;
        if let Ended::Trouble(error) = &mut followed.ended
            && error.is_not_found()
        {
            if let Some(missing) = self.classify_missing(id, error) {
                *error = missing;
            }
            if matches!(error, RuntimeError::Replaced) {
                self.kernels.forget_all();
            }
            // Where it was sent stays recorded: another executor answered.
            return;
        }
        self.note_followed(&self.store, followed);
    }

    fn note_followed(&self, store: &Store, followed: &Followed) {
        self.note_packages(&followed.packages);
        if let Some(job) = &followed.job {
            self.remember(followed.id);
            let next = match followed.ended {
                // No answer has shown what was read.
                Ended::Cancelled | Ended::Left => {
                    store.get(followed.id).map_or(0, |record| record.next)
                }
                Ended::Finished | Ended::Full | Ended::Deadline | Ended::Trouble(_) => {
                    followed.next
                }
            };
            self.note_job(store, job, next);
        }
    }

    fn note_job(&self, store: &Store, job: &Job, next: u64) {
        if let Some(place) = self.connection.place() {
            store.note(&Record::of_job(job, next, &place));
        }
    }

    /// Remembers a job that the runtime has reported.
    fn remember(&self, id: JobId) {
        let mut known = self.known.lock();
        known.insert(id);
        if known.len() > MAX_REMEMBERED {
            known.pop_first();
        }
    }

    /// Returns the error for a job that a local executor does not know because another client's executor has it. Reads the disk.
    pub(crate) fn other_client(&self, id: JobId) -> Option<RuntimeError> {
        self.connection.other_client(id)
    }

    /// Classifies a "not found" for a job: it was sent to another machine, was lost with its machine, was removed there, or never arrived.
    fn classify_missing(&self, id: JobId, error: &RuntimeError) -> Option<RuntimeError> {
        if !error.is_not_found() {
            return None;
        }
        let record = self.store.get(id).or_else(|| self.parts.get(id));
        if let (Some(record), Some(now)) = (&record, self.connection.place())
            && record.place != now
        {
            let place = record.place.clone();
            return Some(RuntimeError::Elsewhere { place, now });
        }
        if matches!(error, RuntimeError::Replaced) {
            return None;
        }
        if let Some(error) = self.connection.other_client(id) {
            return Some(error);
        }
        let known = self.known.lock();
        let boot_id = self.connection.boot_id();
        let was_there =
            known.contains(&id) || (record.as_ref()).is_some_and(|record| record.state.is_some());
        let sent_to = record.and_then(|record| record.boot_id);
        let is_same = boot_id.is_none() || sent_to == boot_id;
        Some(match (was_there, is_same) {
            (true, true) => RuntimeError::Removed,
            (false, false) if sent_to.is_none() => RuntimeError::UnknownJob,
            (_, false) => RuntimeError::Replaced,
            (false, true) => RuntimeError::UnknownJob,
        })
    }

    async fn view(
        &self,
        followed: Followed,
        mut collector: Collector,
        reading: Reading,
        caller: &Caller<'_>,
    ) -> View {
        let deadline = caller.deadline;
        collector.settle();
        let mut kept = Kept::default();
        let mut is_cut = false;
        if let (Reading::Whole, Some(job)) = (reading, &followed.job) {
            let late = self.keeper.late_output(&self.connection, job, deadline);
            if let Some(late) = late.await {
                is_cut = late.is_cut;
                collector.append_late(&late.text);
            }
        }
        let (id, attachments) = (followed.id, &collector.attachments);
        self.keep(id, attachments, deadline, &mut kept).await;
        if collector.has_cleared {
            kept.notes.push(
                "the code cleared its earlier output (clear_output): the log has the text of it"
                    .into(),
            );
        }
        if collector.left_out(caller.room) > 0 || is_cut || collector.has_cleared {
            self.keep_log(id, deadline, &mut kept).await;
        }
        if let Some(job) = &followed.job {
            self.kernels.forget_lost(job);
        }
        let waiting = followed.job.as_ref();
        let waiting = waiting.filter(|job| {
            job.state == JobState::Queued && matches!(followed.ended, Ended::Deadline)
        });
        let queue = waiting.map(control::explain_queue);
        let mut view = View::of(followed, collector, (reading, caller.room), kept);
        if let Some(queue) = queue {
            view.summary.note_queued(queue);
        }
        view
    }
}
