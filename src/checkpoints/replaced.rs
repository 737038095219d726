//! What an operation that starts over replaces: put by until its first iteration is done, and put back if it ends before.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::error::CheckpointError;
use super::folder::Folder;
use super::name::Name;
use crate::edge::store;

pub(super) const REPLACED: &str = "replaced";

impl Folder {
    pub(super) fn replaced(&self) -> PathBuf {
        self.path().join(REPLACED)
    }

    pub(crate) fn has_replaced(&self) -> bool {
        self.replaced().exists()
    }

    /// Puts by what is kept of the operation. To be called with the lock.
    pub(crate) fn put_by(&self) -> Result<(), CheckpointError> {
        let replaced = self.replaced();
        let is_unbegun = |found: Checkpoint| !found.has_begun();
        if self.has_replaced() && self.load().is_ok_and(|found| found.is_none_or(is_unbegun)) {
            // What is here now has done nothing that would be worth more.
            let removed = self
                .files()
                .iter()
                .try_for_each(|file| store::remove_if_there(file));
            return removed.map_err(CheckpointError::disk(self.path()));
        }
        self.forget_replaced()?;
        let put = || {
            fs::create_dir(&replaced)?;
            for file in self.files() {
                rename_if_there(&file, &replaced.join(file.file_name().unwrap_or_default()))?;
            }
            store::sync_folder(&replaced);
            Ok(())
        };
        put().map_err(|error| {
            if let Err(error) = self.put_back() {
                tracing::warn!(%error, "what a restart was to replace could not be put back");
            }
            CheckpointError::disk(&replaced)(error)
        })
    }

    /// Puts right what a crash left, unless another call works on it.
    pub(crate) fn settle(&self, name: &Name) -> Result<(), CheckpointError> {
        if !self.has_replaced() {
            return Ok(());
        }
        match self.lock(name) {
            Ok(_)
            | Err(CheckpointError::Busy { .. } | CheckpointError::RunsInOtherClient { .. }) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Puts back what was put by for an operation that a crash ended before it was sent. To be called with the lock.
    pub(super) fn settle_replaced(&self) -> Result<(), CheckpointError> {
        let is_unsent = |found: Checkpoint| found.in_flight.is_none() && !found.has_begun();
        // One that cannot be read may stand for work that was done.
        if self.has_replaced() && self.load().is_ok_and(|found| found.is_none_or(is_unsent)) {
            self.give_way()?;
        }
        Ok(())
    }

    /// Puts back what was put by, in place of an operation that has done nothing. To be called with the lock.
    pub(crate) fn give_way(&self) -> Result<(), CheckpointError> {
        // There may be none to come back in their place.
        store::remove_if_there(&self.previous())
            .and_then(|()| store::remove_if_there(&self.checkpoint()))
            .and_then(|()| self.put_back())
            .map_err(CheckpointError::disk(&self.replaced()))
    }

    /// The operation in its place has begun.
    pub(crate) fn forget_replaced(&self) -> Result<(), CheckpointError> {
        let replaced = self.replaced();
        store::remove_folder_if_there(&replaced).map_err(CheckpointError::disk(&replaced))
    }

    fn put_back(&self) -> io::Result<()> {
        let replaced = self.replaced();
        for file in self.files().iter().rev() {
            rename_if_there(&replaced.join(file.file_name().unwrap_or_default()), file)?;
        }
        store::sync_folder(self.path());
        fs::remove_dir(replaced)
    }

    /// In the order in which they are put by, and from the last in which they come back. As long as both checkpoints are away, what is left is on
    /// its way too, or unsent.
    fn files(&self) -> [PathBuf; 5] {
        [
            self.previous(),
            self.checkpoint(),
            self.plan(),
            self.results(),
            self.ahead(),
        ]
    }
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
