//! A job's output as it comes, handed to a [`Tap`] in order, for a face that shows it at once.

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::Instant;

use super::Jobs;
use super::collect::{Collector, Tap};
use super::follow::{Ended, Followed, follow};
use super::keep::Kept;
use super::summary::explain_end;
use crate::base::advice::Advice;
use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::runtime::{RuntimeError, RuntimeResult};
use crate::wire::event::{Finished, PythonError};
use crate::wire::job::{Job, JobRequest};
use crate::wire::state::JobState;

/// For fetching the pictures of one moment, and what was printed after the end.
const KEEP_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the following of a job stopped.
#[derive(Debug)]
pub struct Ran {
    pub id: JobId,
    /// As last reported by the runtime; none if it never answered.
    pub job: Option<Job>,
    /// The exception that was shown last.
    pub error: Option<PythonError>,
    /// The facts of its end.
    pub finished: Option<Finished>,
    /// Why it is not followed any more, if that is not its own end or the caller's wish.
    pub trouble: Option<RuntimeError>,
}

impl Ran {
    #[must_use]
    pub fn state(&self) -> Option<JobState> {
        self.job.as_ref().map(|job| job.state)
    }

    /// The error's code, sentence and advice if the code has ended without success.
    #[must_use]
    pub fn fault(&self) -> Option<(&'static str, Cow<'static, str>, Advice)> {
        let job = self.job.as_ref().filter(|job| job.state.is_final())?;
        explain_end(job, self.error.as_ref())
    }
}

impl Jobs {
    /// Runs code as the job `id`, which must be a fresh one, and hands its output to `tap` until its end, the caller's patience or its
    /// cancellation, which does not stop the code.
    ///
    /// # Errors
    /// Only when the code certainly did not start.
    pub async fn run_live(
        &self,
        id: JobId,
        request: &JobRequest,
        tap: Box<dyn Tap>,
        caller: &Caller<'_>,
    ) -> RuntimeResult<Ran> {
        let mut collector = Collector::tapped(tap);
        let submitted = self.submit(&self.store, id, request, caller, &mut collector);
        let followed = submitted.await?;
        Ok(self.hand_on(followed, collector, caller).await)
    }

    /// The same for a job that was sent before, with all its output; the wish of the caller ends only the wait.
    ///
    /// # Errors
    /// When nothing could be read.
    pub async fn look_live(
        &self,
        id: JobId,
        tap: Box<dyn Tap>,
        caller: &Caller<'_>,
    ) -> RuntimeResult<Ran> {
        let mut collector = Collector::tapped(tap);
        let followed = follow(&self.connection, id, 0, caller, &mut collector).await;
        let ran = self.hand_on(followed, collector, caller).await;
        match ran {
            Ran {
                job: None,
                trouble: Some(error),
                ..
            } => Err(error),
            ran => Ok(ran),
        }
    }

    /// Hands on what is kept of the displays so far, and follows the job further, until there is no reason to.
    async fn hand_on(
        &self,
        mut followed: Followed,
        mut collector: Collector,
        caller: &Caller<'_>,
    ) -> Ran {
        let id = followed.id;
        loop {
            let has_more = matches!(followed.ended, Ended::Full);
            let attachments = match has_more {
                true => std::mem::take(&mut collector.attachments),
                false => collector.take_attachments(),
            };
            if !attachments.is_empty() {
                let mut kept = Kept::default();
                let deadline = Instant::now() + KEEP_TIMEOUT;
                self.keep(id, &attachments, deadline, &mut kept).await;
                collector.hand_on(&kept);
            }
            if !has_more {
                break;
            }
            let job = followed.job.take();
            followed = follow(&self.connection, id, followed.next, caller, &mut collector).await;
            followed.job = followed.job.or(job);
        }
        self.note(&mut followed);
        if let Some(job) = &followed.job {
            let deadline = Instant::now() + KEEP_TIMEOUT;
            let late = self.keeper.late_output(&self.connection, job, deadline);
            if let Some(late) = late.await {
                collector.append_late(&late.text);
            }
        }
        Ran {
            id,
            job: followed.job,
            error: collector.error.take(),
            finished: collector.finished.take(),
            trouble: match followed.ended {
                Ended::Trouble(error) => Some(error),
                Ended::Finished
                | Ended::Full
                | Ended::Deadline
                | Ended::Cancelled
                | Ended::Left => None,
            },
        }
    }
}
