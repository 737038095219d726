//! Running code: submit it once, follow its events, show what the model should see, keep what must not be lost.
//!
//! - [`follow`]: the loop over the long poll, from a cursor to an end or a deadline;
//! - [`shown`]: what events do to what is seen, for every view of them;
//! - [`collect`]: events into text, pictures and files; `display`: which form of an output is shown; `pending`:
//!   displays that still change;
//! - [`view`]: the collected output as it is handed to the face; `ending`: why a job failed, in words;
//! - [`keep`]: logs and pictures in the user's folder; [`range`]: any part of a log;
//! - [`store`]: which jobs were sent where, for whoever comes after; [`overview`]: them and the runtime's own list in one;
//! - `log`: a job's output as one text;
//! - `control`: ending what runs, jobs and sessions;
//! - `kernels`: whose variables are gone since their session was last heard of.
//!
//! May import `base`, `wire`, `edge`, `render`, `runtime`, `connection`, `caller`; knows nothing of MCP.

pub mod collect;
mod control;
pub(crate) mod death;
mod display;
pub(crate) mod ending;
pub mod follow;
pub mod keep;
mod kernels;
mod log;
pub mod overview;
mod pending;
pub mod range;
pub mod shown;
pub(crate) mod stall;
pub mod store;
pub mod view;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use crate::base::ids::JobId;
use crate::base::lock::Lock;
use crate::caller::{Caller, Progress};
use crate::connection::Connection;
use crate::runtime::{RuntimeError, RuntimeResult};
use crate::wire::job::{Job, JobRequest};
use crate::wire::state::JobState;
use collect::{Collector, MAX_TEXT_CHARS};
use follow::{Ended, Followed, Reader};
use keep::{Keeper, Kept};
use kernels::Kernels;
use store::{Record, Store};
use view::View;

/// Ids of jobs that are kept in memory.
const MAX_REMEMBERED: usize = 1_000;

/// Runs code on the connected runtime.
#[derive(Debug)]
pub struct Jobs {
    connection: Arc<Connection>,
    keeper: Keeper,
    store: Store,
    /// Of jobs that are parts of something larger, which is listed in their place.
    parts: Store,
    kernels: Kernels,
    /// The newest jobs that the runtime told of; their ids sort by time.
    known: Lock<BTreeSet<JobId>>,
}

/// How much of a job's output [`Jobs::look`] gathers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Head and tail of everything.
    Whole,
    /// What comes after this cursor, as much as one answer holds.
    From(u64),
}

impl Jobs {
    /// Logs and pictures are kept under `save_dir`, notes of what was sent in `store_dir`.
    #[must_use]
    pub fn new(connection: Arc<Connection>, save_dir: PathBuf, store_dir: PathBuf) -> Self {
        Self {
            connection,
            keeper: Keeper::new(save_dir),
            parts: Store::new(store_dir.join("parts")),
            store: Store::new(store_dir),
            kernels: Kernels::default(),
            known: Lock::default(),
        }
    }

    /// Runs code as the job `id`, a fresh one, and waits for its end until the caller's patience ends. A cancelled wait interrupts the job.
    ///
    /// # Errors
    /// Only when the code certainly did not start; any later trouble is in the view, beside the output so far.
    pub async fn run(
        &self,
        id: JobId,
        request: &JobRequest,
        caller: &Caller<'_>,
    ) -> RuntimeResult<View> {
        let mut collector = Collector::new(MAX_TEXT_CHARS);
        let submitted = self.submit(&self.store, id, request, caller, &mut collector);
        let mut followed = submitted.await?;
        self.note(&mut followed);
        if matches!(followed.ended, Ended::Cancelled) {
            self.interrupt_later(id);
        }
        let job = followed.job.as_ref();
        let is_replaced = job.is_some_and(|job| self.kernels.is_replaced(job));
        let mut view = self
            .view(followed, collector, Reading::Whole, caller.deadline)
            .await;
        if is_replaced {
            view.summary.note_replaced();
        }
        Ok(view)
    }

    /// Reads a job's output and, while it runs, waits for more until the caller's patience ends.
    ///
    /// # Errors
    /// When nothing at all could be read.
    pub async fn look(
        &self,
        id: JobId,
        reading: Reading,
        caller: &Caller<'_>,
    ) -> RuntimeResult<View> {
        let (after, mut collector) = match reading {
            Reading::Whole => (0, Collector::new(MAX_TEXT_CHARS)),
            Reading::From(after) => (after, Collector::new(MAX_TEXT_CHARS).stopping_when_full()),
        };
        let mut followed =
            follow::follow(&self.connection, id, after, caller, &mut collector).await;
        self.note(&mut followed);
        if followed.job.is_none()
            && let Ended::Trouble(error) = followed.ended
        {
            return Err(error);
        }
        Ok(self
            .view(followed, collector, reading, caller.deadline)
            .await)
    }

    /// Runs code as the job `id`, which is a part of something larger: it is noted like any other, but not listed among them. Its events go to
    /// `reader`, and what it means that the runtime does not know it is for the caller to say.
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

    /// Follows such a part from the cursor `after` on.
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

    /// Notes a job in `store` before it is sent, and again as soon as it is known to run.
    async fn submit(
        &self,
        store: &Store,
        id: JobId,
        request: &JobRequest,
        caller: &Caller<'_>,
        reader: &mut dyn Reader,
    ) -> RuntimeResult<Followed> {
        if let Some(place) = self.connection.place() {
            let boot_id = self.connection.boot_id();
            store.note(&Record::of_request(id, request, &place, boot_id));
        }
        let is_noted = AtomicBool::new(false);
        let report = |progress: Progress<'_>| {
            // Once, in case this bridge ends in mid-job; what has ended is noted after it.
            if let Progress::Job { job, .. } = progress
                && !job.state.is_final()
                && !is_noted.swap(true, Ordering::Relaxed)
            {
                self.note_job(store, job, 0);
            }
            (caller.report)(progress);
        };
        let caller = &caller.clone().with_report(&report);
        let submitted = follow::submit(&self.connection, id, request, caller, reader).await;
        submitted.inspect_err(|_| store.forget(id))
    }

    /// Remembers a job that was heard of, and says what its trouble means.
    fn note(&self, followed: &mut Followed) {
        let id = followed.id;
        if let Ended::Trouble(error) = &mut followed.ended
            && error.is_not_found()
        {
            if let Some(missing) = self.classify_missing(id, error) {
                *error = missing;
            }
            if matches!(error, RuntimeError::Replaced) {
                self.kernels.told_of_all();
            }
            // Where it was sent stays noted: whoever answered is another.
            return;
        }
        self.note_followed(&self.store, followed);
    }

    fn note_followed(&self, store: &Store, followed: &Followed) {
        if let Some(job) = &followed.job {
            self.remember(followed.id);
            self.note_job(store, job, followed.next);
        }
    }

    fn note_job(&self, store: &Store, job: &Job, next: u64) {
        if let Some(place) = self.connection.place() {
            store.note(&Record::of_job(job, next, &place));
        }
    }

    /// Remembers a job that the runtime has told of.
    fn remember(&self, id: JobId) {
        let mut known = self.known.lock();
        known.insert(id);
        if known.len() > MAX_REMEMBERED {
            known.pop_first();
        }
    }

    /// What it means that the executor does not know a job, where it is a local one and another client's knows it. Reads the disk.
    pub(crate) fn other_client(&self, id: JobId) -> Option<RuntimeError> {
        self.connection.other_client(id)
    }

    /// What it means that the machine that answered does not know a job: it was sent to another one, or went with its machine, or never arrived.
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
        let is_gone = record.is_some_and(|record| {
            record.state.is_some() || (record.boot_id.is_some() && record.boot_id != boot_id)
        });
        Some(if is_gone || known.contains(&id) {
            RuntimeError::Replaced
        } else {
            RuntimeError::UnknownJob
        })
    }

    async fn view(
        &self,
        followed: Followed,
        mut collector: Collector,
        reading: Reading,
        deadline: Instant,
    ) -> View {
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
                "the code cleared what it had shown before this (clear_output): the log has its text".into(),
            );
        }
        if collector.left_out() > 0 || is_cut || collector.has_cleared {
            self.keep_log(id, deadline, &mut kept).await;
        }
        if let Some(job) = &followed.job {
            self.kernels.told(job);
        }
        let waiting = followed.job.as_ref();
        let waiting = waiting.filter(|job| {
            job.state == JobState::Queued && matches!(followed.ended, Ended::Deadline)
        });
        let ahead = match waiting {
            Some(job) => Some(self.ahead(job, deadline).await),
            None => None,
        };
        let mut view = View::of(followed, collector, reading, kept);
        if let Some(ahead) = ahead {
            view.summary.note_waiting(ahead);
        }
        view
    }
}
