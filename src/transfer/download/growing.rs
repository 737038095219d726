//! A folder that is being put together: `NAME.partial/`, all our own until it has its name, and its journal, which says what in it is complete.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bundle::Small;
use super::journal::{Claim, Digests, Known};
use crate::edge::store::remove_if_there;
use crate::transfer::destination::{JOURNAL, PARTIAL, beside, place};
use crate::transfer::disk::changed_at;
use crate::transfer::error::{TransferError, TransferResult};
use crate::transfer::name::Name;
use crate::wire::files::{FileEntry, FileType};

#[derive(Debug)]
pub(super) struct Growing {
    root: PathBuf,
    claim: Mutex<Claim>,
    /// What earlier downloads completed.
    earlier: Digests,
    /// What is complete and part of what comes now.
    complete: Mutex<Digests>,
    names: Names,
}

/// A file that is to be fetched.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Relative to the folder, with `/`.
    pub(super) name: String,
    pub(super) remote: String,
    pub(super) size: u64,
    pub(super) target: PathBuf,
}

/// What is to be done about the entries of a listing.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) small: Vec<Wanted>,
    pub(super) large: Vec<Wanted>,
    /// Sizes of files that are complete already.
    pub(super) here: Vec<u64>,
    /// Names and reasons.
    pub(super) skipped: Vec<(String, String)>,
}

impl Growing {
    /// Goes on with what an earlier download of the same folder left beside `target`, or begins.
    pub(super) fn open(target: &Path, remote: &str) -> io::Result<Self> {
        let (mut claim, known) = Claim::take(target, remote, true)?;
        let earlier = match known {
            Known::Folder { complete, .. } => complete,
            Known::Nothing | Known::File { .. } => {
                claim.begin_folder(remote)?;
                Digests::new()
            }
        };
        fs::create_dir_all(claim.partial())?;
        Ok(Self {
            root: claim.partial().to_owned(),
            claim: Mutex::new(claim),
            earlier,
            complete: Mutex::default(),
            names: Names::default(),
        })
    }

    /// Makes the folders, and says of the files which are to be fetched, and how.
    pub(super) fn sort(&self, entries: Vec<FileEntry>, small_bytes: u64) -> TransferResult<Sorted> {
        let mut sorted = Sorted::default();
        let mut folders = HashSet::new();
        for entry in entries {
            let name = match (Name::parse(&entry.name), entry.kind) {
                (Err(error), _) => Err(error.to_string()),
                (Ok(_), FileType::Link) => Err("it is a link".to_owned()),
                (Ok(_), FileType::Other) => Err("it is neither a file nor a folder".to_owned()),
                (Ok(name), FileType::Directory) => {
                    name.prepare_folder(&self.root)?;
                    continue;
                }
                (Ok(_), FileType::File) if !self.names.is_new(&entry.name) => {
                    Err("its name differs from another one only in case".to_owned())
                }
                (Ok(name), FileType::File) => Ok(name),
            };
            let name = match name {
                Ok(name) => name,
                Err(reason) => {
                    sorted.skipped.push((entry.name, reason));
                    continue;
                }
            };
            let mut target = name.under(&self.root);
            let folder = target.parent().map(Path::to_owned);
            if folder.is_some_and(|folder| folders.insert(folder)) {
                target = name.prepare(&self.root)?;
            }
            if self.keep(&entry, &target)? {
                sorted.here.push(entry.size);
                continue;
            }
            let is_small = entry.size <= small_bytes;
            let wanted = Wanted {
                name: entry.name,
                remote: entry.path,
                size: entry.size,
                target,
            };
            if is_small {
                sorted.small.push(wanted);
            } else {
                sorted.large.push(wanted);
            }
        }
        Ok(sorted)
    }

    /// Whether an earlier download brought this state of a file; what is there of another one is removed.
    fn keep(&self, entry: &FileEntry, target: &Path) -> TransferResult<bool> {
        let Ok(there) = fs::symlink_metadata(target) else {
            return Ok(false);
        };
        let is_same = there.is_file()
            && there.len() == entry.size
            && there.modified().ok() == changed_at(&entry.modified_at);
        if is_same && let Some(sha256) = self.earlier.get(&entry.name) {
            self.digests().insert(entry.name.clone(), sha256.clone());
            return Ok(true);
        }
        let removed = if there.is_dir() {
            fs::remove_dir_all(target)
        } else {
            fs::remove_file(target)
        };
        removed.map_err(|error| TransferError::disk(target, error))?;
        Ok(false)
    }

    /// Writes small files whose bytes were checked. They are not synced one by one: after a power cut those that did not reach the disk have
    /// another size or time, and come again.
    pub(super) fn write(&self, files: Vec<(PathBuf, Small)>) -> TransferResult<()> {
        let mut noted = Vec::with_capacity(files.len());
        for (target, small) in files {
            let written = write_small(&target, &small);
            written.map_err(|error| TransferError::disk(&target, error))?;
            noted.push((small.name, small.sha256));
        }
        self.complete(noted)
            .map_err(|error| TransferError::disk(&self.root, error))
    }

    /// Notes that these files are there and were checked.
    pub(super) fn complete(&self, files: Vec<(String, String)>) -> io::Result<()> {
        let mut claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        claim.complete(&files)?;
        drop(claim);
        self.digests().extend(files);
        Ok(())
    }

    /// Removes what an earlier download brought and is no part of the folder any more, and gives the folder its name.
    pub(super) fn finish(&self, target: &Path) -> io::Result<(PathBuf, Digests)> {
        let complete = std::mem::take(&mut *self.digests());
        let gone = self
            .earlier
            .keys()
            .filter(|name| !complete.contains_key(*name));
        for name in gone.filter_map(|name| Name::parse(name).ok()) {
            remove_if_there(&name.under(&self.root))?;
        }
        let mut claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        let path = place(&self.root, target)?;
        // Should it stay, the next download of this folder finds it empty and begins anew.
        let _ = claim.end();
        Ok((path, complete))
    }

    /// Removes what has come of a file that is left out.
    pub(super) fn leave_out(&self, target: &Path) -> io::Result<()> {
        remove_if_there(&beside(target, PARTIAL))?;
        remove_if_there(&beside(target, JOURNAL))
    }

    fn digests(&self) -> MutexGuard<'_, Digests> {
        self.complete.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_small(target: &Path, small: &Small) -> io::Result<()> {
    // Whatever took the name meanwhile, a link among them, is not written to.
    let mut file = File::create_new(target)?;
    file.write_all(&small.bytes)?;
    if let Some(time) = changed_at(&small.modified_at) {
        file.set_modified(time)?;
    }
    Ok(())
}

/// The names of a folder's files, where the system takes `a` and `A` for one.
#[derive(Debug, Default)]
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
