//! The record of a named run of code, as it is on disk beside the run's files.

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::checkpoint::now;
use super::error::CheckpointError;
use super::folder::Folder;
use super::name::Name;
use crate::base::advice::Advice;
use crate::base::ids::JobId;
use crate::edge::store;
use crate::jobs::body::text_of;
use crate::jobs::view::View;
use crate::wire::job::Job;
use crate::wire::state::JobState;

const VERSION: u64 = 1;

/// When a run was sent, started and finished (RFC 3339), and how long it took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    pub created_at: Option<String>,
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
    /// While it runs, the time so far.
    pub execution_time_sec: Option<f64>,
}

/// The last known state of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeptRun {
    version: u64,
    pub(crate) name: Name,
    pub(crate) job_id: String,
    #[serde(default)]
    pub(crate) session: String,
    pub(crate) saved_at: String,
    #[serde(default)]
    pub(crate) timing: Timing,
    /// Head and tail of the output.
    pub(crate) text: String,
    /// The facts that an answer about it ended with; null before the first one.
    pub(crate) facts: Value,
    /// Pictures and other files that were kept.
    pub(crate) files: Vec<String>,
    /// Notes on the record for its reader.
    #[serde(default)]
    pub(crate) notes: Vec<Advice>,
    /// It has ended and everything of it is here: nothing has to be fetched again.
    #[serde(default)]
    pub(crate) is_whole: bool,
    /// The path of the record.
    #[serde(skip)]
    path: PathBuf,
}

impl KeptRun {
    /// A record of code that is about to be sent.
    pub(crate) fn new(folder: &Folder, name: &Name, job: JobId, session: &str) -> Self {
        Self {
            version: VERSION,
            name: name.clone(),
            job_id: job.to_string(),
            session: session.to_owned(),
            saved_at: now(),
            timing: Timing {
                created_at: Some(now()),
                ..Timing::default()
            },
            text: String::new(),
            facts: Value::Null,
            files: Vec::new(),
            notes: Vec::new(),
            is_whole: false,
            path: folder.record(job),
        }
    }

    /// Updates the record from `view`. A view without the job removes nothing that was known before.
    pub(crate) fn renew(&mut self, view: &View) {
        self.saved_at = now();
        self.notes.clear();
        if view.job.is_some() || !self.was_heard_of() {
            self.text = text_of(&view.body);
            self.facts = serde_json::to_value(&view.summary).unwrap_or_default();
        }
        if let Some(job) = &view.job {
            self.session.clone_from(&job.session);
            self.timing = Timing::of(job);
        }
    }

    /// Closes the record of a run whose machine is gone or does not know it any more: nothing more can be fetched.
    pub(crate) fn give_up(&mut self, why: &str) {
        self.saved_at = now();
        self.is_whole = true;
        if self.has_ended() {
            self.notes
                .push(format!("the rest of its output is lost: {why}").into());
            return;
        }
        self.notes.push(
            format!(
                "this is the output that was read while the code ran; how it ended is unknown: {why}"
            )
            .into(),
        );
        if !self.facts.is_object() {
            self.facts = json!({"job_id": self.job_id});
        }
        self.facts["success"] = json!(false);
        self.facts["state"] = json!(JobState::Lost.as_str());
    }

    pub(crate) fn job(&self) -> Option<JobId> {
        self.job_id.parse().ok()
    }

    /// The last known state; `unknown` if there is none.
    pub(crate) fn state(&self) -> &str {
        self.facts["state"].as_str().unwrap_or("unknown")
    }

    pub(crate) fn was_heard_of(&self) -> bool {
        self.facts["state"].is_string()
    }

    pub(crate) fn has_ended(&self) -> bool {
        let state = JobState::deserialize(&self.facts["state"]);
        state.is_ok_and(JobState::is_final)
    }

    /// False for a run that was lost: it may have continued, and an earlier result may be worth more.
    pub(crate) fn end_is_known(&self) -> bool {
        self.has_ended() && self.state() != JobState::Lost.as_str()
    }

    /// The file with the output, as much of it as is here.
    pub(crate) fn output(&self) -> PathBuf {
        self.path.with_file_name("output.log")
    }

    /// The file with the code as it was sent.
    pub(crate) fn code(&self) -> PathBuf {
        self.path.with_file_name("code.py")
    }

    /// Where a picture or another file of the run is kept.
    pub(crate) fn file(&self, name: &OsStr) -> PathBuf {
        self.path.with_file_name(name)
    }

    pub(crate) fn is_there(&self) -> bool {
        self.path.exists()
    }

    pub(crate) fn save(&self) -> Result<(), CheckpointError> {
        serde_json::to_vec_pretty(self)
            .map_err(io::Error::from)
            .and_then(|bytes| store::write_atomic(&self.path, &bytes))
            .map_err(CheckpointError::disk(&self.path))
    }

    /// Loads the record at `path`; none if it no longer exists.
    pub(crate) fn load(path: PathBuf) -> Result<Option<Self>, CheckpointError> {
        let Some(bytes) = store::read_if_there(&path).map_err(CheckpointError::disk(&path))? else {
            return Ok(None);
        };
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(run) if run.version == VERSION => Ok(Some(Self { path, ..run })),
            Ok(run) => Err(CheckpointError::OtherVersion {
                path,
                version: run.version,
            }),
            Err(error) => Err(CheckpointError::CorruptResult {
                path,
                detail: error.to_string(),
            }),
        }
    }
}

impl Timing {
    fn of(job: &Job) -> Self {
        Self {
            created_at: Some(job.created_at.clone()),
            started_at: job.started_at.clone(),
            finished_at: job.finished_at.clone(),
            execution_time_sec: job.execution_time_sec,
        }
    }
}

/// The newest run under a name, and the newest result before it as long as its own end is not known.
pub(crate) struct Runs {
    pub(crate) newest: KeptRun,
    pub(crate) previous: Option<KeptRun>,
}

impl Runs {
    pub(crate) fn load(folder: &Folder) -> Result<Option<Self>, CheckpointError> {
        let mut records = folder.records().into_iter();
        let newest = loop {
            let Some(path) = records.next() else {
                return Ok(None);
            };
            if let Some(run) = KeptRun::load(path)? {
                break run;
            }
        };
        // A record that cannot be read hides none of the others.
        let older = records.filter_map(|path| KeptRun::load(path).ok().flatten());
        let mut ended: Vec<_> = older.filter(KeptRun::has_ended).collect();
        let result = ended.iter().position(KeptRun::end_is_known).unwrap_or(0);
        let previous = (!newest.end_is_known() && !ended.is_empty()).then(|| ended.remove(result));
        Ok(Some(Self { newest, previous }))
    }

    /// Removes the runs before the newest one whose end is known, except those that may still be running.
    pub(crate) fn tidy(folder: &Folder) -> io::Result<()> {
        let mut has_result = false;
        for id in folder.run_ids() {
            let (has_ended, end_is_known) = match KeptRun::load(folder.record(id)) {
                Ok(Some(run)) => (run.has_ended(), run.end_is_known()),
                // Not recorded yet, or of no use.
                Ok(None)
                | Err(
                    CheckpointError::CorruptResult { .. } | CheckpointError::OtherVersion { .. },
                ) => (true, false),
                Err(_) => (false, false),
            };
            if has_result && has_ended {
                folder.remove_run(id)?;
            }
            has_result |= end_is_known;
        }
        Ok(())
    }
}
