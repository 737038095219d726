//! Whether a job's output has changed, for as long as it may.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Tasks;
use crate::base::ids::JobId;
use crate::wire::limits::MAX_WAIT;

/// How long one question about a job may take, which the executor may hold for `MAX_WAIT`.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);
/// Between two changes: short while they are young; a tunnel's requests are counted, and code may run for hours.
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// How much longer each pause is than the changes are old.
const PAUSE_SHARE: u32 = 60;
/// While the runtime cannot be asked.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(15);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(300);

/// The changes of one job's output. The output itself does not travel.
#[derive(Debug)]
pub struct Changes<'a> {
    tasks: &'a Tasks,
    id: JobId,
    begun: Instant,
    after: u64,
    /// The length of the log, and whether the job was over; none before the first look.
    last: Option<(u64, bool)>,
}

impl Tasks {
    /// The changes of a job's output from now on.
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
    /// Waits for the next change. False when there can be no more: the job has ended, or is not known any more.
    pub async fn next(&mut self) -> bool {
        let mut rest = MIN_RETRY_DELAY;
        self.pause().await;
        while !self.is_over() {
            let wait_sec = self.last.map_or(0.0, |_| MAX_WAIT.as_secs_f64());
            let deadline = Instant::now() + ANSWER_TIMEOUT;
            let jobs = &self.tasks.jobs;
            let job = match jobs.poll(self.id, self.after, wait_sec, deadline).await {
                Ok(job) => job,
                Err(error) if error.is_not_found() => return false,
                Err(error) => {
                    tracing::debug!(job = %self.id, %error, "a log that is watched cannot be looked at");
                    sleep(rest).await;
                    rest = (rest * 2).min(MAX_RETRY_DELAY);
                    continue;
                }
            };
            let state = (job.log_bytes, job.state.is_final());
            let before = self.last.replace(state);
            self.after = job.last_seq;
            // Of a job that runs, what is there at the first look may have come just before.
            if before.map_or(!self.is_over(), |before| before != state) {
                return true;
            }
            rest = MIN_RETRY_DELAY;
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
