//! Provisioners: a custom one, and calls whose runtime fails behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use smart_colab::base::fault::Fault;
use smart_colab::base::ids::JobId;
use smart_colab::connection::{Connection, State, Until};
use smart_colab::provision::Provisioner;
use smart_colab::runtime::arrival::Arrival;
use smart_colab::runtime::{
    Code, Files, Hold, Machine, Runtime, RuntimeError, RuntimeResult, Sessions,
};
use smart_colab::wire::job::JobRequest;
use smart_colab::wire::session::CleanupRequest;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::support::fake_runtime::FakeRuntime;
use crate::support::world::{Mishap, TALK};

/// A queue of machines: the next replaces one that is lost.
#[derive(Debug)]
struct Cluster {
    machines: Vec<Arc<FakeRuntime>>,
    current: AtomicUsize,
    has_begun: AtomicBool,
    has_stopped: AtomicBool,
}

impl Cluster {
    fn current(&self) -> &Arc<FakeRuntime> {
        &self.machines[self.current.load(Ordering::Relaxed)]
    }
}

#[async_trait]
impl Provisioner for Cluster {
    fn begin(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
    }

    async fn runtime(&self, _: Instant) -> RuntimeResult<Arc<dyn Runtime>> {
        match self.doing() {
            None => Ok(self.current().clone()),
            Some(doing) => Err(RuntimeError::Starting {
                what: "the cluster's machine",
                doing,
                remedy: "Call again when it had its turn.".into(),
            }),
        }
    }

    fn doing(&self) -> Option<String> {
        let has_begun = self.has_begun.load(Ordering::Relaxed);
        (!has_begun).then(|| "waiting in the queue".to_owned())
    }

    fn heal(&self, asked: &dyn Runtime, error: &RuntimeError) -> bool {
        let is_current = std::ptr::addr_eq(Arc::as_ptr(self.current()), asked);
        let next = self.current.load(Ordering::Relaxed) + 1;
        let may_heal = error.is_stale() && next < self.machines.len();
        if may_heal && is_current {
            self.current.store(next, Ordering::Relaxed);
        }
        may_heal
    }

    async fn stop(&self) {
        self.has_stopped.store(true, Ordering::Relaxed);
    }

    fn place(&self) -> Option<String> {
        Some("cluster".to_owned())
    }

    fn boot_id(&self) -> Option<String> {
        self.current().boot_id()
    }
}

struct Bench {
    cluster: Arc<Cluster>,
    connection: Arc<Connection>,
    _disk: TempDir,
}

impl Bench {
    fn new(machines: usize) -> Self {
        let disk = tempfile::tempdir().unwrap();
        let cluster = Arc::new(Cluster {
            machines: (0..machines).map(|_| FakeRuntime::new()).collect(),
            current: AtomicUsize::new(0),
            has_begun: AtomicBool::new(false),
            has_stopped: AtomicBool::new(false),
        });
        Self {
            connection: Arc::new(Connection::through(cluster.clone(), disk.path())),
            cluster,
            _disk: disk,
        }
    }

    /// Creates a bench whose first machine is ready.
    fn ready(machines: usize) -> Self {
        let bench = Self::new(machines);
        bench.connection.warm_up();
        bench
    }

    fn until(&self) -> Until {
        self.connection
            .until(Instant::now() + Duration::from_secs(60))
    }

    fn machine(&self, at: usize) -> &FakeRuntime {
        &self.cluster.machines[at]
    }

    /// Applies `mishap` to the next request to the first machine, and resets its count.
    fn set_mishap(&self, mishap: Mishap) {
        let mut world = self.machine(0).world();
        world.requests = 0;
        world.mishaps = [Some(mishap)].into();
    }

    fn requests(&self) -> u32 {
        self.machine(0).world().requests
    }
}

#[tokio::test(start_paused = true)]
async fn a_custom_provisioner_runs_code() {
    let bench = Bench::new(1);
    let step = "waiting in the queue".to_owned();
    assert_eq!(bench.connection.state(), State::Starting { step });
    let early = bench.until().sessions().await.unwrap_err();
    assert_eq!(early.code(), "busy");
    assert_eq!(
        early.to_string(),
        "the cluster's machine is not ready yet: waiting in the queue"
    );

    bench.connection.warm_up();
    assert_eq!(bench.connection.state(), State::Ready);
    assert_eq!(bench.connection.place().as_deref(), Some("cluster"));
    let (id, request) = (
        JobId::fresh(),
        JobRequest {
            code: TALK.to_owned(),
            session: "main".to_owned(),
            timeout_sec: 60,
            iterations: None,
            kernel_id: None,
            folder: None,
            answers: false,
        },
    );
    let (hold, arrival) = (Hold::none(1 << 20), Arrival::default());
    let sent = bench.until().put_job(id, &request, hold, &arrival).await;
    assert_eq!(sent.unwrap().job.id, id);
    assert!(arrival.is_possible());
    sleep(Duration::from_secs(10)).await;
    let log = bench.until().log(id, 0).await.unwrap();
    let log: Vec<Bytes> = log.try_collect().await.unwrap();
    assert_eq!(log.concat(), b"begun\n");

    bench.connection.stop().await;
    assert!(bench.cluster.has_stopped.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn a_call_switches_to_the_runtime_that_replaces_a_lost_one() {
    let bench = Bench::ready(2);
    bench.machine(0).world().is_down = true;
    let began = Instant::now();
    bench.until().probe(&[]).await.unwrap();
    assert_eq!(bench.machine(1).world().requests, 1);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_lost_runtime_is_retried_and_the_state_says_so() {
    let bench = Bench::ready(1);
    bench.machine(0).world().is_down = true;
    let until = bench.until();
    let asking = tokio::spawn(async move { until.probe(&[]).await });
    sleep(Duration::from_secs(2)).await;
    let State::Lost { trouble, .. } = bench.connection.state() else {
        panic!("{:?}", bench.connection.state());
    };
    assert!(trouble.contains("cannot be reached"), "{trouble}");
    bench.machine(0).world().is_down = false;
    asking.await.unwrap().unwrap();
    assert_eq!(bench.connection.state(), State::Ready);
}

#[tokio::test(start_paused = true)]
async fn actions_are_retried_only_if_the_request_never_arrived() {
    let bench = Bench::ready(1);
    let request = CleanupRequest {
        session: "main".to_owned(),
        temp_files: false,
        variables: None,
    };
    let once = async || {
        let until = bench.until();
        [
            until.cleanup(&request).await.map(drop),
            until.restart_session("main").await.map(drop),
            until.remove_session("main").await.map(drop),
        ]
    };
    for (mishap, is_done, tries) in [(Mishap::ReplyLost, false, 1), (Mishap::Refused, true, 2)] {
        for at in 0..3 {
            let mut mishaps = vec![None; at];
            mishaps.push(Some(mishap));
            {
                let mut world = bench.machine(0).world();
                world.requests = 0;
                world.mishaps = mishaps.into();
            }
            let ended = once().await;
            assert_eq!(ended[at].is_ok(), is_done, "{at}: {ended:?}");
            assert_eq!(bench.requests(), 2 + tries, "{at}");
        }
    }
    bench.set_mishap(Mishap::ReplyLost);
    bench.until().probe(&[]).await.unwrap();
    assert_eq!(bench.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_file_resumes_where_its_connection_broke() {
    let bench = Bench::ready(1);
    let (path, bytes) = ("/content/a.txt", Bytes::from_static(b"0123456789"));
    let files = [(path.to_owned(), bytes.clone())].into();
    bench.machine(0).disk().files = files;
    let etag = bench.until().stat(path, None).await.unwrap().etag.unwrap();
    bench.set_mishap(Mishap::ReplyLost);
    let stream = bench.until().download(path, 0..10, &etag).await.unwrap();
    let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
    assert_eq!(pieces, [&bytes[..5], &bytes[5..]]);
    assert_eq!(bench.requests(), 2);
}
