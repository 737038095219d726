//! Gathers a job's outputs from its events, in one go or as they come.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;

use super::outputs::{Bounds, Captured, Outputs};
use super::shape::{is_json, is_text};
use crate::base::ids::JobId;
use crate::connection::{Connection, Until};
use crate::jobs::stall;
use crate::runtime::{Code, Hold, RuntimeResult};
use crate::wire::event::{BlobRef, Event, EventKind, StreamName};
use crate::wire::job::Job;
use crate::wire::limits::MAX_WAIT;

/// Bytes of events in one response.
pub(super) const PAGE_BYTES: u64 = 1024 * 1024;
/// Printed bytes after which only a job's last events are read: the rest is omitted anyway and would use up a tunnel's quota.
const MAX_TEXT_BYTES: usize = 8 * 1024 * 1024;
/// Printed bytes in a cell of a notebook that is being worked on, and bytes of everything else.
const MAX_CELL_TEXT_BYTES: usize = 100_000;
const MAX_CELL_RICH_BYTES: usize = 4 * 1024 * 1024;
/// Number of these last events, of 16 Ki characters at most.
const MAX_LAST_EVENTS: u64 = 500;

/// The outputs of a job up to one of its events.
#[derive(Debug, Clone)]
pub(super) struct Gathered {
    pub(super) outputs: Outputs,
    /// Contents of Output widgets by their models' ids.
    pub(super) captured: Captured,
    pub(super) execution_count: Option<u64>,
    /// States of widgets.
    pub(super) states: Vec<BlobRef>,
    bounds: Bounds,
    after: u64,
    text_bytes: usize,
}

impl Gathered {
    pub(super) fn within(bounds: Bounds) -> Self {
        Self {
            outputs: Outputs::within(bounds),
            captured: Captured::new(),
            execution_count: None,
            states: Vec::new(),
            bounds,
            after: 0,
            text_bytes: 0,
        }
    }

    /// Takes all events that there are; `hold` says how long to wait for the first.
    pub(super) async fn advance(
        &mut self,
        connection: &Arc<Connection>,
        id: JobId,
        mut hold: Hold,
        deadline: Instant,
    ) -> RuntimeResult<Job> {
        loop {
            let until = connection.until(deadline);
            let page = until.events(id, self.after, hold).await?;
            hold = Hold::none(PAGE_BYTES);
            // A try whose response was lost may have been answered twice.
            let new = page.events.iter().filter(|event| event.seq > self.after);
            for event in new.collect::<Vec<_>>() {
                self.take(event);
            }
            if !page.more {
                self.after = self.after.max(page.next);
                return Ok(page.job);
            }
            if page.next <= self.after {
                return Err(stall::fault(connection, self.after));
            }
            self.after = page.next;
            let last = page.job.last_seq.saturating_sub(MAX_LAST_EVENTS);
            if self.text_bytes > MAX_TEXT_BYTES && last > self.after {
                self.outputs.skip();
                self.captured.values_mut().for_each(Outputs::skip);
                self.after = last;
            }
        }
    }

    fn take(&mut self, event: &Event) {
        if is_warning(&event.kind) {
            return;
        }
        match &event.kind {
            EventKind::Started {
                execution_count: count,
                ..
            } => self.execution_count = *count,
            EventKind::Stream { text, .. } => self.text_bytes += text.len(),
            EventKind::Widgets { states } => self.states.extend(BlobRef::of(states)),
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
                let shown = self.captured.entry(widget.clone());
                let shown = shown.or_insert_with(|| Outputs::within(self.bounds));
                shown.take(event);
            }
            None => self.outputs.take(event),
        }
    }

    /// Fetches the values that are kept in blobs.
    pub(super) async fn fill(&mut self, until: &Until, id: JobId) -> RuntimeResult<()> {
        for outputs in self.captured.values_mut().chain([&mut self.outputs]) {
            for (mime, blob, value) in outputs.blobs() {
                *value = in_place(mime, &blob_of(until, id, blob).await?);
            }
        }
        Ok(())
    }
}

/// The outputs of one cell as nbformat has them, and the job that they are of.
pub(crate) struct CellOutputs {
    pub(crate) job: Job,
    pub(crate) values: Vec<Value>,
    pub(crate) execution_count: Option<u64>,
}

/// Reads the outputs of a job for a cell of a notebook that is being worked on, with less of them than an export has.
#[derive(Debug)]
pub(crate) struct CellReader {
    connection: Arc<Connection>,
    id: JobId,
    gathered: Gathered,
}

impl CellReader {
    pub(crate) fn new(connection: Arc<Connection>, id: JobId) -> Self {
        let bounds = Bounds {
            head: MAX_CELL_TEXT_BYTES / 2,
            tail: MAX_CELL_TEXT_BYTES / 2,
            rich: MAX_CELL_RICH_BYTES,
            job: Some(id),
        };
        let gathered = Gathered::within(bounds);
        Self {
            connection,
            id,
            gathered,
        }
    }

    /// The outputs up to now.
    pub(crate) async fn now(&mut self, deadline: Instant) -> RuntimeResult<CellOutputs> {
        self.read(Hold::none(PAGE_BYTES), deadline).await
    }

    /// The outputs once there are more, or after a while.
    pub(crate) async fn next(&mut self, deadline: Instant) -> RuntimeResult<CellOutputs> {
        self.read(Hold::up_to(MAX_WAIT, PAGE_BYTES), deadline).await
    }

    async fn read(&mut self, hold: Hold, deadline: Instant) -> RuntimeResult<CellOutputs> {
        let (connection, id) = (&self.connection, self.id);
        let job = self.gathered.advance(connection, id, hold, deadline);
        let job = job.await?;
        self.gathered.fill(&connection.until(deadline), id).await?;
        let Gathered {
            mut outputs,
            captured,
            execution_count,
            ..
        } = self.gathered.clone();
        // The notebook has no states of widgets: what an Output widget shows stays with the cell.
        for shown in captured.into_values() {
            outputs.absorb(shown, job.log_bytes);
        }
        Ok(CellOutputs {
            values: outputs.finish(job.log_bytes).values,
            job,
            execution_count,
        })
    }
}

/// The content of a blob; empty if the executor no longer has it.
pub(super) async fn blob_of(until: &Until, id: JobId, blob: BlobRef) -> RuntimeResult<Bytes> {
    match until.blob(id, blob.blob).await {
        Err(error) if error.is_not_found() => Ok(Bytes::new()),
        fetched => fetched,
    }
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

/// Whether it is the executor's warning by its policy: for the one who reads the reply, and no output of the code.
fn is_warning(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Stream { name: StreamName::Stderr, text } if text.starts_with("[policy: ") && text.ends_with("]\n"))
}

#[cfg(test)]
mod tests {
    use super::{EventKind, StreamName, is_warning};

    #[test]
    fn a_warning_by_the_policy_is_no_output_of_a_cell() {
        let says = |name, text: &str| {
            let text = text.to_owned();
            is_warning(&EventKind::Stream { name, text })
        };
        let warning = "[policy: line 2: deletes /opt/x (delete)]\n";
        assert!(says(StreamName::Stderr, warning));
        assert!(!says(StreamName::Stdout, warning));
        assert!(!says(StreamName::Stderr, "[policy: of the code itself]"));
    }
}
