//! What a run of a notebook is to do, and what became of each cell, as it stands on disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::RunError;
use crate::base::hex::hex;
use crate::base::ids::JobId;
use crate::document::Target;
use crate::edge::lock::FileLock;
use crate::edge::store::{read_if_there, remove_if_there, write_atomic, write_quickly};

const VERSION: u64 = 1;
/// Records that were not changed for longer are removed; no executor keeps its jobs this long.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Bytes of the digest that names a record's files.
const KEY_BYTES: usize = 12;

/// What happens to the cells after one that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// None of them runs.
    Stop,
    /// Those that use what it defines do not run.
    #[default]
    SkipDependents,
    /// All of them run.
    Continue,
}

/// How cells are run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Seconds that each attempt may take.
    pub timeout_sec: u64,
    /// Further attempts after an error that may pass.
    pub max_retries: u32,
    /// A regular expression for further errors that may pass.
    pub retry_on: Option<String>,
    pub on_error: OnError,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Running,
    Succeeded,
    Failed,
    Interrupted,
}

/// How a cell stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CellState {
    NotRun,
    Running,
    Succeeded,
    Failed,
    TimedOut,
    Interrupted,
    Skipped,
    Lost,
}

/// One code cell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// Its place in the notebook.
    pub index: usize,
    pub cell_id: Option<String>,
    /// Its place at the start, for a cell without an id of its own.
    pub(super) cell_index: Option<usize>,
    /// The version that runs, or has run.
    pub(super) version: String,
    pub(super) tags: Vec<String>,
    pub state: CellState,
    /// The cell because of which it was skipped.
    pub because: Option<usize>,
    pub attempts: u32,
    /// The job of the last attempt.
    pub job_id: Option<JobId>,
    pub seconds: Option<f64>,
    /// Why it failed, as the code of an error.
    #[serde(default)]
    pub code: Option<String>,
    /// Its error, or the last line that it printed.
    pub line: String,
    /// The executor's policy has kept it from running.
    #[serde(default)]
    pub is_by_policy: bool,
    /// Its outputs are in the notebook, or cannot be.
    pub(super) is_written: bool,
}

/// A job that was sent, or is about to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Flight {
    /// The place of its cell among the rows.
    pub(super) row: usize,
    pub(super) job_id: JobId,
    /// The executor that it was for.
    pub(super) boot_id: Option<String>,
    /// The executor has had it.
    pub(super) is_known: bool,
}

/// One run of a notebook.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    version: u64,
    pub id: JobId,
    pub(super) place: String,
    /// The notebook's absolute path on the runtime.
    pub path: String,
    /// The name of the user's file, where the notebook is a copy of it for this run alone.
    #[serde(default)]
    pub copy_of: Option<String>,
    pub session: String,
    /// The session ends with the run.
    #[serde(default)]
    pub(super) ends_session: bool,
    pub(super) options: Options,
    /// The kernel of the cells before: the others need its variables.
    #[serde(default)]
    pub(super) kernel_id: Option<String>,
    /// The session is restarted before the first cell.
    pub(super) is_to_restart: bool,
    pub state: State,
    pub rows: Vec<Row>,
    pub(super) flight: Option<Flight>,
    /// The cell that took the session's variables with it.
    pub lost_at: Option<usize>,
    /// The copy in the user's folder.
    pub home: Option<PathBuf>,
    /// What befell the run itself.
    pub error: Option<String>,
    #[serde(default)]
    pub error_code: Option<String>,
    pub notes: Vec<String>,
}

impl Record {
    pub(super) fn new(
        place: String,
        path: String,
        session: String,
        options: Options,
        rows: Vec<Row>,
    ) -> Self {
        Self {
            version: VERSION,
            id: JobId::fresh(),
            place,
            path,
            copy_of: None,
            session,
            ends_session: false,
            options,
            is_to_restart: false,
            state: State::Running,
            rows,
            flight: None,
            kernel_id: None,
            lost_at: None,
            home: None,
            error: None,
            error_code: None,
            notes: Vec::new(),
        }
    }

    /// The name of the finished notebook in the user's folder, unless there is one.
    pub(super) fn home_name(&self) -> String {
        match &self.copy_of {
            Some(file) => (Path::new(file).with_extension("run.ipynb"))
                .to_string_lossy()
                .into_owned(),
            None => (self.path.rsplit(['/', '\\']).next())
                .unwrap_or(&self.path)
                .to_owned(),
        }
    }

    /// Whether cells were not run.
    pub(super) fn has_left_out(&self) -> bool {
        let is_left = |row: &Row| row.state == CellState::NotRun;
        self.rows.iter().any(is_left)
    }

    /// Whether a cell failed, which ends the run where it is to stop at that.
    pub(super) fn has_failed(&self) -> bool {
        let failed = |row: &Row| {
            matches!(
                row.state,
                CellState::Failed | CellState::TimedOut | CellState::Lost
            )
        };
        self.rows.iter().any(failed)
    }
}

impl Row {
    pub(super) fn target(&self) -> Target {
        Target {
            id: self.cell_id.clone(),
            index: self.cell_index,
        }
    }

    pub(super) fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own == tag)
    }
}

/// The files of one notebook's last run.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    record: PathBuf,
}

impl Shelf {
    pub(super) fn of(folder: &Path, place: &str, path: &str) -> Self {
        let digest = Sha256::digest(format!("{place}\n{path}"));
        let name = hex(&digest[..KEY_BYTES]);
        Self {
            record: folder.join(name).with_extension("json"),
        }
    }

    /// All that there are.
    pub(super) fn all(folder: &Path) -> Vec<Self> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let records = paths.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
        records.map(|record| Self { record }).collect()
    }

    pub(super) fn key(&self) -> &Path {
        &self.record
    }

    /// The record; none if there is none that this version reads.
    pub(super) fn load(&self) -> Option<Record> {
        let bytes = read_if_there(&self.record).ok()??;
        let record = serde_json::from_slice::<Record>(&bytes).ok()?;
        (record.version == VERSION).then_some(record)
    }

    pub(super) fn save(&self, record: &Record) -> Result<(), RunError> {
        serde_json::to_vec(record)
            .map_err(io::Error::from)
            .and_then(|text| write_atomic(&self.record, &text))
            .map_err(|source| RunError::Disk {
                path: self.record.clone(),
                source,
            })
    }

    /// Makes this process the one that works on the run; none if another one does.
    pub(super) fn lock(&self) -> Result<Option<FileLock>, RunError> {
        let path = self.record.with_extension("lock");
        FileLock::try_take(&path).map_err(|source| RunError::Disk { path, source })
    }

    /// Removes a record that was not changed for long.
    pub(super) fn forget_old(&self) {
        let changed = self.record.metadata().and_then(|found| found.modified());
        let age = changed.ok().and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age > MAX_AGE) {
            for ending in ["json", "lock", "stop"] {
                let _ = remove_if_there(&self.record.with_extension(ending));
            }
        }
    }

    /// Asks whichever process works on the run `id` to end it.
    pub(super) fn ask_stop(&self, id: JobId) {
        if let Err(error) = write_quickly(&self.stop_mark(), id.to_string().as_bytes()) {
            tracing::warn!(%error, "could not mark a run to be stopped");
        }
    }

    pub(super) fn is_stop_asked(&self, id: JobId) -> bool {
        let mark = read_if_there(&self.stop_mark()).ok().flatten();
        mark.is_some_and(|mark| mark == id.to_string().as_bytes())
    }

    pub(super) fn forget_stop(&self) {
        let _ = remove_if_there(&self.stop_mark());
    }

    fn stop_mark(&self) -> PathBuf {
        self.record.with_extension("stop")
    }
}
