//! What came into a growing folder and is no part of it any more.

use std::collections::HashSet;
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

/// Removes all that is under `root` and neither known nor a folder of something known.
pub(super) fn remove_strays(root: &Path, known: &HashSet<PathBuf>) -> io::Result<()> {
    let mut unknown = Vec::new();
    find_unknown(root, known, &mut unknown)?;
    if unknown.is_empty() {
        return Ok(());
    }
    // The disk may write names in its own way: it keeps the case that a name, or a folder on the way, once had.
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

/// What is in a folder comes before the folder.
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
