//! Errors of running notebooks.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::base::advice::{Advice, Step};
use crate::base::fault::Fault;
use crate::document::DocumentError;
use crate::runtime::RuntimeError;

/// Nothing was run.
#[derive(Debug, Error)]
pub enum RunError {
    #[error("{0}")]
    Invalid(String),
    #[error("cannot write {}", path.display())]
    Disk { path: PathBuf, source: io::Error },
    #[error("another process on this computer is beginning or ending a run of {path}")]
    Busy { path: String },
    #[error(transparent)]
    Document(#[from] DocumentError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl Fault for RunError {
    fn code(&self) -> &str {
        match self {
            Self::Invalid(_) => "invalid_argument",
            Self::Disk { .. } => "disk",
            Self::Busy { .. } => "busy",
            Self::Document(error) => error.code(),
            Self::Runtime(error) => error.code(),
        }
    }

    fn remedy(&self) -> Advice {
        match self {
            Self::Invalid(_) => {
                Advice::from("Correct this and call again; nothing was run. ")
                    + Step::GetCells
                    + " shows the cells of a notebook with their ids and tags."
            }
            Self::Disk { .. } => {
                "Make room on this computer's disk, or make the folder writable, and call again."
                    .into()
            }
            Self::Busy { .. } => "Nothing was run by this call. Call again in a moment.".into(),
            Self::Document(error) => error.remedy(),
            Self::Runtime(error) => error.remedy(),
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Invalid(_) | Self::Disk { .. } => false,
            Self::Busy { .. } => true,
            Self::Document(error) => error.is_retryable(),
            Self::Runtime(error) => error.is_retryable(),
        }
    }
}

impl RunError {
    /// Whether the run can go on once the runtime can be reached again.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Runtime(error) => passes(error),
            Self::Document(DocumentError::Runtime(error)) => passes(error),
            Self::Document(DocumentError::Contended { .. }) => true,
            Self::Invalid(_) | Self::Disk { .. } | Self::Busy { .. } | Self::Document(_) => false,
        }
    }
}

/// Another machine may be connected now, and this one again later.
fn passes(error: &RuntimeError) -> bool {
    error.is_transient()
        || matches!(
            error,
            RuntimeError::Elsewhere { .. }
                | RuntimeError::Unauthorized { .. }
                | RuntimeError::NotConfigured
                | RuntimeError::EndedWithClient
                | RuntimeError::OtherClient { .. }
                | RuntimeError::Stranger { .. }
        )
}
