//! Where notebooks are kept: a [`Store`] reads one and makes an edit in it. Here the files of the runtime.

use std::fmt::Debug;
use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::edit::{Edit, Target};
use super::error::{DocumentError, Unreadable};
use super::nbformat::Notebook;
use super::showing::Showing;
use crate::base::hex::hex;
use crate::connection::Connection;
use crate::runtime::{Files, ListQuery, RuntimeError};
use crate::wire::files::{ABSENT, FileList, UploadKey, UploadState};

/// Larger notebooks are refused: a read and an edit hold the file a few times in memory. Bytes.
const MAX_BYTES: u64 = 128 * 1024 * 1024;
/// Bytes of one piece of an upload.
const PIECE_BYTES: usize = 4 * 1024 * 1024;
/// Tries of an edit while others change the file.
const MAX_TRIES: u32 = 30;
/// The longest pause after the first of these tries.
const TRY_DELAY: Duration = Duration::from_millis(20);
const DIGEST_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Notebooks in a list.
const MAX_LISTED: u64 = 200;

/// A new notebook, as nbformat writes it.
pub(super) const NEW: &str = r#"{
 "cells": [],
 "metadata": {
  "kernelspec": {
   "display_name": "Python 3",
   "language": "python",
   "name": "python3"
  },
  "language_info": {
   "name": "python"
  }
 },
 "nbformat": 4,
 "nbformat_minor": 5
}
"#;

/// A notebook that was read.
#[derive(Debug)]
pub struct Stored {
    /// Its absolute path; of a shared one that below the server's root.
    pub path: String,
    pub notebook: Arc<Notebook>,
}

/// A notebook after an edit, and the index of the edited cell; none if that was deleted.
#[derive(Debug)]
pub struct Applied {
    pub path: String,
    pub notebook: Arc<Notebook>,
    pub index: Option<usize>,
    pub notice: Option<Notice>,
}

/// What a caller should know of an edit that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// All who have the notebook open have the edit, but the file has it not yet.
    NotSaved,
    /// A tab of a server that does not share its notebooks has it open, and may overwrite the edit.
    OpenElsewhere,
}

/// Keeps notebooks. Nothing of another writer is ever overwritten.
#[async_trait]
pub(super) trait Store: Debug + Send + Sync {
    async fn read(&self, path: &str, deadline: Instant) -> Result<Stored, DocumentError>;
    /// Makes an edit in the newest state of the notebook.
    async fn apply(
        &self,
        path: &str,
        edit: Edit,
        deadline: Instant,
    ) -> Result<Applied, DocumentError>;
    /// Creates a notebook of this text, or an empty one, unless there is one.
    async fn create(
        &self,
        path: &str,
        text: Option<String>,
        deadline: Instant,
    ) -> Result<Stored, DocumentError>;
    async fn list(&self, deadline: Instant) -> Result<FileList, DocumentError>;
    /// Shows the outputs of a running cell as they come, where that is possible.
    async fn show(&self, _showing: &Showing) {}
    /// Ends the state of a cell that is shown as running.
    async fn rest(
        &self,
        _path: &str,
        _cell: &Target,
        _deadline: Instant,
    ) -> Result<(), DocumentError> {
        Ok(())
    }
}

/// Notebooks as files below the content root.
#[derive(Debug)]
pub(super) struct FileStore {
    connection: Arc<Connection>,
    /// Held during an edit: edits of this process need not compete.
    editing: Mutex<()>,
}

/// A file in one state.
struct File {
    path: String,
    etag: String,
    notebook: Arc<Notebook>,
}

/// What came of writing a file.
#[derive(PartialEq, Eq)]
enum Write {
    Done,
    /// Another writer was faster.
    Overtaken,
}

impl FileStore {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self {
            connection,
            editing: Mutex::default(),
        }
    }

    async fn file(&self, path: &str, deadline: Instant) -> Result<File, DocumentError> {
        let mut tries = MAX_TRIES;
        loop {
            match self.try_file(path, deadline).await {
                Err(DocumentError::Runtime(RuntimeError::Changed { .. })) if tries > 0 => {
                    tries -= 1
                }
                Err(DocumentError::Runtime(error)) if is_missing(&error) => {
                    return Err(DocumentError::Missing {
                        path: path.to_owned(),
                    });
                }
                read => return read,
            }
        }
    }

    async fn try_file(&self, path: &str, deadline: Instant) -> Result<File, DocumentError> {
        let until = self.connection.until(deadline);
        let stat = until.stat(path, false).await?;
        let unreadable = |why| DocumentError::Unreadable {
            path: stat.path.clone(),
            why,
        };
        if stat.size > MAX_BYTES {
            let (bytes, most) = (stat.size, MAX_BYTES);
            return Err(unreadable(Unreadable::TooLarge { bytes, most }));
        }
        let etag = stat.etag.unwrap_or_default();
        let mut bytes = Vec::new();
        if stat.size > 0 {
            let mut stream = until.download(&stat.path, 0..stat.size, &etag).await?;
            while let Some(piece) = stream.try_next().await? {
                bytes.extend_from_slice(&piece);
            }
        }
        let notebook = blocking(move || Notebook::parse(bytes))
            .await
            .map_err(unreadable)?;
        Ok(File {
            path: stat.path,
            etag,
            notebook: Arc::new(notebook),
        })
    }

    /// Writes `text` as the file, if it is still in the state `etag`.
    async fn write(
        &self,
        path: &str,
        text: Bytes,
        etag: &str,
        deadline: Instant,
    ) -> Result<Write, DocumentError> {
        let until = self.connection.until(deadline);
        let digested = text.clone();
        let sha256 = blocking(move || hex(&Sha256::digest(&digested))).await;
        let key = UploadKey {
            path: path.to_owned(),
            size: text.len() as u64,
            sha256,
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

    async fn try_apply(
        &self,
        path: &str,
        mut edit: Edit,
        deadline: Instant,
    ) -> Result<Applied, DocumentError> {
        for tried in 0..MAX_TRIES {
            let File {
                path,
                etag,
                notebook,
            } = self.file(path, deadline).await?;
            if tried > 0
                && let Some(index) = notebook.has(&edit)
            {
                return Ok(applied(path, notebook, index));
            }
            pin(&mut edit, &notebook);
            let (asked, before) = (edit.clone(), notebook.clone());
            let edited = blocking(move || {
                let edited = before.edited(&asked)?;
                let is_same = edited.text == before.text;
                Ok((edited, is_same))
            });
            let refused = |why| DocumentError::Refused {
                path: path.clone(),
                why,
            };
            let (edited, is_same) = edited.await.map_err(refused)?;
            let index = edited.index;
            if is_same {
                return Ok(applied(path, notebook, index));
            }
            let text = Bytes::from(edited.text);
            if self.write(&path, text.clone(), &etag, deadline).await? == Write::Done {
                let unreadable = |why| DocumentError::Unreadable {
                    path: path.clone(),
                    why,
                };
                let notebook = blocking(move || Notebook::parse(text.into()))
                    .await
                    .map_err(unreadable)?;
                return Ok(applied(path, Arc::new(notebook), index));
            }
            sleep(pause(tried)).await;
        }
        Err(DocumentError::Contended {
            path: path.to_owned(),
        })
    }
}

#[async_trait]
impl Store for FileStore {
    async fn read(&self, path: &str, deadline: Instant) -> Result<Stored, DocumentError> {
        let File { path, notebook, .. } = self.file(path, deadline).await?;
        Ok(Stored { path, notebook })
    }

    async fn apply(
        &self,
        path: &str,
        edit: Edit,
        deadline: Instant,
    ) -> Result<Applied, DocumentError> {
        let contended = || DocumentError::Contended {
            path: path.to_owned(),
        };
        let editing = timeout_at(deadline, self.editing.lock()).await;
        let _editing = editing.map_err(|_| contended())?;
        self.try_apply(path, edit, deadline).await
    }

    async fn create(
        &self,
        path: &str,
        text: Option<String>,
        deadline: Instant,
    ) -> Result<Stored, DocumentError> {
        match self.read(path, deadline).await {
            Err(DocumentError::Missing { .. }) => {}
            read => return read,
        }
        // Whatever came of it, what is there now counts.
        let text = text.map_or(Bytes::from_static(NEW.as_bytes()), Bytes::from);
        self.write(path, text, ABSENT, deadline).await?;
        self.read(path, deadline).await
    }

    async fn list(&self, deadline: Instant) -> Result<FileList, DocumentError> {
        let query = ListQuery {
            path: String::new(),
            name: Some("*.ipynb".to_owned()),
            recursive: true,
            limit: MAX_LISTED,
            cursor: None,
        };
        Ok(self.connection.until(deadline).list_files(&query).await?)
    }
}

/// Fixes which cell an edit means before it is tried again: by its id, or else by what is in it.
pub(super) fn pin(edit: &mut Edit, notebook: &Notebook) {
    let (cell, expect) = match edit {
        Edit::Insert { .. } => return,
        Edit::Update { cell, expect, .. }
        | Edit::Delete { cell, expect }
        | Edit::Move { cell, expect, .. }
        | Edit::Outputs { cell, expect, .. } => (cell, expect),
    };
    if let Ok(index) = notebook.find(cell, None) {
        let (target, version) = notebook.pinned(index);
        *cell = target;
        if cell.id.is_none() {
            expect.get_or_insert(version);
        }
    }
}

impl Notebook {
    /// The surest name of a cell, and its version.
    #[must_use]
    pub fn pinned(&self, index: usize) -> (Target, String) {
        let cell = &self.cells[index];
        let is_shared = self
            .cells
            .iter()
            .filter(|other| other.id == cell.id)
            .count()
            > 1;
        let has_own = cell.id.is_some() && !is_shared;
        let target = Target {
            id: cell.id.clone(),
            index: (!has_own).then_some(index),
        };
        (target, cell.version())
    }
}

fn applied(path: String, notebook: Arc<Notebook>, index: Option<usize>) -> Applied {
    Applied {
        path,
        notebook,
        index,
        notice: None,
    }
}

fn is_missing(error: &RuntimeError) -> bool {
    error.is_not_found()
}

/// A pause of random length, so that two bridges do not stay in step.
fn pause(tried: u32) -> Duration {
    let chance = u32::from(Uuid::now_v7().as_bytes()[15]);
    TRY_DELAY * chance / 255 * (1 + tried)
}

/// Does work that takes CPU time.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The process is ending.
            Err(_) => pending().await,
        },
    }
}
