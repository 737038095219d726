//! Takes what the job of an operation reports, into the books.

use std::ops::ControlFlow;

use super::running::Running;
use crate::caller::Progress;
use crate::checkpoints::CheckpointError;
use crate::jobs::Jobs;
use crate::jobs::follow::{Ended, Followed, Reader};
use crate::runtime::RuntimeError;
use crate::wire::event::{Event, EventKind};

/// Reads a job's events into the books.
pub(super) struct JobReader<'a> {
    running: &'a Running,
    trouble: Option<CheckpointError>,
}

impl<'a> JobReader<'a> {
    pub(super) fn new(running: &'a Running) -> Self {
        Self {
            running,
            trouble: None,
        }
    }

    /// Keeps what an answer says about the job: a call may end long before the job is followed no further.
    pub(super) fn note(running: &Running, progress: &Progress<'_>) {
        if let Progress::Job { job, .. } = progress {
            running.books().job = Some((*job).clone());
        }
    }

    /// Returns where following the job ended; none if the executor does not know it.
    pub(super) fn done(
        self,
        jobs: &Jobs,
        followed: Followed,
    ) -> Result<Option<Followed>, CheckpointError> {
        let is_unknown = matches!(&followed.ended, Ended::Trouble(error) if error.is_not_found());
        let is_gone = is_unknown
            || matches!(
                followed.ended,
                Ended::Trouble(RuntimeError::EndedWithClient)
            );
        let mut books = self.running.books();
        if let Some(job) = &followed.job {
            books.output.job_runs = !job.state.is_final();
            books.job = Some(job.clone());
        }
        books.output.job_runs &= !is_gone;
        drop(books);
        if let Some(trouble) = self.trouble {
            return Err(trouble);
        }
        if is_unknown && let Some(error) = jobs.other_client(followed.id) {
            // It may be running there; sending it again would run it twice.
            return Err(error.into());
        }
        Ok((!is_unknown).then_some(followed))
    }
}

impl Reader for JobReader<'_> {
    fn take(&mut self, event: &Event) -> ControlFlow<()> {
        let mut books = self.running.books();
        books.seen = event.seq;
        let taken = match &event.kind {
            EventKind::Started { kernel_id, .. } => {
                let flight = books.ledger.checkpoint.in_flight.as_mut();
                if let Some(flight) = flight.filter(|_| self.running.plan.has_setup_in_session()) {
                    flight.kernel_id = Some(kernel_id.clone());
                }
                Ok(false)
            }
            EventKind::Batch { .. } => books.ledger.begin_batch().map(|()| true),
            EventKind::Progress(progress) => books.ledger.credit(progress),
            EventKind::Finished(finished) => {
                books.reruns = finished.reruns;
                Ok(false)
            }
            EventKind::Stream { .. }
            | EventKind::DisplayData { .. }
            | EventKind::ExecuteResult { .. }
            | EventKind::Widgets { .. }
            | EventKind::ClearOutput { .. }
            | EventKind::Error(_)
            | EventKind::Unknown => Ok(false),
        };
        let flight = books.ledger.checkpoint.in_flight.as_ref();
        let was_stopped = flight.is_some_and(|flight| flight.cancelled);
        // The interrupt was asked for, so its traceback is no news.
        let is_no_news = was_stopped
            && matches!(&event.kind, EventKind::Error(error) if error.ename == "KeyboardInterrupt");
        let flow = if is_no_news {
            ControlFlow::Continue(())
        } else {
            books.output.take(event)
        };
        drop(books);
        match taken {
            Ok(is_news) => {
                if is_news {
                    self.running.changed();
                }
                flow
            }
            Err(error) => {
                self.trouble = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}
