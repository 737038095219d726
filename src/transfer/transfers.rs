//! The transfers of one direction: those of this process, and those recorded by others on this computer.

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

/// All transfers of one direction. Dropping it ends those of this process.
#[derive(Debug)]
pub(super) struct Transfers<R: Report> {
    connection: Arc<Connection>,
    registry: Registry<R>,
    notes: Notes,
}

/// A transfer to be carried out.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) note: Note,
    /// Left by a process that has exited; this process now owns it.
    held: Option<Held>,
}

/// The meaning of an id.
#[derive(Debug)]
pub(super) enum Known<R: Report> {
    /// Not a transfer in this direction.
    Unknown,
    /// It ended in an earlier process, or another process is running it.
    Reported(Look),
    Running(Running<R>),
    /// Left by an earlier process; it has to be resumed.
    Left(Task),
}

impl<R: Report> Transfers<R> {
    /// `notes_dir` holds the records shared with other processes.
    pub(super) fn new(connection: Arc<Connection>, notes_dir: PathBuf) -> Self {
        Self {
            connection,
            registry: Registry::new(),
            notes: Notes::new(notes_dir),
        }
    }

    pub(super) fn connection(&self) -> Arc<Connection> {
        self.connection.clone()
    }

    pub(super) fn find(&self, key: &Key) -> Option<Running<R>> {
        self.registry.find(key)
    }

    /// Returns the task for a call: the one that an earlier process left, or a new one.
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

    pub(super) async fn classify(&self, id: JobId) -> Known<R> {
        if let Some(running) = self.registry.get(id) {
            return Known::Running(running);
        }
        let notes = self.notes.clone();
        blocking(move || {
            let note = || notes.get(id).filter(|note| note.direction == R::DIRECTION);
            let Some(mut found) = note() else {
                return Known::Unknown;
            };
            let runs = found.outcome.is_none();
            let held = runs.then(|| notes.hold(id)).flatten();
            if held.is_some() {
                // Its last holder may have ended it just now.
                found = note().unwrap_or(found);
            }
            match (found.outcome.take(), held) {
                (Some(outcome), _) => Known::Reported(Look::from_facts(outcome)),
                (None, None) => Known::Reported(Look::elsewhere(id)),
                (None, held) => Known::Left(Task { note: found, held }),
            }
        })
        .await
    }

    /// Waits until a runtime is connected, and returns the connection.
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

    /// Starts `work` in the background, unless the same transfer was started meanwhile. The work gets its meter, and the token that stops it.
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
                        // Locked before written: an unlocked record counts as abandoned.
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
                        report.set_elapsed(began.elapsed());
                        let report = report.worded(began.elapsed());
                        note.outcome = Some(Look::of(id, &report, Some(&result)).facts);
                        blocking(move || notes.write(&note)).await;
                    }
                    drop(held);
                    result
                }
            })
    }

    /// Waits for the end or the deadline. `None` if another call has stopped the transfer: this one has to start it again.
    pub(super) async fn wait(
        &self,
        running: Running<R>,
        caller: &Caller<'_>,
    ) -> Option<Result<R, R::Error>> {
        let id = running.id.to_string();
        let following = self.follow(running.clone(), caller);
        let state = caller.or_leave(&id, following).await;
        let ended = state.ended.unwrap_or(Ok(()));
        let stopped = matches!(&ended, Err(error) if error.code() == "cancelled");
        if stopped && running.was_stopped() && !caller.cancelled.is_cancelled() {
            return None;
        }
        Some(ended.map(|()| state.report))
    }

    /// Waits for the end or the deadline, and describes the transfer for a lookup by its id.
    pub(super) async fn look(&self, running: Running<R>, caller: &Caller<'_>) -> Look {
        let id = running.id;
        let state = self.follow(running, caller).await;
        Look::of(id, &state.report, state.ended.as_ref())
    }

    /// Ends the transfer of this id, if this process runs it, and waits for its end; none if it does not.
    pub(super) async fn stop(&self, id: JobId, caller: &Caller<'_>) -> Option<Look> {
        let running = self.registry.get(id)?;
        running.stop();
        Some(self.look(running, caller).await)
    }

    async fn follow(&self, running: Running<R>, caller: &Caller<'_>) -> State<R> {
        let (id, began) = (running.id, running.began);
        let mut state = running.follow(caller).await;
        if state.ended.is_some() {
            self.registry.forget(id);
        }
        let month_bytes = self.connection.ngrok_month_bytes();
        state.report.set_ngrok_bytes(month_bytes);
        state.report = state.report.worded(began.elapsed());
        state
    }
}
