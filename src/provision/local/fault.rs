//! Why the local executor did not start, and the remedy.

use std::io;
use std::path::Path;

use crate::base::advice::Advice;
use crate::runtime::RuntimeError;

/// The name of the local executor in errors.
pub(super) const WHAT: &str = "the local executor";

/// A failed start, cloned for every call that waited for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The failure, with the last lines of the program that failed.
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

    /// The fault for a file or folder of this program that cannot be read or written.
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

    /// The fault for a folder that the executor refused, with its reason.
    pub(super) fn folder(reason: &str) -> Self {
        let remedy = "If the disk is full, free some space; else make the folder writable, or set SMART_COLAB_DATA_DIR and LOCAL_SAVE_DIR to others; then call again.";
        Self::new(reason, remedy)
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
