//! Runs of whole notebooks, which go on by themselves: cell after cell as jobs, with further attempts after errors that may pass, without what
//! depends on a cell that failed, and with every output written into the notebook as its cell ends.
//!
//! - here: [`NotebookRuns`], which starts, finds, follows and ends them;
//! - [`order`]: what a call asks for; `record`: a run as it stands on disk;
//! - `running`: a run that this process works on, and the calls that wait for it; `work`: that work; `attempt`: one job of it;
//!   `finish`: its end;
//! - `depends`: which cells cannot run; `retry`: which errors may pass;
//! - `error`: what can go wrong.
//!
//! **The record names a job before it is sent**, and under its id it runs once, whatever process sends it.
//!
//! Architecture Invariant: knows nothing of MCP. May import every floor below.

mod attempt;
mod depends;
mod error;
mod finish;
pub mod order;
mod record;
mod retry;
mod running;
mod work;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::base::ids::JobId;
use crate::base::lock::Lock;
use crate::base::text::{Pattern, ends_with_path};
use crate::caller::Caller;
use crate::connection::Connection;
use crate::document::{Claim, Documents, session_of};
use crate::edge::lock::FileLock;
use crate::jobs::Jobs;
pub use error::RunError;
use order::{Order, Source};
use record::Shelf;
pub use record::{CellState, OnError, Options, Record, Row, State};
use running::{Running, WATCH_INTERVAL};
use work::Work;

/// Between two tries to begin a run while another process begins or ends one of the same notebook.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// What a call has seen of a run.
#[derive(Debug)]
pub struct Report {
    pub record: Record,
    /// What keeps it from the runtime now.
    pub trouble: Option<String>,
    /// It ran already when the call asked for it.
    pub was_running: bool,
}

/// Runs notebooks.
#[derive(Debug)]
pub struct NotebookRuns {
    connection: Arc<Connection>,
    jobs: Arc<Jobs>,
    documents: Arc<Documents>,
    /// The folder of the records.
    folder: PathBuf,
    save_dir: PathBuf,
    tasks: Lock<HashMap<PathBuf, Task>>,
}

/// A run that this process works on, and the task that does it.
#[derive(Debug)]
struct Task {
    running: Arc<Running>,
    work: JoinHandle<()>,
}

impl Drop for Task {
    fn drop(&mut self) {
        // Its job runs on; another process may go on with the run.
        self.work.abort();
    }
}

impl NotebookRuns {
    #[must_use]
    pub fn new(
        connection: Arc<Connection>,
        jobs: Arc<Jobs>,
        documents: Arc<Documents>,
        folder: PathBuf,
        save_dir: PathBuf,
    ) -> Self {
        Self {
            connection,
            jobs,
            documents,
            folder,
            save_dir,
            tasks: Lock::default(),
        }
    }

    /// Starts a run, or joins the one of the same notebook, and waits for its end as long as the caller can. What is not done by then goes on.
    ///
    /// # Errors
    /// When nothing could be started.
    pub async fn run(&self, order: Order, caller: &Caller<'_>) -> Result<Report, RunError> {
        if let Some(pattern) = &order.options.retry_on {
            Pattern::new(pattern).map_err(|error| {
                RunError::Invalid(format!("retry_on is not a regular expression: {error}"))
            })?;
        }
        let path = match &order.source {
            Source::Notebook(path) => path.clone(),
            Source::New(cells) => order::create(cells, &self.documents, caller.deadline).await?,
        };
        let stored = self.documents.runnable(&path, caller.deadline).await?;
        let place = self.jobs.place();
        let shelf = Shelf::of(&self.folder, &place, &stored.path);
        let lock = loop {
            if let Some(joined) = self.join(&shelf)? {
                let mut report = self.attend(joined, caller).await;
                report.was_running = true;
                return Ok(report);
            }
            if let Some(lock) = shelf.lock()? {
                break lock;
            }
            // Another process is about to begin a run, or has just ended one: its record is not this call's.
            if Instant::now() + LOCK_INTERVAL >= caller.deadline {
                return Err(RunError::Busy { path: stored.path });
            }
            sleep(LOCK_INTERVAL).await;
        };
        order::check(&stored.notebook)?;
        let lacks_place = order.parameters.is_some() && !order::takes_parameters(&stored.notebook);
        let notebook = match &order.parameters {
            None => stored.notebook,
            Some(parameters) => {
                let edit = order::injection(&stored.notebook, parameters)?;
                let edited = self.documents.edit(&stored.path, edit, caller.deadline);
                edited.await?.notebook
            }
        };
        let rows = order::rows(&notebook, order.from_cell.as_deref())?;
        let session = order.session.unwrap_or_else(|| session_of(&stored.path));
        let mut record = Record::new(place, stored.path, session, order.options, rows);
        record.is_to_restart = order.restart;
        record.ends_session = order.ends_session;
        record.copy_of = order.copy_of;
        (record.notes).extend(lacks_place.then(|| order::NO_PARAMETERS.to_owned()));
        let claim = self.documents.claim(&record.path, record.id)?;
        shelf.forget_stop();
        shelf.save(&record)?;
        let running = self.start(shelf, record, (lock, claim));
        Ok(self.attend(Joined::Here(running), caller).await)
    }

    /// The run of this id, or the last one of the notebook of this name. Reads the disk.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<JobId> {
        let id = text.parse::<JobId>().ok();
        let is_named =
            |record: &Record| id == Some(record.id) || ends_with_path(&record.path, text);
        let records = self.records();
        let named = records.iter().filter(|record| is_named(record));
        named.map(|record| record.id).max()
    }

    /// All runs that have not ended. Reads the disk.
    #[must_use]
    pub fn unfinished(&self) -> Vec<Record> {
        let mut records = self.records();
        records.retain(|record| record.state == State::Running);
        records
    }

    /// Waits for more of a run; nothing is sent for it, but one that no process works on is resumed. The user's stop ends only the wait.
    pub async fn follow(&self, id: JobId, caller: &Caller<'_>) -> Option<Report> {
        let shelf = self.shelf(id)?;
        let onlooker = caller.clone().cancelled_by(&CancellationToken::new());
        let report = async {
            Some(match self.join(&shelf) {
                Ok(Some(joined)) => self.attend(joined, &onlooker).await,
                Ok(None) | Err(_) => self.watch(&shelf, &onlooker).await,
            })
        };
        tokio::select! {
            () = caller.cancelled.cancelled() => Some(kept(shelf.load()?)),
            report = report => report,
        }
    }

    /// Ends a run, and waits for its end as long as the caller can.
    pub async fn stop(&self, id: JobId, caller: &Caller<'_>) -> Option<Report> {
        let shelf = self.shelf(id)?;
        let record = shelf.load()?;
        if record.state == State::Running {
            // For whichever process works on it, should this one end before the run does.
            shelf.ask_stop(id);
            match (self.here(&shelf), &record.flight) {
                (Some(running), _) => running.stop.cancel(),
                (None, Some(flight)) => self.jobs.interrupt_later(flight.job_id),
                (None, None) => {}
            }
        }
        self.follow(id, caller).await
    }

    /// Goes on with all runs that an earlier process has left, on the runtime that this one is connected to.
    pub fn catch_up(&self) {
        for shelf in Shelf::all(&self.folder) {
            shelf.forget_old();
            let Some(record) = shelf.load() else { continue };
            if record.state == State::Running && record.place == self.jobs.place() {
                match self.join(&shelf) {
                    Ok(_) => tracing::info!(notebook = record.path, "a run of a notebook goes on"),
                    Err(error) => tracing::info!(%error, "a run of a notebook does not go on"),
                }
            }
        }
    }

    fn records(&self) -> Vec<Record> {
        let shelves = Shelf::all(&self.folder).into_iter();
        shelves.filter_map(|shelf| shelf.load()).collect()
    }

    fn shelf(&self, id: JobId) -> Option<Shelf> {
        let has_id = |shelf: &Shelf| shelf.load().is_some_and(|record| record.id == id);
        Shelf::all(&self.folder).into_iter().find(has_id)
    }

    /// The run of this notebook that this process works on.
    fn here(&self, shelf: &Shelf) -> Option<Arc<Running>> {
        let tasks = self.tasks.lock();
        let running = tasks.get(shelf.key()).map(|task| task.running.clone());
        running.filter(|running| !running.is_over())
    }

    /// The unfinished run of this notebook; one that no process works on goes on here.
    fn join(&self, shelf: &Shelf) -> Result<Option<Joined>, RunError> {
        if let Some(running) = self.here(shelf) {
            return Ok(Some(Joined::Here(running)));
        }
        let is_left = |record: &Record| record.state == State::Running;
        if shelf.load().filter(is_left).is_none() {
            return Ok(None);
        }
        let Some(lock) = shelf.lock()? else {
            return Ok(Some(Joined::Elsewhere(shelf.clone())));
        };
        // It may have ended meanwhile.
        let Some(record) = shelf.load().filter(is_left) else {
            return Ok(None);
        };
        let claim = self.documents.claim(&record.path, record.id)?;
        let running = self.start(shelf.clone(), record, (lock, claim));
        Ok(Some(Joined::Here(running)))
    }

    fn start(
        &self,
        shelf: Shelf,
        record: Record,
        (lock, claim): (FileLock, Claim),
    ) -> Arc<Running> {
        let key = shelf.key().to_owned();
        let running = Running::new(shelf, record);
        let work = Work::new(
            self.connection.clone(),
            self.jobs.clone(),
            self.documents.clone(),
            self.save_dir.clone(),
            running.clone(),
        );
        let task = Task {
            running: running.clone(),
            work: tokio::spawn(work.run(lock, claim)),
        };
        self.tasks.lock().insert(key, task);
        running
    }

    async fn attend(&self, joined: Joined, caller: &Caller<'_>) -> Report {
        if let Some(turn) = caller.turn {
            turn.pass();
        }
        match joined {
            Joined::Here(running) => {
                let id = running.record().id.to_string();
                caller.or_leave(&id, running.wait(caller)).await;
                running.report()
            }
            Joined::Elsewhere(shelf) => self.watch(&shelf, caller).await,
        }
    }

    /// Waits for more of a run that another process works on, as long as the caller can.
    async fn watch(&self, shelf: &Shelf, caller: &Caller<'_>) -> Report {
        loop {
            let record = shelf.load();
            if let Some(record) = record {
                running::report(&record, caller);
                let is_over = record.state != State::Running;
                if is_over || Instant::now() + WATCH_INTERVAL >= caller.patience {
                    return kept(record);
                }
            }
            tokio::select! {
                () = caller.left.cancelled() => {}
                () = sleep(Duration::min(WATCH_INTERVAL, caller.patience.saturating_duration_since(Instant::now()))) => {}
            }
        }
    }
}

/// An unfinished run.
enum Joined {
    Here(Arc<Running>),
    Elsewhere(Shelf),
}

fn kept(record: Record) -> Report {
    Report {
        record,
        trouble: None,
        was_running: false,
    }
}
