//! Downloads a folder: small files in bundles, the others concurrently, into `NAME.partial/`, which is renamed when complete.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::join_all;

use super::file::{Pull, on_disk};
use super::growing::{Growing, Sorted, Wanted};
use super::manifest;
use crate::base::lock::Lock;
use crate::runtime::{ListQuery, RuntimeError};
use crate::transfer::disk::blocking;
use crate::transfer::error::{TransferError, TransferResult};
use crate::transfer::trouble::USUAL_DELAY;
use crate::wire::files::{Algorithm, FileList, FileType};

/// Entries of one page of a listing, the most that the executor sends.
const PAGE_SIZE: u64 = 10_000;

/// The size of a folder, and the first page of its listing.
struct Survey {
    first: FileList,
    files: u64,
    bytes: u64,
}

/// A unit of work for one worker.
enum Work {
    Bundle(Vec<Wanted>),
    File(Wanted),
}

/// A completely downloaded folder.
pub(super) struct PlacedFolder {
    pub(super) path: PathBuf,
    /// None for a folder without files; the folder is complete even if this failed.
    pub(super) manifest: TransferResult<Option<PathBuf>>,
}

impl Pull {
    /// Downloads a folder recursively to `target`, somewhere under `save_dir`, or to a numbered name beside it. Entries that cannot be downloaded
    /// are skipped and reported; files completed by an earlier download are kept if their size and modification time are still the remote ones.
    pub(super) async fn folder(
        &self,
        remote: &str,
        target: &Path,
        save_dir: &Path,
    ) -> TransferResult<PlacedFolder> {
        self.meter.change(|report| report.is_folder = true);
        let boot_id = self.connection.boot_id();
        let survey = self.survey(remote).await?;
        self.check_size(remote, survey.bytes, Some(survey.files))?;
        self.meter
            .change(|report| report.size_bytes = Some(survey.bytes));
        let (path, name) = (target.to_owned(), remote.to_owned());
        let growing = on_disk(target, move || Growing::open(&path, &name)).await?;
        let growing = Arc::new(growing);
        let mut page = survey.first;
        loop {
            self.entries(remote, &growing, &mut page).await?;
            // Another executor may be on another machine, with other files of these names.
            let now = self.connection.boot_id();
            if now.is_some() && now != boot_id {
                return Err(TransferError::Moved {
                    remote: remote.to_owned(),
                });
            }
            match page.next_cursor {
                Some(cursor) => page = self.page(remote, Some(cursor)).await?,
                None => break,
            }
        }
        let (wanted, save_dir) = (target.to_owned(), save_dir.to_owned());
        let placing = on_disk(target, move || {
            let (path, digests) = growing.finish(&wanted)?;
            let manifest = manifest::write(&save_dir, &path, &digests)
                .map_err(|error| TransferError::disk(&path, error));
            Ok(PlacedFolder { path, manifest })
        });
        placing.await
    }

    /// Refuses a download larger than `max_bytes`.
    pub(super) fn check_size(
        &self,
        remote: &str,
        bytes: u64,
        files: Option<u64>,
    ) -> TransferResult<()> {
        if bytes <= self.max_bytes {
            return Ok(());
        }
        Err(TransferError::TooLarge {
            remote: remote.to_owned(),
            bytes,
            files,
            max_bytes: self.max_bytes,
        })
    }

    /// Counts files and bytes. Keeps only the first page of the listing; later pages are requested again when they are fetched.
    async fn survey(&self, remote: &str) -> TransferResult<Survey> {
        let first = self.page(remote, None).await?;
        let (mut files, mut bytes) = (0, 0);
        let mut add = |page: &FileList| {
            let of_files = page.entries.iter();
            for entry in of_files.filter(|entry| entry.kind == FileType::File) {
                files += 1;
                bytes += entry.size;
            }
        };
        add(&first);
        let mut cursor = first.next_cursor.clone();
        while cursor.is_some() {
            let page = self.page(remote, cursor).await?;
            add(&page);
            cursor = page.next_cursor;
        }
        Ok(Survey {
            first,
            files,
            bytes,
        })
    }

    async fn page(&self, remote: &str, cursor: Option<String>) -> TransferResult<FileList> {
        let query = ListQuery {
            path: remote.to_owned(),
            name: None,
            recursive: true,
            limit: PAGE_SIZE,
            cursor,
        };
        let query = &query;
        self.ask(remote, USUAL_DELAY, |runtime| async move {
            runtime.list_files(query).await
        })
        .await
    }

    pub(super) async fn entries(
        &self,
        remote: &str,
        growing: &Arc<Growing>,
        page: &mut FileList,
    ) -> TransferResult<()> {
        let (entries, ours) = (std::mem::take(&mut page.entries), growing.clone());
        let is_plain = self.ask(remote, USUAL_DELAY, |runtime| async move {
            Ok(runtime.is_plain())
        });
        let small_bytes = (!is_plain.await?).then_some(self.limits.small_bytes);
        let sorted = blocking(move || ours.sort(entries, small_bytes)).await?;
        let Sorted {
            small,
            large,
            here,
            skipped,
        } = sorted;
        for (name, reason) in skipped {
            self.meter.skip(&name, reason);
        }
        for bytes in here {
            self.meter.add_resumed(bytes);
            self.meter.change(|report| report.files += 1);
        }
        let mut work: Vec<Work> = large.into_iter().map(Work::File).collect();
        work.extend(self.bundles_of(small).into_iter().map(Work::Bundle));
        self.work(remote, growing, work).await
    }

    /// Runs the work concurrently. After an error nothing new starts, but running work ends in an orderly way, so that no lock stays.
    async fn work(
        &self,
        remote: &str,
        growing: &Arc<Growing>,
        work: Vec<Work>,
    ) -> TransferResult<()> {
        let queue = Lock::new(work.into_iter());
        let next = || {
            let mut queue = queue.lock();
            queue.next()
        };
        let workers = (0..self.limits.pace.most_streams).map(|_| async {
            while let Some(work) = next() {
                let done = match work {
                    Work::Bundle(wanted) => self.bundle(remote, growing, wanted).await,
                    Work::File(wanted) => self.file_in_folder(growing, wanted).await,
                };
                if let Err(error) = done {
                    self.stop.cancel();
                    return Some(error);
                }
            }
            None
        });
        let errors = join_all(workers).await.into_iter().flatten();
        // The others were stopped because of the first.
        let first = errors.min_by_key(|error| matches!(error, TransferError::Cancelled { .. }));
        first.map_or(Ok(()), Err)
    }

    /// Downloads one file of a folder; skips it if it cannot be read.
    pub(super) async fn file_in_folder(
        &self,
        growing: &Arc<Growing>,
        wanted: Wanted,
    ) -> TransferResult<()> {
        let fetched = match self.stat(&wanted.remote, None).await {
            Ok(stat) if stat.kind != FileType::File => {
                self.meter.skip(&wanted.name, GONE);
                return Ok(());
            }
            // The manifest is for `sha256sum`.
            Ok(stat) => self.file(stat, &wanted.target, Algorithm::Sha256).await,
            Err(error) => Err(error),
        };
        let (ours, name) = (growing.clone(), wanted.name);
        match fetched {
            Ok(placed) => {
                let noting = on_disk(&wanted.target, move || {
                    ours.complete(vec![(name, placed.digest.value)])
                });
                noting.await?;
                self.meter.change(|report| report.files += 1);
                Ok(())
            }
            Err(error) => match reason_to_skip(&error) {
                Some(reason) => {
                    self.meter.skip(&name, reason);
                    let target = wanted.target.clone();
                    on_disk(&wanted.target, move || ours.discard_partial(&target)).await
                }
                None => Err(error),
            },
        }
    }
}

pub(super) const GONE: &str = "it changed or was removed while it was read";

/// The reason to skip a file, where only this file is affected.
fn reason_to_skip(error: &TransferError) -> Option<String> {
    let TransferError::Runtime { source, .. } = error else {
        return None;
    };
    let RuntimeError::Refused(problem) = &**source else {
        return error.is_changed().then(|| GONE.to_owned());
    };
    match problem.status {
        404 => Some(GONE.to_owned()),
        400..500 if !problem.retryable => Some(problem.detail.clone()),
        _ => None,
    }
}
