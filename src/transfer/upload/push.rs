//! One upload: what its parts share, and how each asks.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::allowed::{Kind, Source};
use super::error::{UploadError, UploadResult};
use super::pace::{Bounds, Pace};
use super::report::UploadReport;
use crate::base::lock::Lock;
use crate::connection::Connection;
use crate::runtime::{Runtime, RuntimeResult};
use crate::transfer::report::Status;
use crate::transfer::running::{Failure, Meter};

/// To say how much is free there is worth so much time.
const FREE: Duration = Duration::from_secs(5);

/// How much at once, and how long to try.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// One request carries at most so many bytes of a file, in the beginning.
    pub piece_bytes: u64,
    /// Smaller ones are not worth their requests.
    pub least_piece_bytes: u64,
    /// Requests side by side in the beginning, over all files.
    pub streams: usize,
    pub most_streams: usize,
    /// Files up to this size go many in one request.
    pub small_bytes: u64,
    /// So many bytes in one such request.
    pub bundle_bytes: u64,
    /// Files and bundles of a folder side by side.
    pub files_at_once: usize,
    /// How long a request that brings nothing is repeated; shorter than a call, so that the call can tell.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            piece_bytes: 4 << 20,
            least_piece_bytes: 256 << 10,
            streams: 2,
            // With the pieces, what an upload needs of memory: 16 MiB.
            most_streams: 4,
            small_bytes: 256 << 10,
            bundle_bytes: 4 << 20,
            files_at_once: 3,
            patience: Duration::from_secs(30),
        }
    }
}

/// What the parts of one upload share.
#[derive(Debug)]
pub(super) struct Push {
    pub(super) connection: Arc<Connection>,
    pub(super) limits: Limits,
    pub(super) meter: Meter<UploadReport>,
    pub(super) pace: Pace,
    /// Room for bodies that no request needs now.
    rooms: Lock<Vec<BytesMut>>,
    /// Ends the reading of files; whoever cancels it drops the rest.
    pub(super) stop: CancellationToken,
}

impl Push {
    pub(super) fn new(
        connection: Arc<Connection>,
        limits: Limits,
        meter: Meter<UploadReport>,
        stop: CancellationToken,
    ) -> Self {
        let pace = Pace::new(Bounds {
            piece_bytes: limits.piece_bytes,
            least_piece_bytes: limits.least_piece_bytes,
            streams: limits.streams,
            most_streams: limits.most_streams,
        });
        Self {
            connection,
            limits,
            meter,
            pace,
            rooms: Lock::default(),
            stop,
        }
    }

    /// Uploads whatever `source` is, of at most so many bytes.
    pub(super) async fn any(&self, source: &Source, remote: &str, most: u64) -> UploadResult<()> {
        let going = async {
            let target = self.target(source, remote).await?;
            let path = target.path.clone();
            self.meter.change(|report| report.remote_path = path);
            match &source.kind {
                Kind::File(place) => self.single(place, &target, most).await,
                Kind::Folder { folder, own_state } => {
                    let own_state = own_state.as_deref();
                    self.folder(source, folder, own_state, &target, most).await
                }
            }
        };
        let result = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(UploadError::cancelled(remote)),
            result = going => result,
        };
        if let Err(UploadError::RemoteFull { detail, .. }) = result {
            let free = self.free().await;
            return Err(UploadError::RemoteFull { detail, free });
        }
        result?;
        self.meter.change(|report| report.status = Status::Complete);
        Ok(())
    }

    /// Room for a body. Used again and again: the allocator gives back little of what comes and goes in many threads.
    pub(super) fn room(&self) -> BytesMut {
        let mut rooms = self.rooms.lock();
        rooms.pop().unwrap_or_default()
    }

    /// A body is not needed any more.
    pub(super) fn done_with(&self, body: Bytes) {
        if let Ok(room) = body.try_into_mut() {
            let mut rooms = self.rooms.lock();
            rooms.push(room);
        }
    }

    /// GB that are free where files go, if the runtime says so in time.
    async fn free(&self) -> Option<f64> {
        let end = Instant::now() + FREE;
        let runtime = self.connection.runtime(end).await.ok()?;
        let probe = timeout_at(end, runtime.probe()).await.ok()?.ok()?;
        probe.storage.first().map(|storage| storage.free_gb)
    }

    /// Repeats a request, which is answered within `usual` as a rule, while it fails in passing.
    pub(super) async fn ask<T, F>(
        &self,
        remote: &str,
        usual: Duration,
        mut request: impl FnMut(Arc<dyn Runtime>) -> F,
    ) -> UploadResult<T>
    where
        F: Future<Output = RuntimeResult<T>>,
    {
        let deadline = Instant::now() + self.limits.patience;
        let lasting_patience = self.meter.lasting_patience();
        let heard = |runtime: Arc<dyn Runtime>| {
            let answer = request(runtime.clone());
            async move { self.meter.hear(runtime.address(), usual, answer).await }
        };
        let answer = self
            .connection
            .each_try(deadline, lasting_patience, heard)
            .await;
        answer.map_err(|error| UploadError::runtime(remote, error))
    }
}
