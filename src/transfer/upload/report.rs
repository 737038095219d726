//! The state of an upload: for progress while it runs, and as the tool's result.

use std::time::Duration;

use serde::Serialize;

use super::error::UploadError;
use crate::base::advice::{Advice, Step};
use crate::base::ids::JobId;
use crate::base::text::{counted, visible};
use crate::caller::Transferred;
use crate::transfer::report::{
    Digests, Skipped, Status, bytes, bytes_are, files_are, is_default, seconds, skipped,
};
use crate::transfer::running::Direction;
use crate::transfer::running::Report;
use crate::transfer::trouble::Trouble;

/// The result of an upload, or its state so far.
#[derive(Debug, Clone, Serialize)]
pub struct UploadReport {
    /// `running`: it continues in the background.
    pub status: Status,
    /// For get_output, which waits for it and returns its result.
    pub job_id: String,
    pub local_path: String,
    /// Where the file or folder is, or will be.
    pub remote_path: String,
    #[serde(skip_serializing_if = "is_default")]
    pub is_folder: bool,
    /// Size of the file or of all files of the folder; null while a folder is being scanned.
    pub size_bytes: Option<u64>,
    pub sent_bytes: u64,
    /// Bytes that the runtime already had: the same content, or the part sent by an earlier upload.
    #[serde(skip_serializing_if = "is_default")]
    pub already_there_bytes: u64,
    #[serde(flatten)]
    pub digests: Digests,
    /// Number of files that have arrived.
    #[serde(skip_serializing_if = "is_default")]
    pub files: u64,
    /// The first 100 skipped entries of a folder.
    #[serde(skip_serializing_if = "is_default")]
    pub skipped: Vec<Skipped>,
    #[serde(skip_serializing_if = "is_default")]
    pub skipped_count: u64,
    /// Number of existing files with other content that were replaced.
    #[serde(skip_serializing_if = "is_default")]
    pub replaced: u64,
    /// Number of folders without files, which are not created.
    #[serde(skip_serializing_if = "is_default")]
    pub empty_folders: u64,
    /// Number of further hard links to a file, each sent as a file of its own.
    #[serde(skip_serializing_if = "is_default")]
    pub hard_links: u64,
    /// Number of files that lost their executable mode, which the executor or its disk does not support.
    #[serde(skip_serializing_if = "is_default")]
    pub not_executable: u64,
    #[serde(flatten)]
    pub trouble: Trouble,
    pub message: String,
    pub next_step: Option<Advice>,
    /// Seconds since the upload started.
    pub elapsed_sec: f64,
    /// Bytes read of the file that is being hashed.
    #[serde(skip)]
    pub(super) read_bytes: u64,
}

impl UploadReport {
    pub(super) fn new(local: &str, remote: &str) -> Self {
        Self {
            status: Status::Running,
            job_id: String::new(),
            local_path: local.to_owned(),
            remote_path: remote.to_owned(),
            is_folder: false,
            size_bytes: None,
            sent_bytes: 0,
            already_there_bytes: 0,
            digests: Digests::default(),
            files: 0,
            skipped: Vec::new(),
            skipped_count: 0,
            replaced: 0,
            empty_folders: 0,
            hard_links: 0,
            not_executable: 0,
            trouble: Trouble::default(),
            message: String::new(),
            next_step: None,
            elapsed_sec: 0.0,
            read_bytes: 0,
        }
    }

    fn arrived(&self) -> u64 {
        self.sent_bytes + self.already_there_bytes
    }
}

impl Report for UploadReport {
    const DIRECTION: Direction = Direction::Upload;
    type Error = UploadError;

    fn set_id(&mut self, id: JobId) {
        self.job_id = id.to_string();
    }

    fn remote_path(&self) -> &str {
        &self.remote_path
    }

    fn progress(&self) -> Transferred {
        let (done, total) = (self.arrived(), self.size_bytes);
        let message = match total {
            None => format!("scanning {}", self.local_path),
            Some(size) if done == 0 && !self.is_folder => {
                format!("read {} of {}", bytes(self.read_bytes), bytes(size))
            }
            Some(size) => format!("{} of {} sent", bytes(done), bytes(size)),
        };
        Transferred {
            message: self.trouble.after(message),
            done_bytes: done,
            total_bytes: total.filter(|_| done > 0),
        }
    }

    /// Never: the file may have been written to since, and unchanged content is not sent again anyway.
    fn is_there(&self) -> bool {
        false
    }

    fn skips(&mut self) -> (&mut Vec<Skipped>, &mut u64) {
        (&mut self.skipped, &mut self.skipped_count)
    }

    fn trouble(&mut self) -> &mut Trouble {
        &mut self.trouble
    }

    fn set_elapsed(&mut self, time: Duration) {
        self.elapsed_sec = seconds(time);
    }

    fn worded(mut self, since: Duration) -> Self {
        let (arrived, place) = (self.arrived(), visible(&self.remote_path));
        self.message = match (self.status, self.size_bytes) {
            (Status::Complete, _) if self.is_folder => {
                format!("{} in {place}.", files_are(self.files, arrived))
            }
            (Status::Complete, _) => format!("{} in {place}.", bytes_are(arrived)),
            (Status::Running, Some(total)) if total == arrived && total > 0 => {
                format!("{} sent, being checked.", bytes(arrived))
            }
            (Status::Running, Some(total)) => {
                format!("{} of {} sent.", bytes(arrived), bytes(total))
            }
            (Status::Running, None) => "The folder is being scanned.".to_owned(),
        };
        if self.status == Status::Complete && self.sent_bytes == 0 && self.already_there_bytes > 0 {
            self.message += " The runtime already had this content: nothing was sent.";
        }
        match (self.replaced, self.is_folder) {
            (0, _) => {}
            (_, false) => self.message += " It replaced the existing file.",
            (count, true) => self.message += &format!(" {count} of them replaced existing files."),
        }
        if self.skipped_count > 0 {
            self.message += &skipped(self.skipped_count);
        }
        if self.empty_folders > 0 {
            self.message += &format!(
                " {} not created.",
                counted(self.empty_folders, "empty folder was", "empty folders were")
            );
        }
        if self.hard_links > 0 {
            let links = counted(
                self.hard_links,
                "of them is a hard link to another and was sent as a file of its own",
                "of them are hard links to others and were sent as files of their own",
            );
            self.message += &format!(" {links}.");
        }
        match (self.not_executable, self.is_folder) {
            (0, _) => {}
            (_, false) => {
                self.message +=
                    " It is not executable there: run it by its interpreter, or use chmod."
            }
            (count, true) => {
                let lost = counted(
                    count,
                    "of them is not executable there: run it by its interpreter, or use chmod",
                    "of them are not executable there: run them by their interpreter, or use chmod",
                );
                self.message += &format!(" {lost}.");
            }
        }
        if self.status == Status::Running {
            self.elapsed_sec = seconds(since);
            self.message = self.trouble.after(self.message);
            self.next_step = Some(
                Advice::from("The upload continues in the background. Call ")
                    + Step::output(&self.job_id)
                    + " to wait for it, or "
                    + Step::Upload
                    + " with the same arguments.",
            );
        }
        self
    }
}
