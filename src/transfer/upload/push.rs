//! Carries out one upload: the state shared by its parts, and how they send requests.

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
use crate::transfer::trouble::USUAL_DELAY;

/// How long to wait for the runtime's free space, for a better error message.
const FREE_SPACE_TIMEOUT: Duration = Duration::from_secs(5);

/// Sizes, concurrency and patience of uploads.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Initial maximum of a file's bytes in one request.
    pub piece_bytes: u64,
    /// Minimum size of a piece: smaller ones are not worth their requests.
    pub least_piece_bytes: u64,
    /// Initial number of concurrent requests, over all files.
    pub streams: usize,
    pub most_streams: usize,
    /// Files up to this size are sent in bundles.
    pub small_bytes: u64,
    /// Bytes of a bundle.
    pub bundle_bytes: u64,
    /// Concurrent files and bundles of a folder.
    pub files_at_once: usize,
    /// How long a failing request is retried; shorter than a call, so that the call can report it.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            piece_bytes: 4 << 20,
            least_piece_bytes: 256 << 10,
            streams: 2,
            // Times the piece size: 16 MiB of memory.
            most_streams: 4,
            small_bytes: 256 << 10,
            bundle_bytes: 4 << 20,
            files_at_once: 3,
            patience: Duration::from_secs(30),
        }
    }
}

/// State shared by the parts of one upload.
#[derive(Debug)]
pub(super) struct Push {
    pub(super) connection: Arc<Connection>,
    pub(super) limits: Limits,
    pub(super) meter: Meter<UploadReport>,
    pub(super) pace: Pace,
    /// Unused buffers for request bodies.
    buffers: Lock<Vec<BytesMut>>,
    /// Ends the reading of files; the rest of the upload is dropped by `upload`.
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
            buffers: Lock::default(),
            stop,
        }
    }

    /// Uploads the file or folder `source`, of at most `most` bytes.
    pub(super) async fn upload(
        &self,
        source: &Source,
        remote: &str,
        most: u64,
    ) -> UploadResult<()> {
        let work = async {
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
            result = work => result,
        };
        if let Err(UploadError::RemoteFull { detail, .. }) = result {
            let free = self.free_gb().await;
            return Err(UploadError::RemoteFull { detail, free });
        }
        result?;
        self.meter.change(|report| report.status = Status::Complete);
        Ok(())
    }

    /// Takes a buffer for a body. Buffers are reused: the allocator returns little memory that is allocated and freed in many threads.
    pub(super) fn take_buffer(&self) -> BytesMut {
        let mut buffers = self.buffers.lock();
        buffers.pop().unwrap_or_default()
    }

    /// Keeps the buffer of a finished request for the next one.
    pub(super) fn recycle(&self, body: Bytes) {
        if let Ok(buffer) = body.try_into_mut() {
            let mut buffers = self.buffers.lock();
            buffers.push(buffer);
        }
    }

    /// Free GB on the runtime's content disk, if the runtime answers in time.
    async fn free_gb(&self) -> Option<f64> {
        let end = Instant::now() + FREE_SPACE_TIMEOUT;
        let runtime = self.connection.runtime(end).await.ok()?;
        let probe = timeout_at(end, runtime.probe(&[])).await.ok()?.ok()?;
        probe.storage.first().map(|storage| storage.free_gb)
    }

    /// Whether the runtime takes files one by one, and their pieces in order.
    pub(super) async fn is_plain(&self, remote: &str) -> UploadResult<bool> {
        self.ask(remote, USUAL_DELAY, |runtime| async move {
            Ok(runtime.is_plain())
        })
        .await
    }

    /// Sends a request that is normally answered within `usual`; retries transient failures.
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
        let watched = |runtime: Arc<dyn Runtime>| {
            let answer = request(runtime.clone());
            async move { self.meter.watch(runtime.address(), usual, answer).await }
        };
        let answer = self
            .connection
            .each_try(deadline, lasting_patience, watched)
            .await;
        answer.map_err(|error| UploadError::runtime(remote, error))
    }
}
