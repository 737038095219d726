//! A [`Runtime`] in the test's own process: a [`World`] behind a link that may lose requests and replies.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::json;
use smart_colab::base::advice::Step;
use smart_colab::base::ids::JobId;
use smart_colab::runtime::arrival::Arrival;
use smart_colab::runtime::{
    ByteStream, ChangesQuery, Code, Files, Hold, JobsQuery, ListQuery, Machine, ReadQuery, Runtime,
    RuntimeError, RuntimeResult, Sessions,
};
use smart_colab::wire::files::{
    Algorithm, BundleReply, BundleRequest, FileChanges, FileList, FilePreview, FileStat, FileText,
    Upload, UploadKey,
};
use smart_colab::wire::job::{CellNames, EventPage, InputRequest, Job, JobRequest};
use smart_colab::wire::machine::{Health, Probe};
use smart_colab::wire::session::{Cleanup, CleanupRequest, Removed, Restarted, Session, Variables};
use tokio::time::{Instant, sleep_until};

use super::fake_disk::Disk;
use super::mishaps::Strike;
use super::world::{Mishap, World, not_found, refused};

const URL: &str = "http://fake.invalid";

/// The machine as the bridge sees it.
pub(crate) struct FakeRuntime {
    world: Mutex<World>,
    disk: Mutex<Disk>,
}

impl FakeRuntime {
    /// Creates a machine on which an iteration takes a second.
    pub(crate) fn new() -> Arc<Self> {
        let mut world = World::default();
        world.pace = Duration::from_millis(500);
        Arc::new(Self {
            world: Mutex::new(world),
            disk: Mutex::default(),
        })
    }

    /// Returns the world, advanced to now.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap();
        world.advance(Instant::now());
        world
    }

    /// Returns the files on the machine.
    pub(crate) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    /// Admits a request or fails it; returns whether its reply gets out.
    fn arrive(&self, batch: Option<(JobId, &JobRequest)>) -> RuntimeResult<bool> {
        let mut world = self.world();
        world.requests += 1;
        let mishap = world.mishaps.pop_front().flatten();
        let start = batch.and_then(|(_, job)| Some(job.iterations.as_ref()?.start));
        let is_cut = start.is_some() && start == world.refuses_start;
        if world.ended_with_client {
            return Err(RuntimeError::EndedWithClient);
        }
        if world.forbids_code && batch.is_some() {
            return Err(refused(403, "forbidden_by_policy"));
        }
        if world.is_down || is_cut || mishap == Some(Mishap::Refused) {
            return Err(unreachable());
        }
        if let Some(watcher) = world.watcher.clone() {
            watcher(&world, batch);
        }
        Ok(mishap.is_none())
    }

    /// Long-polls as the API specifies.
    async fn hold(&self, id: JobId, after: u64, hold: Hold) -> RuntimeResult<EventPage> {
        let (wait_sec, linger_sec) = hold.seconds();
        let end = Instant::now() + Duration::from_secs_f64(wait_sec);
        let mut linger = None;
        loop {
            let (page, due) = {
                let world = self.world();
                (world.page(id, after)?, world.due)
            };
            if !page.events.is_empty() && linger.is_none() {
                linger = Some(Instant::now() + Duration::from_secs_f64(linger_sec));
            }
            let until = linger.unwrap_or(end);
            if page.job.state.is_final() || page.more || Instant::now() >= until {
                return Ok(page);
            }
            sleep_until(due.map_or(until, |due| due.min(until))).await;
        }
    }
}

fn answer<T>(gets_out: bool, answer: RuntimeResult<T>) -> RuntimeResult<T> {
    if gets_out { answer } else { Err(timed_out()) }
}

/// Returns a stream that breaks in the middle if its reply is lost.
fn flow(gets_out: bool, bytes: Bytes) -> ByteStream {
    if gets_out {
        return stream::once(async { Ok(bytes) }).boxed();
    }
    let broken = RuntimeError::Broken {
        url: URL.to_owned(),
        source: "connection reset".into(),
        remedy: Step::CheckExecutor,
    };
    let half = bytes.slice(..bytes.len() / 2);
    stream::iter([Ok(half), Err(broken)]).boxed()
}

fn probe() -> Probe {
    let probe = json!({
        "executor": {"version": "0", "boot_id": "", "uptime_minutes": 1.0, "root": "/"},
        "platform": {"system": "Linux", "release": "6", "machine": "x86_64", "colab": false},
        "python": {"version": "3.12.1", "implementation": "CPython", "executable": "python"},
        "compute": {"cpu_count": 2, "memory_total_gb": 1.0, "memory_available_gb": 1.0, "memory_used_pct": 1.0},
        "gpu": [], "storage": [], "packages": {}, "package_count": 0,
        "limits": {"max_timeout_sec": 1, "max_wait_sec": 1, "max_body_bytes": 1}, "sessions": [],
    });
    serde_json::from_value(probe).unwrap()
}

fn timed_out() -> RuntimeError {
    RuntimeError::TimedOut {
        url: URL.to_owned(),
    }
}

fn unreachable() -> RuntimeError {
    RuntimeError::Unreachable {
        url: URL.to_owned(),
        source: "connection refused".into(),
        remedy: Step::CheckExecutor,
    }
}

impl fmt::Debug for FakeRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeRuntime")
    }
}

#[async_trait]
impl Runtime for FakeRuntime {
    fn address(&self) -> &str {
        URL
    }

    fn boot_id(&self) -> Option<String> {
        Some(self.world.lock().unwrap().boot_id())
    }

    async fn meet(&self) -> RuntimeResult<()> {
        Ok(())
    }
}

#[async_trait]
impl Code for FakeRuntime {
    async fn put_job(
        &self,
        id: JobId,
        request: &JobRequest,
        hold: Hold,
        _: &Arrival,
    ) -> RuntimeResult<EventPage> {
        let gets_out = self.arrive(Some((id, request)))?;
        self.world().put(id, request)?;
        if !gets_out {
            return Err(timed_out());
        }
        self.hold(id, 0, hold).await
    }

    async fn jobs(&self, query: &JobsQuery<'_>) -> RuntimeResult<Vec<Job>> {
        let gets_out = self.arrive(None)?;
        let mut jobs = self.world().newest();
        jobs.truncate(usize::try_from(query.limit).unwrap());
        answer(gets_out, Ok(jobs))
    }

    async fn events(&self, id: JobId, after: u64, hold: Hold) -> RuntimeResult<EventPage> {
        if !self.arrive(None)? {
            return Err(timed_out());
        }
        self.hold(id, after, hold).await
    }

    async fn interrupt(&self, id: JobId, _: JobId) -> RuntimeResult<Job> {
        let gets_out = self.arrive(None)?;
        let job = self.world().interrupt(id);
        answer(gets_out, job)
    }

    async fn answer(&self, _: JobId, _: &InputRequest) -> RuntimeResult<Job> {
        Err(not_found())
    }

    async fn log(&self, id: JobId, from: u64) -> RuntimeResult<ByteStream> {
        let gets_out = self.arrive(None)?;
        let mut log = self.world().log(id)?;
        let log = log.split_off(usize::try_from(from).unwrap());
        Ok(flow(gets_out, log.into()))
    }

    async fn blob(&self, _: JobId, _: u64) -> RuntimeResult<Bytes> {
        Err(not_found())
    }

    async fn code(&self, id: JobId) -> RuntimeResult<String> {
        let gets_out = self.arrive(None)?;
        answer(gets_out, self.world().code(id))
    }

    async fn setup(&self, id: JobId) -> RuntimeResult<String> {
        let gets_out = self.arrive(None)?;
        answer(gets_out, self.world().setup(id))
    }

    /// Whose cells all use what those before them define.
    async fn consent(&self, _statement: &str) -> RuntimeResult<()> {
        let gets_out = self.arrive(None)?;
        answer(gets_out, Ok(()))
    }

    async fn names(&self, cells: &[String]) -> RuntimeResult<Vec<CellNames>> {
        let gets_out = self.arrive(None)?;
        let opaque = CellNames {
            defines: Vec::new(),
            uses: Vec::new(),
            opaque: true,
        };
        answer(gets_out, Ok(vec![opaque; cells.len()]))
    }
}

/// One session, `main`, without access to its variables.
#[async_trait]
impl Sessions for FakeRuntime {
    async fn sessions(&self) -> RuntimeResult<Vec<Session>> {
        Ok(Vec::new())
    }

    async fn restart_session(&self, name: &str) -> RuntimeResult<Restarted> {
        let gets_out = self.arrive(None)?;
        self.world().strike(Strike::SessionRestarted);
        let session =
            json!({"name": name, "state": "idle", "queued_jobs": 0, "execution_count": 0});
        let session = serde_json::from_value(session).unwrap();
        let ended_jobs = Vec::new();
        answer(
            gets_out,
            Ok(Restarted {
                session,
                ended_jobs,
            }),
        )
    }

    async fn remove_session(&self, _: &str) -> RuntimeResult<Removed> {
        let gets_out = self.arrive(None)?;
        self.world().strike(Strike::SessionRestarted);
        let ended_jobs = Vec::new();
        answer(gets_out, Ok(Removed { ended_jobs }))
    }

    async fn variables(&self, session: &str, _: Option<&str>) -> RuntimeResult<Variables> {
        let gets_out = self.arrive(None)?;
        let variables = json!({"session": session, "source": "live", "variables": [], "total": 0});
        answer(gets_out, Ok(serde_json::from_value(variables).unwrap()))
    }
}

#[async_trait]
impl Files for FakeRuntime {
    async fn list_files(&self, query: &ListQuery) -> RuntimeResult<FileList> {
        let gets_out = self.arrive(None)?;
        answer(gets_out, Ok(self.disk().list(query)))
    }

    async fn changes(&self, _: &ChangesQuery) -> RuntimeResult<FileChanges> {
        Err(not_found())
    }

    async fn stat(&self, path: &str, _: Option<Algorithm>) -> RuntimeResult<FileStat> {
        let gets_out = self.arrive(None)?;
        answer(gets_out, self.disk().stat(path))
    }

    async fn download(
        &self,
        path: &str,
        range: Range<u64>,
        etag: &str,
    ) -> RuntimeResult<ByteStream> {
        let gets_out = self.arrive(None)?;
        let part = self.disk().part(path, range, etag)?;
        Ok(flow(gets_out, part))
    }

    async fn read_file(&self, query: &ReadQuery) -> RuntimeResult<FileText> {
        let gets_out = self.arrive(None)?;
        answer(gets_out, self.disk().read(query))
    }

    async fn preview(&self, _: &str, _: Option<u64>) -> RuntimeResult<FilePreview> {
        Err(not_found())
    }

    async fn get_bundle(&self, request: &BundleRequest) -> RuntimeResult<ByteStream> {
        let gets_out = self.arrive(None)?;
        Ok(flow(gets_out, self.disk().bundle(request)))
    }

    async fn put_bundle(&self, folder: &str, bundle: Bytes) -> RuntimeResult<BundleReply> {
        let gets_out = self.arrive(None)?;
        answer(gets_out, Ok(self.disk().unpack(folder, bundle)))
    }

    async fn upload(&self, key: &UploadKey) -> RuntimeResult<Upload> {
        let gets_out = self.arrive(None)?;
        answer(gets_out, Ok(self.disk().upload(key)))
    }

    async fn upload_piece(
        &self,
        key: &UploadKey,
        offset: u64,
        bytes: Bytes,
    ) -> RuntimeResult<Upload> {
        let gets_out = self.arrive(None)?;
        answer(gets_out, Ok(self.disk().piece(key, offset, bytes)))
    }

    async fn finish_upload(
        &self,
        key: &UploadKey,
        _: Option<&str>,
        _: bool,
        _: Option<&str>,
    ) -> RuntimeResult<Upload> {
        let gets_out = self.arrive(None)?;
        answer(gets_out, self.disk().finish(key))
    }

    async fn discard_upload(&self, key: &UploadKey) -> RuntimeResult<Upload> {
        let gets_out = self.arrive(None)?;
        answer(gets_out, Ok(self.disk().discard(key)))
    }
}

#[async_trait]
impl Machine for FakeRuntime {
    async fn health(&self) -> RuntimeResult<Health> {
        let gets_out = self.arrive(None)?;
        let health = json!({
            "status": "ok", "uptime_minutes": 1.0, "memory_available_gb": 1.0, "memory_used_pct": 1.0, "version": "0",
        });
        answer(gets_out, Ok(serde_json::from_value(health).unwrap()))
    }

    async fn probe(&self, _: &[String]) -> RuntimeResult<Probe> {
        let gets_out = self.arrive(None)?;
        answer(gets_out, Ok(probe()))
    }

    async fn cleanup(&self, request: &CleanupRequest) -> RuntimeResult<Cleanup> {
        let gets_out = self.arrive(None)?;
        let cleanup = json!({
            "session": request.session, "cleared_variables": [], "collected_objects": 0, "cuda_cache_emptied": false,
            "figures_closed": 0, "deleted_files": [], "memory_before_gb": 1.0, "memory_after_gb": 1.0, "freed_mb": 0.0,
        });
        answer(gets_out, Ok(serde_json::from_value(cleanup).unwrap()))
    }
}
