//! Why the local executor is not there, and what its user can do.

use std::io;
use std::path::Path;

use crate::base::advice::Advice;
use crate::runtime::RuntimeError;

/// As errors name it.
pub(super) const WHAT: &str = "the local executor";

/// A failed start. Kept for everyone who waited for it, so it can be cloned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// What happened, with the last lines of the program that failed.
    pub(super) detail: String,
    pub(super) remedy: Advice,
}

impl Fault {
    pub(super) fn new(detail: impl Into<String>, remedy: impl Into<Advice>) -> Self {
        Self {
            detail: detail.into(),
            remedy: remedy.into(),
        }
    }

    /// A file or folder of ours that cannot be read or written.
    pub(super) fn disk(path: &Path, error: &io::Error) -> Self {
        let full = matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        );
        let remedy = if full {
            "The disk is full: free some space, then call again."
        } else {
            "Make the folder writable, or set SMART_COLAB_DATA_DIR and LOCAL_SAVE_DIR to folders that are; then call again."
        };
        Self::new(format!("{}: {error}", path.display()), remedy)
    }
}

impl From<Fault> for RuntimeError {
    fn from(fault: Fault) -> Self {
        Self::StartFailed {
            what: WHAT,
            detail: fault.detail,
            remedy: fault.remedy,
        }
    }
}
