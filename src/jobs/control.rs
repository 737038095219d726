//! Ending jobs, and sessions with all their jobs.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Jobs;
use super::follow;
use crate::base::advice::{Advice, Step};
use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::connection::Connection;
use crate::runtime::{Code, RuntimeError, RuntimeResult, Sessions};
use crate::wire::event::Event;
use crate::wire::job::{InputRequest, Job};
use crate::wire::session::{Restarted, Session, kernel_of_adopted, name_of_adopted};
use crate::wire::state::JobState;

/// How long an interrupt is retried after the caller has gone.
const INTERRUPT_TIMEOUT: Duration = Duration::from_secs(20);
/// Interval between checks for a job that may not have arrived yet.
const ARRIVAL_POLL_INTERVAL: Duration = Duration::from_secs(2);

impl Jobs {
    /// Requests a job's end and returns its current state.
    ///
    /// # Errors
    /// As the runtime reports, after retries until `deadline`.
    pub async fn interrupt(&self, id: JobId, deadline: Instant) -> RuntimeResult<Job> {
        let asked = interrupt(&self.connection, id, JobId::fresh(), deadline).await;
        asked.map_err(|error| self.classify_missing(id, &error).unwrap_or(error))
    }

    /// Answers a question of a job's code; false if the code does not ask it now.
    ///
    /// # Errors
    /// As the runtime reports, after retries until `deadline`.
    pub async fn answer(
        &self,
        id: JobId,
        answer: &InputRequest,
        deadline: Instant,
    ) -> RuntimeResult<bool> {
        match self.connection.until(deadline).answer(id, answer).await {
            Ok(_) => Ok(true),
            Err(RuntimeError::Refused(problem)) if problem.code == "not_asking" => Ok(false),
            Err(error) => Err(self.classify_missing(id, &error).unwrap_or(error)),
        }
    }

    /// Requests a job's end and waits for it until the caller's patience ends.
    ///
    /// # Errors
    /// As the runtime reports, after retries until the caller's deadline.
    pub async fn end(&self, id: JobId, caller: &Caller<'_>) -> RuntimeResult<Job> {
        let asked = self.interrupt(id, caller.deadline).await?;
        if asked.state.is_final() {
            return Ok(asked);
        }
        let mut pass_over = |_: &Event| ControlFlow::Continue(());
        let followed = follow::follow(&self.connection, id, asked.last_seq, caller, &mut pass_over);
        Ok(followed.await.job.unwrap_or(asked))
    }

    /// Looks up a session by its name.
    ///
    /// # Errors
    /// [`RuntimeError::UnknownSession`] with the existing names; else as the runtime reports, after retries until `deadline`.
    pub async fn session(&self, name: &str, deadline: Instant) -> RuntimeResult<Session> {
        let mut sessions = self.connection.until(deadline).sessions().await?;
        match sessions.iter().position(|session| session.name == name) {
            Some(at) => Ok(sessions.swap_remove(at)),
            None => Err(RuntimeError::UnknownSession {
                name: name.to_owned(),
                known: sessions.into_iter().map(|session| session.name).collect(),
            }),
        }
    }

    /// The job running in a session or, while its kernel is still starting, the first in its queue.
    ///
    /// # Errors
    /// As [`Jobs::session`].
    pub async fn current(&self, session: &str, deadline: Instant) -> RuntimeResult<Option<JobId>> {
        loop {
            let found = self.session(session, deadline).await?;
            if let Some(id) = found.running_job {
                return Ok(id.parse().ok());
            }
            if found.queued_jobs == 0 {
                return Ok(None);
            }
            let queued = self.newest(Some(session), Some(JobState::Queued), deadline);
            let queued = queued.await?.into_iter();
            if let Some(first) = queued.min_by_key(|job| job.queue_position) {
                return Ok(Some(first.id));
            }
            // It began to run between the two requests.
        }
    }

    /// Ends a session's kernel with all its jobs, and starts a new one. Happens at most once; whether it did after an error, see
    /// [`RuntimeError::reach`].
    ///
    /// # Errors
    /// As the runtime reports.
    pub async fn restart_session(&self, name: &str, deadline: Instant) -> RuntimeResult<Restarted> {
        let until = self.connection.until(deadline);
        let restarted = until.restart_session(name).await?;
        // Requested by the caller, so not worth a note in its next answer.
        self.kernels.forget(name);
        Ok(restarted)
    }

    /// Has the Jupyter Server restart a kernel of its own in which a session runs, after the end of the session's jobs; returns their ids. Sent
    /// once, as [`Jobs::restart_session`].
    ///
    /// # Errors
    /// As the runtime and the server report.
    pub async fn restart_adopted(
        &self,
        kernel: &str,
        deadline: Instant,
    ) -> RuntimeResult<Vec<String>> {
        let name = name_of_adopted(kernel);
        let Some(server) = self.connection.server_of(kernel, deadline).await? else {
            // Its executor knows that it cannot.
            return Ok(self.restart_session(&name, deadline).await?.ended_jobs);
        };
        let ended = match self.remove_session(&name, deadline).await {
            Err(RuntimeError::UnknownSession { .. }) => Vec::new(),
            Err(error) if error.is_not_found() => Vec::new(),
            removed => removed?,
        };
        let restart = server.restart_kernel(kernel);
        self.connection.asked(restart, deadline).await?;
        Ok(ended)
    }

    /// Ends a session's kernel with all its jobs for good and returns the ids of those jobs.
    ///
    /// # Errors
    /// As [`Jobs::restart_session`].
    pub async fn remove_session(
        &self,
        name: &str,
        deadline: Instant,
    ) -> RuntimeResult<Vec<String>> {
        let until = self.connection.until(deadline);
        let removed = until.remove_session(name).await?;
        self.kernels.forget(name);
        Ok(removed.ended_jobs)
    }

    /// Interrupts a job after its caller has gone, even one that has not reached the executor yet.
    pub(crate) fn interrupt_later(&self, id: JobId) {
        self.interrupt_until(id, Instant::now() + INTERRUPT_TIMEOUT);
    }

    /// The same, tried until `deadline`.
    pub(crate) fn interrupt_until(&self, id: JobId, deadline: Instant) {
        let connection = self.connection.clone();
        let request = JobId::fresh();
        tokio::spawn(async move {
            loop {
                match interrupt(&connection, id, request, deadline).await {
                    Ok(_) => return,
                    Err(error)
                        if error.is_not_found()
                            && Instant::now() + ARRIVAL_POLL_INTERVAL < deadline =>
                    {
                        sleep(ARRIVAL_POLL_INTERVAL).await;
                    }
                    Err(error) => {
                        tracing::warn!(job = %id, %error, "a cancelled job could not be interrupted");
                        return;
                    }
                }
            }
        });
    }
}

/// Interrupts a job once for each `request`, however often it is sent, so that a retry does not interrupt the code's own cleanup.
async fn interrupt(
    connection: &Arc<Connection>,
    id: JobId,
    request: JobId,
    deadline: Instant,
) -> RuntimeResult<Job> {
    connection.until(deadline).interrupt(id, request).await
}

/// Explains what a queued job waits for, and the ways out; none where no other code runs in its session.
pub(crate) fn explain_queue(job: &Job) -> Option<Advice> {
    let (id, session) = (job.id, &job.session);
    let Some(running) = job.behind else {
        kernel_of_adopted(session)?;
        let waits = format!(
            "The code has not started: it waits for a cell of the notebook's own that runs in session {session}, and runs when that has ended. The \
             user can stop the cell in the notebook, and nothing here does. To run this code in another session, first take it out of the queue: "
        );
        return Some(Advice::from(waits) + Step::interrupt(id) + ".");
    };
    let others = match job.queue_position {
        Some(position @ 2..) => format!(", and {} more before it", position - 1),
        _ => String::new(),
    };
    let waits = format!(
        "The code has not started: it waits for job {running}, which runs in session {session}{others}. "
    );
    Some(
        Advice::from(waits)
            + Step::interrupt(running)
            + " ends that job; "
            + Step::RestartSession
            + " ends all running and queued code there and loses the variables. To run this code in another session, first take it out of the queue: "
            + Step::interrupt(id)
            + ".",
    )
}
