//! The folders that settings name.

use std::path::{Path, PathBuf};
use std::{fs, io};

use directories::UserDirs;

use super::env::{self, Env};
use super::pasted::unquoted;
use super::paths;

/// Between the folders of a list, as in `PATH`.
const LIST_SEPARATOR: char = if cfg!(windows) { ';' } else { ':' };

/// Returns the folder that a setting names; creates it if it is missing, and checks that it is writable.
pub(super) fn folder(env: &Env, name: &str) -> Result<Option<PathBuf>, String> {
    let Some(path) = env.get(name).map(paths::expand_home) else {
        return Ok(None);
    };
    let shown = path.display();
    if !path.is_absolute() {
        return Err(format!("{name} is {shown}: {}", paths::RELATIVE_PATH_FAULT));
    }
    if path.is_file() {
        return Err(format!("{name} is {shown}: that is a file; name a folder"));
    }
    if let Some(what) = too_wide(&path) {
        return Err(format!(
            "{name} is {shown}: that is {what}; name a folder of its own, such as {}",
            path.join("colab_results").display()
        ));
    }
    fs::create_dir_all(&path).map_err(|error| {
        format!(
            "{name} is {shown}: that folder cannot be created ({error}); name one that you can write to"
        )
    })?;
    match tempfile::tempfile_in(&path) {
        Err(error) if !is_full(&error) => Err(format!(
            "{name} is {shown}: that folder is not writable ({error}); make it writable, or name another one"
        )),
        Ok(_) | Err(_) => Ok(Some(absolute(path))),
    }
}

/// Checks that files can be made in a folder, or where it would be created, and leaves nothing there. Returns the free bytes of its disk, if
/// they are known.
///
/// # Errors
/// File system errors.
pub fn probe(path: &Path) -> io::Result<Option<u64>> {
    let there = path.ancestors().find(|folder| folder.exists());
    let there = there.unwrap_or(path);
    tempfile::tempfile_in(there)?;
    Ok(fs4::available_space(there).ok())
}

/// Names a folder that is too broad: this program's files would lie among everything else.
fn too_wide(path: &Path) -> Option<&'static str> {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let path = whole(path);
    let home = UserDirs::new().map(|dirs| whole(dirs.home_dir()));
    if path.parent().is_none() {
        Some("the root of the disk")
    } else if home.is_some_and(|home| home == path) {
        Some("the home folder itself")
    } else {
        None
    }
}

/// A full disk is not a fault of the settings, and may have room again.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// A missing folder is kept: each upload looks for it again, as a drive may be plugged in later.
pub(super) fn upload_dirs(
    env: &Env,
    faults: &mut Vec<String>,
    warnings: &mut Vec<String>,
) -> Vec<PathBuf> {
    let name = env::UPLOAD_DIRS;
    let text = env.get(name).unwrap_or_default();
    let mut folders = Vec::new();
    for path in std::env::split_paths(text) {
        let path = paths::expand_home(unquoted(&path.to_string_lossy()));
        let shown = path.display();
        if path.as_os_str().is_empty() {
            continue;
        } else if !path.is_absolute() {
            faults.push(format!(
                "{name} names {shown}: {}",
                paths::RELATIVE_PATH_FAULT
            ));
        } else if path.is_file() {
            faults.push(format!(
                "{name} names {shown}: that is a file; name the folder that it is in"
            ));
        } else {
            if !path.is_dir() {
                warnings.push(format!(
                    "{name} names {shown}, which does not exist: correct it (folders are separated by `{LIST_SEPARATOR}`), or create that folder"
                ));
            }
            folders.push(absolute(path));
        }
    }
    folders
}

/// Users do not know a client's working folder, and links need absolute paths.
pub(super) fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
