//! The states of a cell that a run has shown in it, kept so that another one is known as the work of somebody else, also by a later process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::notes::is_outdated;
use crate::base::hex::hex;
use crate::base::ids::JobId;
use crate::edge::store::{read_if_there, remove_if_there, write_quickly};

/// The ending of a trail's file.
const ENDING: &str = "shown";

/// The states in which a job may have left the outputs of its cell.
#[derive(Debug, Clone, Default)]
pub struct Trail {
    /// None for a job that does not show its outputs before its end.
    file: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    /// Names the process of the server that had them.
    session: String,
    /// Digests of outputs.
    states: Vec<String>,
}

impl Trail {
    pub(super) fn of(folder: &Path, job: JobId) -> Self {
        let file = folder.join(format!("{job}.{ENDING}"));
        Self { file: Some(file) }
    }

    /// Whether outputs were shown.
    pub(super) fn is_there(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.exists())
    }

    /// Whether these outputs may be what was shown last. Anything may that was not shown, or that the server has read from its file since.
    pub(super) fn may_be(&self, session: &str, outputs: &str) -> bool {
        self.kept().is_none_or(|kept| {
            kept.session != session || kept.states.iter().any(|state| *state == digest(outputs))
        })
    }

    /// Notes the states between which the outputs are from now on.
    pub(super) fn note(&self, session: &str, states: &[String]) {
        let Some(file) = &self.file else { return };
        let kept = Kept {
            session: session.to_owned(),
            states: states.iter().map(|state| digest(state)).collect(),
        };
        let written = serde_json::to_vec(&kept).map_err(io::Error::from);
        if let Err(error) = written.and_then(|text| write_quickly(file, &text)) {
            tracing::warn!(path = %file.display(), %error, "could not note what a cell shows");
        }
    }

    /// Forgets the states: the run's outputs are written, or cannot be.
    pub(super) fn end(&self) {
        if let Some(file) = &self.file
            && let Err(error) = remove_if_there(file)
        {
            tracing::debug!(path = %file.display(), %error, "could not remove a note");
        }
    }

    /// Removes the trails that no process needs any more.
    pub(super) fn sweep(folder: &Path) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let is_old = |path: &PathBuf| {
            path.extension().is_some_and(|ending| ending == ENDING) && is_outdated(path)
        };
        for path in paths.filter(is_old) {
            let _ = remove_if_there(&path);
        }
    }

    fn kept(&self) -> Option<Kept> {
        let text = read_if_there(self.file.as_ref()?).ok()??;
        serde_json::from_slice(&text).ok()
    }
}

fn digest(outputs: &str) -> String {
    hex(&Sha256::digest(outputs))
}

#[cfg(test)]
mod tests {
    use super::Trail;
    use crate::base::ids::JobId;

    #[test]
    fn outputs_are_known_that_may_have_been_shown_last() {
        let folder = tempfile::tempdir().unwrap();
        let trail = Trail::of(folder.path(), JobId::fresh());
        let [first, second, third] = ["[]", "[1]", "[12]"].map(str::to_owned);
        assert!(trail.may_be("server", &third), "nothing was shown");
        trail.note("server", &[first.clone(), second.clone()]);
        trail.note("server", &[second.clone(), third.clone()]);
        let known = [&first, &second, &third].map(|outputs| trail.may_be("server", outputs));
        assert_eq!(known, [false, true, true]);
        assert!(trail.may_be("another server", &first), "read from the file");
        trail.end();
        assert!(trail.may_be("server", &first));
        assert!(Trail::default().may_be("server", &first));
    }
}
