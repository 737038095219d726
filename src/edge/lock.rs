//! Locks between processes. The system releases a lock when its holder ends, however that happens.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use same_file::Handle;

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // A child process that is just being started holds a copy of the handle for a moment; closing ours would not release the lock.
        // If the system cannot unlock, closing has to do.
        let _ = self.file.unlock();
    }
}

impl FileLock {
    /// Takes the lock on the file at `path`; none if it is held already. Creates the file and missing folders.
    ///
    /// On a file system without locks it is always taken: better than never.
    ///
    /// # Errors
    /// File system errors.
    pub fn try_take(path: &Path) -> io::Result<Option<Self>> {
        Self::take(path, File::try_lock)
    }

    /// Takes the lock together with others who do the same; none if it is held by [`Self::try_take`].
    ///
    /// # Errors
    /// File system errors.
    pub fn try_share(path: &Path) -> io::Result<Option<Self>> {
        Self::take(path, File::try_lock_shared)
    }

    fn take(path: &Path, lock: fn(&File) -> Result<(), TryLockError>) -> io::Result<Option<Self>> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        loop {
            let file = File::options()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(path)?;
            match lock(&file) {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let lock = Self { file };
            if is_at(&lock.file, path)? {
                return Ok(Some(lock));
            }
        }
    }
}

/// Whether the open file is still the one at `path`. Between opening and locking, a holder that ended may have removed it and another process
/// may have created a new one; a lock on the removed file excludes no other process.
///
/// # Errors
/// File system errors, except for a missing file.
pub fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    match Handle::from_path(path) {
        Ok(there) => Ok(there == Handle::from_file(file.try_clone()?)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::{FileLock, is_at};

    #[test]
    fn a_file_that_was_removed_and_created_again_is_a_different_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let old = File::create(&path).unwrap();
        assert!(is_at(&old, &path).unwrap());
        fs::remove_file(&path).unwrap();
        assert!(!is_at(&old, &path).unwrap());
        let new = File::create(&path).unwrap();
        assert!(!is_at(&old, &path).unwrap() && is_at(&new, &path).unwrap());
    }

    #[test]
    fn a_lock_file_that_its_holders_remove_has_one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (path, held) = (folder.path().join("a.lock"), folder.path().join("held"));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        if let Some(lock) = FileLock::try_take(&path).unwrap() {
                            let alone = File::create_new(&held);
                            assert!(alone.is_ok(), "there are two holders");
                            fs::remove_file(&held).unwrap();
                            fs::remove_file(&path).unwrap();
                            drop(lock);
                        }
                    }
                });
            }
        });
    }

    #[test]
    fn a_lock_is_shared_by_those_who_share_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let shared = [FileLock::try_share(&path), FileLock::try_share(&path)];
        let shared = shared.map(|lock| lock.unwrap().unwrap());
        assert!(FileLock::try_take(&path).unwrap().is_none());
        drop(shared);
        let _held = FileLock::try_take(&path).unwrap().unwrap();
        assert!(FileLock::try_share(&path).unwrap().is_none());
    }

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
