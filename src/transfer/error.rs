//! Errors of downloads.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::report::bytes as size;
use super::running::Failure;
use crate::base::advice::{Advice, Step};
use crate::base::fault::Fault;
use crate::base::text::counted;
use crate::runtime::RuntimeError;

pub type TransferResult<T> = Result<T, TransferError>;

/// A failed download. `Display` omits the source's text.
#[derive(Debug, Clone, Error)]
pub enum TransferError {
    #[error("{name:?} would be outside the folder for downloads: {why}")]
    OutsideSaveDir { name: String, why: &'static str },
    #[error("the path on the runtime is empty")]
    NoRemotePath,
    #[error("{name:?} cannot be a file name on this computer: {why}")]
    UnusableName { name: String, why: &'static str },
    #[error("{remote} is neither a file nor a folder")]
    NotAFile { remote: String },
    #[error("{remote} has {}{}, which exceeds max_bytes ({})", size(*bytes), of_files(*files), size(*max_bytes))]
    TooLarge {
        remote: String,
        bytes: u64,
        /// None for a single file.
        files: Option<u64>,
        max_bytes: u64,
    },
    #[error("{remote} could not be downloaded")]
    Runtime {
        remote: String,
        #[source]
        source: Arc<RuntimeError>,
    },
    #[error("{remote} failed its integrity check twice (remote {expected}, local {received})")]
    Damaged {
        remote: String,
        expected: String,
        received: String,
    },
    /// The parts of the folder came from two executors.
    #[error("the connection switched to another executor while {remote} was being downloaded")]
    Moved { remote: String },
    #[error("the disk is full: {} cannot be written", path.display())]
    DiskFull {
        path: PathBuf,
        #[source]
        source: Arc<io::Error>,
    },
    #[error("{} cannot be written", path.display())]
    Disk {
        path: PathBuf,
        #[source]
        source: Arc<io::Error>,
    },
    #[error("the download of {remote} was stopped")]
    Cancelled { remote: String },
}

impl TransferError {
    pub(crate) fn disk(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        let full = matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        );
        let source = Arc::new(source);
        if full {
            Self::DiskFull { path, source }
        } else {
            Self::Disk { path, source }
        }
    }

    /// Whether the file was written to while it was read.
    pub(super) fn is_changed(&self) -> bool {
        matches!(self, Self::Runtime { source, .. } if matches!(**source, RuntimeError::Changed { .. }))
    }
}

impl Fault for TransferError {
    fn code(&self) -> &str {
        match self {
            Self::OutsideSaveDir { .. } => "outside_save_dir",
            Self::NoRemotePath | Self::UnusableName { .. } | Self::NotAFile { .. } => {
                "invalid_argument"
            }
            Self::TooLarge { .. } => "too_large",
            Self::Runtime { source, .. } => source.code(),
            Self::Damaged { .. } => "connection_failed",
            Self::Moved { .. } => "runtime_replaced",
            Self::DiskFull { .. } => "disk_full",
            Self::Disk { .. } => "disk_failed",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    fn remedy(&self) -> Advice {
        match self {
            Self::OutsideSaveDir { .. } | Self::UnusableName { .. } => {
                Advice::from("Give a plain name as ")
                    + Step::LocalName
                    + ", with folders before it if you like: plots/loss.png."
            }
            Self::NoRemotePath => {
                Advice::from("Give the path of a file or folder on the runtime as ")
                    + Step::RemotePath
                    + ": "
                    + Step::ListFiles
                    + " shows what there is."
            }
            Self::NotAFile { .. } => "List its folder to see what is there.".into(),
            Self::TooLarge { bytes, .. } => {
                Advice::from("Nothing was downloaded. To get all of it, call ")
                    + Step::Download
                    + format!(
                        " again with max_bytes {bytes} or more; otherwise download a part of it, or compress it from code first."
                    )
            }
            Self::Runtime { source, .. } if source.is_transient() => {
                (source.remedy()).then("Bytes that were received are kept: ")
                    + Step::Download
                    + " with the same arguments fetches the rest."
            }
            Self::Runtime { source, .. } => source.remedy(),
            Self::Damaged { .. } => {
                Advice::from("Something between here and the runtime changes the bytes. Call ")
                    + Step::Download
                    + " again; if that fails too, use another tunnel."
            }
            Self::Moved { .. } => {
                Advice::from("Call ")
                    + Step::Download
                    + " again: received files that are the same on the new runtime are kept, and the rest is fetched."
            }
            Self::DiskFull { .. } => {
                Advice::from("Free some space on this computer and call ")
                    + Step::Download
                    + " again: the received bytes are kept and the rest is fetched."
            }
            Self::Disk { .. } => {
                Advice::from("Check that ")
                    + Step::SaveDir
                    + " is writable, then call "
                    + Step::Download
                    + " again."
            }
            Self::Cancelled { .. } => {
                Advice::from("Call ")
                    + Step::Download
                    + " again to continue: the received bytes are kept and the rest is fetched."
            }
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Runtime { source, .. } => source.is_transient() || self.is_changed(),
            Self::Damaged { .. } | Self::Moved { .. } | Self::Cancelled { .. } => true,
            Self::OutsideSaveDir { .. }
            | Self::NoRemotePath
            | Self::UnusableName { .. }
            | Self::NotAFile { .. }
            | Self::TooLarge { .. }
            | Self::DiskFull { .. }
            | Self::Disk { .. } => false,
        }
    }
}

impl Failure for TransferError {
    fn cancelled(remote: &str) -> Self {
        Self::Cancelled {
            remote: remote.to_owned(),
        }
    }

    fn runtime(remote: &str, source: RuntimeError) -> Self {
        Self::Runtime {
            remote: remote.to_owned(),
            source: Arc::new(source),
        }
    }
}

fn of_files(files: Option<u64>) -> String {
    files.map_or_else(String::new, |files| {
        format!(" in {}", counted(files, "file", "files"))
    })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::{Fault, TransferError};

    #[test]
    fn a_full_disk_and_an_exceeded_quota_are_disk_full() {
        for (kind, code) in [
            (io::ErrorKind::StorageFull, "disk_full"),
            (io::ErrorKind::QuotaExceeded, "disk_full"),
            (io::ErrorKind::PermissionDenied, "disk_failed"),
        ] {
            let error = TransferError::disk(Path::new("a"), kind.into());
            assert_eq!(error.code(), code, "{kind:?}");
        }
    }
}
