//! An operation's folder: `CHECKPOINT_DIR/NAME/`. A folder for each name, so that no name's file is another name's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::checkpoint::{Checkpoint, Unreadable};
use super::error::CheckpointError;
use super::name::Name;
use super::replaced::REPLACED;
use crate::base::ids::JobId;
use crate::edge::lock::FileLock;
use crate::edge::store;

const CHECKPOINT: &str = "checkpoint.json";
const PREVIOUS: &str = "checkpoint.prev.json";
const PLAN: &str = "plan.json";
const RESULTS: &str = "results.jsonl";
const AHEAD: &str = "ahead.jsonl";
const RUNS: &str = "runs";
const LOCK: &str = "lock";

/// The files of one name.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn new(checkpoint_dir: &Path, name: &Name) -> Self {
        Self {
            path: checkpoint_dir.join(name.as_str()),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The state of the operation.
    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.path.join(CHECKPOINT)
    }

    /// The previous state.
    pub(crate) fn previous(&self) -> PathBuf {
        self.path.join(PREVIOUS)
    }

    /// The operation's plan.
    pub(crate) fn plan(&self) -> PathBuf {
        self.path.join(PLAN)
    }

    /// The values of the iterations, a line each.
    pub(crate) fn results(&self) -> PathBuf {
        self.path.join(RESULTS)
    }

    /// The reports of iterations that finished ahead of an earlier one.
    pub(crate) fn ahead(&self) -> PathBuf {
        self.path.join(AHEAD)
    }

    /// The record of a run of code under this name; its files are beside it.
    pub(crate) fn record(&self, job: JobId) -> PathBuf {
        self.runs().join(job.to_string()).join("run.json")
    }

    /// The records of all runs, newest first.
    pub(crate) fn records(&self) -> Vec<PathBuf> {
        let records = self.run_ids().into_iter().map(|id| self.record(id));
        records.filter(|path| path.exists()).collect()
    }

    /// Removes a run with all its files.
    pub(crate) fn remove_run(&self, job: JobId) -> io::Result<()> {
        store::remove_folder_if_there(&self.runs().join(job.to_string()))
    }

    fn runs(&self) -> PathBuf {
        self.path.join(RUNS)
    }

    /// Ids of all runs, newest first: they sort by creation time.
    pub(crate) fn run_ids(&self) -> Vec<JobId> {
        let entries = fs::read_dir(self.runs()).into_iter().flatten().flatten();
        let mut ids: Vec<JobId> = entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        ids.sort_unstable_by(|one, other| other.cmp(one));
        ids
    }

    /// Takes the lock of the operation; [`CheckpointError::Busy`] while a call works on it, in this process or another.
    pub(crate) fn lock(&self, name: &Name) -> Result<FileLock, CheckpointError> {
        if self.is_foreign() {
            return Err(CheckpointError::Foreign {
                path: self.path.clone(),
            });
        }
        let path = self.path.join(LOCK);
        let lock = FileLock::try_take(&path)
            .map_err(CheckpointError::disk(&path))?
            .ok_or_else(|| self.lock_holder(name))?;
        self.settle_replaced()?;
        Ok(lock)
    }

    /// Why another process has the lock.
    fn lock_holder(&self, name: &Name) -> CheckpointError {
        let operation = name.to_string();
        let checkpoint = self.load().ok().flatten();
        let under_way = checkpoint.filter(Checkpoint::is_under_way);
        match under_way.and_then(|checkpoint| checkpoint.in_flight) {
            Some(flight) => CheckpointError::RunsInOtherClient {
                operation,
                job: flight.job_id,
            },
            None => CheckpointError::Busy { operation },
        }
    }

    /// Loads the newest checkpoint; none if the operation was never started.
    pub(crate) fn load(&self) -> Result<Option<Checkpoint>, CheckpointError> {
        match read(&self.checkpoint())? {
            Some(Ok(checkpoint)) => Ok(Some(checkpoint)),
            // A crash happened between keeping the old checkpoint and writing the new one.
            None => match read(&self.previous())? {
                Some(Ok(checkpoint)) => Ok(Some(checkpoint)),
                Some(Err(why)) => Err(unreadable(self.previous(), why, None)),
                None => Ok(None),
            },
            Some(Err(why)) => {
                let previous = match read(&self.previous())? {
                    Some(Ok(checkpoint)) => Some(checkpoint.completed),
                    Some(Err(_)) | None => None,
                };
                Err(unreadable(self.checkpoint(), why, previous))
            }
        }
    }

    /// Saves the first checkpoint of an operation and removes the previous one: there is nothing to fall back to.
    pub(crate) fn begin(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let path = self.checkpoint();
        checkpoint
            .to_bytes()
            .and_then(|bytes| store::write_atomic(&path, &bytes))
            .map_err(CheckpointError::disk(&path))?;
        let previous = self.previous();
        store::remove_if_there(&previous).map_err(CheckpointError::disk(&previous))
    }

    pub(crate) fn save(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let path = self.checkpoint();
        checkpoint
            .to_bytes()
            .and_then(|bytes| store::replace_keeping(&path, &self.previous(), &bytes))
            .map_err(CheckpointError::disk(&path))
    }

    /// Renames the checkpoints that cannot be read, so that nothing ever replaces them.
    pub(crate) fn set_unreadable_aside(&self) -> Result<(), CheckpointError> {
        for path in [self.checkpoint(), self.previous()] {
            if let Some(Err(_)) = read(&path)? {
                let aside = store::set_aside(&path).map_err(CheckpointError::disk(&path))?;
                tracing::warn!(path = %aside.display(), "kept a checkpoint that cannot be read");
            }
        }
        Ok(())
    }

    /// Sets a damaged checkpoint aside if the one before it is good, and says so in the error. To be called with the lock.
    pub(crate) fn set_damaged_aside(
        &self,
        mut error: CheckpointError,
    ) -> Result<CheckpointError, CheckpointError> {
        if let CheckpointError::Corrupt {
            previous: Some(_),
            is_aside,
            ..
        } = &mut error
        {
            self.set_unreadable_aside()?;
            *is_aside = true;
        }
        Ok(error)
    }

    /// True if the folder holds anything that is kept under the name, readable or not.
    pub(crate) fn is_there(&self) -> bool {
        self.names().any(|name| is_kept(&name)) || !self.run_ids().is_empty()
    }

    /// True if the folder holds only files of other programs: nothing may be written there or deleted.
    fn is_foreign(&self) -> bool {
        // A crash may leave files that begin with a dot, and an empty `runs`.
        let is_strange = |name: String| !name.starts_with('.') && name != LOCK && name != RUNS;
        !self.is_there() && self.names().any(is_strange)
    }

    fn names(&self) -> impl Iterator<Item = String> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
    }

    /// When the files under this name were last changed; none if there are none.
    pub(crate) fn changed(&self) -> Option<SystemTime> {
        let files = [self.checkpoint(), self.previous(), self.replaced()]
            .into_iter()
            .chain(self.records());
        files.filter_map(|path| changed(&path)).max()
    }
}

/// The names under which something is kept, sorted.
pub(crate) fn list_names(checkpoint_dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(checkpoint_dir) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| Name::new(entry.ok()?.file_name().to_str()?).ok())
        .filter(|name| Folder::new(checkpoint_dir, name).changed().is_some())
        .map(String::from)
        .collect();
    names.sort();
    names
}

fn is_kept(name: &str) -> bool {
    let is_aside = |rest: &str| rest.is_empty() || rest.starts_with(".corrupt-");
    [CHECKPOINT, PREVIOUS]
        .iter()
        .any(|own| name.strip_prefix(own).is_some_and(is_aside))
        || name == RESULTS
        || name == PLAN
        || name == AHEAD
        || name == REPLACED
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

fn read(path: &Path) -> Result<Option<Result<Checkpoint, Unreadable>>, CheckpointError> {
    let bytes = store::read_if_there(path).map_err(CheckpointError::disk(path))?;
    Ok(bytes.map(|bytes| Checkpoint::parse(&bytes)))
}

fn unreadable(path: PathBuf, why: Unreadable, previous: Option<u64>) -> CheckpointError {
    match why {
        Unreadable::OtherVersion(version) => CheckpointError::OtherVersion { path, version },
        Unreadable::Corrupt(detail) => CheckpointError::Corrupt {
            path,
            detail,
            previous,
            is_aside: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Folder, list_names};
    use crate::base::fault::Fault as _;
    use crate::checkpoints::CheckpointError;
    use crate::checkpoints::Name;
    use crate::checkpoints::checkpoint::{Checkpoint, CodeHashes};

    fn checkpoint(completed: u64) -> Checkpoint {
        let code_hashes = CodeHashes {
            setup: String::new(),
            body: "x".to_owned(),
        };
        let name = Name::new("op").unwrap();
        let session = "main".to_owned();
        let mut checkpoint = Checkpoint::new(name, session, 10, String::new(), code_hashes);
        checkpoint.completed = completed;
        checkpoint
    }

    fn ahead(ahead: u64) -> Checkpoint {
        let mut checkpoint = checkpoint(6);
        checkpoint.ahead = ahead;
        checkpoint
    }

    /// A folder whose current checkpoint says 6 and whose previous one says 3.
    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), &Name::new("op").unwrap());
        folder.save(&checkpoint(3)).unwrap();
        folder.save(&checkpoint(6)).unwrap();
        (dir, folder)
    }

    #[test]
    fn the_newest_checkpoint_is_loaded() {
        let (dir, folder) = folder();
        assert_eq!(folder.load().unwrap(), Some(checkpoint_of(&folder)));
        assert_eq!(folder.load().unwrap().unwrap().completed, 6);
        assert_eq!(list_names(dir.path()), ["op"]);
    }

    fn checkpoint_of(folder: &Folder) -> Checkpoint {
        Checkpoint::parse(&fs::read(folder.checkpoint()).unwrap()).unwrap()
    }

    #[test]
    fn a_crash_between_the_two_renames_leaves_the_previous_one() {
        let (_dir, folder) = folder();
        fs::rename(folder.checkpoint(), folder.previous()).unwrap();
        assert_eq!(folder.load().unwrap().unwrap().completed, 6);
    }

    #[test]
    fn a_damaged_checkpoint_is_reported_with_what_the_one_before_it_says() {
        let whole = checkpoint(6).to_bytes().unwrap();
        let over = serde_json::json!({"version": 1, "completed": 11});
        for bytes in [
            &b""[..],
            b"\0\0\0\0",
            b"[]",
            b"{\"completed\": 6}",
            &whole[..whole.len() / 2],
            over.to_string().as_bytes(),
            checkpoint(11).to_bytes().unwrap().as_slice(),
            ahead(5).to_bytes().unwrap().as_slice(),
            ahead(u64::MAX).to_bytes().unwrap().as_slice(),
        ] {
            let (_dir, folder) = folder();
            fs::write(folder.checkpoint(), bytes).unwrap();
            let error = folder.load().unwrap_err();
            assert!(
                matches!(
                    error,
                    CheckpointError::Corrupt {
                        previous: Some(3),
                        ..
                    }
                ),
                "{error:?}"
            );
            assert_eq!(
                fs::read(folder.checkpoint()).unwrap(),
                bytes,
                "loading changes nothing"
            );
        }
    }

    #[test]
    fn a_checkpoint_of_another_version_is_refused_and_stays() {
        let (_dir, folder) = folder();
        for version in [0, 3] {
            let text = format!("{{\"version\": {version}, \"anything\": 1}}");
            fs::write(folder.checkpoint(), &text).unwrap();
            let error = folder.load().unwrap_err();
            assert_eq!(error.code(), "checkpoint_mismatch");
            assert_eq!(fs::read_to_string(folder.checkpoint()).unwrap(), text);
        }
    }

    #[test]
    fn a_restarted_operation_does_not_return_to_its_old_state() {
        let (_dir, folder) = folder();
        folder.begin(&checkpoint(0)).unwrap();
        fs::write(folder.checkpoint(), "torn").unwrap();
        let error = folder.load().unwrap_err();
        assert!(
            matches!(error, CheckpointError::Corrupt { previous: None, .. }),
            "{error:?}"
        );
    }

    #[test]
    fn setting_aside_leaves_good_checkpoints_where_they_are() {
        let (dir, folder) = folder();
        fs::write(folder.checkpoint(), "torn").unwrap();
        folder.set_unreadable_aside().unwrap();
        assert_eq!(folder.load().unwrap().unwrap().completed, 3);
        let aside = dir.path().join("op/checkpoint.json.corrupt-1");
        assert_eq!(fs::read_to_string(aside).unwrap(), "torn");
    }
}
