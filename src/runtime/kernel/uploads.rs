//! Uploads: a file grows beside its goal, is checked, and is renamed. A chunk that is sent again is appended again, so nothing is sent without a look at
//! the size before; what a chunk that arrives late may have done shows in the SHA-256.

use bytes::Bytes;

use super::Kernels;
use super::files::etag;
use super::listing::kind;
use super::paths::{below_root, partial_of, replaced_of};
use super::refusals::refused;
use crate::jupyter::Entry;
use crate::runtime::{RuntimeError, RuntimeResult};
use crate::wire::files::{ABSENT, FileType, Upload, UploadKey, UploadState};

/// The files of an upload.
struct Places {
    path: String,
    partial: String,
    /// What was at the path, until the upload is there.
    replaced: String,
}

impl Places {
    fn of(key: &UploadKey) -> RuntimeResult<Self> {
        let path = below_root(&key.path)?;
        Ok(Self {
            partial: partial_of(&path, key.content.id()),
            replaced: replaced_of(&path, key.content.id()),
            path,
        })
    }
}

impl Kernels {
    pub(super) async fn upload_state(&self, key: &UploadKey) -> RuntimeResult<Upload> {
        let places = Places::of(key)?;
        if self.is_complete(key, &places).await? {
            return Ok(upload(UploadState::Complete, key.size));
        }
        let size = self.size(&places.partial).await?.unwrap_or_default();
        if size > key.size {
            self.delete(&places.partial).await?;
            return Ok(upload(UploadState::Open, 0));
        }
        Ok(upload(UploadState::Open, size))
    }

    /// Appends the bytes from `offset` on that have not arrived; those before them must have.
    pub(super) async fn append(
        &self,
        key: &UploadKey,
        offset: u64,
        bytes: Bytes,
    ) -> RuntimeResult<Upload> {
        let places = Places::of(key)?;
        let size = self.size(&places.partial).await?;
        let has = size.unwrap_or_default();
        let end = offset + bytes.len() as u64;
        if has < offset || has >= end {
            return Ok(upload(UploadState::Open, has.min(key.size)));
        }
        let rest = usize::try_from(has - offset).unwrap_or(usize::MAX);
        let begins = has == 0;
        if begins {
            let made = self.server.make_folders(&places.path).await;
            self.known(&places.path, made).await?;
        }
        let bytes = bytes.get(rest..).unwrap_or_default();
        let written = self.server.append(&places.partial, bytes, begins).await;
        self.known(&places.path, written).await?;
        Ok(upload(UploadState::Open, end))
    }

    /// Checks the upload and gives it its name. What it replaces is there until then, and under another name if the server fails in between.
    pub(super) async fn finish(
        &self,
        key: &UploadKey,
        expected: Option<&str>,
    ) -> RuntimeResult<Upload> {
        let places = Places::of(key)?;
        let size = self.size(&places.partial).await?;
        if size.is_none() && self.is_complete(key, &places).await? {
            // An earlier try did it, and its answer was lost.
            self.delete(&places.replaced).await?;
            return Ok(upload(UploadState::Complete, key.size));
        }
        match size.unwrap_or_default() {
            size if size > key.size => return Err(self.damaged(key, &places).await),
            size if size < key.size => return Ok(upload(UploadState::Open, size)),
            _ => {}
        }
        if key.size == 0 {
            let made = self.server.make_folders(&places.path).await;
            self.known(&places.path, made).await?;
            let written = self.server.append(&places.partial, b"", true).await;
            self.known(&places.path, written).await?;
        }
        if !self.has_digest(&places.partial, key.content.id()).await? {
            return Err(self.damaged(key, &places).await);
        }
        self.place(&places, expected).await?;
        if !self.has_digest(&places.path, key.content.id()).await? {
            return Err(self.damaged(key, &places).await);
        }
        self.delete(&places.replaced).await?;
        Ok(upload(UploadState::Complete, key.size))
    }

    /// Removes what has arrived.
    pub(super) async fn discard(&self, key: &UploadKey) -> RuntimeResult<Upload> {
        self.delete(&Places::of(key)?.partial).await?;
        Ok(upload(UploadState::Open, 0))
    }

    /// Renames the upload; only the file with the etag `expected` is replaced, if that is given.
    async fn place(&self, places: &Places, expected: Option<&str>) -> RuntimeResult<()> {
        if let Some(expected) = expected {
            let there = self.there(&places.path).await?;
            let now = there.as_ref().map_or(ABSENT.to_owned(), etag);
            if now != expected {
                self.delete(&places.partial).await?;
                return Err(changed(&places.path));
            }
        }
        if self.rename(&places.partial, &places.path).await? {
            return Ok(());
        }
        if expected == Some(ABSENT) {
            self.delete(&places.partial).await?;
            return Err(changed(&places.path));
        }
        // The server renames over nothing.
        self.delete(&places.replaced).await?;
        self.rename(&places.path, &places.replaced).await?;
        match self.rename(&places.partial, &places.path).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(changed(&places.path)),
            Err(error) => {
                let back = self.rename(&places.replaced, &places.path).await;
                if let Err(error) = back {
                    tracing::warn!("{} is left as {}: {error}", places.path, places.replaced);
                }
                Err(error)
            }
        }
    }

    /// Whether the file at the path has these bytes.
    async fn is_complete(&self, key: &UploadKey, places: &Places) -> RuntimeResult<bool> {
        match self.there(&places.path).await? {
            Some(entry) if entry.size == Some(key.size) => {
                self.has_digest(&places.path, key.content.id()).await
            }
            Some(_) | None => Ok(false),
        }
    }

    async fn has_digest(&self, path: &str, sha256: &str) -> RuntimeResult<bool> {
        let found = self.digest(path).await?;
        Ok(found.is_some_and(|(_, digest)| digest == sha256))
    }

    /// What is at a path, if that is a file.
    async fn there(&self, path: &str) -> RuntimeResult<Option<Entry>> {
        let looked = self.server.look(path).await;
        let found = self.known(path, looked).await?;
        if found.as_ref().map(kind) == Some(FileType::Directory) {
            let detail = format!("{path} is a folder.");
            let hint = "Give another name.";
            return Err(refused(400, "is_a_directory", detail, hint));
        }
        Ok(found)
    }

    /// The size of a file; none if there is none.
    async fn size(&self, path: &str) -> RuntimeResult<Option<u64>> {
        Ok(self.there(path).await?.and_then(|entry| entry.size))
    }

    async fn rename(&self, from: &str, to: &str) -> RuntimeResult<bool> {
        let renamed = self.server.rename(from, to).await;
        self.known(to, renamed).await
    }

    async fn delete(&self, path: &str) -> RuntimeResult<()> {
        let deleted = self.server.delete_file(path).await;
        self.known(path, deleted).await
    }

    /// Begins again: what has arrived is not what was sent.
    async fn damaged(&self, key: &UploadKey, places: &Places) -> RuntimeError {
        if let Err(error) = self.delete(&places.partial).await {
            return error;
        }
        let detail = format!("The bytes of {} that arrived are not those sent.", key.path);
        refused(422, "damaged", detail, "Send it again.")
    }
}

fn changed(path: &str) -> RuntimeError {
    let detail = format!("{path} is another file now; it was not replaced.");
    refused(412, "file_changed", detail, "Look at it, then call again.")
}

fn upload(state: UploadState, received: u64) -> Upload {
    let received = (received > 0).then_some((0, received));
    Upload {
        state,
        received: received.into_iter().collect(),
        executable: None,
    }
}
