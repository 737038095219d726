//! The files of a Jupyter Server whose kernels run on another machine, by its Contents API.
//!
//! That API replaces a file whatever its state: one is asked for the moment before. What another writer does in between, one round trip, is lost,
//! as among Jupyter's own clients.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Disk, Found, MAX_LISTED, Write, digest};
use crate::document::error::{DocumentError, Unreadable};
use crate::document::store::{ENDING, blocking};
use crate::jupyter::{Entry, EntryKind, JupyterError, Server};
use crate::wire::files::{FileEntry, FileList, FileType};

/// Tries of a request that only reads, and the pause between them.
const MAX_TRIES: u32 = 3;
const TRY_DELAY: Duration = Duration::from_millis(300);
/// Folders in which notebooks are looked for.
const MAX_FOLDERS: usize = 100;
/// An answer to the request for the text of a file that is not UTF-8.
const NOT_UTF8: &str = "is not UTF-8 encoded";

pub(in crate::document) struct ServerDisk {
    pub(in crate::document) server: Arc<Server>,
    /// For people.
    pub(in crate::document) address: String,
    pub(in crate::document) deadline: Instant,
}

impl ServerDisk {
    fn failed(&self, path: &str, why: JupyterError) -> DocumentError {
        if why == JupyterError::NotFound {
            let path = path.to_owned();
            return DocumentError::Missing { path };
        }
        DocumentError::of_server(&self.address, path, why)
    }

    async fn once<T>(
        &self,
        asking: impl Future<Output = Result<T, JupyterError>>,
    ) -> Result<T, JupyterError> {
        let asked = timeout_at(self.deadline, asking).await;
        asked.unwrap_or(Err(JupyterError::TimedOut))
    }

    /// Asks for something that changes nothing, again if the connection breaks.
    async fn ask<T, Asking>(&self, ask: impl Fn() -> Asking) -> Result<T, JupyterError>
    where
        Asking: Future<Output = Result<T, JupyterError>>,
    {
        let mut tried = 1;
        loop {
            match self.once(ask()).await {
                Err(JupyterError::Unreachable(_) | JupyterError::Broken(_))
                    if tried < MAX_TRIES && Instant::now() + TRY_DELAY < self.deadline =>
                {
                    tried += 1;
                    sleep(TRY_DELAY).await;
                }
                answer => return answer,
            }
        }
    }

    async fn entry(&self, path: &str) -> Result<Option<Entry>, DocumentError> {
        let entry = self.ask(|| self.server.entry(path)).await;
        entry.map_err(|error| self.failed(path, error))
    }

    /// Whether a file has this text.
    async fn has(&self, path: &str, text: Bytes) -> Result<bool, DocumentError> {
        let Some(entry) = self.entry(path).await? else {
            return Ok(false);
        };
        if let Some(found) = entry.sha256() {
            return Ok(blocking(move || digest(&text)).await == found);
        }
        let read = self.ask(|| self.server.text(path)).await;
        let (found, _) = read.map_err(|error| self.failed(path, error))?;
        Ok(found.as_bytes() == &*text)
    }
}

#[async_trait]
impl Disk for ServerDisk {
    async fn find(&self, path: &str) -> Result<Found, DocumentError> {
        let Some(entry) = self.entry(path).await? else {
            return Err(self.failed(path, JupyterError::NotFound));
        };
        Ok(Found {
            size: entry.size.unwrap_or(0),
            etag: entry.state(),
            sha256: entry.sha256().map(str::to_owned),
            path: entry.path,
        })
    }

    async fn read(&self, found: &Found) -> Result<Option<Vec<u8>>, DocumentError> {
        match self.ask(|| self.server.text(&found.path)).await {
            Ok((text, entry)) => Ok((entry.state() == found.etag).then(|| text.into_bytes())),
            Err(JupyterError::NotFound) => Ok(None),
            Err(JupyterError::Refused(said)) if said.contains(NOT_UTF8) => {
                let (path, why) = (found.path.clone(), Unreadable::NotUtf8);
                Err(DocumentError::Unreadable { path, why })
            }
            Err(error) => Err(self.failed(&found.path, error)),
        }
    }

    async fn replace(&self, found: &Found, text: Bytes) -> Result<Write, DocumentError> {
        let now = self.entry(&found.path).await?;
        if now.is_none_or(|now| now.state() != found.etag) {
            return Ok(Write::Overtaken);
        }
        let written = self
            .server
            .write_text(&found.path, utf8(&found.path, &text)?);
        match self.once(written).await {
            // It may have been written, and overwritten since.
            Ok(()) | Err(JupyterError::Broken(_) | JupyterError::TimedOut) => {}
            Err(error) => return Err(self.failed(&found.path, error)),
        }
        Ok(match self.has(&found.path, text).await? {
            true => Write::Done,
            false => Write::Overtaken,
        })
    }

    async fn create(&self, path: &str, text: Bytes) -> Result<Write, DocumentError> {
        let created = self.server.create_text(path, utf8(path, &text)?);
        let created = self.once(created).await;
        match created.map_err(|error| self.failed(path, error))? {
            true => Ok(Write::Done),
            false => Ok(Write::Overtaken),
        }
    }

    /// Breadth first: what is deep in folders of packages comes last.
    async fn list(&self) -> Result<FileList, DocumentError> {
        let (mut found, mut seen) = (Vec::new(), 0);
        let mut folders = VecDeque::from([String::new()]);
        let most = usize::try_from(MAX_LISTED).unwrap_or(usize::MAX);
        while seen < MAX_FOLDERS && found.len() < most {
            let Some(folder) = folders.pop_front() else {
                break;
            };
            seen += 1;
            let entries = match self.ask(|| self.server.folder(&folder)).await {
                Ok(entries) => entries,
                // Removed meanwhile, or closed to the server.
                Err(JupyterError::NotFound | JupyterError::Refused(_)) if seen > 1 => continue,
                Err(error) => return Err(DocumentError::of_server(&self.address, &folder, error)),
            };
            for entry in entries {
                match entry.kind {
                    EntryKind::Directory => folders.push_back(entry.path),
                    EntryKind::File | EntryKind::Notebook => found.push(entry),
                }
            }
            found.retain(|entry| entry.path.to_lowercase().ends_with(ENDING));
        }
        let is_cut = !folders.is_empty() || found.len() > most;
        found.truncate(most);
        let total = found.len() as u64;
        let entries = found.into_iter().map(|entry| FileEntry {
            name: entry.path.clone(),
            path: entry.path,
            kind: FileType::File,
            size: entry.size.unwrap_or(0),
            modified_at: entry.last_modified,
            executable: None,
        });
        Ok(FileList {
            path: self.address.clone(),
            entries: entries.collect(),
            next_cursor: is_cut.then(String::new),
            total,
        })
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }
}

fn utf8<'a>(path: &str, text: &'a Bytes) -> Result<&'a str, DocumentError> {
    std::str::from_utf8(text).map_err(|_| DocumentError::Unreadable {
        path: path.to_owned(),
        why: Unreadable::NotUtf8,
    })
}
