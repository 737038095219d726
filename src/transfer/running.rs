//! Transfers in either direction that outlive the calls that started them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::MutexGuard;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::report::Skipped;
use super::trouble::Trouble;
use crate::base::fault::Fault;
use crate::base::ids::JobId;
use crate::base::lock::Lock;
use crate::caller::{Caller, Progress, Transferred};
use crate::runtime::RuntimeError;

/// Ended transfers that are remembered.
const MAX_REMEMBERED: usize = 200;
/// Skipped entries that are listed; further ones are only counted.
const MAX_NAMED: usize = 100;

/// The error of a transfer. `Clone`, because every call that waits for the transfer gets it.
pub(super) trait Failure: Fault + Clone + Send + Sync + 'static {
    fn cancelled(remote: &str) -> Self;
    fn runtime(remote: &str, source: RuntimeError) -> Self;
}

/// The direction of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Direction {
    Download,
    Upload,
}

/// Describes a transfer, while it runs and when it has ended.
pub(super) trait Report: Clone + Debug + Serialize + Send + Sync + 'static {
    const DIRECTION: Direction;
    type Error: Failure;

    fn set_id(&mut self, id: JobId);
    fn remote_path(&self) -> &str;
    fn progress(&self) -> Transferred;
    /// Whether an unread result may still answer the same call, because it is still true.
    fn is_there(&self) -> bool;
    /// The listed skipped entries, and the number of all.
    fn skips(&mut self) -> (&mut Vec<Skipped>, &mut u64);
    /// Why it is stalled.
    fn trouble(&mut self) -> &mut Trouble;
    fn set_elapsed(&mut self, time: Duration);
    /// Sets the bytes received through ngrok by this computer this month, for reports that show them.
    fn set_ngrok_bytes(&mut self, _month_bytes: Option<u64>) {}
    /// Adds the sentences, for an answer given `since` the transfer's start.
    fn worded(self, since: Duration) -> Self;
}

/// The remote and the local path of a call; the same paths mean the same transfer.
pub(super) type Key = (String, Option<String>);

/// How a transfer ended.
pub(super) type Ended<R> = Result<(), <R as Report>::Error>;

/// The current report, and how the transfer ended.
#[derive(Debug, Clone)]
pub(super) struct State<R: Report> {
    pub(super) report: R,
    pub(super) ended: Option<Ended<R>>,
    /// When the last response, or part of one, was received.
    last_response: Instant,
    /// Whether the executor has answered this transfer.
    was_answered: bool,
}

/// Collects the progress of a transfer's parts.
#[derive(Debug, Clone)]
pub(super) struct Meter<R: Report>(watch::Sender<State<R>>);

impl<R: Report> Meter<R> {
    pub(super) fn new(report: R) -> (Self, watch::Receiver<State<R>>) {
        let (sender, receiver) = watch::channel(State {
            report,
            ended: None,
            last_response: Instant::now(),
            was_answered: false,
        });
        (Self(sender), receiver)
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut R)) {
        self.0.send_modify(|state| change(&mut state.report));
    }

    /// Records a skipped entry of a folder.
    pub(super) fn skip(&self, name: &str, reason: impl Into<String>) {
        self.change(|report| {
            let (skipped, count) = report.skips();
            *count += 1;
            if skipped.len() < MAX_NAMED {
                skipped.push(Skipped {
                    name: name.to_owned(),
                    reason: reason.into(),
                });
            }
        });
    }

    pub(super) fn last_response(&self) -> Instant {
        self.0.borrow().last_response
    }

    pub(super) fn was_answered(&self) -> bool {
        self.0.borrow().was_answered
    }

    /// Records a response, and the trouble that it reports, if any.
    pub(super) fn note_response(&self, trouble: Option<Trouble>) {
        self.0.send_if_modified(|state| {
            state.last_response = Instant::now();
            state.was_answered |= trouble.is_none();
            let trouble = trouble.unwrap_or_default();
            let before = std::mem::replace(state.report.trouble(), trouble);
            before != *state.report.trouble()
        });
    }

    /// Records a silence.
    pub(super) fn note_silence(&self, trouble: Trouble) {
        self.change(|report| *report.trouble() = trouble);
    }

    pub(super) fn report(&self) -> R {
        self.0.borrow().report.clone()
    }

    fn end(&self, result: Ended<R>) {
        self.0.send_modify(|state| {
            *state.report.trouble() = Trouble::default();
            state.ended = Some(result);
        });
    }
}

/// A transfer that was started.
#[derive(Debug, Clone)]
pub(super) struct Running<R: Report> {
    pub(super) id: JobId,
    pub(super) began: Instant,
    state: watch::Receiver<State<R>>,
    stop: CancellationToken,
}

impl<R: Report> Running<R> {
    /// Whether it can answer the same call: it is running, or its result is unread and still true.
    fn is_reusable(&self) -> bool {
        let state = self.state.borrow();
        match &state.ended {
            None => !self.stop.is_cancelled() && self.state.has_changed().is_ok(),
            Some(Err(_)) => false,
            Some(Ok(())) => state.report.is_there(),
        }
    }

    /// Whether a cancelled call has stopped it.
    pub(super) fn was_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Ends it.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    fn has_ended(&self) -> bool {
        self.state.borrow().ended.is_some()
    }

    /// Waits until the transfer ends, the deadline passes or the caller leaves; the user's stop ends the transfer.
    pub(super) async fn follow(mut self, caller: &Caller<'_>) -> State<R> {
        loop {
            let state = self.state.borrow_and_update().clone();
            if state.ended.is_some() {
                return state;
            }
            (caller.report)(Progress::Transfer(&state.report.progress()));
            let cancelled = async {
                caller.cancelled.cancelled().await;
                self.stop.cancel();
                // The transfer closes its files first, so that the next call finds them free.
                std::future::pending().await
            };
            let changed = async {
                tokio::select! {
                    changed = self.state.changed() => changed,
                    never = cancelled => never,
                }
            };
            let changed = tokio::select! {
                () = caller.left.cancelled() => return state,
                changed = timeout_at(caller.deadline, changed) => changed,
            };
            match changed {
                Ok(Ok(())) => {}
                // Its task ended without a result: the program is ending, or it panicked, which is in the log.
                Ok(Err(_)) => {
                    let stopped = R::Error::cancelled(state.report.remote_path());
                    let ended = Some(Err(stopped));
                    return State { ended, ..state };
                }
                Err(_) => return state,
            }
        }
    }
}

/// All transfers of this process in one direction. Dropping it ends them; the transferred bytes are kept.
#[derive(Debug)]
pub(super) struct Registry<R: Report> {
    all: Lock<All<R>>,
    stop: DropGuard,
}

#[derive(Debug)]
struct All<R: Report> {
    /// The transfer that the same call would join.
    current: HashMap<Key, JobId>,
    /// Ids sort by time.
    by_id: BTreeMap<JobId, Running<R>>,
}

impl<R: Report> Registry<R> {
    pub(super) fn new() -> Self {
        Self {
            all: Lock::new(All {
                current: HashMap::new(),
                by_id: BTreeMap::new(),
            }),
            stop: CancellationToken::new().drop_guard(),
        }
    }

    pub(super) fn get(&self, id: JobId) -> Option<Running<R>> {
        self.all().by_id.get(&id).cloned()
    }

    pub(super) fn find(&self, key: &Key) -> Option<Running<R>> {
        self.all().find(key)
    }

    /// Runs `work` in the background as the transfer `id`, unless the same transfer was started meanwhile. The work gets its meter, the token
    /// that stops it, and the token that stops all transfers of this process.
    pub(super) fn begin<F>(
        &self,
        key: Key,
        id: JobId,
        mut report: R,
        work: impl FnOnce(Meter<R>, CancellationToken, CancellationToken) -> F,
    ) -> Running<R>
    where
        F: Future<Output = Ended<R>> + Send + 'static,
    {
        let mut all = self.all();
        if let Some(running) = all.find(&key) {
            return running;
        }
        report.set_id(id);
        let (meter, state) = Meter::new(report);
        let leaving = self.stop.token().clone();
        let stop = leaving.child_token();
        let began = Instant::now();
        let work = work(meter.clone(), stop.clone(), leaving);
        tokio::spawn(async move {
            let result = work.await;
            meter.change(|report| report.set_elapsed(began.elapsed()));
            meter.end(result);
        });
        let running = Running {
            id,
            began,
            state,
            stop,
        };
        all.current.insert(key, id);
        all.by_id.insert(id, running.clone());
        all.tidy();
        running
    }

    /// Forgets a transfer whose result was returned: the same call starts a new one.
    pub(super) fn forget(&self, id: JobId) {
        self.all().current.retain(|_, current| *current != id);
    }

    fn all(&self) -> MutexGuard<'_, All<R>> {
        self.all.lock()
    }
}

impl<R: Report> All<R> {
    fn find(&self, key: &Key) -> Option<Running<R>> {
        let running = self.by_id.get(self.current.get(key)?)?;
        running.is_reusable().then(|| running.clone())
    }

    fn tidy(&mut self) {
        while self.by_id.len() > MAX_REMEMBERED {
            let ended = self.by_id.iter().find(|(_, running)| running.has_ended());
            let Some(id) = ended.map(|(id, _)| *id) else {
                return;
            };
            self.by_id.remove(&id);
            self.current.retain(|_, current| *current != id);
        }
    }
}
