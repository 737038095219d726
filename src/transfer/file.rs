//! One file: its pieces side by side into a partial file, the whole checked against the executor's SHA-256, then named.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::error::{TransferError, TransferResult};
use super::partial::{Block, Partial};
use super::plan::{Missing, Source};
use super::report::Meter;
use crate::runtime::{ByteStream, Runtime, RuntimeError, RuntimeResult, retry};
use crate::wire::files::FileStat;

/// A file that is being written to changes again and again.
const MOST_CHANGES: u32 = 3;
/// Between two tries on a connection that gives some bytes and breaks.
const BREATH: Duration = Duration::from_millis(200);
/// The executor reads some 500 MB/s: enough for the largest disk of a runtime.
const DIGEST_PATIENCE: Duration = Duration::from_secs(1800);

/// How much at once, and how long to try.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// One request fetches at most so many bytes.
    pub piece_bytes: u64,
    /// So many bytes of a piece are written and noted together.
    pub block_bytes: usize,
    /// Requests side by side for one file.
    pub pieces_at_once: usize,
    /// Files of a folder side by side.
    pub files_at_once: usize,
    /// How long a request that brings nothing is repeated; shorter than a call, so that the call can tell.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            piece_bytes: 8 << 20,
            block_bytes: 1 << 20,
            pieces_at_once: 4,
            files_at_once: 3,
            patience: Duration::from_secs(30),
        }
    }
}

/// What the parts of one download share.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) limits: Limits,
    pub(super) meter: Meter,
    /// Ends the download soon, with the partial file closed and its lock released.
    pub(super) stop: CancellationToken,
}

/// A file that came whole.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) path: PathBuf,
    pub(super) stat: FileStat,
    pub(super) sha256: String,
}

impl Pull {
    /// Downloads the file that `stat` describes to `target`, or to a numbered name beside it.
    pub(super) async fn file(&self, mut stat: FileStat, target: &Path) -> TransferResult<Placed> {
        let piece_bytes = self.limits.piece_bytes;
        let (path, source) = (target.to_owned(), source(&stat));
        let mut partial =
            on_disk(target, move || Partial::open(&path, &source, piece_bytes)).await?;
        self.meter.add_resumed(partial.received());
        let (mut changes, mut damages) = (0, 0);
        let sha256 = loop {
            let (back, result) = self.fill(partial, &stat).await;
            partial = back;
            let error = match result {
                Ok(sha256) => break sha256,
                Err(error) => error,
            };
            self.meter.take_back(partial.received());
            let damaged = matches!(error, TransferError::Damaged { .. });
            if error.is_changed() && changes < MOST_CHANGES {
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
            stat = self.stat(&stat.path, false).await?;
            let source = self::source(&stat);
            partial = on_disk(target, move || {
                partial.start_over(&source, piece_bytes)?;
                Ok(partial)
            })
            .await?;
        };
        let (wanted, changed) = (target.to_owned(), changed_at(&stat.modified_at));
        let path = on_disk(target, move || partial.finish(&wanted, changed)).await?;
        Ok(Placed { path, stat, sha256 })
    }

    /// Fetches what is missing and checks the whole. The partial comes back in any case, closed to writers.
    async fn fill(
        &self,
        mut partial: Partial,
        stat: &FileStat,
    ) -> (Partial, TransferResult<String>) {
        let missing = partial.missing();
        let (blocks, incoming) = mpsc::channel(self.limits.pieces_at_once);
        let meter = self.meter.clone();
        let writer = blocking(move || {
            let written = partial.write_all(incoming, &meter);
            (partial, written)
        });
        let fetched = async {
            tokio::select! {
                () = self.stop.cancelled() => Err(TransferError::cancelled(&stat.path)),
                fetched = self.fetch(stat, missing, blocks) => fetched,
            }
        };
        // The writer ends when the last sender of blocks is gone, however the fetching ended.
        let ((partial, written), fetched) = tokio::join!(writer, fetched);
        let expected = match (written, fetched) {
            (Err(error), _) => {
                let error = TransferError::disk(partial.path(), error);
                return (partial, Err(error));
            }
            (Ok(()), Err(error)) => return (partial, Err(error)),
            (Ok(()), Ok(expected)) => expected,
        };
        self.check(partial, &stat.path, expected).await
    }

    async fn check(
        &self,
        mut partial: Partial,
        remote: &str,
        expected: String,
    ) -> (Partial, TransferResult<String>) {
        let stop = self.stop.clone();
        let (partial, received) = blocking(move || {
            let digest = partial.sha256(&stop);
            (partial, digest)
        })
        .await;
        let result = match received {
            Ok(Some(received)) if received == expected.to_ascii_lowercase() => Ok(received),
            Ok(Some(received)) => Err(TransferError::Damaged {
                remote: remote.to_owned(),
                expected,
                received,
            }),
            Ok(None) => Err(TransferError::cancelled(remote)),
            Err(error) => Err(TransferError::disk(partial.path(), error)),
        };
        (partial, result)
    }

    /// Sends every missing byte to the writer and returns the file's SHA-256 as the executor knows it.
    async fn fetch(
        &self,
        stat: &FileStat,
        missing: Vec<Missing>,
        blocks: mpsc::Sender<Block>,
    ) -> TransferResult<String> {
        let queue = Queue::new(missing);
        let fetchers = (0..self.limits.pieces_at_once).map(|_| async {
            while let Some(missing) = queue.next() {
                self.piece(stat, missing, &blocks).await?;
            }
            Ok(())
        });
        let (digest, _) = tokio::try_join!(self.digest(stat), try_join_all(fetchers))?;
        Ok(digest)
    }

    /// Fetches a piece, going on where a connection broke.
    async fn piece(
        &self,
        stat: &FileStat,
        Missing { piece, mut range }: Missing,
        blocks: &mpsc::Sender<Block>,
    ) -> TransferResult<()> {
        let failed = |error| TransferError::runtime(&stat.path, error);
        while !range.is_empty() {
            let (first, mut rest) = retry::until(
                Instant::now() + self.limits.patience,
                self.runtime.address(),
                || self.open(stat, range.clone()),
            )
            .await
            .map_err(failed)?;
            let mut bytes = Vec::new();
            let mut next = Some(Ok(first));
            while let Some(Ok(chunk)) = next {
                range.start += chunk.len() as u64;
                if range.start > range.end {
                    return Err(failed(
                        self.incompatible("it sent more of the file than was asked for"),
                    ));
                }
                bytes.extend_from_slice(&chunk);
                if bytes.len() >= self.limits.block_bytes {
                    let bytes = std::mem::take(&mut bytes);
                    self.send(blocks, stat, Block { piece, bytes }).await?;
                }
                next = rest.next().await;
            }
            if !bytes.is_empty() {
                self.send(blocks, stat, Block { piece, bytes }).await?;
            }
            match next {
                Some(Err(error)) if !error.is_transient() => return Err(failed(error)),
                _ if range.is_empty() => {}
                _ => sleep(BREATH).await,
            }
        }
        Ok(())
    }

    /// A stream of the file's bytes that has begun to flow: a connection that brings none is one to try again.
    async fn open(&self, stat: &FileStat, range: Range<u64>) -> RuntimeResult<(Bytes, ByteStream)> {
        let etag = stat.etag.as_deref().unwrap_or_default();
        let mut stream = self.runtime.download(&stat.path, range, etag).await?;
        match stream.try_next().await? {
            Some(first) => Ok((first, stream)),
            None => Err(self.incompatible("it sent no byte of the part that was asked for")),
        }
    }

    async fn send(
        &self,
        blocks: &mpsc::Sender<Block>,
        stat: &FileStat,
        block: Block,
    ) -> TransferResult<()> {
        // The writer goes away early only when it failed, and then it is its error that counts.
        let sent = blocks.send(block).await;
        sent.map_err(|_| TransferError::cancelled(&stat.path))
    }

    async fn digest(&self, stat: &FileStat) -> TransferResult<String> {
        if let Some(known) = &stat.sha256 {
            return Ok(known.clone());
        }
        let end = Instant::now() + DIGEST_PATIENCE;
        loop {
            let now = self.stat(&stat.path, true).await?;
            let failed = |error| Err(TransferError::runtime(&stat.path, error));
            if now.etag != stat.etag {
                let path = stat.path.clone();
                return failed(RuntimeError::Changed { path });
            }
            if let Some(digest) = now.sha256 {
                return Ok(digest);
            }
            if Instant::now() > end {
                let url = self.runtime.address().to_owned();
                return failed(RuntimeError::TimedOut { url });
            }
            sleep(BREATH).await;
        }
    }

    pub(super) async fn stat(&self, remote: &str, digest: bool) -> TransferResult<FileStat> {
        self.ask(remote, || self.runtime.stat(remote, digest)).await
    }

    /// Repeats a request while it fails in passing and the download is wanted.
    pub(super) async fn ask<T, F>(
        &self,
        remote: &str,
        request: impl FnMut() -> F,
    ) -> TransferResult<T>
    where
        F: Future<Output = RuntimeResult<T>>,
    {
        let deadline = Instant::now() + self.limits.patience;
        tokio::select! {
            () = self.stop.cancelled() => Err(TransferError::cancelled(remote)),
            answer = retry::until(deadline, self.runtime.address(), request) => {
                answer.map_err(|error| TransferError::runtime(remote, error))
            }
        }
    }

    fn incompatible(&self, detail: &str) -> RuntimeError {
        RuntimeError::incompatible(self.runtime.address(), detail)
    }
}

/// Work that several take from, one piece at a time.
pub(super) struct Queue<T>(Mutex<std::vec::IntoIter<T>>);

impl<T> Queue<T> {
    pub(super) fn new(items: Vec<T>) -> Self {
        Self(Mutex::new(items.into_iter()))
    }

    pub(super) fn next(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next()
    }
}

/// A time as the executor writes it.
pub(super) fn changed_at(text: &str) -> Option<SystemTime> {
    text.parse::<jiff::Timestamp>().ok().map(SystemTime::from)
}

fn source(stat: &FileStat) -> Source {
    Source {
        remote: stat.path.clone(),
        etag: stat.etag.clone().unwrap_or_default(),
        size: stat.size,
    }
}

/// Does file work off the async threads; starts at once, awaited or not.
pub(super) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = T> {
    let task = spawn_blocking(work);
    async {
        match task.await {
            Ok(value) => value,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The whole program is ending.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

async fn on_disk<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> TransferResult<T> {
    blocking(work)
        .await
        .map_err(|error| TransferError::disk(path, error))
}
