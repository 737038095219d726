//! Names and placement of downloads, partial and complete. No existing file is ever replaced.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::digest::sha256;

/// Bytes of a file name that common file systems allow.
pub(super) const MAX_NAME_BYTES: usize = 255;
/// Endings of an unfinished download and of its journal.
pub(super) const PARTIAL: &str = ".partial";
pub(super) const JOURNAL: &str = ".partial.jsonl";
/// Anything longer after a dot is part of the name, not an extension.
const MAX_EXTENSION_BYTES: usize = 32;
/// Digits of the digest that distinguishes shortened names.
const DIGEST_MARK_CHARS: usize = 12;

/// Returns the path itself for 1, then `name (2).ext`, `name (3).ext`; shortens the stem where the name would get too long.
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

/// Appends `ending` to the whole name of `path`; where that would get too long, to its beginning and a part of its digest.
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

/// The longest prefix of whole characters within `bytes`.
fn head(text: &str, bytes: usize) -> &str {
    let fits = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=bytes.min(text.len())).rev().find(fits);
    &text[..end.unwrap_or(0)]
}

/// Renames a finished file or folder to `target`, or to the first free numbered name. Never replaces anything.
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
            // Some network mounts support neither a non-replacing rename nor hard links.
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
    fn long_names_are_shortened_to_the_limit_and_stay_distinct() {
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
    fn a_failed_placement_keeps_the_downloaded_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let partial = folder.path().join("a.partial");
        fs::write(&partial, "bytes").unwrap();
        assert!(place(&partial, &folder.path().join("missing/a")).is_err());
        assert_eq!(fs::read(partial).unwrap(), b"bytes");
    }
}
