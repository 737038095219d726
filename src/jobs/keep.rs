//! Keeps a job's output in the user's folder: pictures and files always, the whole log when an answer could not hold it.

use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::Jobs;
use super::body::Picture;
use super::display::{Attachment, Body};
use crate::base::advice::{Advice, Step};
use crate::base::ids::JobId;
use crate::connection::Connection;
use crate::edge::store;
use crate::render::page;
use crate::render::picture::{self, PictureError};
use crate::runtime::{Code, RuntimeError, RuntimeResult};
use crate::wire::job::Job;

/// Bytes of pictures in one answer: Claude Desktop accepts 1 MB in total, and base64 adds a third.
const MAX_PICTURE_BYTES: usize = 700_000;

/// Pictures in one answer.
const MAX_PICTURES: usize = 20;

/// Bytes shown of output printed after a job's end.
const MAX_LATE_BYTES: u64 = 16 * 1024;
/// Bytes read of it at most: the log may grow while it is read.
const MAX_LATE_READ_BYTES: usize = 1024 * 1024;

/// A file in the user's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFile {
    pub path: PathBuf,
    pub mime: String,
    pub bytes: u64,
}

/// Everything kept for one answer.
#[derive(Debug, Default)]
pub struct Kept {
    /// Pictures to show, in order.
    pub pictures: Vec<Picture>,
    /// Number of pictures for which the answer has no room; they are among `files`.
    pub unshown: usize,
    pub files: Vec<KeptFile>,
    /// Whole logs of jobs whose text omits something.
    pub logs: Vec<PathBuf>,
    /// Notes on output that could not be kept.
    pub notes: Vec<Advice>,
}

/// Output printed after its job's end.
#[derive(Debug)]
pub(super) struct Late {
    /// Its end, 16 KiB at most.
    pub(super) text: String,
    pub(super) is_cut: bool,
}

/// Keeps files under one folder.
#[derive(Debug)]
pub struct Keeper {
    save_dir: PathBuf,
}

impl Keeper {
    pub(super) fn new(save_dir: PathBuf) -> Self {
        Self { save_dir }
    }

    /// Where a job's whole log is kept.
    pub(super) fn log_path(&self, id: JobId) -> PathBuf {
        self.save_dir.join("logs").join(format!("{id}.log"))
    }

    async fn keep(
        &self,
        connection: &Arc<Connection>,
        id: JobId,
        attachments: &[Attachment],
        deadline: Instant,
        kept: &mut Kept,
    ) {
        if attachments.is_empty() {
            return;
        }
        if let Err(error) = connection.runtime(deadline).await {
            kept.notes
                .push(format!("pictures and other outputs could not be fetched: {error}").into());
            return;
        }
        // The executor has just answered.
        let until = connection.until(deadline).patiently();
        let dropped: Vec<_> = (attachments.iter())
            .filter(|one| one.body == Body::Dropped)
            .collect();
        if let Some(first) = dropped.first() {
            let after = first.seq.saturating_sub(1);
            let many = format!("{} outputs were too much for one answer: ", dropped.len());
            let how = format!(" and `after` {after} continues with them");
            kept.notes.push(Advice::from(many) + Step::output(id) + how);
        }
        for (at, attachment) in attachments.iter().enumerate() {
            if Instant::now() >= deadline {
                let left = attachments.len() - at;
                let late = format!("{left} more outputs were not fetched in time: ");
                (kept.notes).push(Advice::from(late) + Step::output(id) + " continues with them");
                return;
            }
            if let Err(trouble) = self.keep_one(&until, id, attachment, deadline, kept).await {
                let mime = &attachment.mime;
                let note = format!("an output of type {mime} could not be kept: {trouble}");
                let note = Advice::from(note);
                kept.notes.push(match trouble {
                    Trouble::Runtime(_) => note + "; " + Step::output(id) + " retries",
                    Trouble::Disk(_) => note,
                });
            }
        }
    }

    async fn keep_log(
        &self,
        connection: &Arc<Connection>,
        id: JobId,
        deadline: Instant,
        kept: &mut Kept,
    ) {
        let path = self.log_path(id);
        match fetch_log(connection, id, &path, deadline).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => kept
                .notes
                .push(format!("the log file could not be written: {error}").into()),
            Err(error) => kept.notes.push(
                Advice::from(format!("the log file is not complete yet ({error}): "))
                    + Step::output(id)
                    + " continues it",
            ),
        }
        if fs::try_exists(&path).await.unwrap_or(false) {
            kept.logs.push(path);
        }
    }

    /// Fetches what the job's threads and child processes printed after its end; none if there is nothing or the runtime does not answer.
    pub(super) async fn late_output(
        &self,
        connection: &Arc<Connection>,
        job: &Job,
        deadline: Instant,
    ) -> Option<Late> {
        let begin = job.log_bytes_at_end.filter(|end| *end < job.log_bytes)?;
        let from = begin.max(job.log_bytes.saturating_sub(MAX_LATE_BYTES));
        let until = connection.until(deadline);
        let mut pieces = until.log(job.id, from).await.ok()?;
        let mut late = Vec::new();
        while late.len() < MAX_LATE_READ_BYTES
            && let Some(piece) = pieces.try_next().await.ok()?
        {
            late.extend_from_slice(&piece);
        }
        Some(Late {
            text: String::from_utf8_lossy(&late).into_owned(),
            is_cut: from > begin,
        })
    }

    async fn keep_one(
        &self,
        code: &dyn Code,
        id: JobId,
        attachment: &Attachment,
        deadline: Instant,
        kept: &mut Kept,
    ) -> Result<(), Trouble> {
        // Names sort in the order of the outputs.
        let name = format!("{id}-{:06}.{}", attachment.seq, extension(&attachment.mime));
        let path = self.save_dir.join("outputs").join(name);
        let is_page = page::is_page(&attachment.mime);
        let mut bytes = match &attachment.body {
            Body::Dropped => return Ok(()),
            Body::Text(text) => Bytes::from(text.clone()),
            // A blob never changes, so a local copy is not downloaded again.
            Body::Blob(blob) => match fs::read(&path).await {
                Ok(bytes) if bytes.len() as u64 == blob.bytes && !is_page => Bytes::from(bytes),
                Ok(_) | Err(_) => code.blob(id, blob.blob).await?,
            },
        };
        let mut mime = attachment.mime.as_str();
        if is_page {
            bytes = page::whole(mime, &String::from_utf8_lossy(&bytes)).into();
            mime = "text/html";
        }
        let file = KeptFile {
            path: path.clone(),
            mime: mime.to_owned(),
            bytes: bytes.len() as u64,
        };
        let written = {
            let (path, bytes) = (path.clone(), bytes.clone());
            tokio::task::spawn_blocking(move || store::write_atomic(&path, &bytes)).await
        };
        if picture::is_picture(&attachment.mime) {
            let fitting = picture::fit(&attachment.mime, bytes);
            let fitted = timeout_at(deadline, fitting).await;
            match fitted.unwrap_or(Err(PictureError::TooSlow)) {
                Ok(fitted) => kept.show(Picture {
                    fitted,
                    path,
                    at: attachment.at,
                }),
                Err(error) => kept.notes.push(
                    format!(
                        "a picture of type {} is not shown: {error}",
                        attachment.mime
                    )
                    .into(),
                ),
            }
        }
        // A picture is shown even if it could not be written.
        written.map_err(io::Error::other)??;
        kept.files.push(file);
        Ok(())
    }
}

impl Jobs {
    /// Adds a job's pictures and files to `kept`. Never fails: what could not be kept is noted there, and the executor still has it.
    pub(crate) async fn keep(
        &self,
        id: JobId,
        attachments: &[Attachment],
        deadline: Instant,
        kept: &mut Kept,
    ) {
        let keeping = (self.keeper).keep(&self.connection, id, attachments, deadline, kept);
        keeping.await;
    }

    /// Adds a job's whole log to `kept`, for a text that omits something. Never fails, as [`Jobs::keep`].
    pub(crate) async fn keep_log(&self, id: JobId, deadline: Instant, kept: &mut Kept) {
        let keeping = (self.keeper).keep_log(&self.connection, id, deadline, kept);
        keeping.await;
    }

    /// Copies a job's log to the file at `path`, as far as it arrives by `deadline`; the next call continues from there. The inner error is the
    /// disk's.
    pub(crate) async fn fetch_log(
        &self,
        id: JobId,
        path: &Path,
        deadline: Instant,
    ) -> RuntimeResult<io::Result<()>> {
        fetch_log(&self.connection, id, path, deadline).await
    }
}

impl Kept {
    /// Notes on what could not be kept or shown.
    #[must_use]
    pub fn all_notes(&self) -> Vec<Advice> {
        let mut notes = self.notes.clone();
        if self.unshown > 0 {
            let more = self.unshown;
            notes.push(
                format!(
                    "{more} more pictures did not fit into this answer: they are in the save folder's outputs"
                )
                .into(),
            );
        }
        notes
    }

    fn show(&mut self, picture: Picture) {
        let size = |one: &Picture| one.fitted.bytes.len();
        let shown: usize = self.pictures.iter().map(size).sum();
        let has_room = shown + size(&picture) <= MAX_PICTURE_BYTES;
        if has_room && self.pictures.len() < MAX_PICTURES {
            self.pictures.push(picture);
        } else {
            self.unshown += 1;
        }
    }
}

async fn fetch_log(
    connection: &Arc<Connection>,
    id: JobId,
    path: &Path,
    deadline: Instant,
) -> RuntimeResult<io::Result<()>> {
    // A folder on a hanging network drive must not hold up the call either.
    let copying = timeout_at(deadline, copy_log(connection, id, path, deadline)).await;
    copying.unwrap_or_else(|_| {
        let url = connection.place().unwrap_or_default();
        Err(RuntimeError::TimedOut { url })
    })
}

async fn copy_log(
    connection: &Arc<Connection>,
    id: JobId,
    path: &Path,
    deadline: Instant,
) -> RuntimeResult<io::Result<()>> {
    // The executor's log only grows, so the copy's length is the cursor. Each byte has a fixed position, so two concurrent copies write the
    // same.
    let (mut file, from) = match open_log(path).await {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(error)),
    };
    let mut stream = connection.until(deadline).log(id, from).await?;
    while let Some(piece) = stream.next().await {
        if let Err(error) = file.write_all(&piece?).await {
            return Ok(Err(error));
        }
    }
    Ok(file.flush().await)
}

/// Opens the local copy for appending, and returns it with its length.
async fn open_log(path: &Path) -> io::Result<(File, u64)> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).await?;
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .await?;
    let length = file.seek(SeekFrom::End(0)).await?;
    Ok((file, length))
}

/// Keeping fails at the runtime or at the disk.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error(transparent)]
    Disk(#[from] io::Error),
}

fn extension(mime: &str) -> String {
    match mime {
        _ if page::is_page(mime) => "html".to_owned(),
        "image/jpeg" => "jpg".to_owned(),
        "image/svg+xml" => "svg".to_owned(),
        "text/plain" => "txt".to_owned(),
        _ => match mime.strip_prefix("application/vnd.") {
            // `plotly.v1+json` is a `.plotly.json`.
            Some(name) if mime.ends_with("+json") => {
                format!("{}.json", plain(name.split(['.', '+']).next()))
            }
            _ => plain(mime.rsplit(['/', '+', '.']).next()),
        },
    }
}

fn plain(part: Option<&str>) -> String {
    let letters = part.unwrap_or_default().chars();
    let letters = letters.filter(char::is_ascii_alphanumeric);
    letters.take(8).collect()
}
