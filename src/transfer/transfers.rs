//! The transfers of one direction: those of this process, and those that others on this computer have noted.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::disk::blocking;
use super::look::Look;
use super::notes::{Held, Note, Notes};
use super::running::{Ended, Failure, Key, Meter, Registry, Report, Running, State};
use crate::base::fault::Fault;
use crate::base::ids::JobId;
use crate::caller::Caller;
use crate::connection::Connection;

/// Dropping it ends what runs.
#[derive(Debug)]
pub(super) struct Transfers<R: Report> {
    connection: Arc<Connection>,
    registry: Registry<R>,
    notes: Notes,
}

/// What is to be carried out.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) note: Note,
    /// Left by a process that has exited; this process now owns it.
    held: Option<Held>,
}

/// What an id stands for.
#[derive(Debug)]
pub(super) enum Known<R: Report> {
    /// No transfer in this direction.
    Not,
    /// One that ended in an earlier process, or that another is at.
    Told(Look),
    Here(Running<R>),
    /// One that has to be resumed.
    Left(Task),
}

impl<R: Report> Transfers<R> {
    /// `notes_dir` is for what other processes must know of.
    pub(super) fn new(connection: Arc<Connection>, notes_dir: PathBuf) -> Self {
        Self {
            connection,
            registry: Registry::new(),
            notes: Notes::new(notes_dir),
        }
    }

    pub(super) fn find(&self, key: &Key) -> Option<Running<R>> {
        self.registry.find(key)
    }

    /// What a call asks for: the one that an earlier process left, or a new one.
    pub(super) async fn task(&self, key: Key, max_bytes: u64) -> Task {
        let notes = self.notes.clone();
        blocking(move || {
            let (id, held) = match notes.left_behind(R::DIRECTION, &key) {
                Some((id, held)) => (id, Some(held)),
                None => (JobId::fresh(), None),
            };
            let note = Note::begun(id, R::DIRECTION, key, max_bytes);
            Task { note, held }
        })
        .await
    }

    /// Whether a transfer of either direction has this id.
    pub(super) fn is_noted(&self, id: JobId) -> bool {
        self.notes.get(id).is_some()
    }

    pub(super) async fn known(&self, id: JobId) -> Known<R> {
        if let Some(running) = self.registry.get(id) {
            return Known::Here(running);
        }
        let notes = self.notes.clone();
        blocking(move || {
            let note = || notes.get(id).filter(|note| note.direction == R::DIRECTION);
            let Some(mut found) = note() else {
                return Known::Not;
            };
            let runs = found.outcome.is_none();
            let held = runs.then(|| notes.hold(id)).flatten();
            if held.is_some() {
                // Whoever held it may have ended it just now.
                found = note().unwrap_or(found);
            }
            match (found.outcome.take(), held) {
                (Some(outcome), _) => Known::Told(Look::told(outcome)),
                (None, None) => Known::Told(Look::elsewhere(id)),
                (None, held) => Known::Left(Task { note: found, held }),
            }
        })
        .await
    }

    /// The connection, when there is a runtime behind it.
    pub(super) async fn ready(
        &self,
        remote: &str,
        caller: &Caller<'_>,
    ) -> Result<Arc<Connection>, R::Error> {
        let runtime = tokio::select! {
            () = caller.cancelled.cancelled() => return Err(R::Error::cancelled(remote)),
            runtime = self.connection.runtime(caller.deadline) => runtime,
        };
        match runtime {
            Ok(_) => Ok(self.connection.clone()),
            Err(error) => Err(R::Error::runtime(remote, error)),
        }
    }

    /// Starts `work` in the background, unless the same was begun meanwhile. It is given its meter, and what stops it.
    pub(super) fn begin<F>(
        &self,
        task: Task,
        report: R,
        work: impl FnOnce(Meter<R>, CancellationToken) -> F,
    ) -> Running<R>
    where
        F: Future<Output = Ended<R>> + Send + 'static,
    {
        let Task { mut note, held } = task;
        let (key, id) = (note.key.clone(), note.job_id);
        let notes = self.notes.clone();
        self.registry
            .begin(key, id, report, |meter, stop, leaving| {
                let work = work(meter.clone(), stop);
                async move {
                    let began = Instant::now();
                    let (writing, begun) = (notes.clone(), note.clone());
                    let held = blocking(move || {
                        // Held first: a note that nobody holds is one that a bridge left behind.
                        let held = held.or_else(|| writing.hold(id));
                        writing.write(&begun);
                        held
                    })
                    .await;
                    let result = work.await;
                    if let Err(error) = &result {
                        let remote = &note.key.0;
                        tracing::info!(job = %id, remote, code = error.code(), "a transfer ended: {error}");
                    }
                    if !leaving.is_cancelled() {
                        let mut report = meter.report();
                        report.took(began.elapsed());
                        let report = report.worded(began.elapsed());
                        note.outcome = Some(Look::of(id, &report, Some(&result)).facts);
                        blocking(move || notes.write(&note)).await;
                    }
                    drop(held);
                    result
                }
            })
    }

    /// Waits for the end or the deadline. `None` when another call has stopped the transfer: this one has to begin it anew.
    pub(super) async fn wait(
        &self,
        running: Running<R>,
        caller: &Caller<'_>,
    ) -> Option<Result<R, R::Error>> {
        let state = self.follow(running.clone(), caller).await;
        let ended = state.ended.unwrap_or(Ok(()));
        let stopped = matches!(&ended, Err(error) if error.code() == "cancelled");
        if stopped && running.was_stopped() && !caller.cancelled.is_cancelled() {
            return None;
        }
        Some(ended.map(|()| state.report))
    }

    /// Waits likewise, for one who only looks.
    pub(super) async fn tell(&self, running: Running<R>, caller: &Caller<'_>) -> Look {
        let id = running.id;
        let state = self.follow(running, caller).await;
        Look::of(id, &state.report, state.ended.as_ref())
    }

    async fn follow(&self, running: Running<R>, caller: &Caller<'_>) -> State<R> {
        let (id, began) = (running.id, running.began);
        let mut state = running.follow(caller).await;
        if state.ended.is_some() {
            self.registry.forget(id);
        }
        let month_bytes = self.connection.ngrok_month_bytes();
        state.report.through_ngrok(month_bytes);
        state.report = state.report.worded(began.elapsed());
        state
    }
}
