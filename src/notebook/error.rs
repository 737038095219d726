//! Errors of exporting a notebook.

use thiserror::Error;

use crate::base::advice::{Advice, Step};
use crate::base::fault::Fault;
use crate::runtime::RuntimeError;
use crate::transfer::TransferError;

/// A refused or failed export: nothing was written. `Display` omits the source's text.
#[derive(Debug, Error)]
pub enum NotebookError {
    #[error("nothing was run in session {session:?}")]
    Empty { session: String },
    #[error(
        "the machine no longer has the code that was run in session {session:?}: {jobs} jobs are gone"
    )]
    Gone { session: String, jobs: u64 },
    /// The name or the disk.
    #[error(transparent)]
    Place(#[from] TransferError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl Fault for NotebookError {
    fn code(&self) -> &str {
        match self {
            Self::Empty { .. } | Self::Gone { .. } => "not_found",
            Self::Place(error) => error.code(),
            Self::Runtime(error) => error.code(),
        }
    }

    fn remedy(&self) -> Advice {
        match self {
            Self::Empty { .. } => {
                Advice::from(Step::ListJobs) + " shows the jobs and their sessions. Nothing was written."
            }
            Self::Gone { .. } => {
                Advice::from("Nothing was written. If ")
                    + Step::Output { job: None }
                    + " still shows these jobs, the executor is an older version: run this version's notebook on the runtime."
            }
            Self::Place(TransferError::OutsideSaveDir { .. } | TransferError::UnusableName { .. }) => {
                "Give a plain name as filename, with folders before it if you like: runs/monday.ipynb. Nothing was written."
                    .into()
            }
            Self::Place(TransferError::DiskFull { .. }) => {
                "Free some space on this computer and call again. Nothing was written.".into()
            }
            Self::Place(error) => error.remedy(),
            Self::Runtime(error) => Advice::from("Nothing was written.").then(error.remedy()),
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Empty { .. } | Self::Gone { .. } => false,
            Self::Place(error) => error.is_retryable(),
            Self::Runtime(error) => error.is_transient(),
        }
    }
}
