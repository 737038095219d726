//! The state folder of a local executor, with its jobs. Several bridges may run at once, and no two executors may share a state folder: each bridge
//! holds the first numbered one that is free, so that the next start finds the jobs of the last.

use std::path::{Path, PathBuf};

use super::fault::Fault;
use crate::base::ids::JobId;
use crate::edge::lock::FileLock;

/// More bridges than ever run at once.
const MAX_SLOTS: u32 = 100;
const READY: &str = "ready.json";

/// A state folder that belongs to this bridge until this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) state: PathBuf,
    /// Where the executor there says its address and token while it runs.
    pub(super) ready: PathBuf,
    _lock: FileLock,
}

/// Returns the files in which executors of running bridges say their address, the newest first.
pub(super) fn ready_files(folder: &Path) -> Vec<PathBuf> {
    let is_held = |lock: &Path| matches!(FileLock::try_take(lock), Ok(None));
    let mut found: Vec<_> = (0..MAX_SLOTS)
        .map(|number| folder.join(format!("{number}.lock")))
        .filter(|lock| lock.exists() && is_held(lock))
        .map(|lock| lock.with_extension(READY))
        .filter_map(|ready| Some((ready.metadata().ok()?.modified().ok()?, ready)))
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, ready)| ready).collect()
}

impl Slot {
    pub(super) fn take(folder: &Path) -> Result<Self, Fault> {
        for number in 0..MAX_SLOTS {
            let lock = folder.join(format!("{number}.lock"));
            if let Some(lock) =
                FileLock::try_take(&lock).map_err(|error| Fault::disk(&lock, &error))?
            {
                return Ok(Self {
                    state: folder.join(number.to_string()),
                    ready: folder.join(format!("{number}.{READY}")),
                    _lock: lock,
                });
            }
        }
        Err(Fault::new(
            format!("{MAX_SLOTS} bridges are running already"),
            "Close clients that you no longer use, then call again.",
        ))
    }
}

/// Finds the output file of a job in the slots under `folder` other than `own`. An executor takes over the jobs of executors that have ended, and
/// reads the finished jobs of others: a job that it does not know may be running.
pub(super) fn find_log(folder: &Path, own: Option<&Path>, job: JobId) -> Option<PathBuf> {
    let slots = std::fs::read_dir(folder).ok()?.flatten();
    let slots = slots
        .map(|entry| entry.path())
        .filter(|slot| Some(&**slot) != own);
    let mut places = slots.map(|slot| slot.join("jobs").join(job.to_string()));
    Some(places.find(|place| place.is_dir())?.join("log.txt"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Slot, find_log, ready_files};
    use crate::base::ids::JobId;

    #[test]
    fn a_job_is_found_in_the_slots_of_other_bridges() {
        let folder = tempfile::tempdir().unwrap();
        let (own, other) = (
            Slot::take(folder.path()).unwrap(),
            Slot::take(folder.path()).unwrap(),
        );
        let job = JobId::fresh();
        let place = other.state.join("jobs").join(job.to_string());
        fs::create_dir_all(&place).unwrap();
        let found = |own: &Slot, job| find_log(folder.path(), Some(&own.state), job);
        assert_eq!(found(&own, job), Some(place.join("log.txt")));
        assert_eq!(found(&own, JobId::fresh()), None);
        assert_eq!(found(&other, job), None);
    }

    #[test]
    fn the_executors_of_running_bridges_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (
            Slot::take(folder.path()).unwrap(),
            Slot::take(folder.path()).unwrap(),
        );
        assert!(ready_files(folder.path()).is_empty());
        fs::write(&first.ready, "{}").unwrap();
        fs::write(&second.ready, "{}").unwrap();
        let ready = first.ready.clone();
        drop(second);
        assert_eq!(ready_files(folder.path()), [ready]);
    }

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
