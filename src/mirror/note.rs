//! What the next process must know of a mirror, in one small file for each folder here, and the lock on that folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::MirrorError;
use super::order::Work;
use super::real;
use crate::base::hex::hex;
use crate::edge::lock::FileLock;
use crate::edge::store::{read_if_there, write_quickly};

const VERSION: u32 = 1;
/// A mirror that no process has run for longer is not taken up again: its machine is gone.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// Bytes of the digest that names a note.
const NAME_BYTES: usize = 12;

/// The note of one mirror, also of one that has ended: the folder here stays its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    version: u32,
    pub(super) remote: String,
    pub(super) local_path: PathBuf,
    pub(super) max_bytes: Option<u64>,
    pub(super) until: Option<Work>,
    pub(super) received_bytes: u64,
    /// Everything before it is here.
    #[serde(default)]
    pub(super) cursor: Option<String>,
    pub(super) is_over: bool,
}

impl Note {
    pub(super) fn new(
        remote: &str,
        local_path: &Path,
        max_bytes: Option<u64>,
        until: Option<Work>,
    ) -> Self {
        Self {
            version: VERSION,
            remote: remote.to_owned(),
            local_path: local_path.to_owned(),
            max_bytes,
            until,
            received_bytes: 0,
            cursor: None,
            is_over: false,
        }
    }
}

/// The notes, in a folder that several processes may share. Failed writes are only logged: a mirror runs whether or not it is noted.
#[derive(Debug, Clone)]
pub(super) struct Notes(PathBuf);

/// The right to write to a folder here.
#[derive(Debug)]
pub(super) struct Held(#[expect(dead_code, reason = "held until it is dropped")] FileLock);

impl Notes {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    pub(super) fn write(&self, note: &Note) {
        let bytes = serde_json::to_vec(note).map_err(io::Error::from);
        let path = self.path(&note.local_path, "json");
        if let Err(error) = bytes.and_then(|bytes| write_quickly(&path, &bytes)) {
            tracing::warn!(%error, "could not note a mirror on this computer");
        }
    }

    pub(super) fn get(&self, target: &Path) -> Option<Note> {
        read(&self.path(target, "json"))
    }

    /// Locks the folder `target`.
    ///
    /// # Errors
    /// [`MirrorError::Busy`] if another process mirrors into it.
    pub(super) fn hold(&self, target: &Path) -> Result<Held, MirrorError> {
        let path = self.path(target, "lock");
        match FileLock::try_take(&path) {
            Ok(Some(lock)) => Ok(Held(lock)),
            Ok(None) => Err(MirrorError::Busy {
                path: target.to_owned(),
            }),
            Err(source) => Err(MirrorError::Disk {
                path,
                source: Arc::new(source),
            }),
        }
    }

    /// Mirrors that have not ended.
    pub(super) fn left(&self) -> Vec<Note> {
        let oldest = SystemTime::now().checked_sub(MAX_AGE);
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let is_recent = |path: &PathBuf| {
            let changed = fs::metadata(path).and_then(|about| about.modified());
            changed.is_ok_and(|changed| Some(changed) > oldest)
        };
        let notes = entries.map(|entry| entry.path()).filter(is_recent);
        let notes = notes.filter_map(|path| read(&path));
        notes.filter(|note| !note.is_over).collect()
    }

    /// The newest mirror of this work.
    pub(super) fn of(&self, work: &Work) -> Option<Note> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let meant = entries.filter_map(|entry| {
            let note = read(&entry.path())?;
            let changed = entry.metadata().and_then(|about| about.modified()).ok();
            (note.until.as_ref() == Some(work)).then_some((changed, note))
        });
        meant
            .max_by_key(|(changed, _)| *changed)
            .map(|(_, note)| note)
    }

    fn path(&self, target: &Path, ending: &str) -> PathBuf {
        let digest = Sha256::digest(real(target).as_os_str().as_encoded_bytes());
        self.0
            .join(format!("{}.{ending}", hex(&digest[..NAME_BYTES])))
    }
}

fn read(path: &Path) -> Option<Note> {
    let bytes = read_if_there(path).ok()??;
    let note: Note = serde_json::from_slice(&bytes).ok()?;
    (note.version == VERSION).then_some(note)
}

#[cfg(test)]
mod tests {
    use super::{Note, Notes};
    use crate::base::ids::JobId;
    use crate::mirror::order::Work;

    #[test]
    fn a_mirror_that_has_not_ended_is_left_for_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::new(folder.path().join("mirrors"));
        let work = Work::Job(JobId::fresh());
        let mut note = Note::new("/content/out", folder.path(), Some(7), Some(work.clone()));
        notes.write(&note);
        assert_eq!(notes.left(), [note.clone()]);
        let held = notes.hold(folder.path()).unwrap();
        assert!(notes.hold(folder.path()).is_err(), "it is held");
        drop(held);
        assert!(notes.hold(folder.path()).is_ok());
        note.is_over = true;
        notes.write(&note);
        assert_eq!(notes.left(), []);
        assert_eq!(notes.of(&work), Some(note.clone()));
        assert_eq!(notes.get(folder.path()), Some(note));
    }
}
