//! The books of one operation while this process works on it; only this process writes them then.
//!
//! All writing is done on the spot, without waiting: a task that is dropped has then written everything or nothing.

mod claim;

use std::time::Duration;

use tokio::time::Instant;

use super::result_line::result_line;
use crate::checkpoints::CheckpointError;
use crate::checkpoints::ahead::Ahead;
use crate::checkpoints::checkpoint::{Checkpoint, Flight, Stop};
use crate::checkpoints::folder::Folder;
use crate::edge::journal::Journal;
use crate::edge::lock::FileLock;
use crate::wire::event::Progress;
pub(super) use claim::{Before, Claim};

/// How often progress is saved while a batch runs: if the machine and the bridge fail together, no more than this is lost.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);
/// Between two saves at the ends of batches: short ones share one.
const MIN_SAVE_INTERVAL: Duration = Duration::from_millis(200);

/// An operation whose files are open for writing.
pub(super) struct Ledger {
    folder: Folder,
    pub(super) checkpoint: Checkpoint,
    results: Journal,
    ahead: Ahead,
    /// Notes for the caller.
    pub(super) notes: Vec<String>,
    saved: Instant,
    /// Nothing of it has run.
    is_new: bool,
    /// What it replaces is still there: none of its iterations is done.
    replaces: bool,
    /// Whether all of it is on disk.
    is_settled: bool,
    // The last field: it is let go after everything else is closed. None once the books are closed.
    lock: Option<FileLock>,
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

    /// A job was sent, and may have been accepted.
    pub(super) fn arrive(&mut self) {
        self.is_new = false;
    }

    /// What it replaces comes back if none of its iterations is done: it has ended. Returns whether that was so.
    pub(super) fn give_way(&mut self) -> Result<bool, CheckpointError> {
        if self.replaces && self.lock.is_some() {
            self.folder.give_way()?;
        }
        Ok(self.replaces)
    }

    /// The iterations that the next job is to run; empty if it runs all from the first one that is not done.
    pub(super) fn missing(&self) -> Vec<u64> {
        let checkpoint = &self.checkpoint;
        self.ahead.missing(checkpoint.completed..checkpoint.total)
    }

    /// Records that a job is wanted which was stopped before it arrived: what stops it from now on is news.
    pub(super) fn call_again(&mut self) -> Result<(), CheckpointError> {
        let flight = self.checkpoint.in_flight.as_mut();
        match flight.is_some_and(|flight| std::mem::take(&mut flight.cancelled)) {
            true => self.save(),
            false => Ok(()),
        }
    }

    /// Records which iterations a job is about to be sent for.
    pub(super) fn bound(
        &mut self,
        is_unordered: bool,
        until: Option<u64>,
    ) -> Result<(), CheckpointError> {
        let flight = self.checkpoint.in_flight.as_mut();
        let Some(flight) =
            flight.filter(|flight| (flight.is_unordered, flight.until) != (is_unordered, until))
        else {
            return Ok(());
        };
        (flight.is_unordered, flight.until) = (is_unordered, until);
        self.save()
    }

    /// Records a finished iteration, and returns true. On a cluster one may finish ahead of its turn; else all but the next one in order are
    /// ignored, so that none is skipped or counted twice.
    pub(super) fn credit(&mut self, progress: &Progress) -> Result<bool, CheckpointError> {
        if self.lock.is_none() {
            return Ok(false);
        }
        let flight = self.checkpoint.in_flight.as_ref();
        let (is_retry, is_unordered) = flight.map_or((false, false), |flight| {
            (flight.is_retry, flight.is_unordered)
        });
        let iteration = progress
            .iteration
            .unwrap_or(progress.completed.saturating_sub(1));
        let retry = self.checkpoint.retry.as_mut();
        if let Some(retry) = retry.filter(|_| is_retry && is_unordered) {
            retry.bring_forward(iteration);
        }
        let Some(current) = self.checkpoint.current(is_retry) else {
            return Ok(false);
        };
        let is_ahead = is_unordered && !is_retry && iteration > current;
        if iteration >= self.checkpoint.total || (iteration != current && !is_ahead) {
            return Ok(false);
        }
        let line = result_line(iteration, progress, is_retry)
            .map_err(CheckpointError::disk(&self.folder.results()))?;
        if is_ahead {
            let kept = self.ahead.put(iteration, progress, line);
            if !kept.map_err(CheckpointError::disk(self.ahead.path()))? {
                return Ok(false);
            }
        } else {
            self.record(iteration, progress, &line, is_retry)?;
        }
        self.count_ahead()?;
        self.is_settled = false;
        if self.saved.elapsed() >= SAVE_INTERVAL || self.replaces {
            self.save()?;
        }
        if std::mem::take(&mut self.replaces) {
            self.folder.forget_replaced()?;
        }
        Ok(true)
    }

    /// Writes an iteration's line of the results, and counts it.
    fn record(
        &mut self,
        iteration: u64,
        progress: &Progress,
        line: &str,
        is_retry: bool,
    ) -> Result<(), CheckpointError> {
        let appended = self.results.append(line);
        appended.map_err(CheckpointError::disk(&self.folder.results()))?;
        self.checkpoint.count(iteration, progress, is_retry);
        self.is_settled = false;
        Ok(())
    }

    /// Records the iterations that finished ahead and whose turn has come, and how many are left.
    fn count_ahead(&mut self) -> Result<(), CheckpointError> {
        while let Some(current) = self.checkpoint.current(false) {
            let kept = self.ahead.take(current);
            let kept = kept.map_err(CheckpointError::disk(self.ahead.path()))?;
            let Some(kept) = kept else { break };
            self.record(current, &kept.report, &kept.line, false)?;
        }
        if self.checkpoint.ended_by_break {
            self.ahead.clear();
        }
        self.checkpoint.ahead = self.ahead.count();
        self.checkpoint.skipped_ahead = self.ahead.failed();
        Ok(())
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
        if retry.is_none_or(|retry| retry.current().is_some()) {
            return Ok(());
        }
        // Those ahead run in their turn again.
        let forgotten = self.ahead.forget_failed();
        forgotten.map_err(CheckpointError::disk(self.ahead.path()))?;
        self.count_ahead()?;
        let Some(retry) = &self.checkpoint.retry else {
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

    /// Saves everything: the results and what is ahead of them first, then the checkpoint that covers them.
    pub(super) fn save(&mut self) -> Result<(), CheckpointError> {
        if self.lock.is_none() {
            return Ok(());
        }
        self.results
            .sync()
            .map_err(CheckpointError::disk(&self.folder.results()))?;
        let synced = self.ahead.sync();
        synced.map_err(CheckpointError::disk(self.ahead.path()))?;
        self.checkpoint.results_bytes = self.results.length();
        self.checkpoint.touch();
        self.saved = Instant::now();
        self.folder.save(&self.checkpoint)?;
        self.is_settled = true;
        let tidied = self.ahead.tidy();
        tidied.map_err(CheckpointError::disk(self.ahead.path()))
    }

    /// Lets go of the operation: from now on nothing is written here, and another may work on it.
    pub(super) fn close(&mut self) {
        self.lock = None;
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }
}

#[cfg(test)]
mod tests;
