//! Packs many small files into one request.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cap_std::fs::Dir;

use super::error::{UploadError, UploadResult};
use super::local::{Place, written};
use super::walk::Found;
use crate::transfer::digest::sha256;
use crate::wire::files::BundleLine;

/// Rereads of a file that is written to while it is read.
const MAX_CHANGES: u32 = 3;

/// The body of a request, and the files in it.
#[derive(Debug, Default)]
pub(super) struct Bundle {
    pub(super) bytes: Bytes,
    /// Numbers and sizes of its files, in order.
    pub(super) files: Vec<(usize, u64)>,
    /// Numbers of files that have grown too large for it.
    pub(super) grown: Vec<usize>,
    /// Numbers of files that could not be read.
    pub(super) failed: Vec<(usize, UploadError)>,
}

impl Bundle {
    /// Reads these files of `found`, each of at most `small` bytes, into `all`.
    pub(super) fn read(
        which: &[usize],
        found: &[Found],
        place: impl Fn(&str) -> Place,
        small: u64,
        mut all: BytesMut,
    ) -> Self {
        let mut bundle = Self::default();
        all.clear();
        for &index in which {
            let Some(file) = found.get(index) else {
                continue;
            };
            match read(&place(&file.name), small) {
                Ok(Some(read)) => {
                    let Read {
                        bytes,
                        modified_at,
                        is_executable,
                    } = read;
                    bundle.files.push((index, bytes.len() as u64));
                    line(
                        &mut all,
                        &BundleLine::File {
                            name: file.name.clone(),
                            size: bytes.len() as u64,
                            sha256: sha256(&bytes),
                            modified_at,
                            executable: is_executable.then_some(true),
                        },
                    );
                    all.extend_from_slice(&bytes);
                }
                Ok(None) => bundle.grown.push(index),
                Err(error) => bundle.failed.push((index, error)),
            }
        }
        line(&mut all, &BundleLine::End { end: true });
        bundle.bytes = all.freeze();
        bundle
    }
}

/// A place in `folder`, whose path for messages is `path`.
pub(super) fn place_in(folder: &Arc<Dir>, path: &std::path::Path, name: &str) -> Place {
    Place::new(folder.clone(), name.into(), path.join(name))
}

/// A consistent snapshot of a small file.
struct Read {
    bytes: Bytes,
    modified_at: String,
    is_executable: bool,
}

/// Reads a file; none if it is no longer small.
fn read(place: &Place, small: u64) -> UploadResult<Option<Read>> {
    let mut changes = 0;
    loop {
        let file = place.open()?;
        if file.stamp.size > small {
            return Ok(None);
        }
        let bytes = file.read(&(0..file.stamp.size), BytesMut::new());
        let read = bytes.and_then(|bytes| file.check_unchanged().map(|()| bytes));
        match read {
            Ok(bytes) => {
                let now = || written(std::time::SystemTime::now());
                return Ok(Some(Read {
                    bytes,
                    modified_at: file.modified_at().or_else(now).unwrap_or_default(),
                    is_executable: file.stamp.is_executable,
                }));
            }
            Err(UploadError::Changed { .. }) if changes < MAX_CHANGES => changes += 1,
            Err(error) => return Err(error),
        }
    }
}

fn line(all: &mut BytesMut, line: &BundleLine) {
    // Only texts and numbers, which always serialize.
    if let Ok(mut text) = serde_json::to_vec(line) {
        text.push(b'\n');
        all.extend_from_slice(&text);
    }
}
