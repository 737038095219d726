//! Writing what a job gave into the cell that it ran.

use tokio::time::Instant;

use super::Documents;
use super::edit::{Edit, Target};
use super::error::DocumentError;
use super::store::Notice;
use crate::base::ids::JobId;
use crate::notebook::fetch::cell_outputs;
use crate::runtime::RuntimeResult;

/// Whether a cell has the outputs of its run.
#[derive(Debug)]
pub enum Written {
    Yes(Option<Notice>),
    /// Once it has ended.
    Later,
    No(DocumentError),
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
        let Some(outputs) = cell_outputs(&self.connection, job, deadline).await? else {
            return Ok(Some(Written::Gone));
        };
        if !outputs.job.state.is_final() {
            return Ok(None);
        }
        let edit = Edit::Outputs {
            cell,
            expect: Some(version.to_owned()),
            outputs: outputs.values,
            execution_count: outputs.execution_count,
        };
        match self.store.apply(path, edit, deadline).await {
            Ok(applied) => Ok(Some(Written::Yes(applied.notice))),
            Err(DocumentError::Runtime(error)) if error.is_transient() => Err(error),
            Err(error) => Ok(Some(Written::No(error))),
        }
    }
}
