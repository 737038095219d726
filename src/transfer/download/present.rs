//! A file that is here already, byte for byte: it keeps its name, and nothing is fetched.

use std::fs;
use std::path::{Path, PathBuf};

use super::file::{Placed, Pull, on_disk};
use crate::transfer::destination::numbered;
use crate::transfer::digest::Follower;
use crate::transfer::disk::blocking;
use crate::transfer::error::TransferResult;
use crate::wire::files::{Algorithm, FileStat};

/// Numbered names beside the wanted one that are looked at.
const MAX_NUMBER: u32 = 20;

impl Pull {
    /// Finds the file that `stat` describes at `target` or at a numbered name beside it, by size and digest.
    pub(super) async fn present(
        &self,
        stat: &FileStat,
        target: &Path,
        algorithm: Algorithm,
    ) -> TransferResult<Option<Placed>> {
        let (path, size) = (target.to_owned(), stat.size);
        let candidates = blocking(move || of_size(&path, size)).await;
        if candidates.is_empty() {
            return Ok(None);
        }
        let digest = match self.digest(stat, algorithm).await {
            Ok(digest) => digest,
            // It is being written to: fetching it knows how to deal with that.
            Err(error) if error.is_changed() => return Ok(None),
            Err(error) => return Err(error),
        };
        for path in candidates {
            let (candidate, stop) = (path.clone(), self.stop.clone());
            let found = on_disk(&path, move || {
                let (frontier, follower) = Follower::of(&candidate, algorithm)?;
                let _ = frontier.send(size);
                drop(frontier);
                follower.run(&stop)
            });
            // What cannot be read is not known to be the same.
            if let Ok(Some(found)) = found.await
                && found == digest
            {
                let stat = stat.clone();
                return Ok(Some(Placed { path, stat, digest }));
            }
        }
        Ok(None)
    }
}

/// Files of that size at a name and at the numbered ones beside it, up to the first that is free.
fn of_size(target: &Path, size: u64) -> Vec<PathBuf> {
    let paths = (1..=MAX_NUMBER).map(|number| numbered(target, number));
    let taken = paths.map_while(|path| Some((fs::symlink_metadata(&path).ok()?, path)));
    let fitting = taken.filter(|(found, _)| found.is_file() && found.len() == size);
    fitting.map(|(_, path)| path).collect()
}
