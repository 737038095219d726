//! The files that the server shows, by its Contents API and `/files/`. That API knows no state of a file: a change while a part is sent shows in a look
//! before and after it, and in the file's SHA-256.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::listing::kind;
use super::paths::below_root;
use super::refusals::{refused, unsupported};
use super::{Kernels, server_error, text};
use crate::jupyter::{Entry, JupyterError, Server};
use crate::runtime::{
    ByteStream, ChangesQuery, Files, ListQuery, ReadQuery, RuntimeError, RuntimeResult,
};
use crate::wire::files::{
    Algorithm, BundleReply, BundleRequest, FileChanges, FileList, FilePreview, FileStat, FileText,
    FileType, Upload, UploadKey,
};

impl Kernels {
    pub(super) async fn known<T>(
        &self,
        path: &str,
        answer: Result<T, JupyterError>,
    ) -> RuntimeResult<T> {
        match answer {
            Ok(found) => Ok(found),
            Err(error) => Err(self.fault(path, error).await),
        }
    }

    /// Describes a file, or refuses what is none.
    pub(super) async fn file(&self, path: &str) -> RuntimeResult<Entry> {
        let looked = self.server.look(path).await;
        match self.known(path, looked).await? {
            Some(entry) if kind(&entry) == FileType::File => Ok(entry),
            Some(_) => {
                let detail = format!("{path} is a folder.");
                Err(refused(
                    400,
                    "is_a_directory",
                    detail,
                    "List it, or give the path of a file in it.",
                ))
            }
            None => Err(self.missing(path).await),
        }
    }

    /// Describes a file with its SHA-256; none if there is none.
    pub(super) async fn digest(&self, path: &str) -> RuntimeResult<Option<(Entry, String)>> {
        let looked = self.server.look_closely(path).await;
        let Some(entry) = self.known(path, looked).await? else {
            return Ok(None);
        };
        match entry.sha256().map(str::to_owned) {
            Some(sha256) => Ok(Some((entry, sha256))),
            None => {
                let what = "checked copies of files (the server gives no SHA-256: jupyter_server 2.11 and newer do, unless configured otherwise)";
                Err(unsupported(what, &self.reason))
            }
        }
    }
}

/// Names a state of a file.
pub(super) fn etag(entry: &Entry) -> String {
    let size = entry.size.unwrap_or_default();
    format!("\"{} {size}\"", entry.last_modified)
}

/// Fails with [`RuntimeError::Changed`] unless the file still has this etag.
async fn check(
    server: Arc<Server>,
    address: String,
    path: String,
    expected: String,
) -> RuntimeResult<()> {
    let looked = server.look(&path).await;
    let found = looked.map_err(|error| server_error(error, address))?;
    if found.is_some_and(|entry| etag(&entry) == expected) {
        return Ok(());
    }
    Err(RuntimeError::Changed { path })
}

#[async_trait]
impl Files for Kernels {
    fn is_plain(&self) -> bool {
        true
    }

    async fn list_files(&self, query: &ListQuery) -> RuntimeResult<FileList> {
        self.list(query).await
    }

    async fn changes(&self, _: &ChangesQuery) -> RuntimeResult<FileChanges> {
        Err(unsupported("mirrors of folders", &self.reason))
    }

    async fn stat(&self, path: &str, digest: Option<Algorithm>) -> RuntimeResult<FileStat> {
        let path = below_root(path)?;
        let looked = match digest {
            Some(_) => self.digest(&path).await?,
            None => {
                let looked = self.server.look(&path).await;
                let found = self.known(&path, looked).await?;
                found.map(|entry| (entry, String::new()))
            }
        };
        let Some((entry, sha256)) = looked else {
            return Err(self.missing(&path).await);
        };
        let kind = kind(&entry);
        let name = path.rsplit('/').next().unwrap_or_default();
        Ok(FileStat {
            // The root has no name on the server.
            name: if name.is_empty() { "content" } else { name }.to_owned(),
            kind,
            size: entry.size.unwrap_or_default(),
            etag: (kind == FileType::File).then(|| etag(&entry)),
            modified_at: entry.last_modified,
            executable: None,
            sha256: digest.map(|_| sha256),
            blake3: None,
            digest_pending: false,
            path,
        })
    }

    async fn download(
        &self,
        path: &str,
        range: Range<u64>,
        etag: &str,
    ) -> RuntimeResult<ByteStream> {
        let path = below_root(path)?;
        let (server, address) = (self.server.clone(), self.address.clone());
        let check = move |path: &str, etag: &str| {
            check(
                server.clone(),
                address.clone(),
                path.to_owned(),
                etag.to_owned(),
            )
        };
        check(&path, etag).await?;
        let pieces = match self.server.bytes(&path, range).await {
            // It has just been cut shorter.
            Err(JupyterError::Refused(said)) if said.starts_with("416") => {
                return Err(RuntimeError::Changed { path });
            }
            answer => self.known(&path, answer).await?,
        };
        let address = self.address.clone();
        let pieces = pieces.map(move |piece| {
            let failed = |error| server_error(error, address.clone());
            piece.map_err(failed)
        });
        let again = stream::once(check(&path, etag));
        let end = again.filter_map(|checked| async { checked.err().map(Err) });
        Ok(pieces.chain(end).boxed())
    }

    async fn read_file(&self, query: &ReadQuery) -> RuntimeResult<FileText> {
        text::read(self, query).await
    }

    async fn preview(&self, path: &str, _: Option<u64>) -> RuntimeResult<FilePreview> {
        let detail = format!(
            "{path} is not text, and only an executor makes previews. {}",
            self.reason
        );
        let hint = "Open it in code.";
        Err(refused(422, "no_preview", detail, hint))
    }

    async fn get_bundle(&self, _: &BundleRequest) -> RuntimeResult<ByteStream> {
        Err(unsupported("bundles of files", &self.reason))
    }

    async fn put_bundle(&self, _: &str, _: Bytes) -> RuntimeResult<BundleReply> {
        Err(unsupported("bundles of files", &self.reason))
    }

    async fn upload(&self, key: &UploadKey) -> RuntimeResult<Upload> {
        self.upload_state(key).await
    }

    async fn upload_piece(
        &self,
        key: &UploadKey,
        offset: u64,
        bytes: Bytes,
    ) -> RuntimeResult<Upload> {
        self.append(key, offset, bytes).await
    }

    /// The server keeps neither times nor modes: the upload's report says so.
    async fn finish_upload(
        &self,
        key: &UploadKey,
        _: Option<&str>,
        _: bool,
        expected: Option<&str>,
    ) -> RuntimeResult<Upload> {
        self.finish(key, expected).await
    }

    async fn discard_upload(&self, key: &UploadKey) -> RuntimeResult<Upload> {
        self.discard(key).await
    }
}
