//! An operation that is locked, and what it starts from.

use tokio::time::Instant;

use super::Ledger;
use crate::base::ids::JobId;
use crate::checkpoints::CheckpointError;
use crate::checkpoints::ahead::Ahead;
use crate::checkpoints::checkpoint::Checkpoint;
use crate::checkpoints::folder::Folder;
use crate::checkpoints::plan::{self, Plan};
use crate::edge::journal::Journal;
use crate::edge::lock::FileLock;

/// A locked operation, before anything is changed.
pub(in crate::chunked) struct Claim {
    folder: Folder,
    checkpoint: Checkpoint,
    is_new: bool,
    /// It takes the place of earlier work.
    replaces: bool,
    /// The code is another than the checkpoint on disk says.
    is_changed: bool,
    /// The running job of the operation that this one replaces.
    pub(in crate::chunked) replaced_job: Option<JobId>,
    /// Whether skipped iterations run again.
    pub(in crate::chunked) retries_skipped: bool,
    plan: Plan,
    lock: FileLock,
}

/// How earlier work under the same name is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::chunked) enum Before {
    /// It counts if the plan is the same.
    SamePlan,
    /// It counts even if the code has changed.
    Kept,
    /// It is discarded.
    Forgotten,
}

impl Claim {
    pub(in crate::chunked) fn take(
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
            // The next call then finds the good one before it.
            Err(error) => return Err(folder.set_damaged_aside(error)?),
        };
        let mut claim = Self {
            folder,
            checkpoint: plan.begin(),
            is_new: true,
            replaces: false,
            is_changed: false,
            replaced_job: None,
            retries_skipped: false,
            plan: plan.clone(),
            lock,
        };
        claim.replaces = before == Before::Forgotten && claim.folder.is_there();
        match found {
            None => {}
            Some(old) if before == Before::Forgotten => {
                claim.replaced_job = old.in_flight.map(|flight| flight.job_id);
            }
            Some(old) if old.plan_hash == claim.checkpoint.plan_hash => claim.go_on(old),
            Some(old) if before == Before::Kept && plan.may_follow(&old) => {
                claim.go_on(plan.follow(old));
                claim.is_changed = true;
            }
            Some(old) => return Err(plan.mismatch(&old)),
        }
        Ok(claim)
    }

    fn go_on(&mut self, old: Checkpoint) {
        self.checkpoint = old;
        self.is_new = false;
    }

    pub(in crate::chunked) fn open(self) -> Result<Ledger, CheckpointError> {
        if self.replaces {
            self.folder.put_by()?;
        }
        // First the plan: a checkpoint that it does not belong to is known by its hash.
        plan::keep(&self.plan, &self.folder)?;
        // Before the old results are cut away: a crash between leaves no checkpoint that claims what is not there.
        if self.is_new {
            self.folder.begin(&self.checkpoint)?;
        }
        let covered = self.checkpoint.results_bytes;
        let path = self.folder.results();
        let results = Journal::open(&path, covered).map_err(CheckpointError::disk(&path))?;
        let path = self.folder.ahead();
        let iterations = self.checkpoint.completed..self.checkpoint.total;
        let ahead = Ahead::open(path.clone(), &self.checkpoint.created_at, &iterations);
        let ahead = ahead.map_err(CheckpointError::disk(&path))?;
        let mut notes = Vec::new();
        if ahead.count() < self.checkpoint.ahead {
            notes.push(format!(
                "{} has lost finished iterations, which run again: {}",
                path.display(),
                self.checkpoint.ahead - ahead.count()
            ));
        }
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
                self.folder.results().display()
            ));
        }
        if self.checkpoint.has_begun() {
            self.folder.forget_replaced()?;
        }
        let replaces = self.folder.has_replaced();
        let mut ledger = Ledger {
            folder: self.folder,
            checkpoint: self.checkpoint,
            results,
            ahead,
            notes,
            saved: Instant::now(),
            is_new: self.is_new,
            replaces,
            is_settled: !self.is_changed,
            lock: Some(self.lock),
        };
        // What the checkpoint does not know yet, or what is lost.
        ledger.count_ahead()?;
        if self.retries_skipped {
            ledger.ask_retry();
        }
        // Though nothing may be left to run: the plan on disk is the new one already, and belongs to this checkpoint alone.
        ledger.settle()?;
        Ok(ledger)
    }
}
