//! The journal of an unfinished download: `NAME.partial.jsonl` beside `NAME.partial`.
//!
//! Lines of JSON are only appended, so that after a crash at any point the journal claims too little and never too much: a torn last line is
//! cut off. The first line names the source; the same line later on means that the download started over. The open journal is also the lock
//! that keeps every other download, of this process or another, out of the partial file.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ranges::Ranges;
use crate::edge::lock::is_at;
use crate::transfer::destination::{JOURNAL, PARTIAL, beside, numbered};

const VERSION: u32 = 2;

/// One state of one remote file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    pub(super) remote: String,
    pub(super) etag: String,
    /// Bytes.
    pub(super) size: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum Line {
    File {
        version: u32,
        #[serde(flatten)]
        source: Source,
    },
    Folder {
        version: u32,
        remote: String,
    },
    /// The bytes from `from` up to `to` are in the partial file.
    Received {
        from: u64,
        to: u64,
    },
    /// A file of the folder is complete and checked.
    Complete {
        name: String,
        sha256: String,
    },
}

/// The content of a journal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    Nothing,
    File { source: Source, received: Ranges },
    Folder { remote: String, complete: Digests },
}

/// Digests (SHA-256, 64 hexadecimal digits) by the files' names in their folder.
pub(super) type Digests = BTreeMap<String, String>;

/// Reads the lines of a journal; `None` if this version did not write it.
fn replay(text: &str) -> Option<Known> {
    let mut known = Known::Nothing;
    for line in text.lines() {
        match (serde_json::from_str(line).ok()?, &mut known) {
            (Line::File { version, source }, Known::Nothing | Known::File { .. })
                if version == VERSION =>
            {
                let received = Ranges::default();
                known = Known::File { source, received };
            }
            (Line::Folder { version, remote }, Known::Nothing) if version == VERSION => {
                let complete = Digests::new();
                known = Known::Folder { remote, complete };
            }
            (Line::Received { from, to }, Known::File { source, received })
                if from <= to && to <= source.size =>
            {
                received.add(from..to);
            }
            (Line::Complete { name, sha256 }, Known::Folder { complete, .. }) => {
                complete.insert(name, sha256);
            }
            (
                Line::File { .. }
                | Line::Folder { .. }
                | Line::Received { .. }
                | Line::Complete { .. },
                _,
            ) => return None,
        }
    }
    Some(known)
}

/// The right to write to one partial file or folder, until this is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    partial: PathBuf,
    path: PathBuf,
    journal: File,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // As in `edge::lock`: a child process that is just starting would hold the lock for a moment.
        let _ = self.journal.unlock();
    }
}

impl Claim {
    /// Claims the first of `NAME.partial`, `NAME (2).partial`, … that is free or was left by an earlier download of the same remote path.
    pub(super) fn take(target: &Path, remote: &str, folder: bool) -> io::Result<(Self, Known)> {
        let ours = |known: &Known| match known {
            Known::Nothing => true,
            Known::File { source, .. } => !folder && source.remote == remote,
            Known::Folder { remote: other, .. } => folder && other == remote,
        };
        let mut number = 1;
        loop {
            match Self::try_take(&numbered(target, number))? {
                Some((claim, known)) if ours(&known) => return Ok((claim, known)),
                _ => number += 1,
            }
        }
    }

    /// `None` if another download holds it, or if files of these names belong to something else.
    fn try_take(target: &Path) -> io::Result<Option<(Self, Known)>> {
        let (partial, path) = (beside(target, PARTIAL), beside(target, JOURNAL));
        let is_link = |path: &Path| fs::symlink_metadata(path).is_ok_and(|at| at.is_symlink());
        if is_link(&path) || is_link(&partial) {
            return Ok(None);
        }
        let fresh = !path.exists();
        if fresh && partial.exists() {
            return Ok(None);
        }
        let mut journal = match OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
        {
            Ok(journal) => journal,
            Err(_) if path.is_dir() => return Ok(None),
            Err(error) => return Err(error),
        };
        match journal.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                tracing::warn!(path = %path.display(), %error, "this file system has no locks");
            }
        }
        if !is_at(&journal, &path)? {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        journal.read_to_end(&mut bytes)?;
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let Some(known) = std::str::from_utf8(&bytes[..whole]).ok().and_then(replay) else {
            return Ok(None);
        };
        if known == Known::Nothing && (!bytes.is_empty() || partial.exists()) {
            return Ok(None);
        }
        journal.set_len(whole as u64)?;
        journal.seek(SeekFrom::End(0))?;
        let claim = Self {
            partial,
            path,
            journal,
        };
        Ok(Some((claim, known)))
    }

    /// The path `NAME.partial`.
    pub(super) fn partial(&self) -> &Path {
        &self.partial
    }

    /// Starts the journal of a file, or starts it over: nothing is received yet.
    pub(super) fn begin_file(&mut self, source: &Source) -> io::Result<()> {
        self.append(&[Line::File {
            version: VERSION,
            source: source.clone(),
        }])
    }

    pub(super) fn begin_folder(&mut self, remote: &str) -> io::Result<()> {
        self.append(&[Line::Folder {
            version: VERSION,
            remote: remote.to_owned(),
        }])
    }

    /// Records received bytes. Call it after the bytes were written, never before.
    pub(super) fn received(&mut self, bytes: &Range<u64>) -> io::Result<()> {
        self.append(&[Line::Received {
            from: bytes.start,
            to: bytes.end,
        }])
    }

    /// Records complete files. Call it after the files were renamed, never before.
    pub(super) fn complete(&mut self, files: &[(String, String)]) -> io::Result<()> {
        let lines = files.iter().map(|(name, sha256)| Line::Complete {
            name: name.clone(),
            sha256: sha256.clone(),
        });
        self.append(&lines.collect::<Vec<_>>())
    }

    fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        write_or_undo(&mut self.journal, &text, |journal, whole| {
            journal.set_len(whole)
        })
    }

    /// Removes the journal: there is nothing left to resume.
    pub(super) fn end(&mut self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

/// Appends lines, and cuts off a partial write: the next line would be joined to a torn one and make the whole journal unreadable.
fn write_or_undo<W: Write + Seek>(
    journal: &mut W,
    text: &[u8],
    cut: impl FnOnce(&mut W, u64) -> io::Result<()>,
) -> io::Result<()> {
    let whole = journal.stream_position()?;
    journal.write_all(text).inspect_err(|_| {
        // If this fails too, the journal is unreadable, and the download starts over.
        let _ = cut(journal, whole).and_then(|()| journal.seek(SeekFrom::Start(whole)).map(drop));
    })
}

#[cfg(test)]
mod tests {
    use std::io::{self, Cursor, Seek, SeekFrom, Write};

    use super::write_or_undo;

    /// A disk with room for so many bytes.
    struct Disk(Cursor<Vec<u8>>, usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = self.1.saturating_sub(self.0.get_ref().len());
            match self.0.write(&bytes[..bytes.len().min(room)])? {
                0 => Err(io::ErrorKind::StorageFull.into()),
                written => Ok(written),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Seek for Disk {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    #[test]
    fn a_line_cut_by_a_full_disk_is_removed() {
        let mut disk = Disk(Cursor::default(), 7);
        let mut append = |text: &[u8]| {
            write_or_undo(&mut disk, text, |disk, whole| {
                disk.0.get_mut().truncate(whole as usize);
                Ok(())
            })
        };
        append(b"one\n").unwrap();
        append(b"three\n").unwrap_err();
        append(b"2\n").unwrap();
        assert_eq!(disk.0.into_inner(), b"one\n2\n");
    }
}
