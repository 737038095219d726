//! What can go wrong while a file goes.

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

/// A failed upload. `Display` leaves the source's text out.
#[derive(Debug, Clone, Error)]
pub enum UploadError {
    #[error("{} may not be uploaded: it lies outside {}", path.display(), allowed.join(", "))]
    Outside {
        path: PathBuf,
        /// Folders, with a word about those that are not there.
        allowed: Vec<String>,
    },
    #[error("{} belongs to smart-colab itself and is not uploaded", path.display())]
    OwnState { path: PathBuf },
    #[error("{} is not there, on this computer", path.display())]
    NotFound { path: PathBuf },
    #[error("{} is neither a file nor a folder", path.display())]
    NotAFile { path: PathBuf },
    #[error("{} cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: Arc<io::Error>,
    },
    #[error("{} was written to again and again while it was sent", path.display())]
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
    #[error("{remote} is a file there, and {} is a folder", path.display())]
    IsAFile { remote: String, path: PathBuf },
    #[error("{remote} is a folder there, and {} is a file", path.display())]
    IsAFolder { remote: String, path: PathBuf },
    #[error("{remote} could not be uploaded")]
    Runtime {
        remote: String,
        #[source]
        source: Arc<RuntimeError>,
    },
    #[error("the runtime's disk is full{}: {detail}", free.map(|gb| format!(" ({gb:.1} GB are free there)")).unwrap_or_default())]
    RemoteFull { detail: String, free: Option<f64> },
    #[error("{remote} failed its SHA-256 check twice")]
    Damaged { remote: String },
    #[error("the runtime lost again and again what had arrived of {remote}")]
    Lost { remote: String },
    /// What was sent before is at another executor than what was sent last.
    #[error("the connection led to another executor while {remote} was under way")]
    Moved { remote: String },
    #[error("the upload cannot go on by its job_id alone: {cause}")]
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
            // Fewer bytes than a moment ago.
            Self::Changed { path }
        } else {
            let source = Arc::new(source);
            Self::Unreadable { path, source }
        }
    }

    /// Of an upload that is to go on by its id alone, where the call that began it may have had more folders to look in.
    pub(super) fn by_id(self) -> Self {
        if !matches!(self, Self::Outside { .. } | Self::NotFound { .. }) {
            return self;
        }
        let cause = Box::new(self);
        Self::ById { cause }
    }

    /// Why an entry of a folder is left out, where the rest can go on without it.
    pub(super) fn reason_to_skip(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } => Some("it went away meanwhile".to_owned()),
            Self::NotAFile { .. } => Some("it is neither a file nor a folder".to_owned()),
            Self::Changed { .. } => Some("it was written to again and again".to_owned()),
            Self::Unreadable { source, .. } => Some(format!("it cannot be read ({source})")),
            Self::IsAFolder { .. } => Some("a folder has its name there".to_owned()),
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
                "Ask the user to put it into one of these folders, or to name its folder in UPLOAD_DIRS in the client's config and restart the client.".into()
            }
            Self::OwnState { .. } => "Nothing in this folder is meant for the runtime.".into(),
            Self::NotFound { .. } => {
                "Check the name: a relative one is looked up in LOCAL_SAVE_DIR, then in each of UPLOAD_DIRS and the client's own folders.".into()
            }
            Self::NotAFile { .. } => "Only files and folders can be uploaded.".into(),
            Self::Unreadable { .. } => {
                Advice::from("Check its permissions and whether another program keeps it to itself, then call ") + Step::Upload + " again."
            }
            Self::Changed { .. } => {
                "Wait until the program that writes it is done, or upload a copy of it.".into()
            }
            Self::TooLarge { .. } => {
                Advice::from("Ask the user whether all of it is wanted; if so, call ") + Step::Upload + " again with a larger max_bytes. Else upload a part of it."
            }
            Self::TooMany { .. } => {
                "Pack it into one archive, upload that, and unpack it there by code.".into()
            }
            Self::Empty { .. } => Advice::from("Give it and call ") + Step::Upload + " again.",
            Self::IsAFile { .. } => {
                "Give another remote_path, or end it with / to have the folder made in a folder.".into()
            }
            Self::IsAFolder { .. } => {
                "Give another name in remote_path, or rename what is there by code.".into()
            }
            Self::Runtime { source, .. } if source.code() == "outside_root" => {
                "Give a remote_path in the runtime's content root (/content on Colab), or a relative one.".into()
            }
            Self::Runtime { source, .. } if source.is_transient() => {
                (source.remedy()).then("What has arrived is kept there: ")
                    + Step::Upload
                    + " with the same arguments sends the rest."
            }
            Self::Runtime { source, .. } => source.remedy(),
            Self::RemoteFull { .. } => {
                Advice::from("Free some space there by code and call ") + Step::Upload + " again: what has arrived is kept and the rest is sent."
            }
            Self::Damaged { .. } => {
                Advice::from("Something on the way changes the bytes. Call ") + Step::Upload + " again; if it stays so, use another tunnel."
            }
            Self::Lost { .. } => {
                Advice::from("It may be restarted again and again: look at the notebook, then call ") + Step::Upload + " again."
            }
            Self::Moved { .. } => {
                Advice::from("Part of it is where the connection led before. Call ") + Step::Upload + " again: it looks at what is there now, and sends the rest."
            }
            Self::ById { .. } => {
                Advice::from("Call ") + Step::Upload + " again as before: it asks the client for its own folders too, and what has arrived is kept there."
            }
            Self::Cancelled { .. } => {
                Advice::from("Call ") + Step::Upload + " again to go on: what has arrived is kept there and the rest is sent."
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

/// Why the executor will not have this file, whatever it thinks of others.
fn refusal(error: &RuntimeError) -> Option<String> {
    let RuntimeError::Refused(problem) = error else {
        return None;
    };
    let is_final = !problem.retryable && matches!(problem.status, 400..=428);
    is_final.then(|| problem.detail.clone())
}
