//! Kernels of a Jupyter Server, spoken to as their clients do, where no executor can run beside them.
//!
//! Code is sent once and never again. Output comes over a WebSocket, where a server drops what comes too fast, and what it sends while the
//! connection is down: then the job says that its output may not be complete. What was received is kept here on the disk, and the next process
//! follows what runs. Files are those that the server shows. The rest of an executor (variables, loops, the machine) is refused with a sentence.

mod files;
mod journal;
mod listing;
mod own;
mod paths;
mod refusals;
mod sessions;
mod text;
mod turn;
mod uploads;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::arrival::Arrival;
use super::error::{RuntimeError, RuntimeResult};
use super::{ByteStream, Code, Hold, JobsQuery, Runtime};
use crate::base::advice::Step;
use crate::base::ids::JobId;
use crate::base::lock::Lock;
use crate::edge::store::{read_if_there, write_quickly};
use crate::jupyter::{JupyterError, Server};
use crate::wire::job::{CellNames, EventPage, InputRequest, Job, JobRequest};
use crate::wire::session::{is_name, kernel_of_adopted};
use crate::wire::state::{JobState, Reason};
use journal::{Journal, load_all};
use own::OwnKernel;
pub use paths::below_root;
use refusals::{refused, unsupported, unsupported_but};
use worker::{Facts, Order, Worker};

const MAIN: &str = "main";
/// Characters of the code in a job's description.
const MAX_HEAD_CHARS: usize = 200;

/// A Jupyter Server's kernels, in place of an executor.
#[derive(Debug)]
pub struct Kernels {
    server: Arc<Server>,
    address: String,
    /// Why no executor runs there.
    reason: String,
    folder: PathBuf,
    boot_id: String,
    began: Instant,
    jobs: Lock<BTreeMap<JobId, Arc<Journal>>>,
    sessions: Lock<BTreeMap<String, Worked>>,
    /// The interrupts that were carried out.
    interrupts: Lock<BTreeSet<JobId>>,
}

/// A session, and the way to its task.
#[derive(Debug)]
struct Worked {
    orders: mpsc::UnboundedSender<Order>,
    facts: Arc<Lock<Facts>>,
}

impl Kernels {
    /// Follows the jobs of earlier processes in `folder`, which belongs to this process alone. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// File system errors.
    pub fn open(
        server: Arc<Server>,
        address: String,
        folder: &Path,
        reason: String,
    ) -> io::Result<Self> {
        let boot = folder.join("boot");
        let known = read_if_there(&boot)?.and_then(|id| String::from_utf8(id).ok());
        let boot_id = known.unwrap_or_else(|| Uuid::now_v7().to_string());
        write_quickly(&boot, boot_id.as_bytes())?;
        let kernels = Self {
            server,
            address,
            reason,
            folder: folder.to_owned(),
            boot_id,
            began: Instant::now(),
            jobs: Lock::default(),
            sessions: Lock::default(),
            interrupts: Lock::default(),
        };
        let mut jobs: Vec<_> = load_all(&folder.join("jobs"))
            .into_iter()
            .map(Arc::new)
            .collect();
        jobs.sort_by_key(|job| job.id());
        for job in &jobs {
            let now = job.job();
            match now.state {
                JobState::Running => kernels.work(&now.session, Some(job.clone())),
                JobState::Queued => kernels.order(&now.session, Order::Run(job.clone())),
                JobState::Succeeded
                | JobState::Failed
                | JobState::Interrupted
                | JobState::TimedOut
                | JobState::Lost => {}
            }
        }
        *kernels.jobs.lock() = jobs.into_iter().map(|job| (job.id(), job)).collect();
        Ok(kernels)
    }

    /// Starts the task of a session, which continues with `resumed`.
    fn work(&self, session: &str, resumed: Option<Arc<Journal>>) {
        let (orders, received) = mpsc::unbounded_channel();
        let facts = Arc::<Lock<Facts>>::default();
        let file = self.folder.join(format!("sessions/{session}.json"));
        let kernel = OwnKernel::new(self.server.clone(), file);
        let worker = Worker::new(kernel, facts.clone(), received);
        tokio::spawn(worker.work(resumed));
        let worked = Worked { orders, facts };
        self.sessions.lock().insert(session.to_owned(), worked);
    }

    /// Orders something of a session, which is made if it is new.
    fn order(&self, session: &str, order: Order) {
        if !self.sessions.lock().contains_key(session) {
            self.work(session, None);
        }
        if let Some(worked) = self.sessions.lock().get(session) {
            let _ = worked.orders.send(order);
        }
    }

    fn job_of(&self, id: JobId) -> RuntimeResult<Arc<Journal>> {
        let job = self.jobs.lock().get(&id).cloned();
        job.ok_or_else(|| refused(404, "not_found", format!("There is no job {id}."), ""))
    }

    async fn page(&self, job: &Journal, after: u64, hold: Hold) -> RuntimeResult<EventPage> {
        let (wait, linger) = hold.seconds();
        let end = Instant::now() + Duration::from_secs_f64(wait);
        let mut changes = job.changes();
        loop {
            let page = job.page(after, hold.max_bytes).map_err(disk)?;
            let is_over = page.job.state.is_final() || Instant::now() >= end;
            if is_over || page.more {
                return Ok(page);
            }
            if !page.events.is_empty() {
                break;
            }
            let _ = timeout_at(end, changes.changed()).await;
        }
        sleep(Duration::from_secs_f64(linger)).await;
        job.page(after, hold.max_bytes).map_err(disk)
    }

    /// Queues a job; finds it if another try has come first.
    fn accept(&self, id: JobId, request: &JobRequest) -> io::Result<Arc<Journal>> {
        let mut jobs = self.jobs.lock();
        if let Some(known) = jobs.get(&id) {
            return Ok(known.clone());
        }
        let is_new = !self.sessions.lock().contains_key(&request.session);
        let folder = self.folder.join(format!("jobs/{id}"));
        let job = described(id, request, is_new);
        let job = Arc::new(Journal::create(folder, job, request.clone())?);
        jobs.insert(id, job.clone());
        self.order(&request.session, Order::Run(job.clone()));
        Ok(job)
    }

    fn error(&self, error: JupyterError) -> RuntimeError {
        server_error(error, self.address.clone())
    }

    /// Refuses what needs an executor.
    fn check(&self, request: &JobRequest) -> RuntimeResult<()> {
        if request.iterations.is_some() {
            return Err(unsupported("operations in chunks", &self.reason));
        }
        if kernel_of_adopted(&request.session).is_some() {
            let instead = "Run it in a session of its own (leave session out, or name a new one)";
            let what = "sessions in kernels of notebooks";
            return Err(unsupported_but(what, &self.reason, instead));
        }
        if !is_name(&request.session) {
            let detail = format!("{:?} is no name for a session.", request.session);
            let hint = "Use letters, digits, _ and -.";
            return Err(refused(400, "invalid_argument", detail, hint));
        }
        Ok(())
    }
}

/// The error of a request to a server at `url`. Its [`reach`](RuntimeError::reach) says whether the request may have been carried out.
#[must_use]
pub fn server_error(error: JupyterError, url: String) -> RuntimeError {
    match error {
        JupyterError::TimedOut => RuntimeError::TimedOut { url },
        JupyterError::Broken(cause) => RuntimeError::Broken {
            url,
            source: cause.into(),
            remedy: Step::CheckJupyter,
        },
        JupyterError::Unauthorized => RuntimeError::Unauthorized {
            url,
            remedy: Step::RenewJupyterToken,
        },
        JupyterError::Unreachable(cause) => RuntimeError::Unreachable {
            url,
            source: cause.into(),
            remedy: Step::CheckJupyter,
        },
        JupyterError::Untrusted(_)
        | JupyterError::Stopped(_)
        | JupyterError::Stranger(_)
        | JupyterError::NoKernels(_)
        | JupyterError::NotFound
        | JupyterError::Refused(_) => RuntimeError::Unreachable {
            url,
            source: format!("it {error}").into(),
            remedy: Step::CheckJupyter,
        },
    }
}

fn disk(error: io::Error) -> RuntimeError {
    let detail = format!("The output of jobs on this computer cannot be read or written: {error}.");
    let hint =
        "Make room, or the folder writable (SMART_COLAB_DATA_DIR names another); then call again.";
    refused(507, "disk_full", detail, hint)
}

fn described(id: JobId, request: &JobRequest, is_new: bool) -> Job {
    Job {
        id,
        session: request.session.clone(),
        state: JobState::Queued,
        reason: None::<Reason>,
        code_head: request.code.chars().take(MAX_HEAD_CHARS).collect(),
        #[allow(clippy::cast_precision_loss)]
        timeout_sec: request.timeout_sec as f64,
        iterations: None,
        completed: None,
        created_at: Timestamp::now().to_string(),
        started_at: None,
        finished_at: None,
        execution_time_sec: None,
        kernel_id: None,
        boot_id: String::new(),
        variables_lost: false,
        kernel_exit: None,
        last_seq: 0,
        log_bytes: 0,
        log_bytes_at_end: None,
        queue_position: None,
        behind: None,
        new_session: is_new && request.session != MAIN,
        asking: None,
        cluster: None,
        output_complete: true,
    }
}

#[async_trait]
impl Runtime for Kernels {
    fn address(&self) -> &str {
        &self.address
    }

    fn boot_id(&self) -> Option<String> {
        Some(self.boot_id.clone())
    }

    async fn meet(&self) -> RuntimeResult<()> {
        Ok(())
    }

    fn lacks_executor(&self) -> Option<&str> {
        Some(&self.reason)
    }
}

#[async_trait]
impl Code for Kernels {
    async fn put_job(
        &self,
        id: JobId,
        request: &JobRequest,
        hold: Hold,
        arrival: &Arrival,
    ) -> RuntimeResult<EventPage> {
        if let Ok(known) = self.job_of(id) {
            if known.request != *request {
                let detail = format!("Job {id} has other code.");
                return Err(refused(409, "conflict", detail, "Send it under a new id."));
            }
            return self.page(&known, 0, hold).await;
        }
        if arrival
            .expected_boot(self)
            .is_some_and(|boot| boot != self.boot_id)
        {
            return Err(RuntimeError::Replaced);
        }
        self.check(request)?;
        // What cannot be reached now receives nothing later.
        let found = self.server.probe().await;
        found.map_err(|error| self.error(error))?;
        let job = self.accept(id, request).map_err(disk)?;
        self.page(&job, 0, hold).await
    }

    async fn jobs(&self, query: &JobsQuery<'_>) -> RuntimeResult<Vec<Job>> {
        let jobs: Vec<_> = self.jobs.lock().values().rev().cloned().collect();
        let suits = |job: &Job| {
            query.session.is_none_or(|session| session == job.session)
                && query.state.is_none_or(|state| state == job.state)
        };
        let jobs = jobs.iter().map(|job| job.job()).filter(suits);
        Ok(jobs
            .take(usize::try_from(query.limit).unwrap_or(usize::MAX))
            .collect())
    }

    async fn events(&self, id: JobId, after: u64, hold: Hold) -> RuntimeResult<EventPage> {
        let page = self.page(&*self.job_of(id)?, after, hold).await?;
        let away = self
            .sessions
            .lock()
            .get(&page.job.session)
            .and_then(|worked| {
                let facts = worked.facts.lock();
                facts.away.clone().filter(|_| facts.running == Some(id))
            });
        match away {
            // What it does now is not known.
            Some(error) if page.events.is_empty() && !page.job.state.is_final() => {
                Err(self.error(error))
            }
            Some(_) | None => Ok(page),
        }
    }

    async fn interrupt(&self, id: JobId, request: JobId) -> RuntimeResult<Job> {
        let job = self.job_of(id)?;
        let is_new = self.interrupts.lock().insert(request);
        if is_new && !job.job().state.is_final() {
            let (done, answer) = oneshot::channel();
            self.order(&job.job().session, Order::Interrupt(id, done));
            let _ = answer.await;
        }
        Ok(job.job())
    }

    async fn log(&self, id: JobId, from: u64) -> RuntimeResult<ByteStream> {
        let bytes = self.job_of(id)?.log(from).map_err(disk)?;
        Ok(stream::once(async move { Ok(Bytes::from(bytes)) }).boxed())
    }

    async fn blob(&self, id: JobId, number: u64) -> RuntimeResult<Bytes> {
        self.job_of(id)?.blob(number).map(Bytes::from).map_err(disk)
    }

    async fn code(&self, id: JobId) -> RuntimeResult<String> {
        Ok(self.job_of(id)?.request.code.clone())
    }

    async fn setup(&self, id: JobId) -> RuntimeResult<String> {
        self.job_of(id).map(|_| String::new())
    }

    async fn consent(&self, _statement: &str) -> RuntimeResult<()> {
        Err(unsupported("a policy for code", &self.reason))
    }

    async fn answer(&self, _id: JobId, _answer: &InputRequest) -> RuntimeResult<Job> {
        Err(unsupported("answers to input()", &self.reason))
    }

    async fn names(&self, _cells: &[String]) -> RuntimeResult<Vec<CellNames>> {
        Err(unsupported("the names in cells", &self.reason))
    }
}
