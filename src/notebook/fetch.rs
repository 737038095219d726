//! Fetches one job with its code and its output from the executor.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::outputs::{Bounds, Captured, Outputs};
use super::shape::{is_json, is_text};
use crate::base::ids::JobId;
use crate::connection::Connection;
use crate::jobs::stall;
use crate::runtime::{Code, Hold, RuntimeError, RuntimeResult};
use crate::wire::event::{BlobRef, EventKind};
use crate::wire::job::Job;

/// Bytes of events in one response.
const PAGE_BYTES: u64 = 1024 * 1024;
/// Printed bytes after which only a job's last events are read: the rest is omitted anyway and would use up a tunnel's quota.
const MAX_TEXT_BYTES: usize = 8 * 1024 * 1024;
/// Printed bytes in a cell of a notebook that is being worked on, and bytes of everything else.
const MAX_CELL_TEXT_BYTES: usize = 100_000;
const MAX_CELL_RICH_BYTES: usize = 4 * 1024 * 1024;
/// Number of these last events, of 16 Ki characters at most.
const MAX_LAST_EVENTS: u64 = 500;

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
    match fetch_whole(connection, job, Bounds::default(), deadline).await {
        Err(error) if error.is_not_found() => Ok(None),
        fetched => fetched.map(Some),
    }
}

/// The outputs of one cell as nbformat has them, and the job that they are of.
pub(crate) struct CellOutputs {
    pub(crate) job: Job,
    pub(crate) values: Vec<Value>,
    pub(crate) execution_count: Option<u64>,
}

/// Fetches the outputs of a job for a cell of a notebook that is being worked on, with less of it than an export has; none if the executor no
/// longer has the job.
pub(crate) async fn cell_outputs(
    connection: &Arc<Connection>,
    job: JobId,
    deadline: Instant,
) -> RuntimeResult<Option<CellOutputs>> {
    let bounds = Bounds {
        head: MAX_CELL_TEXT_BYTES / 2,
        tail: MAX_CELL_TEXT_BYTES / 2,
        rich: MAX_CELL_RICH_BYTES,
        job: Some(job),
    };
    let mut fetched = match fetch_whole(connection, job, bounds, deadline).await {
        Err(error) if error.is_not_found() => return Ok(None),
        fetched => fetched?,
    };
    // The notebook has no states of widgets: what an Output widget shows stays with the cell.
    for shown in std::mem::take(&mut fetched.captured).into_values() {
        fetched.outputs.absorb(shown, fetched.job.log_bytes);
    }
    Ok(Some(CellOutputs {
        values: fetched.outputs.finish(fetched.job.log_bytes).values,
        job: fetched.job,
        execution_count: fetched.execution_count,
    }))
}

async fn fetch_whole(
    connection: &Arc<Connection>,
    id: JobId,
    bounds: Bounds,
    deadline: Instant,
) -> RuntimeResult<Fetched> {
    let until = connection.until(deadline);
    let code = until.code(id).await?;
    let mut outputs = Outputs::within(bounds);
    let mut captured = Captured::new();
    let mut execution_count = None;
    let mut states = Vec::new();
    let (mut after, mut text_bytes) = (0, 0);
    let job = loop {
        let page = until.events(id, after, Hold::none(PAGE_BYTES)).await?;
        for event in &page.events {
            match &event.kind {
                EventKind::Started {
                    execution_count: count,
                    ..
                } => execution_count = *count,
                EventKind::Stream { text, .. } => text_bytes += text.len(),
                EventKind::Widgets { states: kept } => states.extend(BlobRef::of(kept)),
                EventKind::DisplayData { .. }
                | EventKind::ExecuteResult { .. }
                | EventKind::ClearOutput { .. }
                | EventKind::Error(_)
                | EventKind::Batch { .. }
                | EventKind::Progress(_)
                | EventKind::Finished(_)
                | EventKind::Unknown => {}
            }
            match &event.widget {
                Some(widget) => {
                    let shown = captured.entry(widget.clone());
                    let shown = shown.or_insert_with(|| Outputs::within(bounds));
                    shown.take(event);
                }
                None => outputs.take(event),
            }
        }
        if !page.more {
            break page.job;
        }
        if page.next <= after {
            return Err(stall::fault(connection, after));
        }
        after = page.next;
        let last = page.job.last_seq.saturating_sub(MAX_LAST_EVENTS);
        if text_bytes > MAX_TEXT_BYTES && last > after {
            outputs.skip();
            captured.values_mut().for_each(Outputs::skip);
            after = last;
        }
    };
    let fetch = async |blob: BlobRef| match until.blob(id, blob.blob).await {
        Err(error) if error.is_not_found() => Ok(Bytes::new()),
        fetched => fetched,
    };
    for outputs in captured.values_mut().chain([&mut outputs]) {
        for (mime, blob, value) in outputs.blobs() {
            *value = in_place(mime, &fetch(blob).await?);
        }
    }
    let mut widgets = Map::new();
    for blob in states {
        if let Ok(Value::Object(states)) = serde_json::from_slice(&fetch(blob).await?) {
            widgets.extend(states);
        }
    }
    let setup = match job.iterations {
        Some(_) => until.setup(id).await?,
        None => String::new(),
    };
    // Output captured by a widget whose state was not kept stays with the cell.
    let is_kept = |(widget, _): &(String, Outputs)| widgets.contains_key(widget);
    let (captured, loose): (Captured, Captured) = captured.into_iter().partition(is_kept);
    for shown in loose.into_values() {
        outputs.absorb(shown, job.log_bytes);
    }
    Ok(Fetched {
        job,
        code,
        setup,
        outputs,
        execution_count,
        widgets,
        captured,
    })
}

fn in_place(mime: &str, bytes: &Bytes) -> Value {
    if !is_text(mime) {
        return Value::String(STANDARD.encode(bytes));
    }
    let text = String::from_utf8_lossy(bytes);
    let json = is_json(mime)
        .then(|| serde_json::from_str(&text).ok())
        .flatten();
    json.unwrap_or_else(|| Value::String(text.into_owned()))
}

/// Whether an error only means that the call's time has run out.
pub(super) fn is_late(error: &RuntimeError, deadline: Instant) -> bool {
    matches!(error, RuntimeError::TimedOut { .. }) && Instant::now() >= deadline
}
