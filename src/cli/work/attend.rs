//! Waits for work in the foreground: Ctrl-C, and what keeps it waiting.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Desk, End, FAILED, kept, unwritable};
use crate::base::ids::JobId;
use crate::base::lock::Lock;
use crate::caller::{Caller, Progress};
use crate::connection::State;
use crate::wire::event::StreamName;
use crate::wire::job::Question;

/// How often it is looked at what keeps the work waiting; what passes sooner is not worth a line.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Between two lines about one obstacle.
const SAY_INTERVAL: Duration = Duration::from_secs(60);
/// Longer than any code may run and wait.
const PATIENCE: Duration = Duration::from_secs(30 * 24 * 3600);

/// What keeps the work waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Obstacle {
    /// The runtime does not answer. The errors of the tries may alternate.
    Lost(String),
    Other(String),
}

impl Obstacle {
    fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }

    fn is_as(&self, other: Option<&Self>) -> bool {
        other.is_some_and(|other| self == other || (self.is_lost() && other.is_lost()))
    }
}

/// The wait of one command.
#[derive(Debug, Clone, Default)]
pub(super) struct Wait {
    /// The command is left; code goes on.
    pub left: CancellationToken,
    /// Why its code waits.
    queue: Arc<Lock<Option<String>>>,
    /// The runtime has answered.
    heard: CancellationToken,
    /// What is waited for, if that is code.
    job: Option<JobId>,
    /// Why output is not where it should be.
    unwritten: Arc<Lock<Option<String>>>,
    /// What the code asks now.
    pub asked: Arc<watch::Sender<Option<Question>>>,
    /// The user has entered a line, whose end the terminal has shown.
    has_typed: Arc<AtomicBool>,
}

impl Wait {
    /// When the command gives up: never, as far as a person is concerned.
    pub(super) fn deadline() -> Instant {
        Instant::now() + PATIENCE
    }

    /// The wait for code.
    pub(super) fn for_job(id: JobId) -> Self {
        Self {
            job: Some(id),
            ..Self::default()
        }
    }

    /// Notes the first output that could not be written; the work goes on.
    pub(super) fn note_unwritten(&self, name: StreamName, error: &std::io::Error) {
        let stream = match name {
            StreamName::Stdout => "stdout",
            StreamName::Stderr => "stderr",
        };
        let mut unwritten = self.unwritten.lock();
        unwritten.get_or_insert_with(|| unwritable(stream, error));
    }

    /// Adds to `end` that output could not be written, if so; what succeeded has failed then.
    pub(super) fn with_unwritten(&self, end: End) -> End {
        let Some(unwritten) = self.unwritten.lock().take() else {
            return end;
        };
        let back = self
            .job
            .map_or_else(String::new, |id| format!("\n{}", kept(id)));
        let before = match end.said.is_empty() {
            true => String::new(),
            false => format!("{}\n", end.said),
        };
        End {
            code: if end.code == 0 { FAILED } else { end.code },
            said: format!("{before}smart-colab: {unwritten}{back}"),
            ..end
        }
    }

    pub(super) fn note_typed(&self, has_typed: bool) {
        self.has_typed.store(has_typed, Ordering::Relaxed);
    }

    /// Removes from output what the terminal has shown already: the end of the line that the user entered.
    pub(super) fn without_typed<'a>(&self, text: &'a str) -> &'a str {
        match self.has_typed.swap(false, Ordering::Relaxed) {
            true => text.strip_prefix('\n').unwrap_or(text),
            false => text,
        }
    }

    pub(super) fn note(&self, progress: Progress<'_>) {
        let Progress::Job { job, .. } = progress else {
            return;
        };
        self.heard.cancel();
        self.asked.send_if_modified(|asked| {
            let is_new = *asked != job.asking;
            asked.clone_from(&job.asking);
            is_new
        });
        let session = &job.session;
        *self.queue.lock() = job
            .queue_position
            .map(|position| format!("waiting behind {position} other(s) in session {session}"));
    }

    /// Does `work` with a caller that waits until the command is left.
    pub(super) async fn call<T>(&self, work: impl AsyncFnOnce(&Caller<'_>) -> T) -> T {
        let report = |progress: Progress<'_>| self.note(progress);
        let caller = Caller::until(Self::deadline()).cancelled_by(&self.left);
        work(&caller.with_report(&report)).await
    }

    fn sentence(&self, obstacle: &Obstacle) -> String {
        match (obstacle, self.job) {
            (Obstacle::Other(what), _) => what.clone(),
            (Obstacle::Lost(trouble), None) => {
                format!("{trouble}; trying on until it answers, or Ctrl-C")
            }
            (Obstacle::Lost(trouble), Some(id)) => {
                format!("{trouble}; trying on until it answers. The job is {id}; Ctrl-C leaves it")
            }
        }
    }

    /// Whether nothing can have been sent.
    fn is_unsent(&self, desk: &Desk<'_>) -> bool {
        let is_starting = matches!(
            desk.floors.connection.state(),
            State::Starting { .. } | State::NotConfigured
        );
        is_starting && !self.heard.is_cancelled()
    }

    /// Waits for `work`. The first Ctrl-C calls `interrupt`, the second one leaves the work, as the first one does before anything was sent.
    /// What keeps the work waiting is said on stderr. Returns none if the work panicked.
    pub(super) async fn attend<T: Send + 'static>(
        &self,
        desk: &Desk<'_>,
        work: impl Future<Output = T> + Send + 'static,
        mut interrupt: impl FnMut(),
    ) -> Option<T> {
        // In a task of its own, as a pager may hold up its output.
        let work = tokio::spawn(work);
        let mut presses = 0;
        let press = || {
            presses += 1;
            if presses == 1 && !self.is_unsent(desk) {
                interrupt();
            } else {
                self.left.cancel();
            }
        };
        self.watch(desk, work, press).await.ok()
    }

    /// Waits for `work`, which Ctrl-C cancels.
    pub(super) async fn beside<T>(&self, desk: &Desk<'_>, work: impl Future<Output = T>) -> T {
        self.watch(desk, work, || self.left.cancel()).await
    }

    /// Waits for `work`; each Ctrl-C calls `press`.
    pub(super) async fn watch<T>(
        &self,
        desk: &Desk<'_>,
        work: impl Future<Output = T>,
        mut press: impl FnMut(),
    ) -> T {
        let mut work = pin!(work);
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut before, mut said, mut said_at) = (None, None, None);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                Ok(()) = tokio::signal::ctrl_c() => press(),
                _ = looks.tick() => {
                    let queue = self.queue.lock().clone();
                    let state = desk.floors.connection.state();
                    let waits = if let State::Lost { trouble, .. } = state {
                        Some(Obstacle::Lost(trouble))
                    } else {
                        state.message().or(queue).map(Obstacle::Other)
                    };
                    let is_due = said_at.is_none_or(|at: Instant| at.elapsed() >= SAY_INTERVAL);
                    if let Some(what) = &waits
                        && what.is_as(before.as_ref())
                        && (!what.is_as(said.as_ref()) || (is_due && what.is_lost()))
                    {
                        eprintln!("smart-colab: {}", self.sentence(what));
                        (said, said_at) = (waits.clone(), Some(Instant::now()));
                    }
                    before = waits;
                }
            }
        }
    }
}
