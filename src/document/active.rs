//! Which cells of the notebooks run now or wait, so that two runs of one notebook never mix, and what the last run has left out. Other processes of
//! this computer are kept away by a lock for each notebook.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::edit::Target;
use super::error::DocumentError;
use super::notes::is_outdated;
use crate::base::hex::hex;
use crate::base::ids::JobId;
use crate::base::lock::Lock;
use crate::edge::lock::FileLock;
use crate::edge::store::remove_if_there;

/// Bytes of a digest that name a notebook's lock.
const NAME_BYTES: usize = 16;

#[derive(Debug)]
pub(super) struct Active {
    /// By the paths of notebooks.
    entries: Lock<BTreeMap<String, Entry>>,
    /// The folder of the locks.
    folder: PathBuf,
}

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
    /// None where there can be no locks.
    lock: Option<FileLock>,
}

impl Active {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            entries: Lock::default(),
            folder,
        }
    }

    /// Claims a notebook at a `place` for a run of these cells. Runs of one cell each may be in it together: their session has a queue.
    ///
    /// # Errors
    /// [`DocumentError::Busy`], [`DocumentError::BusyElsewhere`].
    pub(super) fn claim(
        self: &Arc<Self>,
        place: &str,
        path: &str,
        cells: Vec<Target>,
        is_single: bool,
    ) -> Result<Claim, DocumentError> {
        let mut entries = self.entries.lock();
        let entry = entries.entry(path.to_owned()).or_default();
        let other = entry
            .runs
            .values()
            .find(|run| !(is_single && run.is_single));
        if let Some(other) = other {
            let (path, job) = (path.to_owned(), other.job);
            return Err(DocumentError::Busy { path, job });
        }
        let lock = match self.lock(place, path, is_single) {
            Ok(Some(lock)) => Some(lock),
            Ok(None) => {
                let path = path.to_owned();
                return Err(DocumentError::BusyElsewhere { path });
            }
            Err(error) => {
                tracing::warn!(%error, "other clients are not kept from running cells of the notebook");
                None
            }
        };
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
            lock,
        })
    }

    fn lock(&self, place: &str, path: &str, is_single: bool) -> io::Result<Option<FileLock>> {
        let digest = Sha256::digest(format!("{place}\n{path}"));
        let file = self
            .folder
            .join(format!("{}.lock", hex(&digest[..NAME_BYTES])));
        match is_single {
            true => FileLock::try_share(&file),
            false => FileLock::try_take(&file),
        }
    }

    /// Removes old locks that nobody holds.
    pub(super) fn sweep(&self) {
        let entries = std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten();
        for path in entries.map(|entry| entry.path()) {
            if is_outdated(&path)
                && let Ok(Some(_lock)) = FileLock::try_take(&path)
            {
                let _ = remove_if_there(&path);
            }
        }
    }

    pub(super) fn state(&self, path: &str) -> State {
        let mut state = State::default();
        if let Some(entry) = self.entries.lock().get(path) {
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
        if let Some(entry) = self.active.entries.lock().get_mut(&self.path) {
            entry.left_out = left_out;
        }
    }

    fn change(&self, change: impl FnOnce(&mut Run)) {
        let mut entries = self.active.entries.lock();
        let entry = entries.get_mut(&self.path);
        if let Some(run) = entry.and_then(|entry| entry.runs.get_mut(&self.number)) {
            change(run);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Before the next run in this process can begin.
        drop(self.lock.take());
        let mut entries = self.active.entries.lock();
        if let Some(entry) = entries.get_mut(&self.path) {
            entry.runs.remove(&self.number);
            if entry.runs.is_empty() && entry.left_out.is_none() {
                entries.remove(&self.path);
            }
        }
    }
}
