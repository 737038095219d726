//! How far an upload is: for progress while it runs, and as the tool's result.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::error::UploadError;
use crate::base::advice::{Advice, Step};
use crate::base::ids::JobId;
use crate::base::text::{counted, visible};
use crate::caller::Transferred;
use crate::transfer::report::{Skipped, Status, bytes, bytes_are, files_are, seconds, skipped};
use crate::transfer::running::Direction;
use crate::transfer::running::Report;
use crate::transfer::trouble::Trouble;

/// What came of a call, or what has arrived so far.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct UploadReport {
    /// `running`: the rest goes in the background.
    pub status: Status,
    /// For get_output, which waits for it and tells how it ended.
    pub job_id: String,
    pub local_path: String,
    /// Where the file or folder is, or is going to be.
    pub remote_path: String,
    pub is_folder: bool,
    /// Of the file, or of all files of the folder; null while a folder is still being looked through.
    pub size_bytes: Option<u64>,
    pub sent_bytes: u64,
    /// What was there already when this upload began: the same content, or what an earlier upload left.
    pub already_there_bytes: u64,
    /// Of the file, checked against the executor's; null for a folder, whose files are each checked.
    pub sha256: Option<String>,
    /// Files that are there.
    pub files: u64,
    /// The first 100 entries of a folder that were left out.
    pub skipped: Vec<Skipped>,
    pub skipped_count: u64,
    /// Files that were there with another content and have been replaced.
    pub replaced: u64,
    /// Folders without a file in them, which are not made there.
    pub empty_folders: u64,
    /// Files that go once for each of their names in the folder, for hard links are not kept: how many times more than once.
    pub hard_links: u64,
    /// Files that can be run here and not there, where the executor or its disk does not keep that.
    pub not_executable: u64,
    #[serde(flatten)]
    pub trouble: Trouble,
    pub message: String,
    pub next_step: Option<Advice>,
    /// Since the upload began.
    pub elapsed_sec: f64,
    /// Of the file that is being read for its SHA-256.
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
            sha256: None,
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

    fn there(&self) -> u64 {
        self.sent_bytes + self.already_there_bytes
    }
}

impl Report for UploadReport {
    const DIRECTION: Direction = Direction::Upload;
    type Error = UploadError;

    fn name(&mut self, id: JobId) {
        self.job_id = id.to_string();
    }

    fn remote_path(&self) -> &str {
        &self.remote_path
    }

    fn progress(&self) -> Transferred {
        let (done, total) = (self.there(), self.size_bytes);
        let message = match total {
            None => format!("looking through {}", self.local_path),
            Some(size) if done == 0 && !self.is_folder => {
                format!("read {} of {}", bytes(self.read_bytes), bytes(size))
            }
            Some(size) => format!("{} of {} are there", bytes(done), bytes(size)),
        };
        Transferred {
            message: self.trouble.after(message),
            done_bytes: done,
            total_bytes: total.filter(|_| done > 0),
        }
    }

    /// The file may have been written to since, and what is there is not sent again.
    fn is_there(&self) -> bool {
        false
    }

    fn skips(&mut self) -> (&mut Vec<Skipped>, &mut u64) {
        (&mut self.skipped, &mut self.skipped_count)
    }

    fn trouble(&mut self) -> &mut Trouble {
        &mut self.trouble
    }

    fn took(&mut self, time: Duration) {
        self.elapsed_sec = seconds(time);
    }

    fn worded(mut self, since: Duration) -> Self {
        let (there, place) = (bytes_are(self.there()), visible(&self.remote_path));
        self.message = match (self.status, self.size_bytes) {
            (Status::Complete, _) if self.is_folder => {
                format!("{} in {place}.", files_are(self.files, self.there()))
            }
            (Status::Complete, _) => format!("{there} in {place}."),
            (Status::Running, Some(total)) if total == self.there() && total > 0 => {
                format!("{there} there, being checked.")
            }
            (Status::Running, Some(total)) => {
                format!("{} of {} are there.", bytes(self.there()), bytes(total))
            }
            (Status::Running, None) => "It is being looked through.".to_owned(),
        };
        if self.status == Status::Complete && self.sent_bytes == 0 && self.already_there_bytes > 0 {
            self.message += " They were there already: nothing was sent.";
        }
        match (self.replaced, self.is_folder) {
            (0, _) => {}
            (_, false) => self.message += " It replaced the file that had its name.",
            (count, true) => self.message += &format!(" {count} of them replaced older ones."),
        }
        if self.skipped_count > 0 {
            self.message += &skipped(self.skipped_count);
        }
        if self.empty_folders > 0 {
            self.message += &format!(
                " {} not made there.",
                counted(self.empty_folders, "empty folder was", "empty folders were")
            );
        }
        if self.hard_links > 0 {
            let links = counted(
                self.hard_links,
                "of them is a hard link to another and went as a file of its own",
                "of them are hard links to others and went as files of their own",
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
                Advice::from("The rest goes in the background. Call ")
                    + Step::output(&self.job_id)
                    + " to wait for it, or "
                    + Step::Upload
                    + " with the same arguments.",
            );
        }
        self
    }
}
