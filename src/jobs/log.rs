//! A job's output as one text: its length, any part of it, and whether it is growing.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::Instant;

use super::Jobs;
use super::store::Record;
use crate::base::ids::JobId;
use crate::runtime::{Code, Hold, RuntimeResult};
use crate::wire::job::Job;

/// The fewest bytes of events that can be requested: only the job beside them is wanted.
const MIN_BYTES: u64 = 1_024;

impl Jobs {
    /// The jobs recorded on this computer, newest first. Reads the disk.
    #[must_use]
    pub fn remembered(&self, count: usize) -> Vec<Record> {
        self.store.newest(count)
    }

    /// Returns a job's state after waiting up to `wait_sec` (0 to 25) for the first event after `after`; its output is not fetched.
    ///
    /// # Errors
    /// As the runtime reports, after retries until `deadline`.
    pub async fn poll(
        &self,
        id: JobId,
        after: u64,
        wait_sec: f64,
        deadline: Instant,
    ) -> RuntimeResult<Job> {
        let hold = Hold::up_to(Duration::from_secs_f64(wait_sec), MIN_BYTES);
        let until = self.connection.until(deadline);
        match until.events(id, after, hold).await {
            Ok(page) => Ok(page.job),
            Err(error) => Err(self.classify_missing(id, &error).unwrap_or(error)),
        }
    }

    /// Reads at most `count` bytes of a job's log, from byte `from` on.
    ///
    /// # Errors
    /// As the runtime reports, after retries until `deadline`.
    pub async fn log(
        &self,
        id: JobId,
        from: u64,
        count: usize,
        deadline: Instant,
    ) -> RuntimeResult<Vec<u8>> {
        let read = async {
            let mut stream = self.connection.until(deadline).log(id, from).await?;
            let mut bytes = Vec::new();
            while bytes.len() < count
                && let Some(piece) = stream.next().await
            {
                bytes.extend_from_slice(&piece?);
            }
            bytes.truncate(count);
            Ok(bytes)
        };
        read.await
            .map_err(|error| self.classify_missing(id, &error).unwrap_or(error))
    }
}
