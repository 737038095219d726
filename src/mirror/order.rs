//! What one call asks for.

use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::MirrorError;
use super::note::Note;
use crate::base::ids::JobId;
use crate::checkpoints::Name as CheckpointName;
use crate::transfer::name::Name;

/// The name here of the content root, which has none in the path.
const ROOT_NAME: &str = "content";

/// The arguments of a mirror.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    /// A folder of the runtime, which may not exist yet.
    pub remote: String,
    /// A folder under the one for downloads; without one it has the remote name.
    pub to: Option<String>,
    /// Bytes that it may download in all; by default [`MAX_BYTES`](crate::transfer::MAX_BYTES), and no more than what is left of a tunnel's month.
    pub max_bytes: Option<u64>,
    /// It ends when this has ended.
    pub until: Option<Work>,
}

/// Code whose end ends a mirror.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    Job(JobId),
    /// What runs under a checkpoint's name: a chunked operation, or code.
    Named(CheckpointName),
}

impl Order {
    /// Parses the name of the folder here.
    pub(super) fn name(&self) -> Result<Name, MirrorError> {
        let Some(to) = &self.to else {
            let parts = self.remote.rsplit(['/', '\\']);
            let mut parts = parts.filter(|part| !matches!(*part, "" | "." | ".."));
            return Ok(Name::of_remote(parts.next().unwrap_or(ROOT_NAME))?);
        };
        Ok(Name::parse(to.trim())?)
    }

    /// The note of a new mirror into `target`, where `before` was the last one: it goes on where that one ended.
    ///
    /// # Errors
    /// [`MirrorError::Taken`] if the folder is another mirror's; [`MirrorError::Occupied`] if it holds files of no mirror.
    pub(super) fn note(&self, target: &Path, before: Option<Note>) -> Result<Note, MirrorError> {
        let path = target.to_owned();
        let cursor = match before {
            _ if is_empty(target) => None,
            Some(before) if before.remote == self.remote => before.cursor,
            Some(before) => {
                let by = before.remote;
                return Err(MirrorError::Taken { path, by });
            }
            None => return Err(MirrorError::Occupied { path }),
        };
        let until = self.until.clone();
        let mut note = Note::new(&self.remote, target, self.max_bytes, until);
        note.cursor = cursor;
        Ok(note)
    }
}

impl Work {
    /// The id of the job, or the checkpoint's name.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Job(id) => id.to_string(),
            Self::Named(name) => name.to_string(),
        }
    }
}

/// Whether nothing is in the folder, or there is none.
fn is_empty(folder: &Path) -> bool {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}
