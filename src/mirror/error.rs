//! Errors of mirrors.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::base::advice::{Advice, Step};
use crate::base::fault::Fault;
use crate::runtime::RuntimeError;
use crate::transfer::TransferError;

/// Why a folder is not mirrored, or not at the moment. `Display` omits the source's text.
#[derive(Debug, Clone, Error)]
pub enum MirrorError {
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error("the folder of the runtime is not named")]
    Unnamed,
    #[error("{remote} and {} are on this computer, and one is inside the other: a mirror would copy its own copies", path.display())]
    Itself { remote: String, path: PathBuf },
    #[error("{} holds files that no mirror has put there", path.display())]
    Occupied { path: PathBuf },
    #[error("{} belongs to the mirror of {by:?}", path.display())]
    Taken { path: PathBuf, by: String },
    #[error("another smart-colab process on this computer mirrors into {}", path.display())]
    Busy { path: PathBuf },
    #[error("no mirror of {remote:?} runs{}", running(known))]
    NotFound { remote: String, known: Vec<String> },
    #[error("this executor is older than mirrors")]
    OldExecutor,
    #[error("the changes of {remote:?} could not be read")]
    Runtime {
        remote: String,
        #[source]
        source: Arc<RuntimeError>,
    },
    #[error("{} cannot be written", path.display())]
    Disk {
        path: PathBuf,
        #[source]
        source: Arc<io::Error>,
    },
}

impl MirrorError {
    pub(super) fn runtime(remote: &str, error: RuntimeError) -> Self {
        if matches!(&error, RuntimeError::Refused(problem) if problem.status == 404) {
            return Self::OldExecutor;
        }
        Self::Runtime {
            remote: remote.to_owned(),
            source: Arc::new(error),
        }
    }

    /// Whether trying again changes nothing.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Runtime { source, .. } => {
                matches!(&**source, RuntimeError::Refused(problem) if !problem.retryable)
            }
            Self::Transfer(_) | Self::Disk { .. } => false,
            Self::Unnamed
            | Self::Itself { .. }
            | Self::Occupied { .. }
            | Self::Taken { .. }
            | Self::Busy { .. }
            | Self::NotFound { .. }
            | Self::OldExecutor => true,
        }
    }
}

impl Fault for MirrorError {
    fn code(&self) -> &str {
        match self {
            Self::Transfer(error) => error.code(),
            Self::Unnamed | Self::Itself { .. } => "invalid_argument",
            Self::Occupied { .. } | Self::Taken { .. } => "already_exists",
            Self::Busy { .. } => "busy",
            Self::NotFound { .. } => "not_found",
            Self::OldExecutor => "incompatible_executor",
            Self::Runtime { source, .. } => source.code(),
            Self::Disk { .. } => "disk_failed",
        }
    }

    fn remedy(&self) -> Advice {
        match self {
            Self::Transfer(
                TransferError::OutsideSaveDir { .. } | TransferError::UnusableName { .. },
            ) => {
                Advice::from("Name a folder below ")
                    + Step::SaveDir
                    + " as `to`, without it: results/run1."
            }
            Self::Transfer(error) => error.remedy(),
            Self::Unnamed => "Name it by its path; `.` is the content root.".into(),
            Self::Itself { .. } => {
                "The files are here already. To keep copies elsewhere, name another folder as `to`."
                    .into()
            }
            Self::Occupied { .. } | Self::Taken { .. } => {
                "Name another folder as `to`: a new or an empty one.".into()
            }
            Self::Busy { .. } => "Stop it there, or name another folder as `to`.".into(),
            Self::NotFound { .. } => {
                Advice::from("Call ") + Step::Mirror + " without arguments to see all mirrors."
            }
            Self::OldExecutor => Step::UpdateExecutor.into(),
            Self::Runtime { source, .. } => source.remedy(),
            Self::Disk { .. } => Advice::from("Check that ") + Step::SaveDir + " is writable.",
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Transfer(error) => error.is_retryable(),
            Self::Runtime { source, .. } => source.is_retryable(),
            Self::Busy { .. } => true,
            Self::Unnamed
            | Self::Itself { .. }
            | Self::Occupied { .. }
            | Self::Taken { .. }
            | Self::NotFound { .. }
            | Self::OldExecutor
            | Self::Disk { .. } => false,
        }
    }
}

fn running(known: &[String]) -> String {
    match known {
        [] => ", nor of any other folder".to_owned(),
        known => format!("; those of {} do", known.join(", ")),
    }
}
