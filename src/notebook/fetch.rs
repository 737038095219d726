//! Fetches one job with its code and its output from the executor.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::gather::{Gathered, PAGE_BYTES, blob_of};
use super::outputs::{Bounds, Captured, Outputs};
use crate::base::ids::JobId;
use crate::connection::Connection;
use crate::runtime::{Code, Hold, RuntimeError, RuntimeResult};
use crate::wire::job::Job;

/// A job with everything that a notebook shows of it.
pub(super) struct Fetched {
    pub(super) job: Job,
    pub(super) code: String,
    /// The setup of a loop.
    pub(super) setup: String,
    pub(super) outputs: Outputs,
    pub(super) execution_count: Option<u64>,
    /// States of widgets by their models' ids.
    pub(super) widgets: Map<String, Value>,
    /// Contents of Output widgets by their models' ids.
    pub(super) captured: Captured,
}

/// Fetches a job in its current state; none if the executor no longer has it.
pub(super) async fn fetch(
    connection: &Arc<Connection>,
    job: JobId,
    deadline: Instant,
) -> RuntimeResult<Option<Fetched>> {
    match fetch_whole(connection, job, deadline).await {
        Err(error) if error.is_not_found() => Ok(None),
        fetched => fetched.map(Some),
    }
}

async fn fetch_whole(
    connection: &Arc<Connection>,
    id: JobId,
    deadline: Instant,
) -> RuntimeResult<Fetched> {
    let until = connection.until(deadline);
    let code = until.code(id).await?;
    let mut gathered = Gathered::within(Bounds::default());
    let hold = Hold::none(PAGE_BYTES);
    let job = gathered.advance(connection, id, hold, deadline).await?;
    gathered.fill(&until, id).await?;
    let mut widgets = Map::new();
    for blob in gathered.states {
        if let Ok(Value::Object(states)) = serde_json::from_slice(&blob_of(&until, id, blob).await?)
        {
            widgets.extend(states);
        }
    }
    let setup = match job.iterations {
        Some(_) => until.setup(id).await?,
        None => String::new(),
    };
    // Output captured by a widget whose state was not kept stays with the cell.
    let is_kept = |(widget, _): &(String, Outputs)| widgets.contains_key(widget);
    let (captured, loose): (Captured, Captured) = gathered.captured.into_iter().partition(is_kept);
    let mut outputs = gathered.outputs;
    for shown in loose.into_values() {
        outputs.absorb(shown, job.log_bytes);
    }
    Ok(Fetched {
        job,
        code,
        setup,
        outputs,
        execution_count: gathered.execution_count,
        widgets,
        captured,
    })
}

/// Whether an error only means that the call's time has run out.
pub(super) fn is_late(error: &RuntimeError, deadline: Instant) -> bool {
    matches!(error, RuntimeError::TimedOut { .. }) && Instant::now() >= deadline
}
