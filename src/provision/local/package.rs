//! The executor's Python package: embedded in this binary, and unpacked from it.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use super::fault::Fault;
use crate::base::hex::hex;
use crate::edge::store;

const NAME: &str = "smart_colab_executor";
const REQUIREMENTS: &str = "requirements.txt";

#[derive(RustEmbed)]
#[folder = "colab/smart_colab_executor"]
struct Embedded;

/// The package on disk.
#[derive(Debug, Clone)]
pub(super) struct Package {
    /// The folder for `PYTHONPATH`.
    pub(super) folder: PathBuf,
    /// The pinned packages that it needs, for pip.
    pub(super) requirements: PathBuf,
    /// Changes with the text of the requirements.
    pub(super) requirements_id: String,
}

/// Unpacks the package under `folder`, in a folder named by its content. Correct files stay; missing and changed ones are written, each
/// atomically, so that any number of bridges may do this at once.
pub(super) fn unpack(folder: &Path) -> Result<Package, Fault> {
    let files = files();
    let folder = folder.join(content_id(
        files.iter().map(|(name, data)| (&**name, &**data)),
    ));
    for (name, data) in &files {
        let path = folder.join(NAME).join(&**name);
        write_if_different(&path, data).map_err(|error| Fault::disk(&path, &error))?;
    }
    let requirements = files
        .iter()
        .filter(|(name, _)| name == REQUIREMENTS)
        .map(|(name, data)| (&**name, &**data));
    Ok(Package {
        requirements: folder.join(NAME).join(REQUIREMENTS),
        requirements_id: content_id(requirements),
        folder,
    })
}

fn files() -> Vec<(Cow<'static, str>, Cow<'static, [u8]>)> {
    let mut files: Vec<_> = Embedded::iter()
        // Python writes these beside its sources.
        .filter(|name| !name.contains("__pycache__") && !name.ends_with(".pyc"))
        .filter_map(|name| Embedded::get(&name).map(|file| (name, file.data)))
        .collect();
    files.sort();
    files
}

/// 16 hexadecimal digits.
fn content_id<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut hash = Sha256::new();
    for (name, data) in files {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update((data.len() as u64).to_le_bytes());
        hash.update(data);
    }
    hex(&hash.finalize()[..8])
}

fn write_if_different(path: &Path, data: &[u8]) -> io::Result<()> {
    if store::read_if_there(path)?.as_deref() == Some(data) {
        return Ok(());
    }
    store::write_atomic(path, data)
}

#[cfg(test)]
mod tests {
    use super::{files, unpack};

    #[test]
    fn the_package_is_whole_and_holds_no_compiled_file() {
        let names: Vec<_> = files().into_iter().map(|(name, _)| name).collect();
        for wanted in [
            "__init__.py",
            "in_kernel/kernel_side.py",
            "requirements.txt",
        ] {
            assert!(names.iter().any(|name| name == wanted), "{names:?}");
        }
        for name in &names {
            assert!(
                !name.ends_with(".pyc") && !name.contains("__pycache__"),
                "{name}"
            );
        }
    }

    #[test]
    fn a_damaged_package_is_repaired_and_a_good_one_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let package = unpack(folder.path()).unwrap();
        let init = package.folder.join("smart_colab_executor/__init__.py");
        let right = std::fs::read(&init).unwrap();
        let written = std::fs::metadata(&package.requirements)
            .unwrap()
            .modified()
            .unwrap();
        std::fs::write(&init, "half").unwrap();

        let again = unpack(folder.path()).unwrap();

        assert_eq!(again.folder, package.folder);
        assert_eq!(std::fs::read(&init).unwrap(), right);
        let untouched = std::fs::metadata(&package.requirements)
            .unwrap()
            .modified()
            .unwrap();
        assert_eq!(written, untouched);
    }
}
