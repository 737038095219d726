//! Uploads that outlive the calls that started them.

use std::path::PathBuf;
use std::sync::Arc;

use super::allowed::{Allowed, Source};
use super::error::{UploadError, UploadResult};
use super::push::{Limits, Push};
use super::report::UploadReport;
use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::connection::Connection;
use crate::transfer::disk::blocking;
use crate::transfer::look::Look;
use crate::transfer::running::Running;
use crate::transfer::transfers::{Known, Task, Transfers};

/// The arguments of an upload; the same paths mean the same upload while that is running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// A file or folder of this computer: absolute, `~/…`, or relative to one of the allowed folders.
    pub local_path: String,
    /// Remote path: absolute, or relative to the content root.
    pub remote_path: String,
    /// Larger files and folders are refused.
    pub max_bytes: u64,
}

/// All uploads of this process. Dropping it ends them; the executor keeps the part that has arrived.
#[derive(Debug)]
pub struct Uploads {
    transfers: Transfers<UploadReport>,
    allowed: Allowed,
    limits: Limits,
}

impl Uploads {
    /// Uploads from `allowed`; `notes_dir` holds the records shared with other processes.
    #[must_use]
    pub fn new(connection: Arc<Connection>, allowed: Allowed, notes_dir: PathBuf) -> Self {
        Self::with_limits(connection, allowed, notes_dir, Limits::default())
    }

    #[must_use]
    pub fn with_limits(
        connection: Arc<Connection>,
        allowed: Allowed,
        notes_dir: PathBuf,
        limits: Limits,
    ) -> Self {
        Self {
            transfers: Transfers::new(connection, notes_dir),
            allowed,
            limits,
        }
    }

    /// Lists the folders that files may come from, with a client's `roots`.
    #[must_use]
    pub fn folders(&self, roots: &[PathBuf]) -> Vec<PathBuf> {
        self.allowed.and(roots).all().cloned().collect()
    }

    /// Uploads a file or folder, or joins the running upload of the same arguments. At the deadline the report says `running` and the upload
    /// continues. `roots` are folders of the client that may be uploaded from, too.
    ///
    /// # Errors
    /// [`UploadError`]; the executor keeps the part that has arrived for another call, except after `Damaged`.
    pub async fn upload(
        &self,
        request: &Request,
        roots: &[PathBuf],
        caller: &Caller<'_>,
    ) -> UploadResult<UploadReport> {
        let remote = request.remote_path.clone();
        let key = (remote, Some(request.local_path.clone()));
        loop {
            let running = match self.transfers.find(&key) {
                Some(running) => running,
                None => {
                    let source = self.source(&request.local_path, roots).await?;
                    let task = self.transfers.task(key.clone(), request.max_bytes).await;
                    self.begin(task, source, caller).await?
                }
            };
            if let Some(answer) = self.transfers.wait(running, caller).await {
                return answer;
            }
        }
    }

    /// Waits for the upload of this id, resuming one that an earlier process left, if its source is still allowed. `None` if there was never
    /// such an upload.
    ///
    /// # Errors
    /// As for finding the source and reaching the runtime, if the upload has to be resumed.
    pub async fn look(&self, id: JobId, caller: &Caller<'_>) -> UploadResult<Option<Look>> {
        let running = match self.transfers.classify(id).await {
            Known::Unknown => return Ok(None),
            Known::Reported(look) => return Ok(Some(look)),
            Known::Running(running) => running,
            Known::Left(task) => {
                let local = task.note.key.1.clone().unwrap_or_default();
                let source = self.source(&local, &[]).await.map_err(UploadError::by_id)?;
                self.begin(task, source, caller).await?
            }
        };
        Ok(Some(self.transfers.look(running, caller).await))
    }

    /// Ends the upload of this id and waits for its end; what has arrived is kept. `None` if this process does not run such an upload.
    pub async fn stop(&self, id: JobId, caller: &Caller<'_>) -> Option<Look> {
        self.transfers.stop(id, caller).await
    }

    /// Finds the source; checked again for each call, because permissions may change.
    async fn source(&self, local: &str, roots: &[PathBuf]) -> UploadResult<Source> {
        let (allowed, local) = (self.allowed.and(roots), local.to_owned());
        blocking(move || allowed.find(&local)).await
    }

    /// Starts the upload in the background.
    async fn begin(
        &self,
        task: Task,
        source: Source,
        caller: &Caller<'_>,
    ) -> UploadResult<Running<UploadReport>> {
        let (remote, most) = (task.note.key.0.clone(), task.note.max_bytes);
        let connection = self.transfers.ready(&remote, caller).await?;
        let report = UploadReport::new(&source.path.to_string_lossy(), &remote);
        let limits = self.limits;
        let work = async move |meter, stop| {
            let push = Push::new(connection, limits, meter, stop);
            push.upload(&source, &remote, most).await
        };
        Ok(self.transfers.begin(task, report, work))
    }
}
