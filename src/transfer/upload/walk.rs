//! Lists a folder's files by name, in their current state.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, DirEntry, Metadata};
use tokio_util::sync::CancellationToken;

use super::local::Stamp;

/// Files and folders of one upload; their list is held in memory.
pub(super) const MAX_ENTRIES: usize = 100_000;

/// A file in the folder.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Relative to the folder, with `/`.
    pub(super) name: String,
    pub(super) stamp: Stamp,
}

#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Sorted by name.
    pub(super) files: Vec<Found>,
    pub(super) empty_folders: u64,
    /// Number of further names of files listed before.
    pub(super) hard_links: u64,
    /// The listing stopped at [`MAX_ENTRIES`], or because the upload was stopped.
    pub(super) is_cut: bool,
}

impl Walked {
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.stamp.size).sum()
    }
}

/// Finds every file below `folder`. Calls `skip` with a reason for special files, for entries that cannot be read, and for `own_state`.
///
/// # Errors
/// When the folder itself cannot be read.
pub(super) fn walk(
    folder: &Dir,
    own_state: Option<&Path>,
    stop: &CancellationToken,
    skip: impl Fn(&str, &str),
) -> io::Result<Walked> {
    let mut walked = Walked::default();
    let mut folders = vec![(PathBuf::new(), String::new())];
    let (mut entries, mut links) = (0, HashSet::new());
    while let Some((path, name)) = folders.pop() {
        let listed = if name.is_empty() {
            folder.entries()?
        } else {
            match folder.read_dir(&path) {
                Ok(listed) => listed,
                Err(error) => {
                    skip(&name, &format!("it cannot be read ({error})"));
                    continue;
                }
            }
        };
        let before = entries;
        for entry in listed {
            entries += 1;
            if entries > MAX_ENTRIES || stop.is_cancelled() {
                walked.is_cut = true;
                return Ok(walked);
            }
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    skip(&name, &format!("an entry of it cannot be read ({error})"));
                    continue;
                }
            };
            let own = entry.file_name();
            let (below, shown) = (path.join(&own), own.to_string_lossy());
            let shown = if name.is_empty() {
                shown.into_owned()
            } else {
                format!("{name}/{shown}")
            };
            if own.to_str().is_none() {
                skip(&shown, "its name is not Unicode");
                continue;
            }
            match look(&entry) {
                Ok(Look::File(stamp, link)) => {
                    walked.hard_links += u64::from(link.is_some_and(|link| !links.insert(link)));
                    walked.files.push(Found { name: shown, stamp });
                }
                Ok(Look::Folder) if Some(below.as_path()) == own_state => {
                    skip(&shown, "it belongs to smart-colab itself");
                }
                Ok(Look::Folder) => folders.push((below, shown)),
                Ok(Look::Other(reason)) => skip(&shown, reason),
                Err(error) => skip(&shown, &format!("it cannot be read ({error})")),
            }
        }
        walked.empty_folders += u64::from(entries == before);
    }
    walked
        .files
        .sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(walked)
}

enum Look {
    /// With the identity shared by its hard links, if it has any.
    File(Stamp, Option<(u64, u64)>),
    Folder,
    Other(&'static str),
}

#[cfg(unix)]
fn link_of(about: &Metadata) -> Option<(u64, u64)> {
    use cap_std::fs::MetadataExt;
    (about.nlink() > 1).then(|| (about.dev(), about.ino()))
}

/// Other platforms do not report hard links in a listing.
#[cfg(not(unix))]
fn link_of(_: &Metadata) -> Option<(u64, u64)> {
    None
}

/// Examines an entry. Links are not followed: their targets are sent under their own names, or are elsewhere.
fn look(entry: &DirEntry) -> io::Result<Look> {
    let about = entry.metadata()?;
    let kind = about.file_type();
    Ok(if kind.is_symlink() {
        Look::Other("it is a link")
    } else if kind.is_dir() {
        Look::Folder
    } else if kind.is_file() {
        Look::File(Stamp::of(&about), link_of(&about))
    } else {
        Look::Other("it is neither a file nor a folder")
    })
}
