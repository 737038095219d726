//! One attempt of a cell: its job, followed to its end, and what comes of it.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::RunError;
use super::record::{CellState, Flight, OnError, Record};
use super::retry::{self, Why};
use super::work::Work;
use crate::base::causes::sentence;
use crate::base::fault::Fault as _;
use crate::base::ids::JobId;
use crate::base::text::{Pattern, Room, Screen};
use crate::caller::Caller;
use crate::document::folder_of;
use crate::jobs::ending;
use crate::jobs::follow::{Ended, Reader};
use crate::runtime::RuntimeError;
use crate::wire::event::{Event, EventKind, PythonError};
use crate::wire::job::{Job, JobRequest};
use crate::wire::state::{JobState, Reason};

/// One look at a job.
const LOOK: Duration = Duration::from_secs(120);
/// How long a job that was asked to stop is waited for in one look.
const STOP_LOOK: Duration = Duration::from_secs(10);
/// Characters of the last line that are kept.
const LINE_CHARS: usize = 300;
/// For freeing the GPU's memory. Seconds.
const FREE_TIMEOUT_SEC: u64 = 60;
/// The tag of a cell whose exception is meant.
const MAY_RAISE: &str = "raises-exception";

/// What this process knows of the job in flight.
pub(super) struct Attempt {
    /// Its code; none for a job that an earlier process may have sent.
    code: Option<String>,
    /// The cursor to follow it from; none before its first answer.
    after: Option<u64>,
    error: Option<PythonError>,
    screen: Screen,
    /// It was asked to stop.
    is_stopped: bool,
}

impl Default for Attempt {
    fn default() -> Self {
        Self {
            code: None,
            after: None,
            error: None,
            screen: Screen::new(Room::for_chars(LINE_CHARS)),
            is_stopped: false,
        }
    }
}

impl Attempt {
    pub(super) fn new(code: String) -> Self {
        Self {
            code: Some(code),
            ..Self::default()
        }
    }

    fn line(&self) -> String {
        let newest = self.screen.newest();
        let line = match newest.unfinished.trim() {
            "" => &newest.line,
            _ => &newest.unfinished,
        };
        line.trim_end().chars().take(LINE_CHARS).collect()
    }
}

impl Reader for Attempt {
    fn take(&mut self, event: &Event) -> ControlFlow<()> {
        match &event.kind {
            EventKind::Stream { text, .. } => self.screen.push(text),
            EventKind::ExecuteResult { data, .. } => {
                if let Some(text) = data.get("text/plain").and_then(|text| text.as_str()) {
                    self.screen.push_block(text);
                }
            }
            EventKind::Error(error) => self.error = Some(error.clone()),
            EventKind::Started { .. }
            | EventKind::DisplayData { .. }
            | EventKind::Widgets { .. }
            | EventKind::ClearOutput { .. }
            | EventKind::Batch { .. }
            | EventKind::Progress(_)
            | EventKind::Finished(_)
            | EventKind::Unknown => {}
        }
        ControlFlow::Continue(())
    }
}

impl Work {
    /// Sends the job in flight or looks at it, and draws the conclusions from its end.
    pub(super) async fn follow(
        &mut self,
        flight: Flight,
        deadline: Instant,
    ) -> Result<(), RunError> {
        let id = flight.job_id;
        if self.running.is_stop_asked() && !self.attempt.is_stopped {
            self.attempt.is_stopped = true;
            self.jobs.interrupt_later(id);
        }
        let caller = match self.attempt.is_stopped {
            true => Caller::until(Instant::now() + STOP_LOOK),
            false => Caller::until(Instant::now() + LOOK).cancelled_by(&self.running.stop),
        };
        let (is_known, mut code) = (self.attempt.after.is_some(), None);
        if !is_known {
            code = self.attempt.code.take();
            let record = self.running.record();
            let row = &record.rows[flight.row];
            self.documents
                .show(&record.path, row.target(), &row.version, id);
        }
        let followed = match code {
            Some(code) => {
                let request = self.request(code.clone());
                let sent = self
                    .jobs
                    .run_part(id, &request, &caller, &mut self.attempt)
                    .await;
                match sent {
                    Ok(followed) => followed,
                    Err(error) => {
                        // It certainly did not start: it is sent again, under its own id.
                        self.attempt.code = Some(code);
                        return self.unsent(&flight, error.into(), deadline).await;
                    }
                }
            }
            None => {
                let after = self.attempt.after.unwrap_or(0);
                self.jobs
                    .follow_part(id, after, &caller, &mut self.attempt)
                    .await
            }
        };
        if let Some(job) = &followed.job {
            self.attempt.after = Some(followed.next);
            if !flight.is_known && !job.state.is_final() {
                self.running.change(|record| {
                    if let Some(flight) = &mut record.flight {
                        flight.is_known = true;
                    }
                })?;
            }
        }
        match (followed.ended, followed.job) {
            (Ended::Finished, Some(job)) => self.land(&flight, &job, deadline).await,
            (Ended::Trouble(error), _) if error.is_not_found() => {
                self.missing(&flight, deadline).await
            }
            (Ended::Trouble(error), _) => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn request(&self, code: String) -> JobRequest {
        let record = self.running.record();
        let is_bound = record.options.on_error != OnError::Continue;
        JobRequest {
            folder: folder_of(&record.path, &record.session),
            code,
            session: record.session,
            timeout_sec: record.options.timeout_sec,
            iterations: None,
            kernel_id: record.kernel_id.filter(|_| is_bound),
            answers: false,
        }
    }

    /// A job that did not start, because of what may pass or because it was refused.
    async fn unsent(
        &mut self,
        flight: &Flight,
        error: RunError,
        deadline: Instant,
    ) -> Result<(), RunError> {
        if error.is_passing() {
            return Err(error);
        }
        self.leave_shown(flight, deadline).await;
        let is_stopped = self.running.is_stop_asked();
        let said = sentence(&error);
        let is_by_policy = matches!(&error, RunError::Runtime(RuntimeError::Refused(problem)) if problem.is_by_policy());
        let at = flight.row;
        self.running.change(|record| {
            record.flight = None;
            let row = &mut record.rows[at];
            row.state = match is_stopped {
                true => CellState::Interrupted,
                false => CellState::Failed,
            };
            row.code = Some(error.code().to_owned());
            row.line = said;
            row.is_by_policy = is_by_policy;
            // No executor knows the job.
            row.job_id = None;
            row.is_written = true;
        })
    }

    /// The executor does not know the job: it never arrived, or it went with the executor.
    async fn missing(&mut self, flight: &Flight, deadline: Instant) -> Result<(), RunError> {
        let is_same = flight.boot_id.is_some() && flight.boot_id == self.connection.boot_id();
        let record = self.running.record();
        let row = &record.rows[flight.row];
        if is_same && !flight.is_known && self.attempt.after.is_none() {
            let stored = self.documents.runnable(&record.path, deadline).await?;
            let found = stored.notebook.find(&row.target(), Some(&row.version));
            let cell = found.ok().map(|index| &stored.notebook.cells()[index]);
            if let Some(cell) = cell {
                // Under its own id it runs once, whatever became of the first try.
                self.attempt = Attempt::new(cell.source.clone());
                return Ok(());
            }
        }
        self.leave_shown(flight, deadline).await;
        self.running.change(|record| {
            let at = flight.row;
            record.flight = None;
            record.lost_at = Some(record.rows[at].index);
            let row = &mut record.rows[at];
            row.state = CellState::Lost;
            row.code = Some("kernel_died".to_owned());
            row.is_written = true;
            row.line = "the machine was replaced or restarted: its variables are gone, and whether the cell has run is not known".to_owned();
        })
    }

    /// The job has ended.
    async fn land(
        &mut self,
        flight: &Flight,
        job: &Job,
        deadline: Instant,
    ) -> Result<(), RunError> {
        let record = self.running.record();
        let row = &record.rows[flight.row];
        let by_python = job.state == JobState::Failed && job.reason == Some(Reason::PythonError);
        let error = self.attempt.error.take().filter(|_| by_python);
        let may_raise = row.has_tag(MAY_RAISE);
        let again = error
            .as_ref()
            .filter(|_| !may_raise && !job.variables_lost && may_repeat(&record, flight.row))
            .and_then(|error| retry::why(error, own(&record).as_ref()));
        let (code, line) = match &error {
            Some(error) => (Some("python_error"), error.sentence()),
            None if job.state == JobState::Succeeded => (None, self.attempt.line()),
            None => {
                let reason = job.reason.unwrap_or(Reason::Unknown);
                let (code, sentence, _) = ending::explain(reason, job);
                (Some(code), sentence.into_owned())
            }
        };
        let state = match job.state {
            _ if again.is_some() => CellState::Running,
            JobState::Failed if by_python && may_raise => CellState::Succeeded,
            JobState::Succeeded => CellState::Succeeded,
            JobState::TimedOut => CellState::TimedOut,
            JobState::Interrupted => CellState::Interrupted,
            JobState::Lost => CellState::Lost,
            JobState::Failed | JobState::Queued | JobState::Running => CellState::Failed,
        };
        if let Some(why) = again {
            self.leave_shown(flight, deadline).await;
            self.prepare(why, row.attempts).await;
        }
        self.attempt = Attempt::default();
        let is_lost = job.variables_lost || job.state == JobState::Lost;
        self.running.change(|record| {
            let row = &mut record.rows[flight.row];
            row.state = state;
            row.code = code.map(str::to_owned);
            row.line = line;
            let seconds = row.seconds.unwrap_or(0.0) + job.execution_time_sec.unwrap_or(0.0);
            row.seconds = Some(seconds);
            record.kernel_id.clone_from(&job.kernel_id);
            record.lost_at = record.lost_at.or(is_lost.then_some(row.index));
            record.flight = None;
        })
    }

    /// Ends the showing of an attempt whose outputs are not written.
    async fn leave_shown(&self, flight: &Flight, deadline: Instant) {
        let record = self.running.record();
        let cell = record.rows[flight.row].target();
        let (path, job) = (&record.path, flight.job_id);
        self.documents.leave_shown(path, &cell, job, deadline).await;
    }

    /// Waits before another attempt, and frees memory where that is what it needs.
    async fn prepare(&self, why: Why, attempts: u32) {
        if why == Why::GpuMemory {
            let mut request = self.request(retry::FREE_GPU.to_owned());
            request.timeout_sec = FREE_TIMEOUT_SEC;
            let caller = Caller::until(Instant::now() + LOOK).cancelled_by(&self.running.stop);
            let mut pass_over = |_: &Event| ControlFlow::Continue(());
            let freed = self
                .jobs
                .run_part(JobId::fresh(), &request, &caller, &mut pass_over)
                .await;
            if let Err(error) = freed {
                tracing::info!(%error, "could not free the GPU's memory");
            }
        }
        tokio::select! {
            () = self.running.stop.cancelled() => {}
            () = sleep(retry::delay(attempts)) => {}
        }
    }
}

fn may_repeat(record: &Record, at: usize) -> bool {
    record.rows[at].attempts <= record.options.max_retries
}

fn own(record: &Record) -> Option<Pattern> {
    let pattern = record.options.retry_on.as_ref();
    pattern.and_then(|pattern| Pattern::new(pattern).ok())
}
