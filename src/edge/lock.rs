//! What one process does at a time, across processes. The system ends a lock with its holder, however that dies.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // A child process that is just being started holds a copy of the handle for a moment; closing ours would not end the lock.
        // Where the system cannot unlock, closing has to do.
        let _ = self.file.unlock();
    }
}

impl FileLock {
    /// Takes the lock on the file at `path` unless another holds it (`None`). Makes the file and missing folders.
    ///
    /// On a file system without locks everyone gets it: better than none at all.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn try_take(path: &Path) -> io::Result<Option<Self>> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(Some(Self { file }))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FileLock;

    #[test]
    fn a_lock_has_one_holder_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/a.lock");
        let held = FileLock::try_take(&path).unwrap();
        assert!(held.is_some());
        assert!(FileLock::try_take(&path).unwrap().is_none());
        drop(held);
        assert!(FileLock::try_take(&path).unwrap().is_some());
    }
}
