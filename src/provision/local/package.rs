//! The executor's Python package, unpacked from this binary.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::fault::Fault;
use crate::base::hex::hex;
use crate::edge::store;
use crate::provision::embedded::{PACKAGE, sources};

const REQUIREMENTS: &str = "requirements.txt";

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
    let files = sources();
    let folder = folder.join(content_id(
        files.iter().map(|(name, data)| (&**name, &**data)),
    ));
    for (name, data) in &files {
        let path = folder.join(PACKAGE).join(&**name);
        write_if_different(&path, data).map_err(|error| Fault::disk(&path, &error))?;
    }
    Ok(Package {
        requirements: folder.join(PACKAGE).join(REQUIREMENTS),
        requirements_id: requirements_id(),
        folder,
    })
}

/// Identifies the text of the requirements.
pub(super) fn requirements_id() -> String {
    let files = sources();
    let requirements = files
        .iter()
        .filter(|(name, _)| name == REQUIREMENTS)
        .map(|(name, data)| (&**name, &**data));
    content_id(requirements)
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
    use super::unpack;

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
