//! What goes on in the background once a call has ended: the outputs of a running cell, and the cells after it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Documents;
use super::notes::{Held, Note};
use super::runs::{Plan, is_unrun};
use super::trail::Trail;
use super::written::Written;
use crate::base::causes::sentence;
use crate::caller::Caller;
use crate::jobs::follow::{Ended, follow};
use crate::runtime::RuntimeResult;
use crate::wire::event::Event;
use crate::wire::job::Job;
use crate::wire::limits::MAX_TIMEOUT_SEC;
use crate::wire::state::JobState;

/// For writing outputs into a cell.
const WRITE_TIMEOUT: Duration = Duration::from_secs(120);
/// The longest wait for one job in one look at it, and the first and the longest pause before the next.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(600);
const FOLLOW_DELAY: Duration = Duration::from_secs(2);
const MAX_FOLLOW_DELAY: Duration = Duration::from_secs(60);
/// Jobs whose outputs could not be written that are remembered; the oldest are forgotten.
const MAX_UNWRITTEN: usize = 1_000;
/// Longer than any job waits and runs.
const MAX_FOLLOWED: Duration = Duration::from_secs(2 * MAX_TIMEOUT_SEC);

impl Documents {
    /// Writes the outputs of an ended job into its cell.
    pub(super) async fn write_outputs(self: &Arc<Self>, held: Held, deadline: Instant) -> Written {
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
        let (target, job) = (note.target(), note.job_id);
        let written = self.write_job(&note.path, target, &note.version, job, deadline);
        let written = written.await?;
        let why = match &written {
            Some(Written::No(error)) => error.why_unwritten(),
            Some(Written::Gone) => "the machine no longer has them".to_owned(),
            Some(Written::Yes(_) | Written::Later | Written::Unrun) | None => return Ok(written),
        };
        tracing::info!(why, %job, "the outputs of a cell are not written");
        self.note_unwritten(note, &why);
        Ok(written)
    }

    /// Writes the outputs of a job once it has ended, then runs the rest of the plan if it has succeeded.
    pub(super) fn carry_on(self: &Arc<Self>, held: Option<Held>, mut plan: Plan) {
        let documents = self.clone();
        tokio::spawn(async move {
            if let Some(held) = held {
                let cell = held.target();
                let job = documents.await_end(held).await;
                let is_next = job.as_ref().is_some_and(is_unrun);
                if is_next && plan.kernel_id.is_some() {
                    plan.cells.push_front(cell);
                }
                let lost = match is_next {
                    true => Some(plan.replaced()),
                    false => plan.take_kernel(job.as_ref()),
                };
                let has_succeeded = job.is_some_and(|job| job.state == JobState::Succeeded);
                if let Some(error) = lost {
                    return plan.leave_out(&sentence(&error));
                }
                if !has_succeeded {
                    return plan.leave_out("a cell before them did not succeed");
                }
            }
            if !plan.cells.is_empty() {
                let caller = Caller::until(Instant::now() + MAX_FOLLOWED);
                // Boxed, since it may carry on in turn.
                let report = Box::pin(documents.run(plan, &caller)).await;
                if let Some(error) = report.error {
                    tracing::info!(%error, notebook = report.path, "the rest of its cells was not run");
                }
            }
        });
    }

    /// Follows a job to its end, and writes its outputs; returns it, if the runtime still has it.
    async fn await_end(self: &Arc<Self>, held: Held) -> Option<Job> {
        let end = Instant::now() + MAX_FOLLOWED;
        let (id, mut after) = (held.note.job_id, 0);
        let mut delay = FOLLOW_DELAY;
        let note = &held.note;
        if self.jobs.place() == note.place {
            self.show(&note.path, note.target(), &note.version, id);
        }
        while Instant::now() < end {
            let caller = Caller::until(Instant::now() + FOLLOW_TIMEOUT);
            let mut reader = |_: &Event| ControlFlow::Continue(());
            let followed = follow(&self.connection, id, after, &caller, &mut reader).await;
            after = followed.next;
            let job = followed.job;
            let is_final = job.as_ref().is_some_and(|job| job.state.is_final());
            let is_gone = matches!(&followed.ended, Ended::Trouble(error) if error.is_not_found());
            if is_gone || is_final {
                match self
                    .try_to_write(&held.note, Instant::now() + WRITE_TIMEOUT)
                    .await
                {
                    Ok(Some(_)) => {
                        held.end();
                        return job;
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
        None
    }

    fn note_unwritten(&self, note: &Note, why: &str) {
        let cell = match (&note.cell_id, note.cell_index) {
            (Some(id), _) => format!("cell {id}"),
            (None, index) => format!("cell {}", index.unwrap_or_default()),
        };
        let said = format!("not written into {cell} of {}: {why}", note.path);
        let mut unwritten = self.unwritten.lock();
        if unwritten.len() >= MAX_UNWRITTEN {
            unwritten.pop_first();
        }
        unwritten.insert(note.job_id, said);
    }

    /// Finishes the cells whose runs an earlier process has left, on the runtime that this one is connected to.
    pub fn catch_up(self: &Arc<Self>) {
        Trail::sweep(&self.folder);
        self.active.sweep();
        for held in Held::left_behind(&self.folder) {
            if held.note.place == self.jobs.place() {
                self.carry_on(Some(held), Plan::nothing());
            }
        }
    }
}
