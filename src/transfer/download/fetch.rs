//! Fetches the missing bytes of one file, in concurrent pieces.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::file::{Flow, Pull};
use super::lanes::Lane;
use super::partial::Block;
use crate::base::lock::Lock;
use crate::runtime::{Runtime, RuntimeError, RuntimeResult};
use crate::transfer::error::{TransferError, TransferResult};
use crate::transfer::running::Failure;
use crate::transfer::trouble::USUAL_DELAY;
use crate::wire::files::{Algorithm, Digest, FileStat};

/// Pause before retrying a connection that broke.
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// The executor reads some 500 MB/s: enough for the largest disk of a runtime.
const DIGEST_TIMEOUT: Duration = Duration::from_secs(1800);

impl Pull {
    /// Sends every missing byte to the writer and returns the file's digest as the executor reports it.
    pub(super) async fn fetch(
        &self,
        stat: &FileStat,
        missing: Vec<Range<u64>>,
        blocks: mpsc::Sender<Block>,
        algorithm: Algorithm,
    ) -> TransferResult<Digest> {
        let todo = Todo::of(missing);
        let fetchers = (0..self.limits.pace.most_streams).map(|_| async {
            while !todo.is_empty() {
                let lane = self.lanes.enter().await;
                if let Some(piece) = todo.take(|left| self.lanes.piece(left)) {
                    self.piece(stat, piece, lane, &blocks).await?;
                }
            }
            Ok(())
        });
        let (digest, _) = tokio::try_join!(self.digest(stat, algorithm), try_join_all(fetchers))?;
        Ok(digest)
    }

    /// Fetches a piece, resuming where a connection broke.
    async fn piece(
        &self,
        stat: &FileStat,
        mut range: Range<u64>,
        mut lane: Lane<'_>,
        blocks: &mpsc::Sender<Block>,
    ) -> TransferResult<()> {
        let failed = |error| TransferError::runtime(&stat.path, error);
        while !range.is_empty() {
            let opened = self.until_answered(USUAL_DELAY, |runtime| {
                lane.begin();
                Self::open(runtime, stat, range.clone())
            });
            let mut flow = opened.await.map_err(failed)?;
            let mut block = Block::at(range.start);
            let mut next = Some(Ok(flow.first));
            while let Some(Ok(chunk)) = next {
                let count = chunk.len() as u64;
                range.start += count;
                if range.start > range.end {
                    let detail = "it sent more bytes than requested";
                    return Err(failed(RuntimeError::incompatible(&flow.address, detail)));
                }
                lane.received(count);
                block.push(chunk);
                if block.length >= self.limits.block_bytes {
                    let full = std::mem::replace(&mut block, Block::at(range.start));
                    self.send(blocks, stat, full).await?;
                }
                let coming = flow.rest.try_next();
                let received = self.meter.watch(&flow.address, USUAL_DELAY, coming).await;
                next = received.transpose();
            }
            lane.end();
            if block.length > 0 {
                self.send(blocks, stat, block).await?;
            }
            match next {
                Some(Err(error)) if !error.is_transient() => return Err(failed(error)),
                _ if range.is_empty() => {}
                _ => sleep(RETRY_DELAY).await,
            }
        }
        Ok(())
    }

    async fn open(
        runtime: Arc<dyn Runtime>,
        stat: &FileStat,
        range: Range<u64>,
    ) -> RuntimeResult<Flow> {
        let etag = stat.etag.as_deref().unwrap_or_default();
        let stream = runtime.download(&stat.path, range, etag).await?;
        let nothing = "it sent no byte of the requested range";
        Self::flow(&*runtime, stream, nothing).await
    }

    async fn send(
        &self,
        blocks: &mpsc::Sender<Block>,
        stat: &FileStat,
        block: Block,
    ) -> TransferResult<()> {
        // The writer ends early only after a failure, and then its error counts.
        let sent = blocks.send(block).await;
        sent.map_err(|_| TransferError::cancelled(&stat.path))
    }

    /// The fastest algorithm of both sides.
    pub(super) async fn fastest(&self, remote: &str) -> TransferResult<Algorithm> {
        let asked = self.ask(remote, USUAL_DELAY, |runtime| async move {
            Ok(runtime.fastest_digest())
        });
        Ok(asked.await?.unwrap_or(Algorithm::Sha256))
    }

    /// Waits for the file's digest as the executor knows it.
    pub(super) async fn digest(
        &self,
        stat: &FileStat,
        algorithm: Algorithm,
    ) -> TransferResult<Digest> {
        if let Some(known) = stat.digest(algorithm) {
            return Ok(known);
        }
        let end = Instant::now() + DIGEST_TIMEOUT;
        loop {
            let now = self.stat(&stat.path, Some(algorithm)).await?;
            let failed = |error| Err(TransferError::runtime(&stat.path, error));
            if now.etag != stat.etag {
                let path = stat.path.clone();
                return failed(RuntimeError::Changed { path });
            }
            if let Some(digest) = now.digest(algorithm) {
                return Ok(digest);
            }
            if Instant::now() > end {
                let url = self.connection.place().unwrap_or_default();
                return failed(RuntimeError::TimedOut { url });
            }
            sleep(RETRY_DELAY).await;
        }
    }
}

/// Ranges still to be requested, in order.
struct Todo(Lock<VecDeque<Range<u64>>>);

impl Todo {
    fn of(missing: Vec<Range<u64>>) -> Self {
        Self(Lock::new(missing.into()))
    }

    fn is_empty(&self) -> bool {
        let todo = self.0.lock();
        todo.is_empty()
    }

    /// Takes the next piece; `size` maps the bytes left to its length.
    fn take(&self, size: impl FnOnce(u64) -> u64) -> Option<Range<u64>> {
        let mut todo = self.0.lock();
        let left = todo.iter().map(|range| range.end - range.start).sum();
        let first = todo.front_mut()?;
        let end = first.start.saturating_add(size(left).max(1)).min(first.end);
        let piece = first.start..end;
        first.start = end;
        if first.is_empty() {
            todo.pop_front();
        }
        Some(piece)
    }
}
