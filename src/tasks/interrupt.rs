//! Ending running or queued code, and transfers.

use std::time::Duration;

use tokio::time::Instant;

use super::{TaskError, Tasks};
use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::runtime::{RuntimeError, RuntimeResult};
use crate::transfer::Look;
use crate::wire::job::Job;

/// What to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Job(JobId),
    /// The job running in this session.
    Session(String),
}

/// What was ended.
#[derive(Debug)]
pub enum Stopped {
    Code(Box<Interrupted>),
    Transfer(Look),
}

/// The result of an interrupt.
#[derive(Debug)]
pub struct Interrupted {
    /// The job's current state; none if nothing was running.
    pub job: Option<Job>,
    pub session: String,
    /// Number of jobs queued in the session now; none if unknown.
    pub queued_jobs: Option<u64>,
}

impl Tasks {
    /// Ends a transfer, or interrupts code once it is the caller's turn, and waits for its end, `wait` at most.
    ///
    /// # Errors
    /// [`TaskError::NotHere`] for a transfer of another process; else as the runtime reports, after retries until the caller's deadline.
    pub async fn interrupt(
        &self,
        target: Target,
        wait: Duration,
        caller: &Caller<'_>,
    ) -> Result<Stopped, TaskError> {
        let named = match &target {
            Target::Job(id) => Some(*id),
            Target::Session(_) => None,
        };
        if let Some(id) = named {
            let waiting = Caller::until(caller.deadline.min(Instant::now() + wait));
            let look = match self.downloads.stop(id, &waiting).await {
                None => self.uploads.stop(id, &waiting).await,
                look => look,
            };
            if let Some(look) = look {
                return Ok(Stopped::Transfer(look));
            }
        }
        tokio::select! {
            biased;
            () = caller.cancelled.cancelled() => Err(RuntimeError::Cancelled.into()),
            done = self.end(target, wait, caller) => done.map(|done| Stopped::Code(Box::new(done))).map_err(|error| match named {
                Some(id) if error.is_not_found() && self.downloads.is_transfer(id) => TaskError::NotHere,
                _ => error.into(),
            }),
        }
    }

    async fn end(
        &self,
        target: Target,
        wait: Duration,
        caller: &Caller<'_>,
    ) -> RuntimeResult<Interrupted> {
        if let Some(turn) = caller.turn {
            turn.wait_briefly(caller.deadline).await;
        }
        let (id, session) = match target {
            Target::Job(id) => (Some(id), None),
            Target::Session(name) => (self.jobs.current(&name, caller.deadline).await?, Some(name)),
        };
        let job = match id {
            Some(id) => Some(self.jobs.end(id, &caller.clone().at_most(wait)).await?),
            None => None,
        };
        let of_job = job.as_ref().map(|job| job.session.clone());
        let session = of_job.or(session).unwrap_or_default();
        // The interrupt succeeded, even if its session is gone or this request fails.
        let queued = self.jobs.session(&session, caller.deadline).await;
        Ok(Interrupted {
            job,
            session,
            queued_jobs: queued.ok().map(|session| session.queued_jobs),
        })
    }
}
