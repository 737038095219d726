//! The state of a mirror, for the faces.

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use crate::base::advice::{Advice, Step};
use crate::base::text::{counted, visible};
use crate::transfer::{Skipped, size_text};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It has not looked yet.
    Starting,
    /// It looks for changes and downloads them.
    Following,
    /// It cannot reach the runtime, or cannot write, and tries again.
    Waiting,
    /// Its work has ended, and so has the last pass.
    Ended,
    /// The runtime no longer knows its work: the machine was replaced.
    Lost,
    /// The user ended it.
    Stopped,
    Failed,
}

/// A mirror as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MirrorReport {
    pub status: Status,
    pub remote_path: String,
    pub local_path: String,
    /// The job or the operation at whose end it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// That job, or the operation's newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// The folder does not exist on the runtime, or no longer.
    #[serde(skip_serializing_if = "is_false")]
    pub is_missing: bool,
    /// Downloads of files; a file that has changed counts again.
    pub files: u64,
    pub received_bytes: u64,
    /// Files that are to be downloaded.
    #[serde(skip_serializing_if = "is_zero")]
    pub pending: u64,
    /// What had settled by then is here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_pass_at: Option<String>,
    /// The first 20 files that are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Advice>,
    pub message: String,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn is_false(fact: &bool) -> bool {
    !fact
}

impl MirrorReport {
    pub(super) fn new(remote: &str, local_path: &Path) -> Self {
        Self {
            status: Status::Starting,
            remote_path: remote.to_owned(),
            local_path: local_path.to_string_lossy().into_owned(),
            until: None,
            job_id: None,
            is_missing: false,
            files: 0,
            received_bytes: 0,
            pending: 0,
            last_pass_at: None,
            skipped: Vec::new(),
            skipped_count: 0,
            code: None,
            problem: None,
            hint: None,
            message: String::new(),
        }
    }

    #[must_use]
    pub fn is_over(&self) -> bool {
        match self.status {
            Status::Starting | Status::Following | Status::Waiting => false,
            Status::Ended | Status::Lost | Status::Stopped | Status::Failed => true,
        }
    }

    pub(super) fn pass(&mut self, at: Timestamp) {
        self.last_pass_at = Some(format!("{at:.0}"));
    }

    /// Adds the sentences.
    pub(super) fn worded(mut self) -> Self {
        let folder = visible(&self.local_path);
        let received = format!(
            "{} ({}) received in {folder}",
            counted(self.files, "file", "files"),
            size_text(self.received_bytes)
        );
        let pass = match &self.last_pass_at {
            Some(at) => format!("what had settled by {at} is here"),
            None => "no pass is complete".to_owned(),
        };
        self.message = match self.status {
            Status::Starting => format!("It is looking at {}.", self.remote_path),
            Status::Following => format!("{received}; {pass}."),
            Status::Waiting => format!("{received}; {pass}. It tries again by itself."),
            Status::Ended => {
                format!("{received}; its code has ended, and the last pass is complete.")
            }
            Status::Lost => format!(
                "{received}; {pass}. The runtime does not know its code any more: the machine was replaced."
            ),
            Status::Stopped => format!("{received}; {pass}. It was stopped."),
            Status::Failed => format!("{received}; {pass}. It has ended."),
        };
        if self.is_missing {
            let yet = if self.is_over() { "" } else { " (yet)" };
            let missing = format!("{} does not exist on the runtime{yet}", self.remote_path);
            self.message = format!("{missing}: {}", self.message);
        }
        if self.status == Status::Lost {
            self.hint = Some(
                Advice::from("Call ") + Step::Mirror + " to mirror the folder of the new machine.",
            );
        }
        if self.skipped_count > 0 {
            let left_out = counted(self.skipped_count, "file is", "files are");
            self.message += &format!(" {left_out} left out.");
        }
        self
    }
}
