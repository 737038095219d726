//! Atomic file writes: a temporary file is written, synced and renamed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Replaces `path` with `bytes` so that a crash leaves the old file or the new one. Creates missing folders.
///
/// # Errors
/// File system errors; the old file is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = new_file(path, bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    if let Some(folder) = path.parent() {
        sync_folder(folder);
    }
    Ok(())
}

/// Writes `bytes` to a temporary file beside `path`.
fn new_file(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let folder = path
        .parent()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a path without a folder"))?;
    fs::create_dir_all(folder)?;
    let mut file = NamedTempFile::with_prefix_in(".new-", folder)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Replaces `to` like [`write_atomic`] with the content of `from`, which may exceed the memory.
///
/// # Errors
/// File system errors; the old file is then untouched.
pub fn copy_atomic(from: &Path, to: &Path) -> io::Result<()> {
    let mut file = new_file(to, b"")?;
    io::copy(&mut File::open(from)?, file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist(to)?;
    if let Some(folder) = to.parent() {
        sync_folder(folder);
    }
    Ok(())
}

/// Replaces `path` like [`write_atomic`], but does not wait for the disk: a crash of the machine may lose the file, one of this process does not.
///
/// # Errors
/// File system errors; the old file is then untouched.
pub fn write_quickly(path: &Path, bytes: &[u8]) -> io::Result<()> {
    new_file(path, bytes)?.persist(path)?;
    Ok(())
}

/// Replaces `path` like [`write_atomic`], and keeps the old file as `previous`. A crash in between leaves only `previous`.
///
/// # Errors
/// File system errors; the old file is then at one of the two paths.
pub fn replace_keeping(path: &Path, previous: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::rename(path, previous) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    write_atomic(path, bytes)
}

/// Renames `path` to the first of `NAME.corrupt-1`, `NAME.corrupt-2`, … that is free, and returns the new path.
///
/// # Errors
/// File system errors.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut number = 1u64;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".corrupt-{number}"));
        let aside = PathBuf::from(name);
        if !aside.try_exists()? {
            fs::rename(path, &aside)?;
            return Ok(aside);
        }
        number += 1;
    }
}

/// Flushes to disk everything that any process has written to the file so far.
///
/// # Errors
/// File system errors.
pub fn sync(path: &Path) -> io::Result<()> {
    File::options().append(true).open(path)?.sync_all()
}

/// Flushes the whole file system of `folder` to disk, on Linux: for 10,000 files this takes 0.4 s, and 38 s one by one. Elsewhere the system
/// flushes them in its own time.
///
/// # Errors
/// File system errors.
pub fn sync_files_of(folder: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(File::open(folder)?)?;
    #[cfg(not(target_os = "linux"))]
    let _ = folder;
    Ok(())
}

/// Makes a rename durable where the platform lets a folder be synced.
pub fn sync_folder(folder: &Path) {
    if cfg!(unix)
        && let Ok(handle) = File::open(folder)
    {
        // The data is safe; only the name could be lost in a power cut, and the old file would be back.
        let _ = handle.sync_all();
    }
}

/// Returns the whole file; none if it does not exist.
///
/// # Errors
/// File system errors, except for a missing file.
pub fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes the file, if there is one.
///
/// # Errors
/// File system errors, except for a missing file.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes a folder with all that is in it, if there is one.
///
/// # Errors
/// File system errors.
pub fn remove_folder_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{read_if_there, replace_keeping, set_aside};

    #[test]
    fn a_replaced_file_is_kept_beside_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, previous) = (folder.path().join("deep/a"), folder.path().join("deep/b"));
        for text in ["one", "two", "three"] {
            replace_keeping(&path, &previous, text.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "three");
        assert_eq!(fs::read_to_string(&previous).unwrap(), "two");
    }

    #[test]
    fn files_set_aside_do_not_replace_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        for text in ["one", "two"] {
            fs::write(&path, text).unwrap();
            let aside = set_aside(&path).unwrap();
            assert_eq!(read_if_there(&aside).unwrap().unwrap(), text.as_bytes());
        }
        assert!(!path.exists());
    }
}
