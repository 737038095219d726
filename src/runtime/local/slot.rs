//! Where an executor keeps its jobs. Several bridges may run at once, and no two executors may share a state folder: each bridge holds the
//! first numbered one that is free, so that the next start finds the jobs of the last.

use std::path::{Path, PathBuf};

use super::fault::Fault;
use crate::edge::lock::FileLock;

/// More bridges at once than anyone has.
const MOST: u32 = 100;

/// A state folder that is this bridge's own while this lives.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) state: PathBuf,
    _lock: FileLock,
}

impl Slot {
    pub(super) fn take(folder: &Path) -> Result<Self, Fault> {
        for number in 0..MOST {
            let lock = folder.join(format!("{number}.lock"));
            if let Some(lock) =
                FileLock::try_take(&lock).map_err(|error| Fault::disk(&lock, &error))?
            {
                return Ok(Self {
                    state: folder.join(number.to_string()),
                    _lock: lock,
                });
            }
        }
        Err(Fault::new(
            format!("{MOST} bridges are running already"),
            "Close clients that you no longer use, then call again.",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::Slot;

    #[test]
    fn the_first_free_folder_is_taken_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = Slot::take(folder.path()).unwrap();
        let second = Slot::take(folder.path()).unwrap();
        assert_ne!(first.state, second.state);
        let state = first.state.clone();
        drop(first);
        assert_eq!(Slot::take(folder.path()).unwrap().state, state);
    }
}
