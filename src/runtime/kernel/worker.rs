//! The task of a session: runs its jobs one after the other in a kernel of its own.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::journal::Journal;
use super::own::{News, OwnKernel};
use super::turn::{Ending, INTERRUPT_GRACE, Turn};
use crate::base::ids::JobId;
use crate::base::lock::Lock;
use crate::jupyter::JupyterError;
use crate::wire::event::{EventKind, PythonError};
use crate::wire::state::{JobState, Reason};

/// Between looks at what the server knows of a kernel whose reply is awaited.
const POLL_INTERVAL: Duration = Duration::from_secs(30);

/// What a session is asked to do.
#[derive(Debug)]
pub(super) enum Order {
    Run(Arc<Journal>),
    /// Interrupts the job, or removes it from the queue.
    Interrupt(JobId, oneshot::Sender<()>),
    /// Ends all jobs, and restarts the kernel or deletes it; answers with the jobs.
    End {
        restarts: bool,
        ended: oneshot::Sender<Result<Vec<JobId>, JupyterError>>,
    },
}

/// What others see of a session.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) kernel_id: Option<String>,
    pub(super) running: Option<JobId>,
    pub(super) queued: usize,
    pub(super) executed: u64,
    /// Why the kernel in which code runs cannot be reached, as long as it cannot.
    pub(super) away: Option<JupyterError>,
}

#[derive(Debug)]
pub(super) struct Worker {
    kernel: OwnKernel,
    facts: Arc<Lock<Facts>>,
    orders: mpsc::UnboundedReceiver<Order>,
    queue: VecDeque<Arc<Journal>>,
}

enum Event {
    Kernel(News),
    Order(Order),
    Left,
    Due,
}

impl Worker {
    pub(super) fn new(
        kernel: OwnKernel,
        facts: Arc<Lock<Facts>>,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Self {
        Self {
            kernel,
            facts,
            orders,
            queue: VecDeque::new(),
        }
    }

    /// Runs jobs until nothing can order any more. `resumed` was sent by an earlier process.
    pub(super) async fn work(mut self, resumed: Option<Arc<Journal>>) {
        if let Some(job) = resumed {
            let followed = self.resume(&job).await;
            report(&job, followed);
        }
        loop {
            while let Some(job) = self.queue.pop_front() {
                self.note(None);
                let ran = self.run(&job).await;
                report(&job, ran);
                self.note(None);
            }
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => { self.obey(order, None).await; }
                    None => return,
                },
                // Printed after the end of the code; not read, it would fill the memory.
                _ = self.kernel.next(), if self.kernel.is_attached() => {}
            }
        }
    }

    async fn resume(&mut self, job: &Arc<Journal>) -> io::Result<()> {
        let Some(process) = self.kernel.process() else {
            return finish(job, Ending::kernel_died());
        };
        let turn = Turn::new(job.clone(), process);
        turn.note_doubt()?;
        self.follow(turn).await
    }

    /// Sends a job's code, once, and follows it to its end.
    async fn run(&mut self, job: &Arc<Journal>) -> io::Result<()> {
        let process = match self.kernel.ready().await {
            Ok(process) => process,
            Err(error) => {
                let said = format!("the Jupyter Server {error}: nothing was sent");
                let error = PythonError {
                    ename: "KernelNotStarted".to_owned(),
                    evalue: said.clone(),
                    traceback: vec![said.clone()],
                };
                job.append(EventKind::Error(error), Some(&said), true)?;
                return finish(
                    job,
                    Ending::new(JobState::Failed, Reason::KernelDied, false),
                );
            }
        };
        let wanted = job.request.kernel_id.as_ref();
        if wanted.is_some_and(|wanted| *wanted != process) {
            let replaced = Ending::new(JobState::Lost, Reason::KernelReplaced, false);
            return finish(job, replaced);
        }
        // Recorded before it is sent: whatever happens then, it is not sent again.
        job.update(|job| {
            job.state = JobState::Running;
            job.started_at = Some(Timestamp::now().to_string());
            job.kernel_id = Some(process.clone());
            job.queue_position = None;
        })?;
        let content = json!({
            "code": job.request.code,
            "silent": false,
            "store_history": true,
            "user_expressions": {},
            "allow_stdin": false,
            "stop_on_error": false,
        });
        let id = job.id().to_string();
        self.kernel.send(&id, "execute_request", &content).await;
        self.facts.lock().executed += 1;
        self.follow(Turn::new(job.clone(), process)).await
    }

    async fn follow(&mut self, mut turn: Turn) -> io::Result<()> {
        self.note(Some(turn.job.id()));
        let mut poll = Instant::now() + POLL_INTERVAL;
        loop {
            let event = {
                let Self { kernel, orders, .. } = self;
                let due = turn.wakes_at(poll);
                let is_attached = kernel.is_attached();
                tokio::select! {
                    news = kernel.next() => Event::Kernel(news),
                    order = orders.recv() => order.map_or(Event::Left, Event::Order),
                    () = sleep_until(due), if is_attached => Event::Due,
                }
            };
            let ending = match event {
                Event::Kernel(News::Message(message)) => turn.take(&message)?,
                Event::Kernel(News::Attached) => {
                    self.facts.lock().away = None;
                    let id = Uuid::now_v7().to_string();
                    let nothing = json!({});
                    self.kernel.send(&id, "kernel_info_request", &nothing).await;
                    turn.sentinel = Some(id);
                    None
                }
                Event::Kernel(News::Broken) => {
                    turn.note_doubt()?;
                    None
                }
                // A server that was started anew has none of its kernels.
                Event::Kernel(News::Gone) => Some(match self.facts.lock().away.take() {
                    Some(JupyterError::Unreachable(_)) => Ending::server_stopped(),
                    Some(_) | None => Ending::kernel_died(),
                }),
                Event::Kernel(News::Away(error)) => {
                    self.facts.lock().away = Some(error);
                    None
                }
                Event::Order(order) => self.obey(order, Some(&mut turn)).await,
                // Code goes on in the kernel, and the next process follows it.
                Event::Left => return Ok(()),
                Event::Due => {
                    let is_poll = Instant::now() >= poll;
                    if is_poll {
                        poll = Instant::now() + POLL_INTERVAL;
                    }
                    self.due(&mut turn, is_poll).await?
                }
            };
            if let Some(ending) = ending {
                return finish(&turn.job, ending);
            }
        }
    }

    async fn due(&mut self, turn: &mut Turn, is_poll: bool) -> io::Result<Option<Ending>> {
        if turn.is_over_time() {
            turn.kill_at = Some(Instant::now() + INTERRUPT_GRACE);
            self.kernel.interrupt().await;
        } else if turn.must_be_killed() {
            turn.kill_at = Some(Instant::now() + POLL_INTERVAL);
            if self.kernel.end(true).await.is_ok() {
                return Ok(Some(Ending::new(JobState::TimedOut, Reason::Timeout, true)));
            }
        } else if is_poll {
            match self.kernel.state().await {
                Ok(None) => return Ok(Some(Ending::kernel_died())),
                // A connection behind a gateway may be open and dead: the next one shows what has become of the reply.
                Ok(Some(state)) if state == "idle" => {
                    self.kernel.detach();
                    turn.note_doubt()?;
                }
                Ok(Some(_)) | Err(_) => {}
            }
        }
        turn.end_of_grace()
    }

    /// Does what is asked; returns the end of the job that runs, if it is that.
    async fn obey(&mut self, order: Order, turn: Option<&mut Turn>) -> Option<Ending> {
        match order {
            Order::Run(job) => {
                self.queue.push_back(job);
                self.note(turn.map(|turn| turn.job.id()));
                None
            }
            Order::Interrupt(id, done) => {
                if let Some(turn) = turn.filter(|turn| turn.job.id() == id) {
                    turn.is_interrupted = true;
                    self.kernel.interrupt().await;
                } else if let Some(at) = self.queue.iter().position(|job| job.id() == id)
                    && let Some(job) = self.queue.remove(at)
                {
                    let ending = Ending::new(JobState::Interrupted, Reason::Interrupted, false);
                    report(&job, finish(&job, ending));
                }
                let _ = done.send(());
                None
            }
            Order::End { restarts, ended } => {
                let result = self.kernel.end(restarts).await;
                if let Err(error) = result {
                    let _ = ended.send(Err(error));
                    return None;
                }
                let reason = match restarts {
                    true => Reason::SessionRestarted,
                    false => Reason::SessionDeleted,
                };
                let running = turn.map(|turn| turn.job.id());
                let queued = self.queue.drain(..).map(|job| {
                    let ending = Ending::new(JobState::Interrupted, reason, false);
                    report(&job, finish(&job, ending));
                    job.id()
                });
                let ids: Vec<_> = running.into_iter().chain(queued).collect();
                let _ = ended.send(Ok(ids));
                running.map(|_| Ending::new(JobState::Interrupted, reason, true))
            }
        }
    }

    /// Notes for others what runs and what waits.
    fn note(&self, running: Option<JobId>) {
        for (job, position) in self.queue.iter().zip(1..) {
            let numbered = job.update(|job| {
                job.queue_position = Some(position);
                job.behind = running;
            });
            report(job, numbered);
        }
        let mut facts = self.facts.lock();
        facts.running = running;
        facts.queued = self.queue.len();
        facts.kernel_id = self.kernel.process();
    }
}

fn finish(job: &Journal, ending: Ending) -> io::Result<()> {
    job.finish(ending.state, ending.reason, ending.variables_lost)
}

/// Ends a job whose journal cannot be written.
fn report(job: &Journal, result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(job = %job.id(), "its output cannot be kept: {error}");
        let _ = job.finish(JobState::Failed, Some(Reason::DiskFull), false);
    }
}
