//! The state of a download: for progress while it runs, and as the tool's result.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::base::advice::{Advice, Step};
use crate::base::ids::JobId;
use crate::base::text::visible;
use crate::caller::Transferred;
use crate::edge::allowance::NGROK_FREE_BYTES;
use crate::transfer::error::TransferError;
use crate::transfer::report::{
    Digests, Skipped, Status, bytes, bytes_are, files_are, is_default, seconds, skipped,
};
use crate::transfer::running::Direction;
use crate::transfer::running::{Meter, Report};
use crate::transfer::trouble::Trouble;

/// The result of a download, or its state so far.
#[derive(Debug, Clone, Serialize)]
pub struct DownloadReport {
    /// `running`: it continues in the background.
    pub status: Status,
    /// For get_output, which waits for it and returns its result.
    pub job_id: String,
    pub remote_path: String,
    /// Where the file or folder is, once it is complete.
    pub local_path: Option<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub is_folder: bool,
    /// Size of the file or of all files of the folder; null while a large folder is being listed.
    pub size_bytes: Option<u64>,
    pub received_bytes: u64,
    /// Bytes kept from an earlier, interrupted download.
    #[serde(skip_serializing_if = "is_default")]
    pub resumed_bytes: u64,
    #[serde(flatten)]
    pub digests: Digests,
    /// Number of complete files.
    #[serde(skip_serializing_if = "is_default")]
    pub files: u64,
    /// The first 100 skipped entries of a folder.
    #[serde(skip_serializing_if = "is_default")]
    pub skipped: Vec<Skipped>,
    #[serde(skip_serializing_if = "is_default")]
    pub skipped_count: u64,
    /// For a folder: a file beside it with the SHA-256 of each file; `sha256sum -c` in the folder for downloads checks them.
    pub manifest: Option<String>,
    /// Why the manifest could not be written although the folder is complete.
    pub manifest_error: Option<String>,
    /// A local file had this name and is kept, so this one got another name.
    #[serde(skip_serializing_if = "is_default")]
    pub renamed: bool,
    /// The same file was already here, by its digest: it keeps its name, and nothing was downloaded.
    #[serde(skip_serializing_if = "is_default")]
    pub verified: bool,
    /// Bytes received through ngrok by this computer this month, of the free plan's 1 GB; null without ngrok.
    pub ngrok_month_bytes: Option<u64>,
    #[serde(flatten)]
    pub trouble: Trouble,
    pub message: String,
    pub next_step: Option<Advice>,
    /// Seconds since the download started.
    pub elapsed_sec: f64,
}

impl DownloadReport {
    /// Notes that the complete file was given the name that was wanted.
    pub(crate) fn moved_to(&mut self, path: &std::path::Path) {
        let path = path.to_string_lossy();
        self.message = format!("{} in {}.", bytes_are(self.received_bytes), visible(&path));
        self.local_path = Some(path.into_owned());
        self.renamed = false;
    }

    pub(super) fn new(remote: &str) -> Self {
        Self {
            status: Status::Running,
            job_id: String::new(),
            remote_path: remote.to_owned(),
            local_path: None,
            is_folder: false,
            size_bytes: None,
            received_bytes: 0,
            resumed_bytes: 0,
            digests: Digests::default(),
            files: 0,
            skipped: Vec::new(),
            skipped_count: 0,
            manifest: None,
            manifest_error: None,
            renamed: false,
            verified: false,
            ngrok_month_bytes: None,
            trouble: Trouble::default(),
            message: String::new(),
            next_step: None,
            elapsed_sec: 0.0,
        }
    }
}

impl Report for DownloadReport {
    const DIRECTION: Direction = Direction::Download;
    type Error = TransferError;

    fn set_id(&mut self, id: JobId) {
        self.job_id = id.to_string();
    }

    fn remote_path(&self) -> &str {
        &self.remote_path
    }

    fn progress(&self) -> Transferred {
        Transferred {
            message: self.trouble.after(self.remote_path.clone()),
            done_bytes: self.received_bytes,
            total_bytes: self.size_bytes,
        }
    }

    fn is_there(&self) -> bool {
        let path = self.local_path.as_deref();
        path.is_some_and(|path| Path::new(path).exists())
    }

    fn skips(&mut self) -> (&mut Vec<Skipped>, &mut u64) {
        (&mut self.skipped, &mut self.skipped_count)
    }

    fn set_ngrok_bytes(&mut self, month_bytes: Option<u64>) {
        self.ngrok_month_bytes = month_bytes;
    }

    fn trouble(&mut self) -> &mut Trouble {
        &mut self.trouble
    }

    fn set_elapsed(&mut self, time: Duration) {
        self.elapsed_sec = seconds(time);
    }

    fn worded(mut self, since: Duration) -> Self {
        let received = bytes_are(self.received_bytes);
        self.message = match (self.status, &self.local_path, self.size_bytes) {
            (Status::Complete, Some(path), _) if self.is_folder => {
                format!(
                    "{} in {}.",
                    files_are(self.files, self.received_bytes),
                    visible(path)
                )
            }
            (Status::Complete, Some(path), _) if self.verified => {
                format!(
                    "The same file was here already, verified by its digest: {}.",
                    visible(path)
                )
            }
            (Status::Complete, path, _) => {
                format!(
                    "{received} in {}.",
                    visible(path.as_deref().unwrap_or("the folder for downloads"))
                )
            }
            (Status::Running, _, Some(total)) if total == self.received_bytes => {
                format!("{} received, being checked.", bytes(self.received_bytes))
            }
            (Status::Running, _, Some(total)) => {
                format!(
                    "{} of {} received.",
                    bytes(self.received_bytes),
                    bytes(total)
                )
            }
            (Status::Running, _, None) => format!("{} received.", bytes(self.received_bytes)),
        };
        if self.renamed {
            self.message += " It got another name, because a file or folder with its name already exists and is kept.";
        }
        if self.skipped_count > 0 {
            self.message += &skipped(self.skipped_count);
        }
        if let Some(error) = &self.manifest_error {
            self.message +=
                &format!(" Its manifest (SHA-256 of each file) could not be written: {error}");
        }
        if let Some(bytes) = self.ngrok_month_bytes {
            let (megabytes, most) = (bytes / 1_000_000, NGROK_FREE_BYTES / 1_000_000_000);
            self.message += &format!(
                " This computer has used {megabytes} MB of this month's {most} GB of ngrok's free plan."
            );
        }
        match self.status {
            Status::Running => {
                self.elapsed_sec = seconds(since);
                self.message = self.trouble.after(self.message);
                self.next_step = Some(
                    Advice::from("The download continues in the background. Call ")
                        + Step::output(&self.job_id)
                        + " to wait for it, or this tool with the same arguments.",
                );
            }
            Status::Complete => {
                let ago = since
                    .saturating_sub(Duration::from_secs_f64(self.elapsed_sec))
                    .as_secs()
                    / 60;
                if ago > 0 {
                    self.message += &format!(" It was completed {ago} min ago.");
                    self.next_step = Some(
                        Advice::from("Call ")
                            + Step::Download
                            + " again only if it has changed on the runtime since.",
                    );
                }
            }
        }
        self
    }
}

impl Meter<DownloadReport> {
    pub(super) fn add(&self, bytes: u64) {
        self.change(|report| report.received_bytes += bytes);
    }

    /// Adds bytes kept from an earlier download.
    pub(super) fn add_resumed(&self, bytes: u64) {
        self.change(|report| {
            report.received_bytes += bytes;
            report.resumed_bytes += bytes;
        });
    }

    /// Subtracts bytes that turned out to be useless.
    pub(super) fn take_back(&self, bytes: u64) {
        self.change(|report| {
            report.received_bytes = report.received_bytes.saturating_sub(bytes);
            report.resumed_bytes = report.resumed_bytes.min(report.received_bytes);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::DownloadReport;
    use crate::transfer::report::Status;
    use crate::transfer::running::Report;

    #[test]
    fn a_folder_without_its_manifest_is_complete_and_says_why() {
        let mut report = DownloadReport::new("/content/out");
        (report.status, report.is_folder) = (Status::Complete, true);
        report.local_path = Some("/saved/out".to_owned());
        report.manifest_error = Some("The disk is full.".to_owned());
        let message = report.worded(Duration::ZERO).message;
        let expected =
            "Its manifest (SHA-256 of each file) could not be written: The disk is full.";
        assert!(message.starts_with("0 files"), "{message}");
        assert!(message.ends_with(expected), "{message}");
    }

    #[test]
    fn ngrok_traffic_is_reported_against_its_monthly_gigabyte() {
        let mut report = DownloadReport::new("/content/a");
        report.ngrok_month_bytes = Some(312_400_000);
        let message = report.worded(Duration::ZERO).message;
        let expected = "This computer has used 312 MB of this month's 1 GB of ngrok's free plan.";
        assert!(message.ends_with(expected), "{message}");
    }
}
