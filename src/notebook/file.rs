//! Writes a notebook to disk, cell by cell under a temporary name, and renames it when complete.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tempfile::NamedTempFile;

use crate::transfer::destination::place;
use crate::transfer::name::Name;
use crate::transfer::{TransferError, TransferResult};

/// A notebook being written. If dropped before `end`, it leaves no file.
pub(super) struct NotebookFile {
    target: PathBuf,
    file: BufWriter<NamedTempFile>,
    /// The byte range of each cell.
    places: Vec<Range<u64>>,
    length: u64,
}

/// New data and metadata of outputs, by the numbers of the cell and the output.
pub(super) type Updates =
    BTreeMap<usize, BTreeMap<usize, (Map<String, Value>, Map<String, Value>)>>;

/// A finished file.
pub(super) struct Placed {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

impl NotebookFile {
    /// Begins the notebook that will be `name` in `save_dir`, or the first free numbered name.
    pub(super) fn begin(save_dir: &Path, name: &Name) -> TransferResult<Self> {
        Self::begin_at(name.prepare(save_dir)?)
    }

    fn begin_at(target: PathBuf) -> TransferResult<Self> {
        let folder = target.parent().unwrap_or(&target);
        let file = NamedTempFile::with_prefix_in(".new-", folder)
            .map_err(|error| TransferError::disk(folder, error))?;
        let mut notebook = Self {
            target,
            file: BufWriter::new(file),
            places: Vec::new(),
            length: 0,
        };
        notebook.write(b"{\"cells\": [")?;
        Ok(notebook)
    }

    pub(super) fn cells(&self) -> usize {
        self.places.len()
    }

    pub(super) fn add(&mut self, cell: &Value) -> TransferResult<()> {
        let cell = serde_json::to_vec_pretty(cell).map_err(io::Error::from);
        self.add_raw(&cell.map_err(|error| TransferError::disk(&self.target, error))?)
    }

    fn add_raw(&mut self, cell: &[u8]) -> TransferResult<()> {
        self.write(if self.places.is_empty() {
            b"\n"
        } else {
            b",\n"
        })?;
        let start = self.length;
        self.write(cell)?;
        self.places.push(start..self.length);
        Ok(())
    }

    /// Rewrites the notebook with updated outputs, cell by cell, because all of them may not fit into memory.
    pub(super) fn updated(self, mut updates: Updates) -> TransferResult<Self> {
        if updates.is_empty() {
            return Ok(self);
        }
        let failed = |error| TransferError::disk(&self.target, error);
        let mut old = self
            .file
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        let mut new = Self::begin_at(self.target.clone())?;
        for (at, place) in self.places.iter().enumerate() {
            let length = usize::try_from(place.end - place.start).unwrap_or(0);
            let mut cell = vec![0; length];
            old.seek(SeekFrom::Start(place.start)).map_err(failed)?;
            old.read_exact(&mut cell).map_err(failed)?;
            match (updates.remove(&at), serde_json::from_slice::<Value>(&cell)) {
                (Some(updates), Ok(mut cell)) => {
                    for (output, (data, metadata)) in updates {
                        cell["outputs"][output]["data"] = Value::Object(data);
                        cell["outputs"][output]["metadata"] = Value::Object(metadata);
                    }
                    new.add(&cell)?;
                }
                _ => new.add_raw(&cell)?,
            }
        }
        Ok(new)
    }

    /// Finishes and renames the notebook. `metadata` is the whole notebook's.
    pub(super) fn end(mut self, metadata: &Value) -> TransferResult<Placed> {
        let end =
            format!("\n], \"metadata\": {metadata}, \"nbformat\": 4, \"nbformat_minor\": 5}}\n");
        self.write(end.as_bytes())?;
        let failed = |error| TransferError::disk(&self.target, error);
        let file = self
            .file
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        let bytes = file.as_file().metadata().map_err(failed)?.len();
        // Closed before the rename; the guard removes it if that fails.
        let written = file.into_temp_path();
        let path = place(&written, &self.target).map_err(failed)?;
        Ok(Placed { path, bytes })
    }

    fn write(&mut self, bytes: &[u8]) -> TransferResult<()> {
        self.length += bytes.len() as u64;
        let written = self.file.write_all(bytes);
        written.map_err(|error| TransferError::disk(&self.target, error))
    }
}
