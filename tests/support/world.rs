//! A simulated machine that follows the executor's API step by step, on the test's clock, and fails on demand.
//!
//! It understands three pieces of code: [`SETUP`] prepares the kernel, [`BODY`] is one iteration that needs it, [`TALK`] prints a line as it
//! begins. Everything else just runs.

mod requests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use smart_colab::base::ids::JobId;
use smart_colab::runtime::RuntimeError;
use smart_colab::wire::event::{Event, EventKind, Finished, Progress, PythonError, StreamName};
use smart_colab::wire::job::{Iterations, Job, JobRequest, OnError};
use smart_colab::wire::problem::Problem;
use smart_colab::wire::state::{JobState, Reason};
use tokio::time::Instant;

pub(crate) use super::mishaps::{Fails, Mishap, Strike, When};

pub(crate) const SETUP: &str = "x = 1";
pub(crate) const BODY: &str = "x + {i}";
pub(crate) const TALK: &str = "print('begun')";
/// Small enough that a batch takes several pages.
const EVENTS_IN_A_PAGE: usize = 3;

/// The machine's history and its planned faults.
#[derive(Default)]
pub(crate) struct World {
    /// One for each coming request, in order.
    pub mishaps: VecDeque<Option<Mishap>>,
    /// No request gets through.
    pub is_down: bool,
    pub ended_with_client: bool,
    /// The policy refuses all code.
    pub forbids_code: bool,
    /// A batch that begins at this iteration does not get through.
    pub refuses_start: Option<u64>,
    pub strikes: Vec<(When, Strike)>,
    pub failing: BTreeMap<u64, Fails>,
    pub failing_setup: Option<Fails>,
    pub break_at: Option<u64>,
    /// The time of half an iteration, and of a setup.
    pub pace: Duration,
    /// Jobs that are listed but whose code and output are gone.
    pub forgotten: BTreeSet<JobId>,
    /// Called at each request that arrives.
    pub watcher: Option<Arc<dyn Watcher>>,

    /// For each iteration: how often it began, how often it finished, and how often it was cut off.
    pub begun: BTreeMap<u64, u32>,
    pub ended: BTreeMap<u64, u32>,
    pub cut_off: BTreeMap<u64, u32>,
    /// The iterations begun, in order.
    pub log: Vec<u64>,
    /// First and last iteration of every batch that began.
    pub batches: Vec<(u64, u64)>,
    pub setups: u32,
    /// Counts iterations that began in a kernel without setup.
    pub without_setup: u32,
    /// New jobs accepted.
    pub accepted: Vec<JobRequest>,
    pub interrupts: u32,
    pub requests: u32,
    pub losses: u32,

    steps: u64,
    kernels: u64,
    boots: u64,
    kernel: Option<Kernel>,
    jobs: BTreeMap<JobId, Record>,
    queue: VecDeque<JobId>,
    /// When the next step of the queue's first job is due.
    pub due: Option<Instant>,
}

/// Receives the world and, for a request that submits one, the job.
pub(crate) trait Watcher: Fn(&World, Option<(JobId, &JobRequest)>) + Send + Sync {}

impl<F: Fn(&World, Option<(JobId, &JobRequest)>) + Send + Sync> Watcher for F {}

struct Kernel {
    id: String,
    is_set_up: bool,
}

struct Record {
    request: JobRequest,
    job: Job,
    events: Vec<Event>,
    /// The loop's iterations in the order in which they run.
    order: Vec<u64>,
    start: u64,
    /// The position of the next iteration or, if `within`, of the running one.
    at: u64,
    within: bool,
    /// Where the batch ends that runs; at its start the next one begins.
    batch_stop: u64,
    is_set_up: bool,
}

impl Record {
    fn iteration(&self) -> u64 {
        let position = usize::try_from(self.at - self.start).unwrap();
        self.order.get(position).copied().unwrap_or(self.at)
    }
}

impl World {
    /// Names the executor's present start.
    pub(crate) fn boot_id(&self) -> String {
        format!("boot-{}", self.boots)
    }

    /// Takes every step that is due.
    pub(crate) fn advance(&mut self, now: Instant) {
        while let Some(id) = self.queue.front().copied() {
            let due = *self.due.get_or_insert(now);
            if due > now {
                return;
            }
            if let Some(strike) = self.strike_at(id) {
                self.strike(strike);
            } else {
                self.steps += 1;
                self.due = Some(due + self.pace);
                self.step(id);
            }
            if self.queue.front() != Some(&id) {
                self.due = self.queue.front().map(|_| due);
            }
        }
    }

    fn strike_at(&mut self, id: JobId) -> Option<Strike> {
        let record = &self.jobs[&id];
        let runs = record.job.state == JobState::Running && record.request.iterations.is_some();
        let (at, within, steps) = (record.iteration(), record.within, self.steps);
        let is_due = |when: &When| match *when {
            When::Before(i) => runs && !within && at == i,
            When::Within(i) => runs && within && at == i,
            When::Step(n) => n <= steps,
        };
        let position = self.strikes.iter().position(|(when, _)| is_due(when))?;
        Some(self.strikes.remove(position).1)
    }

    /// Performs one step of the running job: its start, an iteration's begin or end, or its own end.
    fn step(&mut self, id: JobId) {
        let state = self.jobs[&id].job.state;
        if state == JobState::Queued {
            return self.start(id);
        }
        let record = &self.jobs[&id];
        let Some(loop_) = record.request.iterations.clone() else {
            return self.end_plain(id);
        };
        if !record.is_set_up {
            return self.set_up(id, loop_.setup.as_deref());
        }
        let (at, within) = (record.at, record.within);
        if !within {
            if at == loop_.stop {
                return self.end(id, JobState::Succeeded, None);
            }
            if at == record.batch_stop {
                return self.begin_batch(id, &loop_);
            }
            if record.request.code == BODY && !self.kernel.as_ref().is_some_and(|k| k.is_set_up) {
                self.without_setup += 1;
                return self.raise(id, "NameError", "name 'x' is not defined");
            }
            let iteration = record.iteration();
            *self.begun.entry(iteration).or_default() += 1;
            self.log.push(iteration);
            self.record(id).within = true;
            return;
        }
        let (position, at) = (at, record.iteration());
        self.record(id).within = false;
        let fails = self.failing.get(&at).copied();
        if fails == Some(Fails::Once) {
            self.failing.remove(&at);
        }
        if fails.is_some() && loop_.on_error == OnError::Stop {
            *self.cut_off.entry(at).or_default() += 1;
            return self.raise(id, "ValueError", &format!("no {at}"));
        }
        *self.ended.entry(at).or_default() += 1;
        let breaks = self.break_at == Some(at);
        let (name, text) = (StreamName::Stdout, format!("{at}\n"));
        self.emit(id, EventKind::Stream { name, text });
        self.emit(
            id,
            EventKind::Progress(Progress {
                completed: position + 1,
                total: loop_.total,
                message: breaks.then(|| "break".to_owned()),
                iteration: Some(at),
                result: if fails.is_some() {
                    Value::Null
                } else {
                    json!(at + 1)
                },
                marked: None,
                error: fails.map(|_| error("ValueError", &format!("no {at}"))),
            }),
        );
        self.record(id).at = if breaks { loop_.stop } else { position + 1 };
        if self.record(id).at == self.record(id).batch_stop {
            self.let_others_pass();
        }
    }

    /// A step of its own.
    fn set_up(&mut self, id: JobId, setup: Option<&str>) {
        self.record(id).is_set_up = true;
        if setup != Some(SETUP) {
            return;
        }
        self.setups += 1;
        let fails = self.failing_setup;
        if fails == Some(Fails::Once) {
            self.failing_setup = None;
        }
        if fails.is_some() {
            return self.raise(id, "ImportError", "no such module");
        }
        self.kernel.as_mut().unwrap().is_set_up = true;
        self.let_others_pass();
    }

    fn begin_batch(&mut self, id: JobId, loop_: &Iterations) {
        let kernel = self.kernel.as_ref().map(|kernel| &kernel.id);
        if kernel != self.jobs[&id].job.kernel_id.as_ref() {
            return self.end(id, JobState::Lost, Some(Reason::KernelReplaced));
        }
        let start = self.jobs[&id].at;
        let size = loop_.batch_size.unwrap_or(u64::MAX);
        let stop = start.saturating_add(size).min(loop_.stop);
        self.record(id).batch_stop = stop;
        self.batches.push((start, stop));
        self.emit(id, EventKind::Batch { start, stop });
    }

    /// Between two steps.
    fn let_others_pass(&mut self) {
        self.queue.rotate_left(1);
    }

    fn start(&mut self, id: JobId) {
        if self.kernel.is_none() {
            self.kernels += 1;
            let id = format!("kernel-{}", self.kernels);
            self.kernel = Some(Kernel {
                id,
                is_set_up: false,
            });
        }
        let kernel_id = self.kernel.as_ref().unwrap().id.clone();
        let wanted = self.jobs[&id].request.kernel_id.clone();
        if wanted.is_some_and(|wanted| wanted != kernel_id) {
            return self.end(id, JobState::Lost, Some(Reason::KernelReplaced));
        }
        let job = &mut self.record(id).job;
        job.state = JobState::Running;
        job.started_at = Some("then".to_owned());
        job.kernel_id = Some(kernel_id.clone());
        let execution_count = None;
        self.emit(
            id,
            EventKind::Started {
                kernel_id,
                execution_count,
            },
        );
        if self.jobs[&id].request.code == TALK {
            let (name, text) = (StreamName::Stdout, "begun\n".to_owned());
            self.emit(id, EventKind::Stream { name, text });
        }
    }

    fn end_plain(&mut self, id: JobId) {
        self.end(id, JobState::Succeeded, None);
    }

    fn raise(&mut self, id: JobId, ename: &str, evalue: &str) {
        self.emit(id, EventKind::Error(error(ename, evalue)));
        self.end(id, JobState::Failed, Some(Reason::PythonError));
    }

    /// Ends a job in the queue.
    fn end(&mut self, id: JobId, state: JobState, reason: Option<Reason>) {
        self.queue.retain(|queued| *queued != id);
        let record = self.record(id);
        if std::mem::take(&mut record.within) {
            let at = record.iteration();
            *self.cut_off.entry(at).or_default() += 1;
        }
        let gone = self.kernel.is_none();
        let record = self.record(id);
        record.job.state = state;
        record.job.reason = reason;
        record.job.variables_lost = gone && record.job.started_at.is_some();
        let variables_lost = record.job.variables_lost;
        self.emit(
            id,
            EventKind::Finished(Finished {
                state,
                reason,
                execution_time_sec: None,
                variables_lost,
                memory_before_gb: None,
                memory_after_gb: None,
                exit_code: None,
                reruns: None,
                memory_delta_mb: None,
                warning: None,
                packages: BTreeMap::new(),
            }),
        );
    }

    pub(crate) fn strike(&mut self, strike: Strike) {
        self.losses += 1;
        self.kernel = None;
        let running = self.queue.front().copied();
        let running = running.filter(|id| self.jobs[id].job.state == JobState::Running);
        let all: Vec<_> = self.queue.iter().copied().collect();
        let (ended, state, reason) = match strike {
            Strike::KernelDies => {
                let running = running.into_iter().collect();
                (running, JobState::Failed, Reason::KernelDied)
            }
            Strike::SessionRestarted => (all, JobState::Interrupted, Reason::SessionRestarted),
            Strike::ExecutorRestarts | Strike::MachineReplaced => {
                self.boots += 1;
                (all, JobState::Lost, Reason::ExecutorRestarted)
            }
        };
        for id in ended {
            self.end(id, state, Some(reason));
        }
        if strike == Strike::MachineReplaced {
            self.jobs.clear();
        }
    }

    fn record(&mut self, id: JobId) -> &mut Record {
        self.jobs.get_mut(&id).unwrap()
    }

    fn emit(&mut self, id: JobId, kind: EventKind) {
        let record = self.record(id);
        record.job.last_seq += 1;
        let mut event = serde_json::to_value(kind).unwrap();
        (event["seq"], event["at"]) = (record.job.last_seq.into(), "then".into());
        record.events.push(serde_json::from_value(event).unwrap());
    }
}

fn error(ename: &str, evalue: &str) -> PythonError {
    PythonError {
        ename: ename.to_owned(),
        evalue: evalue.to_owned(),
        traceback: Vec::new(),
    }
}

pub(crate) fn not_found() -> RuntimeError {
    refused(404, "not_found")
}

pub(crate) fn refused(status: u16, code: &str) -> RuntimeError {
    RuntimeError::Refused(Problem {
        status,
        code: code.to_owned(),
        detail: format!("refused: {code}"),
        hint: String::new(),
        retryable: false,
        retry_after_sec: None,
    })
}
