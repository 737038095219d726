//! Downloads what has changed in a folder that is here already. The bytes go to `NAME.partial/`; a complete file is moved to its place in one
//! step, over the older one.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::downloads::Downloads;
use super::file::{Pull, on_disk};
use super::folder::GONE;
use super::growing::Growing;
use super::lanes::Lanes;
use super::report::DownloadReport;
use crate::transfer::disk::blocking;
use crate::transfer::error::{TransferError, TransferResult};
use crate::transfer::name::Name;
use crate::transfer::report::Skipped;
use crate::transfer::running::Meter;
use crate::wire::files::{FileEntry, FileList};

/// What a refresh did, whether or not it failed halfway.
#[derive(Debug, Default)]
pub(crate) struct Refreshed {
    /// Names of the files that are in their places now.
    pub(crate) placed: Vec<String>,
    /// Bytes that were received.
    pub(crate) bytes: u64,
    /// Files that are not downloaded unless they change again.
    pub(crate) skipped: Vec<Skipped>,
    /// Files that were downloaded, and could not be moved to their places yet.
    pub(crate) unplaced: Vec<Skipped>,
}

impl Downloads {
    /// Downloads `entries` of the remote folder into the folder `target`, until `stop` is cancelled. Files that change or vanish meanwhile are
    /// left out.
    pub(crate) async fn refresh(
        &self,
        remote: &str,
        entries: Vec<FileEntry>,
        target: &Path,
        stop: &CancellationToken,
    ) -> (Refreshed, TransferResult<()>) {
        let (path, name) = (target.to_owned(), remote.to_owned());
        let growing = match on_disk(target, move || Growing::open(&path, &name)).await {
            Ok(growing) => Arc::new(growing),
            Err(error) => return (Refreshed::default(), Err(error)),
        };
        let (meter, state) = Meter::new(DownloadReport::new(remote));
        let pull = Pull {
            connection: self.transfers.connection(),
            limits: self.limits,
            lanes: Lanes::new(self.limits.pace),
            meter,
            max_bytes: u64::MAX,
            // A failed part stops the others.
            stop: stop.child_token(),
        };
        let mut page = FileList {
            path: remote.to_owned(),
            total: entries.len() as u64,
            entries,
            next_cursor: None,
        };
        let fetched = pull.entries(remote, &growing, &mut page).await;
        let is_whole = fetched.is_ok();
        let (ours, path) = (growing, target.to_owned());
        let published = blocking(move || ours.publish(&path, is_whole)).await;
        let report = state.borrow().report.clone();
        let mut refreshed = Refreshed {
            bytes: report.received_bytes.saturating_sub(report.resumed_bytes),
            skipped: report.skipped,
            ..Refreshed::default()
        };
        refreshed.skipped.retain(|skipped| skipped.reason != GONE);
        match published {
            Ok(Published {
                placed,
                unplaced,
                hidden,
            }) => {
                refreshed.skipped.extend(hidden);
                (refreshed.placed, refreshed.unplaced) = (placed, unplaced);
                (refreshed, fetched)
            }
            Err(error) => (refreshed, fetched.and(Err(error))),
        }
    }
}

/// What became of the complete files.
#[derive(Debug, Default)]
struct Published {
    placed: Vec<String>,
    unplaced: Vec<Skipped>,
    /// Where folders are here.
    hidden: Vec<Skipped>,
}

impl Growing {
    /// Moves the complete files to their places under `target`, over older ones; ends the partial folder if none waits for its place and nothing
    /// is missing. A folder stays: the files in it have no other copy.
    ///
    /// Small files are not synced, which takes seconds on a busy disk: what a power cut leaves of them differs in size, and is downloaded again.
    fn publish(&self, target: &Path, is_whole: bool) -> TransferResult<Published> {
        let complete = std::mem::take(&mut *self.digests());
        let failed = |error| TransferError::disk(target, error);
        let mut published = Published::default();
        for name in complete.into_keys() {
            match self.replace(&name, target) {
                Ok(true) => published.placed.push(name),
                Ok(false) => published.hidden.push(Skipped {
                    name,
                    reason: "a folder of this name is here".to_owned(),
                }),
                Err(error @ TransferError::DiskFull { .. }) => return Err(error),
                Err(error) => published.unplaced.push(Skipped {
                    name,
                    reason: crate::base::causes::sentence(&error),
                }),
            }
        }
        if is_whole && published.unplaced.is_empty() {
            let mut claim = self.claim.lock();
            fs::remove_dir_all(&self.root).map_err(failed)?;
            // If it stays, the next download finds an empty partial.
            let _ = claim.end();
        }
        Ok(published)
    }

    /// Moves a file to its place; false if a folder is there.
    fn replace(&self, name: &str, target: &Path) -> TransferResult<bool> {
        let name = Name::parse(name)?;
        if let Some(folder) = name.under(target).parent() {
            Self::remove_files_on_the_way(target, folder)?;
        }
        let path = name.prepare(target)?;
        if fs::symlink_metadata(&path).is_ok_and(|there| there.is_dir()) {
            return Ok(false);
        }
        fs::rename(name.under(&self.root), &path)
            .map_err(|error| TransferError::disk(&path, error))?;
        Ok(true)
    }
}
