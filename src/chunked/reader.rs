//! Takes what one job of an operation tells, into the books and the answer.

use std::ops::ControlFlow;

use super::checkpoint::{Flight, Work};
use super::error::ChunkedError;
use super::ledger::Ledger;
use super::output::Output;
use super::watch::Watch;
use crate::jobs::follow::{Ended, Followed, Reader};
use crate::wire::event::{Event, EventKind};

/// What became of a job.
pub(super) enum Landing {
    Followed(Box<Followed>),
    /// The executor knows nothing of it and never ran it with our setup.
    Unknown,
    /// It runs in a kernel that the setup did not run in.
    Foreign,
}

/// Reads one job's events into the books and the answer.
pub(super) struct BatchReader<'a> {
    watch: &'a Watch<'a>,
    ledger: &'a mut Ledger,
    output: &'a mut Output,
    /// A batch is good only in the kernel that was set up.
    kernel_id: Option<String>,
    is_foreign: bool,
    trouble: Option<ChunkedError>,
}

impl<'a> BatchReader<'a> {
    pub(super) fn new(
        flight: &Flight,
        watch: &'a Watch<'a>,
        ledger: &'a mut Ledger,
        output: &'a mut Output,
    ) -> Self {
        let kernel_id = match flight.work {
            Work::Setup => None,
            Work::Batch { .. } => ledger.checkpoint.kernel_id.clone(),
        };
        Self {
            watch,
            ledger,
            output,
            kernel_id,
            is_foreign: false,
            trouble: None,
        }
    }

    pub(super) fn done(self, followed: Followed) -> Result<Landing, ChunkedError> {
        if let Some(trouble) = self.trouble {
            return Err(trouble);
        }
        if self.is_foreign {
            return Ok(Landing::Foreign);
        }
        Ok(match &followed.ended {
            Ended::Trouble(error) if error.is_not_found() => Landing::Unknown,
            Ended::Finished
            | Ended::Full
            | Ended::Deadline
            | Ended::Cancelled
            | Ended::Trouble(_) => Landing::Followed(Box::new(followed)),
        })
    }
}

impl Reader for BatchReader<'_> {
    fn take(&mut self, event: &Event) -> ControlFlow<()> {
        match &event.kind {
            EventKind::Started { kernel_id }
                if self
                    .kernel_id
                    .as_ref()
                    .is_some_and(|ours| ours != kernel_id) =>
            {
                self.is_foreign = true;
                return ControlFlow::Break(());
            }
            EventKind::Progress(progress) => match self.ledger.credit(progress) {
                Ok(true) => (self.watch.moved)(
                    self.ledger.checkpoint.completed,
                    self.ledger.checkpoint.total,
                ),
                Ok(false) => {}
                Err(error) => {
                    self.trouble = Some(error);
                    return ControlFlow::Break(());
                }
            },
            EventKind::Started { .. }
            | EventKind::Stream { .. }
            | EventKind::DisplayData { .. }
            | EventKind::ExecuteResult { .. }
            | EventKind::Error(_)
            | EventKind::Finished(_)
            | EventKind::Unknown => {}
        }
        self.output.take(event)
    }
}
