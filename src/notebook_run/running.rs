//! A run that this process works on, and the calls that wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, watch};
use tokio::time::{Duration, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Report;
use super::error::RunError;
use super::record::{CellState, Record, Shelf};
use crate::base::causes::sentence;
use crate::base::lock::Lock;
use crate::caller::{Caller, Progress};

/// One run, worked on by a task of its own for as long as this process lives.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) shelf: Shelf,
    record: Lock<Record>,
    trouble: Lock<Option<String>>,
    changed: watch::Sender<()>,
    /// A call has come.
    pub(super) attended: Notify,
    /// Ends the run: its job is interrupted.
    pub(super) stop: CancellationToken,
    is_over: AtomicBool,
}

impl Running {
    pub(super) fn new(shelf: Shelf, record: Record) -> Arc<Self> {
        Arc::new(Self {
            shelf,
            record: Lock::new(record),
            trouble: Lock::default(),
            changed: watch::Sender::new(()),
            attended: Notify::new(),
            stop: CancellationToken::new(),
            is_over: AtomicBool::new(false),
        })
    }

    pub(super) fn record(&self) -> Record {
        self.record.lock().clone()
    }

    /// Changes the record, on disk too: whatever comes after a crash knows.
    pub(super) fn change(&self, change: impl FnOnce(&mut Record)) -> Result<(), RunError> {
        let mut record = self.record.lock();
        change(&mut record);
        let saved = self.shelf.save(&record);
        drop(record);
        self.changed.send_replace(());
        saved
    }

    pub(super) fn note_trouble(&self, error: Option<&RunError>) {
        let said = error.map(|error| sentence(error));
        let is_news = *self.trouble.lock() != said;
        *self.trouble.lock() = said;
        if is_news {
            self.changed.send_replace(());
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.changed.send_replace(());
    }

    pub(super) fn is_stop_asked(&self) -> bool {
        let id = self.record.lock().id;
        self.stop.is_cancelled() || self.shelf.is_stop_asked(id)
    }

    /// Waits for the end of the run, as long as the caller can; the user's stop ends it.
    pub(super) async fn wait(&self, caller: &Caller<'_>) {
        let mut changed = self.changed.subscribe();
        self.attended.notify_one();
        loop {
            report(&self.record(), caller);
            if self.is_over() {
                return;
            }
            tokio::select! {
                biased;
                () = caller.cancelled.cancelled(), if !self.stop.is_cancelled() => self.stop.cancel(),
                () = caller.left.cancelled() => return,
                // The sender is held by `self`.
                _ = changed.changed() => {}
                () = sleep_until(caller.patience) => return,
            }
        }
    }

    pub(super) fn report(&self) -> Report {
        Report {
            record: self.record(),
            trouble: self.trouble.lock().clone(),
            was_running: false,
        }
    }
}

/// Reports how many cells are done.
pub(super) fn report(record: &Record, caller: &Caller<'_>) {
    let is_done = |state| !matches!(state, CellState::NotRun | CellState::Running);
    let done = record.rows.iter().filter(|row| is_done(row.state)).count();
    let (done, total) = (done as u64, record.rows.len() as u64);
    (caller.report)(Progress::Count { done, total });
}

/// Between two looks at what another process keeps.
pub(super) const WATCH_INTERVAL: Duration = Duration::from_millis(500);
