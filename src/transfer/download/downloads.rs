//! Downloads that outlive the calls that asked for them.

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

/// Every download of this process, into one folder. Dropping it ends them; what has come is kept.
#[derive(Debug)]
pub struct Downloads {
    transfers: Transfers<DownloadReport>,
    save_dir: PathBuf,
    limits: Limits,
}

/// What is to be downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// A file or folder.
    pub remote_path: String,
    /// A path under the folder for downloads; without one the remote name is used.
    pub local_filename: Option<String>,
    /// What is larger is refused.
    pub max_bytes: u64,
}

impl Downloads {
    /// Into `save_dir`, which is made when the first file comes; `notes_dir` is for what other processes must know of.
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

    /// Downloads a file or folder, or goes on waiting for it when the same call is already under way. At the deadline the report says
    /// `running` and the download goes on; a result that came meanwhile is kept for the next such call.
    ///
    /// # Errors
    /// [`TransferError`]; what has come is kept for another call, except after `Damaged`.
    pub async fn download(
        &self,
        wish: &Wish,
        caller: &Caller<'_>,
    ) -> TransferResult<DownloadReport> {
        let key = (wish.remote_path.clone(), wish.local_filename.clone());
        wanted_name(&key)?;
        loop {
            let running = match self.transfers.find(&key) {
                Some(running) => running,
                None => {
                    let task = self.transfers.task(key.clone(), wish.max_bytes).await;
                    self.begin(task, caller).await?
                }
            };
            if let Some(answer) = self.transfers.wait(running, caller).await {
                return answer;
            }
        }
    }

    /// Waits for the download of this id, going on with one that an earlier process left. `None` when there was never such a download.
    ///
    /// # Errors
    /// Those of reaching the runtime, when it has to be resumed.
    pub async fn look(&self, id: JobId, caller: &Caller<'_>) -> TransferResult<Option<Look>> {
        let running = match self.transfers.known(id).await {
            Known::Not => return Ok(None),
            Known::Told(look) => return Ok(Some(look)),
            Known::Here(running) => running,
            Known::Left(task) => self.begin(task, caller).await?,
        };
        Ok(Some(self.transfers.tell(running, caller).await))
    }

    /// Whether the id is one of a download or an upload, which are noted side by side. Reads the disk.
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
                pull.any(&key.0, wanted_name(&key)?, &save_dir).await
            });
        Ok(running)
    }
}

/// What the call said of the name here.
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
    /// Downloads whatever is at `remote`.
    async fn any(&self, remote: &str, wanted: Option<Name>, save_dir: &Path) -> TransferResult<()> {
        let stat = self.stat(remote, false).await?;
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
        let (path, sha256, manifest) = match stat.kind {
            FileType::File => {
                self.check_size(remote, stat.size, None)?;
                self.meter
                    .change(|report| report.size_bytes = Some(stat.size));
                let placed = self.file(stat, &target).await?;
                self.meter.change(|report| {
                    report.size_bytes = Some(placed.stat.size);
                    report.files = 1;
                });
                (placed.path, Some(placed.sha256), None)
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
            report.renamed = path != target;
            report.local_path = Some(path.to_string_lossy().into_owned());
            report.sha256 = sha256;
            report.manifest = manifest.map(|path| path.to_string_lossy().into_owned());
        });
        Ok(())
    }
}

/// The file's own name, on a machine with any kind of slash.
fn last_part(stat: &FileStat) -> &str {
    let parts = stat.name.rsplit(['/', '\\']);
    parts
        .into_iter()
        .find(|part| !part.is_empty())
        .unwrap_or_default()
}
