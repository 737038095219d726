//! Which cells of the notebooks run now or wait, so that two runs of one notebook never mix, and what the last run has left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::edit::Target;
use super::error::DocumentError;
use crate::base::ids::JobId;
use crate::base::lock::Lock;

/// By the paths of notebooks.
#[derive(Debug, Default)]
pub(super) struct Active(Lock<BTreeMap<String, Entry>>);

#[derive(Debug, Default)]
struct Entry {
    /// By numbers of their own.
    runs: BTreeMap<u64, Run>,
    next: u64,
    left_out: Option<LeftOut>,
}

#[derive(Debug)]
struct Run {
    job: Option<JobId>,
    /// It may wait in the queue behind others of one cell.
    is_single: bool,
    running: Option<Target>,
    waiting: Vec<Target>,
}

/// Cells that a run was to run, and why it did not.
#[derive(Debug, Clone)]
pub(super) struct LeftOut {
    pub(super) cells: Vec<Target>,
    pub(super) why: String,
}

/// How a notebook's cells stand.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) running: Vec<(Target, Option<JobId>)>,
    pub(super) waiting: Vec<Target>,
    pub(super) left_out: Option<LeftOut>,
}

/// A run's right to a notebook, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    active: Arc<Active>,
    path: String,
    number: u64,
}

impl Active {
    /// Claims a notebook for a run of these cells. Runs of one cell each may be in it together: their session has a queue.
    pub(super) fn claim(
        self: &Arc<Self>,
        path: &str,
        cells: Vec<Target>,
        is_single: bool,
    ) -> Result<Claim, DocumentError> {
        let mut entries = self.0.lock();
        let entry = entries.entry(path.to_owned()).or_default();
        let other = entry
            .runs
            .values()
            .find(|run| !(is_single && run.is_single));
        if let Some(other) = other {
            let (path, job) = (path.to_owned(), other.job);
            return Err(DocumentError::Busy { path, job });
        }
        let number = entry.next;
        (entry.next, entry.left_out) = (number + 1, None);
        let run = Run {
            job: None,
            is_single,
            running: None,
            waiting: cells,
        };
        entry.runs.insert(number, run);
        Ok(Claim {
            active: self.clone(),
            path: path.to_owned(),
            number,
        })
    }

    pub(super) fn state(&self, path: &str) -> State {
        let mut state = State::default();
        if let Some(entry) = self.0.lock().get(path) {
            for run in entry.runs.values() {
                state
                    .running
                    .extend(run.running.clone().map(|cell| (cell, run.job)));
                state.waiting.extend(run.waiting.iter().cloned());
            }
            state.left_out = entry.left_out.clone();
        }
        state
    }
}

impl Claim {
    /// Names the job that runs now, which others are told to wait for.
    pub fn note_job(&self, job: JobId) {
        self.change(|run| run.job = Some(job));
    }

    /// The cell `running` runs as `job`, and `waiting` run after it.
    pub(super) fn note<'a>(
        &self,
        running: &Target,
        job: JobId,
        waiting: impl Iterator<Item = &'a Target>,
    ) {
        let waiting = waiting.cloned().collect();
        self.change(|run| {
            (run.job, run.running, run.waiting) = (Some(job), Some(running.clone()), waiting);
        });
    }

    /// Ends the run without these cells.
    pub(super) fn leave_out(self, cells: Vec<Target>, why: String) {
        let left_out = (!cells.is_empty()).then_some(LeftOut { cells, why });
        if let Some(entry) = self.active.0.lock().get_mut(&self.path) {
            entry.left_out = left_out;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Run)) {
        let mut entries = self.active.0.lock();
        let entry = entries.get_mut(&self.path);
        if let Some(run) = entry.and_then(|entry| entry.runs.get_mut(&self.number)) {
            change(run);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut entries = self.active.0.lock();
        if let Some(entry) = entries.get_mut(&self.path) {
            entry.runs.remove(&self.number);
            if entry.runs.is_empty() && entry.left_out.is_none() {
                entries.remove(&self.path);
            }
        }
    }
}
