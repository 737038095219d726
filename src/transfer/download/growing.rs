//! A folder being downloaded: `NAME.partial/`, used by nothing else until it is renamed, and its journal, which records the complete files.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

use super::bundle::Small;
use super::journal::{Claim, Digests, Known};
use super::strays::remove_strays;
use crate::base::lock::Lock;
use crate::edge::store::{remove_if_there, sync_files_of};
use crate::transfer::destination::{JOURNAL, PARTIAL, beside, place};
use crate::transfer::disk::{changed_at, make_executable};
use crate::transfer::error::{TransferError, TransferResult};
use crate::transfer::name::Name;
use crate::wire::files::{FileEntry, FileType};

#[derive(Debug)]
pub(super) struct Growing {
    pub(super) root: PathBuf,
    pub(super) claim: Lock<Claim>,
    /// Files completed by earlier downloads.
    earlier: Digests,
    /// Complete files of this download.
    complete: Lock<Digests>,
    /// Listed folders, by their local paths.
    folders: Lock<HashSet<PathBuf>>,
    names: Names,
}

/// A file to be fetched.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Relative to the folder, with `/`.
    pub(super) name: String,
    pub(super) remote: String,
    pub(super) size: u64,
    pub(super) target: PathBuf,
}

/// The entries of a listing, by how they are handled.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) small: Vec<Wanted>,
    pub(super) large: Vec<Wanted>,
    /// Sizes of files that are already complete.
    pub(super) here: Vec<u64>,
    /// Names and reasons.
    pub(super) skipped: Vec<(String, String)>,
}

impl Growing {
    /// Resumes an earlier download of the same folder beside `target`, or starts a new one.
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
            claim: Lock::new(claim),
            earlier,
            complete: Lock::default(),
            folders: Lock::default(),
            names: Names::default(),
        })
    }

    /// Creates the folders, and sorts the files by how they are to be fetched: those of up to `small_bytes` in bundles.
    pub(super) fn sort(
        &self,
        entries: Vec<FileEntry>,
        small_bytes: Option<u64>,
    ) -> TransferResult<Sorted> {
        let mut sorted = Sorted::default();
        let mut folders = HashSet::new();
        for entry in entries {
            let name = match (Name::parse(&entry.name), entry.kind) {
                (Err(error), _) => Err(error.to_string()),
                (Ok(_), FileType::Link) => Err("it is a link".to_owned()),
                (Ok(_), FileType::Other) => Err("it is neither a file nor a folder".to_owned()),
                (Ok(name), FileType::Directory) => {
                    let path = name.under(&self.root);
                    Self::remove_files_on_the_way(&self.root, &path)?;
                    name.prepare_folder(&self.root)?;
                    self.folders().insert(path);
                    continue;
                }
                (Ok(_), FileType::File) if !self.names.is_new(&entry.name) => {
                    Err("its name differs from another one only in upper and lower case".to_owned())
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
            if let Some(folder) = target.parent()
                && folders.insert(folder.to_owned())
            {
                Self::remove_files_on_the_way(&self.root, folder)?;
                target = name.prepare(&self.root)?;
            }
            if self.keep(&entry, &target)? {
                sorted.here.push(entry.size);
                continue;
            }
            let is_small = small_bytes.is_some_and(|small_bytes| entry.size <= small_bytes);
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

    /// Removes files of an earlier download where `folder`, or one of its parents below `root`, is needed now.
    pub(super) fn remove_files_on_the_way(root: &Path, folder: &Path) -> TransferResult<()> {
        let inside = folder.ancestors().take_while(|path| *path != root);
        for path in inside {
            if fs::symlink_metadata(path).is_ok_and(|there| there.is_file()) {
                fs::remove_file(path).map_err(|error| TransferError::disk(path, error))?;
            }
        }
        Ok(())
    }

    /// Keeps a file that an earlier download completed and that is unchanged, and returns true; removes any other one.
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

    /// Writes small files whose bytes were checked. Syncing each would take minutes for many: `finish` syncs all of them.
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

    /// Records these files as complete and checked.
    pub(super) fn complete(&self, files: Vec<(String, String)>) -> io::Result<()> {
        let mut claim = self.claim.lock();
        claim.complete(&files)?;
        drop(claim);
        self.digests().extend(files);
        Ok(())
    }

    /// Removes everything that is not part of the folder, such as files of an earlier listing, and renames the folder.
    pub(super) fn finish(&self, target: &Path) -> io::Result<(PathBuf, Digests)> {
        let complete = std::mem::take(&mut *self.digests());
        let files = complete.keys().filter_map(|name| Name::parse(name).ok());
        let mut known: HashSet<PathBuf> = files.map(|name| name.under(&self.root)).collect();
        known.extend(self.folders().drain());
        remove_strays(&self.root, &known)?;
        let mut claim = self.claim.lock();
        sync_files_of(&self.root)?;
        let path = place(&self.root, target)?;
        // If it stays, the next download of this folder finds an empty partial and fetches all files.
        let _ = claim.end();
        Ok((path, complete))
    }

    /// Removes the partial of a skipped file.
    pub(super) fn discard_partial(&self, target: &Path) -> io::Result<()> {
        remove_if_there(&beside(target, PARTIAL))?;
        remove_if_there(&beside(target, JOURNAL))
    }

    fn folders(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.folders.lock()
    }

    pub(super) fn digests(&self) -> MutexGuard<'_, Digests> {
        self.complete.lock()
    }
}

fn write_small(target: &Path, small: &Small) -> io::Result<()> {
    // Never writes to a file or link that took the name meanwhile.
    let mut file = File::create_new(target)?;
    file.write_all(&small.bytes)?;
    if let Some(time) = changed_at(&small.modified_at) {
        file.set_modified(time)?;
    }
    if small.is_executable {
        // Some file systems have no modes.
        let _ = make_executable(&file);
    }
    Ok(())
}

/// The names of a folder's files, to detect clashes on systems where `a` and `A` are the same.
#[derive(Debug, Default)]
struct Names(Lock<HashSet<String>>);

impl Names {
    fn is_new(&self, name: &str) -> bool {
        if !cfg!(any(windows, target_os = "macos")) {
            return true;
        }
        let mut names = self.0.lock();
        names.insert(name.to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::bundle::Small;
    use super::{Growing, Sorted};
    use crate::wire::files::FileEntry;

    const TIME: &str = "2026-01-02T03:04:05Z";
    /// Larger files are fetched singly.
    const SMALL: u64 = 100;

    /// Names with their sizes; a folder ends with a slash.
    fn listing(names: &[(&str, u64)]) -> Vec<FileEntry> {
        let entry = |(name, size): &(&str, u64)| {
            let kind = if name.ends_with('/') {
                "directory"
            } else {
                "file"
            };
            let name = name.trim_end_matches('/');
            serde_json::from_value(serde_json::json!({
                "name": name, "path": format!("/content/out/{name}"), "type": kind, "size": size, "modified_at": TIME,
            }))
            .unwrap()
        };
        names.iter().map(entry).collect()
    }

    fn open(folder: &Path, names: &[(&str, u64)]) -> (Growing, Sorted) {
        let growing = Growing::open(&folder.join("out"), "/content/out").unwrap();
        let sorted = growing.sort(listing(names), Some(SMALL)).unwrap();
        (growing, sorted)
    }

    /// A download that receives all small files.
    fn fetch(folder: &Path, names: &[(&str, u64)]) -> Growing {
        let (growing, sorted) = open(folder, names);
        let small = sorted.small.into_iter().map(|wanted| {
            let small = Small {
                name: wanted.name,
                sha256: "0".repeat(64),
                modified_at: TIME.to_owned(),
                is_executable: false,
                bytes: vec![7; wanted.size as usize],
            };
            (wanted.target, small)
        });
        growing.write(small.collect()).unwrap();
        growing
    }

    fn tree(folder: &Path, below: &str) -> Vec<String> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let name = format!("{below}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                names.extend(tree(&entry.path(), &format!("{name}/")));
                names.push(name + "/");
            } else {
                names.push(name);
            }
        }
        names.sort();
        names
    }

    /// The folder's content after an interrupted download of `first` and a complete one of `then`.
    fn resumed(first: &[(&str, u64)], then: &[(&str, u64)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        drop(fetch(folder.path(), first));
        let target = folder.path().join("out");
        let (path, _) = fetch(folder.path(), then).finish(&target).unwrap();
        tree(&path, "")
    }

    #[test]
    fn a_file_renamed_only_in_case_is_kept() {
        assert_eq!(resumed(&[("A", 1)], &[("a", 2)]), ["a"]);
        assert_eq!(resumed(&[("A", 1)], &[("a", 1)]), ["a"]);
        let deep = resumed(&[("D/", 0), ("D/x", 1)], &[("d/", 0), ("d/x", 1)]);
        assert!(deep == ["d/", "d/x"] || deep == ["D/", "D/x"], "{deep:?}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_reached_by_another_spelling_of_its_folder_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("out.partial");
        drop(fetch(folder.path(), &[("D/x", 1)]));
        let growing = Growing::open(&folder.path().join("out"), "/content/out").unwrap();
        fs::rename(root.join("D"), root.join("d")).unwrap();
        std::os::unix::fs::symlink(root.join("d"), root.join("D")).unwrap();
        drop(growing);
        let target = folder.path().join("out");
        let growing = fetch(folder.path(), &[("d/x", 1)]);
        let (path, _) = growing.finish(&target).unwrap();
        assert_eq!(tree(&path, ""), ["d/", "d/x"]);
    }

    #[test]
    fn a_file_may_have_become_a_folder_and_a_folder_a_file() {
        assert_eq!(resumed(&[("x", 1)], &[("x/", 0)]), ["x/"]);
        assert_eq!(
            resumed(&[("x", 1)], &[("x/y/b", 1)]),
            ["x/", "x/y/", "x/y/b"]
        );
        assert_eq!(resumed(&[("x/", 0), ("x/b", 1)], &[("x", 1)]), ["x"]);
    }

    #[test]
    fn files_missing_from_the_new_listing_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let first = [
            ("hollow/", 0),
            ("old/", 0),
            ("old/deep/", 0),
            ("old/deep/a", 1),
            ("b", 1),
        ];
        let growing = fetch(folder.path(), &first);
        for leftover in ["big.partial", "big.partial.jsonl", "old/unnoted"] {
            fs::write(growing.root.join(leftover), "left").unwrap();
        }
        drop(growing);
        let then = [("hollow/", 0), ("b", 1), ("new/c", 1)];
        let target = folder.path().join("out");
        let (path, digests) = fetch(folder.path(), &then).finish(&target).unwrap();
        assert_eq!(tree(&path, ""), ["b", "hollow/", "new/", "new/c"]);
        assert_eq!(digests.into_keys().collect::<Vec<_>>(), ["b", "new/c"]);
    }
}
