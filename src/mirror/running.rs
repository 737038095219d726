//! A mirror at work: it waits for changes there, downloads them, and waits again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Means;
use super::error::MirrorError;
use super::note::{Held, Note, Notes};
use super::order::{Order, Work};
use super::pass::Course;
use super::report::{MirrorReport, Status};
use crate::base::causes::sentence;
use crate::base::fault::Fault;
use crate::base::ids::JobId;
use crate::base::lock::Lock;
use crate::runtime::{ChangesQuery, Files};
use crate::transfer::Skipped;
use crate::transfer::disk::blocking;
use crate::wire::limits::MAX_WAIT;

/// Between two passes. The next look waits for changes, so a folder that rests costs next to nothing.
const INTERVAL: Duration = Duration::from_secs(1);
/// The same through a tunnel whose requests and bytes are counted.
const COUNTED_INTERVAL: Duration = Duration::from_secs(30);
/// Enough for the two looks of the executor between which a file must rest.
const SHORT_WAIT: Duration = Duration::from_millis(2500);
/// For the answer, beside the wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const MIN_BACKOFF: Duration = Duration::from_secs(2);
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// A runtime that cannot be reached for so long is said to be lost.
const MAX_SILENCE: Duration = Duration::from_secs(60);
/// Changes of one look.
const PAGE_SIZE: u64 = 5000;
const MAX_NAMED: usize = 20;

/// One mirror.
#[derive(Debug)]
pub(super) struct Mirror {
    pub(super) remote: String,
    pub(super) local_path: PathBuf,
    pub(super) note: Lock<Note>,
    /// The call that starts its work is over.
    call: Lock<CancellationToken>,
    /// The user's own end, or that of this process.
    pub(super) stop: CancellationToken,
    by_user: CancellationToken,
    wake: Notify,
    pub(super) report: watch::Sender<MirrorReport>,
    troubled: Lock<Trouble>,
    /// Its bounds are new: what it left out is to be looked at again.
    is_changed: AtomicBool,
    /// It was listed after its end, or never began.
    was_listed: AtomicBool,
}

/// What it cannot overcome, since when, and whether that was said.
#[derive(Debug, Default)]
struct Trouble {
    error: Option<MirrorError>,
    since: Option<Instant>,
    was_said: bool,
}

/// What a look led to.
enum Turn {
    Again(Duration),
    Over(Status),
}

/// Its work, as far as this computer knows.
struct Known {
    job: Option<JobId>,
    has_ended: bool,
    /// Its job is all there is; an operation may go on with another one.
    is_one_job: bool,
}

impl Mirror {
    pub(super) fn new(note: Note, call: CancellationToken, stop: CancellationToken) -> Self {
        let mut report = MirrorReport::new(&note.remote, &note.local_path);
        report.until = note.until.as_ref().map(Work::text);
        report.received_bytes = note.received_bytes;
        Self {
            remote: note.remote.clone(),
            local_path: note.local_path.clone(),
            note: Lock::new(note),
            call: Lock::new(call),
            stop,
            by_user: CancellationToken::new(),
            wake: Notify::new(),
            report: watch::Sender::new(report),
            troubled: Lock::default(),
            is_changed: AtomicBool::new(false),
            was_listed: AtomicBool::new(false),
        }
    }

    pub(super) fn report(&self) -> MirrorReport {
        let report = self.report.borrow().clone();
        report.worded()
    }

    /// Its state for a reply, where its end or a loss need not be said again.
    pub(super) fn tell(&self) -> MirrorReport {
        let mut trouble = self.troubled.lock();
        trouble.was_said |= self.is_news(&trouble);
        self.report()
    }

    /// Its state for the list; none if it was there since its end.
    pub(super) fn listed(&self) -> Option<MirrorReport> {
        let report = self.tell();
        let was_listed = report.is_over() && self.was_listed.swap(true, Relaxed);
        (!was_listed).then_some(report)
    }

    pub(super) fn is_over(&self) -> bool {
        self.report.borrow().is_over()
    }

    /// Waits for its end.
    pub(super) async fn over(&self) {
        let _ = self
            .report
            .subscribe()
            .wait_for(MirrorReport::is_over)
            .await;
    }

    /// Waits until it has looked, or could not.
    pub(super) async fn looked(&self) {
        let looked = |report: &MirrorReport| report.status != Status::Starting;
        let _ = self.report.subscribe().wait_for(looked).await;
    }

    /// Why it has failed, if it has; then it is not said again.
    pub(super) fn failure(&self) -> Option<MirrorError> {
        let mut trouble = self.troubled.lock();
        let has_failed = self.report.borrow().status == Status::Failed;
        trouble.was_said |= has_failed;
        self.was_listed.fetch_or(has_failed, Relaxed);
        trouble.error.clone().filter(|_| has_failed)
    }

    pub(super) fn end_by_user(&self) {
        self.by_user.cancel();
        self.stop.cancel();
    }

    /// Ends it unlisted, and removes its folder if that is empty.
    pub(super) fn withdraw(&self) {
        self.was_listed.store(true, Relaxed);
        self.end_by_user();
        let _ = std::fs::remove_dir(&self.local_path);
    }

    /// Whether it has lost its runtime, the first time that this is asked.
    pub(super) fn has_news(&self) -> bool {
        let mut trouble = self.troubled.lock();
        self.is_news(&trouble) && !std::mem::replace(&mut trouble.was_said, true)
    }

    fn is_news(&self, trouble: &Trouble) -> bool {
        let is_silent = trouble
            .since
            .is_some_and(|since| since.elapsed() > MAX_SILENCE);
        match self.report.borrow().status {
            Status::Waiting => is_silent,
            Status::Lost | Status::Failed => true,
            Status::Starting | Status::Following | Status::Ended | Status::Stopped => false,
        }
    }

    /// Gives a running mirror new bounds, and the newer one of its works; one without any runs on until it is stopped.
    pub(super) fn change(&self, order: &Order, call: &CancellationToken) {
        let mut note = self.note.lock();
        let is_changed = order.max_bytes.is_some() && order.max_bytes != note.max_bytes;
        note.max_bytes = order.max_bytes.or(note.max_bytes);
        if order.until.is_none() || note.until.is_some() {
            note.until.clone_from(&order.until);
        }
        let until = note.until.as_ref().map(Work::text);
        drop(note);
        *self.call.lock() = call.clone();
        self.is_changed.fetch_or(is_changed, Relaxed);
        self.report.send_modify(|report| {
            report.until = until;
            if is_changed {
                report.status = Status::Starting;
            }
        });
        self.wake.notify_one();
    }

    /// Runs until its end; `held` is its folder.
    pub(super) async fn run(self: Arc<Self>, means: Means, notes: Notes, held: Held) {
        let cursor = self.note.lock().cursor.clone();
        let mut course = Course {
            is_resumed: cursor.is_some(),
            cursor,
            ..Course::default()
        };
        let mut backoff = MIN_BACKOFF;
        let status = loop {
            let pause = match self.turn(&mut course, &means, &notes).await {
                Ok(Turn::Over(status)) => break status,
                Ok(Turn::Again(pause)) => {
                    backoff = MIN_BACKOFF;
                    pause
                }
                Err(error) if error.is_final() => {
                    self.note_trouble(&error);
                    break Status::Failed;
                }
                Err(error) => {
                    self.note_trouble(&error);
                    self.set_status(Status::Waiting);
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                    backoff
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => break Status::Stopped,
                () = self.woken() => {}
                () = sleep(pause) => {}
            }
        };
        // A mirror that this process leaves is for the next one.
        if status != Status::Stopped || self.by_user.is_cancelled() {
            let mut note = self.note.lock().clone();
            note.is_over = true;
            blocking(move || notes.write(&note)).await;
        }
        drop(held);
        self.set_status(status);
    }

    /// Waits until the call is over that starts its work, or until it is changed.
    async fn woken(&self) {
        let call = self.call.lock().clone();
        if call.is_cancelled() {
            return self.wake.notified().await;
        }
        tokio::select! {
            () = call.cancelled() => {}
            () = self.wake.notified() => {}
        }
    }

    /// Looks once, and downloads what has changed.
    async fn turn(
        &self,
        course: &mut Course,
        means: &Means,
        notes: &Notes,
    ) -> Result<Turn, MirrorError> {
        if self.is_changed.swap(false, Relaxed) {
            (course.is_resumed, course.skipped) = (course.cursor.is_some(), BTreeMap::new());
            let (notes, note) = (notes.clone(), self.note.lock().clone());
            blocking(move || notes.write(&note)).await;
        }
        let may_end = self.call.lock().is_cancelled();
        let known = self.known(means, course.job);
        course.job = known.as_ref().and_then(|known| known.job);
        let at = Timestamp::now();
        let is_troubled = self.troubled.lock().since.is_some();
        let hurries = course.cursor.is_none()
            || course.is_resumed
            || is_troubled
            || !course.pending.is_empty()
            || known.as_ref().is_some_and(|known| known.has_ended);
        let query = ChangesQuery {
            path: self.remote.clone(),
            after: course.cursor.clone(),
            wait: if hurries { SHORT_WAIT } else { MAX_WAIT },
            limit: PAGE_SIZE,
            job: course.job,
        };
        let until = means
            .connection
            .until(Instant::now() + query.wait + ANSWER_TIMEOUT);
        let changes = tokio::select! {
            () = self.stop.cancelled() => return Ok(Turn::Over(Status::Stopped)),
            () = self.woken() => return Ok(Turn::Again(Duration::ZERO)),
            changes = until.changes(&query) => changes,
        };
        let changes = changes.map_err(|error| MirrorError::runtime(&self.remote, error))?;
        let is_final = changes.job_state.is_some_and(|state| state.is_final());
        let is_unknown = query.job.is_some() && changes.job_state.is_none();
        let is_one_job = known.as_ref().is_some_and(|known| known.is_one_job);
        let has_ended = known.is_some_and(|known| known.has_ended) || (is_one_job && is_final);
        if may_end && is_unknown && is_one_job {
            return Ok(Turn::Over(Status::Lost));
        }
        let more = changes.more;
        let began = Instant::now();
        self.take_in(course, changes).await?;
        self.download(course, means, notes).await?;
        self.note_pass(course, at);
        // After what has changed it looks at all; the call that starts its work may have ended meanwhile.
        let hurries = more || course.cursor.is_none() || may_end != self.call.lock().is_cancelled();
        Ok(match (has_ended && may_end, hurries) {
            (_, true) => Turn::Again(Duration::ZERO),
            (true, false) => Turn::Over(Status::Ended),
            (false, false) => Turn::Again(match means.connection.ngrok_month_bytes() {
                Some(_) => COUNTED_INTERVAL,
                // What changes all the time is downloaded half of the time.
                None => INTERVAL.max(began.elapsed()),
            }),
        })
    }

    /// Its work; none if it runs on until it is stopped. `job` is the last one that was known.
    fn known(&self, means: &Means, job: Option<JobId>) -> Option<Known> {
        let (found, is_one_job) = match self.note.lock().until.clone()? {
            Work::Job(job) => (Some(job), true),
            Work::Named(name) => {
                let checkpoints = &means.checkpoints;
                (checkpoints.job_of(&name), !checkpoints.is_operation(&name))
            }
        };
        Some(Known {
            job: found.or(job),
            has_ended: found.is_none(),
            is_one_job,
        })
    }

    fn note_pass(&self, course: &Course, at: Timestamp) {
        *self.troubled.lock() = Trouble::default();
        self.report.send_modify(|report| {
            report.status = Status::Following;
            report.pass(at);
            report.is_missing = !course.exists;
            report.job_id = course.job.map(|job| job.to_string());
            report.pending = course.pending.len();
            report.skipped_count = course.skipped.len() as u64;
            let skipped = course.skipped.iter().take(MAX_NAMED);
            report.skipped = skipped
                .map(|(name, reason)| Skipped {
                    name: name.clone(),
                    reason: reason.clone(),
                })
                .collect();
            (report.code, report.problem, report.hint) = (None, None, None);
        });
    }

    fn note_trouble(&self, error: &MirrorError) {
        let mut trouble = self.troubled.lock();
        trouble.since.get_or_insert_with(Instant::now);
        trouble.error = Some(error.clone());
        drop(trouble);
        self.report.send_modify(|report| {
            report.code = Some(error.code().to_owned());
            report.problem = Some(sentence(error));
            report.hint = Some(error.remedy());
        });
    }

    fn set_status(&self, status: Status) {
        self.report.send_modify(|report| report.status = status);
    }
}
