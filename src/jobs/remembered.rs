//! The packages that code installed, in a requirements file in the bridge's own folder, which the user may correct. One for this computer and one
//! for all other machines: their addresses change, and a new one is to have what an earlier one had.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use crate::edge::store::{read_if_there, write_atomic};

/// The requirements by the names of their packages, none for those that are gone.
pub(super) type Changes = BTreeMap<String, Option<String>>;

#[derive(Debug)]
pub(super) struct Remembered {
    folder: PathBuf,
}

impl Remembered {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The file for the machine at `place`.
    pub(super) fn path(&self, place: &str) -> PathBuf {
        let name = if place == "local" {
            "local.txt"
        } else {
            "remote.txt"
        };
        self.folder.join(name)
    }

    /// The requirements for the machine at `place`; empty if there are none.
    pub(super) fn read(&self, place: &str) -> io::Result<String> {
        let bytes = read_if_there(&self.path(place))?.unwrap_or_default();
        String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Remembers what has changed on the machine at `place`. All changes are reported with every job: what another bridge overwrites is back after
    /// the next one.
    pub(super) fn note(&self, place: &str, changes: &Changes) {
        let noted = self.read(place).and_then(|before| {
            let after = changed(&before, changes);
            if after == before {
                return Ok(());
            }
            write_atomic(&self.path(place), after.as_bytes())
        });
        if let Err(error) = noted {
            let path = self.path(place);
            tracing::warn!(path = %path.display(), %error, "could not remember the packages that code installed");
        }
    }
}

/// Each package has a line; lines that change nothing stay as they are.
fn changed(text: &str, changes: &Changes) -> String {
    let mut changes = changes.clone();
    let mut lines = Vec::new();
    for line in text.lines() {
        match changes.remove(&name(line)) {
            None => lines.push(line.to_owned()),
            Some(requirement) => lines.extend(requirement),
        }
    }
    lines.extend(changes.into_values().flatten());
    lines.into_iter().map(|line| line + "\n").collect()
}

/// The name of a requirement's package, in its normal form; something that is none for other lines.
fn name(line: &str) -> String {
    let is_end = |one: char| !(one.is_ascii_alphanumeric() || "-_.".contains(one));
    let name = line.split(is_end).next().unwrap_or_default();
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::{Changes, Remembered};

    fn changes(rows: &[(&str, Option<&str>)]) -> Changes {
        let owned =
            |(name, line): &(&str, Option<&str>)| ((*name).to_owned(), line.map(ToOwned::to_owned));
        rows.iter().map(owned).collect()
    }

    #[test]
    fn a_package_has_one_line_and_the_user_s_lines_stay() {
        let folder = tempfile::tempdir().unwrap();
        let remembered = Remembered::new(folder.path().join("new"));
        assert_eq!(remembered.read("https://x").unwrap(), "");
        let first = [("a-b", Some("a-b==1")), ("c", Some("c @ https://x/c.whl"))];
        remembered.note("https://x", &changes(&first));
        let path = remembered.path("https://y");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "a-b==1\nc @ https://x/c.whl\n");
        std::fs::write(&path, "--pre\nA_b>=1 # mine\nc\nown\n").unwrap();
        let second = [("a-b", Some("a-b==2")), ("c", None), ("d", Some("d==1"))];
        remembered.note("https://y", &changes(&second));
        let text = remembered.read("https://z").unwrap();
        assert_eq!(text, "--pre\na-b==2\nown\nd==1\n");
        assert_eq!(remembered.read("local").unwrap(), "");
    }
}
