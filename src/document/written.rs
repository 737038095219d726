//! Writing what a job gave into the cell that it ran.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Documents;
use super::edit::{Edit, Target};
use super::error::DocumentError;
use super::store::Notice;
use super::trail::Trail;
use crate::base::ids::JobId;
use crate::jobs::ending::explain;
use crate::notebook::gather::CellReader;
use crate::runtime::RuntimeResult;
use crate::wire::job::Job;
use crate::wire::state::{JobState, Reason};

/// Whether a cell has the outputs of its run.
#[derive(Debug)]
pub enum Written {
    Yes(Option<Notice>),
    /// Once it has ended.
    Later,
    No(DocumentError),
    /// None of its code ran: the cell is as it was.
    Unrun,
    /// The runtime no longer has the output.
    Gone,
}

impl Documents {
    /// Writes the outputs of an ended job into the cell that it ran; none if it has not ended.
    ///
    /// # Errors
    /// Those that may pass.
    pub async fn write_job(
        &self,
        path: &str,
        cell: Target,
        version: &str,
        job: JobId,
        deadline: Instant,
    ) -> RuntimeResult<Option<Written>> {
        let written = self.try_to_write_job(path, &cell, version, job, deadline);
        let written = written.await?;
        match &written {
            None | Some(Written::Later) => {}
            Some(Written::Yes(_)) => Trail::of(&self.folder, job).end(),
            Some(Written::No(_) | Written::Unrun | Written::Gone) => {
                self.leave_shown(path, &cell, job, deadline).await;
            }
        }
        Ok(written)
    }

    async fn try_to_write_job(
        &self,
        path: &str,
        cell: &Target,
        version: &str,
        job: JobId,
        deadline: Instant,
    ) -> RuntimeResult<Option<Written>> {
        let mut reader = CellReader::new(self.connection.clone(), job);
        let outputs = match reader.now(deadline).await {
            Err(error) if error.is_not_found() => return Ok(Some(Written::Gone)),
            outputs => outputs?,
        };
        if !outputs.job.state.is_final() {
            return Ok(None);
        }
        if outputs.job.started_at.is_none() {
            return Ok(Some(Written::Unrun));
        }
        self.stop_showing(job).await;
        let mut values = outputs.values;
        values.extend(end_of(&outputs.job, &values));
        let edit = Edit::Outputs {
            cell: cell.clone(),
            expect: Some(version.to_owned()),
            outputs: values,
            execution_count: outputs.execution_count,
            trail: Trail::of(&self.folder, job),
        };
        match self.store.apply(path, edit, deadline).await {
            Ok(applied) => Ok(Some(Written::Yes(applied.notice))),
            Err(DocumentError::Runtime(error)) if error.is_transient() => Err(error),
            Err(error) => Ok(Some(Written::No(error))),
        }
    }
}

/// The trace of a cell that was ended from outside, and shows no error of its own.
fn end_of(job: &Job, values: &[Value]) -> Option<Value> {
    let is_shown = |output: &Value| output["output_type"] == "error";
    if job.state == JobState::Succeeded || values.iter().any(is_shown) {
        return None;
    }
    let name = match (job.state, job.reason) {
        (JobState::TimedOut, _) => "TimedOut",
        (JobState::Interrupted, _) => "Interrupted",
        (_, Some(Reason::Exited)) => "Exited",
        (_, Some(Reason::DiskFull)) => "DiskFull",
        _ => "KernelDied",
    };
    let (_, said, _) = explain(job.reason.unwrap_or(Reason::Unknown), job);
    let lines = [format!("{name}: {said}")];
    Some(json!({"output_type": "error", "ename": name, "evalue": said, "traceback": lines}))
}
