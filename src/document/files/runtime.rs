//! The files below the runtime's content root. A replacement names the state that it replaces, so nothing of another writer is overwritten.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::time::{Instant, sleep};

use super::{Disk, Found, MAX_LISTED, Write, digest};
use crate::connection::Connection;
use crate::document::error::DocumentError;
use crate::document::store::blocking;
use crate::runtime::{Files, ListQuery, RuntimeError};
use crate::wire::files::{ABSENT, Algorithm, Content, FileList, UploadKey, UploadState};

/// Bytes of one piece of an upload.
const PIECE_BYTES: usize = 4 * 1024 * 1024;
const DIGEST_POLL_INTERVAL: Duration = Duration::from_millis(200);

pub(in crate::document) struct RuntimeDisk<'a> {
    pub(in crate::document) connection: &'a Arc<Connection>,
    pub(in crate::document) deadline: Instant,
}

impl RuntimeDisk<'_> {
    /// Writes a file, if it is still in the state `etag`.
    async fn write(&self, path: &str, text: Bytes, etag: &str) -> Result<Write, DocumentError> {
        let until = self.connection.until(self.deadline);
        let digested = text.clone();
        let key = UploadKey {
            path: path.to_owned(),
            size: text.len() as u64,
            content: Content::Sha256(blocking(move || digest(&digested)).await),
        };
        let mut offset = 0;
        while offset < text.len() {
            let piece = text.slice(offset..text.len().min(offset + PIECE_BYTES));
            let length = piece.len();
            until.upload_piece(&key, offset as u64, piece).await?;
            offset += length;
        }
        loop {
            match until.finish_upload(&key, None, false, Some(etag)).await {
                Ok(upload) if upload.state == UploadState::Checking => {
                    sleep(DIGEST_POLL_INTERVAL).await
                }
                Ok(_) => return Ok(Write::Done),
                // The second: an earlier try was carried out, its answer lost, and the file was changed since. The edit finds itself there.
                Err(RuntimeError::Refused(problem))
                    if problem.code == "file_changed" || problem.code == "incomplete" =>
                {
                    return Ok(Write::Overtaken);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[async_trait]
impl Disk for RuntimeDisk<'_> {
    async fn find(&self, path: &str) -> Result<Found, DocumentError> {
        match self
            .connection
            .until(self.deadline)
            .stat(path, Some(Algorithm::Sha256))
            .await
        {
            Ok(stat) => Ok(Found {
                path: stat.path,
                size: stat.size,
                etag: stat.etag.unwrap_or_default(),
                sha256: stat.sha256,
            }),
            Err(error) if error.is_not_found() => {
                let path = path.to_owned();
                Err(DocumentError::Missing { path })
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn read(&self, found: &Found) -> Result<Option<Vec<u8>>, DocumentError> {
        let until = self.connection.until(self.deadline);
        let reading = async {
            let mut bytes = Vec::new();
            if found.size > 0 {
                let range = 0..found.size;
                let mut stream = until.download(&found.path, range, &found.etag).await?;
                while let Some(piece) = stream.try_next().await? {
                    bytes.extend_from_slice(&piece);
                }
            }
            Ok(bytes)
        };
        match reading.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(RuntimeError::Changed { .. }) => Ok(None),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn replace(&self, found: &Found, text: Bytes) -> Result<Write, DocumentError> {
        self.write(&found.path, text, &found.etag).await
    }

    async fn create(&self, path: &str, text: Bytes) -> Result<Write, DocumentError> {
        self.write(path, text, ABSENT).await
    }

    async fn list(&self) -> Result<FileList, DocumentError> {
        let query = ListQuery {
            path: String::new(),
            name: Some("*.ipynb".to_owned()),
            recursive: true,
            limit: MAX_LISTED,
            cursor: None,
        };
        let until = self.connection.until(self.deadline);
        Ok(until.list_files(&query).await?)
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }
}
