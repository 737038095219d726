//! The books of one operation while this process works on it; only this process writes them then.
//!
//! All writing is done on the spot, without waiting: a task that is dropped has then written everything or nothing.

use std::ops::Not;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::base::ids::JobId;
use crate::checkpoints::CheckpointError;
use crate::checkpoints::checkpoint::{Checkpoint, Flight, Stop};
use crate::checkpoints::folder::Folder;
use crate::checkpoints::plan::{self, Plan};
use crate::edge::journal::Journal;
use crate::edge::lock::FileLock;
use crate::wire::event::{Progress, PythonError};

/// How often progress is saved while a batch runs: if the machine and the bridge fail together, no more than this is lost.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);
/// Between two saves at the ends of batches: short ones share one.
const MIN_SAVE_INTERVAL: Duration = Duration::from_millis(200);

/// A locked operation, before anything is changed.
pub(super) struct Claim {
    folder: Folder,
    checkpoint: Checkpoint,
    is_new: bool,
    /// The running job of the operation that this one replaces.
    pub(super) replaced_job: Option<JobId>,
    /// Whether skipped iterations run again.
    pub(super) retries_skipped: bool,
    plan: Plan,
    lock: FileLock,
}

/// An operation whose files are open for writing.
pub(super) struct Ledger {
    folder: Folder,
    pub(super) checkpoint: Checkpoint,
    results: Journal,
    /// Notes for the caller.
    pub(super) notes: Vec<String>,
    saved: Instant,
    /// Nothing of it has run.
    is_new: bool,
    /// Whether all of it is on disk.
    is_settled: bool,
    // The last field: it is let go after everything else is closed. None once the books are closed.
    lock: Option<FileLock>,
}

/// A line of the results file.
#[derive(Serialize)]
struct ResultLine<'a> {
    i: u64,
    result: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// It ran again, and this is its result.
    #[serde(skip_serializing_if = "Not::not")]
    retried: bool,
}

/// How earlier work under the same name is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// It counts if the plan is the same.
    SamePlan,
    /// It counts even if the code has changed.
    Kept,
    /// It is discarded.
    Forgotten,
}

impl Claim {
    pub(super) fn take(
        folder: Folder,
        plan: &Plan,
        before: Before,
    ) -> Result<Self, CheckpointError> {
        let lock = folder.lock(&plan.name)?;
        let found = match folder.load() {
            Ok(found) => found,
            Err(CheckpointError::Corrupt { .. } | CheckpointError::OtherVersion { .. })
                if before == Before::Forgotten =>
            {
                folder.set_unreadable_aside()?;
                folder.load()?
            }
            Err(error) => {
                // The next call then finds the good one before it.
                if let CheckpointError::Corrupt {
                    previous: Some(_), ..
                } = &error
                {
                    folder.set_unreadable_aside()?;
                }
                return Err(error);
            }
        };
        let mut claim = Self {
            folder,
            checkpoint: plan.begin(),
            is_new: true,
            replaced_job: None,
            retries_skipped: false,
            plan: plan.clone(),
            lock,
        };
        match found {
            None => {}
            Some(old) if before == Before::Forgotten => {
                claim.replaced_job = old.in_flight.map(|flight| flight.job_id);
            }
            Some(old) if old.plan_hash == claim.checkpoint.plan_hash => claim.go_on(old),
            Some(old) if before == Before::Kept && plan.may_follow(&old) => {
                claim.go_on(plan.follow(old));
            }
            Some(old) => return Err(plan.mismatch(&old)),
        }
        Ok(claim)
    }

    fn go_on(&mut self, old: Checkpoint) {
        self.checkpoint = old;
        self.is_new = false;
    }

    pub(super) fn open(self) -> Result<Ledger, CheckpointError> {
        // First the plan: a checkpoint that it does not belong to is known by its hash.
        plan::keep(&self.plan, &self.folder)?;
        // Before the old results are cut away: a crash between leaves no checkpoint that claims what is not there.
        if self.is_new {
            self.folder.begin(&self.checkpoint)?;
        }
        let covered = self.checkpoint.results_bytes;
        let path = self.folder.results();
        let results = Journal::open(&path, covered).map_err(CheckpointError::disk(&path))?;
        let mut notes = Vec::new();
        let stop = self.checkpoint.stop.as_ref();
        if let Some(stop) = stop.filter(|stop| stop.interrupted) {
            notes.push(format!(
                "job {} was interrupted before this call, which continued from iteration {}",
                stop.job_id, self.checkpoint.completed
            ));
        }
        if results.length() < covered {
            notes.push(format!(
                "{} has lost some results; the iterations themselves are done",
                path.display()
            ));
        }
        let mut ledger = Ledger {
            folder: self.folder,
            checkpoint: self.checkpoint,
            results,
            notes,
            saved: Instant::now(),
            is_new: self.is_new,
            is_settled: true,
            lock: Some(self.lock),
        };
        if self.retries_skipped {
            ledger.ask_retry();
        }
        Ok(ledger)
    }
}

impl Ledger {
    /// Records a job that is about to be sent.
    pub(super) fn launch(&mut self, flight: &Flight) -> Result<(), CheckpointError> {
        self.checkpoint.stop = None;
        self.checkpoint.in_flight = Some(flight.clone());
        self.save()
    }

    /// The job was refused before anything of it ran.
    pub(super) fn take_back(&mut self) -> Result<(), CheckpointError> {
        self.checkpoint.in_flight = None;
        self.save()
    }

    /// Whether no job of the operation was ever accepted.
    pub(super) fn is_unbegun(&self) -> bool {
        self.is_new && self.checkpoint.in_flight.is_none()
    }

    /// A job was accepted.
    pub(super) fn arrive(&mut self) {
        self.is_new = false;
    }

    /// Records a finished iteration, and returns true. Ignores all but the next one in order, so that none is skipped or counted twice.
    pub(super) fn credit(&mut self, progress: &Progress) -> Result<bool, CheckpointError> {
        if self.lock.is_none() {
            return Ok(false);
        }
        let flight = self.checkpoint.in_flight.as_ref();
        let is_retry = flight.is_some_and(|flight| flight.is_retry);
        let iteration = progress
            .iteration
            .unwrap_or(progress.completed.saturating_sub(1));
        if self.checkpoint.current(is_retry) != Some(iteration) {
            return Ok(false);
        }
        let line = ResultLine {
            i: iteration,
            result: &progress.result,
            error: progress.error.as_ref().map(PythonError::sentence),
            retried: is_retry,
        };
        let path = self.folder.results();
        serde_json::to_string(&line)
            .map_err(std::io::Error::from)
            .and_then(|line| self.results.append(&line))
            .map_err(CheckpointError::disk(&path))?;
        self.checkpoint.count(iteration, progress, is_retry);
        self.is_settled = false;
        if self.saved.elapsed() >= SAVE_INTERVAL {
            self.save()?;
        }
        Ok(true)
    }

    /// The setup, or the batch before, is done in the kernel that the flight began in.
    pub(super) fn begin_batch(&mut self) -> Result<(), CheckpointError> {
        self.is_settled = false;
        if let Some(flight) = &mut self.checkpoint.in_flight {
            flight.is_looping = true;
            if flight.kernel_id.is_some() {
                self.checkpoint.kernel_id.clone_from(&flight.kernel_id);
            }
        }
        if self.saved.elapsed() >= MIN_SAVE_INTERVAL {
            self.save()?;
        }
        Ok(())
    }

    /// Ends the flight: what it proved is in the books.
    pub(super) fn land(&mut self, stop: Option<Stop>) -> Result<(), CheckpointError> {
        self.land_unsaved();
        self.checkpoint.stop = stop;
        self.save()
    }

    /// Records the end of a job that succeeded, without saving: the next launch or [`Ledger::settle`] saves. After a crash before that, the
    /// job is found again by its id.
    pub(super) fn land_unsaved(&mut self) {
        self.checkpoint.in_flight = None;
        self.checkpoint.stop = None;
        self.is_settled = false;
    }

    /// Records that an answer shows the job's events up to `cursor`.
    pub(super) fn show(&mut self, cursor: u64) {
        if let Some(flight) = &mut self.checkpoint.in_flight
            && flight.cursor != cursor
        {
            flight.cursor = cursor;
            self.is_settled = false;
        }
    }

    /// Looks up the skipped iterations that the next job runs again, once those of the last one have run.
    pub(super) fn advance_retry(&mut self) -> Result<(), CheckpointError> {
        let retry = self.checkpoint.retry.as_ref();
        let Some(retry) = retry.filter(|retry| retry.current().is_none()) else {
            return Ok(());
        };
        let path = self.folder.results();
        self.results.sync().map_err(CheckpointError::disk(&path))?;
        let following = retry.following(&path, self.results.length());
        self.checkpoint.retry = following.map_err(CheckpointError::disk(&path))?;
        self.is_settled = false;
        Ok(())
    }

    /// Has the skipped iterations run again.
    pub(super) fn ask_retry(&mut self) {
        if !self.checkpoint.ask_retry() {
            self.notes
                .push("no iteration was skipped: none runs again".to_owned());
        }
        self.is_settled = false;
    }

    /// Saves what is not on disk yet.
    pub(super) fn settle(&mut self) -> Result<(), CheckpointError> {
        if self.is_settled { Ok(()) } else { self.save() }
    }

    /// Saves everything: the results first, then the checkpoint that covers them.
    pub(super) fn save(&mut self) -> Result<(), CheckpointError> {
        if self.lock.is_none() {
            return Ok(());
        }
        self.results
            .sync()
            .map_err(CheckpointError::disk(&self.folder.results()))?;
        self.checkpoint.results_bytes = self.results.length();
        self.checkpoint.touch();
        self.saved = Instant::now();
        self.folder.save(&self.checkpoint)?;
        self.is_settled = true;
        Ok(())
    }

    /// Lets go of the operation: from now on nothing is written here, and another may work on it.
    pub(super) fn close(&mut self) {
        self.lock = None;
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }
}
