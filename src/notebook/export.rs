//! Exports a session's jobs to a file, within one call's time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::cell::{Cell, absorb, markdown};
use super::displays::Displays;
use super::error::NotebookError;
use super::fetch::{fetch, is_late};
use super::file::{NotebookFile, Placed};
use super::outputs::Captured;
use crate::base::ids::JobId;
use crate::caller::{self, Caller};
use crate::connection::Connection;
use crate::runtime::{Code, JobsQuery, Machine, RuntimeError, RuntimeResult};
use crate::transfer::TransferResult;
use crate::transfer::name::Name;
use crate::wire::machine::Probe;

/// Jobs in one notebook: the executor lists no more.
pub const MAX_JOBS: u64 = 1_000;
/// Jobs fetched concurrently: the time goes into round trips.
const MAX_CONCURRENT: usize = 4;
/// Time of the call reserved for finishing the file.
const RESERVE: Duration = Duration::from_secs(2);

/// The arguments of an export.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub session: String,
    /// A path under the save folder; by default named after the session and the day.
    pub filename: Option<String>,
    /// Number of newest jobs to export, 1 to [`MAX_JOBS`].
    pub last: Option<u64>,
    /// The face's name for a chunked operation, which heads its cells.
    pub loop_title: String,
}

/// The notebook that was written.
#[derive(Debug, Serialize)]
pub struct Report {
    pub path: String,
    /// Number of cells of all kinds.
    pub cells: u64,
    pub pictures: u64,
    /// Jobs that the machine no longer has, or that could not be fetched in this call.
    pub jobs_left_out: u64,
    pub size_bytes: u64,
    /// Where the notebook is, and what is missing.
    pub message: String,
}

/// Writes notebooks into the save folder.
#[derive(Debug)]
pub struct Notebooks {
    connection: Arc<Connection>,
    save_dir: PathBuf,
}

/// The state of an export.
struct Progress {
    file: NotebookFile,
    displays: Displays,
    /// States of widgets by their models' ids.
    widgets: Map<String, Value>,
    /// Contents of Output widgets, and the total length of the logs that they come from.
    captured: Captured,
    log_bytes: u64,
    pictures: u64,
    gone: u64,
    missing: u64,
    /// Why jobs are missing.
    trouble: Option<RuntimeError>,
}

impl Notebooks {
    #[must_use]
    pub fn new(connection: Arc<Connection>, save_dir: PathBuf) -> Self {
        Self {
            connection,
            save_dir,
        }
    }

    /// Writes a session's jobs, oldest first, as far as the caller's deadline allows; reports the number of jobs done.
    ///
    /// # Errors
    /// [`NotebookError`]; then nothing was written.
    pub async fn export(
        &self,
        wanted: &Wanted,
        caller: &Caller<'_>,
    ) -> Result<Report, NotebookError> {
        tokio::select! {
            biased;
            () = caller.gone() => Err(RuntimeError::Cancelled.into()),
            report = self.export_all(wanted, caller) => report,
        }
    }

    async fn export_all(
        &self,
        wanted: &Wanted,
        caller: &Caller<'_>,
    ) -> Result<Report, NotebookError> {
        let deadline = caller.deadline;
        let name = Name::parse(&wanted.file())?;
        let deadline = deadline.checked_sub(RESERVE).unwrap_or(deadline);
        let jobs = self.jobs(wanted, deadline).await?;
        if jobs.is_empty() {
            return Err(NotebookError::Empty {
                session: wanted.session.clone(),
            });
        }
        let probe = self.connection.until(deadline).probe(&[]).await?;
        let all = jobs.len() as u64;
        let mut file = NotebookFile::begin(&self.save_dir, &name)?;
        file.add(&title(&wanted.session, &probe))?;
        let progress = self.write(wanted, file, jobs, deadline, caller).await?;
        if progress.file.cells() == 1 {
            return Err(match progress.trouble {
                Some(error) => error.into(),
                None => NotebookError::Gone {
                    session: wanted.session.clone(),
                    jobs: all,
                },
            });
        }
        let is_whole = wanted.last.is_some() || all < MAX_JOBS;
        Ok(progress.end(&probe, is_whole, deadline)?)
    }

    /// The ids of the session's jobs, oldest first.
    async fn jobs(&self, wanted: &Wanted, deadline: Instant) -> RuntimeResult<Vec<JobId>> {
        let query = &JobsQuery {
            session: Some(&wanted.session),
            state: None,
            limit: wanted.last.unwrap_or(MAX_JOBS),
        };
        let jobs = self.connection.until(deadline).jobs(query).await?;
        Ok(jobs.into_iter().rev().map(|job| job.id).collect())
    }

    async fn write(
        &self,
        wanted: &Wanted,
        file: NotebookFile,
        jobs: Vec<JobId>,
        deadline: Instant,
        caller: &Caller<'_>,
    ) -> TransferResult<Progress> {
        let mut progress = Progress {
            file,
            displays: Displays::default(),
            widgets: Map::new(),
            captured: Captured::new(),
            log_bytes: 0,
            pictures: 0,
            gone: 0,
            missing: 0,
            trouble: None,
        };
        let all = jobs.len() as u64;
        let fetched = stream::iter(jobs).map(|id| fetch(&self.connection, id, deadline));
        let mut fetched = std::pin::pin!(fetched.buffered(MAX_CONCURRENT));
        let mut cell: Option<Cell> = None;
        let mut done = 0;
        while let Some(job) = fetched.next().await {
            match job {
                Ok(Some(job)) => {
                    let other = match &mut cell {
                        Some(cell) => cell.grow(job),
                        None => Some(job),
                    };
                    if let Some(job) = other
                        && let Some(before) = cell.replace(Cell::new(job))
                    {
                        progress.add(before, &wanted.loop_title)?;
                    }
                }
                Ok(None) => progress.gone += 1,
                Err(error) => {
                    progress.missing = all - done;
                    progress.trouble = Some(error);
                    break;
                }
            }
            done += 1;
            (caller.report)(caller::Progress::Count { done, total: all });
        }
        if let Some(last) = cell {
            progress.add(last, &wanted.loop_title)?;
        }
        Ok(progress)
    }
}

impl Wanted {
    fn file(&self) -> String {
        match self.filename.as_deref().map(str::trim) {
            None => {
                let day = jiff::Timestamp::now().strftime("%Y-%m-%d");
                format!("session-{}-{day}.ipynb", self.session)
            }
            Some(name) if name.is_empty() || name.to_lowercase().ends_with(".ipynb") => {
                name.to_owned()
            }
            Some(name) => format!("{name}.ipynb"),
        }
    }
}

impl Progress {
    fn add(&mut self, mut cell: Cell, loop_title: &str) -> TransferResult<()> {
        self.pictures += cell.pictures();
        self.widgets.extend(std::mem::take(&mut cell.widgets));
        let captured = std::mem::take(&mut cell.captured);
        absorb(&mut self.captured, captured, cell.log_bytes);
        self.log_bytes += cell.log_bytes;
        let (note, mut code, outputs) = cell.finish(loop_title);
        if let Some(note) = note {
            self.file.add(&note)?;
        }
        code["outputs"] = self.displays.place(self.file.cells(), outputs).into();
        self.file.add(&code)
    }

    fn end(mut self, probe: &Probe, has_all: bool, deadline: Instant) -> TransferResult<Report> {
        for (widget, outputs) in self.captured {
            let shown = outputs.finish(self.log_bytes).values;
            let model = self.widgets.get_mut(&widget);
            let state = model.and_then(|model| model["state"].as_object_mut());
            if let Some(state) = state {
                let own = state.entry("outputs").or_insert(Value::Null);
                let before = own.as_array().cloned().unwrap_or_default();
                *own = before.into_iter().chain(shown).collect();
            }
        }
        let file = self.file.updated(self.displays.updates)?;
        let cells = file.cells() as u64;
        let Placed { path, bytes } = file.end(&metadata(probe, self.widgets))?;
        let mut message = format!("The notebook is {}.", path.display());
        if !has_all {
            message +=
                &format!(" It contains the last {MAX_JOBS} jobs; older ones are not included.");
        }
        if self.gone > 0 {
            message += &format!(
                " {} jobs are not included: the machine no longer has them.",
                self.gone
            );
        }
        if let Some(error) = &self.trouble {
            let why = if is_late(error, deadline) {
                "this call ran out of time".to_owned()
            } else {
                error.to_string()
            };
            message += &format!(
                " The newest {missing} jobs are missing: {why}. To get them in a second notebook, call again with last: {missing}.",
                missing = self.missing
            );
        }
        Ok(Report {
            path: path.display().to_string(),
            cells,
            pictures: self.pictures,
            jobs_left_out: self.gone + self.missing,
            size_bytes: bytes,
            message,
        })
    }
}

/// The notebook's metadata, as Jupyter writes it.
fn metadata(probe: &Probe, widgets: Map<String, Value>) -> Value {
    let mut metadata = json!({
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {
            "name": "python",
            "version": probe.python.version,
            "mimetype": "text/x-python",
            "file_extension": ".py",
            "pygments_lexer": "ipython3",
            "nbconvert_exporter": "python",
            "codemirror_mode": {"name": "ipython", "version": 3},
        },
    });
    if !widgets.is_empty() {
        let states = json!({"state": widgets, "version_major": 2, "version_minor": 0});
        metadata["widgets"] = json!({"application/vnd.jupyter.widget-state+json": states});
    }
    metadata
}

fn title(session: &str, probe: &Probe) -> serde_json::Value {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    let place = if probe.platform.colab {
        ", Google Colab"
    } else {
        ""
    };
    let gpus: Vec<String> = probe
        .gpu
        .iter()
        .map(|gpu| format!(", {}", gpu.name))
        .collect();
    let text = format!(
        "# Session {session}\n\nThe code run in session `{session}`, exported by smart-colab on {now}.\n\n\
         Machine: {} {}{place}{}. Python {}.",
        probe.platform.system,
        probe.platform.machine,
        gpus.concat(),
        probe.python.version
    );
    markdown("title", &text)
}
