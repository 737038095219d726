//! Fetches many small files, one bundle per request.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use tokio::time::{Instant, sleep};

use super::bundle::{Item, Small, Unbundler};
use super::file::{Flow, Pull};
use super::folder::GONE;
use super::growing::{Growing, Wanted};
use super::lanes::Lane;
use crate::runtime::{Runtime, RuntimeError, RuntimeResult};
use crate::transfer::digest::sha256;
use crate::transfer::disk::blocking;
use crate::transfer::error::{TransferError, TransferResult};
use crate::transfer::running::Failure;
use crate::transfer::trouble::USUAL_DELAY;
use crate::wire::files::BundleRequest;

/// Pause before retrying a connection that broke.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// The missing files of a bundle.
#[derive(Default)]
struct Rest {
    wanted: BTreeMap<String, Wanted>,
    /// Names that failed their check once.
    damaged: BTreeSet<String>,
    /// Files that have grown too large for a bundle.
    large: Vec<Wanted>,
}

impl Pull {
    /// Groups files into bundles, in order.
    pub(super) fn bundles_of(&self, small: Vec<Wanted>) -> Vec<Vec<Wanted>> {
        let mut bundles: Vec<Vec<Wanted>> = Vec::new();
        let mut bytes = u64::MAX;
        for wanted in small {
            let is_full = bytes.saturating_add(wanted.size) > self.limits.bundle_bytes
                || bundles
                    .last()
                    .is_none_or(|last| last.len() >= self.limits.bundle_files);
            if is_full {
                bundles.push(Vec::new());
                bytes = 0;
            }
            bytes += wanted.size;
            if let Some(last) = bundles.last_mut() {
                last.push(wanted);
            }
        }
        bundles
    }

    /// Fetches these files of the folder `remote`, resuming where a connection broke.
    pub(super) async fn bundle(
        &self,
        remote: &str,
        growing: &Arc<Growing>,
        wanted: Vec<Wanted>,
    ) -> TransferResult<()> {
        let by_name = |wanted: Wanted| (wanted.name.clone(), wanted);
        let mut rest = Rest {
            wanted: wanted.into_iter().map(by_name).collect(),
            ..Rest::default()
        };
        let mut patience = Instant::now() + self.limits.patience;
        while !rest.wanted.is_empty() {
            let before = rest.done();
            let lane = self.unless_stopped(remote, self.lanes.enter()).await?;
            let end = self.request_rest(remote, growing, &mut rest, lane).await?;
            if rest.done() != before {
                patience = Instant::now() + self.limits.patience;
            }
            match end {
                Ok(()) if rest.done() == before => {
                    let address = self.connection.place().unwrap_or_default();
                    let detail = "it left files out of a bundle";
                    let error = RuntimeError::incompatible(&address, detail);
                    return Err(TransferError::runtime(remote, error));
                }
                Ok(()) => {}
                Err(error) if error.is_transient() && Instant::now() < patience => {
                    self.meter.note_error(&error);
                    sleep(RETRY_DELAY).await;
                }
                Err(error) => return Err(TransferError::runtime(remote, error)),
            }
        }
        for wanted in rest.large {
            self.file_in_folder(growing, wanted).await?;
        }
        Ok(())
    }

    /// Sends one request for the missing files, and returns how its response ended.
    async fn request_rest(
        &self,
        remote: &str,
        growing: &Arc<Growing>,
        rest: &mut Rest,
        mut lane: Lane<'_>,
    ) -> TransferResult<RuntimeResult<()>> {
        let request = BundleRequest {
            path: remote.to_owned(),
            names: rest.wanted.keys().cloned().collect(),
        };
        let opened = self.until_answered(USUAL_DELAY, |runtime| {
            lane.begin();
            Self::open_bundle(runtime, &request)
        });
        let opened = self.unless_stopped(remote, opened).await?;
        let mut flow = opened.map_err(|error| TransferError::runtime(remote, error))?;
        let mut unbundler = Unbundler::default();
        let mut next = Some(Ok(flow.first));
        let end = 'bundle: loop {
            let chunk = match next {
                Some(Ok(chunk)) => chunk,
                Some(Err(error)) => break Err(error),
                // Cut off without an error.
                None => {
                    let url = flow.address;
                    break Err(RuntimeError::TimedOut { url });
                }
            };
            lane.received(chunk.len() as u64);
            unbundler.push(&chunk);
            let (mut files, mut is_over) = (Vec::new(), false);
            loop {
                match unbundler.take() {
                    Ok(None) => break,
                    Ok(Some(Item::File(small))) => files.extend(rest.take(small)?),
                    Ok(Some(Item::Missing { name, code, detail })) => {
                        if let Some(reason) = rest.take_missing(&name, &code, detail) {
                            self.meter.skip(&name, reason);
                        }
                    }
                    Ok(Some(Item::End)) => is_over = true,
                    Err(detail) => break 'bundle Err(Self::malformed(&flow.address, detail)),
                }
            }
            self.keep(growing, files).await?;
            if is_over {
                break Ok(());
            }
            let coming = flow.rest.try_next();
            let coming = self.meter.watch(&flow.address, USUAL_DELAY, coming);
            next = self.unless_stopped(remote, coming).await?.transpose();
        };
        lane.end();
        Ok(end)
    }

    /// Writes and records checked files.
    async fn keep(
        &self,
        growing: &Arc<Growing>,
        files: Vec<(PathBuf, Small)>,
    ) -> TransferResult<()> {
        if files.is_empty() {
            return Ok(());
        }
        let count = files.len() as u64;
        let bytes = files.iter().map(|(_, small)| small.bytes.len() as u64);
        let bytes = bytes.sum();
        let growing = growing.clone();
        blocking(move || growing.write(files)).await?;
        self.meter.add(bytes);
        self.meter.change(|report| report.files += count);
        Ok(())
    }

    async fn open_bundle(
        runtime: Arc<dyn Runtime>,
        request: &BundleRequest,
    ) -> RuntimeResult<Flow> {
        let stream = runtime.get_bundle(request).await?;
        Self::flow(&*runtime, stream, "it sent an empty bundle").await
    }
}

impl Rest {
    /// A value that changes with every file handled.
    fn done(&self) -> (usize, usize) {
        (self.wanted.len(), self.damaged.len())
    }

    /// Returns the target of a received file; none if it was not requested, or failed its check and is requested again.
    fn take(&mut self, small: Small) -> TransferResult<Option<(PathBuf, Small)>> {
        let Some(wanted) = self.wanted.get(&small.name) else {
            return Ok(None);
        };
        let received = sha256(&small.bytes);
        if received == small.sha256.to_ascii_lowercase() {
            let wanted = self.wanted.remove(&small.name);
            return Ok(wanted.map(|wanted| (wanted.target, small)));
        }
        if self.damaged.insert(small.name) {
            return Ok(None);
        }
        Err(TransferError::Damaged {
            remote: wanted.remote.clone(),
            expected: small.sha256,
            received,
        })
    }

    /// Returns why a file is skipped; none if it is fetched singly instead.
    fn take_missing(&mut self, name: &str, code: &str, detail: String) -> Option<String> {
        let wanted = self.wanted.remove(name)?;
        match code {
            "too_large" => {
                self.large.push(wanted);
                None
            }
            "not_found" => Some(GONE.to_owned()),
            _ => Some(detail),
        }
    }
}
