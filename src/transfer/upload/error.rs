//! Errors of uploads.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::base::advice::{Advice, Step};
use crate::base::fault::Fault;
use crate::runtime::RuntimeError;
use crate::transfer::report::bytes;
use crate::transfer::running::Failure;

pub type UploadResult<T> = Result<T, UploadError>;

/// A failed upload. `Display` omits the source's text.
#[derive(Debug, Clone, Error)]
pub enum UploadError {
    #[error("{} may not be uploaded: it is outside {}", path.display(), allowed.join(", "))]
    Outside {
        path: PathBuf,
        /// Folders, with a note on missing ones.
        allowed: Vec<String>,
    },
    #[error("{} belongs to smart-colab itself and is not uploaded", path.display())]
    OwnState { path: PathBuf },
    #[error("{} does not exist on this computer", path.display())]
    NotFound { path: PathBuf },
    #[error("{} is neither a file nor a folder", path.display())]
    NotAFile { path: PathBuf },
    #[error("{} cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: Arc<io::Error>,
    },
    #[error("{} was repeatedly written to while it was sent", path.display())]
    Changed { path: PathBuf },
    #[error("{} has {} in {files} file(s), and max_bytes is {} ({most})", path.display(), bytes(*size), bytes(*most))]
    TooLarge {
        path: PathBuf,
        size: u64,
        files: u64,
        most: u64,
    },
    #[error("{} holds more than {most} files and folders", path.display())]
    TooMany { path: PathBuf, most: usize },
    #[error("no {which} was given")]
    Empty { which: &'static str },
    #[error("{remote} is a file on the runtime, but {} is a folder", path.display())]
    IsAFile { remote: String, path: PathBuf },
    #[error("{remote} is a folder on the runtime, but {} is a file", path.display())]
    IsAFolder { remote: String, path: PathBuf },
    #[error("{remote} could not be uploaded")]
    Runtime {
        remote: String,
        #[source]
        source: Arc<RuntimeError>,
    },
    #[error("the runtime's disk is full{}: {detail}", free.map(|gb| format!(" ({gb:.1} GB free)")).unwrap_or_default())]
    RemoteFull { detail: String, free: Option<f64> },
    #[error("{remote} failed its integrity check twice")]
    Damaged { remote: String },
    #[error("the runtime repeatedly lost the received part of {remote}")]
    Lost { remote: String },
    /// The parts of the folder went to two executors.
    #[error("the connection switched to another executor while {remote} was being uploaded")]
    Moved { remote: String },
    #[error("the upload cannot be resumed by its job_id alone: {cause}")]
    ById { cause: Box<UploadError> },
    #[error("the upload to {remote} was stopped")]
    Cancelled { remote: String },
}

impl UploadError {
    pub(super) fn local(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        let kind = source.kind();
        if matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            Self::NotFound { path }
        } else if kind == io::ErrorKind::UnexpectedEof {
            // The file got shorter.
            Self::Changed { path }
        } else {
            let source = Arc::new(source);
            Self::Unreadable { path, source }
        }
    }

    /// Wraps the error of an upload resumed by its id alone: the call that started it may have had more folders to look in.
    pub(super) fn by_id(self) -> Self {
        if !matches!(self, Self::Outside { .. } | Self::NotFound { .. }) {
            return self;
        }
        let cause = Box::new(self);
        Self::ById { cause }
    }

    /// The reason to skip an entry of a folder, where only this entry is affected.
    pub(super) fn reason_to_skip(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } => Some("it was removed meanwhile".to_owned()),
            Self::NotAFile { .. } => Some("it is neither a file nor a folder".to_owned()),
            Self::Changed { .. } => Some("it was repeatedly written to".to_owned()),
            Self::Unreadable { source, .. } => Some(format!("it cannot be read ({source})")),
            Self::IsAFolder { .. } => Some("the runtime has a folder of its name".to_owned()),
            Self::Runtime { source, .. } => refusal(source),
            Self::Outside { .. }
            | Self::OwnState { .. }
            | Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::Empty { .. }
            | Self::IsAFile { .. }
            | Self::RemoteFull { .. }
            | Self::Damaged { .. }
            | Self::Lost { .. }
            | Self::Moved { .. }
            | Self::ById { .. }
            | Self::Cancelled { .. } => None,
        }
    }
}

impl Fault for UploadError {
    fn code(&self) -> &str {
        match self {
            Self::Outside { .. } | Self::OwnState { .. } => "outside_upload_dirs",
            Self::NotFound { .. } => "not_found",
            Self::NotAFile { .. } | Self::Empty { .. } | Self::IsAFile { .. } => "invalid_argument",
            Self::IsAFolder { .. } => "is_a_directory",
            Self::Unreadable { .. } => "unreadable",
            Self::Changed { .. } => "file_changed",
            Self::TooLarge { .. } | Self::TooMany { .. } => "too_large",
            Self::Runtime { source, .. } => source.code(),
            Self::RemoteFull { .. } => "disk_full",
            Self::Damaged { .. } | Self::Lost { .. } => "connection_failed",
            Self::Moved { .. } => "runtime_replaced",
            Self::ById { cause } => cause.code(),
            Self::Cancelled { .. } => "cancelled",
        }
    }

    fn remedy(&self) -> Advice {
        match self {
            Self::Outside { .. } => {
                "Ask the user to put it in one of these folders, or to add its folder to UPLOAD_DIRS in the client's config and restart the client.".into()
            }
            Self::OwnState { .. } => "Nothing in this folder is meant for the runtime.".into(),
            Self::NotFound { .. } => {
                "Check the path: a relative one is looked up in LOCAL_SAVE_DIR, then in each of UPLOAD_DIRS and the client's own folders.".into()
            }
            Self::NotAFile { .. } => "Only files and folders can be uploaded.".into(),
            Self::Unreadable { .. } => {
                Advice::from("Check its permissions and whether another program has locked it, then call ") + Step::Upload + " again."
            }
            Self::Changed { .. } => {
                "Wait until the program that writes it has finished, or upload a copy of it.".into()
            }
            Self::TooLarge { .. } => {
                Advice::from("Ask the user whether all of it is wanted; if so, call ") + Step::Upload + " again with a larger max_bytes. Otherwise upload a part of it."
            }
            Self::TooMany { .. } => {
                "Pack it into one archive, upload that, and unpack it from code.".into()
            }
            Self::Empty { .. } => Advice::from("Give it and call ") + Step::Upload + " again.",
            Self::IsAFile { .. } => {
                Advice::from("Give another ") + Step::RemotePath + "."
            }
            Self::IsAFolder { .. } => {
                Advice::from("Give another name in ") + Step::RemotePath + ", or rename the existing folder from code."
            }
            Self::Runtime { source, .. } if source.code() == "outside_root" => {
                Advice::from("Give a ") + Step::RemotePath + " in the runtime's content root (/content on Colab), or a relative one."
            }
            Self::Runtime { source, .. } if source.is_transient() => {
                (source.remedy()).then("The runtime keeps the part that has arrived: ")
                    + Step::Upload
                    + " with the same arguments sends the rest."
            }
            Self::Runtime { source, .. } => source.remedy(),
            Self::RemoteFull { .. } => {
                Advice::from("Free some space on the runtime from code and call ") + Step::Upload + " again: the part that has arrived is kept and the rest is sent."
            }
            Self::Damaged { .. } => {
                Advice::from("Something between here and the runtime changes the bytes. Call ") + Step::Upload + " again; if that fails too, use another tunnel."
            }
            Self::Lost { .. } => {
                Advice::from("It may be restarting repeatedly: look at the notebook, then call ") + Step::Upload + " again."
            }
            Self::Moved { .. } => {
                Advice::from("Part of it is on the earlier runtime. Call ") + Step::Upload + " again: it checks what the new runtime has, and sends the rest."
            }
            Self::ById { .. } => {
                Advice::from("Call ") + Step::Upload + " again with the same arguments: it also asks the client for its own folders, and the part that has arrived is kept."
            }
            Self::Cancelled { .. } => {
                Advice::from("Call ") + Step::Upload + " again to continue: the part that has arrived is kept and the rest is sent."
            }
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Runtime { source, .. } => source.is_transient(),
            Self::Changed { .. }
            | Self::Damaged { .. }
            | Self::Lost { .. }
            | Self::Moved { .. }
            | Self::Cancelled { .. } => true,
            Self::Outside { .. }
            | Self::OwnState { .. }
            | Self::NotFound { .. }
            | Self::NotAFile { .. }
            | Self::Unreadable { .. }
            | Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::Empty { .. }
            | Self::IsAFile { .. }
            | Self::IsAFolder { .. }
            | Self::ById { .. }
            | Self::RemoteFull { .. } => false,
        }
    }
}

impl Failure for UploadError {
    fn cancelled(remote: &str) -> Self {
        Self::Cancelled {
            remote: remote.to_owned(),
        }
    }

    fn runtime(remote: &str, source: RuntimeError) -> Self {
        if source.code() == "disk_full" {
            let detail = source.to_string();
            return Self::RemoteFull { detail, free: None };
        }
        let remote = remote.to_owned();
        let source = Arc::new(source);
        Self::Runtime { remote, source }
    }
}

/// Why the executor refuses this file for good, though perhaps not others.
fn refusal(error: &RuntimeError) -> Option<String> {
    let RuntimeError::Refused(problem) = error else {
        return None;
    };
    let is_final = !problem.retryable && matches!(problem.status, 400..=428);
    is_final.then(|| problem.detail.clone())
}
