//! The disk of a fake machine: files in memory, by path.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use smart_colab::base::hex::hex;
use smart_colab::runtime::{ListQuery, ReadQuery, RuntimeError, RuntimeResult};
use smart_colab::wire::files::{
    BundleLine, BundleReply, BundleRequest, BundleWritten, FileEntry, FileList, FileStat, FileText,
    FileType, Upload, UploadKey, UploadState,
};

use super::world::{not_found, refused};

const TIME: &str = "2026-01-02T03:04:05Z";

#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) files: BTreeMap<String, Bytes>,
    /// Pieces of unfinished uploads, by offset.
    pieces: BTreeMap<String, BTreeMap<u64, Bytes>>,
}

impl Disk {
    fn file(&self, path: &str) -> RuntimeResult<&Bytes> {
        self.files.get(path).ok_or_else(not_found)
    }

    /// Lists everything in one page, whatever the query.
    pub(crate) fn list(&self, query: &ListQuery) -> FileList {
        let folder = format!("{}/", query.path);
        let files = self.files.iter();
        let below =
            files.filter_map(|(path, bytes)| Some((path.strip_prefix(&folder)?, path, bytes)));
        let entries: Vec<_> = below
            .map(|(name, path, bytes)| FileEntry {
                name: name.to_owned(),
                path: path.clone(),
                kind: FileType::File,
                size: bytes.len() as u64,
                modified_at: TIME.to_owned(),
                executable: None,
            })
            .collect();
        FileList {
            path: query.path.clone(),
            total: entries.len() as u64,
            entries,
            next_cursor: None,
        }
    }

    pub(crate) fn stat(&self, path: &str) -> RuntimeResult<FileStat> {
        let bytes = self.file(path)?;
        Ok(FileStat {
            path: path.to_owned(),
            name: path.rsplit('/').next().unwrap().to_owned(),
            kind: FileType::File,
            size: bytes.len() as u64,
            modified_at: TIME.to_owned(),
            executable: None,
            etag: Some(etag(bytes)),
            sha256: Some(sha256(bytes)),
            blake3: None,
            digest_pending: false,
        })
    }

    pub(crate) fn part(&self, path: &str, range: Range<u64>, tag: &str) -> RuntimeResult<Bytes> {
        let bytes = self.file(path)?;
        if etag(bytes) != tag {
            let path = path.to_owned();
            return Err(RuntimeError::Changed { path });
        }
        Ok(bytes.slice(index(range.start)..index(range.end).min(bytes.len())))
    }

    /// Reads text from a line to the end.
    pub(crate) fn read(&self, query: &ReadQuery) -> RuntimeResult<FileText> {
        let bytes = self.file(&query.path)?;
        let text = String::from_utf8_lossy(bytes);
        let before = usize::try_from(query.line).unwrap_or(1).saturating_sub(1);
        Ok(FileText {
            path: query.path.clone(),
            size: bytes.len() as u64,
            modified_at: TIME.to_owned(),
            mime: "text/plain".to_owned(),
            is_text: true,
            text: text.split_inclusive('\n').skip(before).collect(),
            first_line: Some(before as u64 + 1),
            next_line: None,
            total_lines: Some(text.lines().count() as u64),
            is_cut: false,
            encoding: Some("utf-8".to_owned()),
        })
    }

    pub(crate) fn bundle(&self, request: &BundleRequest) -> Bytes {
        let mut all = Vec::new();
        let mut add = |line: &BundleLine, bytes: &[u8]| {
            all.extend(serde_json::to_vec(line).unwrap());
            all.push(b'\n');
            all.extend(bytes);
        };
        for name in &request.names {
            let name = name.clone();
            match self.files.get(&format!("{}/{name}", request.path)) {
                Some(bytes) => {
                    let line = BundleLine::File {
                        name,
                        size: bytes.len() as u64,
                        sha256: sha256(bytes),
                        modified_at: TIME.to_owned(),
                        executable: None,
                    };
                    add(&line, bytes);
                }
                None => {
                    let (code, detail) = ("not_found".to_owned(), "no such file".to_owned());
                    add(&BundleLine::Missing { name, code, detail }, b"");
                }
            }
        }
        add(&BundleLine::End { end: true }, b"");
        all.into()
    }

    pub(crate) fn unpack(&mut self, folder: &str, mut bundle: Bytes) -> BundleReply {
        let mut files = Vec::new();
        while let Some(end) = bundle.iter().position(|byte| *byte == b'\n') {
            let line = bundle.split_to(end + 1);
            if let BundleLine::File { name, size, .. } = serde_json::from_slice(&line).unwrap() {
                let bytes = bundle.split_to(index(size));
                self.files.insert(format!("{folder}/{name}"), bytes);
                files.push(BundleWritten {
                    name,
                    code: None,
                    detail: None,
                    executable: Some(false),
                });
            }
        }
        BundleReply { files }
    }

    pub(crate) fn upload(&self, key: &UploadKey) -> Upload {
        let is_there = self
            .files
            .get(&key.path)
            .is_some_and(|bytes| sha256(bytes) == key.content.id());
        let pieces = self.pieces.get(key.content.id()).into_iter().flatten();
        Upload {
            state: if is_there {
                UploadState::Complete
            } else {
                UploadState::Open
            },
            received: pieces
                .map(|(at, bytes)| (*at, at + bytes.len() as u64))
                .collect(),
            executable: is_there.then_some(false),
        }
    }

    pub(crate) fn piece(&mut self, key: &UploadKey, offset: u64, bytes: Bytes) -> Upload {
        self.pieces
            .entry(key.content.id().to_owned())
            .or_default()
            .insert(offset, bytes);
        self.upload(key)
    }

    pub(crate) fn finish(&mut self, key: &UploadKey) -> RuntimeResult<Upload> {
        let pieces = self.pieces.remove(key.content.id()).unwrap_or_default();
        let whole: Vec<_> = pieces.into_values().flatten().collect();
        if sha256(&whole) != key.content.id() {
            return Err(refused(409, "damaged"));
        }
        self.files.insert(key.path.clone(), whole.into());
        Ok(self.upload(key))
    }

    pub(crate) fn discard(&mut self, key: &UploadKey) -> Upload {
        self.pieces.remove(key.content.id());
        self.upload(key)
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", sha256(bytes))
}
