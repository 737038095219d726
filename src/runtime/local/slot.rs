//! Where an executor keeps its jobs. Several bridges may run at once, and no two executors may share a state folder: each bridge holds the
//! first numbered one that is free, so that the next start finds the jobs of the last.

use std::path::{Path, PathBuf};

use super::fault::Fault;
use crate::base::ids::JobId;
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

/// A job in the state folder of another bridge.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) has_ended: bool,
    /// All that it printed.
    pub(super) log: PathBuf,
}

/// Looks for a job in all slots under `folder` but `own`.
pub(super) fn find(folder: &Path, own: Option<&Path>, job: JobId) -> Option<Found> {
    let slots = std::fs::read_dir(folder).ok()?.flatten();
    let mut slots = slots.map(|entry| entry.path());
    let slot = slots.find(|slot| Some(&**slot) != own && place(slot, job).is_dir())?;
    let place = place(&slot, job);
    // The executor adds a second line at the job's end; one that was killed adds none, and its bridge may be gone since.
    let record = std::fs::read_to_string(place.join("job.json")).unwrap_or_default();
    let has_ended = record.lines().count() > 1
        || FileLock::try_take(&slot.with_extension("lock")).is_ok_and(|lock| lock.is_some());
    Some(Found {
        has_ended,
        log: place.join("log.txt"),
    })
}

fn place(slot: &Path, job: JobId) -> PathBuf {
    slot.join("jobs").join(job.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Slot, find, place};
    use crate::base::ids::JobId;

    #[test]
    fn a_job_of_another_bridge_is_found_and_runs_until_it_or_the_bridge_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let (own, other) = (
            Slot::take(folder.path()).unwrap(),
            Slot::take(folder.path()).unwrap(),
        );
        let (job, ended) = (JobId::fresh(), JobId::fresh());
        for (job, record) in [(job, "{}\n"), (ended, "{}\n{}\n")] {
            let place = place(&other.state, job);
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("job.json"), record).unwrap();
        }
        let has_ended =
            |job| find(folder.path(), Some(&own.state), job).map(|found| found.has_ended);
        assert_eq!(has_ended(job), Some(false));
        assert_eq!(has_ended(ended), Some(true));
        assert_eq!(has_ended(JobId::fresh()), None);
        assert_eq!(find(folder.path(), Some(&other.state), job), None);
        drop(other);
        assert_eq!(has_ended(job), Some(true));
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
