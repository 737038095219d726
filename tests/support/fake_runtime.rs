//! A [`Runtime`] in the test's own process: a [`World`] behind a way that may lose requests and answers.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::json;
use smart_colab::base::ids::JobId;
use smart_colab::runtime::{
    ByteStream, JobsQuery, ListQuery, ReadQuery, Runtime, RuntimeError, RuntimeResult,
};
use smart_colab::wire::files::{
    BundleReply, BundleRequest, FileList, FileStat, FileText, Upload, UploadKey,
};
use smart_colab::wire::job::{EventPage, Job, JobRequest, Poll};
use smart_colab::wire::machine::{Health, Probe};
use smart_colab::wire::session::{Cleanup, CleanupRequest, Removed, Restarted, Session, Variables};
use tokio::time::{Instant, sleep_until};

use super::world::{Mishap, World, not_found};

const URL: &str = "http://fake.invalid";

/// The machine as the bridge sees it.
pub(crate) struct FakeRuntime(Mutex<World>);

impl FakeRuntime {
    /// An iteration takes a second.
    pub(crate) fn new() -> Arc<Self> {
        let mut world = World::default();
        world.pace = Duration::from_millis(500);
        Arc::new(Self(Mutex::new(world)))
    }

    /// The world as it is now.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.0.lock().unwrap();
        world.advance(Instant::now());
        world
    }

    /// Lets a request in, or not; what it says is whether its answer gets out.
    fn arrive(&self, batch: Option<(JobId, &JobRequest)>) -> RuntimeResult<bool> {
        let mut world = self.world();
        world.requests += 1;
        let mishap = world.mishaps.pop_front().flatten();
        let start = batch.and_then(|(_, job)| Some(job.iterations.as_ref()?.start));
        let is_cut = start.is_some() && start == world.refuses_start;
        if world.is_down || is_cut || mishap == Some(Mishap::Refused) {
            return Err(unreachable());
        }
        if let Some(watcher) = world.watcher.clone() {
            watcher(&world, batch);
        }
        Ok(mishap.is_none())
    }

    /// Holds the answer as the API says.
    async fn hold(&self, id: JobId, after: u64, poll: Poll) -> RuntimeResult<EventPage> {
        let end = Instant::now() + Duration::from_secs_f64(poll.wait_sec);
        let mut linger = None;
        loop {
            let (page, due) = {
                let world = self.world();
                (world.page(id, after)?, world.due)
            };
            if !page.events.is_empty() && linger.is_none() {
                linger = Some(Instant::now() + Duration::from_secs_f64(poll.linger_sec));
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

fn probe() -> Probe {
    let probe = json!({
        "executor": {"version": "0", "boot_id": "", "uptime_minutes": 1.0, "root": "/"},
        "platform": {"system": "Linux", "release": "6", "machine": "x86_64", "colab": false},
        "python": {"version": "3.12.1", "implementation": "CPython", "executable": "python"},
        "compute": {"cpu_count": 2, "memory_total_gb": 1.0, "memory_available_gb": 1.0, "memory_used_pct": 1.0},
        "gpu": [], "storage": [], "packages": {}, "package_count": 0,
        "limits": {"max_timeout_sec": 1, "max_wait_sec": 1, "max_body_bytes": 1}, "sessions": [], "variables": [],
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
        None
    }

    async fn put_job(
        &self,
        id: JobId,
        request: &JobRequest,
        poll: Poll,
        _: Option<&str>,
    ) -> RuntimeResult<EventPage> {
        let gets_out = self.arrive(Some((id, request)))?;
        self.world().put(id, request)?;
        if !gets_out {
            return Err(timed_out());
        }
        self.hold(id, 0, poll).await
    }

    async fn events(&self, id: JobId, after: u64, poll: Poll) -> RuntimeResult<EventPage> {
        if !self.arrive(None)? {
            return Err(timed_out());
        }
        self.hold(id, after, poll).await
    }

    async fn interrupt(&self, id: JobId, _: JobId) -> RuntimeResult<Job> {
        let gets_out = self.arrive(None)?;
        let job = self.world().interrupt(id);
        answer(gets_out, job)
    }

    async fn log(&self, id: JobId, from: u64) -> RuntimeResult<ByteStream> {
        if !self.arrive(None)? {
            return Err(timed_out());
        }
        let log = self
            .world()
            .log(id)?
            .split_off(usize::try_from(from).unwrap());
        Ok(stream::once(async { Ok(Bytes::from(log)) }).boxed())
    }

    async fn blob(&self, _: JobId, _: u64) -> RuntimeResult<Bytes> {
        Err(not_found())
    }

    async fn jobs(&self, query: &JobsQuery<'_>) -> RuntimeResult<Vec<Job>> {
        let gets_out = self.arrive(None)?;
        let mut jobs = self.world().newest();
        jobs.truncate(usize::try_from(query.limit).unwrap());
        answer(gets_out, Ok(jobs))
    }

    async fn restart_session(&self, _: &str) -> RuntimeResult<Restarted> {
        unimplemented!()
    }

    async fn remove_session(&self, _: &str) -> RuntimeResult<Removed> {
        unimplemented!()
    }

    async fn sessions(&self) -> RuntimeResult<Vec<Session>> {
        Ok(Vec::new())
    }

    async fn health(&self) -> RuntimeResult<Health> {
        unimplemented!()
    }

    async fn probe(&self) -> RuntimeResult<Probe> {
        let gets_out = self.arrive(None)?;
        answer(gets_out, Ok(probe()))
    }

    async fn variables(&self, _: &str) -> RuntimeResult<Variables> {
        unimplemented!()
    }

    async fn cleanup(&self, _: &CleanupRequest) -> RuntimeResult<Cleanup> {
        unimplemented!()
    }

    async fn list_files(&self, _: &ListQuery) -> RuntimeResult<FileList> {
        unimplemented!()
    }

    async fn stat(&self, _: &str, _: bool) -> RuntimeResult<FileStat> {
        unimplemented!()
    }

    async fn download(&self, _: &str, _: Range<u64>, _: &str) -> RuntimeResult<ByteStream> {
        unimplemented!()
    }

    async fn code(&self, id: JobId) -> RuntimeResult<String> {
        let gets_out = self.arrive(None)?;
        answer(gets_out, self.world().code(id))
    }

    async fn read_file(&self, _: &ReadQuery) -> RuntimeResult<FileText> {
        unimplemented!()
    }

    async fn get_bundle(&self, _: &BundleRequest) -> RuntimeResult<ByteStream> {
        unimplemented!()
    }

    async fn put_bundle(&self, _: &str, _: Bytes) -> RuntimeResult<BundleReply> {
        unimplemented!()
    }

    async fn upload(&self, _: &UploadKey) -> RuntimeResult<Upload> {
        unimplemented!()
    }

    async fn upload_piece(&self, _: &UploadKey, _: u64, _: Bytes) -> RuntimeResult<Upload> {
        unimplemented!()
    }

    async fn finish_upload(
        &self,
        _: &UploadKey,
        _: Option<&str>,
        _: bool,
    ) -> RuntimeResult<Upload> {
        unimplemented!()
    }

    async fn shutdown(&self) -> RuntimeResult<()> {
        unimplemented!()
    }
}
