//! Downloads that outlive the calls that asked for them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::destination::Name;
use super::error::{TransferError, TransferResult};
use super::file::{Limits, Pull, blocking};
use super::report::{DownloadReport, Meter, Progress, State, Status};
use crate::runtime::Runtime;
use crate::runtime::connection::Connection;
use crate::wire::files::{FileStat, FileType};

/// How a call waits.
pub struct Watch<'a> {
    /// When the call has to answer; the download goes on without it.
    pub deadline: Instant,
    /// Ends the waiting and the download; what has come is kept.
    pub cancel: CancellationToken,
    pub progress: &'a (dyn Fn(Progress) + Send + Sync),
}

/// Every download of this process, into one folder. Dropping it ends them; what has come is kept.
#[derive(Debug)]
pub struct Downloads {
    connection: Arc<Connection>,
    save_dir: PathBuf,
    limits: Limits,
    running: Mutex<HashMap<Key, Running>>,
    stop: DropGuard,
}

/// What a call asks for; the same again means the same download.
type Key = (String, Option<String>);

#[derive(Debug, Clone)]
struct Running {
    began: Instant,
    state: watch::Receiver<State>,
    stop: CancellationToken,
}

impl Running {
    /// Something to wait for, or a result that nobody has seen yet and that is still there.
    fn is_of_use(&self) -> bool {
        let state = self.state.borrow();
        match &state.ended {
            None => !self.stop.is_cancelled() && self.state.has_changed().is_ok(),
            Some(Err(_)) => false,
            Some(Ok(())) => {
                let path = state.report.local_path.as_deref();
                path.is_some_and(|path| Path::new(path).exists())
            }
        }
    }
}

impl Downloads {
    /// Into `save_dir`, which is made when the first file comes.
    #[must_use]
    pub fn new(connection: Arc<Connection>, save_dir: PathBuf) -> Self {
        Self::with_limits(connection, save_dir, Limits::default())
    }

    #[must_use]
    pub fn with_limits(connection: Arc<Connection>, save_dir: PathBuf, limits: Limits) -> Self {
        Self {
            connection,
            save_dir,
            limits,
            running: Mutex::default(),
            stop: CancellationToken::new().drop_guard(),
        }
    }

    /// Downloads a file or folder, or goes on waiting for it when the same call is already under way. At the deadline the report says
    /// `running` and the download goes on; a result that came meanwhile is kept for the next such call.
    ///
    /// `local_filename` is a path under the folder for downloads; without one the remote name is used.
    ///
    /// # Errors
    /// [`TransferError`]; what has come is kept for another call, except after `Damaged`.
    pub async fn download(
        &self,
        remote_path: &str,
        local_filename: Option<&str>,
        watch: Watch<'_>,
    ) -> TransferResult<DownloadReport> {
        if remote_path.trim().is_empty() {
            return Err(TransferError::UnusableName {
                name: remote_path.to_owned(),
                why: "no remote path was given",
            });
        }
        let wanted = local_filename
            .map(|text| Name::parse(text.trim()))
            .transpose()?;
        let key = (remote_path.to_owned(), local_filename.map(str::to_owned));
        let running = match self.running(&key) {
            Some(running) => running,
            None => {
                let runtime = tokio::select! {
                    () = watch.cancel.cancelled() => return Err(TransferError::cancelled(remote_path)),
                    runtime = self.connection.runtime(watch.deadline) => runtime,
                };
                let runtime =
                    runtime.map_err(|error| TransferError::runtime(remote_path, error))?;
                self.begin(key.clone(), wanted, runtime)
            }
        };
        let state = follow(running.clone(), &watch).await;
        let since = running.began.elapsed();
        match state.ended {
            None => Ok(state.report.worded(since)),
            Some(result) => {
                self.forget(&key, &running);
                result.map(|()| state.report.worded(since))
            }
        }
    }

    fn running(&self, key: &Key) -> Option<Running> {
        let all = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(key).filter(|running| running.is_of_use()).cloned()
    }

    /// Starts the download in the background, unless the same one was started meanwhile.
    fn begin(&self, key: Key, wanted: Option<Name>, runtime: Arc<dyn Runtime>) -> Running {
        let mut all = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = all.get(&key).filter(|running| running.is_of_use()) {
            return running.clone();
        }
        let (meter, state) = Meter::new(&key.0);
        let stop = self.stop.token().child_token();
        let pull = Pull {
            runtime,
            limits: self.limits,
            meter: meter.clone(),
            stop: stop.clone(),
        };
        let (remote, save_dir) = (key.0.clone(), self.save_dir.clone());
        let (connection, asked) = (self.connection.clone(), pull.runtime.clone());
        let began = Instant::now();
        tokio::spawn(async move {
            let result = pull.any(&remote, wanted, &save_dir).await;
            if let Err(error) = &result {
                tracing::info!(remote, code = error.code(), "a download ended: {error}");
                if let TransferError::Runtime { source, .. } = error {
                    // For the next call: this one's runtime is the one that it began with.
                    connection.heal_after(&*asked, source);
                }
            }
            meter.change(|report| report.elapsed_sec = began.elapsed().as_secs_f64());
            meter.end(result);
        });
        let running = Running { began, state, stop };
        all.insert(key, running.clone());
        running
    }

    /// Its result was handed out: the same call again means to download again.
    fn forget(&self, key: &Key, seen: &Running) {
        let mut all = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if all
            .get(key)
            .is_some_and(|running| running.state.same_channel(&seen.state))
        {
            all.remove(key);
        }
    }
}

/// Waits until the download ends or the deadline comes.
async fn follow(mut running: Running, watch: &Watch<'_>) -> State {
    loop {
        let state = running.state.borrow_and_update().clone();
        if state.ended.is_some() {
            return state;
        }
        (watch.progress)(state.report.progress());
        let cancelled = async {
            watch.cancel.cancelled().await;
            running.stop.cancel();
            // It closes its files, so that the next call finds them free.
            std::future::pending().await
        };
        let changed = async {
            tokio::select! {
                changed = running.state.changed() => changed,
                never = cancelled => never,
            }
        };
        match timeout_at(watch.deadline, changed).await {
            Ok(Ok(())) => {}
            // Its task is gone without a word: the program is ending, or there was a panic, which is in the log.
            Ok(Err(_)) => {
                let ended = Some(Err(TransferError::cancelled(&state.report.remote_path)));
                return State { ended, ..state };
            }
            Err(_) => return state,
        }
    }
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
        let target = blocking(move || {
            let root =
                std::path::absolute(&root).map_err(|error| TransferError::disk(&root, error))?;
            name.prepare(&root)
        })
        .await?;
        let (path, sha256) = match stat.kind {
            FileType::File => {
                self.meter
                    .change(|report| report.size_bytes = Some(stat.size));
                let placed = self.file(stat, &target).await?;
                self.meter.change(|report| {
                    report.size_bytes = Some(placed.stat.size);
                    report.files = 1;
                });
                (placed.path, Some(placed.sha256))
            }
            FileType::Directory => {
                let path = self.folder(&stat.path, &target).await?;
                self.meter
                    .change(|report| report.size_bytes = Some(report.received_bytes));
                (path, None)
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
