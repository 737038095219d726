//! The four traits of a runtime with a deadline, retries and healing.
//!
//! Each method states whether its request may be repeated freely or is sent once.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::time::Instant;

use super::resumed::resumed;
use super::tries::{Policy, Tries};
use super::{Connection, LASTING_ERROR_TIMEOUT};
use crate::base::ids::JobId;
use crate::runtime::arrival::Arrival;
use crate::runtime::error::Reach;
use crate::runtime::{
    ByteStream, ChangesQuery, Code, Files, Hold, JobsQuery, ListQuery, Machine, ReadQuery, Runtime,
    RuntimeError, RuntimeResult, Sessions,
};
use crate::wire::files::{
    Algorithm, BundleReply, BundleRequest, FileChanges, FileList, FilePreview, FileStat, FileText,
    Upload, UploadKey,
};
use crate::wire::job::{CellNames, EventPage, InputRequest, Job, JobRequest};
use crate::wire::machine::{Health, Probe};
use crate::wire::session::{Cleanup, CleanupRequest, Removed, Restarted, Session, Variables};

/// Asks the current runtime until it answers, refuses for good, or the deadline passes. A method fails with the last error of the runtime, with
/// those of [`Connection::runtime`], or with [`RuntimeError::TimedOut`] if the deadline passed during the first try.
#[derive(Debug, Clone)]
pub struct Until {
    connection: Arc<Connection>,
    deadline: Instant,
    lasting_patience: Option<Duration>,
}

impl Connection {
    /// Retries until `deadline`, or only for [`LASTING_ERROR_TIMEOUT`] while nothing but [lasting](RuntimeError::is_lasting) errors occur.
    #[must_use]
    pub fn until(self: &Arc<Self>, deadline: Instant) -> Until {
        Until {
            connection: self.clone(),
            deadline,
            lasting_patience: Some(LASTING_ERROR_TIMEOUT),
        }
    }
}

impl Until {
    /// Retries until the deadline whatever errors occur: for a runtime that is known to be there.
    #[must_use]
    pub fn patiently(self) -> Self {
        Self {
            lasting_patience: None,
            ..self
        }
    }

    /// Sends a request that may be carried out twice.
    async fn freely<T, F>(&self, question: impl Fn(Arc<dyn Runtime>) -> F) -> RuntimeResult<T>
    where
        F: Future<Output = RuntimeResult<T>>,
    {
        self.tries(Policy::Freely).ask(question).await
    }

    /// Sends a request that must not be carried out twice.
    async fn once<T, F>(&self, question: impl Fn(Arc<dyn Runtime>) -> F) -> RuntimeResult<T>
    where
        F: Future<Output = RuntimeResult<T>>,
    {
        let question = &question;
        let meet_first = |runtime: Arc<dyn Runtime>| async move {
            runtime.meet().await?;
            question(runtime).await
        };
        self.tries(Policy::Once).ask(meet_first).await
    }

    fn tries(&self, policy: Policy) -> Tries {
        let connection = self.connection.clone();
        Tries::new(connection, policy, self.deadline, self.lasting_patience)
    }
}

#[async_trait]
impl Code for Until {
    /// Repeated freely, as the id stays the same: see [`Arrival`].
    async fn put_job(
        &self,
        id: JobId,
        request: &JobRequest,
        hold: Hold,
        arrival: &Arrival,
    ) -> RuntimeResult<EventPage> {
        self.freely(|runtime| async move {
            match runtime.meet().await {
                // An idle connection may just have been closed.
                Ok(()) | Err(RuntimeError::Broken { .. }) => {}
                Err(error) => return Err(error),
            }
            let before = arrival.begin(&*runtime);
            match runtime.put_job(id, request, hold, &before).await {
                // A gateway in between may have forwarded the code, and may forward reads unharmed.
                Err(error) if error.hides_executor() => {
                    runtime.events(id, 0, hold).await.map_err(|_| error)
                }
                Err(error) if error.reach() != Reach::Unknown => {
                    arrival.take_back(&before);
                    Err(error)
                }
                answer => answer,
            }
        })
        .await
    }

    async fn jobs(&self, query: &JobsQuery<'_>) -> RuntimeResult<Vec<Job>> {
        self.freely(|runtime| async move { runtime.jobs(query).await })
            .await
    }

    async fn events(&self, id: JobId, after: u64, hold: Hold) -> RuntimeResult<EventPage> {
        self.freely(|runtime| async move { runtime.events(id, after, hold).await })
            .await
    }

    async fn interrupt(&self, id: JobId, request: JobId) -> RuntimeResult<Job> {
        self.freely(|runtime| async move { runtime.interrupt(id, request).await })
            .await
    }

    async fn answer(&self, id: JobId, answer: &InputRequest) -> RuntimeResult<Job> {
        self.freely(|runtime| async move { runtime.answer(id, answer).await })
            .await
    }

    /// If a connection breaks, the stream continues on another one.
    async fn log(&self, id: JobId, from: u64) -> RuntimeResult<ByteStream> {
        let open = move |runtime: Arc<dyn Runtime>, taken| {
            async move { runtime.log(id, from + taken).await }.boxed()
        };
        Ok(resumed(self.tries(Policy::Freely), open))
    }

    async fn blob(&self, id: JobId, number: u64) -> RuntimeResult<Bytes> {
        self.freely(|runtime| async move { runtime.blob(id, number).await })
            .await
    }

    async fn code(&self, id: JobId) -> RuntimeResult<String> {
        self.freely(|runtime| async move { runtime.code(id).await })
            .await
    }

    async fn setup(&self, id: JobId) -> RuntimeResult<String> {
        self.freely(|runtime| async move { runtime.setup(id).await })
            .await
    }

    async fn names(&self, cells: &[String]) -> RuntimeResult<Vec<CellNames>> {
        self.freely(|runtime| async move { runtime.names(cells).await })
            .await
    }

    async fn consent(&self, statement: &str) -> RuntimeResult<()> {
        self.once(|runtime| async move { runtime.consent(statement).await })
            .await
    }
}

#[async_trait]
impl Sessions for Until {
    async fn sessions(&self) -> RuntimeResult<Vec<Session>> {
        self.freely(|runtime| async move { runtime.sessions().await })
            .await
    }

    async fn restart_session(&self, name: &str) -> RuntimeResult<Restarted> {
        self.once(|runtime| async move { runtime.restart_session(name).await })
            .await
    }

    async fn remove_session(&self, name: &str) -> RuntimeResult<Removed> {
        self.once(|runtime| async move { runtime.remove_session(name).await })
            .await
    }

    async fn variables(&self, session: &str, pattern: Option<&str>) -> RuntimeResult<Variables> {
        self.freely(|runtime| async move { runtime.variables(session, pattern).await })
            .await
    }
}

#[async_trait]
impl Files for Until {
    async fn list_files(&self, query: &ListQuery) -> RuntimeResult<FileList> {
        self.freely(|runtime| async move { runtime.list_files(query).await })
            .await
    }

    async fn changes(&self, query: &ChangesQuery) -> RuntimeResult<FileChanges> {
        self.freely(|runtime| async move { runtime.changes(query).await })
            .await
    }

    async fn stat(&self, path: &str, digest: Option<Algorithm>) -> RuntimeResult<FileStat> {
        self.freely(|runtime| async move { runtime.stat(path, digest).await })
            .await
    }

    /// If a connection breaks, the stream continues on another one.
    async fn download(
        &self,
        path: &str,
        range: Range<u64>,
        etag: &str,
    ) -> RuntimeResult<ByteStream> {
        let (path, etag) = (Arc::<str>::from(path), Arc::<str>::from(etag));
        let open = move |runtime: Arc<dyn Runtime>, taken| {
            let (path, etag, rest) = (path.clone(), etag.clone(), range.start + taken..range.end);
            async move {
                // It may break after the last byte.
                if rest.is_empty() {
                    return Ok(stream::empty().boxed());
                }
                runtime.download(&path, rest, &etag).await
            }
            .boxed()
        };
        Ok(resumed(self.tries(Policy::Freely), open))
    }

    async fn read_file(&self, query: &ReadQuery) -> RuntimeResult<FileText> {
        self.freely(|runtime| async move { runtime.read_file(query).await })
            .await
    }

    async fn preview(&self, path: &str, rows: Option<u64>) -> RuntimeResult<FilePreview> {
        self.freely(|runtime| async move { runtime.preview(path, rows).await })
            .await
    }

    /// Repeated until it begins; if it breaks later, the rest is another bundle.
    async fn get_bundle(&self, request: &BundleRequest) -> RuntimeResult<ByteStream> {
        self.freely(|runtime| async move { runtime.get_bundle(request).await })
            .await
    }

    async fn put_bundle(&self, folder: &str, bundle: Bytes) -> RuntimeResult<BundleReply> {
        let bundle = &bundle;
        self.freely(|runtime| async move { runtime.put_bundle(folder, bundle.clone()).await })
            .await
    }

    async fn upload(&self, key: &UploadKey) -> RuntimeResult<Upload> {
        self.freely(|runtime| async move { runtime.upload(key).await })
            .await
    }

    async fn upload_piece(
        &self,
        key: &UploadKey,
        offset: u64,
        bytes: Bytes,
    ) -> RuntimeResult<Upload> {
        let bytes = &bytes;
        self.freely(|runtime| async move { runtime.upload_piece(key, offset, bytes.clone()).await })
            .await
    }

    async fn finish_upload(
        &self,
        key: &UploadKey,
        modified_at: Option<&str>,
        is_executable: bool,
        expected: Option<&str>,
    ) -> RuntimeResult<Upload> {
        self.freely(|runtime| async move {
            let finished = runtime.finish_upload(key, modified_at, is_executable, expected);
            finished.await
        })
        .await
    }

    async fn discard_upload(&self, key: &UploadKey) -> RuntimeResult<Upload> {
        self.freely(|runtime| async move { runtime.discard_upload(key).await })
            .await
    }
}

#[async_trait]
impl Machine for Until {
    async fn health(&self) -> RuntimeResult<Health> {
        self.freely(|runtime| async move { runtime.health().await })
            .await
    }

    async fn probe(&self, packages: &[String]) -> RuntimeResult<Probe> {
        self.freely(|runtime| async move { runtime.probe(packages).await })
            .await
    }

    /// Sent once: a second run would not report what the first one did.
    async fn cleanup(&self, request: &CleanupRequest) -> RuntimeResult<Cleanup> {
        self.once(|runtime| async move { runtime.cleanup(request).await })
            .await
    }
}
