//! What came with a folder, in the format of `sha256sum`: from the folder for downloads, `sha256sum -c NAME.sha256` checks it at any later time.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::journal::Digests;
use crate::edge::store::remove_if_there;
use crate::transfer::destination::{PARTIAL, beside, place};

const ENDING: &str = ".sha256";

/// Writes the digests of `folder`'s files beside it, if there are any; an existing file keeps its name.
pub(super) fn write(
    save_dir: &Path,
    folder: &Path,
    digests: &Digests,
) -> io::Result<Option<PathBuf>> {
    if digests.is_empty() {
        return Ok(None);
    }
    let path = beside(folder, ENDING);
    let partial = beside(&path, PARTIAL);
    remove_if_there(&partial)?;
    let parts = folder.strip_prefix(save_dir).unwrap_or(folder).components();
    let parts: Vec<_> = parts
        .map(|part| part.as_os_str().to_string_lossy())
        .collect();
    let prefix = parts.join("/");
    let mut file = BufWriter::new(File::create_new(&partial)?);
    for (name, sha256) in digests {
        writeln!(file, "{sha256}  {prefix}/{name}")?;
    }
    file.into_inner()?;
    place(&partial, &path).map(Some)
}
