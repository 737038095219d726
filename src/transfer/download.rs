//! Downloads that outlive the calls that asked for them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::{TransferError, TransferResult};
use super::file::{Limits, Pull, blocking};
use super::lanes::Lanes;
use super::look::Look;
use super::name::Name;
use super::notes::{Direction, Held, Note, Notes};
use super::report::{DownloadReport, Status};
use super::running::{Key, Meter, Registry, Report, Running, State, Watch};
use crate::base::ids::JobId;
use crate::runtime::Runtime;
use crate::runtime::connection::Connection;
use crate::wire::files::{FileStat, FileType};

/// More than this is fetched only when the call says so. Bytes.
pub const MAX_BYTES: u64 = 2 << 30;

/// Every download of this process, into one folder. Dropping it ends them; what has come is kept.
#[derive(Debug)]
pub struct Downloads {
    connection: Arc<Connection>,
    save_dir: PathBuf,
    limits: Limits,
    registry: Registry<DownloadReport>,
    notes: Notes,
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
            connection,
            save_dir,
            limits,
            registry: Registry::new(),
            notes: Notes::new(notes_dir),
        }
    }

    /// Downloads a file or folder, or goes on waiting for it when the same call is already under way. At the deadline the report says
    /// `running` and the download goes on; a result that came meanwhile is kept for the next such call.
    ///
    /// # Errors
    /// [`TransferError`]; what has come is kept for another call, except after `Damaged`.
    pub async fn download(&self, wish: &Wish, watch: Watch<'_>) -> TransferResult<DownloadReport> {
        let key = (wish.remote_path.clone(), wish.local_filename.clone());
        wanted_name(&key)?;
        let running = match self.registry.find(&key) {
            Some(running) => running,
            None => {
                let (notes, asked) = (self.notes.clone(), key.clone());
                let left = blocking(move || notes.left_behind(Direction::Download, &asked)).await;
                self.begin(key, wish.max_bytes, left, &watch).await?
            }
        };
        let (id, began) = (running.id, running.began);
        let mut state = running.follow(&watch).await;
        if state.ended.is_some() {
            self.registry.forget(id);
        }
        state.report.ngrok_month_bytes = self.connection.ngrok_month_bytes();
        let report = state.report.worded(began.elapsed());
        state.ended.unwrap_or(Ok(())).map(|()| report)
    }

    /// Waits for the download of this id, going on with one that an earlier process left. `None` when there was never such a download.
    ///
    /// # Errors
    /// Those of reaching the runtime, when it has to be gone on with.
    pub async fn look(&self, id: JobId, watch: &Watch<'_>) -> TransferResult<Option<Look>> {
        if let Some(running) = self.registry.get(id) {
            return Ok(Some(self.tell(running, watch).await));
        }
        let notes = self.notes.clone();
        let found = blocking(move || {
            let note = notes.get(id)?;
            let held = note.outcome.is_none().then(|| notes.hold(id));
            Some((note, held.flatten()))
        });
        let Some((note, held)) = found.await else {
            return Ok(None);
        };
        if note.direction != Direction::Download {
            return Ok(None);
        }
        Ok(Some(match (note.outcome, held) {
            (Some(outcome), _) => Look::told(outcome),
            (None, None) => Look::elsewhere(id),
            (None, Some(held)) => {
                let left = Some((id, held));
                let running = self.begin(note.key, note.max_bytes, left, watch).await?;
                self.tell(running, watch).await
            }
        }))
    }

    async fn tell(&self, running: Running<DownloadReport>, watch: &Watch<'_>) -> Look {
        let (id, began) = (running.id, running.began);
        let mut state = running.follow(watch).await;
        if state.ended.is_some() {
            self.registry.forget(id);
        }
        state.report.ngrok_month_bytes = self.connection.ngrok_month_bytes();
        state.report = state.report.worded(began.elapsed());
        Look::of(id, &state)
    }

    /// Starts the download in the background, as the one that another process left where there is one.
    async fn begin(
        &self,
        key: Key,
        max_bytes: u64,
        left: Option<(JobId, Held)>,
        watch: &Watch<'_>,
    ) -> TransferResult<Running<DownloadReport>> {
        let remote = &key.0;
        let runtime = tokio::select! {
            () = watch.cancel.cancelled() => return Err(TransferError::cancelled(remote)),
            runtime = self.connection.runtime(watch.deadline) => runtime,
        };
        let runtime = runtime.map_err(|error| TransferError::runtime(remote, error))?;
        let (id, held) = match left {
            Some((id, held)) => (id, Some(held)),
            None => (JobId::fresh(), None),
        };
        let report = DownloadReport::new(remote);
        let note = Note::begun(id, Direction::Download, key.clone(), max_bytes);
        let begin = |meter, stop, leaving| self.work(note, held, runtime, meter, stop, leaving);
        Ok(self.registry.begin(key, id, report, begin))
    }

    fn work(
        &self,
        mut note: Note,
        held: Option<Held>,
        runtime: Arc<dyn Runtime>,
        meter: Meter<DownloadReport>,
        stop: CancellationToken,
        leaving: CancellationToken,
    ) -> impl Future<Output = TransferResult<()>> + Send + 'static {
        let pull = Pull {
            runtime: runtime.clone(),
            limits: self.limits,
            lanes: Lanes::new(self.limits.pace),
            meter: meter.clone(),
            max_bytes: note.max_bytes,
            stop,
        };
        let (save_dir, connection) = (self.save_dir.clone(), self.connection.clone());
        let notes = self.notes.clone();
        async move {
            let began = Instant::now();
            let (writing, begun) = (notes.clone(), note.clone());
            let held = blocking(move || {
                writing.write(&begun);
                held.or_else(|| writing.hold(begun.job_id))
            })
            .await;
            let remote = note.key.0.clone();
            let result = match wanted_name(&note.key) {
                Ok(wanted) => pull.any(&remote, wanted, &save_dir).await,
                Err(error) => Err(error),
            };
            if let Err(error) = &result {
                tracing::info!(remote, code = error.code(), "a download ended: {error}");
                if let TransferError::Runtime { source, .. } = error {
                    // For the next call: this one's runtime is the one that it began with.
                    connection.heal_after(&*runtime, source);
                }
            }
            if !leaving.is_cancelled() {
                let mut report = meter.report();
                report.took(began.elapsed());
                let report = report.worded(began.elapsed());
                let ended = Some(result.clone());
                note.outcome = Some(Look::of(note.job_id, &State { report, ended }).facts);
                blocking(move || notes.write(&note)).await;
            }
            drop(held);
            result
        }
    }
}

/// What the call said of the name here.
fn wanted_name((remote, local): &Key) -> TransferResult<Option<Name>> {
    if remote.trim().is_empty() {
        return Err(TransferError::UnusableName {
            name: remote.to_owned(),
            why: "no remote path was given",
        });
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
            None => Name::parse(last_part(&stat))?,
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
                (placed.path, None, placed.manifest)
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
