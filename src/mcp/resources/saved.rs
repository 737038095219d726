//! Lists and reads the files of `LOCAL_SAVE_DIR`. All of it reads the disk.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use super::address;
use super::fault::ResourceFault;
use crate::mcp::fault::Fault;

/// Files and folders of one listing, those nearest to the top first.
const MAX_SEEN: usize = 10_000;
/// Endings of an unfinished download and of its journal.
const UNFINISHED: [&str; 2] = [".partial", ".partial.jsonl"];
/// Bytes of one read.
pub(super) const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// The user's folder.
#[derive(Debug)]
pub(super) struct Saved {
    root: PathBuf,
    /// The bridge's own folder, which holds the token: never readable, even inside the user's folder.
    private: PathBuf,
}

/// A listed file.
#[derive(Debug)]
pub(super) struct Entry {
    pub path: PathBuf,
    pub bytes: u64,
    pub changed: SystemTime,
}

impl Saved {
    pub(super) fn new(root: PathBuf, private: PathBuf) -> Self {
        Self { root, private }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Lists the readable files, unordered. Hidden, unfinished and unreadable ones and links are omitted.
    pub(super) fn list(&self) -> Vec<Entry> {
        let (mut entries, mut seen) = (Vec::new(), 0);
        let mut folders = VecDeque::from([self.root.clone()]);
        if self.private == self.root {
            return entries;
        }
        while let Some(folder) = folders.pop_front() {
            for found in fs::read_dir(folder).into_iter().flatten().flatten() {
                if seen == MAX_SEEN {
                    return entries;
                }
                seen += 1;
                let path = found.path();
                if self.is_withheld(&path) {
                    continue;
                }
                match found.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push_back(path),
                    Ok(kind) if kind.is_file() => entries.extend(entry(path)),
                    Ok(_) | Err(_) => {}
                }
            }
        }
        entries
    }

    /// A file's path in the folder, with `/` on every system.
    pub(super) fn name_of(&self, path: &Path) -> String {
        let parts = path.strip_prefix(&self.root).unwrap_or(path).components();
        let parts: Vec<_> = parts
            .map(|part| part.as_os_str().to_string_lossy())
            .collect();
        parts.join("/")
    }

    /// Whether a file or folder is hidden, unfinished or private.
    fn is_withheld(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_unfinished = UNFINISHED.iter().any(|ending| name.ends_with(ending));
        name.starts_with('.') || is_unfinished || path == self.private
    }

    /// Returns a file's canonical path. Refuses a path outside the folder without disclosing whether it exists.
    pub(super) fn find(&self, path: &Path) -> Result<PathBuf, ResourceFault> {
        let outside = || {
            ResourceFault::missing(
                format!(
                    "only files in {} can be read as resources, and {} is not one of them",
                    self.root.display(),
                    path.display()
                ),
                "resources/list shows the readable files.",
            )
        };
        let gone = || {
            ResourceFault::missing(
                format!("{} does not exist", path.display()),
                "resources/list shows the readable files.",
            )
        };
        let real_root = fs::canonicalize(&self.root).map_err(|_| outside())?;
        let inner = [&self.root, &real_root]
            .into_iter()
            .find_map(|root| path.strip_prefix(root).ok())
            .ok_or_else(outside)?;
        let is_plain = |part| matches!(part, Component::Normal(_));
        if !inner.components().all(is_plain) || self.is_withheld_within(inner) {
            return Err(outside());
        }
        let real = match fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) if is_missing(&error) => return Err(gone()),
            Err(error) => return Err(unreadable(path, &error)),
        };
        let inner = real.strip_prefix(&real_root).map_err(|_| outside())?;
        let private = fs::canonicalize(&self.private).ok();
        if self.is_withheld_within(inner)
            || private
                .is_some_and(|private| private.starts_with(&real_root) && real.starts_with(private))
        {
            return Err(outside());
        }
        Ok(real)
    }

    fn is_withheld_within(&self, inner: &Path) -> bool {
        let mut parts = inner.components();
        parts.any(|part| self.is_withheld(Path::new(part.as_os_str())))
    }

    /// Reads a whole file.
    pub(super) fn read(&self, path: &Path) -> Result<Vec<u8>, ResourceFault> {
        let real = self.find(path)?;
        let failed = |error: io::Error| match is_missing(&error) {
            true => ResourceFault::missing(
                format!("{} does not exist any more", path.display()),
                "resources/list shows the readable files.",
            ),
            false => unreadable(path, &error),
        };
        // Checked before opening: opening a pipe would block until its other end is opened.
        if !fs::metadata(&real).map_err(failed)?.is_file() {
            return Err(ResourceFault::missing(
                format!("{} is not a file", path.display()),
                "resources/list shows the readable files.",
            ));
        }
        let mut bytes = Vec::new();
        let file = File::open(&real).map_err(failed)?;
        file.take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(ResourceFault::failed(too_large(path)));
        }
        Ok(bytes)
    }

    /// Identifies a file's state by time and size; none if it does not exist or is not readable.
    pub(super) fn changed(&self, path: &Path) -> Option<(SystemTime, u64)> {
        let metadata = fs::metadata(self.find(path).ok()?).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }
}

fn entry(path: PathBuf) -> Option<Entry> {
    let metadata = fs::metadata(&path).ok()?;
    Some(Entry {
        path,
        bytes: metadata.len(),
        changed: metadata.modified().ok()?.max(SystemTime::UNIX_EPOCH),
    })
}

fn is_missing(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    matches!(
        error.kind(),
        NotFound | NotADirectory | InvalidInput | InvalidFilename
    )
}

fn unreadable(path: &Path, error: &io::Error) -> ResourceFault {
    ResourceFault::failed(Fault::new(
        "internal",
        format!("{} cannot be read ({error})", path.display()),
        "Check its permissions on this computer.",
        true,
    ))
}

fn too_large(path: &Path) -> Fault {
    let is_log = path.extension().is_some_and(|ending| ending == "log");
    let hint = if is_log {
        format!(
            "To read a part of a job's log use {}, for example with from=-100000.",
            address::LOG_TEMPLATE
        )
    } else {
        "Open it on this computer with another program.".to_owned()
    };
    Fault::new(
        "invalid_argument",
        format!(
            "{} is larger than {} MiB",
            path.display(),
            MAX_BYTES / 1024 / 1024
        ),
        hint,
        false,
    )
}
