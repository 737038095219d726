//! Downloads that outlive the calls that started them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{Limits, Pull};
use super::lanes::Lanes;
use super::report::DownloadReport;
use crate::base::causes::sentence;
use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::connection::Connection;
use crate::transfer::disk::blocking;
use crate::transfer::error::{TransferError, TransferResult};
use crate::transfer::look::Look;
use crate::transfer::name::Name;
use crate::transfer::report::Status;
use crate::transfer::running::{Key, Running};
use crate::transfer::transfers::{Known, Task, Transfers};
use crate::wire::files::{FileStat, FileType};

/// All downloads of this process, into one folder. Dropping it ends them; the received bytes are kept.
#[derive(Debug)]
pub struct Downloads {
    pub(super) transfers: Transfers<DownloadReport>,
    save_dir: PathBuf,
    pub(super) limits: Limits,
}

/// The arguments of a download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadRequest {
    /// A file or folder.
    pub remote_path: String,
    /// A path under the folder for downloads; without one the remote name is used.
    pub local_filename: Option<String>,
    /// Larger files and folders are refused.
    pub max_bytes: u64,
}

impl Downloads {
    /// Downloads into `save_dir`, which is created with the first file; `notes_dir` holds the records shared with other processes.
    #[must_use]
    pub fn new(connection: Arc<Connection>, save_dir: PathBuf, notes_dir: PathBuf) -> Self {
        Self::with_limits(connection, save_dir, notes_dir, Limits::default())
    }

    #[must_use]
    pub fn with_limits(
        connection: Arc<Connection>,
        save_dir: PathBuf,
        notes_dir: PathBuf,
        limits: Limits,
    ) -> Self {
        Self {
            transfers: Transfers::new(connection, notes_dir),
            save_dir,
            limits,
        }
    }

    /// Downloads a file or folder, or joins the running download of the same arguments. At the deadline the report says `running` and the
    /// download continues; its result is kept for the next such call.
    ///
    /// # Errors
    /// [`TransferError`]; received bytes are kept for another call, except after `Damaged`.
    pub async fn download(
        &self,
        request: &DownloadRequest,
        caller: &Caller<'_>,
    ) -> TransferResult<DownloadReport> {
        let key = (request.remote_path.clone(), request.local_filename.clone());
        wanted_name(&key)?;
        loop {
            let running = match self.transfers.find(&key) {
                Some(running) => running,
                None => {
                    let task = self.transfers.task(key.clone(), request.max_bytes).await;
                    self.begin(task, caller).await?
                }
            };
            if let Some(answer) = self.transfers.wait(running, caller).await {
                return answer;
            }
        }
    }

    /// Waits for the download of this id, resuming one that an earlier process left. `None` if there was never such a download.
    ///
    /// # Errors
    /// As for reaching the runtime, if the download has to be resumed.
    pub async fn look(&self, id: JobId, caller: &Caller<'_>) -> TransferResult<Option<Look>> {
        let running = match self.transfers.classify(id).await {
            Known::Unknown => return Ok(None),
            Known::Reported(look) => return Ok(Some(look)),
            Known::Running(running) => running,
            Known::Left(task) => self.begin(task, caller).await?,
        };
        Ok(Some(self.transfers.look(running, caller).await))
    }

    /// Ends the download of this id and waits for its end; what has arrived is kept. `None` if this process does not run such a download.
    pub async fn stop(&self, id: JobId, caller: &Caller<'_>) -> Option<Look> {
        self.transfers.stop(id, caller).await
    }

    /// Whether the id belongs to a download or an upload; both are recorded in the same folder. Reads the disk.
    #[must_use]
    pub fn is_transfer(&self, id: JobId) -> bool {
        self.transfers.is_noted(id)
    }

    /// Starts the download in the background.
    async fn begin(
        &self,
        task: Task,
        caller: &Caller<'_>,
    ) -> TransferResult<Running<DownloadReport>> {
        let (key, max_bytes) = (task.note.key.clone(), task.note.max_bytes);
        let connection = self.transfers.ready(&key.0, caller).await?;
        let (limits, save_dir) = (self.limits, self.save_dir.clone());
        let report = DownloadReport::new(&key.0);
        let running = self
            .transfers
            .begin(task, report, async move |meter, stop| {
                let pull = Pull {
                    connection,
                    limits,
                    lanes: Lanes::new(limits.pace),
                    meter,
                    max_bytes,
                    stop,
                };
                pull.download(&key.0, wanted_name(&key)?, &save_dir).await
            });
        Ok(running)
    }
}

/// Checks the paths of a call, and parses the local name.
fn wanted_name((remote, local): &Key) -> TransferResult<Option<Name>> {
    if remote.trim().is_empty() {
        return Err(TransferError::NoRemotePath);
    }
    local
        .as_deref()
        .map(|text| Name::parse(text.trim()))
        .transpose()
}

impl Pull {
    /// Downloads the file or folder at `remote`.
    async fn download(
        &self,
        remote: &str,
        wanted: Option<Name>,
        save_dir: &Path,
    ) -> TransferResult<()> {
        let stat = self.stat(remote, None).await?;
        let name = match wanted {
            Some(name) => name,
            None => Name::of_remote(last_part(&stat))?,
        };
        let root = save_dir.to_owned();
        let (target, root) = blocking(move || {
            let root =
                std::path::absolute(&root).map_err(|error| TransferError::disk(&root, error))?;
            Ok((name.prepare(&root)?, root))
        })
        .await?;
        let (path, digest, manifest) = match stat.kind {
            FileType::File => {
                self.check_size(remote, stat.size, None)?;
                self.meter
                    .change(|report| report.size_bytes = Some(stat.size));
                let algorithm = self.fastest(remote).await?;
                let present = self.present(&stat, &target, algorithm).await?;
                let verified = present.is_some();
                let placed = match present {
                    Some(placed) => placed,
                    None => self.file(stat, &target, algorithm).await?,
                };
                self.meter.change(|report| {
                    report.size_bytes = Some(placed.stat.size);
                    report.files = 1;
                    report.verified = verified;
                });
                (placed.path, Some(placed.digest), None)
            }
            FileType::Directory => {
                let placed = self.folder(&stat.path, &target, &root).await?;
                self.meter
                    .change(|report| report.size_bytes = Some(report.received_bytes));
                let manifest = placed.manifest.unwrap_or_else(|error| {
                    self.meter
                        .change(|report| report.manifest_error = Some(sentence(&error)));
                    None
                });
                (placed.path, None, manifest)
            }
            FileType::Link | FileType::Other => {
                return Err(TransferError::NotAFile { remote: stat.path });
            }
        };
        self.meter.change(|report| {
            report.status = Status::Complete;
            report.renamed = path != target && !report.verified;
            report.local_path = Some(path.to_string_lossy().into_owned());
            report.digests = digest.map(Into::into).unwrap_or_default();
            report.manifest = manifest.map(|path| path.to_string_lossy().into_owned());
        });
        Ok(())
    }
}

/// The file's own name, whichever slash its machine uses.
fn last_part(stat: &FileStat) -> &str {
    let parts = stat.name.rsplit(['/', '\\']);
    parts
        .into_iter()
        .find(|part| !part.is_empty())
        .unwrap_or_default()
}
