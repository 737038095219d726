//! A notebook on disk, written cell by cell beside its place and named when it is whole.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::transfer::destination::place;
use crate::transfer::name::Name;
use crate::transfer::{TransferError, TransferResult};

/// A notebook that is being written. Dropped before its end it leaves nothing.
pub(super) struct NotebookFile {
    target: PathBuf,
    file: BufWriter<NamedTempFile>,
    pub(super) cells: u64,
}

/// A file of the user's.
pub(super) struct Placed {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

impl NotebookFile {
    /// Will be `name` in `save_dir`, or the first numbered name that is free.
    pub(super) fn begin(save_dir: &Path, name: &Name) -> TransferResult<Self> {
        let target = name.prepare(save_dir)?;
        let folder = target.parent().unwrap_or(save_dir);
        let file = NamedTempFile::with_prefix_in(".new-", folder)
            .map_err(|error| TransferError::disk(folder, error))?;
        let mut notebook = Self {
            target,
            file: BufWriter::new(file),
            cells: 0,
        };
        notebook.write(|file| file.write_all(b"{\"cells\": ["))?;
        Ok(notebook)
    }

    pub(super) fn add(&mut self, cell: &impl Serialize) -> TransferResult<()> {
        let before: &[u8] = if self.cells == 0 { b"\n" } else { b",\n" };
        self.cells += 1;
        self.write(|file| {
            file.write_all(before)?;
            serde_json::to_writer_pretty(file, cell).map_err(io::Error::from)
        })
    }

    /// Ends the notebook and gives it its name. `language` is what nbformat calls `language_info`.
    pub(super) fn end(mut self, language: &Value) -> TransferResult<Placed> {
        let metadata = json!({
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": language,
        });
        self.write(|file| {
            write!(
                file,
                "\n], \"metadata\": {metadata}, \"nbformat\": 4, \"nbformat_minor\": 5}}\n"
            )
        })?;
        let failed = |error| TransferError::disk(&self.target, error);
        let file = self
            .file
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        let bytes = file.as_file().metadata().map_err(failed)?.len();
        // Closed before it is renamed; its guard takes it away where that fails.
        let written = file.into_temp_path();
        let path = place(&written, &self.target).map_err(failed)?;
        Ok(Placed { path, bytes })
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut BufWriter<NamedTempFile>) -> io::Result<()>,
    ) -> TransferResult<()> {
        write(&mut self.file).map_err(|error| TransferError::disk(&self.target, error))
    }
}
