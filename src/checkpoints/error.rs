//! Why an operation could not be started or continued.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::base::advice::{Advice, Step};
use crate::base::fault::Fault;
use crate::base::ids::JobId;
use crate::runtime::RuntimeError;

/// A refused or aborted call. `Display` is a sentence for people, without its source's text.
#[derive(Debug, Error)]
pub enum CheckpointError {
    #[error("{0}")]
    Invalid(String),
    #[error(
        "the checkpoint {operation:?} belongs to a different plan, with {completed} of {total} iterations done; what differs: {}",
        differing.join(", ")
    )]
    Mismatch {
        operation: String,
        /// Arguments, with their values if these are short.
        differing: Vec<String>,
        completed: u64,
        total: u64,
    },
    #[error("{missing} must be given: there is no operation named {operation:?} to resume")]
    Incomplete { operation: String, missing: String },
    #[error("something of another kind is kept as {name:?}")]
    Taken { name: String },
    #[error("{} holds files that are not smart-colab's", path.display())]
    Foreign { path: PathBuf },
    #[error("{} is in format {version}, which this version of smart-colab does not read", path.display())]
    OtherVersion { path: PathBuf, version: u64 },
    #[error("the checkpoint at {} cannot be read: {detail}", path.display())]
    Corrupt {
        path: PathBuf,
        detail: String,
        /// Completed iterations of the checkpoint before it, if that is readable.
        previous: Option<u64>,
        /// The file was renamed, so that the next call finds the one before it.
        is_aside: bool,
    },
    #[error("the record of a run at {} cannot be read: {detail}", path.display())]
    CorruptResult { path: PathBuf, detail: String },
    #[error("there is no checkpoint named {operation:?}")]
    NotFound {
        operation: String,
        known: Vec<String>,
    },
    #[error(
        "another call, from this client or another one on this computer, is working on {operation:?}"
    )]
    Busy { operation: String },
    #[error(
        "code of {operation:?} may still be running in another client on this computer, as job {job}"
    )]
    RunsInOtherClient { operation: String, job: JobId },
    #[error("code of {operation:?} is still running, as job {job}")]
    StillRunning { operation: String, job: JobId },
    #[error("{} could not be read or written", path.display())]
    Disk {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl CheckpointError {
    /// Makes a [`CheckpointError::Disk`] of an error at `path`.
    pub(crate) fn disk(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Disk { path, source }
    }
}

impl Fault for CheckpointError {
    fn code(&self) -> &str {
        match self {
            Self::Invalid(_) | Self::Incomplete { .. } => "invalid_argument",
            Self::Mismatch { .. }
            | Self::OtherVersion { .. }
            | Self::Taken { .. }
            | Self::Foreign { .. } => "checkpoint_mismatch",
            Self::Corrupt { .. } | Self::CorruptResult { .. } => "checkpoint_corrupt",
            Self::NotFound { .. } => "not_found",
            Self::Busy { .. } | Self::RunsInOtherClient { .. } | Self::StillRunning { .. } => {
                "busy"
            }
            Self::Disk { source, .. } if is_full(source) => "disk_full",
            Self::Disk { .. } => "internal",
            Self::Runtime(error) => error.code(),
        }
    }

    fn remedy(&self) -> Advice {
        match self {
            Self::Invalid(_) => "Correct the argument and call again. Nothing was done.".into(),
            Self::Incomplete { .. } => {
                Advice::from("A name alone resumes an operation that was started under it: ")
                    + Step::ListCheckpoints
                    + " lists them. Nothing was done."
            }
            Self::Mismatch { differing, .. } if differing.iter().any(|part| is_fixed(part)) => {
                "The number of iterations and the session of an operation stay as they are. Call with checkpoint_name alone to continue as before, \
                 with another checkpoint_name for other work (its setup can read the earlier results), or with restart: true to discard what is done."
                    .into()
            }
            Self::Mismatch { .. } => "Call with checkpoint_name alone to continue as before, with keep_done: true to continue with the changed \
                 code, with another checkpoint_name to keep both, or with restart: true to discard what is done."
                .into(),
            Self::Taken { .. } => {
                Advice::from("Choose another checkpoint_name: ")
                    + Step::RunLong
                    + " keeps single results, "
                    + Step::RunChunked
                    + " loops; or remove the existing one with "
                    + Step::DeleteCheckpoint
                    + ". Nothing was run."
            }
            Self::Foreign { .. } => "Choose another checkpoint_name, or have the user set CHECKPOINT_DIR to a folder of its own. Nothing was run."
                .into(),
            Self::OtherVersion { .. } => "Use the version that wrote it, or another checkpoint_name, or restart: true, which sets \
                 the file aside and starts over."
                .into(),
            Self::Corrupt { previous: Some(completed), is_aside: false, .. } => {
                Advice::from(format!("The checkpoint before it is intact, with completed: {completed}. "))
                    + Step::RunChunked
                    + " with checkpoint_name alone sets the damaged file aside, and called again continues from there (later iterations may run a \
                       second time); with restart: true it starts over."
            }
            Self::Corrupt { previous: Some(completed), .. } => format!(
                "The file is set aside. The checkpoint before it is intact, with completed: {completed}; call again to continue from \
                 there (later iterations may run a second time), or with restart: true to start over."
            )
            .into(),
            Self::Corrupt { previous: None, .. } => {
                "Inspect the file. With restart: true it is set aside and all iterations run again; another checkpoint_name \
                 leaves it where it is."
                    .into()
            }
            Self::CorruptResult { .. } => {
                Advice::from("Its code and output are in the same folder. Run the code again under this name, or remove it with ")
                    + Step::DeleteCheckpoint
                    + "."
            }
            Self::NotFound { operation, .. } if operation.parse::<JobId>().is_ok() => {
                Advice::from("This is a job_id: ")
                    + Step::Output { job: None }
                    + " reads the job. "
                    + Step::ListCheckpoints
                    + " lists the checkpoints."
            }
            Self::NotFound { known, .. } if known.is_empty() => {
                Advice::from("There are no checkpoints yet. A job_id is a UUID: ") + Step::ListJobs + " shows them."
            }
            Self::NotFound { known, .. } => {
                Advice::from(format!("The checkpoints are: {}. A job_id is a UUID: ", known.join(", "))) + Step::ListJobs + " shows them."
            }
            Self::Busy { .. } => {
                "Wait for that call to return, then call again; to run something at the same time, use another checkpoint_name.".into()
            }
            Self::RunsInOtherClient { job, .. } => {
                Advice::from("In that client ")
                    + Step::interrupt(job)
                    + " ends it, and so does closing that client; or wait until it ends. Then call again."
            }
            Self::StillRunning { job, .. } => {
                Advice::from(Step::interrupt(job)) + " ends it; or wait until it ends. Then call again."
            }
            Self::Disk { source, .. } if is_full(source) => {
                "Free space on the disk of this machine (the one that runs smart-colab), then call again to continue.".into()
            }
            Self::Disk { source, .. } => {
                format!("The system says: {source}. Check that CHECKPOINT_DIR is a writable folder, then call again.").into()
            }
            Self::Runtime(error) => error.next_step(),
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Corrupt { previous, .. } => previous.is_some(),
            Self::Busy { .. }
            | Self::RunsInOtherClient { .. }
            | Self::StillRunning { .. }
            | Self::Disk { .. } => true,
            Self::Invalid(_)
            | Self::Incomplete { .. }
            | Self::Mismatch { .. }
            | Self::Taken { .. }
            | Self::Foreign { .. }
            | Self::OtherVersion { .. }
            | Self::CorruptResult { .. }
            | Self::NotFound { .. } => false,
            // The next call starts on the new machine.
            Self::Runtime(RuntimeError::Replaced) => true,
            Self::Runtime(error) => error.is_transient(),
        }
    }
}

/// Whether an argument that differs may not be changed by `keep_done`.
fn is_fixed(differing: &str) -> bool {
    ["n_iterations", "session"]
        .iter()
        .any(|name| differing.starts_with(name))
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
