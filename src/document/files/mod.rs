//! Notebooks that are files: read, and replaced in the state that was read.

mod runtime;
mod server;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::edit::Edit;
use super::error::{DocumentError, Unreadable};
use super::nbformat::Notebook;
use super::store::{Applied, Created, NEW, Stored, blocking, pin};
use crate::base::hex::hex;
use crate::base::lock::Lock;
use crate::wire::files::FileList;
pub(super) use runtime::RuntimeDisk;
pub(super) use server::ServerDisk;

/// Larger notebooks are refused: a read and an edit hold the file a few times in memory. Bytes.
const MAX_BYTES: u64 = 128 * 1024 * 1024;
/// Tries of an edit while others change the file.
const MAX_TRIES: u32 = 30;
/// The longest pause after the first of these tries.
const TRY_DELAY: Duration = Duration::from_millis(20);
/// Notebooks in a list.
const MAX_LISTED: u64 = 200;

/// Has files, for one call.
#[async_trait]
pub(super) trait Disk: Send + Sync {
    async fn find(&self, path: &str) -> Result<Found, DocumentError>;
    /// The bytes of a file; none if it has changed.
    async fn read(&self, found: &Found) -> Result<Option<Vec<u8>>, DocumentError>;
    /// Replaces a file that has not changed.
    async fn replace(&self, found: &Found, text: Bytes) -> Result<Write, DocumentError>;
    /// Writes a file where there is none.
    async fn create(&self, path: &str, text: Bytes) -> Result<Write, DocumentError>;
    /// The notebooks, at most [`MAX_LISTED`].
    async fn list(&self) -> Result<FileList, DocumentError>;
    fn deadline(&self) -> Instant;
}

/// A file in one state.
pub(super) struct Found {
    path: String,
    /// Bytes.
    size: u64,
    /// Names the state.
    etag: String,
    /// None if it is not known yet.
    sha256: Option<String>,
}

/// What came of writing a file.
#[derive(PartialEq, Eq)]
pub(super) enum Write {
    Done,
    /// Another writer was faster.
    Overtaken,
}

/// Reads and edits notebooks that are files.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Held during an edit: edits of this process need not compete.
    editing: Mutex<()>,
    /// The notebook that was read or written last: a large one takes long to fetch and to parse.
    last: Lock<Option<Last>>,
}

#[derive(Debug)]
struct Last {
    sha256: String,
    notebook: Arc<Notebook>,
}

impl Files {
    pub(super) async fn read(&self, disk: &dyn Disk, path: &str) -> Result<Stored, DocumentError> {
        let (found, notebook) = self.file(disk, path).await?;
        let path = found.path;
        Ok(Stored { path, notebook })
    }

    /// Makes an edit in the newest state of the notebook.
    pub(super) async fn apply(
        &self,
        disk: &dyn Disk,
        path: &str,
        edit: Edit,
    ) -> Result<Applied, DocumentError> {
        let editing = timeout_at(disk.deadline(), self.editing.lock()).await;
        let _editing = editing.map_err(|_| contended(path))?;
        self.try_apply(disk, path, edit).await
    }

    /// Creates a notebook of this text, or an empty one, unless there is one.
    pub(super) async fn create(
        &self,
        disk: &dyn Disk,
        path: &str,
        text: Option<String>,
    ) -> Result<Created, DocumentError> {
        let mut is_new = false;
        let stored = match self.read(disk, path).await {
            Err(DocumentError::Missing { .. }) => {
                let text = text.map_or(Bytes::from_static(NEW.as_bytes()), Bytes::from);
                is_new = disk.create(path, text).await? == Write::Done;
                self.read(disk, path).await?
            }
            read => read?,
        };
        Ok(Created { stored, is_new })
    }

    async fn file(
        &self,
        disk: &dyn Disk,
        path: &str,
    ) -> Result<(Found, Arc<Notebook>), DocumentError> {
        for _ in 0..MAX_TRIES {
            let found = disk.find(path).await?;
            let unreadable = |why| DocumentError::Unreadable {
                path: found.path.clone(),
                why,
            };
            if found.size > MAX_BYTES {
                let (bytes, most) = (found.size, MAX_BYTES);
                return Err(unreadable(Unreadable::TooLarge { bytes, most }));
            }
            if let Some(notebook) = self.known(&found) {
                return Ok((found, notebook));
            }
            let Some(bytes) = disk.read(&found).await? else {
                continue;
            };
            let notebook = blocking(move || Notebook::parse(bytes)).await;
            let notebook = Arc::new(notebook.map_err(unreadable)?);
            if let Some(sha256) = found.sha256.clone() {
                self.remember(sha256, &notebook);
            }
            return Ok((found, notebook));
        }
        Err(contended(path))
    }

    async fn try_apply(
        &self,
        disk: &dyn Disk,
        path: &str,
        mut edit: Edit,
    ) -> Result<Applied, DocumentError> {
        for tried in 0..MAX_TRIES {
            let (found, notebook) = self.file(disk, path).await?;
            let applied = |notebook, index| Applied {
                path: found.path.clone(),
                notebook,
                index,
                notice: None,
            };
            if tried > 0
                && let Some(index) = notebook.has(&edit)
            {
                return Ok(applied(notebook, index));
            }
            pin(&mut edit, &notebook);
            let (asked, before) = (edit.clone(), notebook.clone());
            let edited = blocking(move || {
                let edited = before.edited(&asked)?;
                let is_same = edited.text == before.text;
                Ok((edited, is_same))
            });
            let refused = |why| DocumentError::Refused {
                path: found.path.clone(),
                why,
            };
            let (edited, is_same) = edited.await.map_err(refused)?;
            if is_same {
                return Ok(applied(notebook, edited.index));
            }
            let text = Bytes::from(edited.text);
            if disk.replace(&found, text.clone()).await? == Write::Done {
                let parsed = blocking(move || {
                    let sha256 = digest(&text);
                    Ok((sha256, Notebook::parse(text.into())?))
                });
                let unreadable = |why| DocumentError::Unreadable {
                    path: found.path.clone(),
                    why,
                };
                let (sha256, notebook) = parsed.await.map_err(unreadable)?;
                let notebook = Arc::new(notebook);
                self.remember(sha256, &notebook);
                return Ok(applied(notebook, edited.index));
            }
            sleep(pause(tried)).await;
        }
        Err(contended(path))
    }

    fn known(&self, found: &Found) -> Option<Arc<Notebook>> {
        let last = self.last.lock();
        let last = last.as_ref()?;
        (found.sha256.as_ref() == Some(&last.sha256)).then(|| last.notebook.clone())
    }

    fn remember(&self, sha256: String, notebook: &Arc<Notebook>) {
        let notebook = notebook.clone();
        *self.last.lock() = Some(Last { sha256, notebook });
    }
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn contended(path: &str) -> DocumentError {
    let path = path.to_owned();
    DocumentError::Contended { path }
}

/// A pause of random length, so that two bridges do not stay in step.
fn pause(tried: u32) -> Duration {
    let chance = u32::from(Uuid::now_v7().as_bytes()[15]);
    TRY_DELAY * chance / 255 * (1 + tried)
}
