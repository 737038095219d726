//! A folder: its files one beside the other into `NAME.partial/`, which gets its name when all are there.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use futures_util::future::join_all;

use super::destination::{Name, place};
use super::error::{TransferError, TransferResult};
use super::file::{Pull, Queue, blocking, changed_at};
use super::journal::{Claim, Known};
use crate::runtime::ListQuery;
use crate::wire::files::{FileEntry, FileList, FileType};

/// Entries of one page of a listing; more are not given.
const PAGE: u64 = 1000;

impl Pull {
    /// Downloads a folder with all that is in it to `target`, or to a numbered name beside it. What cannot be downloaded is skipped and
    /// told; what an earlier download left complete is kept when its size and time of change are still the remote ones.
    pub(super) async fn folder(&self, remote: &str, target: &Path) -> TransferResult<PathBuf> {
        self.meter.change(|report| report.is_folder = true);
        let claim = claim(remote, target).await?;
        let names = Names::default();
        let mut cursor = None;
        loop {
            let first = cursor.is_none();
            let page = self.page(remote, cursor).await?;
            if first && page.next_cursor.is_none() {
                let total = files(&page).map(|entry| entry.size).sum();
                self.meter.change(|report| report.size_bytes = Some(total));
            }
            self.entries(claim.partial(), &names, page.entries).await?;
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        let wanted = target.to_owned();
        blocking(move || {
            let path = place(claim.partial(), &wanted)
                .map_err(|error| TransferError::disk(&wanted, error))?;
            // Should it stay, the next download of this folder finds it empty and begins anew.
            let _ = claim.end();
            Ok(path)
        })
        .await
    }

    async fn page(&self, remote: &str, cursor: Option<String>) -> TransferResult<FileList> {
        let query = ListQuery {
            path: remote.to_owned(),
            recursive: true,
            limit: PAGE,
            cursor,
        };
        self.ask(remote, || self.runtime.list_files(&query)).await
    }

    /// Several at once. After an error nothing new begins, but what was under way is brought to its end, so that no lock stays.
    async fn entries(
        &self,
        root: &Path,
        names: &Names,
        entries: Vec<FileEntry>,
    ) -> TransferResult<()> {
        let queue = Queue::new(entries);
        let fetchers = (0..self.limits.files_at_once).map(|_| async {
            while let Some(entry) = queue.next() {
                if let Err(error) = self.entry(root, names, entry).await {
                    self.stop.cancel();
                    return Some(error);
                }
            }
            None
        });
        let errors = join_all(fetchers).await.into_iter().flatten();
        // The others were stopped because of the first.
        let first = errors.min_by_key(|error| matches!(error, TransferError::Cancelled { .. }));
        first.map_or(Ok(()), Err)
    }

    async fn entry(&self, root: &Path, names: &Names, entry: FileEntry) -> TransferResult<()> {
        let skip = |reason: &str| {
            self.meter.skip(&entry.name, reason);
            Ok(())
        };
        let name = match Name::parse(&entry.name) {
            Ok(name) => name,
            Err(error) => return skip(&error.to_string()),
        };
        match entry.kind {
            FileType::Link => return skip("it is a link"),
            FileType::Other => return skip("it is neither a file nor a folder"),
            FileType::Directory => {
                let root = root.to_owned();
                return blocking(move || name.prepare_folder(&root)).await;
            }
            FileType::File => {}
        }
        if !names.is_new(&entry.name) {
            return skip("its name differs from another one only in case");
        }
        let (base, listed) = (root.to_owned(), entry.clone());
        let target = match blocking(move || prepare(&name, &base, &listed)).await? {
            Prepared::Here => {
                self.meter.add_resumed(entry.size);
                self.meter.change(|report| report.files += 1);
                return Ok(());
            }
            Prepared::Wanted(target) => target,
        };
        // The digest of a small file is there at once, which saves asking for it.
        let small = entry.size <= self.limits.piece_bytes;
        let fetched = match self.stat(&entry.path, small).await {
            Ok(stat) => self.file(stat, &target).await,
            Err(error) => Err(error),
        };
        match fetched {
            Ok(_) => {
                self.meter.change(|report| report.files += 1);
                Ok(())
            }
            Err(error) if error.is_changed() || error.code() == "not_found" => {
                skip("it changed or went away while it was read")
            }
            Err(error) => Err(error),
        }
    }
}

async fn claim(remote: &str, target: &Path) -> TransferResult<Claim> {
    let (name, path) = (remote.to_owned(), target.to_owned());
    let made = blocking(move || {
        let (mut claim, known) = Claim::take(&path, &name, true)?;
        if known == Known::Nothing {
            claim.begin_folder(&name)?;
        }
        fs::create_dir_all(claim.partial())?;
        Ok(claim)
    });
    made.await
        .map_err(|error: io::Error| TransferError::disk(target, error))
}

fn files(page: &FileList) -> impl Iterator<Item = &FileEntry> {
    page.entries
        .iter()
        .filter(|entry| entry.kind == FileType::File)
}

enum Prepared {
    /// An earlier download brought it.
    Here,
    Wanted(PathBuf),
}

fn prepare(name: &Name, root: &Path, entry: &FileEntry) -> TransferResult<Prepared> {
    let target = name.prepare(root)?;
    let Ok(there) = fs::symlink_metadata(&target) else {
        return Ok(Prepared::Wanted(target));
    };
    let same_time = there.modified().ok() == changed_at(&entry.modified_at);
    if there.is_file() && there.len() == entry.size && same_time {
        return Ok(Prepared::Here);
    }
    // This folder is all our own until it has its name: what is here is an older state of the file.
    let removed = if there.is_dir() {
        fs::remove_dir_all(&target)
    } else {
        fs::remove_file(&target)
    };
    removed.map_err(|error| TransferError::disk(&target, error))?;
    Ok(Prepared::Wanted(target))
}

/// The names of a folder's files, where the system takes `a` and `A` for one.
#[derive(Default)]
struct Names(Mutex<HashSet<String>>);

impl Names {
    fn is_new(&self, name: &str) -> bool {
        if !cfg!(any(windows, target_os = "macos")) {
            return true;
        }
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(name.to_lowercase())
    }
}
