//! Why no notebook was written.

use thiserror::Error;

use crate::runtime::RuntimeError;
use crate::transfer::TransferError;

/// A refused or failed export: nothing was written. `Display` is a sentence for people, without its source's text.
#[derive(Debug, Error)]
pub enum NotebookError {
    #[error("nothing was run in session {session:?}")]
    Empty { session: String },
    #[error("the machine has not kept what was run in session {session:?}: {jobs} jobs are gone")]
    Gone { session: String, jobs: u64 },
    /// The name or the disk.
    #[error(transparent)]
    Place(#[from] TransferError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl NotebookError {
    /// The stable code that the model sees.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Empty { .. } | Self::Gone { .. } => "not_found",
            Self::Place(error) => error.code(),
            Self::Runtime(error) => error.code(),
        }
    }

    /// What to do next, in one or two sentences.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Empty { .. } => {
                "list_jobs shows what was run, and in which session. Nothing was written.".to_owned()
            }
            Self::Gone { .. } => "Nothing was written. Where get_output still shows these jobs, the executor is of an older version: run this version's \
                 notebook there."
                .to_owned(),
            Self::Place(TransferError::OutsideSaveDir { .. } | TransferError::UnusableName { .. }) => {
                "Give a plain name as filename, with folders before it if you like: runs/monday.ipynb. Nothing was written."
                    .to_owned()
            }
            Self::Place(TransferError::DiskFull { .. }) => {
                "Free some space on this machine and call again. Nothing was written.".to_owned()
            }
            Self::Place(error) => error.hint(),
            Self::Runtime(error) => format!("Nothing was written. {}", error.hint()),
        }
    }

    /// True when the same call may succeed without anything being changed first.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::Empty { .. } | Self::Gone { .. } => false,
            Self::Place(error) => error.retryable(),
            Self::Runtime(error) => error.is_transient(),
        }
    }
}
