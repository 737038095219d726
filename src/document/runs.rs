//! Running cells as jobs, and writing their outputs into them: in the call, or in the background once the call has ended.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Documents;
use super::edit::Target;
use super::error::{DocumentError, Refusal};
use super::notes::{Held, Note};
use super::store::Stored;
use super::written::Written;
use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::jobs::follow::{Ended, follow};
use crate::jobs::view::View;
use crate::runtime::RuntimeResult;
use crate::wire::event::Event;
use crate::wire::job::JobRequest;
use crate::wire::limits::MAX_TIMEOUT_SEC;
use crate::wire::state::JobState;

/// For writing outputs into a cell.
const WRITE_TIMEOUT: Duration = Duration::from_secs(120);
/// The longest wait for one job in one look at it, and the first and the longest pause before the next.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(600);
const FOLLOW_DELAY: Duration = Duration::from_secs(2);
const MAX_FOLLOW_DELAY: Duration = Duration::from_secs(60);
/// Longer than any job waits and runs.
const MAX_FOLLOWED: Duration = Duration::from_secs(2 * MAX_TIMEOUT_SEC);

/// Cells to run, in this order, up to the first that fails.
#[derive(Debug, Clone)]
pub struct Plan {
    pub path: String,
    pub session: String,
    /// Seconds that each may run.
    pub timeout_sec: u64,
    pub(super) cells: VecDeque<Target>,
}

/// The run of one cell.
#[derive(Debug)]
pub struct CellRun {
    pub index: usize,
    pub id: Option<String>,
    pub version: String,
    pub view: View,
    pub written: Written,
}

/// What a call has seen of a plan.
#[derive(Debug)]
pub struct RunReport {
    pub path: String,
    pub session: String,
    pub runs: Vec<CellRun>,
    /// Code cells that were not run yet.
    pub left: usize,
    /// They will be run.
    pub goes_on: bool,
    /// Why the plan ended early, beside a cell that failed.
    pub error: Option<DocumentError>,
}

impl CellRun {
    /// Whether the cell has run without an error.
    #[must_use]
    pub fn has_succeeded(&self) -> bool {
        state(&self.view) == Some(JobState::Succeeded)
    }
}

fn state(view: &View) -> Option<JobState> {
    view.job.as_ref().map(|job| job.state)
}

impl Documents {
    /// Plans the run of one cell.
    ///
    /// # Errors
    /// If the notebook has no such cell, or cannot be run here.
    pub async fn plan_one(
        &self,
        path: &str,
        cell: &Target,
        expect: Option<&str>,
        deadline: Instant,
    ) -> Result<Plan, DocumentError> {
        let stored = self.runnable(path, deadline).await?;
        let index = stored.notebook.find(cell, expect);
        let index = index.map_err(|why| refused(&stored.path, why))?;
        if !stored.notebook.cells()[index].is_code() {
            return Err(refused(&stored.path, Refusal::NotCode { index }));
        }
        let (target, _) = stored.notebook.pinned(index);
        Ok(plan(stored.path, [target].into()))
    }

    /// Plans the run of the code cells from one index to another, which is included.
    ///
    /// # Errors
    /// As [`Self::plan_one`].
    pub async fn plan(
        &self,
        path: &str,
        from: usize,
        to: Option<usize>,
        deadline: Instant,
    ) -> Result<Plan, DocumentError> {
        let stored = self.runnable(path, deadline).await?;
        let (notebook, count) = (&stored.notebook, stored.notebook.cells().len());
        let last = to.unwrap_or(count.saturating_sub(1));
        if let Some(index) = [from, last].into_iter().find(|index| *index >= count) {
            return Err(refused(&stored.path, Refusal::NoIndex { index, count }));
        }
        let is_run = |index: &usize| {
            let cell = &notebook.cells()[*index];
            cell.is_code() && !cell.source.trim().is_empty()
        };
        let cells = (from..=last).filter(is_run);
        let cells = cells.map(|index| notebook.pinned(index).0).collect();
        Ok(plan(stored.path, cells))
    }

    /// Reads a notebook whose cells can be run here.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub async fn runnable(&self, path: &str, deadline: Instant) -> Result<Stored, DocumentError> {
        let stored = self.store.read(path, deadline).await?;
        let (path, notebook) = (stored.path.clone(), &stored.notebook);
        if !notebook.is_python() {
            let named = notebook.language().or_else(|| notebook.kernel());
            let language = named.unwrap_or("another language").to_owned();
            return Err(DocumentError::NotPython { path, language });
        }
        if notebook.major == 3 {
            return Err(DocumentError::OldFormat { path });
        }
        Ok(stored)
    }

    /// Runs a plan until the caller's patience ends; the rest goes on in the background, unless the user stops it.
    pub async fn run(self: &Arc<Self>, plan: Plan, caller: &Caller<'_>) -> RunReport {
        let (path, session) = (plan.path.clone(), plan.session.clone());
        let mut report = RunReport {
            path,
            session,
            runs: Vec::new(),
            left: plan.cells.len(),
            goes_on: false,
            error: None,
        };
        let mut plan = plan;
        while let Some(target) = plan.cells.pop_front() {
            let is_over = Instant::now() >= caller.patience || caller.cancelled.is_cancelled();
            if is_over && !report.runs.is_empty() {
                plan.cells.push_front(target);
                report.goes_on = !caller.cancelled.is_cancelled();
                if report.goes_on {
                    self.carry_on(None, plan);
                }
                return report;
            }
            let run = match self.run_cell(&plan, &target, caller).await {
                Ok(run) => run,
                Err(error) => {
                    report.error = Some(error);
                    return report;
                }
            };
            report.left -= 1;
            let (mut run, held) = run;
            let is_final = state(&run.view).is_some_and(JobState::is_final);
            if !is_final {
                report.goes_on = !plan.cells.is_empty() && !caller.cancelled.is_cancelled();
                if !report.goes_on {
                    plan.cells.clear();
                }
                report.runs.push(run);
                self.carry_on(Some(held), plan);
                return report;
            }
            run.written = self.write_outputs(held, caller.deadline).await;
            let has_failed = !run.has_succeeded();
            report.runs.push(run);
            if has_failed {
                return report;
            }
        }
        report
    }

    /// Runs a cell as it is now.
    async fn run_cell(
        &self,
        plan: &Plan,
        target: &Target,
        caller: &Caller<'_>,
    ) -> Result<(CellRun, Held), DocumentError> {
        let stored = self.store.read(&plan.path, caller.deadline).await?;
        let found = stored.notebook.find(target, None);
        let index = found.map_err(|why| refused(&stored.path, why))?;
        let cell = &stored.notebook.cells()[index];
        let (target, version) = stored.notebook.pinned(index);
        let request = JobRequest {
            code: cell.source.clone(),
            session: plan.session.clone(),
            timeout_sec: plan.timeout_sec,
            iterations: None,
            kernel_id: None,
        };
        let job_id = JobId::fresh();
        let note = Note {
            job_id,
            place: self.jobs.place(),
            path: stored.path,
            cell_id: target.id,
            cell_index: target.index,
            version: version.clone(),
        };
        let held = Held::begin(&self.folder, note);
        let view = match self.jobs.run(job_id, &request, caller).await {
            Ok(view) => view,
            Err(error) => {
                held.end();
                return Err(error.into());
            }
        };
        let run = CellRun {
            index,
            id: cell.id.clone(),
            version,
            view,
            written: Written::Later,
        };
        Ok((run, held))
    }

    /// Writes the outputs of an ended job into its cell.
    async fn write_outputs(self: &Arc<Self>, held: Held, deadline: Instant) -> Written {
        match self.try_to_write(&held.note, deadline).await {
            Ok(Some(written)) => {
                held.end();
                written
            }
            Ok(None) => {
                self.carry_on(Some(held), Plan::nothing());
                Written::Later
            }
            Err(error) => {
                tracing::info!(%error, "the outputs of a cell are written later");
                self.carry_on(Some(held), Plan::nothing());
                Written::Later
            }
        }
    }

    /// Writes the outputs; none if the job has not ended.
    async fn try_to_write(&self, note: &Note, deadline: Instant) -> RuntimeResult<Option<Written>> {
        // Another machine does not know the job; that of the job may be connected again.
        if self.jobs.place() != note.place {
            return Ok(None);
        }
        let cell = Target {
            id: note.cell_id.clone(),
            index: note.cell_index,
        };
        self.write_job(&note.path, cell, &note.version, note.job_id, deadline)
            .await
    }

    /// Writes the outputs of a job once it has ended, then runs the rest of the plan if it has succeeded.
    fn carry_on(self: &Arc<Self>, held: Option<Held>, plan: Plan) {
        let documents = self.clone();
        tokio::spawn(async move {
            let has_succeeded = match held {
                Some(held) => documents.await_end(held).await,
                None => true,
            };
            if has_succeeded && !plan.cells.is_empty() {
                let caller = Caller::until(Instant::now() + MAX_FOLLOWED);
                // Boxed, since it may carry on in turn.
                let report = Box::pin(documents.run(plan, &caller)).await;
                if let Some(error) = report.error {
                    tracing::info!(%error, notebook = report.path, "the rest of its cells was not run");
                }
            }
        });
    }

    /// Follows a job to its end, and writes its outputs; returns whether it has succeeded.
    async fn await_end(&self, held: Held) -> bool {
        let end = Instant::now() + MAX_FOLLOWED;
        let (id, mut after) = (held.note.job_id, 0);
        let mut delay = FOLLOW_DELAY;
        while Instant::now() < end {
            let caller = Caller::until(Instant::now() + FOLLOW_TIMEOUT);
            let mut reader = |_: &Event| ControlFlow::Continue(());
            let followed = follow(&self.connection, id, after, &caller, &mut reader).await;
            after = followed.next;
            let state = followed.job.map(|job| job.state);
            let is_gone = matches!(&followed.ended, Ended::Trouble(error) if error.is_not_found());
            if is_gone || state.is_some_and(JobState::is_final) {
                match self
                    .try_to_write(&held.note, Instant::now() + WRITE_TIMEOUT)
                    .await
                {
                    Ok(Some(written)) => {
                        if let Written::No(error) = written {
                            tracing::info!(%error, job = %id, "the outputs of a cell are not written");
                        }
                        held.end();
                        return state == Some(JobState::Succeeded);
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::debug!(%error, job = %id, "could not write the outputs of a cell")
                    }
                }
            }
            sleep(delay).await;
            delay = (2 * delay).min(MAX_FOLLOW_DELAY);
        }
        false
    }

    /// Finishes the cells whose runs an earlier process has left, on the runtime that this one is connected to.
    pub fn catch_up(self: &Arc<Self>) {
        for held in Held::left_behind(&self.folder) {
            if held.note.place == self.jobs.place() {
                self.carry_on(Some(held), Plan::nothing());
            }
        }
    }
}

impl Plan {
    /// The number of its cells.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "an empty plan is run like any other"
    )]
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    fn nothing() -> Self {
        plan(String::new(), VecDeque::new())
    }
}

fn plan(path: String, cells: VecDeque<Target>) -> Plan {
    Plan {
        path,
        session: String::new(),
        timeout_sec: 0,
        cells,
    }
}

fn refused(path: &str, why: Refusal) -> DocumentError {
    let path = path.to_owned();
    DocumentError::Refused { path, why }
}
