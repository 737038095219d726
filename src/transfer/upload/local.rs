//! Opens local files so that only regular files in the allowed folder can be read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use cap_std::fs::{Dir, Metadata, OpenOptions};
use tokio_util::sync::CancellationToken;

use super::error::{UploadError, UploadResult};
use crate::base::lock::Lock;
use crate::transfer::digest::{Hasher, sha256};
use crate::wire::files::{Algorithm, Digest};

/// Bytes read at a time for a digest.
const BUFFER_BYTES: usize = 1 << 18;

/// A path below an open folder. The folder is a handle: whatever happens to names and links meanwhile, nothing outside it opens.
#[derive(Debug, Clone)]
pub(super) struct Place {
    folder: Arc<Dir>,
    relative: PathBuf,
    /// The path for messages.
    pub(super) path: PathBuf,
}

/// Identifies one state of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) size: u64,
    pub(super) modified: Option<SystemTime>,
    pub(super) is_executable: bool,
}

impl Stamp {
    pub(super) fn of(about: &Metadata) -> Self {
        #[cfg(unix)]
        let is_executable = cap_std::fs::MetadataExt::mode(about) & 0o100 != 0;
        #[cfg(not(unix))]
        let is_executable = false;
        Self {
            size: about.len(),
            modified: about
                .modified()
                .ok()
                .map(cap_std::time::SystemTime::into_std),
            is_executable,
        }
    }
}

#[derive(Debug)]
pub(super) struct LocalFile {
    file: Lock<File>,
    place: Place,
    pub(super) stamp: Stamp,
}

impl Place {
    pub(super) fn new(folder: Arc<Dir>, relative: PathBuf, path: PathBuf) -> Self {
        Self {
            folder,
            relative,
            path,
        }
    }

    /// Opens the file in its current state.
    pub(super) fn open(&self) -> UploadResult<LocalFile> {
        let failed = |error| UploadError::local(&self.path, error);
        let not_a_file = || UploadError::NotAFile {
            path: self.path.clone(),
        };
        // Before opening: opening a pipe or a device may have effects.
        if !self
            .folder
            .metadata(&self.relative)
            .map_err(failed)?
            .is_file()
        {
            return Err(not_a_file());
        }
        let file = self.folder.open_with(&self.relative, &for_reading());
        let file = file.map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        if !about.is_file() {
            return Err(not_a_file());
        }
        Ok(LocalFile {
            file: Lock::new(file.into_std()),
            place: self.clone(),
            stamp: Stamp::of(&about),
        })
    }

    fn stamp(&self) -> io::Result<Stamp> {
        Ok(Stamp::of(&self.folder.metadata(&self.relative)?))
    }
}

/// Options that do not block on a pipe that replaces the file just before it is opened.
fn for_reading() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    cap_std::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    options
}

impl LocalFile {
    fn changed(&self) -> UploadError {
        UploadError::Changed {
            path: self.place.path.clone(),
        }
    }

    fn failed(&self, error: io::Error) -> UploadError {
        UploadError::local(&self.place.path, error)
    }

    /// Fails if the path no longer leads to the state that was opened.
    pub(super) fn check_unchanged(&self) -> UploadResult<()> {
        let stamp = self.place.stamp().map_err(|error| self.failed(error))?;
        if stamp == self.stamp {
            Ok(())
        } else {
            Err(self.changed())
        }
    }

    /// Names this state of the file: 64 hexadecimal digits.
    pub(super) fn id(&self) -> String {
        let Stamp {
            size,
            modified,
            is_executable: _,
        } = self.stamp;
        let name = format!("{}\0{size}\0{modified:?}", self.place.path.display());
        sha256(name.as_bytes())
    }

    /// Computes the digest of the whole file; calls `read` with the number of bytes read so far. Pieces may be read meanwhile.
    pub(super) fn digest(
        &self,
        algorithm: Algorithm,
        stop: &CancellationToken,
        read: impl Fn(u64),
    ) -> UploadResult<Digest> {
        let again = self.place.open()?;
        if again.stamp != self.stamp {
            return Err(self.changed());
        }
        let mut file = again.file.lock();
        let (mut hasher, mut buffer, mut done) = (Hasher::new(algorithm), vec![0; BUFFER_BYTES], 0);
        // Bounded: a file that grows faster than it is read would never end.
        let mut whole = (&mut *file).take(self.stamp.size);
        while !stop.is_cancelled() {
            let count = whole
                .read(&mut buffer)
                .map_err(|error| self.failed(error))?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            done += count as u64;
            read(done);
        }
        if done < self.stamp.size {
            return Err(self.changed());
        }
        Ok(hasher.finish())
    }

    /// Reads exactly these bytes into `buffer`.
    pub(super) fn read(&self, range: &Range<u64>, mut buffer: BytesMut) -> UploadResult<Bytes> {
        let mut file = self.file.lock();
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        buffer.clear();
        buffer.resize(length, 0);
        file.seek(SeekFrom::Start(range.start))
            .and_then(|_| file.read_exact(&mut buffer))
            .map_err(|error| self.failed(error))?;
        Ok(buffer.freeze())
    }

    /// The modification time in the executor's format.
    pub(super) fn modified_at(&self) -> Option<String> {
        written(self.stamp.modified?)
    }
}

/// Formats a time as RFC 3339 with milliseconds.
pub(super) fn written(time: SystemTime) -> Option<String> {
    let time = jiff::Timestamp::try_from(time).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}
