//! How far an upload is: for progress while it runs, and as the tool's result.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::watch;

use super::error::UploadError;
use crate::transfer::report::{Skipped, Status, bytes};

/// Skipped entries that are named; further ones are only counted.
const MOST_NAMED: usize = 100;

/// What came of a call, or what has arrived so far.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct UploadReport {
    /// `running`: the rest goes in the background; the same call again waits for it.
    pub status: Status,
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
    pub message: String,
    pub next_step: Option<String>,
    /// Since the upload began.
    pub elapsed_sec: f64,
}

/// How far an upload is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is happening, for people.
    pub message: String,
    /// Bytes that are there.
    pub done_bytes: u64,
    /// None while nothing is sent yet.
    pub total_bytes: Option<u64>,
}

impl UploadReport {
    fn new(local: &str, remote: &str) -> Self {
        Self {
            status: Status::Running,
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
            message: String::new(),
            next_step: None,
            elapsed_sec: 0.0,
        }
    }

    fn there(&self) -> u64 {
        self.sent_bytes + self.already_there_bytes
    }

    /// Puts into words what the fields say, for a call that is answered so long after the upload began.
    pub(super) fn worded(mut self, since: Duration) -> Self {
        let there = bytes(self.there());
        self.message = match (self.status, self.size_bytes) {
            (Status::Complete, _) if self.is_folder => {
                format!(
                    "{} files ({there}) are in {}.",
                    self.files, self.remote_path
                )
            }
            (Status::Complete, _) => format!("{there} are in {}.", self.remote_path),
            (Status::Running, Some(total)) if total == self.there() && total > 0 => {
                format!("{there} are there and are being checked.")
            }
            (Status::Running, Some(total)) => format!("{there} of {} are there.", bytes(total)),
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
            self.message += &format!(" {} entries were skipped.", self.skipped_count);
        }
        if self.empty_folders > 0 {
            self.message += &format!(" {} empty folders were not made there.", self.empty_folders);
        }
        if self.status == Status::Running {
            self.elapsed_sec = since.as_secs_f64();
            self.next_step = Some(
                "The rest goes in the background. Call again with the same arguments to wait for it."
                    .to_owned(),
            );
        }
        self
    }
}

/// An upload's report as it grows, and how it ended.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) report: UploadReport,
    /// Bytes of the file that is being read for its SHA-256.
    pub(super) read: u64,
    pub(super) ended: Option<Result<(), UploadError>>,
}

impl State {
    pub(super) fn progress(&self) -> Progress {
        let report = &self.report;
        let (done, total) = (report.there(), report.size_bytes);
        let message = match total {
            None => format!("looking through {}", report.local_path),
            Some(size) if done == 0 && !report.is_folder => {
                format!("read {} of {}", bytes(self.read), bytes(size))
            }
            Some(size) => format!("{} of {} are there", bytes(done), bytes(size)),
        };
        Progress {
            message,
            done_bytes: done,
            total_bytes: total.filter(|_| done > 0),
        }
    }
}

/// Where the parts of an upload note what they did.
#[derive(Debug, Clone)]
pub(super) struct Meter(watch::Sender<State>);

impl Meter {
    pub(super) fn new(local: &str, remote: &str) -> (Self, watch::Receiver<State>) {
        let (sender, receiver) = watch::channel(State {
            report: UploadReport::new(local, remote),
            read: 0,
            ended: None,
        });
        (Self(sender), receiver)
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut UploadReport)) {
        self.0.send_modify(|state| change(&mut state.report));
    }

    pub(super) fn read(&self, bytes: u64) {
        self.0.send_modify(|state| state.read = bytes);
    }

    pub(super) fn skip(&self, name: &str, reason: impl Into<String>) {
        self.change(|report| {
            report.skipped_count += 1;
            if report.skipped.len() < MOST_NAMED {
                report.skipped.push(Skipped {
                    name: name.to_owned(),
                    reason: reason.into(),
                });
            }
        });
    }

    pub(super) fn end(&self, result: Result<(), UploadError>) {
        self.0.send_modify(|state| state.ended = Some(result));
    }
}

/// What one try to send a file has added to the report; taken back unless the try is kept.
#[derive(Debug)]
pub(super) struct Tally<'a> {
    meter: &'a Meter,
    counts: Mutex<(u64, u64)>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(meter: &'a Meter) -> Self {
        Self {
            meter,
            counts: Mutex::default(),
        }
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.set(|counts| counts.0 += bytes);
    }

    /// Of the `size` bytes so many are there: what was not sent by this try was there before, or what it sent is lost.
    pub(super) fn there(&self, bytes: u64) {
        self.set(|counts| {
            counts.0 = counts.0.min(bytes);
            counts.1 = bytes - counts.0;
        });
    }

    pub(super) fn take_back(&self) {
        self.set(|counts| *counts = (0, 0));
    }

    fn counts(&self) -> MutexGuard<'_, (u64, u64)> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut (u64, u64))) {
        let mut counts = self.counts();
        let before = *counts;
        change(&mut counts);
        let after = *counts;
        self.meter.change(|report| {
            report.sent_bytes = report.sent_bytes - before.0 + after.0;
            report.already_there_bytes = report.already_there_bytes - before.1 + after.1;
        });
    }
}
