//! Names of downloads: checked as text, then their folders on the disk. The same rules hold on every platform, so that a name that works for
//! one user works for all.

use std::fs;
use std::path::{Path, PathBuf};

use super::destination::{JOURNAL, MAX_NAME_BYTES, PARTIAL};
use super::error::{TransferError, TransferResult};

/// A relative path that cannot leave its folder: at least one part, each a plain name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(Vec<String>);

impl Name {
    /// Checks `text`, with `/` between its parts; drops empty parts and `.`.
    pub(crate) fn parse(text: &str) -> TransferResult<Self> {
        let outside = |why| TransferError::OutsideSaveDir {
            name: text.to_owned(),
            why,
        };
        let unusable = |why| TransferError::UnusableName {
            name: text.to_owned(),
            why,
        };
        if text.contains('\\') {
            return Err(outside("it has a backslash; separate folders with /"));
        }
        if text.starts_with('/') {
            return Err(outside("it is an absolute path"));
        }
        if text == "~" || text.starts_with("~/") {
            return Err(outside("it starts in the home folder"));
        }
        let mut parts = Vec::new();
        for part in text.split('/').filter(|part| !matches!(*part, "" | ".")) {
            if part == ".." {
                return Err(outside("it goes up with .."));
            }
            if starts_with_drive(part) {
                return Err(outside("it has a drive letter"));
            }
            if let Some(why) = fault(part) {
                return Err(unusable(why));
            }
            parts.push(part.to_owned());
        }
        if parts.is_empty() {
            return Err(unusable("it is empty"));
        }
        Ok(Self(parts))
    }

    /// Parses the name of a remote file, with control characters replaced, which cannot be typed.
    pub(crate) fn of_remote(text: &str) -> TransferResult<Self> {
        Self::parse(&text.replace(char::is_control, "_"))
    }

    /// The path under `root`, without looking at the disk.
    pub(crate) fn under(&self, root: &Path) -> PathBuf {
        let mut path = root.to_owned();
        path.extend(&self.0);
        path
    }

    /// Returns the path under `root` after creating its parent folders, none of which may leave `root` by a link.
    pub(crate) fn prepare(&self, root: &Path) -> TransferResult<PathBuf> {
        let mut parts = self.0.iter();
        let last = parts.next_back();
        let mut folder = root.to_owned();
        let real_root = make_folder(root)?;
        for part in parts {
            folder.push(part);
            if !make_folder(&folder)?.starts_with(&real_root) {
                return Err(TransferError::OutsideSaveDir {
                    name: self.0.join("/"),
                    why: "one of its folders is a link that leads outside",
                });
            }
        }
        Ok(folder.join(last.map_or("", String::as_str)))
    }

    /// Creates the whole path as a folder.
    pub(crate) fn prepare_folder(&self, root: &Path) -> TransferResult<()> {
        let path = Self([self.0.as_slice(), &[String::new()]].concat());
        path.prepare(root).map(drop)
    }
}

/// Creates the folder if it is missing, and returns its canonical path.
fn make_folder(path: &Path) -> TransferResult<PathBuf> {
    fs::create_dir_all(path)
        .and_then(|()| fs::canonicalize(path))
        .map_err(|error| TransferError::disk(path, error))
}

/// Detects `C:`, which would make Windows ignore the folder that the name is joined to.
fn starts_with_drive(part: &str) -> bool {
    let bytes = part.as_bytes();
    bytes.get(1) == Some(&b':') && bytes.first().is_some_and(u8::is_ascii_alphabetic)
}

fn fault(part: &str) -> Option<&'static str> {
    let lower = part.to_ascii_lowercase();
    if part.chars().any(char::is_control) {
        Some("it has a control character")
    } else if part.ends_with(['.', ' ']) {
        Some("it ends with a dot or a space")
    } else if is_device(&lower) {
        Some("Windows reserves it for a device")
    } else if cfg!(windows) && part.contains(['<', '>', ':', '"', '|', '?', '*']) {
        Some("it has a character that Windows does not allow")
    } else if lower.ends_with(PARTIAL) || lower.ends_with(JOURNAL) {
        Some("its ending is reserved for unfinished downloads")
    } else if part.len() > MAX_NAME_BYTES {
        Some("it is too long")
    } else {
        None
    }
}

/// Detects `con`, `nul.txt`, `com1`: devices in every folder of Windows, whatever their extension.
fn is_device(lower: &str) -> bool {
    let stem = lower.split('.').next().unwrap_or_default().trim_end();
    match stem {
        "con" | "prn" | "aux" | "nul" | "conin$" | "conout$" => true,
        _ => ["com", "lpt"].iter().any(|port| {
            stem.strip_prefix(port).is_some_and(|rest| {
                let mut rest = rest.chars();
                matches!(rest.next(), Some('0'..='9' | '¹' | '²' | '³')) && rest.next().is_none()
            })
        }),
    }
}

#[cfg(test)]
mod tests {
    use crate::base::fault::Fault as _;
    use std::fs;
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::Name;

    fn check(text: &str, expected: &str) {
        let got = match Name::parse(text) {
            Ok(name) => name.0.join("/"),
            Err(error) => error.code().to_owned(),
        };
        assert_eq!(got, expected, "{text:?}");
    }

    #[test]
    fn plain_names_are_accepted_and_normalized() {
        check("a.png", "a.png");
        check("plots/a.png", "plots/a.png");
        check("./plots//a.png", "plots/a.png");
        check("plots/", "plots");
        check("Zürich – 数据.csv", "Zürich – 数据.csv");
        check(".hidden", ".hidden");
        check("a..b", "a..b");
        check("console.log", "console.log");
        check("com10", "com10");
    }

    #[test]
    fn names_that_would_escape_the_folder_are_refused() {
        for text in [
            "..",
            "../a",
            "a/../../b",
            "/etc/passwd",
            "//server/share/a",
            "\\\\server\\share\\a",
            "a\\b",
            "..\\a",
            "C:\\a",
            "C:a",
            "c:/a",
            "plots/C:a",
            "~",
            "~/a",
        ] {
            check(text, "outside_save_dir");
        }
    }

    #[test]
    fn names_invalid_on_any_platform_are_refused() {
        for text in [
            "",
            ".",
            "./",
            "a\0b",
            "a\nb",
            "CON",
            "nul.txt",
            "plots/com1",
            "LPT9.tar.gz",
            "con .txt",
            "com¹",
            "a.",
            "a ",
            "plots /a",
            "x.partial",
            "x.PARTIAL.jsonl",
            &"x".repeat(300),
        ] {
            check(text, "invalid_argument");
        }
    }

    #[test]
    fn control_characters_of_a_remote_name_are_replaced() {
        for (text, expected) in [
            ("a b–é.txt", "a b–é.txt"),
            ("a\nb.txt", "a_b.txt"),
            ("\u{1b}[31mred\u{7f}\u{85}\t", "_[31mred___"),
        ] {
            assert_eq!(Name::of_remote(text).unwrap().0, [expected], "{text:?}");
        }
        assert!(Name::of_remote("con").is_err());
    }

    proptest! {
        #[test]
        fn no_accepted_name_resolves_outside(text in "([a-zA-Z. ~:/\\\\\u{0}-]|\\.\\./|/|C:|CON|é){0,12}") {
            if let Ok(name) = Name::parse(&text) {
                let root = tempfile::tempdir().unwrap();
                let path = name.prepare(root.path()).unwrap();
                let rest = path.strip_prefix(root.path()).unwrap();
                prop_assert!(rest.components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert_eq!(rest.components().count(), name.0.len());
                prop_assert!(!text.contains('\\') && !text.contains('\0'));
                prop_assert!(name.0.iter().all(|part| part.as_bytes().get(1) != Some(&b':')
                    || !part.as_bytes()[0].is_ascii_alphabetic()));
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_the_outside_is_refused_as_a_parent() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(root.path().join("inside")).unwrap();
        let link =
            |to: &Path, name| std::os::unix::fs::symlink(to, root.path().join(name)).unwrap();
        link(outside.path(), "out");
        link(&root.path().join("inside"), "in");
        let prepare = |text| Name::parse(text).unwrap().prepare(root.path());
        assert_eq!(
            prepare("out/deep/a.txt").unwrap_err().code(),
            "outside_save_dir"
        );
        assert!(prepare("in/deep/a.txt").is_ok());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
