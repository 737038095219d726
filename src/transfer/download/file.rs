//! Downloads one file: its pieces into a partial file, checked against the executor's digest, then renamed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::journal::Source;
use super::lanes::Lanes;
use super::pace::PaceLimits;
use super::partial::Partial;
use super::report::DownloadReport;
use crate::connection::Connection;
use crate::runtime::error::Reach;
use crate::runtime::{ByteStream, Runtime, RuntimeError, RuntimeResult};
use crate::transfer::digest::Follower;
use crate::transfer::disk::{blocking, changed_at};
use crate::transfer::error::{TransferError, TransferResult};
use crate::transfer::running::{Failure, Meter};
use crate::transfer::trouble::{DIGEST_DELAY, USUAL_DELAY};
use crate::wire::files::{Algorithm, Digest, FileStat};

/// Restarts for a file that is being written to while it is read.
const MAX_CHANGES: u32 = 3;
/// Blocks queued for the writer.
const MAX_WAITING_BLOCKS: usize = 4;

/// Sizes, concurrency and patience of downloads.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub pace: PaceLimits,
    /// Bytes of a piece that are written and journaled together.
    pub block_bytes: u64,
    /// A folder's files up to this size are fetched in bundles.
    pub small_bytes: u64,
    /// Approximate bytes and files of a bundle; the executor accepts at most 1,000 names.
    pub bundle_bytes: u64,
    pub bundle_files: usize,
    /// How long a failing request is retried; shorter than a call, so that the call can report it.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pace: PaceLimits {
                first_piece: 4 << 20,
                smallest_piece: 256 << 10,
                largest_piece: 32 << 20,
                first_streams: 2,
                most_streams: 8,
            },
            block_bytes: 256 << 10,
            small_bytes: 256 << 10,
            bundle_bytes: 4 << 20,
            bundle_files: 1000,
            patience: Duration::from_secs(30),
        }
    }
}

/// State shared by the parts of one download.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) connection: Arc<Connection>,
    pub(super) limits: Limits,
    pub(super) lanes: Lanes,
    pub(super) meter: Meter<DownloadReport>,
    /// Larger downloads are refused before any byte is requested.
    pub(super) max_bytes: u64,
    /// Ends the download soon, with the partial file closed and its lock released.
    pub(super) stop: CancellationToken,
}

/// A response body, with its first bytes and the address that it comes from.
pub(super) struct Flow {
    pub(super) address: String,
    pub(super) first: Bytes,
    pub(super) rest: ByteStream,
}

/// A completely downloaded file.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) path: PathBuf,
    pub(super) stat: FileStat,
    pub(super) digest: Digest,
}

impl Pull {
    /// Downloads the file that `stat` describes to `target`, or to a numbered name beside it.
    pub(super) async fn file(
        &self,
        mut stat: FileStat,
        target: &Path,
        algorithm: Algorithm,
    ) -> TransferResult<Placed> {
        let (path, source) = (target.to_owned(), source(&stat));
        let mut partial = on_disk(target, move || Partial::open(&path, &source)).await?;
        self.meter.add_resumed(partial.received());
        let (mut changes, mut damages) = (0, 0);
        let digest = loop {
            let (back, result) = self.fill(partial, &stat, algorithm).await;
            partial = back;
            let error = match result {
                Ok(digest) => break digest,
                Err(error) => error,
            };
            self.meter.take_back(partial.received());
            let damaged = matches!(error, TransferError::Damaged { .. });
            if error.is_changed() && changes < MAX_CHANGES {
                changes += 1;
            } else if damaged && damages == 0 {
                damages += 1;
            } else {
                blocking(move || {
                    if damaged {
                        partial.discard()
                    } else {
                        partial.leave()
                    }
                })
                .await;
                return Err(error);
            }
            stat = self.stat(&stat.path, None).await?;
            let source = self::source(&stat);
            partial = on_disk(target, move || {
                partial.start_over(&source)?;
                Ok(partial)
            })
            .await?;
        };
        let (wanted, changed) = (target.to_owned(), changed_at(&stat.modified_at));
        let is_executable = stat.executable == Some(true);
        let path = on_disk(target, move || {
            partial.finish(&wanted, changed, is_executable)
        })
        .await?;
        Ok(Placed { path, stat, digest })
    }

    /// Fetches the missing bytes and checks the whole file, which is hashed while it arrives. Returns the partial in any case, without writers.
    async fn fill(
        &self,
        mut partial: Partial,
        stat: &FileStat,
        algorithm: Algorithm,
    ) -> (Partial, TransferResult<Digest>) {
        let missing = partial.missing();
        let (frontier, follower) = match Follower::of(partial.path(), algorithm) {
            Ok(follower) => follower,
            Err(error) => {
                let error = TransferError::disk(partial.path(), error);
                return (partial, Err(error));
            }
        };
        let stop = self.stop.clone();
        let hashing = blocking(move || follower.run(&stop));
        let (blocks, incoming) = mpsc::channel(MAX_WAITING_BLOCKS);
        let meter = self.meter.clone();
        let writing = blocking(move || {
            let written = partial.write_all(incoming, &frontier, &meter);
            (partial, written)
        });
        let fetching = async {
            let fetching = self.fetch(stat, missing, blocks, algorithm);
            self.unless_stopped(&stat.path, fetching).await?
        };
        // The writer ends when the last sender of blocks is dropped, however fetching ended, and the follower after the writer.
        let (hashed, (partial, written), fetched) = tokio::join!(hashing, writing, fetching);
        let on_disk = |error| TransferError::disk(partial.path(), error);
        let result = match (written, fetched, hashed) {
            (Err(error), _, _) => Err(on_disk(error)),
            (Ok(()), Err(error), _) => Err(error),
            (Ok(()), Ok(_), Err(error)) => Err(on_disk(error)),
            (Ok(()), Ok(_), Ok(None)) => Err(TransferError::cancelled(&stat.path)),
            (Ok(()), Ok(expected), Ok(Some(received))) => {
                if received == expected {
                    Ok(received)
                } else {
                    Err(TransferError::Damaged {
                        remote: stat.path.clone(),
                        expected: expected.value,
                        received: received.value,
                    })
                }
            }
        };
        (partial, result)
    }

    pub(super) async fn stat(
        &self,
        remote: &str,
        digest: Option<Algorithm>,
    ) -> TransferResult<FileStat> {
        let usual = digest.map_or(USUAL_DELAY, |_| DIGEST_DELAY);
        self.ask(remote, usual, |runtime| async move {
            runtime.stat(remote, digest).await
        })
        .await
    }

    /// Sends a request that is normally answered within `usual`; retries transient failures until the download is stopped.
    pub(super) async fn ask<T, F>(
        &self,
        remote: &str,
        usual: Duration,
        request: impl FnMut(Arc<dyn Runtime>) -> F,
    ) -> TransferResult<T>
    where
        F: Future<Output = RuntimeResult<T>>,
    {
        let asking = self.until_answered(usual, request);
        let answer = self.unless_stopped(remote, asking).await?;
        answer.map_err(|error| TransferError::runtime(remote, error))
    }

    /// Like [`Self::ask`], for futures that the caller itself stops.
    pub(super) async fn until_answered<T, F>(
        &self,
        usual: Duration,
        mut request: impl FnMut(Arc<dyn Runtime>) -> F,
    ) -> RuntimeResult<T>
    where
        F: Future<Output = RuntimeResult<T>>,
    {
        let deadline = Instant::now() + self.limits.patience;
        let lasting_patience = self.meter.lasting_patience();
        let watched = |runtime: Arc<dyn Runtime>| {
            let answer = request(runtime.clone());
            async move { self.meter.watch(runtime.address(), usual, answer).await }
        };
        self.connection
            .each_try(deadline, lasting_patience, watched)
            .await
    }

    /// Waits for the first bytes of `stream`; an empty body is a transient error with `nothing` as its detail.
    pub(super) async fn flow(
        runtime: &dyn Runtime,
        mut stream: ByteStream,
        nothing: &str,
    ) -> RuntimeResult<Flow> {
        let address = runtime.address().to_owned();
        match stream.try_next().await? {
            Some(first) => Ok(Flow {
                address,
                first,
                rest: stream,
            }),
            None => Err(Self::malformed(&address, nothing)),
        }
    }

    /// Gives up waiting for the network when the download is stopped; file work is never interrupted, so that no file stays open.
    pub(super) async fn unless_stopped<T>(
        &self,
        remote: &str,
        work: impl Future<Output = T>,
    ) -> TransferResult<T> {
        tokio::select! {
            () = self.stop.cancelled() => Err(TransferError::cancelled(remote)),
            done = work => Ok(done),
        }
    }

    /// The transient error for a response that an executor would not send.
    pub(super) fn malformed(address: &str, detail: &str) -> RuntimeError {
        RuntimeError::Stranger {
            url: address.to_owned(),
            detail: detail.to_owned(),
            reach: Reach::Unknown,
        }
    }
}

fn source(stat: &FileStat) -> Source {
    Source {
        remote: stat.path.clone(),
        etag: stat.etag.clone().unwrap_or_default(),
        size: stat.size,
    }
}

pub(super) async fn on_disk<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> TransferResult<T> {
    blocking(work)
        .await
        .map_err(|error| TransferError::disk(path, error))
}

#[cfg(test)]
mod tests {
    use crate::base::advice::Step;

    use super::{DownloadReport, Meter, RuntimeError};

    #[test]
    fn a_transfer_that_was_answered_once_retries_for_longer() {
        let (meter, _state) = Meter::new(DownloadReport::new("a"));
        let refused = RuntimeError::Unreachable {
            url: "there".to_owned(),
            source: "refused".into(),
            remedy: Step::CheckExecutor,
        };
        meter.note_error(&refused);
        assert!(meter.lasting_patience().is_some());
        meter.note_response(None);
        meter.note_error(&refused);
        assert_eq!(meter.lasting_patience(), None);
    }
}
