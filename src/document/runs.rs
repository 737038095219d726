//! Running cells as jobs, and writing their outputs into them, in a call.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::active::Claim;
use super::edit::Target;
use super::error::{DocumentError, Refusal};
use super::nbformat::Notebook;
use super::notes::{Held, Note};
use super::store::Stored;
use super::written::Written;
use super::{Documents, folder_of};
use crate::base::causes::sentence;
use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::jobs::view::View;
use crate::wire::job::{Job, JobRequest};
use crate::wire::state::{JobState, Reason};

/// Cells to run, in this order, up to the first that fails.
#[derive(Debug)]
pub struct Plan {
    pub path: String,
    pub session: String,
    /// Seconds that each may run.
    pub timeout_sec: u64,
    pub(super) cells: VecDeque<Target>,
    /// The kernel of the cells before: the others need its variables.
    pub(super) kernel_id: Option<String>,
    pub(super) claim: Option<Claim>,
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
    pub rest: Vec<Target>,
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

impl Notebook {
    /// Checks that the notebook, which is at `path`, has cells that kernels here can run.
    ///
    /// # Errors
    /// [`DocumentError::NotPython`], [`DocumentError::OldFormat`].
    pub fn check_runnable(&self, path: &str) -> Result<(), DocumentError> {
        let path = path.to_owned();
        if !self.is_python() {
            let named = self.language().or_else(|| self.kernel());
            let language = named.unwrap_or("another language").to_owned();
            return Err(DocumentError::NotPython { path, language });
        }
        match self.major {
            3 => Err(DocumentError::OldFormat { path }),
            _ => Ok(()),
        }
    }
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
        if count == 0 && from == 0 && to.is_none() {
            return Ok(plan(stored.path, VecDeque::new()));
        }
        let last = to.unwrap_or(count.saturating_sub(1));
        if let Some(index) = [from, last].into_iter().find(|index| *index >= count) {
            return Err(refused(&stored.path, Refusal::NoIndex { index, count }));
        }
        if last < from {
            return Err(refused(&stored.path, Refusal::Reversed { from, last }));
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
        stored.notebook.check_runnable(&stored.path)?;
        Ok(stored)
    }

    /// Runs a plan until the caller's patience ends; the rest goes on in the background, unless the user stops it.
    pub async fn run(self: &Arc<Self>, mut plan: Plan, caller: &Caller<'_>) -> RunReport {
        let mut report = RunReport {
            path: plan.path.clone(),
            session: plan.session.clone(),
            runs: Vec::new(),
            rest: Vec::new(),
            goes_on: false,
            error: None,
        };
        if plan.claim.is_none() && !plan.cells.is_empty() {
            let (cells, is_single) = (plan.cells.iter().cloned().collect(), plan.cells.len() == 1);
            let place = self.jobs.place();
            match self.active.claim(&place, &plan.path, cells, is_single) {
                Ok(claim) => plan.claim = Some(claim),
                Err(error) => {
                    report.error = Some(error);
                    return report;
                }
            }
        }
        while let Some(target) = plan.cells.pop_front() {
            let is_stopped = caller.cancelled.is_cancelled();
            let is_over = Instant::now() >= caller.patience || is_stopped;
            if is_over && !report.runs.is_empty() {
                plan.cells.push_front(target);
                return self.leave(report, None, plan, is_stopped);
            }
            let (mut run, held) = match self.run_cell(&plan, &target, caller).await {
                Ok(run) => run,
                Err(error) => {
                    plan.cells.push_front(target);
                    return stop(report, plan, Some(error));
                }
            };
            if run.view.job.as_ref().is_some_and(is_unrun) && plan.kernel_id.is_some() {
                self.stop_showing(held.note.job_id).await;
                held.end();
                plan.cells.push_front(target);
                let error = plan.replaced();
                return stop(report, plan, Some(error));
            }
            if !state(&run.view).is_some_and(JobState::is_final) {
                report.runs.push(run);
                return self.leave(report, Some(held), plan, caller.cancelled.is_cancelled());
            }
            run.written = self.write_outputs(held, caller.deadline).await;
            let has_failed = !run.has_succeeded();
            let lost = plan.take_kernel(run.view.job.as_ref());
            report.runs.push(run);
            if has_failed || lost.is_some() {
                return stop(report, plan, lost.filter(|_| !has_failed));
            }
        }
        report
    }

    /// Leaves a plan to the background, or only its running job if the user has stopped it.
    fn leave(
        self: &Arc<Self>,
        mut report: RunReport,
        held: Option<Held>,
        mut plan: Plan,
        is_stopped: bool,
    ) -> RunReport {
        report.rest = plan.cells.iter().cloned().collect();
        report.goes_on = !is_stopped && !plan.cells.is_empty();
        if is_stopped {
            plan.leave_out("the call was stopped");
        }
        self.carry_on(held, plan);
        report
    }

    /// Runs a cell as it is now.
    async fn run_cell(
        self: &Arc<Self>,
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
            kernel_id: plan.kernel_id.clone(),
            folder: folder_of(&stored.path, &plan.session),
            answers: false,
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
        if let Some(claim) = &plan.claim {
            claim.note(&held.target(), job_id, plan.cells.iter());
        }
        self.show(&held.note.path, held.target(), &version, job_id);
        let view = match self.jobs.run(job_id, &request, caller).await {
            Ok(view) => view,
            Err(error) => {
                self.stop_showing(job_id).await;
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

    pub(super) fn nothing() -> Self {
        plan(String::new(), VecDeque::new())
    }

    /// Ends it: `why` its other cells are not run.
    pub(super) fn leave_out(&mut self, why: &str) {
        if let Some(claim) = self.claim.take() {
            claim.leave_out(self.cells.drain(..).collect(), why.to_owned());
        }
    }

    /// Takes the kernel that a cell ran in as that of the rest. An error if that kernel has ended and there is a rest.
    pub(super) fn take_kernel(&mut self, job: Option<&Job>) -> Option<DocumentError> {
        let job = job?;
        self.kernel_id.clone_from(&job.kernel_id);
        (job.variables_lost && !self.cells.is_empty()).then(|| self.replaced())
    }

    pub(super) fn replaced(&self) -> DocumentError {
        DocumentError::Replaced {
            session: self.session.clone(),
        }
    }
}

fn plan(path: String, cells: VecDeque<Target>) -> Plan {
    Plan {
        path,
        session: String::new(),
        timeout_sec: 0,
        cells,
        kernel_id: None,
        claim: None,
    }
}

/// Ends a plan whose rest is not run.
fn stop(mut report: RunReport, mut plan: Plan, error: Option<DocumentError>) -> RunReport {
    report.rest = plan.cells.iter().cloned().collect();
    plan.leave_out(&error.as_ref().map_or_else(
        || "a cell before them did not succeed".to_owned(),
        |error| sentence(error),
    ));
    report.error = error;
    report
}

/// Whether a job did not run because its kernel was replaced.
pub(super) fn is_unrun(job: &Job) -> bool {
    job.reason == Some(Reason::KernelReplaced) && job.started_at.is_none()
}

fn refused(path: &str, why: Refusal) -> DocumentError {
    let path = path.to_owned();
    DocumentError::Refused { path, why }
}
