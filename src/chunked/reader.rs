//! Records the events of one job of an operation in the ledger and the answer.

use std::ops::ControlFlow;

use super::ledger::Ledger;
use super::output::Output;
use crate::caller::{Caller, Progress};
use crate::checkpoints::CheckpointError;
use crate::jobs::Jobs;
use crate::jobs::follow::{Ended, Followed, Reader};
use crate::runtime::RuntimeError;
use crate::wire::event::{Event, EventKind};

/// Reads one job's events into the ledger and the answer.
pub(super) struct BatchReader<'a> {
    caller: &'a Caller<'a>,
    ledger: &'a mut Ledger,
    output: &'a mut Output,
    trouble: Option<CheckpointError>,
}

impl<'a> BatchReader<'a> {
    pub(super) fn new(
        caller: &'a Caller<'a>,
        ledger: &'a mut Ledger,
        output: &'a mut Output,
    ) -> Self {
        Self {
            caller,
            ledger,
            output,
            trouble: None,
        }
    }

    /// Returns where following the job ended; none if the executor does not know it.
    pub(super) fn done(
        self,
        jobs: &Jobs,
        followed: Followed,
    ) -> Result<Option<Followed>, CheckpointError> {
        let ended_with_client = matches!(
            followed.ended,
            Ended::Trouble(RuntimeError::EndedWithClient)
        );
        let job = followed.job.as_ref().filter(|_| !ended_with_client);
        self.output.job_runs = job.is_some_and(|job| !job.state.is_final());
        if let Some(trouble) = self.trouble {
            return Err(trouble);
        }
        let is_unknown = matches!(&followed.ended, Ended::Trouble(error) if error.is_not_found());
        if is_unknown && let Some(error) = jobs.other_client(followed.id) {
            // It may be running there; sending it again would run it twice.
            return Err(error.into());
        }
        Ok((!is_unknown).then_some(followed))
    }
}

impl Reader for BatchReader<'_> {
    fn take(&mut self, event: &Event) -> ControlFlow<()> {
        if let EventKind::Progress(progress) = &event.kind {
            match self.ledger.credit(progress) {
                Ok(true) => (self.caller.report)(Progress::Count {
                    done: self.ledger.checkpoint.completed,
                    total: self.ledger.checkpoint.total,
                }),
                Ok(false) => {}
                Err(error) => {
                    self.trouble = Some(error);
                    return ControlFlow::Break(());
                }
            }
        }
        self.output.take(event)
    }
}
