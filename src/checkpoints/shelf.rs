//! The list of all checkpoints, and removing one.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::Checkpoints;
use super::error::CheckpointError;
use super::folder::{Folder, list_names};
use super::name::Name;
use super::report::{self, Kind};
use super::run::Runs;
use crate::base::advice::{Advice, Step};
use crate::base::fault::Fault;
use crate::base::ids::JobId;
use crate::edge::lock::FileLock;
use crate::edge::store;
use crate::runtime::RuntimeError;
use crate::transfer::disk::blocking;

/// Limit for asking about a job before its checkpoint is deleted.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A process that has just ended its work releases the lock within this time.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
const LOCK_RETRY_DELAY: Duration = Duration::from_millis(50);
/// Prefix of folders that are being deleted: no checkpoint's name begins with a dot.
const DELETED: &str = ".deleted-";

/// One checkpoint. What does not apply, or cannot be read, is none.
#[derive(Debug)]
pub struct Row {
    pub operation: String,
    pub kind: Kind,
    /// As get_checkpoint reports it, without asking the runtime; `unreadable` beside a fault.
    pub state: String,
    /// Iterations before this one finished.
    pub completed: Option<u64>,
    pub n_iterations: Option<u64>,
    pub session: Option<String>,
    /// Total size of its files.
    pub size_bytes: u64,
    pub changed_at: String,
    /// Why it cannot be read.
    pub fault: Option<Advice>,
}

/// The outcome of a deletion.
#[derive(Debug, Serialize)]
pub struct Deleted {
    pub operation: String,
    /// The folder that is gone.
    pub path: String,
    pub files: u64,
    pub bytes: u64,
    pub message: Advice,
}

impl Checkpoints {
    /// The newest `limit` checkpoints, newest first, and the number of all. Asks no runtime; includes checkpoints that cannot be read.
    pub async fn list(&self, limit: usize) -> (Vec<Row>, usize) {
        let dir = self.dir.clone();
        blocking(move || {
            remove_leftovers(&dir);
            let names = list_names(&dir)
                .into_iter()
                .filter_map(|name| Name::new(&name).ok());
            let mut rows: Vec<(Folder, Row)> = names
                .map(|name| (Folder::new(&dir, &name), name))
                .map(|(folder, name)| (folder.clone(), row(&folder, &name)))
                .collect();
            rows.sort_by(|(_, one), (_, other)| other.changed_at.cmp(&one.changed_at));
            let total = rows.len();
            rows.truncate(limit);
            let measured = rows.into_iter().map(|(folder, row)| Row {
                size_bytes: measure(folder.path()).1,
                ..row
            });
            (measured.collect(), total)
        })
        .await
    }

    /// Removes a checkpoint with all its files.
    ///
    /// # Errors
    /// [`CheckpointError::NotFound`], with the existing names; `Busy` while a call works on it, `StillRunning` and `RunsInOtherClient` while a
    /// job of it is running; those of the disk.
    pub async fn delete(
        &self,
        operation: &str,
        deadline: Instant,
    ) -> Result<Deleted, CheckpointError> {
        let dir = self.dir.clone();
        blocking(move || remove_leftovers(&dir)).await;
        let name = Name::new(operation)?;
        let folder = self.folder(&name);
        if !folder.is_there() {
            return Err(CheckpointError::NotFound {
                operation: operation.to_owned(),
                known: list_names(&self.dir),
            });
        }
        let lock = lock_soon(&folder, &name).await?;
        let mut message = Advice::from("It is gone for good.");
        if let Some(job) = job_under_way(&folder) {
            let deadline = deadline.min(Instant::now() + ANSWER_TIMEOUT);
            let standing = self.jobs.poll(job, 0, 0.0, deadline).await;
            if let Err(error) = &standing {
                self.refuse_other_client(operation, job, error)?;
            }
            match standing {
                Ok(job) if !job.state.is_final() => {
                    return Err(CheckpointError::StillRunning {
                        operation: operation.to_owned(),
                        job: job.id,
                    });
                }
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(RuntimeError::Elsewhere { place, .. }) => {
                    message = message.then(format!(
                        "Job {job} was sent to {place}: if it is still running there, "
                    )) + Step::Connect
                        + " back to it and "
                        + Step::Interrupt { job: None }
                        + " ends it.";
                }
                Err(error) => {
                    message = message.then(format!(
                        "The runtime could not be asked ({error}): if job {job} is still running there, "
                    )) + Step::Interrupt { job: None }
                        + " ends it.";
                }
            }
        }
        let path = folder.path().to_owned();
        let (files, bytes) = blocking(move || measure(&path)).await;
        let aside = self.dir.join(format!("{DELETED}{}", JobId::fresh()));
        // Windows cannot rename a folder with an open file, so the lock has to be released first; a process that takes it now prevents the rename.
        let _lock = (!cfg!(windows)).then_some(lock);
        // Under its name it is complete or gone, whatever interrupts the removal.
        fs::rename(folder.path(), &aside).map_err(CheckpointError::disk(folder.path()))?;
        store::sync_folder(&self.dir);
        let left = aside.clone();
        if let Err(error) = blocking(move || remove(&left)).await {
            message = message.then(format!(
                "Some of its files could not be removed from {} yet ({error}).",
                aside.display()
            ));
        }
        Ok(Deleted {
            operation: operation.to_owned(),
            path: folder.path().display().to_string(),
            files,
            bytes,
            message,
        })
    }
}

/// Takes the lock, which another process may be about to release.
async fn lock_soon(folder: &Folder, name: &Name) -> Result<FileLock, CheckpointError> {
    let until = Instant::now() + LOCK_TIMEOUT;
    loop {
        match folder.lock(name) {
            Err(CheckpointError::Busy { .. } | CheckpointError::RunsInOtherClient { .. })
                if Instant::now() < until =>
            {
                sleep(LOCK_RETRY_DELAY).await;
            }
            taken => return taken,
        }
    }
}

/// The job of a checkpoint that may still be running; none if the checkpoint cannot be read.
fn job_under_way(folder: &Folder) -> Option<JobId> {
    if let Ok(Some(checkpoint)) = folder.load() {
        return Some(checkpoint.in_flight?.job_id);
    }
    let newest = Runs::load(folder).ok()??.newest;
    (!newest.has_ended()).then(|| newest.job())?
}

fn row(folder: &Folder, name: &Name) -> Row {
    let blank = |kind| Row {
        operation: name.to_string(),
        kind,
        state: "unreadable".to_owned(),
        completed: None,
        n_iterations: None,
        session: None,
        size_bytes: 0,
        changed_at: changed_at(folder),
        fault: None,
    };
    let unreadable = |kind, error: &CheckpointError| Row {
        fault: Some(Advice::from(format!("{error}.")).then(error.remedy())),
        ..blank(kind)
    };
    match folder.load() {
        Err(error) => return unreadable(Kind::Chunked, &error),
        Ok(None) => {}
        Ok(Some(checkpoint)) => {
            return Row {
                state: report::describe_state(&checkpoint).0.to_owned(),
                completed: Some(checkpoint.completed),
                n_iterations: Some(checkpoint.total),
                session: Some(checkpoint.session),
                changed_at: checkpoint.updated_at,
                ..blank(Kind::Chunked)
            };
        }
    }
    match Runs::load(folder) {
        Err(error) => unreadable(Kind::Result, &error),
        // It has just been removed.
        Ok(None) => blank(Kind::Result),
        Ok(Some(Runs { newest, .. })) => Row {
            state: newest.state().to_owned(),
            session: Some(newest.session),
            changed_at: newest.saved_at,
            ..blank(Kind::Result)
        },
    }
}

/// When the files in the folder were last written.
fn changed_at(folder: &Folder) -> String {
    let changed = folder.changed().unwrap_or(SystemTime::UNIX_EPOCH);
    jiff::Timestamp::try_from(changed).map_or_else(|_| String::new(), |time| time.to_string())
}

/// Files and their bytes, without following links.
fn measure(path: &Path) -> (u64, u64) {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return (0, 0);
    };
    if !metadata.is_dir() {
        return (1, metadata.len());
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.fold((0, 0), |(files, bytes), entry| {
        let (more_files, more_bytes) = measure(&entry.path());
        (files + more_files, bytes + more_bytes)
    })
}

/// Removes a folder with its contents, or a link but not its target.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        // Another process may remove it at the same time.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes what interrupted deletions have left.
fn remove_leftovers(checkpoint_dir: &Path) {
    let entries = fs::read_dir(checkpoint_dir).into_iter().flatten().flatten();
    for entry in entries {
        if is_deleted(&entry.file_name().to_string_lossy())
            && let Err(error) = remove(&entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "a deleted checkpoint is still there");
        }
    }
}

/// Whether a deletion gave this name: another one with the same prefix is not ours.
fn is_deleted(name: &str) -> bool {
    let id = name.strip_prefix(DELETED);
    id.is_some_and(|id| id.parse().is_ok_and(|job: JobId| job.to_string() == id))
}
