//! Notes on runs whose outputs are not in their cells yet, so that after a death of this process a later one writes them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::edit::Target;
use crate::base::ids::JobId;
use crate::edge::lock::FileLock;
use crate::edge::store::{read_if_there, remove_if_there, write_quickly};

/// Older notes are removed; no executor keeps its jobs this long.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// A cell that a job runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) job_id: JobId,
    /// Where the job was sent.
    pub(super) place: String,
    /// The notebook.
    pub(super) path: String,
    pub(super) cell_id: Option<String>,
    pub(super) cell_index: Option<usize>,
    /// The version of the cell that the job runs.
    pub(super) version: String,
}

/// A note, and the lock that shows other processes that this one cares for it.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) note: Note,
    path: PathBuf,
    lock: Option<FileLock>,
}

impl Note {
    /// The cell.
    pub(super) fn target(&self) -> Target {
        Target {
            id: self.cell_id.clone(),
            index: self.cell_index,
        }
    }
}

impl Held {
    pub(super) fn target(&self) -> Target {
        self.note.target()
    }

    /// Writes a note before its job is sent. A failure is only logged: the cell runs whether or not it can be noted.
    pub(super) fn begin(folder: &Path, note: Note) -> Self {
        let path = folder.join(format!("{}.json", note.job_id));
        let lock = FileLock::try_take(&lock_of(&path));
        let written = serde_json::to_vec(&note).map_err(io::Error::from);
        if let Err(error) = written.and_then(|text| write_quickly(&path, &text)) {
            tracing::warn!(job = %note.job_id, %error, "could not note the run of a cell");
        }
        let lock = lock.ok().flatten();
        Self { note, path, lock }
    }

    /// The notes that no process cares for: this one does now.
    pub(super) fn left_behind(folder: &Path) -> Vec<Self> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let paths = paths.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
        paths.filter_map(take).collect()
    }

    /// Removes the note: its outputs are written, or cannot be.
    pub(super) fn end(mut self) {
        let lock = self.lock.take();
        for path in [self.path.clone(), lock_of(&self.path)] {
            if let Err(error) = remove_if_there(&path) {
                tracing::debug!(path = %path.display(), %error, "could not remove a note");
            }
        }
        drop(lock);
    }
}

fn take(path: PathBuf) -> Option<Held> {
    let lock = FileLock::try_take(&lock_of(&path)).ok()??;
    if is_outdated(&path) {
        let _ = remove_if_there(&path);
    }
    let text = read_if_there(&path).ok()?;
    let note = text.and_then(|text| serde_json::from_slice(&text).ok());
    match note {
        Some(note) => Some(Held {
            note,
            path,
            lock: Some(lock),
        }),
        None => {
            // Ended meanwhile by its own process, or of another version.
            let _ = remove_if_there(&lock_of(&path));
            None
        }
    }
}

/// Whether a file is older than any job that an executor keeps.
pub(super) fn is_outdated(path: &Path) -> bool {
    let changed = path.metadata().and_then(|metadata| metadata.modified());
    let age = changed.ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age > MAX_AGE)
}

fn lock_of(path: &Path) -> PathBuf {
    path.with_extension("lock")
}
