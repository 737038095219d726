//! Watches a job's output for changes until it has ended.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Tasks;
use crate::base::ids::JobId;
use crate::wire::limits::MAX_WAIT;

/// Timeout of one request, which the executor may hold for `MAX_WAIT`.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);
/// Pause after a change, longer for older watches: a tunnel's requests are limited, and code may run for hours.
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// The age of a watch divided by the pause after a change.
const PAUSE_SHARE: u32 = 60;
/// Delays while the runtime does not answer.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(15);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(300);

/// The changes of one job's output. The output itself is not fetched.
#[derive(Debug)]
pub struct Changes<'a> {
    tasks: &'a Tasks,
    id: JobId,
    begun: Instant,
    after: u64,
    /// The length of the log, and whether the job had ended; none before the first request.
    last: Option<(u64, bool)>,
}

impl Tasks {
    /// Watches a job's output from now on.
    #[must_use]
    pub fn changes(&self, id: JobId) -> Changes<'_> {
        Changes {
            tasks: self,
            id,
            begun: Instant::now(),
            after: 0,
            last: None,
        }
    }
}

impl Changes<'_> {
    /// Waits for the next change. False if there can be no more: the job has ended, or is no longer known.
    pub async fn next(&mut self) -> bool {
        let mut delay = MIN_RETRY_DELAY;
        self.pause().await;
        while !self.is_over() {
            let wait_sec = self.last.map_or(0.0, |_| MAX_WAIT.as_secs_f64());
            let deadline = Instant::now() + ANSWER_TIMEOUT;
            let jobs = &self.tasks.jobs;
            let job = match jobs.poll(self.id, self.after, wait_sec, deadline).await {
                Ok(job) => job,
                Err(error) if error.is_not_found() => return false,
                Err(error) => {
                    tracing::debug!(job = %self.id, %error, "could not poll a watched log");
                    sleep(delay).await;
                    delay = (delay * 2).min(MAX_RETRY_DELAY);
                    continue;
                }
            };
            let state = (job.log_bytes, job.state.is_final());
            let before = self.last.replace(state);
            self.after = job.last_seq;
            // The output of a running job at the first request may be newer than what the client has read.
            if before.map_or(!self.is_over(), |before| before != state) {
                return true;
            }
            delay = MIN_RETRY_DELAY;
            self.pause().await;
        }
        false
    }

    fn is_over(&self) -> bool {
        matches!(self.last, Some((_, true)))
    }

    async fn pause(&self) {
        if let Some((_, false)) = self.last {
            let pause = self.begun.elapsed() / PAUSE_SHARE;
            sleep(pause.clamp(MIN_PAUSE, MAX_PAUSE)).await;
        }
    }
}
