//! The files that a mirror has yet to download, and those that it leaves out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::transfer::Skipped;
use crate::transfer::disk::changed_at;
use crate::transfer::name::Name;
use crate::wire::files::FileEntry;

/// By their names, relative to the folder.
#[derive(Debug, Default)]
pub(super) struct Pending(BTreeMap<String, FileEntry>);

/// How much may be downloaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// What is left of `max_bytes`.
    pub(super) left: u64,
    /// What is left of the tunnel's month, where that counts.
    pub(super) month: Option<u64>,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    pub(super) fn add(&mut self, entries: impl IntoIterator<Item = FileEntry>) {
        let named = entries.into_iter().map(|entry| (entry.name.clone(), entry));
        self.0.extend(named);
    }

    /// Takes the files that may be downloaded; the others are left out, with the reason.
    pub(super) fn take(&mut self, mut bounds: Bounds) -> (Vec<FileEntry>, Vec<Skipped>) {
        let (mut taken, mut skipped) = (Vec::new(), Vec::new());
        for (name, entry) in std::mem::take(&mut self.0) {
            match bounds.refuse(entry.size) {
                Some(reason) => skipped.push(Skipped {
                    name,
                    reason: reason.to_owned(),
                }),
                None => taken.push(entry),
            }
        }
        (taken, skipped)
    }
}

impl Bounds {
    /// Counts a file, or returns why it is too much.
    fn refuse(&mut self, size: u64) -> Option<&'static str> {
        if size > self.left {
            return Some("it is larger than what is left of max_bytes");
        }
        if self.month.is_some_and(|month| size > month) {
            return Some(
                "it is larger than what is left of this month's 1 GB of ngrok's free plan, some of which is kept for other calls; an explicit max_bytes lifts this limit",
            );
        }
        self.left -= size;
        self.month = self.month.map(|month| month - size);
        None
    }
}

/// Removes files that are here already, by size and modification time. Reads the disk.
pub(super) fn missing(entries: Vec<FileEntry>, target: &Path) -> Vec<FileEntry> {
    let is_missing = |entry: &FileEntry| {
        let path = Name::parse(&entry.name).map(|name| name.under(target));
        let there = path.ok().and_then(|path| fs::symlink_metadata(path).ok());
        !there.is_some_and(|there| {
            there.is_file()
                && there.len() == entry.size
                && there.modified().ok() == changed_at(&entry.modified_at)
        })
    };
    entries.into_iter().filter(is_missing).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::{Bounds, Pending, missing};
    use crate::transfer::disk::changed_at;
    use crate::wire::files::{FileEntry, FileType};

    const THEN: &str = "2026-11-21T10:00:00.123Z";

    fn entry(name: &str, size: u64) -> FileEntry {
        FileEntry {
            name: name.to_owned(),
            path: format!("/content/{name}"),
            kind: FileType::File,
            size,
            modified_at: THEN.to_owned(),
            executable: None,
        }
    }

    #[test]
    fn files_that_exceed_a_bound_are_named_and_the_others_taken() {
        let mut pending = Pending::default();
        pending.add([
            entry("a", 60),
            entry("b", 50),
            entry("c", 40),
            entry("d", 5),
        ]);
        pending.add([entry("d", 1)]);
        let (taken, skipped) = pending.take(Bounds {
            left: 100,
            month: Some(70),
        });
        let names = |entries: Vec<FileEntry>| entries.into_iter().map(|entry| entry.name);
        assert!(names(taken).eq(["a", "d"]));
        assert_eq!(skipped.len(), 2);
        assert!(skipped[0].reason.ends_with("left of max_bytes"));
        assert!(skipped[1].reason.contains("ngrok"));
        assert!(pending.is_empty());
    }

    #[test]
    fn a_file_of_the_same_size_and_time_is_here_already() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["same", "older"] {
            fs::write(folder.path().join(name), "1234").unwrap();
        }
        let same = File::options().write(true).open(folder.path().join("same"));
        same.unwrap()
            .set_modified(changed_at(THEN).unwrap())
            .unwrap();
        let all = vec![entry("same", 4), entry("older", 4), entry("none", 4)];
        let names: Vec<_> = missing(all, folder.path())
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        assert_eq!(names, ["older", "none"]);
    }
}
