//! Lists a folder's files in the format of `sha256sum`: in the folder for downloads, `sha256sum -c NAME.sha256` checks them at any later time.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::Builder;

use super::journal::Digests;
use crate::transfer::destination::{beside, place};

const ENDING: &str = ".sha256";

/// Writes the digests of `folder`'s files beside it, if there are any; never replaces an existing file.
pub(super) fn write(
    save_dir: &Path,
    folder: &Path,
    digests: &Digests,
) -> io::Result<Option<PathBuf>> {
    if digests.is_empty() {
        return Ok(None);
    }
    let parts = folder.strip_prefix(save_dir).unwrap_or(folder).components();
    let parts: Vec<_> = parts
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    let prefix = parts.join("/");
    let path = beside(folder, ENDING);
    let inside = path.parent().unwrap_or(save_dir);
    // `make_in`, because a default temporary file would be private to the user.
    let new = Builder::new()
        .prefix(".new-")
        .make_in(inside, |path| File::create_new(path))?;
    let mut file = BufWriter::new(new.as_file());
    for (name, sha256) in digests {
        writeln!(file, "{sha256}  {prefix}/{name}")?;
    }
    file.flush()?;
    drop(file);
    new.as_file().sync_all()?;
    place(&new.into_temp_path(), &path).map(Some)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::write;
    use crate::transfer::download::journal::Digests;

    #[test]
    fn a_manifest_leaves_another_downloads_partial_alone() {
        let save_dir = tempfile::tempdir().unwrap();
        let partial = save_dir.path().join("out.sha256.partial");
        fs::write(&partial, "half of it").unwrap();
        let digests = Digests::from([("a".to_owned(), "0".repeat(64))]);
        let folder = save_dir.path().join("out");
        let path = write(save_dir.path(), &folder, &digests).unwrap().unwrap();
        assert_eq!(path, save_dir.path().join("out.sha256"));
        let line = format!("{}  out/a\n", "0".repeat(64));
        assert_eq!(fs::read_to_string(path).unwrap(), line);
        assert_eq!(fs::read(partial).unwrap(), b"half of it");
        assert_eq!(fs::read_dir(save_dir.path()).unwrap().count(), 2);
    }
}
