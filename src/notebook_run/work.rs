//! The work on one run: a step at a time, each of which may be the first after a crash.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::attempt::Attempt;
use super::depends::{Fate, Link, because, needs};
use super::error::RunError;
use super::record::{CellState, Flight, OnError, Row, State};
use super::running::Running;
use crate::base::causes::sentence;
use crate::base::fault::Fault as _;
use crate::base::ids::JobId;
use crate::connection::Connection;
use crate::document::{Claim, Documents, Notebook, Written};
use crate::edge::lock::FileLock;
use crate::jobs::Jobs;
use crate::runtime::{Code, RuntimeError, Sessions};
use crate::wire::job::CellNames;

/// Limit of one step's requests.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two tries while the runtime cannot be reached.
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Tries of writing a cell's outputs, and of fetching the finished notebook.
pub(super) const MAX_TRIES: u32 = 5;

/// The tag that has other runners leave a cell out.
const SKIPPED: &str = "skip-execution";
const FORCED: &str = "force";

pub(super) struct Work {
    pub(super) connection: Arc<Connection>,
    pub(super) jobs: Arc<Jobs>,
    pub(super) documents: Arc<Documents>,
    pub(super) save_dir: PathBuf,
    pub(super) running: Arc<Running>,
    pub(super) attempt: Attempt,
    /// By the versions of cells.
    names: HashMap<String, CellNames>,
    pause: Duration,
    pub(super) tries: u32,
}

impl Work {
    pub(super) fn new(
        connection: Arc<Connection>,
        jobs: Arc<Jobs>,
        documents: Arc<Documents>,
        save_dir: PathBuf,
        running: Arc<Running>,
    ) -> Self {
        Self {
            connection,
            jobs,
            documents,
            save_dir,
            running,
            attempt: Attempt::default(),
            names: HashMap::new(),
            pause: MIN_PAUSE,
            tries: 0,
        }
    }

    /// Works until the run has ended; `lock` shows other processes that this one does, `claim` keeps other runs of cells away.
    pub(super) async fn run(mut self, lock: FileLock, claim: Claim) {
        loop {
            match self.step().await {
                Ok(goes_on) => {
                    self.running.note_trouble(None);
                    self.pause = MIN_PAUSE;
                    if !goes_on {
                        break;
                    }
                }
                Err(error) if error.is_passing() => self.wait(&error).await,
                Err(error) => {
                    let (said, code) = (sentence(&error), error.code().to_owned());
                    tracing::info!(error = said, "a run of a notebook ends");
                    let note = self.end_session(Instant::now() + STEP_TIMEOUT).await;
                    let ended = self.running.change(|record| {
                        record.error = Some(said);
                        record.error_code = Some(code);
                        record.notes.extend(note);
                        record.state = State::Failed;
                    });
                    if let Err(error) = ended {
                        self.running.note_trouble(Some(&error));
                    }
                    break;
                }
            }
        }
        self.running.shelf.forget_stop();
        drop((lock, claim));
        self.running.end();
    }

    /// Until a call comes, or a while, longer each time.
    async fn wait(&mut self, error: &RunError) {
        tracing::debug!(%error, "a run of a notebook waits");
        self.running.note_trouble(Some(error));
        tokio::select! {
            () = self.running.attended.notified() => {}
            () = sleep(self.pause) => {}
        }
        self.pause = (self.pause * 2).min(MAX_PAUSE);
    }

    /// Does what is next; false if the run has ended.
    async fn step(&mut self) -> Result<bool, RunError> {
        let record = self.running.record();
        if record.state != State::Running {
            return Ok(false);
        }
        let deadline = Instant::now() + STEP_TIMEOUT;
        self.connection.runtime(deadline).await?;
        // Another machine has neither the notebook nor the variables; that of the run may be connected again.
        let now = self.jobs.place();
        if now != record.place {
            let place = record.place;
            return Err(RuntimeError::Elsewhere { place, now }.into());
        }
        if record.is_to_restart {
            match self
                .connection
                .until(deadline)
                .restart_session(&record.session)
                .await
            {
                Ok(_) => {}
                // There is nothing to restart.
                Err(RuntimeError::UnknownSession { .. }) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
            self.running.change(|record| record.is_to_restart = false)?;
        }
        if let Some(flight) = record.flight {
            self.follow(flight, deadline).await?;
            return Ok(true);
        }
        let is_unwritten =
            |row: &Row| row.job_id.is_some() && !row.is_written && is_final(row.state);
        if let Some(at) = record.rows.iter().position(is_unwritten) {
            self.write(at, &record.rows[at], deadline).await?;
            return Ok(true);
        }
        let has_interrupted = record
            .rows
            .iter()
            .any(|row| row.state == CellState::Interrupted);
        if has_interrupted || self.running.is_stop_asked() {
            return self.finish(State::Interrupted, deadline).await;
        }
        let options = &record.options;
        let is_stopped = options.on_error != OnError::Continue
            && (record.lost_at.is_some()
                || (options.on_error == OnError::Stop && record.has_failed()));
        // A cell that is to run again is in the state of one that runs.
        let is_open = |row: &Row| matches!(row.state, CellState::NotRun | CellState::Running);
        match record.rows.iter().position(is_open) {
            Some(at) if !is_stopped || record.rows[at].state == CellState::Running => {
                self.next(at, deadline).await?;
                Ok(true)
            }
            _ if record.has_failed() || (is_stopped && record.has_left_out()) => {
                self.finish(State::Failed, deadline).await
            }
            _ => self.finish(State::Succeeded, deadline).await,
        }
    }

    /// Sends a cell, or finds that it cannot run.
    async fn next(&mut self, at: usize, deadline: Instant) -> Result<(), RunError> {
        let record = self.running.record();
        let stored = self.documents.runnable(&record.path, deadline).await?;
        let notebook = &stored.notebook;
        let row = &record.rows[at];
        let Ok(index) = notebook.find(&row.target(), None) else {
            return self.skip(at, None, "the cell is no longer in the notebook");
        };
        let cell = &notebook.cells()[index];
        if !cell.is_code() {
            return self.skip(at, None, "the cell is no longer a code cell");
        }
        if row.has_tag(SKIPPED) {
            return self.skip(at, None, "tagged skip-execution");
        }
        if record.options.on_error == OnError::SkipDependents
            && let Some(root) = self.root(at, &record.rows, notebook, deadline).await?
        {
            return self.skip(at, Some(root), "");
        }
        let version = cell.version();
        let flight = Flight {
            row: at,
            job_id: JobId::fresh(),
            boot_id: self.connection.boot_id(),
            is_known: false,
        };
        self.attempt = Attempt::new(cell.source.clone());
        self.tries = 0;
        self.running.change(|record| {
            let row = &mut record.rows[at];
            if row.version != version {
                record.notes.push(format!(
                    "the cell at index {index} was edited after the run began: it ran as it is now"
                ));
                row.version = version;
            }
            row.index = index;
            row.state = CellState::Running;
            row.attempts += 1;
            row.job_id = Some(flight.job_id);
            record.flight = Some(flight);
        })
    }

    fn skip(&self, at: usize, because: Option<usize>, why: &str) -> Result<(), RunError> {
        self.running.change(|record| {
            let row = &mut record.rows[at];
            row.state = CellState::Skipped;
            row.because = because;
            row.line = why.to_owned();
        })
    }

    /// The index of the cell whose failure keeps this one from running.
    async fn root(
        &mut self,
        at: usize,
        rows: &[Row],
        notebook: &Notebook,
        deadline: Instant,
    ) -> Result<Option<usize>, RunError> {
        if !rows[..at].iter().any(|row| failed(row).is_some()) {
            return Ok(None);
        }
        // What has run was of its version; what has not is taken as it is now.
        let current = |row: &Row| {
            let index = notebook.find(&row.target(), None).ok()?;
            let cell = &notebook.cells()[index];
            Some((cell.version(), cell.source.clone()))
        };
        let cells: Vec<_> = rows[..=at].iter().map(current).collect();
        let mut new: HashSet<(String, String)> = cells.iter().flatten().cloned().collect();
        new.retain(|(version, _)| !self.names.contains_key(version));
        let (versions, sources): (Vec<_>, Vec<_>) = new.into_iter().unzip();
        if !sources.is_empty() {
            let names = self.connection.until(deadline).names(&sources).await?;
            self.names.extend(versions.into_iter().zip(names));
        }
        let unknown = CellNames {
            defines: Vec::new(),
            uses: Vec::new(),
            opaque: true,
        };
        let links = rows[..=at].iter().zip(&cells).enumerate();
        let links = links.map(|(number, (row, cell))| {
            let version = cell.as_ref().map(|(version, _)| version);
            let names = version.and_then(|version| self.names.get(version));
            let named: Vec<&str> = needs(&row.tags).collect();
            let is_needed = |at: &usize| {
                let other = &rows[*at];
                let is_meant =
                    |name: &&str| other.cell_id.as_deref() == Some(*name) || other.has_tag(name);
                named.iter().any(is_meant)
            };
            Link {
                names: names.unwrap_or(&unknown),
                needs: (0..number).filter(is_needed).collect(),
                is_forced: row.has_tag(FORCED),
                fate: match failed(row) {
                    Some(root) => Fate::Failed(root),
                    None if row.state == CellState::Succeeded => Fate::Done,
                    None => Fate::Unknown,
                },
            }
        });
        Ok(because(&links.collect::<Vec<_>>(), at))
    }

    /// Writes a cell's outputs into the notebook.
    async fn write(&mut self, at: usize, row: &Row, deadline: Instant) -> Result<(), RunError> {
        let Some(job) = row.job_id else { return Ok(()) };
        let path = self.running.record().path;
        let written = self
            .documents
            .write_job(&path, row.target(), &row.version, job, deadline)
            .await;
        self.tries += 1;
        let note = match written {
            Ok(Some(Written::Yes(_) | Written::Later | Written::Unrun)) => None,
            Ok(Some(Written::Gone)) => Some("the machine no longer has them".to_owned()),
            Ok(Some(Written::No(error))) => Some(sentence(&error)),
            Ok(None) => Some("its job has not ended".to_owned()),
            Err(error) if self.tries < MAX_TRIES || error.is_transient() => {
                return Err(error.into());
            }
            Err(error) => Some(sentence(&error)),
        };
        self.tries = 0;
        self.running.change(|record| {
            record.rows[at].is_written = true;
            let index = record.rows[at].index;
            record.notes.extend(note.map(|why| {
                format!("the outputs of the cell at index {index} are not in the notebook: {why}")
            }));
        })
    }
}

fn is_final(state: CellState) -> bool {
    !matches!(state, CellState::NotRun | CellState::Running)
}

/// The cell that failed, of one that did or was skipped because of it.
fn failed(row: &Row) -> Option<usize> {
    match row.state {
        CellState::Failed | CellState::TimedOut | CellState::Lost | CellState::Interrupted => {
            Some(row.index)
        }
        CellState::Skipped => row.because,
        CellState::NotRun | CellState::Running | CellState::Succeeded => None,
    }
}
