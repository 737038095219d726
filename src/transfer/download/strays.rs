//! Removes files that are no longer part of a folder being downloaded.

use std::collections::HashSet;
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

/// Removes everything under `root` that is neither known nor a parent of something known.
pub(super) fn remove_strays(root: &Path, known: &HashSet<PathBuf>) -> io::Result<()> {
    let mut unknown = Vec::new();
    find_unknown(root, known, &mut unknown)?;
    if unknown.is_empty() {
        return Ok(());
    }
    // The file system may spell names differently: it keeps the case that a name, or a parent folder, once had.
    let known = known.iter().map(fs::canonicalize);
    let known: HashSet<PathBuf> = known.filter_map(Result::ok).collect();
    for (path, kind) in unknown {
        if !kind.is_symlink() && known.contains(&fs::canonicalize(&path)?) {
            continue;
        }
        if !kind.is_dir() {
            fs::remove_file(&path)?;
        } else if fs::read_dir(&path)?.next().is_none() {
            fs::remove_dir(&path)?;
        }
    }
    Ok(())
}

/// Lists a folder's unknown content before the folder itself.
fn find_unknown(
    folder: &Path,
    known: &HashSet<PathBuf>,
    unknown: &mut Vec<(PathBuf, FileType)>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            find_unknown(&path, known, unknown)?;
        }
        if !known.contains(&path) {
            unknown.push((path, kind));
        }
    }
    Ok(())
}
