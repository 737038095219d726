//! Records this computer's transfers in one small file each, so that after a bridge was killed the next one resumes its transfers, and reports
//! those that have ended. The received bytes are beside their destination.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::running::{Direction, Key};
use crate::base::ids::JobId;
use crate::edge::lock::FileLock;
use crate::edge::store::{read_if_there, remove_if_there, write_quickly};

const VERSION: u32 = 1;
/// Older records are removed.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The record of one transfer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    version: u32,
    pub(super) job_id: JobId,
    pub(super) direction: Direction,
    /// The remote path, and the local one.
    pub(super) key: Key,
    pub(super) max_bytes: u64,
    /// The facts at its end; none while it runs, or if its bridge was killed.
    pub(super) outcome: Option<Value>,
}

impl Note {
    pub(super) fn begun(job_id: JobId, direction: Direction, key: Key, max_bytes: u64) -> Self {
        Self {
            version: VERSION,
            job_id,
            direction,
            key,
            max_bytes,
            outcome: None,
        }
    }
}

/// The records, in one folder that several bridges may share. Failed writes are only logged: a transfer runs whether or not it is recorded.
#[derive(Debug, Clone)]
pub(super) struct Notes(PathBuf);

impl Notes {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    pub(super) fn write(&self, note: &Note) {
        let written = serde_json::to_vec(note)
            .map_err(io::Error::from)
            .and_then(|bytes| write_quickly(&self.path(note.job_id, "json"), &bytes));
        if let Err(error) = written {
            tracing::warn!(job = %note.job_id, %error, "could not record a transfer on this computer");
        }
    }

    /// Reads a transfer's record; none if it cannot be read.
    pub(super) fn get(&self, id: JobId) -> Option<Note> {
        let bytes = read_if_there(&self.path(id, "json")).ok()??;
        let note: Note = serde_json::from_slice(&bytes).ok()?;
        (note.version == VERSION).then_some(note)
    }

    /// Locks a transfer, which one process may run at a time; none if another process holds it.
    pub(super) fn hold(&self, id: JobId) -> Option<Held> {
        let path = self.path(id, "lock");
        match FileLock::try_take(&path) {
            Ok(lock) => lock.map(|lock| Held {
                _lock: Some(lock),
                path,
            }),
            Err(error) => {
                tracing::warn!(job = %id, %error, "could not lock the record of a transfer");
                Some(Held { _lock: None, path })
            }
        }
    }

    /// Finds and locks a transfer that a bridge started and no bridge is running.
    pub(super) fn left_behind(&self, direction: Direction, key: &Key) -> Option<(JobId, Held)> {
        self.tidy();
        let wanted =
            |note: &Note| note.outcome.is_none() && note.direction == direction && note.key == *key;
        ids(&self.0).into_iter().rev().find_map(|id| {
            self.get(id).filter(wanted)?;
            let held = self.hold(id)?;
            // Its last holder may have ended it just now.
            self.get(id).filter(wanted)?;
            Some((id, held))
        })
    }

    fn tidy(&self) {
        let oldest = SystemTime::now().checked_sub(MAX_AGE);
        for id in ids(&self.0) {
            let path = self.path(id, "json");
            let changed = fs::metadata(&path).and_then(|about| about.modified());
            if changed.is_ok_and(|changed| Some(changed) < oldest) {
                // A leftover is removed another time.
                let _ = remove_if_there(&path);
                let _ = remove_if_there(&self.path(id, "lock"));
            }
        }
    }

    fn path(&self, id: JobId, ending: &str) -> PathBuf {
        self.0.join(format!("{id}.{ending}"))
    }
}

/// The lock on a transfer, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    _lock: Option<FileLock>,
    path: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Before the lock is released: afterwards the file may be another process's.
        let _ = fs::remove_file(&self.path);
    }
}

/// The recorded ids, in order of creation.
fn ids(folder: &Path) -> Vec<JobId> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut ids: Vec<JobId> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.strip_suffix(".json")?.parse().ok()
        })
        .collect();
    ids.sort_unstable();
    ids
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::{Direction, Note, Notes};
    use crate::base::ids::JobId;

    fn key(remote: &str) -> (String, Option<String>) {
        (remote.to_owned(), None)
    }

    #[test]
    fn an_abandoned_transfer_is_claimed_by_one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::new(folder.path().join("transfers"));
        let id = JobId::fresh();
        let mut note = Note::begun(id, Direction::Download, key("/a"), 1);
        notes.write(&note);
        let find = |direction, remote| notes.left_behind(direction, &key(remote));
        assert!(find(Direction::Upload, "/a").is_none());
        assert!(find(Direction::Download, "/b").is_none());
        let (found, held) = find(Direction::Download, "/a").unwrap();
        assert_eq!(found, id);
        assert!(find(Direction::Download, "/a").is_none(), "it is held");
        drop(held);
        assert!(find(Direction::Download, "/a").is_some());
        note.outcome = Some(serde_json::json!({"success": true}));
        notes.write(&note);
        assert_eq!(notes.get(id), Some(note));
        assert!(find(Direction::Download, "/a").is_none(), "it has ended");
    }

    #[test]
    fn old_records_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::new(folder.path().to_owned());
        let ids = [JobId::fresh(), JobId::fresh()];
        for id in ids {
            notes.write(&Note::begun(id, Direction::Download, key("/a"), 1));
        }
        let path = folder.path().join(format!("{}.json", ids[0]));
        let then = SystemTime::now() - Duration::from_secs(31 * 24 * 3600);
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(then).unwrap();
        notes.left_behind(Direction::Upload, &key("/a"));
        assert!(notes.get(ids[0]).is_none() && notes.get(ids[1]).is_some());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
