//! Converts jobs into cells: one each, and one for all batches of a loop.

use std::ops::Range;

use serde_json::{Map, Value, json};

use super::fetch::Fetched;
use super::outputs::{Captured, Finished, Outputs};
use super::source::of_loop;
use crate::jobs::ending;
use crate::wire::job::Job;
use crate::wire::state::{JobState, Reason};

/// A code cell to which further batches may be added.
pub(super) struct Cell {
    id: String,
    /// The setup of a loop.
    setup: String,
    code: String,
    iterations: Option<Iterations>,
    execution_count: Option<u64>,
    outputs: Outputs,
    pub(super) log_bytes: u64,
    /// Sentences on jobs that did not finish.
    notes: Vec<String>,
    raised: bool,
    jobs: Vec<Value>,
    pub(super) widgets: Map<String, Value>,
    pub(super) captured: Captured,
}

struct Iterations {
    range: Range<u64>,
    total: u64,
}

impl Cell {
    pub(super) fn new(fetched: Fetched) -> Self {
        let job = &fetched.job;
        let iterations = job.iterations.as_ref().map(|iterations| Iterations {
            range: iterations.start..iterations.stop,
            total: iterations.total,
        });
        let mut cell = Self {
            id: job.id.to_string(),
            setup: fetched.setup,
            code: fetched.code,
            iterations,
            execution_count: fetched.execution_count,
            outputs: fetched.outputs,
            log_bytes: job.log_bytes,
            notes: Vec::new(),
            raised: false,
            jobs: Vec::new(),
            widgets: fetched.widgets,
            captured: fetched.captured,
        };
        cell.note(job);
        cell
    }

    /// Adds the next batch of the same loop; returns any other job unchanged.
    pub(super) fn grow(&mut self, fetched: Fetched) -> Option<Fetched> {
        let (Some(own), Some(next)) = (&mut self.iterations, &fetched.job.iterations) else {
            return Some(fetched);
        };
        // An unfinished batch is followed by one that begins in its middle; one that begins at the loop's start is another loop.
        let continues = own.range.start < next.start && next.start <= own.range.end;
        if !continues || own.total != next.total || self.code != fetched.code {
            return Some(fetched);
        }
        own.range.end = own.range.end.max(next.stop);
        self.log_bytes += fetched.job.log_bytes;
        self.execution_count = fetched.execution_count.or(self.execution_count);
        self.outputs.absorb(fetched.outputs, fetched.job.log_bytes);
        self.widgets.extend(fetched.widgets);
        absorb(&mut self.captured, fetched.captured, fetched.job.log_bytes);
        self.note(&fetched.job);
        None
    }

    pub(super) fn pictures(&self) -> u64 {
        self.outputs.pictures()
    }

    /// Returns an optional note cell, the code cell without outputs, and the outputs to put into it. A loop is headed by `loop_title`.
    pub(super) fn finish(self, loop_title: &str) -> (Option<Value>, Value, Finished) {
        let note = (!self.notes.is_empty()).then(|| {
            let text = self.notes.join("\n\n");
            markdown(&format!("note-{}", self.id), &text)
        });
        let source = match &self.iterations {
            Some(Iterations { range, total }) => {
                let code = of_loop(loop_title, &self.code, range, *total);
                match self.setup.trim_end() {
                    "" => code,
                    setup => format!("{setup}\n\n{code}"),
                }
            }
            None => self.code,
        };
        let mut metadata = json!({"smart_colab": {"jobs": self.jobs}});
        if self.raised {
            // Jupyter's tag for a cell whose exception does not stop running the whole notebook.
            metadata["tags"] = json!(["raises-exception"]);
        }
        let code = json!({
            "cell_type": "code",
            "id": self.id,
            "metadata": metadata,
            "execution_count": self.execution_count,
            "source": source,
            "outputs": [],
        });
        (note, code, self.outputs.finish(self.log_bytes))
    }

    fn note(&mut self, job: &Job) {
        self.jobs.push(json!({
            "job_id": job.id,
            "state": job.state,
            "started_at": job.started_at,
            "execution_time_sec": job.execution_time_sec,
        }));
        let by_python = matches!(job.reason, None | Some(Reason::PythonError));
        let sentence = match job.state {
            JobState::Succeeded => return,
            JobState::Failed if by_python => {
                self.raised = true;
                return;
            }
            JobState::Queued => "it was queued when this was written".into(),
            JobState::Running => "it was still running when this was written".into(),
            JobState::Failed | JobState::Interrupted | JobState::TimedOut | JobState::Lost => {
                ending::explain(job.reason.unwrap_or(Reason::Unknown), job).1
            }
        };
        let what = match &job.iterations {
            Some(batch) => format!("The batch of the code below from iteration {}", batch.start),
            None => "The code below".to_owned(),
        };
        self.notes
            .push(format!("**{what} did not finish:** {sentence}."));
    }
}

/// Adds later outputs of widgets, from a log of `log_bytes`.
pub(super) fn absorb(captured: &mut Captured, later: Captured, log_bytes: u64) {
    for (widget, outputs) in later {
        let shown = captured.entry(widget).or_default();
        shown.absorb(outputs, log_bytes);
    }
}

pub(super) fn markdown(id: &str, text: &str) -> Value {
    json!({"cell_type": "markdown", "id": id, "metadata": {}, "source": text})
}
