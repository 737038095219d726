//! Waits for work in the foreground: Ctrl-C, and what keeps it waiting.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Desk;
use crate::base::lock::Lock;
use crate::caller::{Caller, Progress};
use crate::connection::State;

/// How often it is looked at what keeps the work waiting; what passes sooner is not worth a line.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Longer than any code may run and wait.
const PATIENCE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The wait of one command.
#[derive(Debug, Clone, Default)]
pub(super) struct Wait {
    /// The command is left; code goes on.
    pub left: CancellationToken,
    /// Why its code waits.
    queue: Arc<Lock<Option<String>>>,
    /// The runtime has answered.
    heard: CancellationToken,
}

impl Wait {
    /// When the command gives up: never, as far as a person is concerned.
    pub(super) fn deadline() -> Instant {
        Instant::now() + PATIENCE
    }

    pub(super) fn note(&self, progress: Progress<'_>) {
        let Progress::Job { job, .. } = progress else {
            return;
        };
        self.heard.cancel();
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
        let (mut before, mut said) = (None, None);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                Ok(()) = tokio::signal::ctrl_c() => press(),
                _ = looks.tick() => {
                    let queue = self.queue.lock().clone();
                    let waits = desk.floors.connection.state().message().or(queue);
                    if waits.is_some() && waits == before && waits != said {
                        said.clone_from(&waits);
                        eprintln!("smart-colab: {}", waits.as_deref().unwrap_or_default());
                    }
                    before = waits;
                }
            }
        }
    }
}
