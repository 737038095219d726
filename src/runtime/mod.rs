//! Where code runs: the requests that a [`Runtime`] answers, in four traits, and its errors.
//!
//! - [`executor`]: our executor over HTTP, or through a carrier: all of it;
//! - [`kernel`]: a Jupyter Server's kernels and files, where no executor can run: code, sessions and files alone.
//!
//! Architecture Invariant: only `executor/` knows the HTTP client. May import `base`, `wire`, `edge`, `jupyter`.
//!
//! Every method of a runtime is one request, bounded in time. Retries belong to the floors above.

pub mod arrival;
pub mod error;
pub mod executor;
pub mod kernel;
mod remedies;

use std::fmt::Debug;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use tokio::time::Instant;

use crate::base::ids::JobId;
use crate::wire::files::{
    Algorithm, BundleReply, BundleRequest, FileChanges, FileList, FilePreview, FileStat, FileText,
    Upload, UploadKey,
};
use crate::wire::job::{CellNames, EventPage, InputRequest, Job, JobRequest};
use crate::wire::machine::{Health, Probe};
use crate::wire::session::{Cleanup, CleanupRequest, Removed, Restarted, Session, Variables};
use crate::wire::state::JobState;
use arrival::Arrival;
pub use error::{RuntimeError, RuntimeResult};

/// A machine that runs code: the requests that it answers, and its identity. Any call may fail with a [`RuntimeError`].
#[async_trait]
pub trait Runtime: Code + Sessions + Files + Machine + Debug {
    /// The address for people to read: no token in it.
    fn address(&self) -> &str;
    /// The boot id of the executor that gave the last answer; none before the first one. A new id means that all variables are gone.
    fn boot_id(&self) -> Option<String>;
    /// How long ago a machine of Colab was given to its user; none elsewhere, and before the first answer.
    fn machine_age(&self) -> Option<Duration> {
        None
    }
    /// Checks that an executor is there, unless it has answered before: requests that must not run twice go only to a known executor.
    async fn meet(&self) -> RuntimeResult<()>;
    /// Why there is no executor, where kernels alone run code: most else is refused there, and output may be lost.
    fn lacks_executor(&self) -> Option<&str> {
        None
    }
}

/// Jobs: code that runs, its events, its output.
#[async_trait]
pub trait Code: Send + Sync {
    /// Starts a job, or finds the one that an earlier try started: the same id never runs twice. Where an earlier try may have reached another
    /// executor, as `arrival` says, one that does not know the job answers [`RuntimeError::Replaced`] and does not run it.
    async fn put_job(
        &self,
        id: JobId,
        request: &JobRequest,
        hold: Hold,
        arrival: &Arrival,
    ) -> RuntimeResult<EventPage>;
    /// The newest jobs, newest first.
    async fn jobs(&self, query: &JobsQuery<'_>) -> RuntimeResult<Vec<Job>>;
    async fn events(&self, id: JobId, after: u64, hold: Hold) -> RuntimeResult<EventPage>;
    /// Interrupts a job; repeating it under the same `request` has no further effect.
    async fn interrupt(&self, id: JobId, request: JobId) -> RuntimeResult<Job>;
    /// Answers the question of a job's code; repeating it has no further effect. A question that the code does not ask now is refused: `not_asking`.
    async fn answer(&self, id: JobId, answer: &InputRequest) -> RuntimeResult<Job>;
    /// The job's output as text, from byte `from` on.
    async fn log(&self, id: JobId, from: u64) -> RuntimeResult<ByteStream>;
    async fn blob(&self, id: JobId, number: u64) -> RuntimeResult<Bytes>;
    /// The job's code as it was sent.
    async fn code(&self, id: JobId) -> RuntimeResult<String>;
    /// Returns the setup of a loop; empty for a job without one.
    async fn setup(&self, id: JobId) -> RuntimeResult<String>;
    /// Returns the names that each of these cells defines and uses; nothing is run.
    async fn names(&self, cells: &[String]) -> RuntimeResult<Vec<CellNames>>;
    /// Passes on the user's consent to the statement with which code was refused (`consent_needed`): it is accepted once then.
    async fn consent(&self, statement: &str) -> RuntimeResult<()>;
}

/// Named kernels and their variables.
#[async_trait]
pub trait Sessions: Send + Sync {
    async fn sessions(&self) -> RuntimeResult<Vec<Session>>;
    /// Ends a session's kernel and jobs and starts a new kernel.
    async fn restart_session(&self, name: &str) -> RuntimeResult<Restarted>;
    /// Ends a session's kernel and jobs, and removes it.
    async fn remove_session(&self, name: &str) -> RuntimeResult<Removed>;
    /// The variables whose names match `pattern` (`*`, `?`, `[…]`), or all of them, those with the most memory first.
    async fn variables(&self, session: &str, pattern: Option<&str>) -> RuntimeResult<Variables>;
}

/// Files on the runtime's disk, in both directions.
#[async_trait]
pub trait Files: Send + Sync {
    /// Whether files are copied one by one, and the pieces of an upload in order: without an executor there are no bundles, and only appending.
    fn is_plain(&self) -> bool {
        false
    }
    async fn list_files(&self, query: &ListQuery) -> RuntimeResult<FileList>;
    /// Waits for changes of files in a folder; repeating it with the same cursor reports them again.
    async fn changes(&self, query: &ChangesQuery) -> RuntimeResult<FileChanges>;
    /// The fastest digest that the runtime computes, where uploads may be named before theirs is known; none where all are named by their SHA-256.
    fn fastest_digest(&self) -> Option<Algorithm> {
        None
    }
    /// With `digest`, the executor may answer `digest_pending`: ask again.
    async fn stat(&self, path: &str, digest: Option<Algorithm>) -> RuntimeResult<FileStat>;
    /// The bytes in `range` of the file if it still has this `etag`; otherwise [`RuntimeError::Changed`].
    async fn download(
        &self,
        path: &str,
        range: Range<u64>,
        etag: &str,
    ) -> RuntimeResult<ByteStream>;
    async fn read_file(&self, query: &ReadQuery) -> RuntimeResult<FileText>;
    /// Previews a file that is not text, with at most `rows` of each table; by default as many as suit it.
    async fn preview(&self, path: &str, rows: Option<u64>) -> RuntimeResult<FilePreview>;
    /// Many small files as one bundle (`colab/API.md`).
    async fn get_bundle(&self, request: &BundleRequest) -> RuntimeResult<ByteStream>;
    /// Writes a bundle's files into a folder.
    async fn put_bundle(&self, folder: &str, bundle: Bytes) -> RuntimeResult<BundleReply>;
    /// The state of an upload.
    async fn upload(&self, key: &UploadKey) -> RuntimeResult<Upload>;
    /// Sends at most 8 MiB of an upload.
    async fn upload_piece(
        &self,
        key: &UploadKey,
        offset: u64,
        bytes: Bytes,
    ) -> RuntimeResult<Upload>;
    /// Like [`Self::upload_piece`], with `length` bytes that are read as they are sent.
    async fn upload_stream(
        &self,
        key: &UploadKey,
        offset: u64,
        length: u64,
        bytes: ByteStream,
    ) -> RuntimeResult<Upload> {
        let length = usize::try_from(length).unwrap_or_default();
        let whole = bytes.try_fold(BytesMut::with_capacity(length), async |mut whole, part| {
            whole.extend_from_slice(&part);
            Ok(whole)
        });
        self.upload_piece(key, offset, whole.await?.freeze()).await
    }
    /// Has an upload checked and put in its place, with this modification time (RFC 3339). `expected`: the etag that the file there must still
    /// have, or [`ABSENT`](crate::wire::files::ABSENT); otherwise the refusal is `file_changed`.
    async fn finish_upload(
        &self,
        key: &UploadKey,
        modified_at: Option<&str>,
        is_executable: bool,
        expected: Option<&str>,
    ) -> RuntimeResult<Upload>;
    /// Removes what has arrived of an upload.
    async fn discard_upload(&self, key: &UploadKey) -> RuntimeResult<Upload>;
}

/// The machine itself: its state, and cleaning it up.
#[async_trait]
pub trait Machine: Send + Sync {
    async fn health(&self) -> RuntimeResult<Health>;
    /// Describes the machine, with the versions of these packages; without any, of the installed well-known ones.
    async fn probe(&self, packages: &[String]) -> RuntimeResult<Probe>;
    /// Collects garbage, clears caches and, if asked, temporary files.
    async fn cleanup(&self, request: &CleanupRequest) -> RuntimeResult<Cleanup>;
}

/// Bytes as they arrive. An error ends the stream: the bytes before it are good.
pub type ByteStream = BoxStream<'static, RuntimeResult<Bytes>>;

/// How long a response may be held for events that do not exist yet, and how large it may be.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    /// Not after this, however late the request is sent.
    pub until: Instant,
    /// The longest wait, up to [`MAX_WAIT`](crate::wire::limits::MAX_WAIT).
    pub at_most: Duration,
    /// Seconds to gather further events after the first new one, 0 to 5; at most half of the time that is left.
    pub linger_sec: f64,
    /// About how many bytes of events to return, 1 kB to 4 MiB.
    pub max_bytes: u64,
}

impl Hold {
    /// Waits up to `at_most` from now for the first new event.
    #[must_use]
    pub fn up_to(at_most: Duration, max_bytes: u64) -> Self {
        Self {
            until: Instant::now() + at_most,
            at_most,
            linger_sec: 0.0,
            max_bytes,
        }
    }

    /// Does not wait.
    #[must_use]
    pub fn none(max_bytes: u64) -> Self {
        Self::up_to(Duration::ZERO, max_bytes)
    }

    /// Seconds to wait and to linger for a request that is sent now.
    #[must_use]
    pub fn seconds(&self) -> (f64, f64) {
        let left = self.until.saturating_duration_since(Instant::now());
        let linger = self.linger_sec.min(left.as_secs_f64() / 2.0);
        let wait = left.min(self.at_most).as_secs_f64() - linger;
        (wait.max(0.0), linger)
    }
}

/// The parameters of `GET /jobs`.
#[derive(Debug, Clone, Copy)]
pub struct JobsQuery<'a> {
    pub session: Option<&'a str>,
    pub state: Option<JobState>,
    /// 1 to 1,000.
    pub limit: u64,
}

/// The parameters of `GET /files/list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// Empty for the content root.
    pub path: String,
    /// A pattern for names (`*`, `?`, `[…]`); none for all.
    pub name: Option<String>,
    pub recursive: bool,
    /// 1 to 10,000.
    pub limit: u64,
    pub cursor: Option<String>,
}

/// The parameters of `GET /files/changes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesQuery {
    pub path: String,
    /// `next` of an earlier answer; none reports all files.
    pub after: Option<String>,
    /// Up to [`MAX_WAIT`](crate::wire::limits::MAX_WAIT).
    pub wait: Duration,
    /// 1 to 10,000.
    pub limit: u64,
    /// Do not wait once this job has ended.
    pub job: Option<JobId>,
}

/// The parameters of `GET /files/read`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadQuery {
    pub path: String,
    /// 1 is the first, -1 the last.
    pub line: i64,
    /// 1 to 10,000.
    pub lines: u64,
    /// 1 kB to 4 MiB.
    pub max_bytes: u64,
}
