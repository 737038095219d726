//! Ending what runs: jobs, and sessions with all of theirs.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Jobs;
use super::follow::{self, Watch};
use crate::base::ids::JobId;
use crate::runtime::connection::Connection;
use crate::runtime::{Runtime, RuntimeResult};
use crate::wire::event::Event;
use crate::wire::job::Job;
use crate::wire::session::Restarted;

/// How long an interrupt is tried for after the caller has gone.
const INTERRUPT: Duration = Duration::from_secs(20);
/// Between two looks for a job that may not have arrived yet.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

impl Jobs {
    /// Asks for a job's end and says how it stands.
    ///
    /// # Errors
    /// Those of the runtime, after repeating until `deadline`.
    pub async fn interrupt(&self, id: JobId, deadline: Instant) -> RuntimeResult<Job> {
        let asked = interrupt(&self.connection, id, JobId::fresh(), deadline).await;
        asked.map_err(|error| self.refined(id, &error).unwrap_or(error))
    }

    /// Asks for a job's end and waits until the watch's patience ends for it to come.
    ///
    /// # Errors
    /// Those of the runtime, after repeating until the watch's deadline.
    pub async fn end(&self, id: JobId, watch: &Watch<'_>) -> RuntimeResult<Job> {
        let asked = self.interrupt(id, watch.deadline).await?;
        if asked.state.is_final() {
            return Ok(asked);
        }
        let mut pass_over = |_: &Event| ControlFlow::Continue(());
        let followed = follow::follow(&self.connection, id, asked.last_seq, watch, &mut pass_over);
        Ok(followed.await.job.unwrap_or(asked))
    }

    /// Ends a session's kernel with all its jobs, and starts a new one. Done once, or not known to be done: see [`RuntimeError::reach`].
    ///
    /// # Errors
    /// Those of the runtime.
    pub async fn restart_session(&self, name: &str, deadline: Instant) -> RuntimeResult<Restarted> {
        let restart =
            |runtime: Arc<dyn Runtime>| async move { runtime.restart_session(name).await };
        let restarted = self.connection.ask_once(deadline, restart).await?;
        // Whoever asked for it need not be told.
        self.kernels.forget(name);
        Ok(restarted)
    }

    /// Ends a session's kernel with all its jobs for good; what it returns and when it fails as [`Jobs::restart_session`].
    ///
    /// # Errors
    /// Those of the runtime.
    pub async fn remove_session(
        &self,
        name: &str,
        deadline: Instant,
    ) -> RuntimeResult<Vec<String>> {
        let remove = |runtime: Arc<dyn Runtime>| async move { runtime.remove_session(name).await };
        let removed = self.connection.ask_once(deadline, remove).await?;
        self.kernels.forget(name);
        Ok(removed.ended_jobs)
    }

    /// Interrupts a job after its caller has gone; one that is still on its way too.
    pub(crate) fn interrupt_later(&self, id: JobId) {
        let connection = self.connection.clone();
        let (deadline, request) = (Instant::now() + INTERRUPT, JobId::fresh());
        tokio::spawn(async move {
            loop {
                match interrupt(&connection, id, request, deadline).await {
                    Ok(_) => return,
                    Err(error)
                        if error.is_not_found() && Instant::now() + ON_ITS_WAY < deadline =>
                    {
                        sleep(ON_ITS_WAY).await;
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

/// However often it is sent under one `request`, code that tidies up after an interrupt is not interrupted in that.
async fn interrupt(
    connection: &Connection,
    id: JobId,
    request: JobId,
    deadline: Instant,
) -> RuntimeResult<Job> {
    let question = |runtime: Arc<dyn Runtime>| async move { runtime.interrupt(id, request).await };
    connection.ask(deadline, question).await
}
