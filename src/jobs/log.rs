//! A job's output as one text: how much of it there is, a part of it, and whether it grows.

use std::sync::Arc;

use futures_util::StreamExt;
use tokio::time::Instant;

use super::Jobs;
use super::store::Record;
use crate::base::ids::JobId;
use crate::runtime::{Runtime, RuntimeResult};
use crate::wire::job::{Job, Poll};

/// The fewest bytes of events that an executor can be asked for: only the job beside them is wanted.
const FEWEST_BYTES: u64 = 1_024;

impl Jobs {
    /// The newest jobs that this computer remembers, newest first. Reads the disk.
    #[must_use]
    pub fn remembered(&self, count: usize) -> Vec<Record> {
        self.store.newest(count)
    }

    /// How a job stands, waiting `wait_sec` (0 to 25) for the first event after `after`; its output is not fetched.
    ///
    /// # Errors
    /// Those of the runtime, after repeating until `deadline`.
    pub async fn standing(
        &self,
        id: JobId,
        after: u64,
        wait_sec: f64,
        deadline: Instant,
    ) -> RuntimeResult<Job> {
        let poll = Poll {
            wait_sec,
            linger_sec: 0.0,
            max_bytes: FEWEST_BYTES,
        };
        let look = |runtime: Arc<dyn Runtime>| async move { runtime.events(id, after, poll).await };
        match self.connection.ask(deadline, look).await {
            Ok(page) => Ok(page.job),
            Err(error) => Err(self.refined(id, &error).unwrap_or(error)),
        }
    }

    /// At most `count` bytes of a job's log, from byte `from` on.
    ///
    /// # Errors
    /// Those of the runtime, after repeating until `deadline`.
    pub async fn log(
        &self,
        id: JobId,
        from: u64,
        count: usize,
        deadline: Instant,
    ) -> RuntimeResult<Vec<u8>> {
        let read = |runtime: Arc<dyn Runtime>| async move {
            let mut stream = runtime.log(id, from).await?;
            let mut bytes = Vec::new();
            while bytes.len() < count
                && let Some(piece) = stream.next().await
            {
                bytes.extend_from_slice(&piece?);
            }
            bytes.truncate(count);
            Ok(bytes)
        };
        let read = self.connection.ask(deadline, read).await;
        read.map_err(|error| self.refined(id, &error).unwrap_or(error))
    }
}
