//! Transfers that outlive the calls that asked for them, whichever way they go.

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

/// Of transfers that have ended, so many are remembered.
const MAX_REMEMBERED: usize = 200;
/// Skipped entries that are named; further ones are only counted.
const MAX_NAMED: usize = 100;

/// Why a transfer failed. It is `Clone`, because every call that waits for the transfer gets it.
pub(super) trait Failure: Fault + Clone + Send + Sync + 'static {
    fn cancelled(remote: &str) -> Self;
    fn runtime(remote: &str, source: RuntimeError) -> Self;
}

/// Which way it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Direction {
    Download,
    Upload,
}

/// What is told of a transfer, while it runs and when it is done.
pub(super) trait Report: Clone + Debug + Serialize + Send + Sync + 'static {
    const DIRECTION: Direction;
    type Error: Failure;

    /// Takes in its id.
    fn name(&mut self, id: JobId);
    fn remote_path(&self) -> &str;
    fn progress(&self) -> Transferred;
    /// A result that nobody has seen yet answers the same call, because what it tells of is still so.
    fn is_there(&self) -> bool;
    /// The entries that were left out, and how many there are of them.
    fn skips(&mut self) -> (&mut Vec<Skipped>, &mut u64);
    /// What stands in its way.
    fn trouble(&mut self) -> &mut Trouble;
    /// Takes in how long the whole took.
    fn took(&mut self, time: Duration);
    /// Takes in what came through ngrok to this computer in this month, in bytes, where that is told.
    fn through_ngrok(&mut self, _month_bytes: Option<u64>) {}
    /// Puts into words what the fields say, for a call that is answered so long after the transfer began.
    fn worded(self, since: Duration) -> Self;
}

/// What a call asks for; the same again means the same transfer: the remote path and the local one.
pub(super) type Key = (String, Option<String>);

/// How a transfer ended.
pub(super) type Ended<R> = Result<(), <R as Report>::Error>;

/// A report as it grows, and how its transfer ended.
#[derive(Debug, Clone)]
pub(super) struct State<R: Report> {
    pub(super) report: R,
    pub(super) ended: Option<Ended<R>>,
    /// When the last answer, or a part of one, came.
    heard: Instant,
    /// Whether the executor has answered this transfer.
    was_answered: bool,
}

/// Where the parts of a transfer note what they did.
#[derive(Debug, Clone)]
pub(super) struct Meter<R: Report>(watch::Sender<State<R>>);

impl<R: Report> Meter<R> {
    pub(super) fn new(report: R) -> (Self, watch::Receiver<State<R>>) {
        let (sender, receiver) = watch::channel(State {
            report,
            ended: None,
            heard: Instant::now(),
            was_answered: false,
        });
        (Self(sender), receiver)
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut R)) {
        self.0.send_modify(|state| change(&mut state.report));
    }

    /// An entry of a folder was left out.
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

    pub(super) fn last_heard(&self) -> Instant {
        self.0.borrow().heard
    }

    pub(super) fn was_answered(&self) -> bool {
        self.0.borrow().was_answered
    }

    /// Something came, and this is what still stands in the way.
    pub(super) fn heard(&self, trouble: Option<Trouble>) {
        self.0.send_if_modified(|state| {
            state.heard = Instant::now();
            state.was_answered |= trouble.is_none();
            let trouble = trouble.unwrap_or_default();
            let before = std::mem::replace(state.report.trouble(), trouble);
            before != *state.report.trouble()
        });
    }

    /// Nothing comes.
    pub(super) fn stuck(&self, trouble: Trouble) {
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

/// A transfer that was begun.
#[derive(Debug, Clone)]
pub(super) struct Running<R: Report> {
    pub(super) id: JobId,
    pub(super) began: Instant,
    state: watch::Receiver<State<R>>,
    stop: CancellationToken,
}

impl<R: Report> Running<R> {
    /// Something to wait for, or a result that nobody has seen yet and that is still there.
    fn is_of_use(&self) -> bool {
        let state = self.state.borrow();
        match &state.ended {
            None => !self.stop.is_cancelled() && self.state.has_changed().is_ok(),
            Some(Err(_)) => false,
            Some(Ok(())) => state.report.is_there(),
        }
    }

    /// A call wanted its end.
    pub(super) fn was_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    fn has_ended(&self) -> bool {
        self.state.borrow().ended.is_some()
    }

    /// Waits until the transfer ends or the deadline comes.
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
                // It closes its files, so that the next call finds them free.
                std::future::pending().await
            };
            let changed = async {
                tokio::select! {
                    changed = self.state.changed() => changed,
                    never = cancelled => never,
                }
            };
            match timeout_at(caller.deadline, changed).await {
                Ok(Ok(())) => {}
                // Its task is gone without a word: the program is ending, or there was a panic, which is in the log.
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

/// Every transfer of this process in one direction. Dropping it ends them; what has come is kept.
#[derive(Debug)]
pub(super) struct Registry<R: Report> {
    all: Lock<All<R>>,
    stop: DropGuard,
}

#[derive(Debug)]
struct All<R: Report> {
    /// What the same call again would mean.
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

    /// Does `work` in the background as the transfer `id`, unless the same was begun meanwhile. The work is given its meter, what stops it,
    /// and what says that the whole process stops.
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
        report.name(id);
        let (meter, state) = Meter::new(report);
        let leaving = self.stop.token().clone();
        let stop = leaving.child_token();
        let began = Instant::now();
        let work = work(meter.clone(), stop.clone(), leaving);
        tokio::spawn(async move {
            let result = work.await;
            meter.change(|report| report.took(began.elapsed()));
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

    /// Its result was handed out: the same call again means to begin anew.
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
        running.is_of_use().then(|| running.clone())
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
