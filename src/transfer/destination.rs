//! Where a download lies, under way and when it is done. No existing file is ever replaced.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::digest::sha256;

/// Bytes of a file's name on the file systems of today.
pub(super) const MAX_NAME_BYTES: usize = 255;
/// Ending of a download under way, and of what is known about it.
pub(super) const PARTIAL: &str = ".partial";
pub(super) const JOURNAL: &str = ".partial.jsonl";
/// What is longer behind a dot is no extension, but a part of the name.
const MAX_EXTENSION_BYTES: usize = 32;
/// Digits of a digest that tell names apart whose beginnings are the same.
const DIGEST_MARK_CHARS: usize = 12;

/// The path itself for 1, then `name (2).ext`, `name (3).ext`; a name that would get too long loses the end of its stem.
pub(super) fn numbered(path: &Path, number: u32) -> PathBuf {
    if number <= 1 {
        return path.to_owned();
    }
    let text = |part: Option<&std::ffi::OsStr>| {
        part.map(|text| text.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let (stem, ending) = match path.extension() {
        Some(extension) if extension.len() <= MAX_EXTENSION_BYTES => {
            let ending = format!(" ({number}).{}", text(Some(extension)));
            (text(path.file_stem()), ending)
        }
        Some(_) | None => (text(path.file_name()), format!(" ({number})")),
    };
    let room = MAX_NAME_BYTES.saturating_sub(ending.len());
    path.with_file_name(format!("{}{ending}", head(&stem, room)))
}

/// `path` with `ending` after its whole name; where that would get too long, after its beginning and a part of its digest.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.len() + ending.len() <= MAX_NAME_BYTES {
        return path.with_file_name(format!("{name}{ending}"));
    }
    let digest = sha256(name.as_bytes());
    let mark = format!("~{}{ending}", &digest[..DIGEST_MARK_CHARS]);
    path.with_file_name(format!(
        "{}{mark}",
        head(&name, MAX_NAME_BYTES - mark.len())
    ))
}

/// At most so many bytes, in whole characters.
fn head(text: &str, bytes: usize) -> &str {
    let fits = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=bytes.min(text.len())).rev().find(fits);
    &text[..end.unwrap_or(0)]
}

/// Gives a finished file or folder its name, or the first numbered one that is free. Never replaces anything.
pub(crate) fn place(partial: &Path, target: &Path) -> io::Result<PathBuf> {
    let mut number = 1;
    loop {
        let path = numbered(target, number);
        let mut moving = TempPath::try_from_path(partial)?;
        // Without this a failed rename would delete what was downloaded.
        moving.disable_cleanup(true);
        match moving.persist_noclobber(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            // Some network mounts know neither a rename that replaces nothing nor hard links.
            Err(_) if fs::symlink_metadata(&path).is_err() => {
                return fs::rename(partial, &path).map(|()| path);
            }
            Err(error) => return Err(error.error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{JOURNAL, MAX_NAME_BYTES, PARTIAL, beside, numbered, place};

    #[test]
    fn numbers_go_before_the_extension() {
        for (path, expected) in [
            ("d/a.txt", "d/a (2).txt"),
            ("d/a", "d/a (2)"),
            ("d/.rc", "d/.rc (2)"),
        ] {
            assert_eq!(numbered(Path::new(path), 2), Path::new(expected));
        }
    }

    #[test]
    fn long_names_keep_within_what_file_systems_allow_and_stay_apart() {
        let long = |last: &str| format!("{}{last}", "\u{6570}".repeat(84));
        let (one, other) = (long("ab"), long("ac"));
        assert_eq!(one.len(), 254);
        for ending in [PARTIAL, JOURNAL] {
            let beside = |name: &str| beside(&Path::new("d").join(name), ending);
            let name = beside(&one)
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            assert!(
                name.len() <= MAX_NAME_BYTES && name.ends_with(ending),
                "{name}"
            );
            assert_ne!(beside(&one), beside(&other));
            assert_eq!(beside("a"), Path::new("d").join(format!("a{ending}")));
        }
        let second = numbered(&Path::new("d").join(format!("{}.tar", long(""))), 2);
        let name = second.file_name().unwrap().to_str().unwrap();
        assert!(
            name.len() <= MAX_NAME_BYTES && name.ends_with(" (2).tar"),
            "{name}"
        );
    }

    #[test]
    fn placing_never_replaces_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a.txt"), "old").unwrap();
        fs::create_dir(at("a (2).txt")).unwrap();
        fs::write(at("new"), "new").unwrap();
        let path = place(&at("new"), &at("a.txt")).unwrap();
        assert_eq!(path, at("a (3).txt"));
        assert_eq!(fs::read(at("a.txt")).unwrap(), b"old");
        assert_eq!(fs::read(path).unwrap(), b"new");
    }

    #[test]
    fn a_failed_placing_keeps_what_was_downloaded() {
        let folder = tempfile::tempdir().unwrap();
        let partial = folder.path().join("a.partial");
        fs::write(&partial, "bytes").unwrap();
        assert!(place(&partial, &folder.path().join("missing/a")).is_err());
        assert_eq!(fs::read(partial).unwrap(), b"bytes");
    }
}
